//! Catalog: products and prices.
//!
#![doc = include_str!("../README.md")]

use shared::{aws, clock::Clock, config, ids::Ids, secret::Secrets, table::Table};

pub mod domain;
pub mod error;
pub mod messages;
pub mod metrics;
pub mod operations;
pub mod publish;
pub mod store;

use store::Store;

/// The dependencies of every operation.
pub struct Catalog {
    pub store: Store,
    /// Contain the server key of this service, which seals cursors.
    pub secrets: Secrets,
    pub clock: Clock,
    pub ids: Ids,
    /// Maximum quantity of a product per order, unless the product sets its own.
    pub max_per_order: u32,
}

impl Catalog {
    /// The service with the settings of the environment.
    ///
    /// # Panics
    /// If a setting is missing; see the template.
    pub fn from_env() -> Self {
        let config = aws::sdk_config();
        let products =
            Table::new(aws_sdk_dynamodb::Client::new(&config), config::required("PRODUCTS_TABLE"));
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        Self {
            store: Store { products, shards: config::parsed("LIST_SHARDS") },
            secrets: Secrets::new(secrets, config::required("SERVER_KEYS_PREFIX"), Clock::System),
            clock: Clock::System,
            ids: Ids::System,
            max_per_order: config::parsed("MAX_PER_ORDER"),
        }
    }
}
