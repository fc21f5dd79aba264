//! The platform's table: one item for the health of the shop, one for each recorded deployment.
//!
//! - `health`: the latest [`HealthRecord`].
//! - `deployment#latest`: the latest deployment. `make deploy` writes it.

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    table::{Expression, Key, Outcome, Table, TableError, from_item, to_item},
};

use crate::health::{HealthRecord, Release};

#[derive(Clone, Debug)]
pub struct Store {
    pub platform: Table,
}

const HEALTH: &str = "health";
const LATEST_DEPLOYMENT: &str = "deployment#latest";

#[derive(Serialize)]
struct HealthItem<'a> {
    pk: &'static str,
    #[serde(flatten)]
    record: &'a HealthRecord,
}

/// The attributes of a deployment that are read here.
#[derive(Deserialize)]
struct DeploymentItem {
    version: String,
    commit: String,
    deployed_at: Timestamp,
}

impl Store {
    /// Returns the latest record; `None` before the first check.
    ///
    /// # Errors
    /// If the table fails, or the item cannot be read.
    pub async fn health(&self) -> Result<Option<HealthRecord>, TableError> {
        self.platform.get(Key::new(HEALTH)).await?.map(from_item).transpose()
    }

    /// Replaces an older record. Returns `false` if a newer one is stored: a concurrent check was
    /// faster.
    pub async fn record_health(&self, record: &HealthRecord) -> Result<bool, TableError> {
        let is_newer = Expression::new("attribute_not_exists(#pk) OR #checked_at < :checked_at")
            .value("checked_at", record.checked_at);
        let item = to_item(&HealthItem { pk: HEALTH, record });
        Ok(matches!(self.platform.put(item, is_newer).await?, Outcome::Written))
    }

    /// Returns the latest recorded deployment, if there is one.
    ///
    /// # Errors
    /// If the table fails, or the item cannot be read.
    pub async fn release(&self) -> Result<Option<Release>, TableError> {
        let item = self.platform.get(Key::new(LATEST_DEPLOYMENT)).await?;
        let deployment: Option<DeploymentItem> = item.map(from_item).transpose()?;
        Ok(deployment.map(|DeploymentItem { version, commit, deployed_at }| Release {
            version,
            commit,
            deployed_at,
        }))
    }
}
