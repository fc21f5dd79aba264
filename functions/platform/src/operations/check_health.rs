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
    facts::{Sources, within_limit},
    health::HealthRecord,
};

/// Name of the recorded deployment among the facts.
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
    /// Facts that could not be read.
    pub unavailable: usize,
}

/// Gathers all facts, each within two seconds, and replaces the stored record.
///
/// # Errors
/// If the record cannot be written. The record lists facts that cannot be read.
pub async fn check_health(
    platform: Arc<Platform>,
    _: Call<ScheduledEvent>,
) -> Result<Report, Failure> {
    let now = platform.clock.now();
    let sources = platform.sources.get_or_init(Sources::from_env);
    let release =
        async { platform.store.release().await.map_err(|error| telemetry::causes(&error)) };
    let (mut facts, release) = tokio::join!(sources.gather(now), within_limit(DEPLOYMENT, release));
    if release.is_none() {
        facts.unavailable.push(DEPLOYMENT.to_owned());
    }
    let record = HealthRecord::new(now, facts, release.flatten());
    let recorded = platform.store.record_health(&record).await;
    recorded.map_err(|error| Failure::from_error("TableFailed", &error))?;
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
        oldest_message_seconds: record.facts.oldest_message_seconds.values().max().copied(),
        overdue_seconds: record.facts.overdue_seconds.values().max().copied().unwrap_or_default(),
        suppressed_addresses: record.facts.suppressed_addresses,
        unavailable: record.facts.unavailable.len(),
    })
}
