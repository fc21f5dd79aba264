//! The ledger's table; only this module knows its keys. Entries are written once and never changed
//! or deleted.
//!
//! - `ENTRY#<entry>` / `ENTRY`: the entry, with the fingerprint of its content. This item decides
//!   whether an id is taken. It has `closed_by` instead if a repair has booked the movement of this
//!   id; see [`crate::domain::repair`].
//! - `ORDER#<order>` / `<time>#<entry>`: a copy of the entry, by order.
//! - `DAY#<yyyy-mm-dd>#<shard>` / `<time>#<entry>`: a copy of the entry, by day.
//! - `PRODUCT#<product>#<shard>` / `<time>#<entry>`: the lines of the entry about one product.
//! - `PRODUCTS#<shard>` / `<product>`: marks that the product has entries.
//! - `AUDIT` / `RUN`: the progress of the scheduled audit. `AUDIT` / `LEASE`: the lease of the call
//!   that advances it. Only these two items are updated; they are not entries.
//!
//! The first four are written in one transaction. `PRODUCTS` is written before it: a listed product
//! without lines is harmless, but an audit would not find lines of an unlisted product.
//!
//! # Write capacity
//!
//! DynamoDB allows 1,000 write units a second per partition key. A transactional write of up to 1
//! KB costs two ("Service, account, and table quotas" and "Read/write capacity mode", Amazon
//! DynamoDB Developer Guide). A paid order writes two entries for each of its products (hold,
//! commit) and three for its day (these and the capture), so:
//!
//! - one product: `PRODUCT_SHARDS` x 1,000 / (2 x 2) = 4,000 orders a second;
//! - the whole shop: `DAY_SHARDS` x 1,000 / (3 x 2) = 5,333 orders a second.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{self, OrderId, PrefixedId, ProductId},
    sweep::Lease,
    table::{
        AttributeValue, Expression, Item, Key, Outcome, Query, Table, TableError,
        TransactionOutcome, from_item, to_item,
    },
    telemetry::{self, Trace},
};

use crate::{
    audit_run::AuditRun,
    domain::{Entry, EntryId, Kind, Line, audit::record::Posting},
    error::LedgerError,
};

/// Number of partition keys for the lines of one product.
pub const PRODUCT_SHARDS: u32 = 16;

/// Number of partition keys for the entries of one day.
pub const DAY_SHARDS: u32 = 32;

/// The table of ledger entries.
#[derive(Debug)]
pub struct Store {
    ledger: Table,
    shards: u32,
    /// Products known to be listed under `PRODUCTS`. The cache saves a write for almost every
    /// entry.
    registered: Mutex<BTreeSet<ProductId>>,
}

/// The outcome of recording an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    Recorded,
    /// The same entry was recorded before, or a repair closed its id.
    AlreadyRecorded,
}

/// Entries read by one query.
const PAGE_SIZE: u32 = 250;

/// Upper bound of the entries of one order.
const MAX_ENTRIES_PER_ORDER: u32 = 10_000;

impl Store {
    /// `shards` is the number of shards of the list of products.
    pub fn new(ledger: Table, shards: u32) -> Self {
        Self { ledger, shards, registered: Mutex::default() }
    }

    /// Writes an entry under all its keys, or not at all.
    ///
    /// # Errors
    /// If another entry has its id, or the table request fails.
    pub async fn record(
        &self,
        entry: &Entry,
        trace: &Trace,
        now: Timestamp,
    ) -> Result<RecordOutcome, LedgerError> {
        let by_product = entry.by_product();
        for product in by_product.keys() {
            self.register_product(*product).await?;
        }
        let header = EntryItem::of(entry, trace, now);
        let sort_key = format!("{}#{}", entry.occurred_at(), entry.id());
        let posting = |pk: String, lines: &[Line]| {
            let lines = lines.to_vec();
            let posting = PostingItem {
                entry_id: entry.id(),
                occurred_at: entry.occurred_at(),
                kind: entry.kind().clone(),
                order_id: entry.order_id(),
                lines,
            };
            self.ledger
                .transact_put(with_keys(to_item(&posting), pk, &sort_key), Expression::not_exists())
        };
        let mut writes = vec![self.ledger.transact_put(
            with_keys(to_item(&header), format!("ENTRY#{}", entry.id()), "ENTRY"),
            Expression::not_exists(),
        )];
        writes.extend(entry.order_id().map(|order| posting(order_pk(order), entry.lines())));
        let shard = |of: u32| ids::shard_of(&entry.id().to_string(), of);
        writes
            .push(posting(day_pk(&day_of(entry.occurred_at()), shard(DAY_SHARDS)), entry.lines()));
        writes.extend(
            by_product.iter().map(|(product, lines)| {
                posting(product_pk(*product, shard(PRODUCT_SHARDS)), lines)
            }),
        );

        let conflicts = match self.ledger.transact(writes).await? {
            TransactionOutcome::Written => return Ok(RecordOutcome::Recorded),
            TransactionOutcome::Cancelled(conflicts) => conflicts,
        };
        // The first conflict is that of the header. The copies exist only together with it.
        let stored = conflicts.into_iter().next().flatten().and_then(|conflict| conflict.item);
        if stored.as_ref().is_some_and(|item| item.contains_key(CLOSED_BY)) {
            tracing::info!(entry.id = %entry.id(), "entry was booked by a repair, not recorded again");
            return Ok(RecordOutcome::AlreadyRecorded);
        }
        let stored = stored.map(from_item::<EntryItem>).transpose()?;
        match stored {
            Some(stored) if stored.fingerprint == header.fingerprint => {
                Ok(RecordOutcome::AlreadyRecorded)
            }
            _ => Err(LedgerError::Mismatch(entry.id())),
        }
    }

    /// Whether an entry has this id.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn has_entry(&self, entry: EntryId) -> Result<bool, TableError> {
        Ok(self.ledger.get(header_key(entry)).await?.is_some())
    }

    /// Closes an id whose movement the entry `by` books, unless an entry has the id. A later
    /// message with this id is ignored.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn close_id(
        &self,
        id: EntryId,
        by: EntryId,
        now: Timestamp,
    ) -> Result<(), TableError> {
        let closed = to_item(&ClosedItem { closed_by: by, closed_at: now });
        self.ledger
            .put(with_keys(closed, format!("ENTRY#{id}"), "ENTRY"), Expression::not_exists())
            .await
            .map(drop)
    }

    /// Lists a product for runs over all products.
    async fn register_product(&self, product: ProductId) -> Result<(), TableError> {
        if self.registered.lock().unwrap_or_else(PoisonError::into_inner).contains(&product) {
            return Ok(());
        }
        let shard = ids::shard_of(&product.to_string(), self.shards);
        // A conflict means that the product is listed already.
        self.ledger
            .put(
                with_keys(Item::new(), products_pk(shard), &product.to_string()),
                Expression::not_exists(),
            )
            .await?;
        self.registered.lock().unwrap_or_else(PoisonError::into_inner).insert(product);
        Ok(())
    }

    /// The entries of an order, oldest first.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn entries_of_order(&self, order: OrderId) -> Result<Vec<Posting>, TableError> {
        let items = self
            .ledger
            .query(Query::new(None, "pk", order_pk(order), MAX_ENTRIES_PER_ORDER).consistent())
            .await?;
        items.into_iter().map(from_item).collect()
    }

    /// A page of the entries in one shard of a product after the sort key `after`, oldest first.
    /// Also returns the sort key for the next page if this one is full.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn entries_of_product(
        &self,
        product: ProductId,
        shard: u32,
        after: Option<&str>,
    ) -> Result<(Vec<Posting>, Option<String>), TableError> {
        let mut query = Query::new(None, "pk", product_pk(product, shard), PAGE_SIZE).consistent();
        if let Some(after) = after {
            query = query.sort(Expression::new("#sk > :after").value("after", after));
        }
        let items = self.ledger.query(query).await?;
        let next = next_sort_key(&items, PAGE_SIZE);
        Ok((items.into_iter().map(from_item).collect::<Result<_, _>>()?, next))
    }

    /// A page of the orders with entries in one shard of a day, between the sort keys `from` and
    /// `to`. Also returns the last sort key if the page is full.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn orders_of_day(
        &self,
        day: &str,
        shard: u32,
        from: &str,
        to: &str,
        limit: u32,
    ) -> Result<(Vec<OrderId>, Option<String>), TableError> {
        #[derive(Deserialize)]
        struct EntryOrder {
            #[serde(default)]
            order_id: Option<OrderId>,
        }
        let between =
            Expression::new("#sk BETWEEN :from AND :to").value("from", from).value("to", to);
        let items = self
            .ledger
            .query(Query::new(None, "pk", day_pk(day, shard), limit).sort(between))
            .await?;
        let next = next_sort_key(&items, limit);
        let order = |item: Item| {
            let entry = sort_key(&item).unwrap_or_default().to_owned();
            from_item::<EntryOrder>(item).map(|entry_order| entry_order.order_id).unwrap_or_else(
                |error| {
                    tracing::error!(
                        entry,
                        error = telemetry::causes(&error),
                        "ledger entry not readable, its order is not compared"
                    );
                    None
                },
            )
        };
        Ok((items.into_iter().filter_map(order).collect(), next))
    }

    /// A page of one shard of the products with entries, after `after`. Also returns the last one
    /// if the page is full.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn products(
        &self,
        shard: u32,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<ProductId>, Option<String>), TableError> {
        let mut query = Query::new(None, "pk", products_pk(shard), limit);
        if let Some(after) = after {
            query = query.sort(Expression::new("#sk > :after").value("after", after));
        }
        let items = self.ledger.query(query).await?;
        let next = next_sort_key(&items, limit);
        Ok((items.iter().filter_map(|item| ProductId::parse(sort_key(item)?)).collect(), next))
    }

    /// The lease of the call that advances the scheduled audit.
    pub fn lease(&self) -> Lease {
        Lease::new(&self.ledger, Key::composite("AUDIT", "LEASE"))
    }

    /// The progress of the scheduled audit.
    ///
    /// # Errors
    /// If the table request fails, or the item is not a run.
    pub async fn audit_run(&self) -> Result<Option<AuditRun>, TableError> {
        self.ledger.get(Key::composite("AUDIT", "RUN")).await?.map(from_item).transpose()
    }

    /// Saves the progress unless another call has advanced it meanwhile. Returns whether it was
    /// saved.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn save_audit_run(&self, run: &AuditRun) -> Result<bool, TableError> {
        let unchanged = if run.version == 0 {
            Expression::not_exists()
        } else {
            Expression::version(run.version)
        };
        let item = to_item(&AuditRun { version: run.version + 1, ..run.clone() });
        Ok(matches!(
            self.ledger.put(with_keys(item, "AUDIT".to_owned(), "RUN"), unchanged).await?,
            Outcome::Written
        ))
    }
}

/// The UTC day of a timestamp, such as `2026-11-21`.
pub fn day_of(moment: Timestamp) -> String {
    moment.to_string().chars().take(10).collect()
}

/// Attribute of the item of a closed id.
const CLOSED_BY: &str = "closed_by";

/// The item of a closed id: no entry can be recorded under it.
#[derive(Serialize)]
struct ClosedItem {
    /// The entry that books the movement instead.
    closed_by: EntryId,
    closed_at: Timestamp,
}

fn header_key(entry: EntryId) -> Key {
    Key::composite(format!("ENTRY#{entry}"), "ENTRY")
}

fn order_pk(order: OrderId) -> String {
    format!("ORDER#{order}")
}

fn day_pk(day: &str, shard: u32) -> String {
    format!("DAY#{day}#{shard}")
}

fn product_pk(product: ProductId, shard: u32) -> String {
    format!("PRODUCT#{product}#{shard}")
}

fn products_pk(shard: u32) -> String {
    format!("PRODUCTS#{shard}")
}

fn with_keys(mut item: Item, pk: String, sk: &str) -> Item {
    item.insert("pk".to_owned(), AttributeValue::S(pk));
    item.insert("sk".to_owned(), AttributeValue::S(sk.to_owned()));
    item
}

fn sort_key(item: &Item) -> Option<&str> {
    item.get("sk").and_then(|value| value.as_s().ok()).map(String::as_str)
}

/// The last sort key of a full page; further items may follow.
fn next_sort_key(items: &[Item], limit: u32) -> Option<String> {
    let is_full = items.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    items.last().filter(|_| is_full).and_then(sort_key).map(str::to_owned)
}

/// An entry as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct EntryItem {
    entry_id: EntryId,
    occurred_at: Timestamp,
    kind: Kind,
    order_id: Option<OrderId>,
    lines: Vec<Line>,
    /// Distinguishes this entry from another one with the same id.
    fingerprint: String,
    recorded_at: Timestamp,
    traceparent: Trace,
}

impl EntryItem {
    fn of(entry: &Entry, trace: &Trace, now: Timestamp) -> Self {
        Self {
            entry_id: entry.id(),
            occurred_at: entry.occurred_at(),
            kind: entry.kind().clone(),
            order_id: entry.order_id(),
            lines: entry.lines().to_vec(),
            fingerprint: ids::fingerprint(entry),
            recorded_at: now,
            traceparent: trace.clone(),
        }
    }
}

/// A copy of an entry, stored under its order, day or product.
#[derive(Debug, Serialize)]
struct PostingItem {
    entry_id: EntryId,
    occurred_at: Timestamp,
    kind: Kind,
    order_id: Option<OrderId>,
    lines: Vec<Line>,
}
