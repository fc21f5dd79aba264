//! Catalog: products and prices.
//!
#![doc = include_str!("../README.md")]

use shared::{aws, clock::Clock, config, ids::Ids, secret::Secrets, table::Table};

pub mod domain;
pub mod error;
pub mod messages;
pub mod operations;
pub mod publish;
pub mod store;

use store::Store;

/// What every operation of this service works with.
pub struct Catalog {
    /// The table.
    pub store: Store,
    /// The server key of this service, for cursors.
    pub secrets: Secrets,
    /// The time.
    pub clock: Clock,
    /// Where random bytes come from.
    pub ids: Ids,
    /// The most pieces of a product that one order may have, unless the product says otherwise.
    pub max_per_order: u32,
}

impl Catalog {
    /// The service as it runs deployed.
    ///
    /// # Panics
    /// When the environment lacks a setting; see the template.
    pub fn from_env() -> Self {
        let config = aws::sdk_config();
        let products =
            Table::new(aws_sdk_dynamodb::Client::new(&config), config::required("PRODUCTS_TABLE"));
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        Self {
            store: Store { products, shards: config::parsed("INDEX_SHARDS") },
            secrets: Secrets::new(secrets, config::required("SERVER_KEYS_PREFIX"), Clock::System),
            clock: Clock::System,
            ids: Ids::System,
            max_per_order: config::parsed("MAX_PER_ORDER"),
        }
    }
}
