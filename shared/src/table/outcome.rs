//! Outcomes and errors of calls.

use super::expression::Item;
use crate::problem::Problem;

/// A write without an outcome, or a failed read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TableError {
    /// Throttled, in conflict with another transaction, or unreachable. A retry may succeed.
    #[error("{call} on {table} failed temporarily: {cause}")]
    Unavailable {
        table: String,
        /// Name of the API call, such as `PutItem`.
        call: &'static str,
        /// Error chain of the SDK.
        cause: String,
    },
    /// DynamoDB rejects the call: a missing permission or table, or a programming error.
    #[error("{call} on {table} rejected: {cause}")]
    Rejected {
        table: String,
        /// Name of the API call, such as `PutItem`.
        call: &'static str,
        /// Error chain of the SDK.
        cause: String,
    },
    /// An item does not match the type that this release reads.
    #[error("item not readable as {expected}")]
    Unreadable {
        /// Name of the expected type. serde's message is omitted, because it can contain a value.
        expected: &'static str,
    },
}

impl TableError {
    /// Returns whether a retry of the same call may succeed.
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

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Written,
    /// The condition failed. Contains the existing item, if there is one.
    ConditionFailed(Option<Item>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum TransactionOutcome {
    /// All writes were applied.
    Written,
    /// No write was applied. Contains one entry per write: `Some` if its condition failed.
    Cancelled(Vec<Option<Conflict>>),
}

/// A write of a transaction whose condition failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The existing item, if there is one.
    pub item: Option<Item>,
}
