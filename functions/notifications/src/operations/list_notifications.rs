//! `GET /notifications`: lists the caller's notifications of the last 90 days, newest first.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    clock::Timestamp,
    http::{self, CursorKey, Page, Request, Response},
    ids::{NotificationId, OrderId},
    problem::Problem,
};

use crate::{
    Notifications,
    domain::{Delivery, Notification},
};

/// Answers `200` with a page of the caller's own notifications. Admins also see only their own.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/notifications",
    params(http::PageRequest),
    responses((status = 200, description = "A page of notifications, the newest first.", body = Page<NotificationView>)),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["user", "admin"]))),
))]
pub async fn list_notifications(
    notifications: Arc<Notifications>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let page = request.page()?;

    let now = notifications.clock.now();
    let scope = ["list-notifications", &caller.user_id.to_string()];
    let after = match page.has_cursor() {
        true => page.after(&cursor_key(&notifications).await?, &scope, now)?,
        false => None,
    };
    let found = notifications.store.list(caller.user_id, after, page.limit).await?;

    let mut next_cursor = None;
    if let Some(last) = found.next {
        next_cursor = Some(page.next(
            &cursor_key(&notifications).await?,
            &scope,
            &last,
            now,
            &notifications.ids,
        ));
    }
    Ok(http::ok(&Page {
        items: found.items.into_iter().map(NotificationView::from).collect(),
        next_cursor,
    }))
}

async fn cursor_key(notifications: &Notifications) -> Result<CursorKey, Problem> {
    let keys = notifications
        .secrets
        .keys("notifications-key")
        .await
        .map_err(|error| Problem::unavailable().caused_by(&error))?;
    Ok(CursorKey::new(keys.derive("cursor")))
}

/// A notification of the caller.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct NotificationView {
    id: NotificationId,
    /// Name of the template, for programs: `order_confirmed`.
    template: String,
    subject: String,
    /// The text of the notification, as plain text.
    body: String,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
    /// Whether the caller has read it.
    read: bool,
    /// Delivery state of the mail.
    delivery: DeliveryView,
    /// When the reported event happened.
    occurred_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// Delivery state of a notification's mail.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryView {
    /// The mail is being sent.
    Pending,
    /// The mail was sent.
    Sent,
    /// The mail was not sent, because the mail service rejected it.
    Failed,
    /// The mail was not sent, because its address bounced or its owner reported spam.
    Suppressed,
    /// A state that this release does not know.
    Unknown,
}

impl From<&Delivery> for DeliveryView {
    fn from(delivery: &Delivery) -> Self {
        match delivery {
            Delivery::Pending { .. } => Self::Pending,
            Delivery::Sent => Self::Sent,
            Delivery::Failed { .. } => Self::Failed,
            Delivery::Suppressed => Self::Suppressed,
            Delivery::Unknown => Self::Unknown,
        }
    }
}

impl From<Notification> for NotificationView {
    fn from(notification: Notification) -> Self {
        Self {
            id: notification.id,
            template: notification.template,
            subject: notification.subject,
            body: notification.body,
            order_id: notification.order_id,
            read: notification.read_at.is_some(),
            delivery: (&notification.delivery).into(),
            occurred_at: notification.occurred_at,
            created_at: notification.created_at,
            updated_at: notification.updated_at,
        }
    }
}
