//! One file for each function.

pub mod adjust_stock;
pub mod check_reservations;
pub mod commit_stock;
pub mod get_stock;
pub mod publish_stock_events;
pub mod release_stock;
pub mod reserve_stock;

/// What the API document says of this service.
#[cfg(feature = "api-document")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(adjust_stock::adjust_stock, get_stock::get_stock))]
pub struct ApiDocument;
