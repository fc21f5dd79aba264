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
pub mod operations;
pub mod repair;
pub mod sources;
pub mod store;

use sources::Sources;
use store::Store;

/// How long a change of an order may be in flight between the services. Until then a contradiction
/// is not a mismatch.
pub const GRACE: Duration = Duration::from_secs(600);

/// What the operations of this service work with.
pub struct Ledger {
    /// The entries.
    pub store: Store,
    /// The tables of the others, for the audit.
    pub sources: Sources,
    /// The time.
    pub clock: Clock,
}

impl Ledger {
    /// The service as it runs deployed.
    ///
    /// # Panics
    /// When the environment lacks a setting, or names a provider that there is not; see the
    /// template.
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
