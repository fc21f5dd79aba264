//! The head: payments' own copy of what an order costs, and how far its payment has come. One for each order.

use provider::PaymentId;
use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, UserId},
    money::{Currency, Money},
    stored_enum,
    telemetry::Trace,
};

use super::{AUTOMATIC_REFUND_TRIES, Dispute, DisputeStatus};

stored_enum!(
    /// How far the payment of an order has come.
    HeadState {
        /// An attempt may start.
        Open = "open",
        /// One attempt is alive.
        Busy = "busy",
        /// The order is paid. For good: refunds are counted beside it.
        Captured = "captured",
        /// The order gave up while an attempt was alive; its outcome decides.
        Closing = "closing",
        /// Nothing captured, nothing alive, and no attempt will ever start.
        Closed = "closed",
    }
);

stored_enum!(
    /// What there is to tell about a head.
    HeadFact {
        /// It waits for its first attempt: not worth a message.
        Opened = "opened",
        /// An attempt has begun, and its call may be in flight.
        Started = "started",
        /// The attempt waits for the buyer, who has to act first (3-D Secure).
        ActionRequired = "action_required",
        /// The provider has not said what became of the attempt.
        OutcomeUnknown = "unknown",
        /// The attempt came to nothing, and the head is open again.
        Declined = "declined",
        /// The order is paid.
        Succeeded = "succeeded",
        /// See [`HeadState::Closed`].
        Closed = "closed",
        /// All that was captured is back with the buyer, by refunds or by a dispute.
        Refunded = "refunded",
        /// The provider would not give it back.
        RefundFailed = "refund_failed",
    }
);

/// The payment of one order as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
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
    pub state: HeadState,
    /// The attempt that is alive.
    #[serde(default)]
    pub active_attempt: Option<PaymentId>,
    /// The attempt that began last.
    #[serde(default)]
    pub latest_attempt: Option<PaymentId>,
    /// What was last to be told.
    pub last_fact: HeadFact,
    /// How much was captured for the order: by one attempt at most, a surplus capture is not counted.
    pub captured_total: i64,
    /// How much was captured beyond that, by attempts that came too late: all of it goes back.
    #[serde(default)]
    pub surplus_captured: i64,
    /// How much of that was given back.
    #[serde(default)]
    pub surplus_refunded: i64,
    /// How much of what surplus refunds gave back came back to the provider, because the refund failed later. It only grows.
    #[serde(default)]
    pub surplus_refunds_reversed: i64,
    /// Surplus captures whose automatic refunds failed too often: a person has to refund them.
    #[serde(default)]
    pub surplus_refunds_refused: Vec<PaymentId>,
    /// How much refunds of the order's own capture gave back. It only grows: see `refunds_reversed_total`.
    pub refunded_total: i64,
    /// How much of that came back to the provider, because the refund failed later. It only grows, so facts merge by maximum.
    #[serde(default)]
    pub refunds_reversed_total: i64,
    /// How much refunds hold that have not come to their end, or that a person has to look at.
    #[serde(default)]
    pub refunds_pending: i64,
    /// How much may still be given back: what was captured, less what was refunded, is pending or was taken by disputes.
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
    /// How many automatic refunds of the order's own capture failed for good; see [`AUTOMATIC_REFUND_TRIES`].
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
    /// The `drive` of the last command that was answered.
    pub answered_drive: u64,
    /// When it was put.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// The trace that wrote it last.
    pub traceparent: Trace,
}

/// What an order says about its payment.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
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
    pub drive: u64,
}

/// Why no attempt may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartRefused {
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
    NotReadable,
}

impl Head {
    /// The head of an order that can be paid from now on.
    pub fn opened(expected: &Expected, now: Timestamp, trace: &Trace) -> Self {
        Self {
            order_id: expected.order_id,
            user_id: expected.user_id,
            amount: expected.amount.amount,
            currency: expected.amount.currency,
            expires_at: expected.expires_at,
            attempts_left: expected.tries,
            state: HeadState::Open,
            active_attempt: None,
            latest_attempt: None,
            last_fact: HeadFact::Opened,
            captured_total: 0,
            surplus_captured: 0,
            surplus_refunded: 0,
            surplus_refunds_reversed: 0,
            surplus_refunds_refused: Vec::new(),
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
            answered_drive: expected.drive,
            created_at: now,
            updated_at: now,
            traceparent: trace.clone(),
        }
    }

    /// The head of an order that can never be paid: it stands in the way of a command that comes late.
    pub fn never_opened(expected: &Expected, reason: &str, now: Timestamp, trace: &Trace) -> Self {
        Self {
            state: HeadState::Closed,
            last_fact: HeadFact::Closed,
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
    pub fn may_start(&self, now: Timestamp) -> Result<(), StartRefused> {
        match self.state {
            HeadState::Open if now < self.expires_at && self.attempts_left > 0 => Ok(()),
            HeadState::Open | HeadState::Closing | HeadState::Closed => Err(StartRefused::Closed),
            HeadState::Busy => Err(StartRefused::InProgress),
            HeadState::Captured => Err(StartRefused::AlreadyPaid),
            HeadState::Unknown(_) => Err(StartRefused::NotReadable),
        }
    }

    /// Whether the order still wants to be charged by this attempt: it has not been cancelled or paid otherwise, and has not expired.
    pub fn wants(&self, payment: PaymentId, now: Timestamp) -> bool {
        self.state == HeadState::Busy && self.active_attempt == Some(payment) && now < self.expires_at
    }

    /// Whether `amount` is what the order costs. Nothing said is nothing wrong.
    ///
    /// # Errors
    /// What differs.
    pub fn agrees_with(&self, amount: Option<Money>) -> Result<(), StartRefused> {
        match amount {
            Some(amount) if amount.currency != self.currency => Err(StartRefused::CurrencyMismatch),
            Some(amount) if amount.amount != self.amount => Err(StartRefused::AmountMismatch),
            _ => Ok(()),
        }
    }

    /// The head once it has answered `drive` again; `None` if it has answered that or a later one before.
    pub fn answering(&self, drive: u64, now: Timestamp, trace: &Trace) -> Option<Self> {
        (drive > self.answered_drive).then(|| Self { traceparent: trace.clone(), ..self.written(now) }.having_answered(drive))
    }

    /// What there is to tell: follows from the state, so that it can be told again at any time.
    pub fn fact(&self) -> HeadFact {
        match &self.state {
            _ if self.captured_total > 0 && self.refunded_net() + self.disputed_away() >= self.captured_total => HeadFact::Refunded,
            HeadState::Captured if self.refund_failed => HeadFact::RefundFailed,
            HeadState::Captured => HeadFact::Succeeded,
            HeadState::Closed => HeadFact::Closed,
            HeadState::Busy | HeadState::Closing => match self.last_fact {
                HeadFact::OutcomeUnknown | HeadFact::ActionRequired => self.last_fact.clone(),
                _ => HeadFact::Started,
            },
            HeadState::Open if self.latest_attempt.is_some() => HeadFact::Declined,
            HeadState::Open => HeadFact::Opened,
            HeadState::Unknown(state) => HeadFact::Unknown(state.clone()),
        }
    }

    /// How much of the order's money banks hold because of disputes.
    pub fn disputed_away(&self) -> i64 {
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
        self.automatic_refunds_failed >= AUTOMATIC_REFUND_TRIES
    }

    /// The head with `refundable` as its totals say.
    pub(super) fn with_refundable(self) -> Self {
        let left = self.captured_total - self.refunded_net() - self.refunds_pending - self.disputed_away();
        Self { refundable: left.max(0), ..self }
    }

    /// Whether the buyer may try again.
    pub fn next_try_possible(&self) -> bool {
        self.state == HeadState::Open && self.attempts_left > 0
    }

    /// The attempt to name beside the fact: the one that paid, else the one that began last.
    pub fn told_attempt(&self) -> Option<PaymentId> {
        self.captured_payment.or(self.latest_attempt)
    }

    /// A copy that counts as one more write.
    pub(super) fn written(&self, now: Timestamp) -> Self {
        Self { version: self.version + 1, updated_at: now, ..self.clone() }
    }

    pub(super) fn having_answered(mut self, drive: u64) -> Self {
        self.answered_drive = self.answered_drive.max(drive);
        self
    }
}

/// Why an attempt was abandoned by the fence.
pub(crate) const ORDER_CLOSED: &str = "order_closed";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{NOW, head, trace};

    #[test]
    fn an_attempt_starts_only_on_an_open_head_in_time_and_with_attempts_left() {
        let open = head();
        assert_eq!(open.may_start(NOW), Ok(()));
        assert_eq!(open.may_start(open.expires_at), Err(StartRefused::Closed));
        assert_eq!(Head { attempts_left: 0, ..open.clone() }.may_start(NOW), Err(StartRefused::Closed));
        for (state, refused) in [
            (HeadState::Busy, StartRefused::InProgress),
            (HeadState::Captured, StartRefused::AlreadyPaid),
            (HeadState::Closing, StartRefused::Closed),
            (HeadState::Closed, StartRefused::Closed),
            (HeadState::Unknown("paused".into()), StartRefused::NotReadable),
        ] {
            assert_eq!(Head { state, ..open.clone() }.may_start(NOW), Err(refused));
        }
    }

    #[test]
    fn a_state_of_a_newer_release_survives_being_answered() {
        let stored = Head { state: HeadState::from("paused".to_owned()), ..head() };
        let again = stored.answering(9, NOW, &trace()).expect("a change");
        assert_eq!(String::from(again.state), "paused");
    }
}
