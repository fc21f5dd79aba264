//! A refund: money of one payment on its way back to the buyer.

use std::time::Duration;

use provider::{PaymentId, RefundId};
use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{self, OrderId, UserId},
    money::{Currency, Money},
    retry, stored_enum,
    telemetry::Trace,
};

use super::{Attempt, Dispatch, KEY_EXPIRY_AGE, KEY_REUSE_AGE, Lock, PaymentIntent};

stored_enum!(
    /// How far a refund has come.
    RefundState {
        /// Recorded, not sent.
        New = "new",
        /// On its way to the provider, or its answer was lost.
        Sent = "sent",
        /// The provider did not say what became of it.
        OutcomeUnknown = "unknown",
        /// Given back.
        Succeeded = "succeeded",
        /// The provider will not give it back under this id.
        Failed = "failed",
        /// Given back, and failed afterwards: the money is with the provider again.
        Reversed = "reversed",
        /// The provider gave back another amount than was asked for: a person has to look.
        NeedsReview = "needs_review",
    }
);

stored_enum!(
    /// Why money is given back.
    RefundKind {
        /// The order gave up after it was paid.
        Automatic = "automatic",
        /// The order was paid twice.
        DuplicateCapture = "duplicate_capture",
        /// Somebody who runs the shop asked for it.
        Requested = "requested",
    }
);

stored_enum!(
    /// Who made a refund at the provider.
    RefundInitiator {
        /// The shop, through this service.
        Shop = "shop",
        /// Somebody at the provider itself, for example in its dashboard: this service has only
        /// recorded it.
        Provider = "provider",
    }
);

/// What the API calls the state of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// Recorded, not sent.
    Pending,
    /// Sent.
    Processing,
    /// Given back.
    Completed,
    /// The provider would not.
    Failed,
    /// The provider has not said.
    Unknown,
    /// A person has to look.
    NeedsReview,
}

/// One refund of one payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    /// Its id.
    pub refund_id: RefundId,
    /// The order.
    pub order_id: OrderId,
    /// The payment that is given back.
    pub payment_id: PaymentId,
    /// The provider's name for that charge.
    pub transaction_id: String,
    /// On whose account.
    pub kind: RefundKind,
    /// Why, in the words of whoever asked for it.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who asked for it.
    #[serde(default)]
    pub requested_by: Option<UserId>,
    /// Who made it.
    pub initiated_by: RefundInitiator,
    /// The id of the request that asked for it: its answer repeats it, byte for byte.
    #[serde(default)]
    pub request_id: Option<String>,
    /// How many refunds for the same reason failed before it.
    pub number: u32,
    /// How far it has come.
    pub state: RefundState,
    /// How much, in minor units.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
    /// What was sent of it.
    #[serde(flatten)]
    pub dispatch: Dispatch,
    /// The provider's name for the refund.
    #[serde(default)]
    pub provider_refund_id: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// When it came to its end.
    #[serde(default)]
    pub settled_at: Option<Timestamp>,
    /// Counts the writes of this record.
    pub version: u64,
    /// When it was put.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// The trace that began it.
    pub traceparent: Trace,
}

impl Refund {
    /// The id of the automatic refund that is under way or comes next: another one only after the
    /// one before has failed.
    pub fn automatic_id(intent: &PaymentIntent) -> RefundId {
        ids::derive(&[
            &intent.order_id.to_string(),
            "automatic",
            &intent.failed_refunds.to_string(),
        ])
    }

    /// The refund of a capture that was one too many, after `number` that failed.
    pub(super) fn for_duplicate_capture(duplicate: &Attempt, number: u32, now: Timestamp) -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        let id = ids::derive(&[
            &duplicate.payment_id.to_string(),
            "duplicate_capture",
            &number.to_string(),
        ]);
        let wait =
            if number == 0 { Duration::ZERO } else { retry::exponential_backoff(number, MINUTE) };
        let refund = Self::new(duplicate, id, RefundKind::DuplicateCapture, number, now);
        Self { dispatch: refund.dispatch.checked_after(wait, now), ..refund }
    }

    pub(super) fn new(
        paid: &Attempt,
        refund_id: RefundId,
        kind: RefundKind,
        number: u32,
        now: Timestamp,
    ) -> Self {
        Self {
            refund_id,
            order_id: paid.order_id,
            payment_id: paid.payment_id,
            transaction_id: paid.transaction_id.clone().unwrap_or_default(),
            kind,
            reason: None,
            requested_by: None,
            initiated_by: RefundInitiator::Shop,
            request_id: None,
            number,
            state: RefundState::New,
            amount: paid.amount,
            currency: paid.currency,
            dispatch: Dispatch::unsent(Lock::of("", now, Duration::ZERO), now),
            provider_refund_id: None,
            failure_reason: None,
            settled_at: None,
            version: 1,
            created_at: now,
            updated_at: now,
            traceparent: paid.traceparent.clone(),
        }
    }

    /// How much is given back.
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// Whether its end is not known yet.
    pub fn is_in_flight(&self) -> bool {
        matches!(self.state, RefundState::New | RefundState::Sent | RefundState::OutcomeUnknown)
    }

    /// Whether payments itself began it, without a request.
    pub(super) fn is_automatic(&self) -> bool {
        self.requested_by.is_none() && self.initiated_by == RefundInitiator::Shop
    }

    /// Whether the provider calls it so.
    pub(super) fn has_provider_id(&self, provider_refund_id: &str) -> bool {
        self.provider_refund_id.as_deref() == Some(provider_refund_id)
    }

    /// How much of the order's own capture it holds until its end is known.
    pub(super) fn held_amount(&self) -> i64 {
        if self.kind == RefundKind::DuplicateCapture { 0 } else { self.amount }
    }

    /// Whether payments may send it again under its key. A refund that was made at the provider is
    /// never sent.
    pub fn may_be_resent(&self, now: Timestamp) -> bool {
        self.initiated_by == RefundInitiator::Shop
            && self.dispatch.key_age(now) < KEY_REUSE_AGE
            && !self.is_locked(now)
    }

    /// Whether it never will succeed if the provider does not know it by now.
    pub fn is_lost(&self, now: Timestamp) -> bool {
        self.initiated_by == RefundInitiator::Shop && self.dispatch.key_age(now) >= KEY_EXPIRY_AGE
    }

    /// Whether it was never sent and nobody is about to.
    pub fn can_be_taken_over(&self, now: Timestamp) -> bool {
        self.state == RefundState::New && !self.dispatch.lock.is_held(now)
    }

    /// Whether `owner` has recorded it and not sent it yet.
    pub fn is_unsent_by(&self, owner: &str) -> bool {
        self.state == RefundState::New && self.dispatch.lock.is_of(owner)
    }

    /// Whether somebody may be sending it at this moment.
    pub fn is_locked(&self, now: Timestamp) -> bool {
        self.dispatch.lock.is_held(now)
            && matches!(self.state, RefundState::New | RefundState::Sent)
    }

    /// What the API calls its state.
    pub fn status(&self) -> RefundStatus {
        match self.state {
            RefundState::New => RefundStatus::Pending,
            RefundState::Sent => RefundStatus::Processing,
            RefundState::Succeeded => RefundStatus::Completed,
            RefundState::Failed | RefundState::Reversed => RefundStatus::Failed,
            RefundState::NeedsReview => RefundStatus::NeedsReview,
            RefundState::OutcomeUnknown | RefundState::Unknown(_) => RefundStatus::Unknown,
        }
    }

    /// The refund once `owner` is about to send it, for the first time or again under the same key;
    /// see [`Dispatch::sent_by`].
    #[must_use]
    pub fn sending(&self, owner: &str, now: Timestamp, lock: Duration) -> Self {
        Self {
            state: RefundState::Sent,
            dispatch: self.dispatch.sent_by(owner, now, lock),
            ..self.written(now)
        }
    }

    pub(super) fn unknown(&self, now: Timestamp, first_retry: Duration) -> Self {
        Self {
            state: RefundState::OutcomeUnknown,
            dispatch: self.dispatch.released(now).checked(None, now, first_retry),
            ..self.written(now)
        }
    }

    pub(super) fn settled(&self, state: RefundState, now: Timestamp) -> Self {
        Self {
            state,
            dispatch: self.dispatch.settled(now),
            settled_at: Some(now),
            ..self.written(now)
        }
    }

    fn written(&self, now: Timestamp) -> Self {
        Self { version: self.version + 1, updated_at: now, ..self.clone() }
    }
}
