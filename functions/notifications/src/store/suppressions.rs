//! Suppressed addresses, and how many there are.
//!
//! The count is one item, because counting the suppressions would read all of them. Suppressions
//! expire without a write, so the item counts them by the day on which they end: `day_20785` is the
//! number of suppressions that end on day 20785 since 1970 (UTC). A reader adds up today and the
//! days after it. There are at most 91 such days, since a suppression lasts for 90.

use serde::Deserialize;
use shared::{
    clock::Timestamp,
    table::{Expression, Item, Key, TableError, TransactionOutcome, Write, from_item},
};

use super::{MAX_ATTEMPTS, Store};
use crate::{
    error::NotificationError,
    suppression::{self, AddressMac, Reason},
};

const DAY_SECONDS: i64 = 24 * 3600;

/// Start of the name of each attribute that counts the suppressions of a day.
const DAY: &str = "day_";

impl Store {
    /// Whether the address is suppressed at `now`. DynamoDB deletes expired items late, so the
    /// expiry time decides.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn is_suppressed(
        &self,
        address: &AddressMac,
        now: Timestamp,
    ) -> Result<bool, NotificationError> {
        Ok(self.suppression(address).await?.is_some_and(|stored| stored.ttl > now.seconds()))
    }

    /// Suppresses the address from `now` for [`suppression::RETENTION`], and counts it in the same
    /// transaction. A repeated call extends the suppression and does not count it again.
    ///
    /// # Errors
    /// When the table fails, or concurrent calls change the address or the count each time.
    pub async fn suppress(
        &self,
        address: &AddressMac,
        reason: Reason,
        now: Timestamp,
    ) -> Result<(), NotificationError> {
        let ttl = now.plus(suppression::RETENTION).seconds();
        for _ in 0..MAX_ATTEMPTS {
            let (stored, count) =
                tokio::try_join!(self.suppression(address), self.suppression_count())?;
            // It is already suppressed for as long.
            if stored.as_ref().is_some_and(|stored| stored.ttl >= ttl) {
                return Ok(());
            }
            let mut writes = vec![self.suppression_write(address, stored.as_ref(), reason, now)];
            let earlier = stored.map(|stored| day(stored.ttl));
            if earlier != Some(day(ttl)) {
                writes.push(self.count_write(&count, earlier, day(ttl), day(now.seconds())));
            }
            if self.notifications.transact(writes).await? == TransactionOutcome::Written {
                return Ok(());
            }
        }
        Err(NotificationError::Table(TableError::Unavailable {
            table: self.notifications.name().to_owned(),
            call: "TransactWriteItems",
            cause: "the suppression changed each time".to_owned(),
        }))
    }

    async fn suppression(
        &self,
        address: &AddressMac,
    ) -> Result<Option<SuppressionItem>, NotificationError> {
        let item = self.notifications.get(suppression_key(address)).await?;
        Ok(item.map(from_item).transpose()?)
    }

    async fn suppression_count(&self) -> Result<CountItem, NotificationError> {
        let item = self.notifications.get(count_key()).await?;
        Ok(item.as_ref().map(CountItem::from).unwrap_or_default())
    }

    fn suppression_write(
        &self,
        address: &AddressMac,
        stored: Option<&SuppressionItem>,
        reason: Reason,
        now: Timestamp,
    ) -> Write {
        let change = Expression::new("SET #reason = :reason, #suppressed_at = :now, #ttl = :ttl")
            .value("reason", reason)
            .value("now", now)
            .value("ttl", now.plus(suppression::RETENTION).seconds());
        let unchanged = stored.map_or_else(Expression::not_exists, |stored| {
            Expression::new("#ttl = :seen").value("seen", stored.ttl)
        });
        self.notifications.transact_update(suppression_key(address), change, unchanged)
    }

    /// Counts a suppression on its last day, no longer on the `earlier` one, and removes past days.
    /// It fails only if another write has kept the item for longer meanwhile: a wrong count must
    /// not prevent a suppression.
    fn count_write(&self, count: &CountItem, earlier: Option<i64>, last: i64, today: i64) -> Write {
        let until = count.ttl.max((last + 1) * DAY_SECONDS);
        let mut text =
            format!("SET #ttl = :until, #{DAY}{last} = if_not_exists(#{DAY}{last}, :zero) + :one");
        if let Some(earlier) = earlier.filter(|earlier| *earlier >= today) {
            text = format!("{text}, #{DAY}{earlier} = if_not_exists(#{DAY}{earlier}, :one) - :one");
        }
        let past: Vec<String> = count
            .days
            .iter()
            .filter(|day| **day < today)
            .map(|day| format!("#{DAY}{day}"))
            .collect();
        if !past.is_empty() {
            text = format!("{text} REMOVE {}", past.join(", "));
        }
        let change = Expression::new(text).value("until", until).value("zero", 0).value("one", 1);
        let is_later = Expression::new("attribute_not_exists(#ttl) OR #ttl <= :until");
        self.notifications.transact_update(count_key(), change, is_later)
    }
}

/// The day of a time in seconds since 1970.
fn day(seconds: i64) -> i64 {
    seconds.div_euclid(DAY_SECONDS)
}

fn suppression_key(address: &AddressMac) -> Key {
    Key::composite(format!("SUPPRESSED#{address}"), "ADDRESS")
}

fn count_key() -> Key {
    Key::composite("SUPPRESSIONS", "COUNT")
}

/// The part of a suppression that is read.
#[derive(Debug, Deserialize)]
struct SuppressionItem {
    /// When the suppression expires, in seconds since 1970.
    ttl: i64,
}

/// The part of the count that a write needs.
#[derive(Debug, Default)]
struct CountItem {
    /// When DynamoDB deletes it, in seconds since 1970: after the last day that it counts.
    ttl: i64,
    /// Days since 1970-01-01 whose suppressions it counts.
    days: Vec<i64>,
}

impl From<&Item> for CountItem {
    fn from(item: &Item) -> Self {
        let ttl = item.get("ttl").and_then(|ttl| ttl.as_n().ok()?.parse().ok());
        let mut days: Vec<i64> =
            item.keys().filter_map(|name| name.strip_prefix(DAY)?.parse().ok()).collect();
        days.sort_unstable();
        Self { ttl: ttl.unwrap_or_default(), days }
    }
}
