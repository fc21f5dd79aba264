//! Stripe's own books, as the audit reads them: what was charged for a payment, and what of it was given back. It asks, and never tells.
//!
//! What payments believes is of no weight here: the intent is looked up by the payment that it was made for, and its refunds by the intent.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use shared::{
    ids::{OrderId, PrefixedId},
    secret::Secrets,
    telemetry,
};

use crate::domain::audit::{
    order::ProviderRecords,
    record::{AttemptRecord, ChargeRecord, GivenBackRecord, Outcome},
};

/// The version of Stripe's interface that is spoken here.
const VERSION: &str = "2024-06-20";

/// How long a connection and a whole call may take.
const CONNECT: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(7);

/// How many pages of a list are read; Stripe returns a hundred documents per page.
const PAGES: u32 = 10;

/// The secret that holds the key.
const KEY: &str = "stripe-key";

/// Stripe, to be asked.
pub struct Stripe {
    base: String,
    secrets: Secrets,
    client: OnceLock<Client>,
}

/// Stripe did not say what was asked: it is asked again with the next audit.
#[derive(Debug, thiserror::Error)]
#[error("Stripe did not answer: {0}")]
pub struct NoAnswer(String);

impl Stripe {
    /// Stripe at `base`, with the key among `secrets`.
    pub fn new(base: impl Into<String>, secrets: Secrets) -> Self {
        Self { base: base.into(), secrets, client: OnceLock::new() }
    }

    /// Adds what Stripe has of this attempt to `records`. One that has not come to its end and has no name there is passed over. Disputes
    /// are listed where payments knows one (`is_disputed`) or Stripe marks the charge.
    ///
    /// # Errors
    /// When Stripe does not answer.
    pub async fn add(&self, attempt: &AttemptRecord, is_disputed: bool, records: &mut ProviderRecords) -> Result<(), NoAnswer> {
        let Some(intent) = self.intent(attempt).await?.filter(|intent| intent["status"] == "succeeded") else { return Ok(()) };
        let charge_id = text(&intent["id"]).to_owned();
        let received = intent["amount_received"].as_i64().unwrap_or_default();
        // In another currency than was asked for no amount is right.
        let is_same = |document: &Value| text(&document["currency"]).eq_ignore_ascii_case(attempt.currency.code());
        let amount = if is_same(&intent) { received } else { -received };
        let mut refundable = amount;
        for refund in self.refunds(&charge_id).await?.iter().filter(|refund| refund["status"] == "succeeded") {
            let amount = refund["amount"].as_i64().unwrap_or_default();
            refundable = refundable.saturating_sub(amount);
            // One that was made at Stripe has only Stripe's name.
            let name = refund["metadata"]["refund_id"].as_str().unwrap_or(text(&refund["id"]));
            records.refunds.insert(name.to_owned(), GivenBackRecord { charge_id: charge_id.clone(), amount });
        }
        if is_disputed || intent["latest_charge"]["disputed"] == true {
            for dispute in self.list("/v1/disputes", &charge_id).await? {
                records.disputes.insert(text(&dispute["id"]).to_owned(), taken(&dispute));
            }
        }
        let (payment_id, order_id) = (attempt.payment_id.clone(), OrderId::parse(text(&intent["metadata"]["order_id"])));
        records.charges.insert(payment_id.clone(), ChargeRecord { charge_id, payment_id, order_id, amount, refundable });
        Ok(())
    }

    async fn intent(&self, attempt: &AttemptRecord) -> Result<Option<Value>, NoAnswer> {
        if let Some(id) = &attempt.transaction_id {
            let (status, intent) = self.get(&format!("/v1/payment_intents/{id}"), &[("expand[]", "latest_charge")]).await?;
            return match status {
                StatusCode::NOT_FOUND => Ok(None),
                _ if status.is_success() => Ok(Some(intent)),
                _ => Err(trouble(status)),
            };
        }
        if attempt.state == Outcome::Open {
            return Ok(None);
        }
        let query = format!("metadata[\"payment_id\"]:\"{}\"", attempt.payment_id);
        let (status, page) = self.get("/v1/payment_intents/search", &[("query", &query), ("limit", "1")]).await?;
        match page["data"].as_array() {
            Some(intents) if status.is_success() => Ok(intents.first().cloned()),
            _ => Err(trouble(status)),
        }
    }

    async fn refunds(&self, intent: &str) -> Result<Vec<Value>, NoAnswer> {
        self.list("/v1/refunds", intent).await
    }

    /// All documents of a list that belong to an intent.
    async fn list(&self, path: &str, intent: &str) -> Result<Vec<Value>, NoAnswer> {
        let (mut all, mut after) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let mut query = vec![("payment_intent", intent), ("limit", "100")];
            if !after.is_empty() {
                query.push(("starting_after", &after));
            }
            let (status, page) = self.get(path, &query).await?;
            let Some(documents) = page["data"].as_array().filter(|_| status.is_success()) else { return Err(trouble(status)) };
            all.extend(documents.iter().cloned());
            match documents.last() {
                Some(last) if page["has_more"] == true => after = text(&last["id"]).to_owned(),
                _ => return Ok(all),
            }
        }
        Err(NoAnswer("it shows more documents of the charge than are looked through".to_owned()))
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<(StatusCode, Value), NoAnswer> {
        let key = self.secrets.get(KEY).await.map_err(|error| NoAnswer(telemetry::causes(&error)))?;
        let request = self.client()?.get(format!("{}{path}", self.base)).query(query);
        // What reqwest says may repeat the address, and a query of ours in it: that stays away from the log.
        let lost = |error: reqwest::Error| NoAnswer(telemetry::causes(&error.without_url()));
        let answer = request.bearer_auth(&key).header("stripe-version", VERSION).send().await.map_err(lost)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(lost)?;
        let document = serde_json::from_slice(&body);
        document.map(|document| (status, document)).map_err(|_| NoAnswer(format!("it answered {status} without a document")))
    }

    /// Made at the first call: where another provider is chosen nobody pays for it.
    fn client(&self) -> Result<Client, NoAnswer> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let unusable = |error: &dyn std::error::Error| NoAnswer(telemetry::causes(error));
        let mut roots = rustls::RootCertStore::empty();
        let is_remote = self.base.starts_with("https://");
        if is_remote {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let tls = tls.with_safe_default_protocol_versions().map_err(|error| unusable(&error))?;
        let builder = Client::builder().connect_timeout(CONNECT).timeout(CALL).redirect(reqwest::redirect::Policy::none());
        let builder = builder.https_only(is_remote).tls_backend_preconfigured(tls.with_root_certificates(roots).with_no_client_auth());
        let client = builder.build().map_err(|error| unusable(&error))?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

/// How much of a dispute's amount the bank holds.
fn taken(dispute: &Value) -> i64 {
    let transactions = dispute["balance_transactions"].as_array();
    let balance: i64 = transactions.into_iter().flatten().filter_map(|transaction| transaction["amount"].as_i64()).sum();
    let is_taken = match text(&dispute["status"]) {
        "lost" => true,
        "needs_response" | "under_review" => balance < 0,
        _ => false,
    };
    if is_taken { dispute["amount"].as_i64().unwrap_or_default() } else { 0 }
}

fn trouble(status: StatusCode) -> NoAnswer {
    NoAnswer(format!("it answered {}", status.as_u16()))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
