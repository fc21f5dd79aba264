//! Reads from Stripe what was charged and refunded for a payment, for the reconciliation.
//! Read-only.
//!
//! Uses only ids from the records of payments, not their outcomes: intents are found by payment,
//! refunds and disputes by intent.

use serde_json::Value;
use shared::{
    BoxFuture,
    ids::{OrderId, PrefixedId},
    secret::Secrets,
};

use super::{
    client::{Client, optional, text},
    refunds::dispute_state,
};
use crate::{
    dispute::DisputeState,
    error::ProviderError,
    statement::{
        ChargeRecord, RecordedPayment, RefundRecord, Statement, StatementError, StatementQuery,
        StatementReader,
    },
};

/// Maximum pages per list, 100 documents each.
const PAGES: u32 = 10;

pub struct StripeStatement {
    client: Client,
}

impl StripeStatement {
    /// Reads from Stripe at `base`, with the API key in `secrets`.
    pub fn new(base: impl Into<String>, secrets: Secrets) -> Self {
        Self { client: Client::new(base.into(), secrets) }
    }

    async fn of(&self, recorded: &StatementQuery) -> Result<Statement, StatementError> {
        let mut statement = Statement::default();
        for payment in &recorded.payments {
            self.add(payment, !recorded.disputes.is_empty(), &mut statement).await?;
        }
        Ok(statement)
    }

    /// Adds Stripe's records of this payment. Skips an open payment without a Stripe id. Lists
    /// disputes if payments knows one (`is_disputed`) or Stripe marks the charge as disputed.
    async fn add(
        &self,
        payment: &RecordedPayment,
        is_disputed: bool,
        statement: &mut Statement,
    ) -> Result<(), ProviderError> {
        let Some(intent) =
            self.intent(payment).await?.filter(|intent| intent["status"] == "succeeded")
        else {
            return Ok(());
        };
        let charge_id = text(&intent["id"]).to_owned();
        let received = intent["amount_received"].as_i64().unwrap_or_default();
        // An amount in another currency becomes negative, so that it never matches.
        let is_same = text(&intent["currency"]).eq_ignore_ascii_case(payment.currency.code());
        let amount = if is_same { received } else { -received };
        let mut refundable = amount;
        for refund in self
            .list("/v1/refunds", &charge_id)
            .await?
            .iter()
            .filter(|refund| refund["status"] == "succeeded")
        {
            let amount = refund["amount"].as_i64().unwrap_or_default();
            refundable = refundable.saturating_sub(amount);
            // A refund made in Stripe's dashboard has only Stripe's id.
            let name = refund["metadata"]["refund_id"].as_str().unwrap_or(text(&refund["id"]));
            statement
                .refunds
                .insert(name.to_owned(), RefundRecord { charge_id: charge_id.clone(), amount });
        }
        if is_disputed || intent["latest_charge"]["disputed"] == true {
            for dispute in self.list("/v1/disputes", &charge_id).await? {
                statement.disputes.insert(text(&dispute["id"]).to_owned(), taken(&dispute));
            }
        }
        let (payment_id, order_id) =
            (payment.payment_id.clone(), OrderId::parse(text(&intent["metadata"]["order_id"])));
        statement.charges.insert(
            payment_id.clone(),
            ChargeRecord { charge_id, payment_id, order_id, amount, refundable },
        );
        Ok(())
    }

    async fn intent(&self, payment: &RecordedPayment) -> Result<Option<Value>, ProviderError> {
        match &payment.transaction_id {
            Some(id) => optional(
                self.client
                    .get(&format!("/v1/payment_intents/{id}"), &[("expand[]", "latest_charge")])
                    .await?,
            ),
            None if payment.is_open => Ok(None),
            None => self.client.intent_of(&payment.payment_id).await,
        }
    }

    /// All documents of the intent in the list at `path`.
    async fn list(&self, path: &str, intent: &str) -> Result<Vec<Value>, ProviderError> {
        let mut all = Vec::new();
        let every = |documents: &[Value]| -> Option<()> {
            all.extend_from_slice(documents);
            None
        };
        self.client.find_in_pages(path, &[("payment_intent", intent)], PAGES, every).await?;
        Ok(all)
    }
}

impl StatementReader for StripeStatement {
    fn name(&self) -> &'static str {
        "Stripe"
    }

    fn read<'a>(
        &'a self,
        recorded: &'a StatementQuery,
    ) -> BoxFuture<'a, Result<Statement, StatementError>> {
        Box::pin(self.of(recorded))
    }
}

/// The amount that the bank holds. Zero in a state that this release does not know.
fn taken(dispute: &Value) -> i64 {
    let is_taken = dispute_state(dispute).as_ref().is_ok_and(DisputeState::funds_withdrawn);
    if is_taken { dispute["amount"].as_i64().unwrap_or_default() } else { 0 }
}
