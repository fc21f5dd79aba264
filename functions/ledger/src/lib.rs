//! Ledger: double-entry bookkeeping and its reconciliation.
//!
#![doc = include_str!("../README.md")]

use std::time::Duration;

use provider::factory;
use shared::{aws, clock::Clock, config, secret::Secrets, table::Table};

pub mod audit;
pub mod audit_run;
pub mod candidates;
pub mod domain;
pub mod error;
pub mod metrics;
pub mod operations;
pub mod posting;
pub mod repair;
pub mod sources;
pub mod store;

use sources::Sources;
use store::Store;

/// Grace period for changes in flight between services. A contradiction younger than this is not a
/// mismatch.
pub const GRACE: Duration = Duration::from_secs(600);

/// The dependencies of this service's operations.
pub struct Ledger {
    pub store: Store,
    /// The tables of other services, read by the audit.
    pub sources: Sources,
    pub clock: Clock,
}

impl Ledger {
    /// Builds the service from the environment of a deployed function.
    ///
    /// # Panics
    /// If the environment lacks a setting or names an unknown provider; the template sets both.
    pub fn from_env() -> Self {
        let client = aws_sdk_dynamodb::Client::new(&aws::sdk_config());
        let table = |variable| Table::new(client.clone(), config::required(variable));
        let shards = config::parsed("INDEX_SHARDS");
        let secrets = || {
            let client = aws_sdk_secretsmanager::Client::new(&aws::sdk_config());
            Secrets::new(client, config::required("SERVER_KEYS_PREFIX"), Clock::System)
        };
        let statement =
            factory::statement(&factory::ProviderDependencies { table: &table, secrets: &secrets });
        Self {
            store: Store::new(table("LEDGER_TABLE"), shards),
            sources: Sources {
                orders: table("ORDERS_TABLE"),
                payments: table("PAYMENTS_TABLE"),
                stock: table("STOCK_TABLE"),
                statement: Some(statement),
                shards,
            },
            clock: Clock::System,
        }
    }
}
