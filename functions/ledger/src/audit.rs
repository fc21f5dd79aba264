//! Reads the records of one order or product and reconciles them.

use std::{collections::BTreeMap, future::Future, time::Duration};

use shared::{
    ids::{OrderId, ProductId},
    table::TableError,
};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    GRACE, Ledger,
    domain::audit::{AuditStatus, OrderSnapshot, ProductSnapshot, Verdict, record::Status},
    posting::RecentEntries,
    repair::Repairs,
    sources::ReadError,
};

/// Fields of an order that a report shows beside its findings.
#[derive(Clone, Debug, Default)]
pub struct OrderSummary {
    pub status: Option<Status>,
    /// Why a person should review it.
    pub needs_review: Option<String>,
}

/// Most orders, products or shards of a day that are read concurrently.
const CONCURRENCY: usize = 16;

impl Ledger {
    /// Reconciles one order. An unreadable record is a finding, so that the rest of the shop is
    /// still checked.
    ///
    /// # Errors
    /// If a table request fails.
    pub async fn audit_order(&self, order: OrderId) -> Result<(Verdict, OrderSummary), ReadError> {
        let snapshot = match self.order_snapshot(order).await {
            Err(ReadError::Table(TableError::Unreadable { expected })) => {
                return Ok((unreadable(expected), OrderSummary::default()));
            }
            snapshot => snapshot?,
        };
        let summary = snapshot.order.as_ref().map(|order| OrderSummary {
            status: Some(order.status),
            needs_review: order.needs_review.clone(),
        });
        Ok((snapshot.reconcile(self.clock.now(), GRACE), summary.unwrap_or_default()))
    }

    /// As [`Self::audit_order`], but first books the missing ledger entries of a settled order. The
    /// returned verdict includes the booked entries.
    ///
    /// # Errors
    /// If a table request fails.
    pub async fn audit_and_repair_order(
        &self,
        order: OrderId,
    ) -> Result<((Verdict, OrderSummary), Repairs), ReadError> {
        let snapshot = match self.order_snapshot(order).await {
            Err(ReadError::Table(TableError::Unreadable { expected })) => {
                return Ok(((unreadable(expected), OrderSummary::default()), Repairs::default()));
            }
            snapshot => snapshot?,
        };
        let verdict = snapshot.reconcile(self.clock.now(), GRACE);
        let repairs = match verdict.status {
            AuditStatus::Unbalanced => self.repair_order(snapshot, &verdict.findings).await?,
            AuditStatus::Balanced | AuditStatus::Unsettled => Repairs::default(),
        };
        Ok((self.audit_order(order).await?, repairs))
    }

    async fn order_snapshot(&self, order_id: OrderId) -> Result<OrderSnapshot, ReadError> {
        // Read against the direction of the messages, so that each later read is at least as new.
        let order = self.sources.order(order_id).await?;
        let reservation = self.sources.reservation(order_id).await?;
        let payments = self.sources.payments(order_id).await?;
        let provider = self.sources.provider_statement(&payments).await?;
        let entries = self.store.entries_of_order(order_id).await?;
        let (intent, attempts, refunds) = (payments.intent, payments.attempts, payments.refunds);
        Ok(OrderSnapshot {
            order_id,
            order,
            reservation,
            intent,
            attempts,
            refunds,
            provider,
            entries,
        })
    }

    /// Reconciles a product. `reserved` is the quantity that reservations hold, if known. The
    /// entries that are not posted yet are in `recent`.
    ///
    /// # Errors
    /// If a table request fails, or entries were posted since `recent` was read.
    pub async fn audit_product(
        &self,
        product: ProductId,
        reserved: Option<i64>,
        recent: &RecentEntries,
    ) -> Result<Verdict, ReadError> {
        let stored = match self.store.balance(recent.generation, product).await {
            Err(TableError::Unreadable { expected }) => return Ok(unreadable(expected)),
            stored => stored?,
        };
        if stored.posted_until.is_some_and(|until| until > recent.since) {
            return Err(ReadError::BalanceMoved);
        }
        let balance = recent.sums.as_ref().map(|sums| stored.balance().plus(sums.of(product)));
        // The stock is read last: a movement meanwhile then shows in its `updated_at`.
        let shards = match self.sources.stock(product).await {
            Err(TableError::Unreadable { expected }) => return Ok(unreadable(expected)),
            shards => shards?,
        };
        let now = self.clock.now();
        let grace: Duration = GRACE + now.since(recent.read_at);
        Ok(ProductSnapshot { shards, reserved, balance }.reconcile(now, grace))
    }
}

fn unreadable(expected: &'static str) -> Verdict {
    Verdict::unreadable(&format!("no {}", expected.rsplit("::").next().unwrap_or(expected)))
}

/// Runs `task` for each id, at most `CONCURRENCY` at a time. Results are sorted by id, so that
/// runs are reproducible.
pub async fn run_concurrently<I, T, F, Fut>(
    ids: Vec<I>,
    task: F,
) -> BTreeMap<I, Result<T, ReadError>>
where
    I: Copy + Ord + Send + 'static,
    T: Send + 'static,
    F: Fn(I) -> Fut,
    Fut: Future<Output = Result<T, ReadError>> + Send + 'static,
{
    let mut results: BTreeMap<I, Result<T, ReadError>> =
        ids.iter().map(|id| (*id, Err(ReadError::Panicked))).collect();
    let (mut waiting, mut running) = (ids.into_iter(), JoinSet::new());
    loop {
        for id in waiting.by_ref().take(CONCURRENCY - running.len()) {
            let task = task(id);
            running.spawn(async move { (id, task.await) }.in_current_span());
        }
        match running.join_next().await {
            None => return results,
            Some(Ok((id, result))) => {
                results.insert(id, result);
            }
            // Its result is already `ReadError::Panicked`.
            Some(Err(_)) => {}
        }
    }
}
