//! `POST /notifications/{notification_id}/read`: marks a notification as read.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use crate::Notifications;

/// Answers `204`, also if the notification was already read: the first time is kept. Admins, like
/// all users, can mark only their own.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/notifications/{notification_id}/read",
    params(("notification_id" = shared::ids::NotificationId, Path, description = "The notification.")),
    responses((status = 204, description = "It is marked as read.")),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["owner"])), ("x-problems" = json!(["notification_not_found"]))),
))]
pub async fn read_notification(
    notifications: Arc<Notifications>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let notification_id = request.path_id("notification_id", "notification")?;

    notifications
        .store
        .mark_read(caller.user_id, notification_id, notifications.clock.now())
        .await?;
    Ok(http::no_content())
}
