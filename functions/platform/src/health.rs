//! The health of the shop, as `check-health` records it once a minute.
//!
//! The public routes only read this record. They cost one read each, regardless of the cost of the
//! check.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;

use crate::{measurements::Measurements, services::SERVICES};

/// Maximum age of a current record. An older one means that three checks are missing.
pub const MAX_AGE: Duration = Duration::from_secs(180);

/// Whether a service can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// All tables of the service are active.
    Healthy,
    /// At least one table is not active, or the latest check did not cover the service.
    Unhealthy,
}

/// The health of each service by name.
pub type HealthByService = BTreeMap<String, Health>;

/// The release that is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct Release {
    /// Version of the product.
    #[cfg_attr(feature = "api-document", schema(example = "0.1.0"))]
    pub version: String,
    /// Commit that it was built from.
    #[cfg_attr(feature = "api-document", schema(example = "5f19cd0"))]
    pub commit: String,
    pub deployed_at: Timestamp,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthRecord {
    pub checked_at: Timestamp,
    pub services: HealthByService,
    /// Measurements for operators. The public routes do not return them.
    #[serde(rename = "facts")]
    pub measurements: Measurements,
    /// The latest recorded deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
}

impl HealthRecord {
    /// Creates a record in which the services with an inactive table are unhealthy.
    pub fn new(
        checked_at: Timestamp,
        measurements: Measurements,
        release: Option<Release>,
    ) -> Self {
        let health = |name: &str| {
            let is_inactive =
                measurements.inactive_tables.iter().any(|table| table.service == name);
            if is_inactive { Health::Unhealthy } else { Health::Healthy }
        };
        let services = SERVICES
            .iter()
            .map(|service| (service.name.to_owned(), health(service.name)))
            .collect();
        Self { checked_at, services, measurements, release }
    }

    /// Returns whether the record describes the present.
    pub fn is_current(&self, now: Timestamp) -> bool {
        now.since(self.checked_at) <= MAX_AGE
    }

    /// Returns the health of each service. A service that the check did not cover is unhealthy: an
    /// earlier release checked without a service that this release has added.
    pub fn by_service(&self) -> HealthByService {
        let health = |name: &str| self.services.get(name).copied().unwrap_or(Health::Unhealthy);
        SERVICES.iter().map(|service| (service.name.to_owned(), health(service.name))).collect()
    }

    /// Returns the names of the unhealthy services.
    pub fn unhealthy(&self) -> Vec<String> {
        let services = self.by_service().into_iter();
        services
            .filter_map(|(name, health)| (health == Health::Unhealthy).then_some(name))
            .collect()
    }
}
