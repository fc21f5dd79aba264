//! One call of the reconciliation: sweeps the candidates, checks them and fills the report, within
//! the limits of time and size.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use shared::{
    clock::{Clock, Timestamp},
    ids::{OrderId, ProductId},
    lambda::Failure,
    table::TableError,
    telemetry,
};

use super::{OrderRow, ProductRow, Report};
use crate::{
    Ledger,
    audit::run_concurrently,
    audit_run::{Continuation, Cursor, Window, minus},
    candidates::{CandidateSource, OrderSource, ProductSource, candidate_sources},
    domain::audit::{AuditStatus, Finding},
    metrics,
    posting::{POSTING_DELAY, RecentEntries},
    repair::Repairs,
    sources::ReadError,
};

/// Candidates per page.
const PAGE_SIZE: u32 = 100;

/// Maximum rows of a report. A Lambda response has at most 6 MB.
const MAX_ROWS: usize = 1000;

/// Candidates per page of a repair, which may write hundreds of items for each.
const REPAIR_PAGE_SIZE: u32 = 16;

/// Remaining time of the invocation that another page requires.
const MIN_TIME_LEFT: Duration = Duration::from_secs(20);

/// The same for a page of a repair: 200 versions of a record cost up to 600 sequential writes.
const MIN_TIME_LEFT_TO_REPAIR: Duration = Duration::from_secs(60);

/// The state of one call.
pub(super) struct Audit {
    pub(super) ledger: Arc<Ledger>,
    window: Window,
    deadline: Timestamp,
    pub(super) report: Report,
    /// Checks of orders and products in this call.
    items_checked: u32,
    /// Orders checked in this call.
    checked_orders: BTreeSet<OrderId>,
    /// Products checked in this call.
    checked_products: BTreeSet<ProductId>,
    /// The held quantities, once they have been read.
    held: Option<HeldQuantities>,
    /// The entries that are not posted yet, once they have been read.
    recent: Option<Arc<RecentEntries>>,
    /// Whether this call books missing entries.
    pub(super) repairs: bool,
    /// Whether this call posts entries to the balances of products, before it checks products.
    pub(super) posts: bool,
}

/// The quantity of each product held for orders. `None` if there was not enough time to read all
/// reservations.
type HeldQuantities = Option<Arc<BTreeMap<ProductId, i64>>>;

impl Audit {
    pub(super) fn new(ledger: Arc<Ledger>, window: Window, deadline: Timestamp) -> Self {
        let report = Report::empty(window, ledger.sources.provider_name());
        Self {
            ledger,
            window,
            deadline,
            report,
            items_checked: 0,
            checked_orders: BTreeSet::new(),
            checked_products: BTreeSet::new(),
            held: None,
            recent: None,
            repairs: false,
            posts: false,
        }
    }

    /// Checks candidates until none is left, or until the limit, the report's rows or the time are
    /// used up.
    pub(super) async fn sweep(
        &mut self,
        continuation: Continuation,
        limit: u32,
    ) -> Result<(), Failure> {
        let Continuation { mut cursor, mut recheck, .. } = continuation;
        let sources = candidate_sources(self.window, self.ledger.sources.shards);
        while !recheck.is_empty() || cursor.source < sources.len() {
            if self.items_checked >= limit || self.is_full() || !self.has_time() {
                self.stop(cursor, recheck);
                return Ok(());
            }
            let page_size = self.page_size().min(limit - self.items_checked);
            if !recheck.is_empty() {
                let batch = recheck.drain(..recheck.len().min(page_size as usize)).collect();
                self.audit_orders(batch).await?;
                continue;
            }
            let Some(source) = sources.get(cursor.source) else { continue };
            let is_first_product = *source == CandidateSource::Products(ProductSource::Posted(0));
            if self.posts && is_first_product && cursor.after.is_none() && !self.post().await? {
                self.stop(cursor, recheck);
                return Ok(());
            }
            let next = self.audit_page(source, cursor.after.as_deref(), page_size).await?;
            cursor = match next {
                Some(after) => Cursor { source: cursor.source, after: Some(after) },
                None => Cursor { source: cursor.source + 1, after: None },
            };
        }
        Ok(())
    }

    /// Ends the call with a continuation.
    fn stop(&mut self, cursor: Cursor, recheck: Vec<OrderId>) {
        let Window { since, until } = self.window;
        self.report.continuation = Some(Continuation { since, until, cursor, recheck });
    }

    /// Checks a page of a source. Returns the sort key at which the next page continues.
    async fn audit_page(
        &mut self,
        source: &CandidateSource,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Option<String>, Failure> {
        let failed = |error: TableError| Failure::from_error("CandidateReadFailed", &error);
        match source {
            CandidateSource::Orders(source) => {
                let page = self.ledger.page_of_orders(source, self.window, after, limit).await;
                let (orders, next) = page.map_err(failed)?;
                self.audit_orders(orders).await?;
                Ok(next)
            }
            CandidateSource::Products(source) => {
                let recent = self.recent().await?;
                let page = self.ledger.page_of_products(source, &recent, after, limit).await;
                let (products, next) = page.map_err(failed)?;
                self.audit_products(products).await?;
                Ok(next)
            }
        }
    }

    fn time_left(&self) -> Duration {
        self.deadline.since(Clock::System.now())
    }

    fn has_time(&self) -> bool {
        self.time_left() >= if self.repairs { MIN_TIME_LEFT_TO_REPAIR } else { MIN_TIME_LEFT }
    }

    fn page_size(&self) -> u32 {
        if self.repairs { REPAIR_PAGE_SIZE } else { PAGE_SIZE }
    }

    fn is_full(&self) -> bool {
        self.report.rows() >= MAX_ROWS
    }

    pub(super) async fn audit_orders(&mut self, orders: Vec<OrderId>) -> Result<(), Failure> {
        let orders: Vec<OrderId> =
            orders.into_iter().filter(|order| self.checked_orders.insert(*order)).collect();
        let (ledger, repairs) = (self.ledger.clone(), self.repairs);
        let results = run_concurrently(orders, move |order| {
            let ledger = ledger.clone();
            async move {
                if repairs {
                    return ledger.audit_and_repair_order(order).await;
                }
                ledger.audit_order(order).await.map(|result| (result, Repairs::default()))
            }
        });
        for (order_id, result) in results.await {
            self.items_checked += 1;
            let Some(((verdict, summary), repairs)) =
                self.read_or_skip(&order_id.to_string(), result)?
            else {
                continue;
            };
            self.report.add_repairs(&order_id.to_string(), repairs);
            self.report.checked += 1;
            let row = OrderRow {
                order_id,
                status: summary.status,
                needs_review: summary.needs_review,
                last_changed_at: verdict.last_changed_at,
                findings: verdict.findings,
            };
            match verdict.status {
                AuditStatus::Balanced => self.report.balanced += 1,
                AuditStatus::Unsettled => self.report.unsettled.push(row),
                AuditStatus::Unbalanced => {
                    report_unbalanced("an order", &order_id.to_string(), &row.findings);
                    self.report.unbalanced.push(row);
                }
            }
        }
        Ok(())
    }

    /// Checks products. One whose missing entries this call has booked is checked again.
    pub(super) async fn audit_products(&mut self, products: Vec<ProductId>) -> Result<(), Failure> {
        let is_new = |product: &ProductId| self.checked_products.insert(*product);
        let mut products: Vec<ProductId> = products.into_iter().filter(is_new).collect();
        while !products.is_empty() {
            let (recent, held) = (self.recent().await?, self.held().await?);
            let ledger = self.ledger.clone();
            let results = run_concurrently(std::mem::take(&mut products), move |product| {
                let (ledger, recent) = (ledger.clone(), recent.clone());
                let reserved = held.as_ref().map(|held| held.get(&product).copied().unwrap_or(0));
                async move { ledger.audit_product(product, reserved, &recent).await }
            });
            for (product_id, result) in results.await {
                self.items_checked += 1;
                let Some(verdict) = self.read_or_skip(&product_id.to_string(), result)? else {
                    continue;
                };
                if !verdict.findings.is_empty() && self.has_repaired(product_id).await? {
                    self.recent = None;
                    products.push(product_id);
                    continue;
                }
                self.report.products_checked += 1;
                let state = match verdict.status {
                    AuditStatus::Balanced => continue,
                    AuditStatus::Unsettled => "unsettled",
                    AuditStatus::Unbalanced => {
                        report_unbalanced("a product", &product_id.to_string(), &verdict.findings);
                        "unbalanced"
                    }
                };
                let findings = verdict.findings;
                self.report.products.push(ProductRow { product_id, state, findings });
            }
        }
        Ok(())
    }

    /// Books the missing entries of a product if this call repairs. Returns whether any were
    /// booked.
    async fn has_repaired(&mut self, product: ProductId) -> Result<bool, Failure> {
        if !self.repairs {
            return Ok(false);
        }
        let repaired = self.ledger.repair_product(product).await;
        let Some(repairs) = self.read_or_skip(&product.to_string(), repaired)? else {
            return Ok(false);
        };
        let has_booked = !repairs.repaired.is_empty();
        self.report.add_repairs(&product.to_string(), repairs);
        Ok(has_booked)
    }

    /// Posts the entries that are old enough at the end of the window. Returns whether all of them
    /// are posted.
    async fn post(&self) -> Result<bool, Failure> {
        let (until, stop_at) = (minus(self.window.until, POSTING_DELAY), self.stop_at());
        let posted = self.ledger.post_entries(until, stop_at).await;
        posted.map_err(|error| Failure::from_error("PostingFailed", &error))
    }

    /// The system's time at which another page no longer has enough time.
    fn stop_at(&self) -> Timestamp {
        minus(self.deadline, MIN_TIME_LEFT)
    }

    /// The entries that are not posted yet. Reading them takes at most half of the remaining time.
    /// Without the result, products are reconciled without the ledger.
    async fn recent(&mut self) -> Result<Arc<RecentEntries>, Failure> {
        if let Some(recent) = &self.recent {
            return Ok(recent.clone());
        }
        let half = Clock::System.now().plus(self.time_left() / 2);
        let recent = self.ledger.recent_entries(half.min(self.stop_at())).await;
        let recent = recent.map_err(|error| Failure::from_error("EntryReadFailed", &error))?;
        if recent.sums.is_none() {
            tracing::warn!(
                "no time left to read ledger entries, products not reconciled with them"
            );
            self.report.not_checked.push("entries".to_owned());
        }
        Ok(self.recent.insert(Arc::new(recent)).clone())
    }

    /// The held quantity of each product. Orders that hold stock are unsettled, so the index of
    /// unsettled orders lists all of them. Reading it takes at most half of the remaining time.
    /// Without the result, products are reconciled without `held_for_orders`.
    async fn held(&mut self) -> Result<HeldQuantities, Failure> {
        if let Some(held) = &self.held {
            return Ok(held.clone());
        }
        let failed = |error: TableError| Failure::from_error("ReservationReadFailed", &error);
        let (mut held, mut seen) = (BTreeMap::new(), BTreeSet::new());
        let reserve = (self.time_left() / 2).max(MIN_TIME_LEFT);
        for shard in 0..self.ledger.sources.shards {
            let mut after: Option<String> = None;
            loop {
                if self.time_left() < reserve {
                    tracing::warn!("no time left to read reservations, stock not reconciled");
                    self.report.not_checked.push("reservations".to_owned());
                    return Ok(self.held.insert(None).clone());
                }
                let (source, after_key) = (OrderSource::Unsettled(shard), after.as_deref());
                let page =
                    self.ledger.page_of_orders(&source, self.window, after_key, PAGE_SIZE).await;
                let (orders, next) = page.map_err(failed)?;
                let orders: Vec<OrderId> =
                    orders.into_iter().filter(|order| seen.insert(*order)).collect();
                self.ledger.sources.add_held(&orders, &mut held).await.map_err(failed)?;
                after = match next {
                    None => break,
                    next => next,
                };
            }
        }
        Ok(self.held.insert(Some(Arc::new(held))).clone())
    }

    /// The result of a check. A record that cannot be read at the moment is listed as not checked.
    /// A permanent error fails the call, because it would affect every order.
    fn read_or_skip<T>(
        &mut self,
        id: &str,
        result: Result<T, ReadError>,
    ) -> Result<Option<T>, Failure> {
        match result {
            Ok(seen) => Ok(Some(seen)),
            Err(ReadError::Table(error)) if !error.is_transient() => {
                Err(Failure::from_error("RecordReadFailed", &error))
            }
            Err(error) => {
                tracing::warn!(
                    id,
                    error = telemetry::causes(&error),
                    "records could not be read, not reconciled"
                );
                self.report.not_checked.push(id.to_owned());
                Ok(None)
            }
        }
    }

    /// The report of a scheduled call while another one holds the lease.
    pub(super) fn skipped(self) -> Report {
        Report { already_running: true, ..self.report }
    }

    pub(super) fn finish(self, is_overdue: bool) -> Report {
        if is_overdue || !self.report.not_checked.is_empty() {
            tracing::error!(
                is_overdue,
                not_checked = self.report.not_checked.len(),
                "reconciliation is incomplete"
            );
            metrics::AUDIT_INCOMPLETE.increment();
        }
        self.report
    }
}

/// Logs and counts a mismatch; the metric has an alarm.
fn report_unbalanced(what: &str, id: &str, findings: &[Finding]) {
    let checks: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
    tracing::error!(id, checks = checks.join(", "), "records of {what} do not reconcile");
    metrics::LEDGER_UNBALANCED.increment();
}
