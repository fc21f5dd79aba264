//! An attempt to pay: a payment, as the API calls it.

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
    ACTION_TIMEOUT, Dispatch, IntentState, Lock, NEW_LOCK, PaymentIntent, PaymentMethod,
    intent::ORDER_CLOSED,
};

stored_enum!(
    /// How far an attempt has come.
    AttemptState {
        /// Recorded; not one byte has left yet.
        New = "new",
        /// On its way to the provider, or its answer was lost.
        Sent = "sent",
        /// The provider waits for the customer.
        RequiresAction = "requires_action",
        /// The provider did not say what became of it.
        OutcomeUnknown = "unknown",
        /// The order no longer wants the charge, and the provider is asked to void it. The charge
        /// may have arrived. This state does not lead back to sending.
        Voiding = "voiding",
        /// Charged.
        Succeeded = "succeeded",
        /// The provider refused.
        Declined = "declined",
        /// Given up, and sure to charge nobody.
        Abandoned = "abandoned",
        /// The provider charged something else than was asked for: a person has to look.
        NeedsReview = "needs_review",
    }
);

stored_enum!(
    /// Why an attempt that is recorded was not sent at once.
    DelayedReason {
        /// The provider does not answer: the attempt is sent when it does.
        ProviderUnavailable = "provider_unavailable",
    }
);

/// One attempt to pay an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id: the provider's idempotency key too.
    pub payment_id: PaymentId,
    /// The order.
    pub order_id: OrderId,
    /// Who pays.
    pub user_id: UserId,
    /// How far it has come.
    pub state: AttemptState,
    /// How much, in minor units.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
    /// With what.
    pub payment_method: PaymentMethod,
    /// The provider that is asked.
    pub provider: String,
    /// Whether real money moves.
    pub livemode: bool,
    /// What was sent of it.
    #[serde(flatten)]
    pub dispatch: Dispatch,
    /// When it was sent last.
    #[serde(default)]
    pub last_sent_at: Option<Timestamp>,
    /// Where the provider returns the customer to. Part of the request under the idempotency key,
    /// so it never changes.
    #[serde(default)]
    pub return_url: Option<String>,
    /// Whether the provider stored a server error under the idempotency key: it repeats that error,
    /// so the outcome must be listed.
    #[serde(default)]
    pub key_failed: bool,
    /// When the provider's list of charges first did not contain it.
    #[serde(default)]
    pub missing_since: Option<Timestamp>,
    /// The provider's name for the charge.
    #[serde(default)]
    pub transaction_id: Option<String>,
    /// Why it came to nothing.
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// Why it was not sent at once.
    #[serde(default)]
    pub delayed_reason: Option<DelayedReason>,
    /// What the customer has to do first.
    #[serde(default)]
    pub next_action: Option<NextAction>,
    /// Until when they may: then the attempt is called back.
    #[serde(default)]
    pub action_until: Option<Timestamp>,
    /// Whether the order was paid by another attempt already: payments itself gives this one back.
    #[serde(default)]
    pub duplicate_capture: bool,
    /// How much was given back.
    #[serde(default)]
    pub refunded: i64,
    /// What tells the request that made it from another one under the same key.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// The id of the request that made it: its answer repeats it, byte for byte.
    #[serde(default)]
    pub request_id: Option<String>,
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

/// What makes one attempt differ from another on the same intent.
#[derive(Clone, Debug)]
pub struct NewAttempt<'a> {
    /// Its id.
    pub payment_id: PaymentId,
    /// With what.
    pub payment_method: PaymentMethod,
    /// The provider that is asked.
    pub provider: &'a str,
    /// Whether real money moves.
    pub livemode: bool,
    /// Who sends it.
    pub lock_owner: &'a str,
    /// Where the provider returns the customer to.
    pub return_url: Option<&'a str>,
    /// When it is abandoned if it was not sent by then: no function that could send it is running.
    pub abandoned_after: Duration,
    /// The request's fingerprint and id, where a request makes it.
    pub request: Option<(&'a str, &'a str)>,
    /// The trace that begins it.
    pub trace: &'a Trace,
}

/// What the API calls the state of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Recorded, not sent.
    Pending,
    /// Sent, or about to be.
    Processing,
    /// The provider waits for the customer.
    RequiresAction,
    /// Paid.
    Completed,
    /// It came to nothing.
    Failed,
    /// The provider has not said.
    Unknown,
    /// A person has to look.
    NeedsReview,
}

impl Attempt {
    /// A new attempt to pay what `intent` costs.
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
            dispatch: Dispatch::unsent(
                Lock::of(new.lock_owner, now, NEW_LOCK),
                now.plus(new.abandoned_after),
            ),
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

    /// How much it charges.
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// Whether it may still charge somebody, as far as is known.
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

    /// Whether it waits for the provider to answer again.
    pub fn is_delayed(&self) -> bool {
        self.state == AttemptState::New && self.delayed_reason.is_some()
    }

    /// Whether the customer has had all the time they have.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.state == AttemptState::RequiresAction
            && self.action_until.is_none_or(|until| now >= until)
    }

    /// Whether somebody may be sending it at this moment.
    pub fn is_locked(&self, now: Timestamp) -> bool {
        self.dispatch.lock.is_held(now)
            && matches!(self.state, AttemptState::New | AttemptState::Sent)
    }

    /// Whether it was never sent and nobody is about to.
    pub fn can_be_taken_over(&self, now: Timestamp) -> bool {
        self.state == AttemptState::New && !self.dispatch.lock.is_held(now)
    }

    /// Whether it was never sent, and no function that could send it is running.
    pub fn was_never_sent(&self, now: Timestamp) -> bool {
        self.can_be_taken_over(now)
            && self.dispatch.next_check_at.is_none_or(|next_check_at| now >= next_check_at)
    }

    /// Whether `owner` has recorded it and not sent it yet.
    pub fn is_unsent_by(&self, owner: &str) -> bool {
        self.state == AttemptState::New && self.dispatch.lock.is_of(owner)
    }

    /// Whether somebody has recorded it and is about to send it.
    pub fn is_about_to_be_sent(&self, now: Timestamp) -> bool {
        self.state == AttemptState::New && self.dispatch.lock.is_held(now)
    }

    /// Whether the order gave up before it was sent.
    pub fn was_abandoned_by_order(&self) -> bool {
        self.state == AttemptState::Abandoned
            && self.failure_reason.as_deref() == Some(ORDER_CLOSED)
    }

    /// Whether a charge that waits for its customer must be cancelled: the customer's time is over,
    /// or the order no longer wants the charge.
    pub fn must_be_cancelled(&self, intent: &PaymentIntent, now: Timestamp) -> bool {
        self.is_overdue(now)
            || self.state == AttemptState::RequiresAction && self.is_unwanted(intent, now)
    }

    /// Why the provider is told to call it off.
    pub fn cancellation_reason(&self, intent: &PaymentIntent, now: Timestamp) -> &'static str {
        if self.is_overdue(now) && intent.state != IntentState::Closing {
            "action_not_taken"
        } else {
            ORDER_CLOSED
        }
    }

    /// The attempt once `owner` is about to send it, for the first time or again under the same
    /// key; see [`Dispatch::sent_by`].
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

    /// The attempt as it is recorded while the provider does not answer: it is looked at when that
    /// is worth asking again.
    #[must_use]
    pub fn delayed(&self, until: Timestamp, now: Timestamp) -> Self {
        Self {
            delayed_reason: Some(DelayedReason::ProviderUnavailable),
            dispatch: Dispatch { next_check_at: Some(until), ..self.dispatch.released(now) },
            updated_at: now,
            ..self.clone()
        }
    }

    /// The attempt once its order has given it up: it is checked soon, however long it has been
    /// waiting. While its call runs, that check stays as it is scheduled. The new version refuses a
    /// send that was decided before, by an intent that still wanted the charge.
    pub(super) fn unwanted(&self, now: Timestamp, first_retry: Duration) -> Self {
        if self.is_locked(now) {
            return self.written(now);
        }
        Self {
            dispatch: Dispatch { checks: 0, ..self.dispatch.checked_after(first_retry, now) },
            ..self.written(now)
        }
    }

    /// The attempt after a call whose outcome is not known: unlocked, and checked again after twice
    /// the wait. The states that say more than that are kept.
    pub(super) fn unknown(&self, now: Timestamp, first_retry: Duration) -> Self {
        let kept = matches!(self.state, AttemptState::RequiresAction | AttemptState::Voiding);
        Self {
            state: if kept { self.state.clone() } else { AttemptState::OutcomeUnknown },
            ..self.rescheduled(now, first_retry)
        }
    }

    /// The attempt whose charge the provider has and is still working on.
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

    /// The attempt after a check that did not find its end: unlocked, and checked again later, in
    /// time for what it waits for.
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

    /// The provider says something that does not fit: kept for a person, and charged to nobody's
    /// account.
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

    /// What the API calls its state.
    pub fn status(&self) -> PaymentStatus {
        match self.state {
            AttemptState::New if self.is_delayed() => PaymentStatus::Processing,
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
