//! Notifications and suppressed addresses in DynamoDB.
//!
//! - `USER#<user>` / `<notification>`: a notification. Its id begins with the time of its event.
//! - `SUPPRESSED#<mac>` / `ADDRESS`: a suppressed address.
//! - `SUPPRESSIONS` / `COUNT`: how many addresses are suppressed. `check-health` of platform reads
//!   it.
//!
//! No item contains an address or a one-time link. Both arrive with a message and are discarded
//! with it.

mod suppressions;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{NotificationId, OrderId, UserId},
    table::{Expression, Key, List, ListPage, Outcome, Query, Table, from_item, to_item},
};

use crate::{
    domain::{Delivery, LOCK_DURATION, Notification, RETENTION, SendDecision},
    error::NotificationError,
};

pub struct Store {
    pub notifications: Table,
}

/// How often an attempt retries if others change the notification concurrently.
const MAX_ATTEMPTS: u32 = 3;

impl Store {
    /// Records `notification` with the lock of attempt `attempt_id`, or takes over an abandoned
    /// lock. [`SendDecision::Send`] means that this attempt sends the mail now.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn lock_for_sending(
        &self,
        notification: &Notification,
        attempt_id: &str,
        now: Timestamp,
    ) -> Result<SendDecision, NotificationError> {
        let mut outcome = self
            .notifications
            .put(to_item(&NotificationItem::from(notification)), Expression::not_exists())
            .await?;
        for _ in 0..MAX_ATTEMPTS {
            let stored: NotificationItem = match outcome {
                Outcome::Written => return Ok(SendDecision::Send),
                Outcome::ConditionFailed(Some(stored)) => from_item(stored)?,
                // It existed a moment ago: its user was deleted meanwhile, and gets no mail.
                Outcome::ConditionFailed(None) => return Ok(SendDecision::Finished),
            };
            let decision = stored.delivery.send_decision(attempt_id, now);
            let Delivery::Pending { locked_by: seen, .. } = stored.delivery else {
                return Ok(decision);
            };
            if decision != SendDecision::TakeOver {
                return Ok(decision);
            }
            let change = Expression::new(
                "SET #locked_by = :attempt, #locked_until = :until, #updated_at = :now",
            )
            .value("attempt", attempt_id)
            .value("until", now.plus(LOCK_DURATION))
            .value("now", now);
            let condition = Expression::new("#state = :pending AND #locked_by = :seen")
                .value("pending", PENDING)
                .value("seen", seen);
            outcome = self.notifications.update(key(notification), change, condition).await?;
        }
        Ok(SendDecision::Locked)
    }

    /// Records that attempt `attempt_id` sent the mail.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn mark_sent(
        &self,
        notification: &Notification,
        attempt_id: &str,
        now: Timestamp,
    ) -> Result<(), NotificationError> {
        let change = Expression::new(
            "SET #state = :sent, #updated_at = :now REMOVE #locked_by, #locked_until",
        )
        .value("sent", SENT)
        .value("now", now);
        // A failed condition is ignored: another attempt took over and records the outcome.
        self.notifications.update(key(notification), change, locked_by_attempt(attempt_id)).await?;
        Ok(())
    }

    /// Records that SES rejected the mail permanently, with SES's error code.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn mark_failed(
        &self,
        notification: &Notification,
        attempt_id: &str,
        rejection_code: &str,
        now: Timestamp,
    ) -> Result<(), NotificationError> {
        let change =
            Expression::new("SET #state = :failed, #rejection_code = :rejection_code, #updated_at = :now REMOVE #locked_by, #locked_until")
                .value("failed", FAILED)
                .value("rejection_code", rejection_code)
                .value("now", now);
        self.notifications.update(key(notification), change, locked_by_attempt(attempt_id)).await?;
        Ok(())
    }

    /// Records that the mail is not sent, because its address is suppressed.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn mark_suppressed(
        &self,
        notification: &Notification,
        attempt_id: &str,
        now: Timestamp,
    ) -> Result<(), NotificationError> {
        let change = Expression::new(
            "SET #state = :suppressed, #updated_at = :now REMOVE #locked_by, #locked_until",
        )
        .value("suppressed", SUPPRESSED)
        .value("now", now);
        self.notifications.update(key(notification), change, locked_by_attempt(attempt_id)).await?;
        Ok(())
    }

    /// Releases the lock of attempt `attempt_id`, so that the next attempt need not wait until it
    /// expires.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn release_lock(
        &self,
        notification: &Notification,
        attempt_id: &str,
        now: Timestamp,
    ) -> Result<(), NotificationError> {
        let change = Expression::new("SET #locked_until = :now").value("now", now);
        self.notifications.update(key(notification), change, locked_by_attempt(attempt_id)).await?;
        Ok(())
    }

    /// A page of the notifications of a user, newest first, after the sort key `after`.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn list(
        &self,
        user: UserId,
        after: Option<String>,
        limit: u32,
    ) -> Result<ListPage<Notification>, NotificationError> {
        let list = List::new(None, "pk", partition(user), "sk").descending().after(after);
        let page = self.notifications.list(list, limit, |_: &NotificationItem| true).await?;
        let items = page.items.into_iter().map(Notification::from).collect();
        Ok(ListPage { items, next: page.next })
    }

    /// Records that the user read the notification. The first time is kept.
    ///
    /// # Errors
    /// [`NotificationError::NotFound`] when the user has no such notification.
    pub async fn mark_read(
        &self,
        user: UserId,
        id: NotificationId,
        now: Timestamp,
    ) -> Result<(), NotificationError> {
        let key = Key::composite(partition(user), id.to_string());
        let change = Expression::new("SET #read_at = :now, #updated_at = :now").value("now", now);
        let unread = Expression::new("attribute_exists(#pk) AND attribute_not_exists(#read_at)");
        match self.notifications.update(key, change, unread).await? {
            Outcome::Written | Outcome::ConditionFailed(Some(_)) => Ok(()),
            Outcome::ConditionFailed(None) => Err(NotificationError::NotFound),
        }
    }

    /// At most `limit` sort keys of a user's notifications. The read is consistent, so it returns
    /// no deleted item.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn sort_keys(
        &self,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<String>, NotificationError> {
        let items = self
            .notifications
            .query(Query::new(None, "pk", partition(user), limit).consistent())
            .await?;
        let read = |item| from_item::<SortKey>(item).map(|key| key.sk);
        Ok(items.into_iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Deletes a user's notification.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn delete(&self, user: UserId, sort_key: String) -> Result<(), NotificationError> {
        // A failed condition is ignored: another call has deleted the item.
        self.notifications
            .delete(Key::composite(partition(user), sort_key), Expression::exists())
            .await?;
        Ok(())
    }
}

const PENDING: &str = "PENDING";
const SENT: &str = "SENT";
const FAILED: &str = "FAILED";
const SUPPRESSED: &str = "SUPPRESSED";

fn locked_by_attempt(attempt_id: &str) -> Expression {
    Expression::new("#state = :pending AND #locked_by = :attempt")
        .value("pending", PENDING)
        .value("attempt", attempt_id)
}

fn partition(user: UserId) -> String {
    format!("USER#{user}")
}

fn key(notification: &Notification) -> Key {
    Key::composite(partition(notification.user_id), notification.id.to_string())
}

/// The part of a notification that a deletion reads.
#[derive(Debug, Deserialize)]
struct SortKey {
    sk: String,
}

/// A notification as stored.
#[derive(Debug, Serialize, Deserialize)]
struct NotificationItem {
    pk: String,
    sk: NotificationId,
    user_id: UserId,
    template: String,
    subject: String,
    body: String,
    order_id: Option<OrderId>,
    occurred_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
    read_at: Option<Timestamp>,
    #[serde(flatten)]
    delivery: Delivery,
    /// When DynamoDB deletes it, in seconds since 1970.
    ttl: i64,
}

impl From<&Notification> for NotificationItem {
    fn from(notification: &Notification) -> Self {
        Self {
            pk: partition(notification.user_id),
            sk: notification.id,
            user_id: notification.user_id,
            template: notification.template.clone(),
            subject: notification.subject.clone(),
            body: notification.body.clone(),
            order_id: notification.order_id,
            occurred_at: notification.occurred_at,
            created_at: notification.created_at,
            updated_at: notification.updated_at,
            read_at: notification.read_at,
            delivery: notification.delivery.clone(),
            ttl: notification.created_at.plus(RETENTION).seconds(),
        }
    }
}

impl From<NotificationItem> for Notification {
    fn from(item: NotificationItem) -> Self {
        Self {
            id: item.sk,
            user_id: item.user_id,
            template: item.template,
            subject: item.subject,
            body: item.body,
            order_id: item.order_id,
            occurred_at: item.occurred_at,
            created_at: item.created_at,
            updated_at: item.updated_at,
            read_at: item.read_at,
            delivery: item.delivery,
        }
    }
}
