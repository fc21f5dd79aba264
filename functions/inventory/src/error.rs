//! What can go wrong with stock, in the words of the trade; at the end, as problems.

use shared::{
    http::IdempotencyKey, ids::ProductId, problem::Problem, queue::Retryable, table::TableError,
};

use crate::domain::{movement::MAX_ON_HAND, reservation::DecideError};

/// What can go wrong with stock.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The adjustment exceeds the available stock: the rest is reserved or missing.
    #[error("only {available} are available")]
    InsufficientStock {
        /// The quantity that is available.
        available: i64,
    },
    /// The stock limit would be exceeded.
    #[error("there would be too many")]
    StockLimitExceeded,
    /// The key was used for another request.
    #[error("the idempotency key was used for another movement")]
    KeyReused,
    /// Nothing can be decided yet.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// Stock that a reservation took is missing when it is to be returned or committed: figures and
    /// reservations contradict each other.
    #[error("stock of {product_id} contradicts its reservations")]
    StockMismatch {
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
            error @ (InventoryError::Decide(_) | InventoryError::StockMismatch { .. }) => Self::internal().caused_by(&error),
        }
    }
}
