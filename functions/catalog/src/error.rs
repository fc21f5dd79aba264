//! Errors of catalog and their problem responses.

use shared::{http::IdempotencyKey, problem::Problem, secret::SecretError, table::TableError};

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The product does not exist or is no longer sold.
    #[error("product not found")]
    NotFound,
    /// Another product has this SKU.
    #[error("another product has this SKU")]
    SkuTaken,
    /// The change is based on an outdated version.
    #[error("the product has changed: it is in version {current}")]
    Stale { current: u64 },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another product")]
    KeyReused,
    #[error("the table of products failed")]
    Table(#[from] TableError),
    /// The key that seals cursors is unavailable.
    #[error("the key of cursors could not be read")]
    Secret(#[from] SecretError),
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound => Self::not_found("product"),
            CatalogError::SkuTaken => Self::conflict("sku_taken", "SKU already in use")
                .detail("Choose another SKU, or change the product that has it."),
            CatalogError::Stale { current } => Self::precondition_failed(current),
            CatalogError::KeyReused => IdempotencyKey::reused(),
            CatalogError::Table(error) => error.into(),
            CatalogError::Secret(error) => Self::unavailable().caused_by(&error),
        }
    }
}
