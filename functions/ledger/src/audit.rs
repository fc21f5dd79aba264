//! Reads the records of one order or product and reconciles them.

use std::{collections::BTreeMap, future::Future, time::Duration};

use shared::{ids::OrderId, table::TableError, telemetry::Trace};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    GRACE, Ledger,
    audit_run::AuditProgress,
    domain::audit::{AuditStatus, OrderSnapshot, ProductSnapshot, Verdict, record::Status},
    repair::Repairs,
    sources::ReadError,
    store::PRODUCT_SHARDS,
};

/// Fields of an order that a report shows beside its findings.
#[derive(Clone, Debug, Default)]
pub struct OrderSummary {
    pub status: Option<Status>,
    /// Why a person should review it.
    pub needs_review: Option<String>,
}

/// The result of checking a product.
#[derive(Debug)]
pub enum ProductAudit {
    Complete(Verdict),
    /// Entries remain; the next step continues from here.
    InProgress(AuditProgress),
}

/// Most orders or products that are checked concurrently.
const CONCURRENCY: usize = 16;

/// Most pages of a product's entries read in one step: enough for one page of each shard.
const PAGES_PER_STEP: u32 = PRODUCT_SHARDS;

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
        trace: &Trace,
    ) -> Result<((Verdict, OrderSummary), Repairs), ReadError> {
        let snapshot = match self.order_snapshot(order).await {
            Err(ReadError::Table(TableError::Unreadable { expected })) => {
                return Ok(((unreadable(expected), OrderSummary::default()), Repairs::default()));
            }
            snapshot => snapshot?,
        };
        let verdict = snapshot.reconcile(self.clock.now(), GRACE);
        let repairs = match verdict.status {
            AuditStatus::Unbalanced => {
                self.repair_order(snapshot, &verdict.findings, trace).await?
            }
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
        let postings = self.store.entries_of_order(order_id).await?;
        let (intent, attempts, refunds) = (payments.intent, payments.attempts, payments.refunds);
        Ok(OrderSnapshot {
            order_id,
            order,
            reservation,
            intent,
            attempts,
            refunds,
            provider,
            postings,
        })
    }

    /// Continues to sum the entries of a product, and reconciles it once all are counted.
    /// `reserved` is the quantity that reservations hold, if known.
    ///
    /// # Errors
    /// If a table request fails.
    pub async fn audit_product(
        &self,
        mut progress: AuditProgress,
        reserved: Option<i64>,
    ) -> Result<ProductAudit, ReadError> {
        let product_id = progress.product_id;
        for _ in 0..PAGES_PER_STEP {
            let (postings, next) = match self
                .store
                .entries_of_product(product_id, progress.shard, progress.after.as_deref())
                .await
            {
                Err(TableError::Unreadable { expected }) => {
                    return Ok(ProductAudit::Complete(unreadable(expected)));
                }
                page => page?,
            };
            postings.iter().for_each(|posting| progress.balances.add(&posting.lines));
            progress.after = next;
            if progress.after.is_none() {
                progress.shard += 1;
            }
            if progress.shard == PRODUCT_SHARDS {
                return self
                    .reconcile_product(progress, reserved)
                    .await
                    .map(ProductAudit::Complete);
            }
        }
        Ok(ProductAudit::InProgress(progress))
    }

    /// Reads the stock last: a movement during the count then shows in the stock's `updated_at`.
    async fn reconcile_product(
        &self,
        progress: AuditProgress,
        reserved: Option<i64>,
    ) -> Result<Verdict, ReadError> {
        let AuditProgress { product_id, started_at, balances, .. } = progress;
        let shards = match self.sources.stock(product_id).await {
            Err(TableError::Unreadable { expected }) => return Ok(unreadable(expected)),
            shards => shards?,
        };
        let now = self.clock.now();
        let grace: Duration = GRACE + now.since(started_at);
        Ok(ProductSnapshot { product_id, shards, reserved, balances }.reconcile(now, grace))
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
