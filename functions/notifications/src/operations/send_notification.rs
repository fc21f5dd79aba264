//! Queue `send-notification`: writes to a customer, and keeps what was written for them to see.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::{
    clock::Timestamp,
    ids::{NotificationId, UserId},
    queue::{self, Consumed, Unreadable, read_as},
    telemetry,
};

use crate::{
    Notifications,
    domain::{Delivery, LOCK, Notification, Turn},
    error::NotificationError,
    letter::{self, About, Template},
};

/// What is to be written, and to whom.
#[derive(Clone, Deserialize)]
pub struct SendNotification {
    notification_id: NotificationId,
    user_id: UserId,
    email: String,
    name: String,
    template: Template,
    occurred_at: Timestamp,
    data: About,
}

impl Consumed for SendNotification {
    fn read(kind: &str, data: Value) -> Result<Self, Unreadable> {
        read_as("send_notification.v1", kind, data)
    }
}

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    queue::run(Notifications::from_env, send_notification)
}

/// Records the notification before the mail leaves, sends it, and records that it was sent.
///
/// # Errors
/// When the mail was not sent by this try: the message comes back.
pub async fn send_notification(
    notifications: Arc<Notifications>,
    delivery: queue::Delivery<SendNotification>,
) -> Result<(), NotificationError> {
    let message = delivery.message;
    let now = notifications.clock.now();
    let me = try_name(&notifications);
    let mail = letter::render(message.template, &message.name, &message.data, &notifications.store_url)?;
    let notification = Notification {
        id: message.notification_id,
        user_id: message.user_id,
        template: message.template.name().to_owned(),
        subject: mail.subject.to_owned(),
        body: mail.body.clone(),
        order_id: Some(message.data.order_id),
        occurred_at: message.occurred_at,
        created_at: now,
        updated_at: now,
        read_at: None,
        delivery: Delivery::Pending { locked_by: me.clone(), locked_until: now.plus(LOCK) },
    };

    match notifications.store.claim(&notification, &me, now).await? {
        Turn::Mine => {}
        Turn::Done => return Ok(()),
        Turn::Taken | Turn::Abandoned => return Err(NotificationError::InProgress),
    }
    if let Err(error) = notifications.mailer.send(&message.email, &mail).await {
        if let Err(kept) = notifications.store.release(&notification, &me, now).await {
            tracing::warn!(error = telemetry::causes(&kept), "the next try waits until the lock is over");
        }
        return Err(error.into());
    }
    // The mail is out. To give the message back because of the record would send it again.
    if let Err(error) = notifications.store.sent(&notification, &me, notifications.clock.now()).await {
        tracing::warn!(error = telemetry::causes(&error), "the mail was sent, but its record does not say so");
    }
    Ok(())
}

/// A name that no other try has.
fn try_name(notifications: &Notifications) -> String {
    u128::from_be_bytes(notifications.ids.bytes()).to_string()
}
