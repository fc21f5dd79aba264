//! Backfill runs: their progress, and the pages of products that they read.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::ProductId,
    sweep::Lease,
    table::{Expression, Item, Key, Outcome, Query, TableError, from_item, to_item, to_patch},
};

use super::{ACTIVE, ARCHIVED, NAME_SORT, Store, product_key_text};
use crate::domain::backfill::{BackfillRun, Cursor};

/// Key of the backfill run's item.
const BACKFILL_RUN: &str = "BACKFILL_RUN";

/// The products of one page, and where the run continues.
#[derive(Debug)]
pub struct Page {
    pub products: Vec<ProductId>,
    /// Keys of index entries that cannot be read as products.
    pub unreadable: Vec<String>,
    /// The position after this page; `None` after the last one.
    pub next: Option<Cursor>,
}

/// A backfill run as stored, with its key.
#[derive(Serialize)]
struct BackfillRunItem<'a> {
    pk: &'static str,
    #[serde(flatten)]
    run: &'a BackfillRun,
}

impl Store {
    /// The current run. If none is active, starts the next one, unless the last one started less
    /// than `cooldown` ago.
    pub async fn current_run(
        &self,
        cooldown: Duration,
        now: Timestamp,
    ) -> Result<BackfillRun, TableError> {
        let mut last = self
            .products
            .get(Key::new(BACKFILL_RUN))
            .await?
            .map(from_item::<BackfillRun>)
            .transpose()?;
        loop {
            if let Some(run) = last
                .as_ref()
                .filter(|run| run.cursor.is_some() || run.is_cooling_down(cooldown, now))
            {
                return Ok(run.clone());
            }
            let next = BackfillRun::start(last.as_ref(), now);
            let unchanged = last
                .as_ref()
                .map_or_else(Expression::not_exists, |last| Expression::version(last.version));
            match self
                .products
                .put(to_item(&BackfillRunItem { pk: BACKFILL_RUN, run: &next }), unchanged)
                .await?
            {
                Outcome::Written => return Ok(next),
                Outcome::ConditionFailed(current) => last = current.map(from_item).transpose()?,
            }
        }
    }

    /// Saves the progress of a run; `false` if another invocation saved meanwhile. Attributes of a
    /// later release are preserved until the next run.
    pub async fn save_run(
        &self,
        before: &BackfillRun,
        after: &BackfillRun,
    ) -> Result<bool, TableError> {
        let patch = to_patch(&BackfillRunItem { pk: BACKFILL_RUN, run: after });
        match self.products.merge(patch, Expression::version(before.version)).await? {
            Outcome::Written => Ok(true),
            // This may be our own write, whose response was lost.
            Outcome::ConditionFailed(current) => {
                Ok(current.map(from_item::<BackfillRun>).transpose()?.as_ref() == Some(after))
            }
        }
    }

    /// At most `limit` products after the cursor, in the order of the index.
    pub async fn page(&self, cursor: &Cursor, limit: u32) -> Result<Page, TableError> {
        let partitions = 2 * self.shards;
        let (kind, shard) = if cursor.partition < self.shards {
            (ACTIVE, cursor.partition)
        } else {
            (ARCHIVED, cursor.partition - self.shards)
        };
        let mut query =
            Query::new(Some("active-index"), "active_shard", format!("{kind}#{shard}"), limit);
        if let Some(after) = &cursor.after {
            query =
                query.sort(Expression::new(format!("#{NAME_SORT} > :after")).value("after", after));
        }
        let found = self.products.query(query).await?;
        let more = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next = cursor.after_page(
            found.last().map(|last| text(last, NAME_SORT).to_owned()),
            more,
            partitions,
        );
        let (mut products, mut unreadable) = (Vec::new(), Vec::new());
        for item in found {
            let key = text(&item, "pk").to_owned();
            match from_item::<IndexEntry>(item) {
                Ok(found) => products.push(found.product_id),
                Err(_) => unreadable.push(key),
            }
        }
        Ok(Page { products, unreadable, next })
    }

    /// The lease of the sweep that publishes all products again.
    pub fn lease(&self) -> Lease {
        Lease::new(&self.products, Key::new("LEASE#resync-products"))
    }

    /// Marks a product so that its current version is published again; `false` if it was marked in
    /// this run before.
    pub async fn mark_for_resync(
        &self,
        product_id: ProductId,
        run: u64,
    ) -> Result<bool, TableError> {
        let change = Expression::new("SET #backfill_run = :run").value("run", run);
        let not_yet = Expression::new(
            "attribute_exists(#pk) AND (attribute_not_exists(#backfill_run) OR #backfill_run < :this_run)",
        );
        let outcome = self
            .products
            .update(Key::new(product_key_text(product_id)), change, not_yet.value("this_run", run))
            .await?;
        Ok(outcome == Outcome::Written)
    }
}

/// What a run reads from an index entry.
#[derive(Deserialize)]
struct IndexEntry {
    product_id: ProductId,
}

fn text<'a>(item: &'a Item, attribute: &str) -> &'a str {
    item.get(attribute).and_then(|value| value.as_s().ok()).map(String::as_str).unwrap_or_default()
}
