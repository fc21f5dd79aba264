//! The command to send a notification, which several services send with the same fields.

use serde::Serialize;

use crate::{
    clock::Timestamp,
    ids::{NotificationId, UserId},
};

/// `send_notification.v1`: requests a mail from a template. The template determines the fields of
/// `data`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct SendNotification<D> {
    /// Derived from the event that the mail reports: the same mail has the same id.
    pub notification_id: NotificationId,
    /// The recipient. The operator has an id too, although there is no account for it.
    pub user_id: UserId,
    /// The recipient's address.
    pub email: String,
    /// The recipient's name.
    pub name: String,
    /// Name of the template, which determines the fields of `data`.
    pub template: &'static str,
    /// When the reported event happened.
    pub occurred_at: Timestamp,
    // Fields of the template. Described by `D` itself: a description here would wrap its schema in
    // a `oneOf` with one entry.
    #[cfg_attr(feature = "api-document", schema(inline))]
    pub data: D,
}
