//! What this service does: one file for each function.

pub mod forget_recipient;
pub mod list_notifications;
pub mod send_notification;

/// What the API document says of this service.
#[cfg(feature = "api-document")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(list_notifications::list_notifications))]
pub struct ApiDocument;
