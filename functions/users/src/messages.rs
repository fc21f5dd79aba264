//! Payloads of the messages that users publishes, in their serialized form.

use serde::Serialize;
use shared::{clock::Timestamp, ids::UserId, queue};

/// `send_notification.v1`: a mail about an account.
pub type SendNotification = queue::SendNotification<MailData>;

/// Data of an account mail that only some templates use.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MailData {
    /// One-time token of the link in the mail, sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed_token: Option<String>,
    /// When the link expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `user_changed.v1`: the current name and address of a user, for services that keep a copy.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct UserChanged {
    pub user_id: UserId,
    /// Version of the user, which grows with every change. Consumers ignore a message whose version
    /// is not above the one they have.
    pub version: u64,
    pub name: String,
    /// Address in its normal form.
    pub email: String,
}

/// `user_deleted.v1`: an account was deleted; services that keep a copy of its data erase it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct UserDeleted {
    pub user_id: UserId,
    /// Version of the deletion, above the versions of all changes.
    pub version: u64,
}
