//! Deadlines and scheduled checks: when an order expires, is checked, and is stuck.
//!
//! The order tracks which commands have no answer. No state depends on this. Commands to inventory
//! and commands to payments are tracked separately:
//!
//! - A wait starts when a command becomes pending, and restarts with each answer.
//! - A wait continues if one unanswered command replaces another, because the same service still
//!   does not answer. Example: an order expires before its stock is reserved, so `release_stock`
//!   replaces `reserve_stock`.
//! - Every answer of inventory changes the stock state. Payments also reports progress that changes
//!   no state, so a newer version of the payment counts as an answer.

use shared::{clock::Timestamp, retry};

use crate::domain::{
    command::PendingCommand,
    history::{HistoryEntry, NewEntry, SHIPPING_ADDRESS_CHANGED, WAITING},
    order::Order,
    progress::Progress,
    schedule::{Timing, Unanswered},
    state::{Goal, PaymentState, Status},
};

/// Scheduled checks without progress after which an order is stuck, even if every command was
/// answered.
const CHECKS_WITHOUT_PROGRESS: u32 = 5;

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Inventory,
    Payments,
    ScheduledCheck,
    Person,
}

/// The wait for the answer to an overdue command.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wait {
    command: &'static str,
    since: Timestamp,
    is_for_stock: bool,
}

impl Order {
    /// Cancels an order that is past its payment deadline and not paid.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<NewEntry> {
        let overdue = now >= self.placed.expires_at
            && self.progress.goal == Goal::Fulfil
            && self.progress.status == Status::Pending;
        // A paid order that still waits for its stock does not expire.
        if !overdue || self.progress.payment == PaymentState::Paid {
            return Vec::new();
        }
        // A free order waits only for its stock.
        let is_free = self.placed.is_free();
        let reason = if is_free { "not_reserved_in_time" } else { "not_paid_in_time" };
        self.progress.compensate(Goal::Cancel, reason);
        vec![NewEntry::new("expired")]
    }

    /// Starts a new attempt, which makes the table's stream publish the pending commands again.
    pub(super) fn resend_commands(&mut self) -> Vec<NewEntry> {
        if !self.progress.is_idle() {
            self.schedule.attempt += 1;
        }
        Vec::new()
    }

    /// Schedules the next check. `moved` means that the state changed, `checked` that a scheduled
    /// check caused the change. The check moves only if it must, because each move rewrites the
    /// index of due orders:
    ///
    /// - An order that waits for its buyer is checked at its payment deadline.
    /// - A check without progress schedules the next one with exponential backoff.
    /// - Any other change keeps a check that is early enough. The first check of a command
    ///   therefore comes at most one delay after the command. An overdue order stays due until the
    ///   next sweep.
    ///
    /// An unpaid order is checked no later than its payment deadline.
    pub(super) fn schedule_next_check(
        &mut self,
        moved: bool,
        checked: bool,
        now: Timestamp,
        timing: Timing,
    ) {
        let (progress, schedule, expires_at) =
            (&self.progress, &mut self.schedule, self.placed.expires_at);
        if progress.is_idle() {
            schedule.next_check_at = None;
            schedule.retries = 0;
            return;
        }
        if moved {
            schedule.retries = 0;
        } else if checked {
            schedule.retries += 1;
        }
        if progress.awaits_buyer() && now < expires_at {
            schedule.next_check_at = Some(expires_at);
            return;
        }
        let latest = now.plus(retry::exponential_backoff(schedule.retries, timing.first_retry));
        let is_unpaid = progress.goal == Goal::Fulfil
            && progress.status == Status::Pending
            && progress.payment != PaymentState::Paid;
        let latest = if is_unpaid && now < expires_at { latest.min(expires_at) } else { latest };
        let planned = schedule.next_check_at.filter(|planned| !checked && *planned <= latest);
        schedule.next_check_at = Some(planned.unwrap_or(latest));
    }

    /// Whether the order is stuck: a command had no answer at its second scheduled check, or five
    /// checks passed without progress although every command was answered. An order that waits for
    /// its buyer is not stuck.
    pub fn is_stuck(&self) -> bool {
        let idle = self.progress.is_idle() || self.progress.awaits_buyer();
        self.overdue_commands().next().is_some()
            || !idle && self.schedule.retries >= CHECKS_WITHOUT_PROGRESS
    }

    /// The time of the last progress of an order that waits for inventory or payments. `None` if no
    /// command is pending, or if the order waits for its buyer.
    pub fn waits_since(&self) -> Option<Timestamp> {
        let is_waiting = !self.progress.is_idle() && !self.progress.awaits_buyer();
        let is_progress =
            |entry: &&HistoryEntry| ![WAITING, SHIPPING_ADDRESS_CHANGED].contains(&&*entry.event);
        let last = self.progress.history.iter().rfind(is_progress);
        is_waiting.then(|| last.map_or(self.placed.created_at, |entry| entry.at))
    }

    /// The commands that had no answer at their second scheduled check, each with the start of its
    /// wait.
    pub fn overdue_commands(&self) -> impl Iterator<Item = (PendingCommand, Timestamp)> {
        self.progress.pending_commands().into_iter().filter_map(move |command| {
            let unanswered = if command.is_for_stock() {
                self.schedule.stock_unanswered
            } else {
                self.schedule.payment_unanswered
            };
            unanswered.filter(Unanswered::is_overdue).map(|unanswered| (command, unanswered.since))
        })
    }

    /// Updates the waits for answers after the change from `before`.
    pub(super) fn track_answers(&mut self, before: &Progress, source: Source, now: Timestamp) {
        let (progress, pending) = (&self.progress, self.progress.pending_commands());
        let stock_answered = source == Source::Inventory && progress.stock != before.stock;
        let payment_moved =
            progress.payment != before.payment || progress.payment_version > before.payment_version;
        let payment_answered = source == Source::Payments && payment_moved;
        let next = |is_pending: bool, is_answered: bool, unanswered: Option<Unanswered>| {
            match unanswered {
                _ if !is_pending => None,
                Some(unanswered) if !is_answered => Some(Unanswered {
                    checks: unanswered.checks + u32::from(source == Source::ScheduledCheck),
                    ..unanswered
                }),
                _ => Some(Unanswered::since(now)),
            }
        };
        let stock_pending = pending.iter().any(|command| command.is_for_stock());
        let payment_pending =
            pending.iter().any(|command| !command.is_for_stock()) && !progress.awaits_buyer();
        self.schedule.stock_unanswered =
            next(stock_pending, stock_answered, self.schedule.stock_unanswered);
        self.schedule.payment_unanswered =
            next(payment_pending, payment_answered, self.schedule.payment_unanswered);
    }

    /// Records overdue commands and their answers in the history: one entry per wait, even if the
    /// command is sent several times. Returns whether the history changed.
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
    /// Keeps one history entry per wait: adds it, updates its command, and sets the time of the
    /// answer.
    fn record_wait(&mut self, is_for_stock: bool, wait: Option<&Wait>, now: Timestamp) -> bool {
        let open = self
            .history
            .iter_mut()
            .rfind(|entry| entry.is_open_wait() && entry.is_about_stock() == is_for_stock);
        match (wait, open) {
            (Some(wait), Some(entry)) if entry.since == Some(wait.since) => {
                let is_replaced = entry.pending_command.as_deref() != Some(wait.command);
                entry.pending_command = Some(wait.command.to_owned());
                is_replaced
            }
            (None, None) => false,
            (wait, open) => {
                if let Some(entry) = open {
                    entry.answered_at = Some(now);
                }
                if let Some(wait) = wait {
                    let entry = NewEntry::new(WAITING).at(now, &self.status);
                    self.record([HistoryEntry {
                        pending_command: Some(wait.command.to_owned()),
                        since: Some(wait.since),
                        ..entry
                    }]);
                }
                true
            }
        }
    }
}
