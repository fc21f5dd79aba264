//! Once a day, and on demand: compiles and publishes every market again. Repairs copies in other
//! services that missed a message.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    invoke::{Call, ScheduledEvent},
    lambda::Failure,
    table::TableError,
    telemetry,
};

use crate::{
    Pricing, metrics,
    store::{ResyncPage, ResyncPosition},
};

/// The result of one invocation.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Number of markets published again.
    pub resynced: u32,
    /// Markets that could not be marked. Each is logged, and the next run tries it again.
    pub failed: u32,
}

/// Marks every market, also those that are deleted. A shop has few markets, so one invocation
/// visits all of them. A repeated or concurrent run publishes them again.
///
/// # Errors
/// If the table fails. The next run starts from the beginning.
pub async fn resync_pricing(
    pricing: Arc<Pricing>,
    _call: Call<ScheduledEvent>,
) -> Result<Report, Failure> {
    let failed = |error: TableError| Failure::from_error("ResyncFailed", &error);
    // Versions count from 1 and runs are milliseconds since 1970, so a run is never a version.
    let run = u64::try_from(pricing.clock.now().milliseconds()).unwrap_or(0);
    let mut report = Report::default();
    let mut position = Some(ResyncPosition::default());
    while let Some(here) = position {
        let ResyncPage { markets, unreadable, next } =
            pricing.store.markets_to_resync(here).await.map_err(failed)?;
        for market in &unreadable {
            tracing::error!(market, "market not readable, not published again");
            report.failed += 1;
        }
        for market in markets {
            match pricing.store.mark_for_resync(&market, run).await {
                Ok(is_new) => report.resynced += u32::from(is_new),
                Err(error) if error.is_transient() => return Err(failed(error)),
                Err(error) => {
                    let error = telemetry::causes(&error);
                    tracing::error!(%market, error, "market not published again");
                    report.failed += 1;
                }
            }
        }
        position = next;
    }
    if report.failed > 0 {
        metrics::SWEEP_FAILED.increment();
    }
    Ok(report)
}
