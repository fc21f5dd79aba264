//! A refund of one payment.

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
    RefundState {
        /// Recorded, not sent.
        New = "new",
        /// Sent to the provider; the response is pending or was lost.
        Sent = "sent",
        /// The provider did not report an outcome.
        OutcomeUnknown = "unknown",
        /// The provider has made the refund.
        Succeeded = "succeeded",
        /// The provider rejected the refund, or it failed. Another try needs another id.
        Failed = "failed",
        /// Succeeded and failed afterwards: the provider holds the money again.
        Reversed = "reversed",
        /// The provider refunded another amount than requested: an operator must review it.
        NeedsReview = "needs_review",
    }
);

stored_enum!(
    /// Why a payment is refunded.
    RefundKind {
        /// The order was cancelled after it was paid.
        Automatic = "automatic",
        /// The order was paid twice.
        DuplicateCapture = "duplicate_capture",
        /// An admin requested it, or it was made at the provider.
        Requested = "requested",
    }
);

stored_enum!(
    RefundInitiator {
        /// The shop, through this service.
        Shop = "shop",
        /// A person at the provider, for example in its dashboard. This service only recorded it.
        Provider = "provider",
    }
);

/// State of a refund in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// Recorded, not sent.
    Pending,
    /// Sent to the provider.
    Processing,
    /// The provider has made the refund.
    Completed,
    /// The provider rejected it, or it failed.
    Failed,
    /// The provider has not reported an outcome yet.
    Unknown,
    /// An operator must review the refund.
    NeedsReview,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    pub refund_id: RefundId,
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    /// The provider's id of the charge.
    pub transaction_id: String,
    pub kind: RefundKind,
    /// The reason that the admin entered.
    #[serde(default)]
    pub reason: Option<String>,
    /// The admin who requested it.
    #[serde(default)]
    pub requested_by: Option<UserId>,
    pub initiated_by: RefundInitiator,
    /// Id of the request that created the refund. Its problem responses repeat this id, so that
    /// repetitions are identical.
    #[serde(default)]
    pub request_id: Option<String>,
    /// Number of refunds for the same reason that failed before.
    pub number: u32,
    pub state: RefundState,
    /// In minor units.
    pub amount: i64,
    pub currency: Currency,
    /// Lock, time of sending and next check.
    #[serde(flatten)]
    pub dispatch: Dispatch,
    /// The provider's id of the refund.
    #[serde(default)]
    pub provider_refund_id: Option<String>,
    #[serde(default)]
    pub failure_reason: Option<String>,
    #[serde(default)]
    pub settled_at: Option<Timestamp>,
    /// Number of writes of this record.
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Trace of the request or message that created the refund.
    pub traceparent: Trace,
}

impl Refund {
    /// Id of the automatic refund that is pending or comes next. It changes only after the previous
    /// refund has failed.
    pub fn automatic_id(intent: &PaymentIntent) -> RefundId {
        ids::derive(&[
            &intent.order_id.to_string(),
            "automatic",
            &intent.failed_refunds.to_string(),
        ])
    }

    /// The refund of a duplicate capture, after `number` refunds that failed.
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

    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// Whether the refund is not settled yet.
    pub fn is_in_flight(&self) -> bool {
        matches!(self.state, RefundState::New | RefundState::Sent | RefundState::OutcomeUnknown)
    }

    /// Whether payments started the refund without a request.
    pub(super) fn is_automatic(&self) -> bool {
        self.requested_by.is_none() && self.initiated_by == RefundInitiator::Shop
    }

    /// Whether the provider knows the refund by this id.
    pub(super) fn has_provider_id(&self, provider_refund_id: &str) -> bool {
        self.provider_refund_id.as_deref() == Some(provider_refund_id)
    }

    /// Amount of the order's own capture that the refund reserves until it settles.
    pub(super) fn held_amount(&self) -> i64 {
        if self.kind == RefundKind::DuplicateCapture { 0 } else { self.amount }
    }

    /// Whether the refund may be sent again under its key. A refund that was made at the provider
    /// is never sent.
    pub fn may_be_resent(&self, now: Timestamp) -> bool {
        self.initiated_by == RefundInitiator::Shop
            && self.dispatch.key_age(now) < KEY_REUSE_AGE
            && !self.is_locked(now)
    }

    /// Whether the refund can no longer succeed if the provider does not know it.
    pub fn is_lost(&self, now: Timestamp) -> bool {
        self.initiated_by == RefundInitiator::Shop && self.dispatch.key_age(now) >= KEY_EXPIRY_AGE
    }

    /// Whether the refund was never sent and no function holds its lock.
    pub fn can_be_taken_over(&self, now: Timestamp) -> bool {
        self.state == RefundState::New && !self.dispatch.lock.is_held(now)
    }

    /// Whether `owner` has recorded the refund and not sent it yet.
    pub fn is_unsent_by(&self, owner: &str) -> bool {
        self.state == RefundState::New && self.dispatch.lock.is_of(owner)
    }

    /// Whether a function may be sending the refund now.
    pub fn is_locked(&self, now: Timestamp) -> bool {
        self.dispatch.lock.is_held(now)
            && matches!(self.state, RefundState::New | RefundState::Sent)
    }

    /// State in the API.
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

    /// The refund when `owner` is about to send it, for the first time or again under the same key.
    /// See [`Dispatch::sent_by`].
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
