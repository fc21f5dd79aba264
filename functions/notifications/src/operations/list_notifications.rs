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

/// Answers `200` with a page of the caller's own notifications: an admin has no others either.
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
    let mut found = notifications.store.list(caller.user_id, after, page.limit_plus_one()).await?;

    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut next_cursor = None;
    if found.len() > limit {
        found.truncate(limit);
        let last = found.last().map_or("", |(sort_key, _)| sort_key);
        next_cursor = Some(page.next(
            &cursor_key(&notifications).await?,
            &scope,
            last,
            now,
            &notifications.ids,
        ));
    }
    Ok(http::ok(&Page {
        items: found
            .into_iter()
            .map(|(_, notification)| notification.into())
            .collect::<Vec<NotificationView>>(),
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

/// A notification as its user sees it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct NotificationView {
    id: NotificationId,
    /// Its kind, for programs: `order_confirmed`.
    template: String,
    subject: String,
    /// What it says, as plain text.
    body: String,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
    /// Whether it was read.
    read: bool,
    /// How far its mail has come.
    delivery: DeliveryView,
    /// When the reported event happened.
    occurred_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// How far a mail has come, as its user sees it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryView {
    /// It is on its way out.
    Pending,
    /// It was sent.
    Sent,
    /// It was not sent: its address cannot be written to.
    Failed,
    /// It was not sent: mails to its address came back, or were called spam.
    Suppressed,
    /// Something else.
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
