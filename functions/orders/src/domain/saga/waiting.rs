//! Which commands have no answer: since when, and at how many scheduled checks. This is bookkeeping: no state of the order depends on it.
//!
//! Stock and payment are counted each on its own. Their count begins when a command becomes pending and begins anew with each answer. It
//! continues where one unanswered command takes the place of another (an order that expires before its stock was reserved has it
//! released): the same service does not answer.
//!
//! An answer of inventory always moves the stock. Payments also answers how far a payment is, which moves nothing: its newer version counts.

use shared::clock::Timestamp;

use crate::domain::{
    command::PendingCommand,
    history::{HistoryEntry, NewEntry, WAITING},
    order::Order,
    progress::Progress,
    schedule::Unanswered,
    state::{Goal, PaymentLeg, StockLeg},
};

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Inventory,
    Payments,
    ScheduledCheck,
    Person,
}

/// A command that has no answer for long.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wait {
    command: &'static str,
    since: Timestamp,
    is_for_stock: bool,
}

impl Order {
    /// The commands that had no answer at their second scheduled check, each with the time since which it has none.
    pub fn overdue_commands(&self) -> impl Iterator<Item = (PendingCommand, Timestamp)> {
        self.progress.pending_commands().into_iter().filter_map(move |command| {
            let unanswered = if command.is_for_stock() { self.schedule.stock_unanswered } else { self.schedule.payment_unanswered };
            unanswered.filter(Unanswered::is_overdue).map(|unanswered| (command, unanswered.since))
        })
    }

    /// Counts what the change from `before` answers, and what it leaves without an answer.
    pub(super) fn count_answers(&mut self, before: &Progress, source: Source, now: Timestamp) {
        let (progress, pending) = (&self.progress, self.progress.pending_commands());
        let stock_answered = source == Source::Inventory && progress.stock != before.stock;
        let payment_moved = progress.payment != before.payment || progress.payment_version > before.payment_version;
        let payment_answered = source == Source::Payments && payment_moved;
        let next = |is_pending: bool, is_answered: bool, unanswered: Option<Unanswered>| match unanswered {
            _ if !is_pending => None,
            Some(unanswered) if !is_answered => {
                Some(Unanswered { checks: unanswered.checks + u32::from(source == Source::ScheduledCheck), ..unanswered })
            }
            _ => Some(Unanswered::since(now)),
        };
        let stock_pending = pending.iter().any(|command| command.is_for_stock());
        let payment_pending = pending.iter().any(|command| !command.is_for_stock()) && !progress.awaits_buyer();
        self.schedule.stock_unanswered = next(stock_pending, stock_answered, self.schedule.stock_unanswered);
        self.schedule.payment_unanswered = next(payment_pending, payment_answered, self.schedule.payment_unanswered);
    }

    /// Records for which commands the order waits, and which of them are answered: one entry for each wait, however often the command is
    /// sent again. Returns whether the history changed.
    pub(super) fn record_waiting(&mut self, now: Timestamp) -> bool {
        let has_method = self.customer.payment_method.is_some();
        let wait = |(command, since): (PendingCommand, Timestamp)| Wait {
            command: command.name(has_method),
            since,
            is_for_stock: command.is_for_stock(),
        };
        let waits: Vec<Wait> = self.overdue_commands().map(wait).collect();
        let mut changed = false;
        for is_for_stock in [true, false] {
            let wait = waits.iter().find(|wait| wait.is_for_stock == is_for_stock);
            changed |= self.progress.record_wait(is_for_stock, wait, now);
        }
        changed
    }
}

impl Progress {
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

    /// Keeps one entry for each wait: begins it, names the command that is pending now, and ends it with the answer.
    fn record_wait(&mut self, is_for_stock: bool, wait: Option<&Wait>, now: Timestamp) -> bool {
        let open = self.history.iter_mut().rfind(|entry| entry.is_open_wait() && entry.is_about_stock() == is_for_stock);
        match (wait, open) {
            (Some(wait), Some(entry)) if entry.since == Some(wait.since) => {
                let is_other = entry.waits_for.as_deref() != Some(wait.command);
                entry.waits_for = Some(wait.command.to_owned());
                is_other
            }
            (None, None) => false,
            (wait, open) => {
                if let Some(entry) = open {
                    entry.answered_at = Some(now);
                }
                if let Some(wait) = wait {
                    let entry = NewEntry::of(WAITING).at(now, &self.status);
                    self.record([HistoryEntry { waits_for: Some(wait.command.to_owned()), since: Some(wait.since), ..entry }]);
                }
                true
            }
        }
    }
}
