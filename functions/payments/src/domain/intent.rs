//! The payment intent: one per order, with the amount to charge and the state of its payment.

use provider::PaymentId;
use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, UserId},
    money::{Currency, Money},
    stored_enum,
    telemetry::Trace,
};

use super::{Dispute, DisputeStatus, MAX_FAILED_AUTOMATIC_REFUNDS};

stored_enum!(
    /// State of an order's payment.
    IntentState {
        /// An attempt may start.
        Open = "open",
        /// An attempt is in flight.
        Processing = "processing",
        /// The order is paid. This state is final; refunds are counted separately.
        Captured = "captured",
        /// The order was cancelled while an attempt was in flight. The attempt's outcome decides.
        Closing = "closing",
        /// Nothing was captured, no attempt is in flight and none can start.
        Closed = "closed",
    }
);

stored_enum!(
    /// The event that an intent publishes.
    IntentEvent {
        /// It waits for its first attempt.
        Opened = "opened",
        /// An attempt has started, and its provider call may be running.
        Started = "started",
        /// The attempt waits for the buyer to act (3-D Secure).
        ActionRequired = "action_required",
        /// The provider has not reported the attempt's outcome.
        OutcomeUnknown = "unknown",
        /// The attempt failed, and another one may start.
        Declined = "declined",
        /// The order is paid.
        Succeeded = "succeeded",
        /// See [`IntentState::Closed`].
        Closed = "closed",
        /// Everything captured was returned to the buyer, by refunds or a dispute.
        Refunded = "refunded",
        /// A refund failed definitively.
        RefundFailed = "refund_failed",
    }
);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentIntent {
    pub order_id: OrderId,
    /// The buyer, the only user who may pay the order.
    pub user_id: UserId,
    /// The order's total, in minor units.
    pub amount: i64,
    /// Currency of all amounts of this record.
    pub currency: Currency,
    /// Deadline after which no attempt starts.
    pub expires_at: Timestamp,
    pub attempts_left: u32,
    pub state: IntentState,
    #[serde(default)]
    pub active_attempt: Option<PaymentId>,
    #[serde(default)]
    pub latest_attempt: Option<PaymentId>,
    /// The event that was published last.
    pub last_event: IntentEvent,
    /// Amount captured for the order, by one attempt at most. Duplicate captures are not included.
    pub captured_total: i64,
    /// Amount captured by further attempts. All of it is refunded.
    #[serde(default)]
    pub duplicate_captured_total: i64,
    /// Amount of duplicate captures that was refunded.
    #[serde(default)]
    pub duplicate_refunded_total: i64,
    /// Part of `duplicate_refunded_total` whose refunds failed after they had succeeded. It only
    /// grows.
    #[serde(default)]
    pub duplicate_refunds_reversed_total: i64,
    /// Duplicate captures whose automatic refunds failed too often. An admin must refund them.
    #[serde(default)]
    pub duplicate_refunds_refused: Vec<PaymentId>,
    /// Amount refunded of the order's own capture. It only grows; failed refunds increase
    /// `refunds_reversed_total`.
    pub refunded_total: i64,
    /// Part of `refunded_total` whose refunds failed after they had succeeded. It only grows, so
    /// that orders can merge events by maximum.
    #[serde(default)]
    pub refunds_reversed_total: i64,
    /// Amount reserved by refunds that are unsettled or need a review.
    #[serde(default)]
    pub refunds_pending: i64,
    /// Amount that can still be refunded: the captured amount without refunds, pending refunds and
    /// disputed amounts.
    pub refundable: i64,
    /// The attempt that paid the order.
    #[serde(default)]
    pub captured_payment: Option<PaymentId>,
    /// Why the latest attempt failed.
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// Whether the latest refund failed definitively.
    #[serde(default)]
    pub refund_failed: bool,
    /// Number of refunds that failed definitively. It is part of the id of the next automatic
    /// refund.
    #[serde(default)]
    pub failed_refunds: u32,
    /// Number of automatic refunds of the order's own capture that failed definitively. See
    /// [`MAX_FAILED_AUTOMATIC_REFUNDS`].
    #[serde(default)]
    pub automatic_refunds_failed: u32,
    #[serde(default)]
    pub disputes: Vec<Dispute>,
    /// Amount that banks have withdrawn because of disputes. It only grows.
    #[serde(default)]
    pub dispute_withdrawn_total: i64,
    /// Part of `dispute_withdrawn_total` that banks have returned. It only grows.
    #[serde(default)]
    pub dispute_reinstated_total: i64,
    /// Number of writes of this record.
    pub version: u64,
    /// `attempt` of the last command that was answered.
    pub answered_attempt: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub traceparent: Trace,
}

/// The payment that an order expects.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedPayment {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub amount: Money,
    /// Deadline after which no attempt starts.
    pub expires_at: Timestamp,
    /// Number of attempts that may start.
    pub tries: u32,
    /// Sequence number of the order's command.
    pub command_attempt: u64,
}

/// Why an attempt cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Another attempt is in flight.
    #[error("another attempt is in flight")]
    InProgress,
    #[error("the order is already paid")]
    AlreadyPaid,
    /// The payment is closed, expired or out of attempts.
    #[error("the order can no longer be paid")]
    Closed,
    /// The amount differs from the order's total.
    #[error("the amount differs from the order's total")]
    AmountMismatch,
    /// The currency differs from the order's.
    #[error("the currency differs from the order's")]
    CurrencyMismatch,
    /// The payment has a state that only a newer release knows.
    #[error("the payment has a state that this release does not know")]
    UnknownState,
}

impl PaymentIntent {
    /// The open intent of an order.
    pub fn opened(expected: &ExpectedPayment, now: Timestamp, trace: &Trace) -> Self {
        Self {
            order_id: expected.order_id,
            user_id: expected.user_id,
            amount: expected.amount.amount,
            currency: expected.amount.currency,
            expires_at: expected.expires_at,
            attempts_left: expected.tries,
            state: IntentState::Open,
            active_attempt: None,
            latest_attempt: None,
            last_event: IntentEvent::Opened,
            captured_total: 0,
            duplicate_captured_total: 0,
            duplicate_refunded_total: 0,
            duplicate_refunds_reversed_total: 0,
            duplicate_refunds_refused: Vec::new(),
            refunded_total: 0,
            refunds_reversed_total: 0,
            refunds_pending: 0,
            refundable: 0,
            captured_payment: None,
            failure_reason: None,
            refund_failed: false,
            failed_refunds: 0,
            automatic_refunds_failed: 0,
            disputes: Vec::new(),
            dispute_withdrawn_total: 0,
            dispute_reinstated_total: 0,
            version: 1,
            answered_attempt: expected.command_attempt,
            created_at: now,
            updated_at: now,
            traceparent: trace.clone(),
        }
    }

    /// The closed intent of an order that can never be paid. A late command finds the payment
    /// closed.
    pub fn unpayable(
        expected: &ExpectedPayment,
        reason: &str,
        now: Timestamp,
        trace: &Trace,
    ) -> Self {
        Self {
            state: IntentState::Closed,
            last_event: IntentEvent::Closed,
            attempts_left: 0,
            failure_reason: Some(reason.to_owned()),
            ..Self::opened(expected, now, trace)
        }
    }

    /// The order's total.
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// Whether the order costs nothing. Payments knows such an order only if it was cancelled
    /// before its stock was reserved.
    pub fn is_free(&self) -> bool {
        self.amount == 0
    }

    /// Checks whether an attempt may start now.
    ///
    /// # Errors
    /// The reason why it may not.
    pub fn may_start(&self, now: Timestamp) -> Result<(), StartError> {
        match self.state {
            IntentState::Open if now < self.expires_at && self.attempts_left > 0 => Ok(()),
            IntentState::Open | IntentState::Closing | IntentState::Closed => {
                Err(StartError::Closed)
            }
            IntentState::Processing => Err(StartError::InProgress),
            IntentState::Captured => Err(StartError::AlreadyPaid),
            IntentState::Unknown(_) => Err(StartError::UnknownState),
        }
    }

    /// Whether the order wants to be charged by this attempt: it is not cancelled, not paid by
    /// another attempt and not expired.
    pub fn allows_charge(&self, payment: PaymentId, now: Timestamp) -> bool {
        self.state == IntentState::Processing
            && self.active_attempt == Some(payment)
            && now < self.expires_at
    }

    /// Checks that `amount`, if present, equals the order's total.
    ///
    /// # Errors
    /// The difference.
    pub fn check_amount(&self, amount: Option<Money>) -> Result<(), StartError> {
        match amount {
            Some(amount) if amount.currency != self.currency => Err(StartError::CurrencyMismatch),
            Some(amount) if amount.amount != self.amount => Err(StartError::AmountMismatch),
            _ => Ok(()),
        }
    }

    /// The intent after it has answered `command_attempt` again; `None` if it has answered that
    /// command or a later one.
    pub fn answering(&self, command_attempt: u64, now: Timestamp, trace: &Trace) -> Option<Self> {
        (command_attempt > self.answered_attempt).then(|| {
            Self { traceparent: trace.clone(), ..self.written(now) }
                .with_answered_attempt(command_attempt)
        })
    }

    /// The current event. It follows from the state, so it can be published again at any time.
    pub fn event(&self) -> IntentEvent {
        match &self.state {
            _ if self.captured_total > 0
                && self.refunded_net() + self.disputed_amount() >= self.captured_total =>
            {
                IntentEvent::Refunded
            }
            IntentState::Captured if self.refund_failed => IntentEvent::RefundFailed,
            IntentState::Captured => IntentEvent::Succeeded,
            IntentState::Closed => IntentEvent::Closed,
            IntentState::Processing | IntentState::Closing => match self.last_event {
                IntentEvent::OutcomeUnknown | IntentEvent::ActionRequired => {
                    self.last_event.clone()
                }
                _ => IntentEvent::Started,
            },
            IntentState::Open if self.latest_attempt.is_some() => IntentEvent::Declined,
            IntentState::Open => IntentEvent::Opened,
            IntentState::Unknown(state) => IntentEvent::Unknown(state.clone()),
        }
    }

    /// Amount of the order's money that banks hold because of disputes.
    pub fn disputed_amount(&self) -> i64 {
        self.dispute_withdrawn_total - self.dispute_reinstated_total
    }

    /// Combined state of all disputes; `None` without disputes.
    pub fn dispute_status(&self) -> Option<DisputeStatus> {
        DisputeStatus::of(&self.disputes)
    }

    /// Amount refunded, without refunds that failed later.
    pub fn refunded_net(&self) -> i64 {
        self.refunded_total - self.refunds_reversed_total
    }

    /// Whether payments has stopped automatic refunds of the order's own capture.
    pub fn is_refund_refused(&self) -> bool {
        self.automatic_refunds_failed >= MAX_FAILED_AUTOMATIC_REFUNDS
    }

    /// The intent with `refundable` computed from its totals.
    pub(super) fn with_refundable(self) -> Self {
        let left = self.captured_total
            - self.refunded_net()
            - self.refunds_pending
            - self.disputed_amount();
        Self { refundable: left.max(0), ..self }
    }

    /// Whether the buyer may start another attempt.
    pub fn next_try_possible(&self) -> bool {
        self.state == IntentState::Open && self.attempts_left > 0
    }

    /// The attempt that paid, otherwise the latest attempt.
    pub fn reported_attempt(&self) -> Option<PaymentId> {
        self.captured_payment.or(self.latest_attempt)
    }

    /// A copy with the next version.
    pub(super) fn written(&self, now: Timestamp) -> Self {
        Self { version: self.version + 1, updated_at: now, ..self.clone() }
    }

    pub(super) fn with_answered_attempt(mut self, command_attempt: u64) -> Self {
        self.answered_attempt = self.answered_attempt.max(command_attempt);
        self
    }
}

/// Failure reason of an attempt that was abandoned because its order closed.
pub(crate) const ORDER_CLOSED: &str = "order_closed";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{NOW, intent, trace};

    #[test]
    fn attempt_starts_only_on_an_open_unexpired_intent_with_attempts_left() {
        let open = intent();
        assert_eq!(open.may_start(NOW), Ok(()));
        assert_eq!(open.may_start(open.expires_at), Err(StartError::Closed));
        assert_eq!(
            PaymentIntent { attempts_left: 0, ..open.clone() }.may_start(NOW),
            Err(StartError::Closed)
        );
        for (state, refused) in [
            (IntentState::Processing, StartError::InProgress),
            (IntentState::Captured, StartError::AlreadyPaid),
            (IntentState::Closing, StartError::Closed),
            (IntentState::Closed, StartError::Closed),
            (IntentState::Unknown("paused".into()), StartError::UnknownState),
        ] {
            assert_eq!(PaymentIntent { state, ..open.clone() }.may_start(NOW), Err(refused));
        }
    }

    #[test]
    fn unknown_state_survives_an_answer() {
        let stored = PaymentIntent { state: IntentState::from("paused".to_owned()), ..intent() };
        let again = stored.answering(9, NOW, &trace()).expect("a change");
        assert_eq!(String::from(again.state), "paused");
    }
}
