//! When an unsettled order is checked next, and which of its commands have no answer. No state of
//! the order depends on this.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// When an unsettled order is checked first; then after twice as long, and so on.
    pub first_retry: Duration,
}

/// When an order is checked next.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// How often the pending commands were sent: commands carry it, so that an answer can be told
    /// from an old one.
    pub attempt: u64,
    /// How often they were sent again since something last moved.
    pub retries: u32,
    /// When the order is checked next; none once it is settled.
    pub next_check_at: Option<Timestamp>,
    /// The command to inventory that has no answer yet.
    pub stock_unanswered: Option<Unanswered>,
    /// The command to payments that has no answer yet.
    pub payment_unanswered: Option<Unanswered>,
}

impl Schedule {
    /// Of an order that is placed now: inventory is asked to hold its stock.
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

/// Scheduled checks without an answer after which an order counts as stuck: with checks after one
/// and three minutes, that is three minutes.
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

    /// Whether it had no answer at its second scheduled check.
    pub(super) fn is_overdue(&self) -> bool {
        self.checks >= CHECKS_WITHOUT_ANSWER
    }
}
