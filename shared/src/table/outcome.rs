//! Outcomes of calls, and errors.

use super::expression::Item;
use crate::problem::Problem;

/// A write that did not come to a decision, or a read that failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TableError {
    /// Throttled, in conflict with another transaction, or out of reach: the same call may succeed
    /// later.
    #[error("{table} does not take {call} at the moment: {cause}")]
    Unavailable {
        /// The table's name.
        table: String,
        /// The call, such as `PutItem`.
        call: &'static str,
        /// What the SDK said.
        cause: String,
    },
    /// DynamoDB refuses the call itself: a missing permission or table, or a mistake of ours.
    #[error("{table} refuses {call}: {cause}")]
    Rejected {
        /// The table's name.
        table: String,
        /// The call, such as `PutItem`.
        call: &'static str,
        /// What the SDK said.
        cause: String,
    },
    /// An item is not of the shape that this release reads.
    #[error("an item is no {expected}")]
    Unreadable {
        /// What it was to be read as. Serde's own words may repeat a value, and stay away.
        expected: &'static str,
    },
}

impl TableError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl From<TableError> for Problem {
    fn from(error: TableError) -> Self {
        let problem = if error.is_transient() { Self::unavailable() } else { Self::internal() };
        problem.caused_by(&error)
    }
}

/// The outcome of a write.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is written.
    Written,
    /// The condition failed; with the existing item, if there is one.
    ConditionFailed(Option<Item>),
}

/// The outcome of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum TransactionOutcome {
    /// All of it is written.
    Written,
    /// None of it is. One entry for each write: `Some` where that write's condition did not hold.
    Cancelled(Vec<Option<Conflict>>),
}

/// A write of a transaction whose condition did not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The existing item, if there is one.
    pub item: Option<Item>,
}
