//! Queue `send-notification`: writes to a customer, and keeps what was written for them to see.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::{
    clock::{Clock, Timestamp},
    ids::{NotificationId, OrderId, UserId},
    money::Money,
    queue::{self, Consumed, Unreadable, read_as},
    seal::SealingKey,
    telemetry,
};

use crate::{
    Notifications,
    domain::{Delivery, LOCK, Notification, Turn},
    error::NotificationError,
    letter::{Rendered, Shop, link, notice, order, stock},
    mailer::MailError,
};

/// What is to be written, and to whom.
#[derive(Clone)]
pub struct SendNotification {
    notification_id: NotificationId,
    user_id: UserId,
    email: String,
    name: String,
    occurred_at: Timestamp,
    content: Content,
}

/// What a mail says, with what it takes to say it.
#[derive(Clone)]
enum Content {
    Order(order::Template, order::About),
    Stock(stock::Template, stock::About),
    Link(link::Template, SealedLink),
    Notice(notice::Template),
}

/// A link that does something once, as it travels: only the mail itself shows it in the open.
#[derive(Clone, Deserialize)]
struct SealedLink {
    sealed_token: String,
    expires_at: Timestamp,
}

/// What a mail about a refund must say, besides what all mails about an order say.
#[derive(Deserialize)]
struct Refund {
    refunded: Money,
}

/// The message as it stands on the wire. What `data` holds depends on the template.
#[derive(Deserialize)]
struct Wire {
    notification_id: NotificationId,
    user_id: UserId,
    email: String,
    name: String,
    template: Template,
    occurred_at: Timestamp,
    #[serde(default)]
    data: Value,
}

/// The name of a template: each belongs to one kind.
#[derive(Deserialize)]
#[serde(untagged)]
enum Template {
    Order(order::Template),
    Stock(stock::Template),
    Link(link::Template),
    Notice(notice::Template),
}

const KIND: &str = "send_notification.v1";

impl Consumed for SendNotification {
    fn read(kind: &str, data: Value) -> Result<Self, Unreadable> {
        let wire: Wire = read_as(KIND, kind, data)?;
        let content = match wire.template {
            Template::Order(template @ order::Template::OrderRefunded) => {
                let Refund { refunded } = read_as(KIND, kind, wire.data.clone())?;
                let about: order::About = read_as(KIND, kind, wire.data)?;
                Content::Order(template, order::About { refunded: Some(refunded), ..about })
            }
            Template::Order(template) => Content::Order(template, read_as(KIND, kind, wire.data)?),
            Template::Stock(template) => Content::Stock(template, read_as(KIND, kind, wire.data)?),
            Template::Link(template) => Content::Link(template, read_as(KIND, kind, wire.data)?),
            Template::Notice(template) => Content::Notice(template),
        };
        Ok(Self {
            notification_id: wire.notification_id,
            user_id: wire.user_id,
            email: wire.email,
            name: wire.name,
            occurred_at: wire.occurred_at,
            content,
        })
    }
}

impl Content {
    /// The order that it is about.
    fn order_id(&self) -> Option<OrderId> {
        match self {
            Self::Order(_, about) => Some(about.order_id),
            Self::Stock(..) | Self::Link(..) | Self::Notice(_) => None,
        }
    }

    /// Whether it holds a link that works no longer at `now`.
    fn is_over(&self, now: Timestamp) -> bool {
        matches!(self, Self::Link(_, link) if link.expires_at <= now)
    }
}

/// Records the notification before the mail leaves, sends it, and records that it was sent, or that SES refuses it for good.
///
/// A mail whose link works no longer would help nobody: it is neither sent nor recorded. One to an address that takes no mails, or whose
/// owner wants none, is recorded without being sent.
///
/// # Errors
/// When the mail was not sent by this try: the message comes back.
pub async fn send_notification(
    notifications: Arc<Notifications>,
    delivery: queue::Delivery<SendNotification>,
) -> Result<(), NotificationError> {
    let message = delivery.message;
    let now = notifications.clock.now();
    if message.content.is_over(now) {
        tracing::warn!(notification.id = %message.notification_id, "the link works no longer: its mail is not sent");
        return Ok(());
    }
    let me = try_name(&notifications);
    let mail = write(&notifications, &message).await?;
    let is_suppressed = is_suppressed(&notifications, &message.email, now).await?;
    let notification = Notification {
        id: message.notification_id,
        user_id: message.user_id,
        template: mail.template.to_owned(),
        subject: mail.subject.to_owned(),
        body: mail.body.clone(),
        order_id: message.content.order_id(),
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
    if is_suppressed {
        notifications.store.suppressed(&notification, &me, now).await?;
        tracing::info!(notification.id = %notification.id, "its address is not written to: the mail is not sent");
        telemetry::count("MailSuppressed", "notifications", &Clock::System);
        return Ok(());
    }
    match notifications.mailer.send(&message.email, &mail).await {
        Ok(()) => {
            // The mail is out. To give the message back because of the record would send it again.
            if let Err(error) = notifications.store.sent(&notification, &me, notifications.clock.now()).await {
                tracing::warn!(error = telemetry::causes(&error), "the mail was sent, but its record does not say so");
            }
            Ok(())
        }
        Err(MailError::Refused { code }) => {
            notifications.store.failed(&notification, &me, &code, notifications.clock.now()).await?;
            tracing::error!(notification.id = %notification.id, code, "SES refuses the mail: it is given up");
            telemetry::count("MailRefused", "notifications", &Clock::System);
            Ok(())
        }
        Err(error @ MailError::NotSent { .. }) => {
            if let Err(kept) = notifications.store.release(&notification, &me, now).await {
                tracing::warn!(error = telemetry::causes(&kept), "the next try waits until the lock is over");
            }
            Err(error.into())
        }
    }
}

/// Whether the address is suppressed, under the current or the previous server key. Only for 90 days after a rotation does an entry
/// under the previous key count; the second read is made whenever there is such a key.
async fn is_suppressed(notifications: &Notifications, address: &str, now: Timestamp) -> Result<bool, NotificationError> {
    for mac in notifications.address_macs(address).await?.accepted() {
        if notifications.store.is_suppressed(mac, now).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The mail. A link is opened for it alone.
async fn write(notifications: &Notifications, message: &SendNotification) -> Result<Rendered, NotificationError> {
    let shop = Shop { name: &notifications.shop_name, url: &notifications.store_url };
    let mail = match &message.content {
        Content::Order(template, about) => order::render(*template, &message.name, about, shop),
        Content::Stock(template, about) => stock::render(*template, &message.name, about, shop),
        Content::Link(template, link) => {
            let keys = notifications.secrets.keys("mail-token-key").await?.derive("one-time-token").map(SealingKey::new);
            let token = keys.open(|key| key.open(&link.sealed_token, &["one-time-token", &message.user_id.to_string()]));
            link::render(*template, &token.ok_or(NotificationError::SealedOtherwise)?, link.expires_at, shop)
        }
        Content::Notice(template) => notice::render(*template, shop),
    };
    Ok(mail?)
}

/// A name that no other try has.
fn try_name(notifications: &Notifications) -> String {
    u128::from_be_bytes(notifications.ids.bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(template: &str, data: Value) -> Result<Content, Unreadable> {
        let message = json!({
            "notification_id": "ntf_0199c2a8-0000-7000-8000-0000000000e1",
            "user_id": "usr_0199c2a8-0000-7000-8000-000000000001",
            "email": "ada@example.com",
            "name": "Ada Lovelace",
            "template": template,
            "occurred_at": "2026-11-21T09:48:49.123Z",
            "data": data,
        });
        SendNotification::read(KIND, message).map(|message| message.content)
    }

    fn about() -> Value {
        let refunded = json!({ "amount": 1000, "currency": "USD" });
        let total = json!({ "amount": 5998, "currency": "USD" });
        json!({ "order_id": "ord_0199c2a8-0000-7000-8000-0000000000f1", "total": total, "items": [], "refunded": refunded })
    }

    fn stock() -> Value {
        json!({ "product_id": "prd_0199c2a8-0000-7000-8000-00000000000a", "sku": "SPOON-1", "available": 3, "threshold": 5 })
    }

    fn link() -> Value {
        json!({ "sealed_token": "c2VhbGVk", "expires_at": "2026-11-21T10:48:49.123Z" })
    }

    #[test]
    fn every_template_comes_with_its_own_data() {
        for template in order::Template::ALL {
            assert!(matches!(read(template.name(), about()), Ok(Content::Order(read, _)) if read == template));
            for other in [link(), stock(), json!({}), json!([]), Value::Null] {
                assert!(read(template.name(), other).is_err(), "{}", template.name());
            }
        }
        for template in stock::Template::ALL {
            assert!(matches!(read(template.name(), stock()), Ok(Content::Stock(read, _)) if read == template));
            for other in [about(), link(), json!({}), json!([]), Value::Null] {
                assert!(read(template.name(), other).is_err(), "{}", template.name());
            }
        }
        for template in link::Template::ALL {
            assert!(matches!(read(template.name(), link()), Ok(Content::Link(read, _)) if read == template));
            for other in [about(), json!({}), json!([]), Value::Null, json!({ "sealed_token": "c2VhbGVk", "expires_at": "soon" })] {
                assert!(read(template.name(), other).is_err(), "{}", template.name());
            }
        }
        for template in notice::Template::ALL {
            for anything in [json!({}), json!({ "a_field_of_a_later_release": true }), Value::Null] {
                assert!(matches!(read(template.name(), anything), Ok(Content::Notice(read)) if read == template));
            }
        }
        assert!(read("birthday", json!({})).is_err());
    }

    #[test]
    fn a_refund_names_what_went_back_and_the_other_mails_about_an_order_need_not() {
        let mut without = about();
        without.as_object_mut().unwrap().remove("refunded");
        let error = read("order_refunded", without.clone()).err().unwrap().to_string();
        assert_eq!(error, "the message cannot be read: send_notification.v1 is malformed at .");
        for template in order::Template::ALL.into_iter().filter(|template| *template != order::Template::OrderRefunded) {
            assert!(read(template.name(), without.clone()).is_ok(), "{}", template.name());
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_without_its_value() {
        let error = read("welcome", json!({ "sealed_token": ["cmVzZXQuc2VjcmV0"], "expires_at": "2026-11-21T10:48:49.123Z" }))
            .err()
            .unwrap()
            .to_string();
        assert_eq!(error, "the message cannot be read: send_notification.v1 is malformed at sealed_token");
        let error = read("birthday", json!({})).err().unwrap().to_string();
        assert_eq!(error, "the message cannot be read: send_notification.v1 is malformed at template");
    }

    #[test]
    fn a_link_is_over_at_the_moment_that_it_names_and_nothing_else_ever_is() {
        let end: Timestamp = "2026-11-21T10:48:49.123Z".parse().unwrap();
        let before = Timestamp::from_milliseconds(end.milliseconds() - 1);
        let content = read("password_reset", link()).ok().unwrap();
        assert!(!content.is_over(before) && content.is_over(end));
        assert!(!read("order_confirmed", about()).ok().unwrap().is_over(end));
    }
}
