//! Orders: placement, cancellation and shipping, and the saga that settles each order.
//!
#![doc = include_str!("../README.md")]

use shared::{aws, clock::Clock, config, ids::Ids, secret::Secrets, table::Table, throttle::Limit};

mod advance;
pub mod carts;
pub mod domain;
pub mod error;
pub mod messages;
pub mod metrics;
pub mod operations;
pub mod pricing_cache;
#[cfg(test)]
mod pricing_tests;
pub mod publish;
pub mod store;

use domain::{
    Timing,
    unpaid::{BuyerLimit, Limits},
};
use pricing_cache::PricingCache;
use store::Store;

/// The tables, keys and settings that all operations share.
pub struct Orders {
    pub store: Store,
    /// The server key: seals list cursors, and derives the names of networks.
    pub secrets: Secrets,
    pub clock: Clock,
    pub ids: Ids,
    pub timing: Timing,
    /// The limits on unpaid orders: how many a buyer or network may have, and for how long.
    pub limits: Limits,
    /// The pricing documents that estimates use again.
    pub pricing_cache: PricingCache,
}

impl Orders {
    /// Builds the service from its environment variables.
    ///
    /// # Panics
    /// If a variable is missing or invalid. `template.yaml` sets every variable.
    pub fn from_env() -> Self {
        let config = aws::sdk_config();
        let client = aws_sdk_dynamodb::Client::new(&config);
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        let store = Store {
            orders: Table::new(client.clone(), config::required("ORDERS_TABLE")),
            products: Table::new(client.clone(), config::required("ORDER_PRODUCTS_TABLE")),
            carts: Table::new(client, config::required("ORDER_CARTS_TABLE")),
            shards: config::parsed("INDEX_SHARDS"),
        };
        let verified = BuyerLimit {
            orders: config::parsed("MAX_UNPAID_ORDERS"),
            pay_within: config::seconds("ORDER_PAYMENT_SECONDS"),
        };
        let unverified = BuyerLimit {
            orders: config::parsed("MAX_UNPAID_ORDERS_UNVERIFIED"),
            pay_within: config::seconds("ORDER_PAYMENT_SECONDS_UNVERIFIED"),
        };
        let limits = Limits {
            verified,
            unverified,
            network: Limit::within(config::parsed("NETWORK_UNPAID_ORDERS"), verified.pay_within),
            max_per_order: config::parsed("MAX_PER_ORDER"),
            // An order without a market has no tax, which only a trial may leave out.
            requires_market: config::required("STAGE") == "prod",
        };
        Self {
            store,
            secrets: Secrets::new(secrets, config::required("SERVER_KEYS_PREFIX"), Clock::System),
            clock: Clock::System,
            ids: Ids::System,
            timing: Timing { first_retry: config::seconds("RETRY_SECONDS") },
            limits,
            pricing_cache: PricingCache::new(config::seconds("PRICING_CACHE_SECONDS")),
        }
    }
}
