//! A notification: its content for the customer, and the delivery state of its mail.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{NotificationId, OrderId, UserId},
};

/// How long a notification is kept.
pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// Maximum duration of one attempt to send. Longer than the function's timeout, so that the attempt
/// has ended when its lock expires.
pub const LOCK_DURATION: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Made from the id that the sender derived and the time of the event, so that a duplicate
    /// message finds the existing record, and a list needs no other key.
    pub id: NotificationId,
    pub user_id: UserId,
    /// Name of the template, such as `order_confirmed`.
    pub template: String,
    pub subject: String,
    /// The text of the notification, as plain text.
    pub body: String,
    pub order_id: Option<OrderId>,
    /// When the reported event happened.
    pub occurred_at: Timestamp,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub read_at: Option<Timestamp>,
    pub delivery: Delivery,
}

/// Delivery state of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Delivery {
    /// An attempt is in progress or was interrupted.
    Pending {
        /// Random id of the attempt.
        locked_by: String,
        /// When another attempt may take over.
        locked_until: Timestamp,
    },
    Sent,
    /// SES rejected the mail permanently. The shop still shows the notification.
    Failed {
        /// SES's error code, such as `MessageRejected`.
        rejection_code: String,
    },
    /// Not sent, because the address is suppressed. The shop still shows the notification.
    Suppressed,
    /// A state of a later release, never changed.
    #[serde(other)]
    Unknown,
}

/// What an attempt does with an existing notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendDecision {
    /// Nothing: the mail was sent, or will not be sent.
    Finished,
    /// Sends the mail: this attempt holds the lock.
    Send,
    /// Retries later: another attempt holds the lock.
    Locked,
    /// Takes over the lock of an interrupted attempt.
    TakeOver,
}

impl Delivery {
    pub fn send_decision(&self, attempt_id: &str, now: Timestamp) -> SendDecision {
        match self {
            Self::Sent | Self::Failed { .. } | Self::Suppressed => SendDecision::Finished,
            Self::Unknown => SendDecision::Locked,
            Self::Pending { locked_by, .. } if locked_by == attempt_id => SendDecision::Send,
            Self::Pending { locked_until, .. } if *locked_until > now => SendDecision::Locked,
            Self::Pending { .. } => SendDecision::TakeOver,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lock_holder_sends_until_the_lock_expires() {
        let now = Timestamp::from_milliseconds(1_000_000);
        let pending =
            Delivery::Pending { locked_by: "a".to_owned(), locked_until: now.plus(LOCK_DURATION) };
        assert_eq!(pending.send_decision("a", now), SendDecision::Send);
        assert_eq!(pending.send_decision("b", now), SendDecision::Locked);
        assert_eq!(pending.send_decision("b", now.plus(LOCK_DURATION)), SendDecision::TakeOver);
        assert_eq!(Delivery::Sent.send_decision("a", now), SendDecision::Finished);
        assert_eq!(
            Delivery::Failed { rejection_code: "MessageRejected".to_owned() }
                .send_decision("a", now),
            SendDecision::Finished
        );
        assert_eq!(Delivery::Suppressed.send_decision("a", now), SendDecision::Finished);
    }

    #[test]
    fn notification_is_kept_for_90_days() {
        assert_eq!(RETENTION.as_secs() / 86_400, 90);
    }

    #[test]
    fn unknown_delivery_state_is_not_changed() {
        let stored =
            serde_json::json!({ "state": "BOUNCED", "bounced_at": "2026-11-21T09:48:49.123Z" });
        let delivery: Delivery = serde_json::from_value(stored).unwrap();
        assert_eq!(delivery, Delivery::Unknown);
        assert_eq!(
            delivery.send_decision("a", Timestamp::from_milliseconds(1_000_000)),
            SendDecision::Locked
        );
    }
}
