//! A notification: what a customer was told, and how far its mail has come.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{NotificationId, OrderId, UserId},
};

/// How long a notification is kept.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long one try to send may take. Longer than the function can run: when it is over, nobody is sending any more.
pub const LOCK: Duration = Duration::from_secs(20);

/// A notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Its id: derived by the sender, so that a second copy of the message finds the first one's record.
    pub id: NotificationId,
    /// Who is told.
    pub user_id: UserId,
    /// The name of its template: `order_confirmed`.
    pub template: String,
    /// What it is called.
    pub subject: String,
    /// What it says, as plain text.
    pub body: String,
    /// The order that it is about.
    pub order_id: Option<OrderId>,
    /// When that happened which it tells of.
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
    /// Somebody is sending it, or broke off.
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
        refusal: String,
    },
    /// Its address takes no mail, or its owner wants none: nothing was sent. The notification is shown in the shop all the same.
    Suppressed,
    /// What a later release has written: it is left alone.
    #[serde(other)]
    Unknown,
}

/// What a try to send has to do about a notification that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was sent, or is not to be sent any more: nothing.
    Done,
    /// It is this try's own.
    Mine,
    /// Another try is at it: come again later.
    Taken,
    /// The try before has broken off: send it.
    Abandoned,
}

impl Delivery {
    /// What the try called `me` has to do at `now`.
    pub fn turn(&self, me: &str, now: Timestamp) -> Turn {
        match self {
            Self::Sent | Self::Failed { .. } | Self::Suppressed => Turn::Done,
            Self::Unknown => Turn::Taken,
            Self::Pending { locked_by, .. } if locked_by == me => Turn::Mine,
            Self::Pending { locked_until, .. } if *locked_until > now => Turn::Taken,
            Self::Pending { .. } => Turn::Abandoned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_sent_by_whoever_holds_the_lock_and_by_others_only_when_it_is_over() {
        let now = Timestamp::from_milliseconds(1_000_000);
        let pending = Delivery::Pending { locked_by: "a".to_owned(), locked_until: now.plus(LOCK) };
        assert_eq!(pending.turn("a", now), Turn::Mine);
        assert_eq!(pending.turn("b", now), Turn::Taken);
        assert_eq!(pending.turn("b", now.plus(LOCK)), Turn::Abandoned);
        assert_eq!(Delivery::Sent.turn("a", now), Turn::Done);
        assert_eq!(Delivery::Failed { refusal: "MessageRejected".to_owned() }.turn("a", now), Turn::Done);
        assert_eq!(Delivery::Suppressed.turn("a", now), Turn::Done);
    }

    #[test]
    fn a_state_of_a_later_release_is_read_and_left_alone() {
        let stored = serde_json::json!({ "state": "BOUNCED", "bounced_at": "2026-11-21T09:48:49.123Z" });
        let delivery: Delivery = serde_json::from_value(stored).unwrap();
        assert_eq!(delivery, Delivery::Unknown);
        assert_eq!(delivery.turn("a", Timestamp::from_milliseconds(1_000_000)), Turn::Taken);
    }
}
