//! One attempt to pay an order. The API calls it a payment.

mod voiding;

use std::time::Duration;

use provider::{NextAction, PaymentId};
use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, UserId},
    money::{Currency, Money},
    stored_enum,
    telemetry::Trace,
};

use super::{
    ACTION_TIMEOUT, Dispatch, IntentState, Lock, PaymentIntent, PaymentMethod, intent::ORDER_CLOSED,
};

stored_enum!(
    AttemptState {
        /// Recorded while the circuit breaker is open; nothing was sent to the provider.
        New = "new",
        /// Sent to the provider; the response is pending or was lost.
        Sent = "sent",
        /// The provider waits for the customer (3-D Secure).
        RequiresAction = "requires_action",
        /// The provider did not report an outcome.
        OutcomeUnknown = "unknown",
        /// The order no longer wants the charge, and the provider is asked to void it. The charge
        /// may have arrived. This state never returns to `sent`.
        Voiding = "voiding",
        Succeeded = "succeeded",
        /// The provider declined the charge.
        Declined = "declined",
        /// Abandoned; it can no longer charge the customer.
        Abandoned = "abandoned",
        /// The provider charged another amount or order than requested: an operator must review it.
        NeedsReview = "needs_review",
    }
);

stored_enum!(
    /// Why a recorded attempt was not sent at once.
    DelayedReason {
        /// The circuit breaker was open. The attempt is sent when the provider answers again.
        ProviderUnavailable = "provider_unavailable",
    }
);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Id of the attempt, also the idempotency key at the provider.
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    pub user_id: UserId,
    pub state: AttemptState,
    /// In minor units.
    pub amount: i64,
    pub currency: Currency,
    pub payment_method: PaymentMethod,
    pub provider: String,
    /// Whether real money moves.
    pub livemode: bool,
    /// Lock, time of sending and next check.
    #[serde(flatten)]
    pub dispatch: Dispatch,
    /// Time of the most recent send.
    #[serde(default)]
    pub last_sent_at: Option<Timestamp>,
    /// Where the provider returns the customer to. It is part of the request under the idempotency
    /// key, so it never changes.
    #[serde(default)]
    pub return_url: Option<String>,
    /// Whether the provider stored a server error under the idempotency key. It repeats that error,
    /// so only the list of charges can reveal the outcome.
    #[serde(default)]
    pub key_failed: bool,
    /// When the provider's list of charges first did not contain the charge.
    #[serde(default)]
    pub missing_since: Option<Timestamp>,
    /// The provider's id of the charge.
    #[serde(default)]
    pub transaction_id: Option<String>,
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// Why the attempt was not sent at once.
    #[serde(default)]
    pub delayed_reason: Option<DelayedReason>,
    /// What the customer must do before the charge can continue.
    #[serde(default)]
    pub next_action: Option<NextAction>,
    /// Deadline for the customer's action; the charge is cancelled afterwards.
    #[serde(default)]
    pub action_until: Option<Timestamp>,
    /// Whether another attempt had already paid the order. Payments refunds this one automatically.
    #[serde(default)]
    pub duplicate_capture: bool,
    /// Amount refunded so far, in minor units.
    #[serde(default)]
    pub refunded: i64,
    /// Hash that distinguishes the request from another one under the same idempotency key.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// Id of the request that created the attempt. Its problem responses repeat this id, so that
    /// repetitions are identical.
    #[serde(default)]
    pub request_id: Option<String>,
    #[serde(default)]
    pub settled_at: Option<Timestamp>,
    /// Number of writes of this record.
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Trace of the request or message that created the attempt.
    pub traceparent: Trace,
}

/// The values that distinguish one attempt from another on the same intent.
#[derive(Clone, Debug)]
pub struct NewAttempt<'a> {
    pub payment_id: PaymentId,
    pub payment_method: PaymentMethod,
    pub provider: &'a str,
    pub livemode: bool,
    /// Where the provider returns the customer to.
    pub return_url: Option<&'a str>,
    /// Fingerprint and id of the API request; `None` for the automatic attempt.
    pub request: Option<(&'a str, &'a str)>,
    pub trace: &'a Trace,
}

/// State of a payment in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Recorded, not sent: the provider does not answer.
    Pending,
    /// A request was sent to the provider.
    Processing,
    /// The customer must act; see `next_action`.
    RequiresAction,
    /// The order is paid.
    Completed,
    /// Declined or abandoned; nothing was charged.
    Failed,
    /// The provider has not reported an outcome yet.
    Unknown,
    /// An operator must review the payment.
    NeedsReview,
}

impl Attempt {
    /// Creates an attempt to pay the amount of `intent`. Before it is written, it becomes
    /// [sent](Self::sent_at_once) or [delayed](Self::delayed).
    pub fn new(intent: &PaymentIntent, new: NewAttempt<'_>, now: Timestamp) -> Self {
        Self {
            payment_id: new.payment_id,
            order_id: intent.order_id,
            user_id: intent.user_id,
            state: AttemptState::New,
            amount: intent.amount,
            currency: intent.currency,
            payment_method: new.payment_method,
            provider: new.provider.to_owned(),
            livemode: new.livemode,
            dispatch: Dispatch::unsent(Lock::of("", now, Duration::ZERO), now),
            last_sent_at: None,
            return_url: new.return_url.map(str::to_owned),
            key_failed: false,
            missing_since: None,
            transaction_id: None,
            failure_reason: None,
            delayed_reason: None,
            next_action: None,
            action_until: None,
            duplicate_capture: false,
            refunded: 0,
            fingerprint: new.request.map(|(fingerprint, _)| fingerprint.to_owned()),
            request_id: new.request.map(|(_, id)| id.to_owned()),
            settled_at: None,
            version: 1,
            created_at: now,
            updated_at: now,
            traceparent: new.trace.clone(),
        }
    }

    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// Whether the attempt may still charge the customer.
    pub fn is_in_flight(&self) -> bool {
        matches!(
            self.state,
            AttemptState::New
                | AttemptState::Sent
                | AttemptState::RequiresAction
                | AttemptState::OutcomeUnknown
                | AttemptState::Voiding
        )
    }

    /// Whether the attempt waits for payments or the provider, and not for its buyer.
    pub fn awaits_outcome(&self, now: Timestamp) -> bool {
        let waits_for_buyer = self.state == AttemptState::RequiresAction && !self.is_overdue(now);
        self.is_in_flight() && !waits_for_buyer
    }

    /// Whether the attempt waits for the circuit breaker to close.
    pub fn is_delayed(&self) -> bool {
        self.state == AttemptState::New
    }

    /// Whether the deadline for the customer's action has passed.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.state == AttemptState::RequiresAction
            && self.action_until.is_none_or(|until| now >= until)
    }

    /// Whether a function may be sending the attempt now.
    pub fn is_locked(&self, now: Timestamp) -> bool {
        self.dispatch.lock.is_held(now) && self.state == AttemptState::Sent
    }

    /// Whether the function that sent the attempt ended without recording an outcome.
    pub fn was_interrupted(&self, now: Timestamp) -> bool {
        self.state == AttemptState::Sent && !self.dispatch.lock.is_held(now)
    }

    /// Whether `owner` has recorded the attempt as sent, and has recorded no outcome.
    pub fn is_sent_by(&self, owner: &str) -> bool {
        self.state == AttemptState::Sent && self.dispatch.lock.is_of(owner)
    }

    /// Whether the attempt was abandoned because its order closed.
    pub fn was_abandoned_by_order(&self) -> bool {
        self.state == AttemptState::Abandoned
            && self.failure_reason.as_deref() == Some(ORDER_CLOSED)
    }

    /// Whether a charge that waits for the customer must be cancelled: the deadline for the action
    /// has passed, or the order no longer wants the charge.
    pub fn must_be_cancelled(&self, intent: &PaymentIntent, now: Timestamp) -> bool {
        self.is_overdue(now)
            || self.state == AttemptState::RequiresAction && self.is_unwanted(intent, now)
    }

    /// The failure reason to record when the charge is cancelled.
    pub fn cancellation_reason(&self, intent: &PaymentIntent, now: Timestamp) -> &'static str {
        if self.is_overdue(now) && intent.state != IntentState::Closing {
            "action_not_taken"
        } else {
            ORDER_CLOSED
        }
    }

    /// A new attempt that `owner` sends as soon as it is recorded. One write records both. See
    /// [`Dispatch::sent_by`].
    #[must_use]
    pub fn sent_at_once(self, owner: &str, now: Timestamp, lock: Duration) -> Self {
        Self {
            state: AttemptState::Sent,
            dispatch: self.dispatch.sent_by(owner, now, lock),
            last_sent_at: Some(now),
            ..self
        }
    }

    /// The attempt without a check of its own, which saves two writes of the index of due records.
    /// While no outcome is recorded, the order sends its command again, and the command finds the
    /// interrupted attempt.
    #[must_use]
    pub fn checked_by_its_order(self) -> Self {
        Self { dispatch: Dispatch { next_check_at: None, ..self.dispatch }, ..self }
    }

    /// The attempt when `owner` is about to send it again under the same key, or for the first time
    /// after a delay. See [`Dispatch::sent_by`].
    #[must_use]
    pub fn sending(&self, owner: &str, now: Timestamp, lock: Duration) -> Self {
        Self {
            state: AttemptState::Sent,
            delayed_reason: None,
            dispatch: self.dispatch.sent_by(owner, now, lock),
            last_sent_at: Some(now),
            ..self.written(now)
        }
    }

    /// The attempt as it is recorded while the breaker is open: due when the breaker permits a call
    /// again.
    #[must_use]
    pub fn delayed(&self, until: Timestamp, now: Timestamp) -> Self {
        Self {
            delayed_reason: Some(DelayedReason::ProviderUnavailable),
            dispatch: Dispatch { next_check_at: Some(until), ..self.dispatch.released(now) },
            updated_at: now,
            ..self.clone()
        }
    }

    /// The attempt after its order was cancelled: due soon, however long its backoff has become.
    /// While a call runs, the scheduled check stays, or the attempt is checked when the call's lock
    /// ends. The new version makes a concurrent send fail if it was decided by an intent that still
    /// wanted the charge.
    pub(super) fn unwanted(&self, now: Timestamp, first_retry: Duration) -> Self {
        if self.is_locked(now) {
            let next_check_at = self.dispatch.next_check_at.or(Some(self.dispatch.lock.until));
            return Self {
                dispatch: Dispatch { next_check_at, ..self.dispatch.clone() },
                ..self.written(now)
            };
        }
        Self {
            dispatch: Dispatch { checks: 0, ..self.dispatch.checked_after(first_retry, now) },
            ..self.written(now)
        }
    }

    /// The attempt after a call with an unknown outcome: unlocked, with a doubled delay to its next
    /// check. The states `requires_action` and `voiding` are kept, because they say more than
    /// `unknown`.
    pub(super) fn unknown(&self, now: Timestamp, first_retry: Duration) -> Self {
        let kept = matches!(self.state, AttemptState::RequiresAction | AttemptState::Voiding);
        Self {
            state: if kept { self.state.clone() } else { AttemptState::OutcomeUnknown },
            ..self.rescheduled(now, first_retry)
        }
    }

    /// The attempt while the provider processes its charge.
    pub(super) fn processing(
        &self,
        transaction_id: &str,
        now: Timestamp,
        first_retry: Duration,
    ) -> Self {
        Self { transaction_id: Some(transaction_id.to_owned()), ..self.unknown(now, first_retry) }
    }

    /// The attempt while the provider waits for the customer.
    pub(super) fn awaiting_action(
        &self,
        transaction_id: &str,
        next_action: &NextAction,
        now: Timestamp,
        first_retry: Duration,
    ) -> Self {
        Self {
            state: AttemptState::RequiresAction,
            transaction_id: Some(transaction_id.to_owned()),
            next_action: Some(next_action.clone()),
            action_until: self.action_until.or(Some(now.plus(ACTION_TIMEOUT))),
            ..self.rescheduled(now, first_retry)
        }
    }

    /// The attempt after a check without an outcome: unlocked, with its next check no later than
    /// the customer's deadline.
    fn rescheduled(&self, now: Timestamp, first_retry: Duration) -> Self {
        Self {
            dispatch: self.dispatch.released(now).checked(self.action_until, now, first_retry),
            ..self.written(now)
        }
    }

    pub(super) fn succeeded(&self, transaction_id: &str, now: Timestamp) -> Self {
        Self {
            transaction_id: Some(transaction_id.to_owned()),
            failure_reason: None,
            ..self.settled(AttemptState::Succeeded, now)
        }
    }

    pub(super) fn declined(&self, reason: &str, now: Timestamp) -> Self {
        Self {
            failure_reason: Some(reason.to_owned()),
            ..self.settled(AttemptState::Declined, now)
        }
    }

    pub(super) fn abandoned(&self, reason: &str, now: Timestamp) -> Self {
        Self {
            failure_reason: Some(reason.to_owned()),
            ..self.settled(AttemptState::Abandoned, now)
        }
    }

    /// The attempt when the provider's record contradicts it: kept for an operator, not counted as
    /// paid.
    pub(super) fn under_review(&self, transaction_id: &str, now: Timestamp) -> Self {
        Self {
            transaction_id: Some(transaction_id.to_owned()),
            failure_reason: Some("provider_mismatch".to_owned()),
            settled_at: None,
            ..self.settled(AttemptState::NeedsReview, now)
        }
    }

    pub(super) fn with_refund(&self, amount: i64, now: Timestamp) -> Self {
        Self { refunded: self.refunded + amount, ..self.written(now) }
    }

    fn settled(&self, state: AttemptState, now: Timestamp) -> Self {
        Self {
            state,
            dispatch: self.dispatch.settled(now),
            next_action: None,
            settled_at: Some(now),
            ..self.written(now)
        }
    }

    fn written(&self, now: Timestamp) -> Self {
        Self { version: self.version + 1, updated_at: now, ..self.clone() }
    }

    /// State in the API.
    pub fn status(&self) -> PaymentStatus {
        match self.state {
            AttemptState::New => PaymentStatus::Pending,
            AttemptState::RequiresAction => PaymentStatus::RequiresAction,
            AttemptState::Sent => PaymentStatus::Processing,
            AttemptState::Succeeded => PaymentStatus::Completed,
            AttemptState::Declined | AttemptState::Abandoned => PaymentStatus::Failed,
            AttemptState::NeedsReview => PaymentStatus::NeedsReview,
            AttemptState::OutcomeUnknown | AttemptState::Voiding | AttemptState::Unknown(_) => {
                PaymentStatus::Unknown
            }
        }
    }
}
