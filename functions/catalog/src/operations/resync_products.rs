//! Once a day, and on demand: publishes every product again, active or archived. Repairs copies in
//! other services that missed a message.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use shared::{
    clock::Clock,
    ids::ProductId,
    invoke::{Call, ScheduledEvent},
    lambda::Failure,
    table::TableError,
    telemetry,
};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{Catalog, metrics, store::Page};

/// The result of one invocation.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Number of products published again.
    pub resynced: u32,
    /// Products that could not be read or written. Each is logged, and the next run tries it again.
    pub failed: u32,
    /// Whether the run is finished. Otherwise the next invocation continues it.
    pub finished: bool,
    /// Whether another invocation holds the lease. This one did nothing.
    pub already_running: bool,
}

/// Minimum time between scheduled runs: a day, less five minutes because the schedule is not exact
/// to the second.
const RUN_INTERVAL: Duration = Duration::from_secs(24 * 3600 - 300);
/// Products per page, and products written concurrently.
const PAGE_SIZE: u32 = 100;
const WRITE_CONCURRENCY: usize = 16;
/// Minimum time left before the deadline to start another page.
const MIN_TIME_LEFT: Duration = Duration::from_secs(10);

/// Continues the current run, or starts one, until all products are published or the time is up.
/// The schedule fires more often than runs start, because a large catalogue needs several
/// invocations. The table stores the run's cursor, so a timeout or a failing table does not restart
/// the run.
///
/// # Errors
/// If the table fails. The next invocation repeats the unfinished page.
pub async fn resync_products(
    catalog: Arc<Catalog>,
    call: Call<ScheduledEvent>,
) -> Result<Report, Failure> {
    let (lease, deadline) = (catalog.store.lease(), call.deadline);
    let report =
        lease.hold(&catalog.clock, deadline, Box::pin(continue_run(catalog.clone(), call))).await?;
    let report = report.unwrap_or_else(|| Report { already_running: true, ..Report::default() });
    if report.failed > 0 {
        metrics::SWEEP_FAILED.increment();
    }
    Ok(report)
}

async fn continue_run(
    catalog: Arc<Catalog>,
    call: Call<ScheduledEvent>,
) -> Result<Report, Failure> {
    let failed = |error: TableError| Failure::from_error("ResyncFailed", &error);
    let mut report = Report::default();
    let cooldown = if call.event["source"] == "aws.events" { RUN_INTERVAL } else { Duration::ZERO };
    let mut run = catalog.store.current_run(cooldown, catalog.clock.now()).await.map_err(failed)?;
    while let Some(cursor) = &run.cursor {
        let Page { products, unreadable, next } =
            catalog.store.page(cursor, PAGE_SIZE).await.map_err(failed)?;
        for group in products.chunks(WRITE_CONCURRENCY) {
            resync(&catalog, group, run.number, &mut report).await.map_err(failed)?;
        }
        for product in &unreadable {
            tracing::error!(product, "product not readable, not published again");
            report.failed += 1;
        }
        let next = run.advance(next, catalog.clock.now());
        let is_over = next.cursor.is_none();
        // Progress past empty partitions is not saved: no product was written.
        if is_over || !products.is_empty() || !unreadable.is_empty() {
            if !catalog.store.save_run(&run, &next).await.map_err(failed)? {
                tracing::info!("another invocation owns this run, leaving it to that one");
                return Ok(report);
            }
            run = next;
            // Stops only after saving. A call that stops after empty partitions would make no
            // progress.
            if !is_over && call.deadline.since(Clock::System.now()) < MIN_TIME_LEFT {
                return Ok(report);
            }
        } else {
            run.cursor = next.cursor;
        }
    }
    Ok(Report { finished: true, ..report })
}

/// Marks these products concurrently, and counts those that this run had not marked before. A
/// product that can never be marked is skipped.
///
/// # Errors
/// If a write fails temporarily. The other products are still marked.
async fn resync(
    catalog: &Arc<Catalog>,
    products: &[ProductId],
    run: u64,
    report: &mut Report,
) -> Result<(), TableError> {
    let mut running = JoinSet::new();
    for product_id in products {
        let (catalog, product_id) = (catalog.clone(), *product_id);
        let mark =
            async move { (product_id, catalog.store.mark_for_resync(product_id, run).await) };
        running.spawn(mark.in_current_span());
    }
    let mut transient_error = None;
    while let Some(outcome) = running.join_next().await {
        match outcome {
            // The publisher sends the message and logs it with the trace of the product's last
            // change.
            Ok((product_id, Ok(is_new))) => {
                if is_new {
                    tracing::info!(
                        r#type = "sweep",
                        product_id = %product_id,
                        message_type = "product_changed.v1",
                        run,
                        "product published again"
                    );
                }
                report.resynced += u32::from(is_new);
            }
            Ok((_, Err(error))) if error.is_transient() => transient_error = Some(error),
            Ok((product_id, Err(error))) => {
                tracing::error!(product.id = %product_id, error = telemetry::causes(&error), "product not published again");
                report.failed += 1;
            }
            Err(panic) => {
                tracing::error!(error = panic.to_string(), "publishing a product again panicked");
                report.failed += 1;
            }
        }
    }
    transient_error.map_or(Ok(()), Err)
}
