//! Every minute: checks tables, queues, sweeps, the circuit breaker, the signing key and suppressed
//! addresses, and records the result.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    invoke::{Call, ScheduledEvent},
    lambda::Failure,
    telemetry,
};

use crate::{
    Platform,
    health::HealthRecord,
    measurements::{Sources, within_limit},
};

/// Name of the recorded deployment among the measurements.
const DEPLOYMENT: &str = "deployment";

#[derive(Debug, Serialize)]
pub struct Report {
    pub unhealthy_services: usize,
    pub dead_letters: u64,
    /// Seconds that the oldest message of any queue has waited, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_message_seconds: Option<u64>,
    /// Seconds by which the longest overdue record of any sweep is late.
    pub overdue_seconds: u64,
    /// Number of addresses to which no mail is sent, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed_addresses: Option<u64>,
    /// Number of measurements that failed.
    pub unavailable: usize,
}

/// Takes all measurements, each within two seconds, and replaces the stored record.
///
/// # Errors
/// If the record cannot be written. The record lists the measurements that failed.
pub async fn check_health(
    platform: Arc<Platform>,
    _: Call<ScheduledEvent>,
) -> Result<Report, Failure> {
    let now = platform.clock.now();
    let sources = platform.sources.get_or_init(Sources::from_env);
    let release =
        async { platform.store.release().await.map_err(|error| telemetry::causes(&error)) };
    let (mut measurements, release) =
        tokio::join!(sources.gather(now), within_limit(DEPLOYMENT, release));
    if release.is_none() {
        measurements.unavailable.push(DEPLOYMENT.to_owned());
    }
    let record = HealthRecord::new(now, measurements, release.flatten());
    let recorded = platform.store.record_health(&record).await;
    recorded.map_err(|error| Failure::from_error("TableFailed", &error))?;
    for table in &record.measurements.inactive_tables {
        tracing::warn!(
            service_affected = table.service,
            table = table.table,
            "table is not active"
        );
    }
    Ok(Report {
        unhealthy_services: record.unhealthy().len(),
        dead_letters: record.measurements.dead_letters(),
        oldest_message_seconds: record.measurements.oldest_message_seconds.values().max().copied(),
        overdue_seconds: record
            .measurements
            .overdue_seconds
            .values()
            .max()
            .copied()
            .unwrap_or_default(),
        suppressed_addresses: record.measurements.suppressed_addresses,
        unavailable: record.measurements.unavailable.len(),
    })
}
