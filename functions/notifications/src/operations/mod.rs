//! What this service does: one file for each function.

pub mod list_notifications;
pub mod send_notification;
