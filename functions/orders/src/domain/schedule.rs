//! The schedule of an unsettled order: its next check, and the commands without an answer. No state
//! of the order depends on it.

use std::time::Duration;

use shared::clock::Timestamp;

/// The delays of scheduled checks.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The delay before the first check. It doubles with each further check, up to one hour.
    pub first_retry: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// How often the pending commands were sent again. Commands carry this number, so an answer can
    /// be distinguished from an earlier one.
    pub attempt: u64,
    /// How often the commands were sent again since the state last changed.
    pub retries: u32,
    /// When the order is checked next; `None` if no command is pending.
    pub next_check_at: Option<Timestamp>,
    /// The wait for an answer of inventory; `None` if no command to it is pending.
    pub stock_unanswered: Option<Unanswered>,
    /// The wait for an answer of payments; `None` if no command to it is pending, or if the order
    /// waits for its buyer.
    pub payment_unanswered: Option<Unanswered>,
}

impl Schedule {
    /// The schedule of an order that is placed at `now`: `reserve_stock` is pending.
    pub(super) fn begin(now: Timestamp, expires_at: Timestamp, timing: Timing) -> Self {
        Self {
            attempt: 0,
            retries: 0,
            next_check_at: Some(now.plus(timing.first_retry).min(expires_at)),
            stock_unanswered: Some(Unanswered::since(now)),
            payment_unanswered: None,
        }
    }
}

/// Scheduled checks without an answer after which an order is stuck. With the default
/// `RetrySeconds` the first runs within a minute of the command, the second two minutes later.
const CHECKS_WITHOUT_ANSWER: u32 = 2;

/// A wait for the answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered {
    pub since: Timestamp,
    /// Scheduled checks that found no answer.
    pub checks: u32,
}

impl Unanswered {
    /// The wait for a command that is sent at `now`.
    pub fn since(now: Timestamp) -> Self {
        Self { since: now, checks: 0 }
    }

    /// Whether the second scheduled check found no answer.
    pub(super) fn is_overdue(&self) -> bool {
        self.checks >= CHECKS_WITHOUT_ANSWER
    }
}
