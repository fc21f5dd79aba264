//! The command to send a notification, which several services send with the same fields.

use serde::Serialize;

use crate::{
    clock::Timestamp,
    ids::{NotificationId, UserId},
};

/// `send_notification.v1`: asks for a mail from a template, which decides what `data` holds.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct SendNotification<D> {
    /// Derived from what the mail reports: the same mail has the same id.
    pub notification_id: NotificationId,
    /// The recipient. The operator, who has no account, has an id too.
    pub user_id: UserId,
    /// The recipient's address.
    pub email: String,
    /// The recipient's name.
    pub name: String,
    /// The name of the template.
    pub template: &'static str,
    /// When what the mail reports happened.
    pub occurred_at: Timestamp,
    // What the template shows besides. Described by `D` itself: a description here would wrap its
    // schema in a `oneOf` of one.
    #[cfg_attr(feature = "api-document", schema(inline))]
    pub data: D,
}
