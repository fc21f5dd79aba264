//! A notification: its content for the customer, and the delivery state of its mail.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{NotificationId, OrderId, UserId},
};

/// How long a notification is kept.
pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// Maximum duration of one attempt to send. Longer than the function can run: afterwards no attempt
/// is in progress.
pub const LOCK_DURATION: Duration = Duration::from_secs(20);

/// A notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Its id: derived by the sender, so that a second copy of the message finds the first one's
    /// record.
    pub id: NotificationId,
    /// The recipient.
    pub user_id: UserId,
    /// The name of its template: `order_confirmed`.
    pub template: String,
    /// What it is called.
    pub subject: String,
    /// What it says, as plain text.
    pub body: String,
    /// The order that it is about.
    pub order_id: Option<OrderId>,
    /// When the reported event happened.
    pub occurred_at: Timestamp,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the customer read it.
    pub read_at: Option<Timestamp>,
    /// How far its mail has come.
    pub delivery: Delivery,
}

/// How far a mail has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Delivery {
    /// An attempt is in progress or was interrupted.
    Pending {
        /// Which try: a random name.
        locked_by: String,
        /// Until when the others leave it alone.
        locked_until: Timestamp,
    },
    /// SES has taken it.
    Sent,
    /// SES will never take it. The notification is shown in the shop all the same.
    Failed {
        /// SES's name for the reason: `MessageRejected`.
        rejection_code: String,
    },
    /// Its address takes no mail, or its owner wants none: nothing was sent. The notification is
    /// shown in the shop all the same.
    Suppressed,
    /// Written by a later release: it is not changed.
    #[serde(other)]
    Unknown,
}

/// What a try to send has to do about a notification that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendDecision {
    /// It was sent, or is not to be sent any more: nothing.
    Finished,
    /// It is this try's own.
    Send,
    /// Another try is at it: come again later.
    Locked,
    /// The try before has broken off: send it.
    TakeOver,
}

impl Delivery {
    /// What the try called `attempt_id` has to do at `now`.
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
