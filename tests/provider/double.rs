//! An in-process provider that counts its charges and loses requests and responses on command. Like
//! Stripe, it stores idempotency keys and deletes them after a day.

mod answers;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use provider::{
    ChargeRequest, DisputeState, KeyState, NextAction, PaymentId, PaymentProvider, ProviderError,
    ProviderResult, RefundId, RefundRequest, RefundResult,
};
use shared::clock::{Clock, Timestamp};
use tests::shop;

use crate::contract::{self, to_charge, to_refund, usd};

/// The retention of an idempotency key.
const KEY_RETENTION: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The request never arrives.
    Request,
    /// The request is executed, and its response is lost.
    Answer,
    /// The request arrives when the test delivers it.
    Late,
    /// The provider fails and stores that response under the key.
    ServerError,
}

#[derive(Clone)]
pub struct Double {
    clock: Clock,
    records: Arc<Mutex<Records>>,
    wrong_key: Arc<AtomicBool>,
}

#[derive(Default)]
pub struct Records {
    intents: BTreeMap<String, Intent>,
    refunds: BTreeMap<String, Refunded>,
    disputes: BTreeMap<String, (String, DisputeState)>,
    keys: HashMap<String, StoredKey>,
    /// The key whose request is in progress until the test resets this field.
    pub running: Option<String>,
    /// Charge requests that arrive later.
    late: Vec<ChargeRequest>,
    losses: Vec<Option<Loss>>,
    silent: bool,
    /// Whether calls are rejected for too many requests.
    pub overloaded: bool,
    pub calls: usize,
    /// How often a key was claimed, or a claim attempted.
    pub probes: usize,
    /// Whether the search misses new charges, so only lists and keys find them.
    pub search_lags: bool,
}

/// The request and response stored under an idempotency key.
#[derive(Clone)]
struct StoredKey {
    at: Timestamp,
    body: String,
    answer: KeyAnswer,
}

#[derive(Clone)]
enum KeyAnswer {
    /// The original response to a charge.
    Charge(ProviderResult),
    /// A request that only claimed the key.
    Probe,
    Refund(String),
    ServerError,
}

#[derive(Clone)]
struct Intent {
    payment_id: PaymentId,
    amount: i64,
    created_at: Timestamp,
    result: ProviderResult,
    refundable: i64,
}

#[derive(Clone)]
struct Refunded {
    /// `None` for refunds made in the dashboard.
    refund_id: Option<RefundId>,
    transaction_id: String,
    amount: i64,
    failed: bool,
}

impl Double {
    pub fn new(clock: Clock) -> Self {
        Self { clock, records: Arc::default(), wrong_key: Arc::default() }
    }

    pub fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap()
    }

    /// Sets the faults of the next calls, in order.
    pub fn lose(&self, losses: &[Option<Loss>]) {
        self.records().losses = losses.iter().rev().copied().collect();
    }

    pub fn fall_silent(&self, silent: bool) {
        self.records().silent = silent;
    }

    pub fn reject_credentials(&self, rejected: bool) {
        self.wrong_key.store(rejected, Ordering::Relaxed);
    }

    /// Delivers the delayed charge requests.
    pub fn deliver_late(&self) {
        let (now, mut records) = (self.clock.now(), self.records());
        for order in std::mem::take(&mut records.late) {
            let _ = records.charge(&order, now);
        }
    }

    pub fn count(&self, payment: PaymentId) -> usize {
        let charged = |intent: &&Intent| {
            intent.payment_id == payment
                && matches!(intent.result, ProviderResult::Succeeded { .. })
        };
        self.records().intents.values().filter(charged).count()
    }

    pub fn refunded_total(&self) -> i64 {
        self.records()
            .refunds
            .values()
            .filter(|refund| !refund.failed)
            .map(|refund| refund.amount)
            .sum()
    }

    /// Rejects wrong credentials. Like a restricted key, they still allow reads.
    fn authorise(&self) -> Result<(), ProviderError> {
        let rejected = self.wrong_key.load(Ordering::Relaxed);
        if rejected { Err(ProviderError::CredentialsRejected("403".to_owned())) } else { Ok(()) }
    }

    /// Executes a call, or loses it.
    fn carry_out<T>(
        &self,
        call: impl FnOnce(&mut Records, Timestamp) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let now = self.clock.now();
        let mut records = self.records();
        records.calls += 1;
        let lost = || Err(ProviderError::Indeterminate("it was lost".to_owned()));
        let loss =
            if records.silent { Some(Loss::Request) } else { records.losses.pop().flatten() };
        if !matches!(loss, None | Some(Loss::Answer)) {
            return lost();
        }
        if records.overloaded {
            return Err(ProviderError::Busy("429".to_owned()));
        }
        let answer = call(&mut records, now);
        if loss == Some(Loss::Answer) { lost() } else { answer }
    }
}

impl Records {
    /// The stored result of a key, if the key has not expired and no request under it is in
    /// progress.
    fn under(
        &self,
        key: &str,
        body: &str,
        now: Timestamp,
    ) -> Result<Option<KeyAnswer>, ProviderError> {
        if self.running.as_deref() == Some(key) {
            return Err(ProviderError::Busy("409".to_owned()));
        }
        match self.keys.get(key).filter(|known| now.since(known.at) < KEY_RETENTION) {
            Some(known) if known.body != body => Err(ProviderError::KeyMismatch("400".to_owned())),
            known => Ok(known.map(|known| known.answer.clone())),
        }
    }

    fn store_key(&mut self, key: String, body: String, answer: KeyAnswer, at: Timestamp) {
        self.keys.insert(key, StoredKey { at, body, answer });
    }

    fn charge(
        &mut self,
        order: &ChargeRequest,
        now: Timestamp,
    ) -> Result<ProviderResult, ProviderError> {
        let (key, body) = (order.payment_id.to_string(), body_of(order));
        match self.under(&key, &body, now)? {
            Some(KeyAnswer::Charge(result)) => return Ok(result),
            Some(KeyAnswer::ServerError) => {
                return Err(ProviderError::StoredFailure("500".to_owned()));
            }
            _ => {}
        }
        let id = format!("pi_{}", self.intents.len());
        let succeeded = ProviderResult::Succeeded {
            transaction_id: id.clone(),
            amount: order.amount,
            order_id: Some(order.order_id),
        };
        let result = match order.token.as_str() {
            "tok_declined" => ProviderResult::Declined { reason: "card_declined".to_owned() },
            "tok_3ds" => {
                let next_action = NextAction { url: "https://bank.example".to_owned() };
                ProviderResult::ActionRequired { transaction_id: id.clone(), next_action }
            }
            _ => succeeded,
        };
        let (payment_id, refundable) = (order.payment_id, order.amount.amount);
        self.intents.insert(
            id,
            Intent {
                payment_id,
                amount: refundable,
                created_at: now,
                result: result.clone(),
                refundable,
            },
        );
        self.store_key(key, body, KeyAnswer::Charge(result.clone()), now);
        Ok(result)
    }

    /// Claims a key without charging.
    fn void(&mut self, order: &ChargeRequest, now: Timestamp) -> Result<KeyState, ProviderError> {
        self.probes += 1;
        let (key, body) = (order.payment_id.to_string(), format!("probe {}", order.payment_id));
        match self.under(&key, &body, now) {
            Ok(None) => self.store_key(key, body, KeyAnswer::Probe, now),
            Ok(Some(_)) => {}
            Err(ProviderError::KeyMismatch(_)) => return Ok(KeyState::Used),
            Err(ProviderError::Busy(_)) => return Ok(KeyState::Running),
            Err(error) => return Err(error),
        }
        Ok(KeyState::Voided)
    }

    /// The intent of a payment, from the list of those created around the time the charge was sent.
    fn listed(&self, order: &ChargeRequest) -> Option<ProviderResult> {
        let around = Duration::from_secs(300);
        let (first, last) = order.sent?;
        let ours = |intent: &&Intent| {
            let in_time =
                intent.created_at.plus(around) >= first && intent.created_at <= last.plus(around);
            intent.payment_id == order.payment_id && in_time
        };
        self.intents.values().find(ours).map(|intent| intent.result.clone())
    }

    /// The intent of a payment: the charged one, if there are several.
    fn intent(&self, order: &ChargeRequest) -> Option<String> {
        let ours = |(_, intent): &(&String, &Intent)| intent.payment_id == order.payment_id;
        let charged = |(_, intent): &(&String, &Intent)| {
            matches!(intent.result, ProviderResult::Succeeded { .. })
        };
        let found =
            self.intents.iter().filter(ours).find(charged).or(self.intents.iter().find(ours));
        order.transaction_id.clone().or(found.map(|(id, _)| id.clone()))
    }

    fn refund(
        &mut self,
        order: &RefundRequest,
        now: Timestamp,
    ) -> Result<RefundResult, ProviderError> {
        let (key, body) = (
            order.refund_id.to_string(),
            format!("{} {}", order.transaction_id, order.amount.amount),
        );
        if let Some(KeyAnswer::Refund(id)) = self.under(&key, &body, now)? {
            return Ok(self.refunds[&id].result(&id));
        }
        let refused = |reason: &str| Ok(RefundResult::Rejected { reason: reason.to_owned() });
        let is_of_it = |dispute: &&(String, DisputeState)| {
            dispute.0 == order.transaction_id && dispute.1 != DisputeState::Won
        };
        if self.disputes.values().any(|dispute| is_of_it(&dispute)) {
            return refused("charge_disputed");
        }
        let Some(id) =
            self.make_refund(Some(order.refund_id), &order.transaction_id, order.amount.amount)
        else {
            return refused("charge_not_refundable");
        };
        self.store_key(key, body, KeyAnswer::Refund(id.clone()), now);
        Ok(self.refunds[&id].result(&id))
    }
}

/// The parts of a charge's body that may differ.
fn body_of(order: &ChargeRequest) -> String {
    format!("{} {:?} {} {:?}", order.order_id, order.amount, order.token.as_str(), order.return_url)
}

impl Records {
    fn make_refund(
        &mut self,
        refund_id: Option<RefundId>,
        transaction_id: &str,
        amount: i64,
    ) -> Option<String> {
        let charge =
            self.intents.get_mut(transaction_id).filter(|intent| intent.refundable >= amount)?;
        charge.refundable -= amount;
        let id = format!("re_{}", self.refunds.len());
        self.refunds.insert(
            id.clone(),
            Refunded {
                refund_id,
                transaction_id: transaction_id.to_owned(),
                amount,
                failed: false,
            },
        );
        Some(id)
    }
}

impl Refunded {
    fn result(&self, id: &str) -> RefundResult {
        let provider_refund_id = id.to_owned();
        if self.failed {
            return RefundResult::Failed {
                provider_refund_id,
                reason: "expired_or_canceled_card".to_owned(),
            };
        }
        RefundResult::Succeeded { provider_refund_id, amount: usd(self.amount) }
    }
}

#[tokio::test]
async fn double_fulfils_the_contract() {
    contract::holds(&Double::new(shop::clock()), "double").await;
}

#[tokio::test]
async fn double_charges_again_under_an_expired_key() {
    let clock = shop::clock();
    let double = Double::new(clock.clone());
    let order = to_charge("forgotten", "tok_ok");
    double.lose(&[Some(Loss::Request), Some(Loss::Answer)]);
    for charges in [0, 1, 1] {
        let _ = double.charge(&order).await;
        assert_eq!(double.count(order.payment_id), charges);
    }
    clock.advance(KEY_RETENTION);
    double.charge(&order).await.unwrap();
    assert_eq!(
        double.count(order.payment_id),
        2,
        "like real providers, so callers must not repeat an old key"
    );
    let refund = to_refund(&order, "pi_0", "lost", 10);
    double.lose(&[Some(Loss::Answer)]);
    assert!(double.refund(&refund).await.is_err());
    assert_eq!((double.refund(&refund).await.is_ok(), double.refunded_total()), (true, 10));
}
