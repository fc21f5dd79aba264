//! Every minute: checks tables, queues, sweeps, the circuit breaker and the signing key, and records
//! the result.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    invoke::{Call, ScheduledEvent},
    lambda::Failure,
};

use crate::{Platform, facts::Sources, health::HealthRecord};

/// The result of one check.
#[derive(Debug, Serialize)]
pub struct Report {
    pub unhealthy_services: usize,
    pub dead_letters: u64,
    /// Seconds by which the longest overdue record of any sweep is late.
    pub overdue_seconds: u64,
    /// Facts that could not be read.
    pub unavailable: usize,
}

/// Gathers all facts concurrently, each within two seconds, and replaces the stored record.
///
/// # Errors
/// If the record cannot be written. Facts that cannot be read are part of the record.
pub async fn check_health(
    platform: Arc<Platform>,
    _: Call<ScheduledEvent>,
) -> Result<Report, Failure> {
    let failed = |error| Failure::from_error("TableFailed", &error);
    let now = platform.clock.now();
    let sources = platform.sources.get_or_init(Sources::from_env);
    let (facts, release) = tokio::join!(sources.gather(now), platform.store.release());
    let record = HealthRecord::new(now, facts, release.map_err(failed)?);
    platform.store.record_health(&record).await.map_err(failed)?;
    for table in &record.facts.inactive_tables {
        tracing::warn!(
            service_affected = table.service,
            table = table.table,
            "table is not active"
        );
    }
    Ok(Report {
        unhealthy_services: record.unhealthy().len(),
        dead_letters: record.facts.dead_letters(),
        overdue_seconds: record.facts.overdue_seconds.values().max().copied().unwrap_or_default(),
        unavailable: record.facts.unavailable.len(),
    })
}
