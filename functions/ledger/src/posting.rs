//! Posts entries to the balances of products, and sums the entries that are not posted yet.
//!
//! An entry is written once, under its order. To compare a product's stock with the ledger, the
//! audit needs the sum of all entries of the product. A stored balance has the sum up to a time; the
//! entries since then are added when they are needed. The daily run posts entries a day after they
//! were recorded. A product therefore costs one write a day, however often it is sold.
//!
//! - The index that lists entries is eventually consistent. It lists every entry long before the
//!   entry is posted, so none appears in a period that is already posted.
//! - The end of a period is stored before the first balance is written. A call that is interrupted
//!   is repeated with the same period, and a balance that includes the period is not changed again.
//! - Balances follow from the entries. [`PostingProgress::restarted`] begins a new set of balances,
//!   for example after a restore.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use shared::{
    clock::{Clock, Timestamp},
    ids::ProductId,
    table::TableError,
    telemetry,
};

use crate::{
    Ledger,
    audit::run_concurrently,
    audit_run::{DAY, Window, minus},
    candidates::{CandidatePage, days},
    domain::ProductSums,
    sources::ReadError,
    store::{BATCH_SIZE, DAY_SHARDS},
};

/// Time between the recording and the posting of an entry.
pub const POSTING_DELAY: Duration = DAY;

/// The longest period that is posted at once: what a daily run has to post, and some margin.
const MAX_PERIOD: Duration = Duration::from_secs(2 * 24 * 3600);

const MIN_PERIOD: Duration = Duration::from_secs(60);

/// The progress of posting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostingProgress {
    /// Incremented by every write; the condition of the conditional write.
    pub version: u64,
    /// The number of the current set of balances.
    pub generation: u64,
    /// Entries recorded before this time are posted.
    pub posted_until: Timestamp,
    /// The end of the period whose balances are being written.
    #[serde(default)]
    pub pending_until: Option<Timestamp>,
    /// The length of the next period. Halved when a call has no time to sum a period.
    pub period_seconds: u64,
}

impl PostingProgress {
    /// No entry is posted, and none was recorded before `since`.
    pub fn starting(since: Timestamp) -> Self {
        Self {
            version: 0,
            generation: 0,
            posted_until: since,
            pending_until: None,
            period_seconds: MAX_PERIOD.as_secs(),
        }
    }

    /// The progress of a ledger whose first entry is recorded at `now`. It starts earlier, so that
    /// clocks that differ lose no entry.
    pub fn first(now: Timestamp) -> Self {
        Self::starting(minus(now, POSTING_DELAY))
    }

    /// Begins a new set of balances with the entries recorded since `since`.
    #[must_use]
    pub fn restarted(&self, since: Timestamp) -> Self {
        Self { version: self.version, generation: self.generation + 1, ..Self::starting(since) }
    }

    /// The next period of entries recorded before `until`; `None` if all of them are posted.
    fn next_period(&self, until: Timestamp) -> Option<Window> {
        let since = self.posted_until;
        let longest = since.plus(Duration::from_secs(self.period_seconds));
        let until = self.pending_until.unwrap_or(until.min(longest));
        (since < until).then_some(Window { since, until })
    }

    fn with_shorter_period(&self) -> Self {
        let period_seconds = (self.period_seconds / 2).max(MIN_PERIOD.as_secs());
        Self { period_seconds, ..self.clone() }
    }

    fn pending(&self, until: Timestamp) -> Self {
        Self { pending_until: Some(until), ..self.clone() }
    }

    fn posted(&self, until: Timestamp) -> Self {
        Self {
            posted_until: until,
            pending_until: None,
            period_seconds: MAX_PERIOD.as_secs(),
            ..self.clone()
        }
    }
}

/// The sum of the entries that were recorded in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PeriodSums {
    products: ProductSums,
    /// The number of entries that could not be read, and are not included.
    unreadable: u32,
}

/// The entries that are not posted yet.
#[derive(Clone, Debug)]
pub struct RecentEntries {
    /// The set of balances to which they are added.
    pub generation: u64,
    /// The entries were recorded at this time or later.
    pub since: Timestamp,
    /// The time at which the sum was begun.
    pub read_at: Timestamp,
    /// `None` if there was not enough time to read them all.
    pub sums: Option<ProductSums>,
}

impl RecentEntries {
    /// Returns at most `limit` of their products after `after`, and the last one if the page is full.
    pub(crate) fn page(&self, after: Option<&str>, limit: u32) -> CandidatePage<ProductId> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let products = self.sums.iter().flat_map(ProductSums::products);
        let later =
            products.filter(|product| after.is_none_or(|after| *product.to_string() > *after));
        let page: Vec<ProductId> = later.take(limit).collect();
        let next = page.last().filter(|_| page.len() >= limit).map(ToString::to_string);
        (page, next)
    }
}

impl Ledger {
    /// Posts the entries recorded before `until`, and returns whether all of them are posted. Stops
    /// at `stop_at`, in the system's time. Only the call that holds the lease of the audit posts.
    ///
    /// An unreadable entry stops the posting until its item is corrected, because a balance never
    /// includes entries of a posted period later. Its order is reported, and the entries since then
    /// are read as recent ones.
    ///
    /// # Errors
    /// If a table request fails.
    pub async fn post_entries(
        self: &Arc<Self>,
        until: Timestamp,
        stop_at: Timestamp,
    ) -> Result<bool, ReadError> {
        loop {
            let Some(mut progress) = self.store.posting().await? else {
                self.store.open_posting(self.clock.now()).await?;
                return Ok(true);
            };
            let Some(period) = progress.next_period(until) else { return Ok(true) };
            let Some(sums) = self.sum_entries(period, stop_at).await? else {
                tracing::warn!("no time left to post ledger entries, continued by the next call");
                if progress.pending_until.is_none() {
                    self.store.save_posting(&progress.with_shorter_period()).await?;
                }
                return Ok(false);
            };
            if sums.unreadable > 0 {
                tracing::error!(
                    unreadable = sums.unreadable,
                    "ledger entries are unreadable, no entry is posted"
                );
                return Ok(true);
            }
            if progress.pending_until.is_none() {
                progress = progress.pending(period.until);
                if !self.store.save_posting(&progress).await? {
                    return Ok(false);
                }
                progress.version += 1;
            }
            self.post_balances(progress.generation, sums.products, period.until).await?;
            if !self.store.save_posting(&progress.posted(period.until)).await? {
                return Ok(false);
            }
        }
    }

    async fn post_balances(
        self: &Arc<Self>,
        generation: u64,
        sums: ProductSums,
        until: Timestamp,
    ) -> Result<(), ReadError> {
        let (ledger, products) = (self.clone(), sums.products().collect());
        let written = run_concurrently(products, move |product| {
            let (ledger, sum) = (ledger.clone(), sums.of(product));
            async move { Ok(ledger.store.post_balance(generation, product, sum, until).await?) }
        });
        written.await.into_values().collect()
    }

    /// Sums the entries that are not posted yet, unless that takes longer than until `stop_at`, in
    /// the system's time.
    ///
    /// # Errors
    /// If a table request fails.
    pub async fn recent_entries(
        self: &Arc<Self>,
        stop_at: Timestamp,
    ) -> Result<RecentEntries, ReadError> {
        let read_at = self.clock.now();
        let progress = self.store.posting().await?;
        let progress = progress.unwrap_or_else(|| PostingProgress::first(read_at));
        let (generation, since) = (progress.generation, progress.posted_until);
        // An entry recorded at this very moment is included.
        let period = Window { since, until: read_at.plus(Duration::from_millis(1)) };
        let sums = self.sum_entries(period, stop_at).await?.map(|sums| sums.products);
        Ok(RecentEntries { generation, since, read_at, sums })
    }

    /// The sum of the entries recorded in a period. `None` if it is not complete at `stop_at`.
    async fn sum_entries(
        self: &Arc<Self>,
        period: Window,
        stop_at: Timestamp,
    ) -> Result<Option<PeriodSums>, ReadError> {
        let days = Arc::new(days(period));
        let shards = (0..days.len()).flat_map(|day| (0..DAY_SHARDS).map(move |shard| (day, shard)));
        let ledger = self.clone();
        let sums = run_concurrently(shards.collect(), move |(day, shard)| {
            let (ledger, days) = (ledger.clone(), days.clone());
            async move { ledger.sum_shard(&days[day], shard, period, stop_at).await }
        });
        let mut total = PeriodSums::default();
        for sums in sums.await.into_values() {
            let Some(sums) = sums? else { return Ok(None) };
            total.products.merge(sums.products);
            total.unreadable += sums.unreadable;
        }
        Ok(Some(total))
    }

    async fn sum_shard(
        &self,
        day: &str,
        shard: u32,
        period: Window,
        stop_at: Timestamp,
    ) -> Result<Option<PeriodSums>, ReadError> {
        let (mut sums, mut after) = (PeriodSums::default(), None);
        loop {
            if Clock::System.now() >= stop_at {
                return Ok(None);
            }
            let page = self.store.entries_of_day(day, shard, period, after.as_deref(), BATCH_SIZE);
            let (keys, next) = page.await?;
            for entry in self.store.read_entries(keys).await? {
                match entry {
                    Ok(entry) => sums.products.add(&entry.lines),
                    Err(error) => sums.skip(&error),
                }
            }
            match next {
                None => return Ok(Some(sums)),
                next => after = next,
            }
        }
    }
}

impl PeriodSums {
    fn skip(&mut self, error: &TableError) {
        tracing::error!(
            error = telemetry::causes(error),
            "ledger entry not readable, its product is not reconciled"
        );
        self.unreadable += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn periods_are_consecutive_and_bounded() {
        let (start, now) = (moment("2026-11-10T10:00:00.000Z"), moment("2026-11-21T10:00:00.000Z"));
        let (mut progress, mut until) = (PostingProgress::starting(start), start);
        while let Some(period) = progress.next_period(now) {
            assert_eq!(period.since, until);
            assert!(period.until.since(period.since) <= MAX_PERIOD && period.until <= now);
            (progress, until) = (progress.posted(period.until), period.until);
        }
        assert_eq!(until, now);
        assert_eq!(progress.next_period(start), None, "an earlier end posts nothing");
    }

    #[test]
    fn interrupted_period_is_repeated_unchanged() {
        let (start, now) = (moment("2026-11-20T10:00:00.000Z"), moment("2026-11-21T10:00:00.000Z"));
        let pending = PostingProgress::starting(start).pending(now);
        let later = now.plus(MAX_PERIOD);
        assert_eq!(
            pending.with_shorter_period().next_period(later),
            Some(Window { since: start, until: now })
        );
        assert_eq!(pending.posted(now).next_period(now), None);
    }

    #[test]
    fn period_is_halved_down_to_a_minute() {
        let (start, now) = (moment("2026-11-10T10:00:00.000Z"), moment("2026-11-21T10:00:00.000Z"));
        let mut progress = PostingProgress::starting(start);
        for _ in 0..20 {
            progress = progress.with_shorter_period();
        }
        let until = start.plus(MIN_PERIOD);
        assert_eq!(progress.next_period(now), Some(Window { since: start, until }));
        assert_eq!(progress.posted(until), PostingProgress::starting(until));
    }

    #[test]
    fn restart_begins_another_set_of_balances() {
        let (start, now) = (moment("2026-11-10T10:00:00.000Z"), moment("2026-11-21T10:00:00.000Z"));
        let stored = PostingProgress { version: 7, ..PostingProgress::starting(now).pending(now) };
        let restarted = stored.restarted(start);
        assert_eq!((restarted.version, restarted.generation), (7, 1));
        assert_eq!((restarted.posted_until, restarted.pending_until), (start, None));
    }
}
