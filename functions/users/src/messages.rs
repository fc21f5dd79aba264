//! The data of the messages that users publishes, as serialized.

use serde::Serialize;
use shared::{clock::Timestamp, ids::UserId, queue};

/// `send_notification.v1`: a mail about an account.
pub type SendNotification = queue::SendNotification<MailData>;

/// What a mail about an account speaks of.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MailData {
    /// The one-time token of the mail's link, sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed_token: Option<String>,
    /// Until when the link works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `user_changed.v1`: the current name and address of a user, for services that keep a copy.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct UserChanged {
    pub user_id: UserId,
    /// Grows with every change: what is older than what is known already is of no interest.
    pub version: u64,
    /// Their full name.
    pub name: String,
    /// Their address.
    pub email: String,
}

/// `user_deleted.v1`: an account was deleted; services that keep a copy of its data erase it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct UserDeleted {
    pub user_id: UserId,
    /// Above every version that a change carried.
    pub version: u64,
}
