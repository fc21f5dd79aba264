//! Daily in small steps, and on request: reconciles the records of all services about orders, money
//! and stock.
//!
//! Arguments of an operator's request:
//!
//! - none: orders placed or changed in the last two days, unsettled orders, the previous
//!   mismatches, and all products;
//! - `{"since", "until"}`: another window;
//! - `{"order_id"}` or `{"product_id"}`: one order or product;
//! - `{"limit"}`: about this many checks of orders and products in this call;
//! - `{"continuation"}`: continues the report that contained it;
//! - `{"repair": true}` with any of these: also books the missing ledger entries; see
//!   [`crate::domain::repair`];
//! - `{"repost_since"}` alone: checks nothing. The next daily run calculates the balances of all
//!   products again, from the entries recorded since then; see [`crate::posting`].
//!
//! A scheduled call advances the daily run by one step. The run also posts entries to the balances
//! of products. The ledger's table stores the progress, so the duration of a call does not grow with
//! the shop, and the next call compensates for a failed one.

mod audit;
mod report;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;
use shared::{
    clock::Timestamp,
    ids::{OrderId, PrefixedId, ProductId},
    invoke::Call,
    lambda::Failure,
    table::TableError,
};

use self::audit::Audit;
pub use self::report::{OrderRow, ProductRow, Report};
use crate::{
    Ledger,
    audit_run::{AuditRun, Continuation, Window},
    posting::PostingProgress,
};

/// The event of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReconcileLedger {
    /// A request of an operator.
    Requested(AuditRequest),
    /// The scheduled event: takes the next step of the daily run.
    Scheduled,
}

/// The arguments of an operator's request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRequest {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    order_id: Option<OrderId>,
    product_id: Option<ProductId>,
    limit: Option<u32>,
    continuation: Option<Continuation>,
    #[serde(default)]
    repair: bool,
    repost_since: Option<Timestamp>,
}

impl<'de> Deserialize<'de> for ReconcileLedger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = Value::deserialize(deserializer)?;
        if event["source"] == "aws.events" {
            return Ok(Self::Scheduled);
        }
        serde_json::from_value(event).map(Self::Requested).map_err(D::Error::custom)
    }
}

/// Reconciles the records and returns a report. With `repair` it also books entries that the ledger
/// lacks. The records of other services are never changed. If the time or the report's rows run
/// out, the report contains a `continuation`.
///
/// # Errors
/// If the window is invalid, the order is unknown, or the list of candidates cannot be read.
pub async fn reconcile_ledger(
    ledger: Arc<Ledger>,
    call: Call<ReconcileLedger>,
) -> Result<Report, Failure> {
    let request = match call.event {
        ReconcileLedger::Scheduled => {
            let (lease, clock) = (ledger.store.lease(), ledger.clock.clone());
            let report = lease
                .hold(&clock, call.deadline, Box::pin(advance_run(ledger.clone(), call.deadline)))
                .await?;
            return Ok(report.unwrap_or_else(|| {
                Audit::new(ledger, Window::before(clock.now()), call.deadline).skipped()
            }));
        }
        ReconcileLedger::Requested(request) => request,
    };
    if let Some(since) = request.repost_since {
        return restart_posting(ledger, since, call.deadline).await;
    }
    let continuation = request.continuation;
    let (since, until) =
        continuation.as_ref().map_or((request.since, request.until), |continuation| {
            (Some(continuation.since), Some(continuation.until))
        });
    let window = Window::of(since, until, ledger.clock.now());
    let window = window.ok_or_else(|| {
        Failure::new("MalformedEvent", "since must precede until by at most 400 days")
    })?;
    let mut audit = Audit::new(ledger, window, call.deadline);
    audit.repairs = request.repair;
    match (request.order_id, request.product_id) {
        (Some(order), _) => {
            audit.audit_orders(vec![order]).await?;
            if audit.report.unbalanced.iter().any(OrderRow::has_no_record) {
                let message = format!("There is no order {order}: no service has a record of it.");
                return Err(Failure { is_expected: true, ..Failure::new("UnknownOrder", message) });
            }
        }
        (None, Some(product)) => audit.audit_products(vec![product]).await?,
        (None, None) => {
            let continuation = match continuation {
                Some(continuation) => continuation,
                None => {
                    let run = audit.ledger.store.audit_run().await.map_err(run_read_failed)?;
                    window.start(run.map(|run| run.recheck_next).unwrap_or_default())
                }
            };
            audit.sweep(continuation, request.limit.unwrap_or(u32::MAX).max(1)).await?;
        }
    }
    Ok(audit.finish(false))
}

/// Advances the daily run by one step, or starts the next run when it is due.
async fn advance_run(ledger: Arc<Ledger>, deadline: Timestamp) -> Result<Report, Failure> {
    let now = ledger.clock.now();
    let stored = ledger.store.audit_run().await.map_err(run_read_failed)?;
    let mut run = match stored {
        Some(run) if !run.next_is_due(now) => run,
        earlier => AuditRun::next(earlier, now),
    };
    let window = Window { since: run.since, until: run.until };
    let mut audit = Audit::new(ledger.clone(), window, deadline);
    audit.posts = true;
    let Some(continuation) = run.continuation.take() else { return Ok(audit.finish(false)) };
    audit.sweep(continuation, u32::MAX).await?;
    run.continuation = audit.report.continuation.clone();
    let unread = audit.report.not_checked.iter().filter_map(|id| OrderId::parse(id));
    run.add_recheck(audit.report.unbalanced.iter().map(|row| row.order_id).chain(unread));
    let is_overdue = run.continuation.is_some() && run.is_overdue(now);
    let is_saved = ledger
        .store
        .save_audit_run(&run)
        .await
        .map_err(|error| Failure::from_error("AuditRunSaveFailed", &error))?;
    if !is_saved {
        tracing::warn!("another call has advanced the run meanwhile, records are checked twice");
    }
    Ok(audit.finish(is_overdue))
}

/// Makes the next daily run calculate the balances of all products again.
async fn restart_posting(
    ledger: Arc<Ledger>,
    since: Timestamp,
    deadline: Timestamp,
) -> Result<Report, Failure> {
    let failed = |error: TableError| Failure::from_error("PostingRestartFailed", &error);
    let posting = ledger.store.posting().await.map_err(failed)?;
    let restarted = posting
        .map_or_else(|| PostingProgress::starting(since), |posting| posting.restarted(since));
    if !ledger.store.save_posting(&restarted).await.map_err(failed)? {
        let message = "Entries were being posted. Send the request again.";
        return Err(Failure { is_expected: true, ..Failure::new("PostingInProgress", message) });
    }
    let window = Window::before(ledger.clock.now());
    let mut audit = Audit::new(ledger, window, deadline);
    audit.report.reposting_since = Some(since);
    Ok(audit.finish(false))
}

fn run_read_failed(error: TableError) -> Failure {
    Failure::from_error("AuditRunReadFailed", &error)
}
