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
    telemetry::{self, Trace},
};

use super::{OrderRow, ProductRow, Report};
use crate::{
    Ledger,
    audit::{ProductAudit, run_concurrently},
    audit_run::{AuditProgress, Continuation, Cursor, Window},
    candidates::{CandidateSource, Candidates, candidate_sources},
    domain::audit::{AuditStatus, Finding},
    metrics,
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
    /// Checks of orders and steps of products in this call.
    items_checked: u32,
    /// Orders checked in this call.
    checked_orders: BTreeSet<OrderId>,
    /// Products whose entries are not all counted yet.
    in_progress: Vec<AuditProgress>,
    /// The held quantities, once they have been read.
    held: Option<HeldQuantities>,
    /// The trace of a call that books missing entries; `None` if it only compares.
    pub(super) repair: Option<Trace>,
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
            in_progress: Vec::new(),
            held: None,
            repair: None,
        }
    }

    /// The start of a run over one product only: after the last candidate source.
    pub(super) fn start_with_product(&self, product: ProductId) -> Continuation {
        let source = candidate_sources(self.window, self.ledger.sources.shards).len();
        let in_progress = vec![AuditProgress::new(product, self.ledger.clock.now())];
        Continuation {
            cursor: Cursor { source, after: None },
            in_progress,
            ..self.window.start(Vec::new())
        }
    }

    /// Checks candidates until none is left, or until the limit, the report's rows or the time are
    /// used up.
    pub(super) async fn sweep(
        &mut self,
        continuation: Continuation,
        limit: u32,
    ) -> Result<(), Failure> {
        let Continuation { mut cursor, mut recheck, in_progress, .. } = continuation;
        self.in_progress = in_progress;
        let sources = candidate_sources(self.window, self.ledger.sources.shards);
        loop {
            let source = sources.get(cursor.source);
            if source.is_none() && recheck.is_empty() && self.in_progress.is_empty() {
                return Ok(());
            }
            if self.items_checked >= limit || self.is_full() || !self.has_time() {
                let (Window { since, until }, in_progress) =
                    (self.window, std::mem::take(&mut self.in_progress));
                self.report.continuation =
                    Some(Continuation { since, until, cursor, recheck, in_progress });
                return Ok(());
            }
            if !recheck.is_empty() {
                let page_size = self.page_size().min(limit - self.items_checked) as usize;
                let batch = recheck.drain(..page_size.min(recheck.len())).collect();
                self.audit_orders(batch).await?;
                continue;
            }
            let Some(source) = source.filter(|_| self.in_progress.is_empty()) else {
                self.audit_products().await?;
                continue;
            };
            let page_size = self.page_size().min(limit - self.items_checked);
            let page =
                self.ledger.page(source, self.window, cursor.after.as_deref(), page_size).await;
            let (candidates, next) =
                page.map_err(|error| Failure::from_error("CandidateReadFailed", &error))?;
            match candidates {
                Candidates::Orders(orders) => self.audit_orders(orders).await?,
                Candidates::Products(products) => {
                    let now = self.ledger.clock.now();
                    self.in_progress = products
                        .into_iter()
                        .map(|product| AuditProgress::new(product, now))
                        .collect();
                }
            }
            cursor = match next {
                Some(after) => Cursor { source: cursor.source, after: Some(after) },
                None => Cursor { source: cursor.source + 1, after: None },
            };
        }
    }

    fn time_left(&self) -> Duration {
        self.deadline.since(Clock::System.now())
    }

    fn has_time(&self) -> bool {
        self.time_left()
            >= if self.repair.is_some() { MIN_TIME_LEFT_TO_REPAIR } else { MIN_TIME_LEFT }
    }

    fn page_size(&self) -> u32 {
        if self.repair.is_some() { REPAIR_PAGE_SIZE } else { PAGE_SIZE }
    }

    fn is_full(&self) -> bool {
        self.report.rows() >= MAX_ROWS
    }

    pub(super) async fn audit_orders(&mut self, orders: Vec<OrderId>) -> Result<(), Failure> {
        let orders: Vec<OrderId> =
            orders.into_iter().filter(|order| self.checked_orders.insert(*order)).collect();
        let (ledger, repair) = (self.ledger.clone(), self.repair.clone());
        let results = run_concurrently(orders, move |order| {
            let (ledger, repair) = (ledger.clone(), repair.clone());
            async move {
                match repair {
                    Some(trace) => ledger.audit_and_repair_order(order, &trace).await,
                    None => {
                        ledger.audit_order(order).await.map(|result| (result, Repairs::default()))
                    }
                }
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

    /// Continues to count the products in progress, and reconciles those whose count is complete.
    async fn audit_products(&mut self) -> Result<(), Failure> {
        let held = self
            .held()
            .await
            .map_err(|error| Failure::from_error("ReservationReadFailed", &error))?;
        let ledger = self.ledger.clone();
        let in_progress = std::mem::take(&mut self.in_progress)
            .into_iter()
            .map(|progress| (progress.product_id, progress));
        let in_progress: Arc<BTreeMap<ProductId, AuditProgress>> = Arc::new(in_progress.collect());
        let results = run_concurrently(in_progress.keys().copied().collect(), move |product| {
            let (ledger, in_progress) = (ledger.clone(), in_progress.get(&product).cloned());
            let reserved = held.as_ref().map(|held| held.get(&product).copied().unwrap_or(0));
            async move { ledger.audit_product(in_progress.ok_or(ReadError::Panicked)?, reserved).await }
        });
        for (product_id, result) in results.await {
            self.items_checked += 1;
            let verdict = match self.read_or_skip(&product_id.to_string(), result)? {
                None => continue,
                Some(ProductAudit::InProgress(progress)) => {
                    self.in_progress.push(progress);
                    continue;
                }
                Some(ProductAudit::Complete(verdict)) => verdict,
            };
            if !verdict.findings.is_empty() && self.has_repaired(product_id).await? {
                self.in_progress.push(AuditProgress::new(product_id, self.ledger.clock.now()));
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
            self.report.products.push(ProductRow { product_id, state, findings: verdict.findings });
        }
        Ok(())
    }

    /// Books the missing entries of a product if this call repairs. Returns whether any were
    /// booked.
    async fn has_repaired(&mut self, product: ProductId) -> Result<bool, Failure> {
        let Some(trace) = &self.repair else { return Ok(false) };
        let repaired = self.ledger.repair_product(product, trace).await;
        let Some(repairs) = self.read_or_skip(&product.to_string(), repaired)? else {
            return Ok(false);
        };
        let has_booked = !repairs.repaired.is_empty();
        self.report.add_repairs(&product.to_string(), repairs);
        Ok(has_booked)
    }

    /// The held quantity of each product. Orders that hold stock are unsettled, so the index of
    /// unsettled orders lists all of them. Reading it takes at most half of the remaining time.
    /// Without the result, products are reconciled without `held_for_orders`.
    async fn held(&mut self) -> Result<HeldQuantities, TableError> {
        if let Some(held) = &self.held {
            return Ok(held.clone());
        }
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
                let source = CandidateSource::UnsettledOrders(shard);
                let (candidates, next) =
                    self.ledger.page(&source, self.window, after.as_deref(), PAGE_SIZE).await?;
                if let Candidates::Orders(orders) = candidates {
                    let orders: Vec<OrderId> =
                        orders.into_iter().filter(|order| seen.insert(*order)).collect();
                    self.ledger.sources.add_held(&orders, &mut held).await?;
                }
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
