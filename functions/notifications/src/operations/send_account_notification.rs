//! Queue `send-account-notification`: sends mails about accounts, apart from all others.
//!
//! Works like `send-notification`. A separate queue and concurrency prevent a backlog of order
//! mails from delaying a password reset.

use std::sync::Arc;

use shared::queue::Received;

use super::send_notification::send_notification;
use crate::{Notifications, error::NotificationError, messages::SendNotification};

/// Sends one mail; see [`send_notification`].
///
/// # Errors
/// As [`send_notification`].
pub async fn send_account_notification(
    notifications: Arc<Notifications>,
    received: Received<SendNotification>,
) -> Result<(), NotificationError> {
    send_notification(notifications, received).await
}
