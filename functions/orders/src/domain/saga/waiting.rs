//! Which commands have no answer: since when, and at how many scheduled checks. This is bookkeeping: no state of the order depends on it.
//!
//! Stock and payment are counted each on its own. Their count begins when a command becomes pending and begins anew with each answer. It goes
//! on where one unanswered command takes the place of another (an order that expires before its stock was reserved has it released): the
//! same service does not answer.
//!
//! An answer of inventory always moves the stock. Payments also answers how far a payment is, which moves nothing: its newer version counts.

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;

use super::{Event, Goal, Order, Owed, PaymentLeg, StockLeg, owed};
use crate::domain::history::Waiting;

/// Scheduled checks without an answer after which an order counts as stuck: with checks after one and three minutes, that is
/// three minutes.
const CHECKS_WITHOUT_ANSWER: u32 = 2;

/// A command that has no answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// Since when.
    pub since: Timestamp,
    /// At how many scheduled checks there was none.
    pub checks: u32,
}

impl Unanswered {
    /// A command that is sent now.
    pub fn since(now: Timestamp) -> Self {
        Self { since: now, checks: 0 }
    }

    fn is_overdue(&self) -> bool {
        self.checks >= CHECKS_WITHOUT_ANSWER
    }
}

impl Owed {
    /// The name of the command, as the history shows it. `has_method`: the order is charged without a request of the buyer.
    pub fn name(self, has_method: bool) -> &'static str {
        match self {
            Self::ReserveStock => "reserve_stock",
            Self::CommitStock => "commit_stock",
            Self::ReleaseStock => "release_stock",
            Self::OpenPayment if has_method => "charge_payment",
            Self::OpenPayment => "open_payment",
            Self::CancelPayment => "cancel_payment",
            Self::RefundPayment => "refund_payment",
        }
    }

    fn is_for_stock(self) -> bool {
        matches!(self, Self::ReserveStock | Self::CommitStock | Self::ReleaseStock)
    }
}

impl Order {
    /// Whether it is the buyer's turn, who may take their time: to pay, to pay again after a decline, or to act at their bank.
    pub fn awaits_buyer(&self) -> bool {
        let can_be_paid = self.goal == Goal::Fulfil && self.stock == StockLeg::Held;
        can_be_paid
            && match self.payment {
                PaymentLeg::Open => self.payment_opened || self.last_declined.is_some(),
                PaymentLeg::Processing => self.payment_in_flight_since.is_none(),
                _ => false,
            }
    }

    /// The commands that had no answer at their second scheduled check, each with the time since which it has none.
    pub fn overdue_commands(&self) -> impl Iterator<Item = (Owed, Timestamp)> {
        owed(self).into_iter().filter_map(move |owed| {
            let unanswered = if owed.is_for_stock() { self.stock_unanswered } else { self.payment_unanswered };
            unanswered.filter(Unanswered::is_overdue).map(|unanswered| (owed, unanswered.since))
        })
    }

    /// Counts what the change from `before` by `event` answers, and what it leaves without an answer.
    pub(super) fn count_answers(&mut self, before: &Self, event: &Event, now: Timestamp) {
        let pending = owed(self);
        let stock_answered = event.is_of_stock() && self.stock != before.stock;
        let payment_answered = event.is_of_payment() && (self.payment != before.payment || self.payment_version > before.payment_version);
        let is_check = matches!(event, Event::Nudge | Event::Deadline);
        let next = |is_pending: bool, is_answered: bool, unanswered: Option<Unanswered>| match unanswered {
            _ if !is_pending => None,
            Some(unanswered) if !is_answered => Some(Unanswered { checks: unanswered.checks + u32::from(is_check), ..unanswered }),
            _ => Some(Unanswered::since(now)),
        };
        let stock_pending = pending.iter().any(|owed| owed.is_for_stock());
        let payment_pending = pending.iter().any(|owed| !owed.is_for_stock()) && !self.awaits_buyer();
        self.stock_unanswered = next(stock_pending, stock_answered, self.stock_unanswered);
        self.payment_unanswered = next(payment_pending, payment_answered, self.payment_unanswered);
    }

    /// Writes down for which commands the order waits, and which of them are answered: one entry for each wait, however often it is asked
    /// again. Returns whether the history changed.
    pub(super) fn note_waiting(&mut self, now: Timestamp) -> bool {
        let has_method = self.payment_method.is_some();
        let overdue: Vec<(Owed, Timestamp)> = self.overdue_commands().collect();
        let waits: Vec<Waiting> = overdue
            .into_iter()
            .map(|(owed, since)| Waiting { command: owed.name(has_method), since, is_of_stock: owed.is_for_stock() })
            .collect();
        self.record_waiting(&waits, now)
    }
}

impl Event {
    fn is_of_stock(&self) -> bool {
        matches!(self, Self::StockReserved(_) | Self::StockRejected(_) | Self::StockCommitted(_) | Self::StockReleased(_))
    }

    fn is_of_payment(&self) -> bool {
        matches!(
            self,
            Self::PaymentOpened(_)
                | Self::PaymentStarted(_)
                | Self::PaymentUnknown(_)
                | Self::PaymentDeclined(_)
                | Self::PaymentSucceeded(_)
                | Self::PaymentClosed(_)
                | Self::PaymentRefunded(_)
                | Self::RefundFailed(_)
                | Self::PaymentDisputed(_)
        )
    }
}
