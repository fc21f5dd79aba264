//! The intent: payments' own copy of what an order costs, and how far its payment has come. One for
//! each order.

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
    /// How far the payment of an order has come.
    IntentState {
        /// An attempt may start.
        Open = "open",
        /// One attempt is alive.
        Processing = "processing",
        /// The order is paid. For good: refunds are counted beside it.
        Captured = "captured",
        /// The order gave up while an attempt was alive; its outcome decides.
        Closing = "closing",
        /// Nothing captured, nothing alive, and no attempt will ever start.
        Closed = "closed",
    }
);

stored_enum!(
    /// What there is to tell about an intent.
    IntentEvent {
        /// It waits for its first attempt: not worth a message.
        Opened = "opened",
        /// An attempt has begun, and its call may be in flight.
        Started = "started",
        /// The attempt waits for the buyer, who has to act first (3-D Secure).
        ActionRequired = "action_required",
        /// The provider has not said what became of the attempt.
        OutcomeUnknown = "unknown",
        /// The attempt came to nothing, and the intent is open again.
        Declined = "declined",
        /// The order is paid.
        Succeeded = "succeeded",
        /// See [`IntentState::Closed`].
        Closed = "closed",
        /// All that was captured is back with the buyer, by refunds or by a dispute.
        Refunded = "refunded",
        /// The provider would not give it back.
        RefundFailed = "refund_failed",
    }
);

/// The payment of one order as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentIntent {
    /// The order.
    pub order_id: OrderId,
    /// Who placed it, and alone may pay it.
    pub user_id: UserId,
    /// What it costs, in minor units.
    pub amount: i64,
    /// The currency of all amounts here.
    pub currency: Currency,
    /// After this moment no attempt starts.
    pub expires_at: Timestamp,
    /// How many more attempts may start.
    pub attempts_left: u32,
    /// How far it has come.
    pub state: IntentState,
    /// The attempt that is alive.
    #[serde(default)]
    pub active_attempt: Option<PaymentId>,
    /// The attempt that began last.
    #[serde(default)]
    pub latest_attempt: Option<PaymentId>,
    /// What was last to be told.
    pub last_event: IntentEvent,
    /// How much was captured for the order: by one attempt at most, a duplicate capture is not
    /// counted.
    pub captured_total: i64,
    /// How much was captured beyond that, by attempts that came too late: all of it goes back.
    #[serde(default)]
    pub duplicate_captured_total: i64,
    /// How much of that was given back.
    #[serde(default)]
    pub duplicate_refunded_total: i64,
    /// How much of what duplicate refunds gave back came back to the provider, because the refund
    /// failed later. It only grows.
    #[serde(default)]
    pub duplicate_refunds_reversed_total: i64,
    /// Duplicate captures whose automatic refunds failed too often: a person has to refund them.
    #[serde(default)]
    pub duplicate_refunds_refused: Vec<PaymentId>,
    /// How much refunds of the order's own capture gave back. It only grows: see
    /// `refunds_reversed_total`.
    pub refunded_total: i64,
    /// How much of that came back to the provider, because the refund failed later. It only grows,
    /// so facts merge by maximum.
    #[serde(default)]
    pub refunds_reversed_total: i64,
    /// How much refunds hold that have not come to their end, or that a person has to look at.
    #[serde(default)]
    pub refunds_pending: i64,
    /// How much may still be given back: what was captured, less what was refunded, is pending or
    /// was taken by disputes.
    pub refundable: i64,
    /// The attempt that paid.
    #[serde(default)]
    pub captured_payment: Option<PaymentId>,
    /// Why the last attempt came to nothing.
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// Whether the last refund failed for good.
    #[serde(default)]
    pub refund_failed: bool,
    /// How many refunds failed for good: the next one has another id.
    #[serde(default)]
    pub failed_refunds: u32,
    /// How many automatic refunds of the order's own capture failed for good; see
    /// [`MAX_FAILED_AUTOMATIC_REFUNDS`].
    #[serde(default)]
    pub automatic_refunds_failed: u32,
    /// The disputes of the order's payments.
    #[serde(default)]
    pub disputes: Vec<Dispute>,
    /// How much banks have taken because of disputes. It only grows.
    #[serde(default)]
    pub dispute_withdrawn_total: i64,
    /// How much of that banks have given back. It only grows.
    #[serde(default)]
    pub dispute_reinstated_total: i64,
    /// Counts the writes of this record.
    pub version: u64,
    /// The `attempt` of the last command that was answered.
    pub answered_attempt: u64,
    /// When it was put.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// The trace that wrote it last.
    pub traceparent: Trace,
}

/// What an order says about its payment.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedPayment {
    /// The order.
    pub order_id: OrderId,
    /// Who placed it.
    pub user_id: UserId,
    /// What it costs.
    pub amount: Money,
    /// Until when an attempt may start.
    pub expires_at: Timestamp,
    /// How many attempts may start.
    pub tries: u32,
    /// How often the order has asked.
    pub command_attempt: u64,
}

/// Why no attempt may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Another attempt is alive.
    #[error("another attempt is alive")]
    InProgress,
    /// It is paid.
    #[error("the order is paid already")]
    AlreadyPaid,
    /// It is closed, expired or out of attempts.
    #[error("the order takes no payment any more")]
    Closed,
    /// Another amount than the order's.
    #[error("the amount is not what the order costs")]
    AmountMismatch,
    /// Another currency than the order's.
    #[error("the currency is not the order's")]
    CurrencyMismatch,
    /// A newer release wrote a state that this one cannot judge.
    #[error("the state of the payment is not known to this release")]
    UnknownState,
}

impl PaymentIntent {
    /// The intent of an order that can be paid from now on.
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

    /// The intent of an order that can never be paid: it stands in the way of a command that comes
    /// late.
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

    /// What the order costs.
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// Whether an attempt may start now.
    ///
    /// # Errors
    /// Why it may not.
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

    /// Whether the order still wants to be charged by this attempt: it has not been cancelled or
    /// paid otherwise, and has not expired.
    pub fn allows_charge(&self, payment: PaymentId, now: Timestamp) -> bool {
        self.state == IntentState::Processing
            && self.active_attempt == Some(payment)
            && now < self.expires_at
    }

    /// Whether `amount` is what the order costs. Nothing said is nothing wrong.
    ///
    /// # Errors
    /// What differs.
    pub fn check_amount(&self, amount: Option<Money>) -> Result<(), StartError> {
        match amount {
            Some(amount) if amount.currency != self.currency => Err(StartError::CurrencyMismatch),
            Some(amount) if amount.amount != self.amount => Err(StartError::AmountMismatch),
            _ => Ok(()),
        }
    }

    /// The intent once it has answered `command_attempt` again; `None` if it has answered that or a
    /// later one before.
    pub fn answering(&self, command_attempt: u64, now: Timestamp, trace: &Trace) -> Option<Self> {
        (command_attempt > self.answered_attempt).then(|| {
            Self { traceparent: trace.clone(), ..self.written(now) }
                .with_answered_attempt(command_attempt)
        })
    }

    /// What there is to tell: follows from the state, so that it can be told again at any time.
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

    /// How much of the order's money banks hold because of disputes.
    pub fn disputed_amount(&self) -> i64 {
        self.dispute_withdrawn_total - self.dispute_reinstated_total
    }

    /// The state of all disputes together; `None` where there never was one.
    pub fn dispute_status(&self) -> Option<DisputeStatus> {
        DisputeStatus::of(&self.disputes)
    }

    /// How much refunds have given back, without those that failed later.
    pub fn refunded_net(&self) -> i64 {
        self.refunded_total - self.refunds_reversed_total
    }

    /// Whether payments tries no further automatic refund of the order's own capture.
    pub fn is_refund_refused(&self) -> bool {
        self.automatic_refunds_failed >= MAX_FAILED_AUTOMATIC_REFUNDS
    }

    /// The intent with `refundable` as its totals say.
    pub(super) fn with_refundable(self) -> Self {
        let left = self.captured_total
            - self.refunded_net()
            - self.refunds_pending
            - self.disputed_amount();
        Self { refundable: left.max(0), ..self }
    }

    /// Whether the buyer may try again.
    pub fn next_try_possible(&self) -> bool {
        self.state == IntentState::Open && self.attempts_left > 0
    }

    /// The attempt to name beside the fact: the one that paid, else the one that began last.
    pub fn reported_attempt(&self) -> Option<PaymentId> {
        self.captured_payment.or(self.latest_attempt)
    }

    /// A copy that counts as one more write.
    pub(super) fn written(&self, now: Timestamp) -> Self {
        Self { version: self.version + 1, updated_at: now, ..self.clone() }
    }

    pub(super) fn with_answered_attempt(mut self, command_attempt: u64) -> Self {
        self.answered_attempt = self.answered_attempt.max(command_attempt);
        self
    }
}

/// Why an attempt was abandoned by the fence.
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
