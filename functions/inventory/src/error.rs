//! What can go wrong with stock, in the words of the trade; at the end, as problems.

use shared::{
    http::IdempotencyKey, ids::ProductId, problem::Problem, queue::Retryable, table::TableError,
};

use crate::domain::{movement::MAX_ON_HAND, reservation::DecideError};

/// What can go wrong with stock.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// So many cannot go: there are not as many, or orders wait for them.
    #[error("only {available} are available")]
    InsufficientStock {
        /// So many could.
        available: i64,
    },
    /// So many cannot come in.
    #[error("there would be too many")]
    StockLimitExceeded,
    /// The key was used for another request.
    #[error("the idempotency key was used for another movement")]
    KeyReused,
    /// Nothing can be decided yet.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// What a reservation took is not there to be given back or sold: the figures and the
    /// reservations contradict each other.
    #[error("the books of {product_id} are broken")]
    LedgerMismatch {
        /// Whose figures.
        product_id: ProductId,
    },
    /// Others changed the reservation each time.
    #[error("the reservation kept changing")]
    Contended,
    /// The table failed.
    #[error("the table of stock failed")]
    Table(#[from] TableError),
}

/// Each may pass: another message comes first, a transaction ends, the figures are corrected.
impl Retryable for InventoryError {}

impl From<InventoryError> for Problem {
    fn from(error: InventoryError) -> Self {
        match error {
            InventoryError::InsufficientStock { available } => Self::conflict("insufficient_stock", "Adjustment exceeds available stock")
                .detail("What is held for orders cannot be taken away. Take away no more than is available.")
                .with("available", available),
            InventoryError::StockLimitExceeded => Self::conflict("stock_limit_exceeded", "Stock limit exceeded")
                .detail(&format!("Of one product there can be {MAX_ON_HAND} on hand.")),
            InventoryError::KeyReused => IdempotencyKey::reused(),
            InventoryError::Table(error) => error.into(),
            InventoryError::Contended => Self::unavailable(),
            error @ (InventoryError::Decide(_) | InventoryError::LedgerMismatch { .. }) => Self::internal().caused_by(&error),
        }
    }
}
