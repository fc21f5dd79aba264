//! What this service does: one file for each function.

pub mod forget_recipient;
pub mod list_notifications;
pub mod read_notification;
pub mod record_mail_feedback;
pub mod send_account_notification;
pub mod send_notification;

/// What the API document says of this service.
#[cfg(feature = "api-document")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(list_notifications::list_notifications, read_notification::read_notification))]
pub struct ApiDocument;
