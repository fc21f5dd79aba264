//! A payment provider that moves no money. It keeps its records in a table, because a real provider
//! keeps them outside every process.
//!
//! The card's token determines the behaviour. The provider writes its records *before* it responds,
//! times out or fails, so a caller can lose a response but never a charge. The first response to an
//! idempotency key is repeated for a day. Within that day the key is rejected with another request;
//! afterwards it counts as new, as with real providers.
//!
//! Actions of the provider's staff and of banks are written into the table by hand. The operations
//! only read them:
//!
//! - a refund `REFUND#re_…` without a request
//! - the `failure_reason` of a refund that fails later
//! - `disputed` on a charge, and the dispute `DISPUTE#…`
//!
//! A customer who must act has done so by the time the charge is queried, or never does.

mod behaviour;
mod records;
mod statement;

use std::time::Duration;

use serde::Serialize;
use shared::{
    BoxFuture,
    clock::Clock,
    money::Money,
    table::{
        AttributeValue, Expression, Item, Key, Outcome, Table, TableError, TransactionOutcome,
        Write, from_item, to_item,
    },
};

use self::{
    behaviour::{Action, Behaviour},
    records::{StoredAnswer, StoredCharge, StoredDispute, StoredRefund},
};
use crate::{
    charge::{ChargeRequest, KeyState, ProviderResult},
    dispute::ProviderDispute,
    error::ProviderError,
    payment_id::PaymentId,
    payment_provider::PaymentProvider,
    refund::{ProviderRefund, RefundRequest, RefundResult},
    stripe,
    webhook::{WebhookError, WebhookEvent, WebhookRequest},
};

pub use statement::SimulatedStatement;

/// How long an idempotency key is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug)]
pub struct SimulatedProvider {
    table: Table,
    clock: Clock,
}

impl SimulatedProvider {
    /// Keeps its records in this table.
    pub fn new(table: Table) -> Self {
        Self::at(table, Clock::System)
    }

    /// As `new`, with a clock that determines when a key expires.
    pub fn at(table: Table, clock: Clock) -> Self {
        Self { table, clock }
    }

    async fn charge_once(&self, request: &ChargeRequest) -> Result<ProviderResult, ProviderError> {
        let behaviour = Behaviour::of(request.token.as_str());
        if behaviour == Behaviour::Unreachable {
            return Err(ProviderError::Indeterminate("timed out".to_owned()));
        }
        let failure = match behaviour {
            Behaviour::TimeoutBeforeCharge => Some("timed out"),
            Behaviour::ServerErrorOnce => Some("answered 503"),
            _ => None,
        };
        if let Some(message) = failure
            && self.is_first(request).await?
        {
            return Err(ProviderError::Indeterminate(message.to_owned()));
        }
        let now = self.clock.now();
        let answer = StoredAnswer::first(request, behaviour, now);
        let Some(stored) = self.record_answer(request, &answer, Expression::not_exists()).await?
        else {
            return answer.response(request, behaviour);
        };
        if now.since(stored.created_at) >= REMEMBERED {
            // The key has expired: charge again, as real providers do.
            let again = answer.reissued(stored.generation + 1, stored.version + 1, request);
            return match self
                .record_answer(request, &again, Expression::version(stored.version))
                .await?
            {
                None => again.response(request, behaviour),
                Some(_) => Err(key_in_use()),
            };
        }
        if stored.voided || stored.body != answer.body {
            return Err(ProviderError::KeyMismatch(
                "the key was used for another request".to_owned(),
            ));
        }
        Ok(stored.result(request))
    }

    /// Writes the first response to a charge, and the charge itself if it succeeded. Returns the
    /// response that was already stored, if any.
    async fn record_answer(
        &self,
        request: &ChargeRequest,
        answer: &StoredAnswer,
        condition: Expression,
    ) -> Result<Option<StoredAnswer>, ProviderError> {
        let mut writes = vec![self.table.transact_put(keyed(answer, key_of(request)), condition)];
        if answer.charge_id.is_some() {
            writes.push(self.charge_write(request, answer));
        }
        match self.table.transact(writes).await.map_err(unavailable)? {
            TransactionOutcome::Written => Ok(None),
            TransactionOutcome::Cancelled(conflicts) => {
                let stored =
                    conflicts.into_iter().flatten().next().and_then(|conflict| conflict.item);
                Ok(Some(read(stored)?.ok_or_else(key_in_use)?))
            }
        }
    }

    fn charge_write(&self, request: &ChargeRequest, answer: &StoredAnswer) -> Write {
        let charge = StoredCharge::of(request, answer.id(request));
        let pk = format!("CHARGE#{}", charge.charge_id);
        self.table.transact_put(keyed(&charge, pk), Expression::not_exists())
    }

    /// Uses the key for a request that charges nothing: a charge that arrives later is rejected.
    async fn void(&self, request: &ChargeRequest) -> Result<KeyState, ProviderError> {
        let probe = StoredAnswer {
            voided: true,
            charge_id: None,
            ..StoredAnswer::first(request, Behaviour::Charged, self.clock.now())
        };
        match self
            .table
            .put(keyed(&probe, key_of(request)), Expression::not_exists())
            .await
            .map_err(unavailable)?
        {
            Outcome::Written => Ok(KeyState::Voided),
            Outcome::ConditionFailed(stored) => match read::<StoredAnswer>(stored)? {
                Some(stored) if stored.voided => Ok(KeyState::Voided),
                Some(_) => Ok(KeyState::Used),
                None => Ok(KeyState::Running),
            },
        }
    }

    /// The current outcome of a charge. Completes the customer's action. A charge that is still
    /// `processing` is reported by the next query.
    async fn current_result(
        &self,
        request: &ChargeRequest,
    ) -> Result<Option<ProviderResult>, ProviderError> {
        let Some(answer) = self.answer_to(request).await?.filter(|answer| !answer.voided) else {
            return Ok(None);
        };
        if answer.pending_reads > 0 {
            self.write(
                request,
                &StoredAnswer { pending_reads: answer.pending_reads - 1, ..answer.clone() },
                false,
            )
            .await?;
            return Ok(Some(ProviderResult::Processing { transaction_id: answer.id(request) }));
        }
        let (answer, charged) = match answer
            .action
            .filter(|_| !answer.cancelled && answer.is_waiting())
        {
            Some(Action::Charged) => {
                (StoredAnswer { charge_id: Some(answer.id(request)), ..answer }, true)
            }
            Some(Action::Declined) => (
                StoredAnswer { decline_reason: Some("authentication_failed".to_owned()), ..answer },
                false,
            ),
            _ => return Ok(Some(answer.result(request))),
        };
        self.write(request, &answer, charged).await?;
        Ok(Some(answer.result(request)))
    }

    async fn cancel_charge(
        &self,
        request: &ChargeRequest,
    ) -> Result<ProviderResult, ProviderError> {
        let answer = self.answer_to(request).await?.filter(|answer| !answer.voided);
        let answer =
            answer.ok_or_else(|| ProviderError::Rejected("there is no such charge".to_owned()))?;
        if !answer.is_waiting() || answer.cancelled {
            return Ok(answer.result(request));
        }
        let cancelled = StoredAnswer { cancelled: true, ..answer };
        self.write(request, &cancelled, false).await?;
        Ok(cancelled.result(request))
    }

    async fn answer_to(
        &self,
        request: &ChargeRequest,
    ) -> Result<Option<StoredAnswer>, ProviderError> {
        read(self.table.get(Key::new(key_of(request))).await.map_err(unavailable)?)
    }

    /// Stores the outcome unless another call has done so. `charged` also writes the charge.
    async fn write(
        &self,
        request: &ChargeRequest,
        answer: &StoredAnswer,
        charged: bool,
    ) -> Result<(), ProviderError> {
        let next = StoredAnswer { version: answer.version + 1, ..answer.clone() };
        let mut writes = vec![
            self.table
                .transact_put(keyed(&next, key_of(request)), Expression::version(answer.version)),
        ];
        if charged {
            writes.push(self.charge_write(request, answer));
        }
        match self.table.transact(writes).await.map_err(unavailable)? {
            TransactionOutcome::Written => Ok(()),
            TransactionOutcome::Cancelled(_) => Err(key_in_use()),
        }
    }

    /// Whether this is the first request under its key. The table records this, because a lost
    /// request leaves no other record.
    async fn is_first(&self, request: &ChargeRequest) -> Result<bool, ProviderError> {
        let item = Item::from([(
            "pk".to_owned(),
            AttributeValue::S(format!("LOST#{}", request.payment_id)),
        )]);
        let outcome = self.table.put(item, Expression::not_exists()).await.map_err(unavailable)?;
        Ok(outcome == Outcome::Written)
    }

    async fn refund_once(&self, request: &RefundRequest) -> Result<RefundResult, ProviderError> {
        let refunded = StoredRefund {
            order_id: request.order_id,
            charge_id: request.transaction_id.clone(),
            amount: request.amount.amount,
            currency: request.amount.currency,
            failure_reason: None,
            trace_id: Some(request.trace.id().to_owned()),
        };
        let writes = vec![
            self.table.transact_put(keyed(&refunded, format!("REFUND#{}", request.refund_id)), Expression::not_exists()),
            self.table.transact_update(
                Key::new(format!("CHARGE#{}", request.transaction_id)),
                Expression::new("SET #refundable = #refundable - :amount").value("amount", refunded.amount),
                Expression::new("#refundable >= :amount AND #currency = :currency AND attribute_not_exists(#disputed)")
                    .value("currency", refunded.currency),
            ),
        ];
        match self.table.transact(writes).await.map_err(unavailable)? {
            TransactionOutcome::Written => Ok(refunded.result(&refund_id(request))),
            TransactionOutcome::Cancelled(conflicts) => {
                let mut items = conflicts
                    .into_iter()
                    .map(|conflict| conflict.and_then(|conflict| conflict.item));
                let (stored, charge) = (items.next().flatten(), items.next().flatten());
                match read::<StoredRefund>(stored)? {
                    Some(stored)
                        if (StoredRefund {
                            failure_reason: None,
                            // A refund of an earlier release has no trace.
                            trace_id: refunded.trace_id.clone(),
                            ..stored.clone()
                        }) == refunded =>
                    {
                        Ok(stored.result(&refund_id(request)))
                    }
                    Some(_) => Err(ProviderError::Rejected(
                        "the key was used for another refund".to_owned(),
                    )),
                    None => {
                        let disputed =
                            read::<StoredCharge>(charge)?.is_some_and(|charge| charge.disputed);
                        let reason =
                            if disputed { "charge_disputed" } else { "charge_not_refundable" };
                        Ok(RefundResult::Rejected { reason: reason.to_owned() })
                    }
                }
            }
        }
    }
}

impl SimulatedProvider {
    async fn payment_of(&self, charge_id: &str) -> Result<Option<PaymentId>, ProviderError> {
        let stored =
            self.table.get(Key::new(format!("CHARGE#{charge_id}"))).await.map_err(unavailable)?;
        Ok(read::<StoredCharge>(stored)?.and_then(|charge| PaymentId::parse(&charge.payment_id)))
    }
}

impl PaymentProvider for SimulatedProvider {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn is_live(&self) -> bool {
        false
    }

    fn void_unsent<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<KeyState, ProviderError>> {
        Box::pin(self.void(request))
    }

    fn find_by_time<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>> {
        Box::pin(self.current_result(request))
    }

    fn charge<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<ProviderResult, ProviderError>> {
        Box::pin(self.charge_once(request))
    }

    fn retrieve<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>> {
        Box::pin(self.current_result(request))
    }

    fn cancel<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<ProviderResult, ProviderError>> {
        Box::pin(self.cancel_charge(request))
    }

    fn refund<'a>(
        &'a self,
        request: &'a RefundRequest,
    ) -> BoxFuture<'a, Result<RefundResult, ProviderError>> {
        Box::pin(self.refund_once(request))
    }

    fn retrieve_refund<'a>(
        &'a self,
        request: &'a RefundRequest,
    ) -> BoxFuture<'a, Result<Option<RefundResult>, ProviderError>> {
        Box::pin(async move {
            // A refund that the shop did not request has only the provider's id.
            for name in [Some(request.refund_id.to_string()), request.provider_refund_id.clone()]
                .into_iter()
                .flatten()
            {
                let stored = self
                    .table
                    .get(Key::new(format!("REFUND#{name}")))
                    .await
                    .map_err(unavailable)?;
                if let Some(refunded) = read::<StoredRefund>(stored)? {
                    return Ok(Some(refunded.result(
                        request.provider_refund_id.as_ref().unwrap_or(&refund_id(request)),
                    )));
                }
            }
            Ok(None)
        })
    }

    fn find_refund<'a>(
        &'a self,
        provider_refund_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderRefund>, ProviderError>> {
        Box::pin(async move {
            let stored = self
                .table
                .get(Key::new(format!("REFUND#{provider_refund_id}")))
                .await
                .map_err(unavailable)?;
            let Some(refunded) = read::<StoredRefund>(stored)? else { return Ok(None) };
            Ok(self.payment_of(&refunded.charge_id).await?.map(|payment_id| ProviderRefund {
                provider_refund_id: provider_refund_id.to_owned(),
                payment_id,
                amount: Money::new(refunded.amount, refunded.currency),
                result: refunded.result(provider_refund_id),
            }))
        })
    }

    fn find_dispute<'a>(
        &'a self,
        dispute_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderDispute>, ProviderError>> {
        Box::pin(async move {
            let stored = self
                .table
                .get(Key::new(format!("DISPUTE#{dispute_id}")))
                .await
                .map_err(unavailable)?;
            let Some(disputed) = read::<StoredDispute>(stored)? else { return Ok(None) };
            Ok(self.payment_of(&disputed.charge_id).await?.map(|payment_id| ProviderDispute {
                dispute_id: dispute_id.to_owned(),
                payment_id,
                amount: Money::new(disputed.amount, disputed.currency),
                state: disputed.state,
            }))
        })
    }

    /// Its events have Stripe's format.
    fn webhook_event(
        &self,
        request: &WebhookRequest<'_>,
        secret: &str,
    ) -> Result<Option<WebhookEvent>, WebhookError> {
        stripe::webhook::event(request, secret)
    }
}

fn refund_id(request: &RefundRequest) -> String {
    format!("re_{}", request.refund_id.uuid().simple())
}

fn key_of(request: &ChargeRequest) -> String {
    format!("KEY#{}", request.payment_id)
}

fn key_in_use() -> ProviderError {
    ProviderError::Busy("a request under the same key is running".to_owned())
}

fn keyed<T: Serialize>(record: &T, pk: String) -> Item {
    let mut item = to_item(record);
    item.insert("pk".to_owned(), AttributeValue::S(pk));
    item
}

fn read<T: serde::de::DeserializeOwned>(item: Option<Item>) -> Result<Option<T>, ProviderError> {
    item.map(from_item).transpose().map_err(unavailable)
}

/// A failing table counts as a provider that does not respond.
fn unavailable(error: TableError) -> ProviderError {
    ProviderError::Indeterminate(error.to_string())
}
