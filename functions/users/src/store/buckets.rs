//! Stored state of the rate limits, one item per bucket.
//!
//! No read precedes the write. An attempt is one conditional update if the bucket is empty, and two
//! otherwise. The decision follows from the item that a failed condition returns. Only the attempts
//! of a known device are decided by a read, and charged once they have failed.

use std::time::Duration;

use serde::Deserialize;
use shared::{
    clock::Timestamp,
    table::{Expression, Item, Key, Outcome, TableError, Write, from_item},
    telemetry,
};

use super::Store;
use crate::throttle::{Bucket, RateLimitDecision};

/// Retention of an empty bucket, because the clocks of other instances may be behind.
const EMPTY_BUCKET_RETENTION: Duration = Duration::from_secs(3600);

/// Two updates suffice, unless attempts are refunded at the same moment.
const MAX_ATTEMPTS: usize = 4;

#[derive(Deserialize)]
struct BucketItem {
    /// Theoretical arrival time, in milliseconds since 1970.
    tat: i64,
}

impl Store {
    /// Decides about an attempt, and charges the bucket if it is allowed.
    ///
    /// If the table's response is lost, an attempt may be charged without being made. No attempt is
    /// made without being charged.
    ///
    /// # Errors
    /// If the table fails: the decision is unknown, and the attempt must be rejected.
    pub async fn consume_attempt(
        &self,
        bucket: &Bucket,
        now: Timestamp,
    ) -> Result<RateLimitDecision, TableError> {
        self.consume_attempt_at(bucket, None, now).await
    }

    /// As [`Self::consume_attempt`], for a bucket that was just read at `arrival`: one update, unless
    /// the bucket changes meanwhile.
    ///
    /// # Errors
    /// If the table fails: the decision is unknown, and the attempt must be rejected.
    pub async fn consume_attempt_at(
        &self,
        bucket: &Bucket,
        mut arrival: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<RateLimitDecision, TableError> {
        for _ in 0..MAX_ATTEMPTS {
            let (change, condition) = if arrival.is_none_or(|arrival| arrival <= now) {
                first_attempt(bucket, now)
            } else {
                further_attempt(bucket, now)
            };
            match self.sessions.update(key(bucket), change, condition).await? {
                Outcome::Written => return Ok(RateLimitDecision::Allowed),
                Outcome::ConditionFailed(stored) => {
                    arrival = stored.map(arrival_in).transpose()?;
                }
            }
            if let throttled @ RateLimitDecision::Throttled { .. } = bucket.decide(arrival, now) {
                return Ok(throttled);
            }
        }
        let table = self.sessions.name().to_owned();
        Err(TableError::Unavailable {
            table,
            call: "UpdateItem",
            cause: "a bucket changed each time".to_owned(),
        })
    }

    /// Charges one attempt to every bucket, or to none. If a later bucket rejects the attempt, the
    /// earlier ones are refunded. The network's bucket comes first: otherwise one address could
    /// exhaust the attempts of every account.
    ///
    /// The buckets are charged one after the other. A transaction would fail while another one
    /// changes the bucket of a busy network. A rejection by the second bucket costs one more
    /// update. If that update fails, or the function crashes before it, the network has one attempt
    /// less until its bucket has drained. Neither the account nor another network loses one.
    ///
    /// # Errors
    /// If the table fails: the attempt must be rejected. Buckets charged before the failure stay
    /// charged.
    pub async fn consume_attempts(
        &self,
        buckets: &[Bucket],
        now: Timestamp,
    ) -> Result<RateLimitDecision, TableError> {
        for (position, bucket) in buckets.iter().enumerate() {
            let decision = self.consume_attempt(bucket, now).await?;
            if decision == RateLimitDecision::Allowed {
                continue;
            }
            for charged in &buckets[..position] {
                if let Err(error) = self.refund_attempt(charged, now).await {
                    tracing::warn!(
                        error = telemetry::causes(&error),
                        "throttle bucket not refunded, its network has one attempt less"
                    );
                }
            }
            return Ok(decision);
        }
        Ok(RateLimitDecision::Allowed)
    }

    /// Refunds an attempt that was just allowed.
    ///
    /// # Errors
    /// If the table fails: whether the attempt is refunded is unknown.
    pub async fn refund_attempt(&self, bucket: &Bucket, now: Timestamp) -> Result<(), TableError> {
        let (change, condition) = refund(bucket, now);
        self.sessions.update(key(bucket), change, condition).await.map(drop)
    }

    /// For a transaction: refunds an attempt that was just allowed. The write never fails the
    /// transaction. A bucket that was emptied meanwhile stays empty.
    pub fn transact_refund_attempt(&self, bucket: &Bucket, now: Timestamp) -> Write {
        let (change, condition) = refund(bucket, now);
        self.sessions.transact_update(key(bucket), change, condition)
    }

    /// For a transaction: requires that an attempt at `now` is allowed. It is not charged.
    pub(super) fn transact_check_bucket(&self, bucket: &Bucket, now: Timestamp) -> Write {
        let has_capacity = Expression::new("attribute_not_exists(#tat) OR #tat <= :latest")
            .value("latest", bucket.limit().latest(now).milliseconds());
        self.sessions.transact_check(key(bucket), has_capacity)
    }

    /// For a transaction: empties a bucket. The write never fails the transaction.
    pub fn transact_clear_bucket(&self, bucket: &Bucket) -> Write {
        self.sessions.transact_delete(key(bucket), bucket_or_absent())
    }
}

/// An attempt on an empty bucket.
fn first_attempt(bucket: &Bucket, now: Timestamp) -> (Expression, Expression) {
    let change = Expression::new("SET #tat = :next, #ttl = :ttl")
        .value("next", now.plus(bucket.limit().interval()).milliseconds())
        .value("ttl", ttl(bucket, now));
    let condition = Expression::new("attribute_not_exists(#tat) OR #tat <= :now")
        .value("now", now.milliseconds());
    (change, condition)
}

/// An attempt on a bucket that is not empty. The condition requires remaining capacity, not the
/// value that was read. So concurrent attempts use the remaining capacity one after the other, and
/// none has to be repeated.
fn further_attempt(bucket: &Bucket, now: Timestamp) -> (Expression, Expression) {
    let change = Expression::new("SET #tat = #tat + :interval, #ttl = :ttl")
        .value("interval", interval(bucket))
        .value("ttl", ttl(bucket, now));
    let condition = Expression::new("#tat > :now AND #tat <= :latest")
        .value("now", now.milliseconds())
        .value("latest", bucket.limit().latest(now).milliseconds());
    (change, condition)
}

/// A refund may move the arrival time into the past. The bucket is then empty, as at `now`, so a
/// refund never exceeds what was charged.
fn refund(bucket: &Bucket, now: Timestamp) -> (Expression, Expression) {
    let change = Expression::new(
        "SET #tat = if_not_exists(#tat, :now) - :interval, #ttl = if_not_exists(#ttl, :ttl)",
    )
    .value("now", now.milliseconds())
    .value("interval", interval(bucket))
    .value("ttl", ttl(bucket, now));
    (change, bucket_or_absent())
}

/// The condition that the item is a bucket or absent, so that other items are never changed.
fn bucket_or_absent() -> Expression {
    Expression::new("attribute_not_exists(#pk) OR attribute_exists(#tat)")
}

pub(super) fn key(bucket: &Bucket) -> Key {
    Key::new(format!("BUCKET#{}", bucket.name()))
}

/// The arrival time in a stored bucket.
pub(super) fn arrival_in(item: Item) -> Result<Timestamp, TableError> {
    from_item::<BucketItem>(item).map(|stored| Timestamp::from_milliseconds(stored.tat))
}

fn interval(bucket: &Bucket) -> i64 {
    i64::try_from(bucket.limit().interval().as_millis()).unwrap_or(i64::MAX)
}

/// No attempt at `now` leads to a later arrival time than that of a full bucket.
fn ttl(bucket: &Bucket, now: Timestamp) -> i64 {
    bucket.limit().full(now).plus(EMPTY_BUCKET_RETENTION).seconds()
}
