//! What can go wrong with the ledger.

use shared::{queue::Retryable, table::TableError};

use crate::domain::EntryId;

/// Why an entry was not recorded, or books could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Two messages with one id have different contents: one of them is wrong, and the ledger
    /// cannot decide which.
    #[error("entry {0} is recorded with another content")]
    Mismatch(EntryId),
    /// The table failed.
    #[error("a table failed")]
    Table(#[from] TableError),
}

impl Retryable for LedgerError {
    fn is_retryable(&self) -> bool {
        !matches!(self, Self::Mismatch(_))
    }
}
