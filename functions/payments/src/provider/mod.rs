//! Those who move the money. One trait; which provider stands behind it is a matter of configuration.

mod simulated;
mod stripe;

use shared::{BoxFuture, clock::Timestamp, ids::OrderId, money::Money};

pub use simulated::Simulated;
pub use stripe::{Stripe, StripeSettings};

use crate::domain::{Attempt, CardToken, Fact, PaymentId, Refund, RefundFact, RefundId};

/// Somebody who charges cards and gives money back.
///
/// The same id asked for twice must do a thing once: it is the provider's idempotency key. What the provider did not clearly say is a
/// [`ProviderError`], never a guess.
pub trait PaymentProvider: Send + Sync {
    /// Its name, as it is stored.
    fn name(&self) -> &'static str;

    /// Whether real money moves.
    fn is_live(&self) -> bool;

    /// Charges a card, or says again what became of it.
    fn charge<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Fact, ProviderError>>;

    /// Where the provider returns customers to. It is recorded in each attempt, because it is part of the request under its key.
    fn return_url(&self) -> Option<&str> {
        None
    }

    /// Voids a charge that may still be on its way: takes its idempotency key for a request that charges nothing, so that the provider
    /// refuses the charge should it arrive later. Safe to repeat. The key must be younger than 23 hours.
    fn void_unsent<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<KeyState, ProviderError>>;

    /// What became of a charge, read from a list of what the provider created around the time it was sent. Slower than `retrieve`, and does
    /// not depend on a search index. `None`: the list does not contain it.
    fn find_by_time<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Option<Fact>, ProviderError>>;

    /// What became of a charge; `None` where the provider knows nothing of it.
    fn retrieve<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Option<Fact>, ProviderError>>;

    /// Calls off a charge that waits for its customer. Where it has come to an end meanwhile that end is the answer.
    fn cancel<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Fact, ProviderError>>;

    /// Gives money back, or says again what became of it.
    fn refund<'a>(&'a self, order: &'a RefundOrder) -> BoxFuture<'a, Result<RefundFact, ProviderError>>;

    /// What became of a refund; `None` where the provider knows nothing of it.
    fn retrieve_refund<'a>(&'a self, order: &'a RefundOrder) -> BoxFuture<'a, Result<Option<RefundFact>, ProviderError>>;

    /// Which payment a charge of the provider's belongs to; `None` where it is none of ours.
    fn payment_of<'a>(&'a self, transaction_id: &'a str) -> BoxFuture<'a, Result<Option<PaymentId>, ProviderError>>;
}

/// What the provider knows of an idempotency key that was to be voided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// No charge was made under the key, and none can be made under it any more.
    Voided,
    /// The charge arrived before: the same charge again returns its stored answer and charges nothing new.
    Used,
    /// A request under the key is running at this moment.
    Running,
}

/// What is to be charged.
#[derive(Clone, Debug)]
pub struct ChargeOrder {
    /// Under which id.
    pub payment_id: PaymentId,
    /// For which order.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// Which card.
    pub token: CardToken,
    /// Where the provider returns the customer to.
    pub return_url: Option<String>,
    /// When it was sent first and last, if it was.
    pub sent: Option<(Timestamp, Timestamp)>,
    /// The provider's own name for the charge, where it has said one.
    pub transaction_id: Option<String>,
}

impl From<&Attempt> for ChargeOrder {
    fn from(attempt: &Attempt) -> Self {
        Self {
            payment_id: attempt.payment_id,
            order_id: attempt.order_id,
            amount: attempt.money(),
            token: attempt.payment_method.token.clone(),
            return_url: attempt.return_url.clone(),
            sent: attempt.sent_at.map(|sent_at| (sent_at, attempt.last_sent_at.unwrap_or(sent_at))),
            transaction_id: attempt.transaction_id.clone(),
        }
    }
}

/// What is to be given back.
#[derive(Clone, Debug)]
pub struct RefundOrder {
    /// Under which id.
    pub refund_id: RefundId,
    /// For which order.
    pub order_id: OrderId,
    /// Of which payment.
    pub payment_id: PaymentId,
    /// The provider's name for that charge.
    pub transaction_id: String,
    /// How much.
    pub amount: Money,
    /// The provider's own name for the refund, where it has said one.
    pub provider_refund_id: Option<String>,
}

impl From<&Refund> for RefundOrder {
    fn from(refund: &Refund) -> Self {
        Self {
            refund_id: refund.refund_id,
            order_id: refund.order_id,
            payment_id: refund.payment_id,
            transaction_id: refund.transaction_id.clone(),
            amount: refund.money(),
            provider_refund_id: refund.provider_refund_id.clone(),
        }
    }
}

/// Why there is no fact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// A timeout, a broken connection, a server error, an answer that cannot be read: it may have happened or not.
    #[error("the provider gave no answer: {0}")]
    NoAnswer(String),
    /// The provider answers, but not this request now: too many requests (429), or one under the same key is running (409). It says nothing
    /// about what an earlier request did.
    #[error("the provider does not take the request now: {0}")]
    Busy(String),
    /// The provider rejects our credentials (401, 403): this request did nothing. It says nothing about what an earlier request did.
    #[error("the provider rejects our credentials: {0}")]
    CredentialsRejected(String),
    /// The idempotency key belongs to another request: this request did nothing.
    #[error("the idempotency key belongs to another request: {0}")]
    KeyMismatch(String),
    /// The answer stored under the idempotency key is a server error: it is repeated as long as the key is remembered.
    #[error("the answer stored under the key is a server error: {0}")]
    StoredFailure(String),
    /// The provider refuses our request as such: a mistake of ours. It says nothing about what an earlier request did.
    #[error("the provider refuses the request: {0}")]
    Refused(String),
}
