//! What can go wrong with the ledger.

use shared::{queue::Retryable, table::TableError};

use crate::domain::EntryId;

/// Why an entry was not recorded, or books could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Two messages tell different things under one id: one of them is wrong, and nobody here can
    /// say which.
    #[error("the entry {0} stands there with another content")]
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
