//! The health of a service: whether all of its tables are active.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use shared::{
    BoxFuture,
    clock::{Clock, Timestamp},
    table::Table,
};
use tokio::{task::JoinSet, time::timeout};
use tracing::Instrument;

/// Timeout of the check. A slower table is unusable for customers.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// How long a result is cached, so that a public route cannot overload the tables.
pub const CACHE_TTL: Duration = Duration::from_secs(5);

/// The health of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// All tables of the service are active.
    Healthy,
    /// At least one table of the service is not active.
    Unhealthy,
}

/// A service and its tables.
#[derive(Clone, Debug)]
pub struct Service {
    /// Name in paths and responses.
    pub name: &'static str,
    pub tables: Vec<Table>,
}

/// The health of each service, by its name.
pub type HealthByService = BTreeMap<&'static str, Health>;

/// Checks the health of all services.
#[derive(Debug)]
pub struct HealthChecks {
    services: Vec<Service>,
    clock: Clock,
    cached: Mutex<Option<(Timestamp, HealthByService)>>,
}

impl HealthChecks {
    pub fn new(services: Vec<Service>, clock: Clock) -> Self {
        Self { services, clock, cached: Mutex::default() }
    }

    /// Returns the health of all services, at most five seconds old.
    pub fn all(&self) -> BoxFuture<'_, HealthByService> {
        Box::pin(async move {
            let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((at, statuses)) = cached
                && self.clock.now().since(at) < CACHE_TTL
            {
                return statuses;
            }
            let statuses = self.check_tables().await;
            *self.cached.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((self.clock.now(), statuses.clone()));
            statuses
        })
    }

    /// Checks all tables concurrently. A table that does not respond in time counts as unhealthy.
    async fn check_tables(&self) -> HealthByService {
        let mut checks = JoinSet::new();
        for service in &self.services {
            for table in service.tables.clone() {
                let name = service.name;
                checks.spawn(async move { (name, timeout(TIMEOUT, table.is_active()).await.unwrap_or(false)) }.in_current_span());
            }
        }
        let mut statuses: HealthByService =
            self.services.iter().map(|service| (service.name, Health::Healthy)).collect();
        while let Some(answer) = checks.join_next().await {
            if let Ok((name, false)) = answer {
                statuses.insert(name, Health::Unhealthy);
            }
        }
        statuses
    }
}
