//! The ledger's table; only this module knows its keys and attributes.
//!
//! - `ORDER#<order>` / `<entry>`: an entry of an order.
//! - `PRODUCT#<product>` / `<entry>`: an entry of a product, which adjusts its stock.
//! - `BALANCES#<generation>#<shard>` / `<product>`: the sum of the entries of a product that are
//!   posted; see [`crate::posting`].
//! - `AUDIT` / `RUN`: the progress of the scheduled audit. `AUDIT` / `LEASE`: the lease of the call
//!   that advances it. `AUDIT` / `POSTING`: the progress of posting.
//!
//! An entry is one item with all its lines. It is written once, by a conditional put, and never
//! changed or deleted. Its key decides whether its id is taken: an id contains its order or product
//! as a part of its derivation, so the same id never has two owners. An item has `closed_by`
//! instead of lines if a repair has booked the movement of this id; see [`crate::domain::repair`].
//!
//! The index `day-index` lists entries by the time of recording: `day#<yyyy-mm-dd>#<shard>` /
//! `<time>#<entry>`. It projects keys only, so it costs one write unit for each entry. It finds the
//! orders that changed and the entries to be posted.

mod balances;
mod item;

use std::sync::atomic::{AtomicBool, Ordering};

pub use balances::StoredBalance;
use shared::{
    clock::Timestamp,
    ids::OrderId,
    sweep::Lease,
    table::{
        AttributeValue, Expression, Item, Key, Outcome, Query, Table, TableError, from_item,
        to_patch,
    },
};

use crate::{
    audit_run::{AuditRun, Window},
    domain::{Entry, EntryId, Owner, audit::record::RecordedEntry},
    error::LedgerError,
};

/// Number of partition keys for the entries of one day in the index.
pub const DAY_SHARDS: u32 = 16;

/// The table of ledger entries.
#[derive(Debug)]
pub struct Store {
    ledger: Table,
    shards: u32,
    /// Whether the progress of posting is known to exist.
    has_posting: AtomicBool,
}

/// The outcome of recording an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    Recorded,
    /// The same entry was recorded before, or a repair closed its id.
    AlreadyRecorded,
}

/// The key of an entry, as the day index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryKey {
    pk: String,
    sk: String,
}

impl EntryKey {
    /// The order of the entry; `None` if it adjusts the stock of a product.
    pub fn order(&self) -> Option<OrderId> {
        item::order_of(&self.pk)
    }
}

/// The most entries that one batch read accepts.
pub const BATCH_SIZE: u32 = 100;

/// Upper bound of the entries and closed ids of one order.
const MAX_ENTRIES_PER_ORDER: u32 = 50_000;

impl Store {
    /// `shards` is the number of shards of the list of products.
    pub fn new(ledger: Table, shards: u32) -> Self {
        Self { ledger, shards, has_posting: AtomicBool::new(false) }
    }

    /// Writes an entry, unless its id is taken.
    ///
    /// # Errors
    /// If another entry has its id, or the table request fails.
    pub async fn record(
        &self,
        entry: &Entry,
        now: Timestamp,
    ) -> Result<RecordOutcome, LedgerError> {
        if !self.has_posting.load(Ordering::Relaxed) {
            self.open_posting(now).await?;
            self.has_posting.store(true, Ordering::Relaxed);
        }
        let put = self.ledger.put(item::entry_item(entry, now), Expression::not_exists());
        let stored = match put.await? {
            Outcome::Written => return Ok(RecordOutcome::Recorded),
            Outcome::ConditionFailed(stored) => stored.unwrap_or_default(),
        };
        if stored.contains_key(item::CLOSED_BY) {
            tracing::info!(entry.id = %entry.id(), "entry was booked by a repair, not recorded again");
            return Ok(RecordOutcome::AlreadyRecorded);
        }
        if item::recorded_entry(stored)?.is(entry) {
            Ok(RecordOutcome::AlreadyRecorded)
        } else {
            Err(LedgerError::Mismatch(entry.id()))
        }
    }

    /// Whether the id of this entry is taken.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn has_entry(&self, entry: &Entry) -> Result<bool, TableError> {
        Ok(self.ledger.get(item::entry_key(entry.owner(), entry.id())).await?.is_some())
    }

    /// Closes an id of an order whose movement the entry `by` books, unless an entry has the id. A
    /// later message with this id is ignored.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn close_id(
        &self,
        order: OrderId,
        id: EntryId,
        by: EntryId,
        now: Timestamp,
    ) -> Result<(), TableError> {
        let closed = item::closed_item(order, id, by, now);
        self.ledger.put(closed, Expression::not_exists()).await.map(drop)
    }

    /// The entries of an order, oldest first.
    ///
    /// # Errors
    /// If the table request fails, or an item is not an entry.
    pub async fn entries_of_order(&self, order: OrderId) -> Result<Vec<RecordedEntry>, TableError> {
        let pk = item::owner_pk(Owner::Order(order));
        let query = Query::new(None, "pk", pk, MAX_ENTRIES_PER_ORDER).consistent();
        let items = self.ledger.query(query).await?.into_iter();
        let entries = items.filter(|item| !item.contains_key(item::CLOSED_BY));
        let mut entries: Vec<RecordedEntry> =
            entries.map(item::recorded_entry).collect::<Result<_, _>>()?;
        entries.sort_unstable_by_key(|entry| (entry.occurred_at, entry.entry_id));
        Ok(entries)
    }

    /// A page of the entries recorded in `window`, of one shard of a day and after the sort key
    /// `after`. Also returns the last sort key if the page is full.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn entries_of_day(
        &self,
        day: &str,
        shard: u32,
        window: Window,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<EntryKey>, Option<String>), TableError> {
        // `BETWEEN` is inclusive, and no key is a prefix of another. Appending a character
        // therefore excludes `after` itself and nothing else. A key is longer than its time, so
        // that entries at `until` are excluded.
        let from = after.map_or_else(|| window.since.to_string(), |after| format!("{after}+"));
        let between = Expression::new("#recorded BETWEEN :from AND :until")
            .value("from", from)
            .value("until", window.until);
        let partition = item::day_shard(day, shard);
        let query = Query::new(Some("day-index"), "day_shard", partition, limit).sort(between);
        let items = self.ledger.query(query).await?;
        let next = next_sort_key(&items, "recorded", limit);
        let key = |item: &Item| {
            Some(EntryKey { pk: text(item, "pk")?.to_owned(), sk: text(item, "sk")?.to_owned() })
        };
        Ok((items.iter().filter_map(key).collect(), next))
    }

    /// Reads the entries with these keys, at most [`BATCH_SIZE`]. Each one is an error if it is
    /// unreadable.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn read_entries(
        &self,
        keys: Vec<EntryKey>,
    ) -> Result<Vec<Result<RecordedEntry, TableError>>, TableError> {
        let keys = keys.into_iter().map(|key| (&self.ledger, Key::composite(key.pk, key.sk)));
        let items = self.ledger.get_many(keys.collect()).await?;
        Ok(items.into_iter().map(item::recorded_entry).collect())
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
        let next = AuditRun { version: run.version + 1, ..run.clone() };
        self.save_progress("RUN", to_patch(&next), run.version).await
    }

    /// Writes an item of `AUDIT` that has this version; zero if it does not exist yet. Attributes of
    /// a later release are preserved.
    async fn save_progress(
        &self,
        sk: &'static str,
        mut patch: Item,
        version: u64,
    ) -> Result<bool, TableError> {
        patch.insert("pk".to_owned(), AttributeValue::S("AUDIT".to_owned()));
        patch.insert("sk".to_owned(), AttributeValue::S(sk.to_owned()));
        let outcome = match version {
            0 => {
                patch.retain(|_, value| !value.is_null());
                self.ledger.put(patch, Expression::not_exists()).await?
            }
            version => self.ledger.merge(patch, Expression::version(version)).await?,
        };
        Ok(outcome == Outcome::Written)
    }
}

/// The UTC day of a timestamp, such as `2026-11-21`.
pub fn day_of(moment: Timestamp) -> String {
    moment.to_string().chars().take(10).collect()
}

fn text<'a>(item: &'a Item, attribute: &str) -> Option<&'a str> {
    item.get(attribute).and_then(|value| value.as_s().ok()).map(String::as_str)
}

/// The last sort key of a full page; further items may follow.
fn next_sort_key(items: &[Item], attribute: &str, limit: u32) -> Option<String> {
    let is_full = items.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    items.last().filter(|_| is_full).and_then(|item| text(item, attribute)).map(str::to_owned)
}
