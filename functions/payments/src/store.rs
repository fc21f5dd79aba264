//! Keys, conditions and queries of the table `payments`.
//!
//! Every record of an order has the partition key `ORDER#<order>` and the sort key `INTENT`,
//! `ATTEMPT#<id>` or `REFUND#<id>`. Idempotency records have `KEY#<id>`, received webhook events
//! `EVENT#<provider>#<id>` for a month, the circuit breaker `BREAKER#<provider>`, and the lease of
//! the sweep `LEASE#reconcile-payments`.
//!
//! Every record has a version, and every write has one condition: version 1 requires that no item
//! exists, version n + 1 requires version n. A conflicting write returns the stored item. A write
//! preserves attributes of a later release.

use std::time::Duration;

use provider::{PaymentId, RefundId};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use shared::{
    clock::Timestamp,
    ids::{self, OrderId, PrefixedId, Uuid},
    sweep::{Backlog, Lease},
    table::{
        AttributeValue, Expression, Item, Key, Outcome, Query, Table, TableError,
        TransactionOutcome, Write, from_item, to_patch,
    },
};

use crate::domain::{Attempt, Breaker, Change, IntentEvent, IntentState, PaymentIntent, Refund};

/// Partition of the index of due records, before its shard.
const DUE: &str = "due";

/// Due records read from one shard per page.
const DUE_PAGE: u32 = 100;

/// Retention of received webhook events. It exceeds the time for which any provider redelivers an
/// event.
const EVENT_RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Clone, Debug)]
pub struct Store {
    table: Table,
    shards: u32,
    provider: &'static str,
}

/// Links an idempotency key to the request that used it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdempotencyRecord {
    /// The payment that the request created or refunded.
    pub payment_id: PaymentId,
    /// The refund that the request created.
    #[serde(default)]
    pub refund_id: Option<RefundId>,
    /// Hash that distinguishes the request from another one under the same key.
    pub fingerprint: String,
    pub created_at: Timestamp,
}

/// Records that were read, or that a conflicting write returned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    pub intent: Option<PaymentIntent>,
    pub attempt: Option<Attempt>,
    pub refund: Option<Refund>,
    pub idempotency_record: Option<IdempotencyRecord>,
    pub breaker: Option<Breaker>,
}

impl IdempotencyRecord {
    /// Storage key of the idempotency key. It equals the id of the attempt or refund that the
    /// request created.
    fn key(&self) -> Uuid {
        self.refund_id.map_or(self.payment_id.attempt(), |refund| refund.uuid())
    }
}

impl Records {
    /// These records, with those of `newer` replacing the ones of the same kind.
    #[must_use]
    pub fn updated(self, newer: Self) -> Self {
        Self {
            intent: newer.intent.or(self.intent),
            attempt: newer.attempt.or(self.attempt),
            refund: newer.refund.or(self.refund),
            idempotency_record: newer.idempotency_record.or(self.idempotency_record),
            breaker: newer.breaker.or(self.breaker),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum WriteOutcome {
    Written,
    /// Nothing was written. Holds the stored records that conflicted.
    Conflict(Box<Records>),
}

/// A record whose check is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Attempt(PaymentId),
    Refund(OrderId, RefundId),
}

/// An intent in the table's stream. Images in a state that this release does not know are rejected
/// and go to the dead-letter queue.
#[derive(Clone, Debug)]
pub struct IntentImage(pub PaymentIntent);

impl<'de> Deserialize<'de> for IntentImage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let intent = PaymentIntent::deserialize(deserializer)?;
        match (&intent.state, &intent.last_event) {
            (IntentState::Unknown(_), _) | (_, IntentEvent::Unknown(_)) => Err(
                serde::de::Error::custom("the intent has a state that this release does not know"),
            ),
            _ => Ok(Self(intent)),
        }
    }
}

impl Store {
    /// Opens the records in `table`. `shards` is the shard count of its index, `provider` the
    /// configured provider.
    pub fn new(table: Table, shards: u32, provider: &'static str) -> Self {
        Self { table, shards, provider }
    }

    pub async fn intent(&self, order: OrderId) -> Result<Option<PaymentIntent>, TableError> {
        self.read(order_key(order, "INTENT")).await
    }

    pub async fn attempt(&self, payment: PaymentId) -> Result<Option<Attempt>, TableError> {
        self.read(attempt_key(payment)).await
    }

    /// Reads the intent, an attempt and the breaker in one call.
    pub async fn intent_and_attempt(&self, payment: PaymentId) -> Result<Records, TableError> {
        self.read_many(vec![
            order_key(payment.order_id(), "INTENT"),
            attempt_key(payment),
            self.breaker_key(),
        ])
        .await
    }

    /// Reads an attempt and the breaker in one call.
    pub async fn attempt_and_breaker(&self, payment: PaymentId) -> Result<Records, TableError> {
        self.read_many(vec![attempt_key(payment), self.breaker_key()]).await
    }

    /// Reads all records that `create-payment` needs in one call.
    pub async fn records_for_payment(&self, payment: PaymentId) -> Result<Records, TableError> {
        let records = [
            order_key(payment.order_id(), "INTENT"),
            attempt_key(payment),
            idempotency_key(payment.attempt()),
        ];
        self.read_many(records.into_iter().chain([self.breaker_key()]).collect()).await
    }

    /// Reads all records that `create-refund` needs in one call.
    pub async fn records_for_refund(
        &self,
        payment: PaymentId,
        refund: RefundId,
    ) -> Result<Records, TableError> {
        let order = payment.order_id();
        let records = [
            order_key(order, "INTENT"),
            attempt_key(payment),
            refund_key(order, refund),
            idempotency_key(refund.uuid()),
        ];
        self.read_many(records.into_iter().chain([self.breaker_key()]).collect()).await
    }

    /// Reads the intent, a refund and the breaker in one call.
    pub async fn intent_and_refund(
        &self,
        order: OrderId,
        refund: RefundId,
    ) -> Result<Records, TableError> {
        self.read_many(vec![
            order_key(order, "INTENT"),
            refund_key(order, refund),
            self.breaker_key(),
        ])
        .await
    }

    /// Reads a payment, a refund and the breaker in one call.
    pub async fn attempt_and_refund(
        &self,
        payment: PaymentId,
        refund: RefundId,
    ) -> Result<Records, TableError> {
        self.read_many(vec![
            attempt_key(payment),
            refund_key(payment.order_id(), refund),
            self.breaker_key(),
        ])
        .await
    }

    /// The breaker of the configured provider; `None` if it was never written.
    pub async fn breaker(&self) -> Result<Option<Breaker>, TableError> {
        self.read(self.breaker_key()).await
    }

    /// Writes the breaker. On a conflict with another writer, returns the stored breaker.
    pub async fn write_breaker(
        &self,
        breaker: &Breaker,
    ) -> Result<Result<(), Option<Breaker>>, TableError> {
        let patch = keyed(to_patch(breaker), breaker_pk(&breaker.provider), "BREAKER");
        match self.table.merge(patch, next(breaker.version)).await? {
            Outcome::Written => Ok(Ok(())),
            Outcome::ConditionFailed(item) => Ok(Err(item.map(from_item).transpose()?)),
        }
    }

    /// Whether a webhook event was processed before.
    pub async fn has_event(&self, id: &str) -> Result<bool, TableError> {
        Ok(self.table.get(Key::composite(self.event_pk(id), "EVENT")).await?.is_some())
    }

    /// Records a webhook event as processed.
    pub async fn record_event(&self, id: &str, now: Timestamp) -> Result<(), TableError> {
        let mut item = keyed(Item::new(), self.event_pk(id), "EVENT");
        item.insert("received_at".to_owned(), AttributeValue::S(now.to_string()));
        item.insert(
            "ttl".to_owned(),
            AttributeValue::N(now.plus(EVENT_RETENTION).seconds().to_string()),
        );
        // A conflict means that a copy of the event was processed at the same time.
        self.table.put(item, Expression::not_exists()).await.map(|_| ())
    }

    /// Reads the intent of an order and its attempts. An order allows a limited number of attempts,
    /// so one query reads them all.
    pub async fn intent_and_attempts(
        &self,
        order: OrderId,
    ) -> Result<(Option<PaymentIntent>, Vec<Attempt>), TableError> {
        const MAX_ITEMS_READ: u32 = 1000;
        let condition = Expression::new("#sk BETWEEN :first AND :last")
            .value("first", "ATTEMPT#")
            .value("last", "INTENT");
        let query =
            Query::new(None, "pk", order_pk(order), MAX_ITEMS_READ).sort(condition).consistent();
        let (mut intent, mut attempts) = (None, Vec::new());
        for item in self.table.query(query).await? {
            match sort_key(&item) {
                "INTENT" => intent = Some(from_item(item)?),
                _ => attempts.push(from_item(item)?),
            }
        }
        Ok((intent, attempts))
    }

    /// The due records, the longest overdue first. They are candidates only: each record is read
    /// again before it is processed.
    pub fn due(&self, now: Timestamp) -> Backlog {
        let due = Expression::new("#next_check_at <= :now").value("now", now);
        let query = Query::new(Some("check-index"), "check_shard", DUE, DUE_PAGE).sort(due);
        Backlog::new(&self.table, &query, self.shards, "next_check_at")
    }

    /// The lease that keeps two sweeps from running at the same time.
    pub fn lease(&self) -> Lease {
        Lease::new(&self.table, Key::composite("LEASE#reconcile-payments", "LEASE"))
    }

    /// Writes a change in one transaction. `idempotency_record` reserves the key of the request.
    pub async fn write(
        &self,
        change: &Change,
        idempotency_record: Option<&IdempotencyRecord>,
    ) -> Result<WriteOutcome, TableError> {
        let refunds = [&change.refund, &change.next_refund].into_iter().flatten();
        let records: Vec<(Item, Expression)> = change
            .intent
            .iter()
            .map(|intent| {
                (keyed(to_patch(intent), order_pk(intent.order_id), "INTENT"), next(intent.version))
            })
            .chain(change.attempt.iter().map(|attempt| self.attempt_patch(attempt)))
            .chain(refunds.map(|refund| self.refund_patch(refund)))
            .chain(idempotency_record.map(|idempotency_record| {
                (
                    keyed(
                        to_patch(idempotency_record),
                        idempotency_pk(idempotency_record.key()),
                        "KEY",
                    ),
                    Expression::not_exists(),
                )
            }))
            .collect();
        if let [_] = &records[..] {
            let [(patch, condition)] = <[_; 1]>::try_from(records).expect("exactly one record");
            return match self.table.merge(patch, condition).await? {
                Outcome::Written => Ok(WriteOutcome::Written),
                Outcome::ConditionFailed(item) => {
                    Ok(WriteOutcome::Conflict(Box::new(records_from(item)?)))
                }
            };
        }
        let writes: Vec<Write> = records
            .into_iter()
            .map(|(patch, condition)| self.table.transact_merge(patch, condition))
            .collect();
        match self.table.transact(writes).await? {
            TransactionOutcome::Written => Ok(WriteOutcome::Written),
            TransactionOutcome::Cancelled(conflicts) => {
                let items = conflicts.into_iter().flatten().filter_map(|conflict| conflict.item);
                Ok(WriteOutcome::Conflict(Box::new(records_from(items)?)))
            }
        }
    }

    fn attempt_patch(&self, attempt: &Attempt) -> (Item, Expression) {
        let payment = attempt.payment_id;
        let patch = keyed(to_patch(attempt), order_pk(payment.order_id()), &attempt_sk(payment));
        (
            self.in_index(patch, attempt.dispatch.next_check_at, &payment.to_string()),
            next(attempt.version),
        )
    }

    fn refund_patch(&self, refund: &Refund) -> (Item, Expression) {
        let patch =
            keyed(to_patch(refund), order_pk(refund.order_id), &refund_sk(refund.refund_id));
        (
            self.in_index(patch, refund.dispatch.next_check_at, &refund.refund_id.to_string()),
            next(refund.version),
        )
    }

    /// Adds the index attribute. A record without a next check is not in the index.
    fn in_index(&self, mut patch: Item, next_check_at: Option<Timestamp>, id: &str) -> Item {
        let shard = ids::shard_of(id, self.shards);
        let partition = next_check_at
            .map_or(AttributeValue::Null(true), |_| AttributeValue::S(format!("{DUE}#{shard}")));
        patch.insert("check_shard".to_owned(), partition);
        patch
    }

    fn breaker_key(&self) -> Key {
        Key::composite(breaker_pk(self.provider), "BREAKER")
    }

    fn event_pk(&self, id: &str) -> String {
        format!("EVENT#{}#{id}", self.provider)
    }

    async fn read<T: DeserializeOwned>(&self, key: Key) -> Result<Option<T>, TableError> {
        self.table.get(key).await?.map(from_item).transpose()
    }

    async fn read_many(&self, keys: Vec<Key>) -> Result<Records, TableError> {
        records_from(
            self.table.get_many(keys.into_iter().map(|key| (&self.table, key)).collect()).await?,
        )
    }
}

/// Parses the key of an item of the index of due records.
///
/// # Errors
/// When the key belongs to neither an attempt nor a refund.
pub fn due_record(found: &Item) -> Result<Due, TableError> {
    let (order, kind) =
        (text(found, "pk").strip_prefix("ORDER#").and_then(OrderId::parse), text(found, "sk"));
    let due = order.and_then(|order| match kind.strip_prefix("ATTEMPT#") {
        Some(id) => Some(Due::Attempt(PaymentId::new(order, ids::parse_uuid(id)?))),
        None => Some(Due::Refund(order, RefundId::parse(kind.strip_prefix("REFUND#")?)?)),
    });
    due.ok_or(TableError::Unreadable { expected: "key of an attempt or a refund" })
}

/// Parses items; the sort key of each determines its type.
fn records_from(items: impl IntoIterator<Item = Item>) -> Result<Records, TableError> {
    let mut records = Records::default();
    for item in items {
        match sort_key(&item) {
            "INTENT" => records.intent = Some(from_item(item)?),
            "KEY" => records.idempotency_record = Some(from_item(item)?),
            "BREAKER" => records.breaker = Some(from_item(item)?),
            kind if kind.starts_with("ATTEMPT#") => records.attempt = Some(from_item(item)?),
            _ => records.refund = records.refund.or(Some(from_item(item)?)),
        }
    }
    Ok(records)
}

/// The condition that the stored record has the version before `version`.
fn next(version: u64) -> Expression {
    if version == 1 { Expression::not_exists() } else { Expression::version(version - 1) }
}

fn keyed(mut item: Item, pk: String, sk: &str) -> Item {
    item.insert("pk".to_owned(), AttributeValue::S(pk));
    item.insert("sk".to_owned(), AttributeValue::S(sk.to_owned()));
    item
}

fn order_pk(order: OrderId) -> String {
    format!("ORDER#{order}")
}

fn breaker_pk(provider: &str) -> String {
    format!("BREAKER#{provider}")
}

fn idempotency_pk(key: Uuid) -> String {
    format!("KEY#{key}")
}

fn attempt_sk(payment: PaymentId) -> String {
    format!("ATTEMPT#{}", payment.attempt())
}

fn refund_sk(refund: RefundId) -> String {
    format!("REFUND#{refund}")
}

fn order_key(order: OrderId, sk: &str) -> Key {
    Key::composite(order_pk(order), sk)
}

fn attempt_key(payment: PaymentId) -> Key {
    order_key(payment.order_id(), &attempt_sk(payment))
}

fn refund_key(order: OrderId, refund: RefundId) -> Key {
    order_key(order, &refund_sk(refund))
}

fn idempotency_key(key: Uuid) -> Key {
    Key::composite(idempotency_pk(key), "KEY")
}

fn sort_key(item: &Item) -> &str {
    text(item, "sk")
}

fn text<'a>(item: &'a Item, attribute: &str) -> &'a str {
    item.get(attribute).and_then(|value| value.as_s().ok()).map(String::as_str).unwrap_or_default()
}
