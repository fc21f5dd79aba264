//! Errors of the ledger.

use shared::{queue::Retryable, table::TableError};

use crate::domain::EntryId;

/// Why an entry could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Two messages with the same id have different contents. One of them is wrong, and the ledger
    /// cannot decide which.
    #[error("entry {0} is already recorded with different contents")]
    Mismatch(EntryId),
    #[error("a table failed")]
    Table(#[from] TableError),
}

impl Retryable for LedgerError {
    fn is_retryable(&self) -> bool {
        !matches!(self, Self::Mismatch(_))
    }
}
