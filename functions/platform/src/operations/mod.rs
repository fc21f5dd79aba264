//! What this service does: one file for each function.

pub mod get_health;

/// What the API document says of this service.
#[cfg(feature = "api-document")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(get_health::get_health, get_health::get_health_of_service))]
pub struct ApiDocument;
