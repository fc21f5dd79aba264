//! Errors of inventory and, at the end, their mapping to API problems.

use shared::{
    http::IdempotencyKey, ids::ProductId, problem::Problem, queue::Retryable, table::TableError,
};

use crate::domain::{movement::MAX_ON_HAND, reservation::DecideError};

/// Why stock cannot be adjusted or reserved.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The adjustment exceeds the available stock.
    #[error("only {available} are available")]
    InsufficientStock { available: i64 },
    /// The quantity on hand would exceed [`MAX_ON_HAND`].
    #[error("stock limit exceeded")]
    StockLimitExceeded,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another movement")]
    KeyReused,
    /// The command cannot be executed yet.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// A reservation's stock is missing when it is returned or committed: quantities and
    /// reservations contradict each other.
    #[error("stock of {product_id} contradicts its reservations")]
    StockMismatch { product_id: ProductId },
    /// Every write attempt conflicted with another writer.
    #[error("every write of the reservation conflicted with another")]
    Contended,
    #[error("the table of stock failed")]
    Table(#[from] TableError),
}

/// Every error may pass: an earlier message arrives, a transaction ends, the stock is corrected.
impl Retryable for InventoryError {}

impl From<InventoryError> for Problem {
    fn from(error: InventoryError) -> Self {
        match error {
            InventoryError::InsufficientStock { available } => {
                Self::conflict("insufficient_stock", "Adjustment exceeds available stock")
                    .detail(
                        "Stock reserved for orders cannot be removed. Remove at most `available`.",
                    )
                    .with("available", available)
            }
            InventoryError::StockLimitExceeded => {
                Self::conflict("stock_limit_exceeded", "Stock limit exceeded").detail(&format!(
                    "The stock of one product is at most {MAX_ON_HAND}. Add fewer."
                ))
            }
            InventoryError::KeyReused => IdempotencyKey::reused(),
            InventoryError::Table(error) => error.into(),
            InventoryError::Contended => Self::unavailable(),
            error @ (InventoryError::Decide(_) | InventoryError::StockMismatch { .. }) => {
                Self::internal().caused_by(&error)
            }
        }
    }
}
