//! The health of a service: whether its tables are there and take calls.

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

/// How long the tables may take to answer. A table that takes longer is no use to a customer.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer holds, so that nobody can load the tables through a public route.
pub const KEPT: Duration = Duration::from_secs(5);

/// Whether a service can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// All of its tables take calls.
    Healthy,
    /// One of them does not.
    Unhealthy,
}

/// A service, and what it cannot do without.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name in paths and answers.
    pub name: &'static str,
    /// Its tables.
    pub tables: Vec<Table>,
}

/// The health of each service, by its name.
pub type Healths = BTreeMap<&'static str, Health>;

/// Looks at all services.
#[derive(Debug)]
pub struct Checks {
    services: Vec<Service>,
    clock: Clock,
    last: Mutex<Option<(Timestamp, Healths)>>,
}

impl Checks {
    /// Looks at these services.
    pub fn new(services: Vec<Service>, clock: Clock) -> Self {
        Self { services, clock, last: Mutex::default() }
    }

    /// The health of all services, at most five seconds old.
    pub fn all(&self) -> BoxFuture<'_, Healths> {
        Box::pin(async move {
            let kept = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((at, healths)) = kept
                && self.clock.now().since(at) < KEPT
            {
                return healths;
            }
            let healths = self.look().await;
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.clock.now(), healths.clone()));
            healths
        })
    }

    /// Asks every table at the same time. Who has not answered in time counts as not there.
    async fn look(&self) -> Healths {
        let mut asked = JoinSet::new();
        for service in &self.services {
            for table in service.tables.clone() {
                let name = service.name;
                asked.spawn(async move { (name, timeout(PATIENCE, table.is_active()).await.unwrap_or(false)) }.in_current_span());
            }
        }
        let mut healths: Healths = self.services.iter().map(|service| (service.name, Health::Healthy)).collect();
        while let Some(answer) = asked.join_next().await {
            if let Ok((name, false)) = answer {
                healths.insert(name, Health::Unhealthy);
            }
        }
        healths
    }
}
