//! Queue `send-notification`: sends a mail and records it as a notification for the customer.

use std::sync::Arc;

use shared::{clock::Timestamp, ids, queue, seal::SealingKey, telemetry};

use crate::{
    Notifications,
    domain::{Delivery, LOCK_DURATION, Notification, SendDecision},
    error::NotificationError,
    mailer::MailError,
    messages::{Content, SendNotification},
    metrics,
    templates::{RenderedEmail, Shop, link, notice, order, stock},
};

/// Records the notification before sending, sends the mail, and records that it was sent or that
/// SES rejected it permanently.
///
/// A mail with an expired link is neither sent nor recorded. A mail to a suppressed address is
/// recorded but not sent.
///
/// # Errors
/// If this attempt did not send the mail: the message is redelivered.
pub async fn send_notification(
    notifications: Arc<Notifications>,
    received: queue::Received<SendNotification>,
) -> Result<(), NotificationError> {
    let message = received.message;
    let now = notifications.clock.now();
    if message.content.is_expired(now) {
        tracing::warn!(notification.id = %message.notification_id, "link expired, mail not sent");
        return Ok(());
    }
    let attempt_id = new_attempt_id(&notifications);
    let mail = render(&notifications, &message).await?;
    let is_suppressed = is_suppressed(&notifications, &message.email, now).await?;
    let notification = Notification {
        id: ids::sorted_by(message.occurred_at, message.notification_id.uuid()),
        user_id: message.user_id,
        template: mail.template.to_owned(),
        subject: mail.subject.to_owned(),
        body: mail.body.clone(),
        order_id: message.content.order_id(),
        occurred_at: message.occurred_at,
        created_at: now,
        updated_at: now,
        read_at: None,
        delivery: Delivery::Pending {
            locked_by: attempt_id.clone(),
            locked_until: now.plus(LOCK_DURATION),
        },
    };

    match notifications.store.lock_for_sending(&notification, &attempt_id, now).await? {
        SendDecision::Send => {}
        SendDecision::Finished => return Ok(()),
        SendDecision::Locked | SendDecision::TakeOver => return Err(NotificationError::InProgress),
    }
    if is_suppressed {
        notifications.store.mark_suppressed(&notification, &attempt_id, now).await?;
        tracing::info!(notification.id = %notification.id, "recipient suppressed, mail not sent");
        metrics::MAIL_SUPPRESSED.increment();
        return Ok(());
    }
    match notifications.mailer.send(&message.email, &mail, &received.trace).await {
        Ok(()) => {
            tracing::info!(
                order_id = notification.order_id.map(|order_id| order_id.to_string()),
                notification_id = %notification.id,
                template = notification.template,
                "mail accepted by SES"
            );
            // The mail is sent. An error would redeliver the message and send the mail again.
            if let Err(error) = notifications
                .store
                .mark_sent(&notification, &attempt_id, notifications.clock.now())
                .await
            {
                tracing::warn!(error = telemetry::causes(&error), "mail sent, failed to record it");
            }
            Ok(())
        }
        Err(MailError::Rejected { code }) => {
            notifications
                .store
                .mark_failed(&notification, &attempt_id, &code, notifications.clock.now())
                .await?;
            tracing::error!(notification.id = %notification.id, code, "SES rejected the mail, it is not sent");
            metrics::MAIL_REJECTED.increment();
            Ok(())
        }
        Err(error @ MailError::SendFailed { .. }) => {
            if let Err(release_error) =
                notifications.store.release_lock(&notification, &attempt_id, now).await
            {
                tracing::warn!(
                    error = telemetry::causes(&release_error),
                    "failed to release the lock, the next attempt waits until it expires"
                );
            }
            Err(error.into())
        }
    }
}

/// Whether the address is suppressed under the current or the previous server key. An entry under
/// the previous key exists for at most 90 days after a rotation. The second read happens as long as
/// there is a previous key.
async fn is_suppressed(
    notifications: &Notifications,
    address: &str,
    now: Timestamp,
) -> Result<bool, NotificationError> {
    for mac in notifications.address_macs(address).await?.accepted() {
        if notifications.store.is_suppressed(mac, now).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Renders the mail. The link is opened only here.
async fn render(
    notifications: &Notifications,
    message: &SendNotification,
) -> Result<RenderedEmail, NotificationError> {
    let shop = Shop { name: &notifications.shop_name, url: &notifications.store_url };
    let mail = match &message.content {
        Content::Order(template, about) => order::render(*template, &message.name, about, shop),
        Content::Stock(template, about) => stock::render(*template, &message.name, about, shop),
        Content::Link(template, link) => {
            let keys = notifications
                .secrets
                .keys("mail-token-key")
                .await?
                .derive("one-time-token")
                .map(SealingKey::new);
            let token = keys.open(|key| {
                key.open(&link.sealed_token, &["one-time-token", &message.user_id.to_string()])
            });
            link::render(
                *template,
                &token.ok_or(NotificationError::UnsealFailed)?,
                link.expires_at,
                shop,
            )
        }
        Content::Notice(template) => notice::render(*template, shop),
    };
    Ok(mail?)
}

/// A random id, unique to this attempt.
fn new_attempt_id(notifications: &Notifications) -> String {
    u128::from_be_bytes(notifications.ids.bytes()).to_string()
}
