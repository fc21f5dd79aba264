//! The message that requests a mail, `send_notification.v1`, consumed from both queues.

use serde::Deserialize;
use serde_json::Value;
use shared::{
    clock::Timestamp,
    ids::{NotificationId, OrderId, UserId},
    money::Money,
    queue::{FromMessage, InvalidMessage, read_as},
};

use crate::templates::{link, notice, order, stock};

/// A mail to send, with its recipient.
#[derive(Clone)]
pub struct SendNotification {
    pub(crate) notification_id: NotificationId,
    pub(crate) user_id: UserId,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) occurred_at: Timestamp,
    pub(crate) content: Content,
}

/// The template of a mail and its data.
#[derive(Clone)]
pub(crate) enum Content {
    Order(order::Template, Box<order::Context>),
    Stock(stock::Template, stock::Context),
    Link(link::Template, SealedLink),
    Notice(notice::Template),
}

/// A one-time link in sealed form. Only the mail itself contains it in plain text.
#[derive(Clone, Deserialize)]
pub(crate) struct SealedLink {
    pub(crate) sealed_token: String,
    pub(crate) expires_at: Timestamp,
}

/// The data that only a refund mail requires.
#[derive(Deserialize)]
struct Refund {
    refunded: Money,
}

/// The message in its envelope. The content of `data` depends on the template.
#[derive(Deserialize)]
struct Envelope {
    notification_id: NotificationId,
    user_id: UserId,
    email: String,
    name: String,
    template: Template,
    occurred_at: Timestamp,
    #[serde(default)]
    data: Value,
}

/// The name of a template. Each name belongs to one kind.
#[derive(Deserialize)]
#[serde(untagged)]
enum Template {
    Order(order::Template),
    Stock(stock::Template),
    Link(link::Template),
    Notice(notice::Template),
}

const KIND: &str = "send_notification.v1";

impl FromMessage for SendNotification {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        let envelope: Envelope = read_as(KIND, kind, data)?;
        let content = match envelope.template {
            Template::Order(template @ order::Template::OrderRefunded) => {
                let Refund { refunded } = read_as(KIND, kind, envelope.data.clone())?;
                let context: order::Context = read_as(KIND, kind, envelope.data)?;
                let context = order::Context { refunded: Some(refunded), ..context };
                Content::Order(template, Box::new(context))
            }
            Template::Order(template) => {
                Content::Order(template, Box::new(read_as(KIND, kind, envelope.data)?))
            }
            Template::Stock(template) => {
                Content::Stock(template, read_as(KIND, kind, envelope.data)?)
            }
            Template::Link(template) => {
                Content::Link(template, read_as(KIND, kind, envelope.data)?)
            }
            Template::Notice(template) => Content::Notice(template),
        };
        Ok(Self {
            notification_id: envelope.notification_id,
            user_id: envelope.user_id,
            email: envelope.email,
            name: envelope.name,
            occurred_at: envelope.occurred_at,
            content,
        })
    }

    /// The sending rate of SES, which `MailConcurrency` is computed for.
    fn contends_for(_data: &Value) -> Vec<String> {
        vec!["sending rate".to_owned()]
    }
}

impl Content {
    pub(crate) fn order_id(&self) -> Option<OrderId> {
        match self {
            Self::Order(_, context) => Some(context.order_id),
            Self::Stock(..) | Self::Link(..) | Self::Notice(_) => None,
        }
    }

    /// Whether the link of the mail has expired at `now`.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        matches!(self, Self::Link(_, link) if link.expires_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(template: &str, data: Value) -> Result<Content, InvalidMessage> {
        let message = json!({
            "notification_id": "ntf_0199c2a8-0000-7000-8000-0000000000e1",
            "user_id": "usr_0199c2a8-0000-7000-8000-000000000001",
            "email": "ada@example.com",
            "name": "Ada Lovelace",
            "template": template,
            "occurred_at": "2026-11-21T09:48:49.123Z",
            "data": data,
        });
        SendNotification::from_message(KIND, message).map(|message| message.content)
    }

    fn context() -> Value {
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
    fn each_template_requires_its_own_data() {
        for template in order::Template::ALL {
            assert!(
                matches!(read(template.name(), context()), Ok(Content::Order(read, _)) if read == template)
            );
            for other in [link(), stock(), json!({}), json!([]), Value::Null] {
                assert!(read(template.name(), other).is_err(), "{}", template.name());
            }
        }
        for template in stock::Template::ALL {
            assert!(
                matches!(read(template.name(), stock()), Ok(Content::Stock(read, _)) if read == template)
            );
            for other in [context(), link(), json!({}), json!([]), Value::Null] {
                assert!(read(template.name(), other).is_err(), "{}", template.name());
            }
        }
        for template in link::Template::ALL {
            assert!(
                matches!(read(template.name(), link()), Ok(Content::Link(read, _)) if read == template)
            );
            for other in [
                context(),
                json!({}),
                json!([]),
                Value::Null,
                json!({ "sealed_token": "c2VhbGVk", "expires_at": "soon" }),
            ] {
                assert!(read(template.name(), other).is_err(), "{}", template.name());
            }
        }
        for template in notice::Template::ALL {
            for anything in [json!({}), json!({ "a_field_of_a_later_release": true }), Value::Null]
            {
                assert!(
                    matches!(read(template.name(), anything), Ok(Content::Notice(read)) if read == template)
                );
            }
        }
        assert!(read("birthday", json!({})).is_err());
    }

    #[test]
    fn only_the_refund_email_requires_the_refunded_amount() {
        let mut without = context();
        without.as_object_mut().unwrap().remove("refunded");
        let error = read("order_refunded", without.clone()).err().unwrap().to_string();
        assert_eq!(error, "the message cannot be read: send_notification.v1 is malformed at .");
        for template in order::Template::ALL
            .into_iter()
            .filter(|template| *template != order::Template::OrderRefunded)
        {
            assert!(read(template.name(), without.clone()).is_ok(), "{}", template.name());
        }
    }

    #[test]
    fn error_names_the_field_without_its_value() {
        let error = read("welcome", json!({ "sealed_token": ["cmVzZXQuc2VjcmV0"], "expires_at": "2026-11-21T10:48:49.123Z" }))
            .err()
            .unwrap()
            .to_string();
        assert_eq!(
            error,
            "the message cannot be read: send_notification.v1 is malformed at sealed_token"
        );
        let error = read("birthday", json!({})).err().unwrap().to_string();
        assert_eq!(
            error,
            "the message cannot be read: send_notification.v1 is malformed at template"
        );
    }

    #[test]
    fn only_links_expire_at_their_expiry_time() {
        let end: Timestamp = "2026-11-21T10:48:49.123Z".parse().unwrap();
        let before = Timestamp::from_milliseconds(end.milliseconds() - 1);
        let content = read("password_reset", link()).ok().unwrap();
        assert!(!content.is_expired(before) && content.is_expired(end));
        assert!(!read("order_confirmed", context()).ok().unwrap().is_expired(end));
    }
}
