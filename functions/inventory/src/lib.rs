//! Inventory: stock and reservations.
//!
#![doc = include_str!("../README.md")]

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use shared::{
    aws,
    clock::{Clock, Timestamp},
    config,
    ids::ProductId,
    table::Table,
};

mod adjustments;
pub mod domain;
pub mod error;
pub mod messages;
pub mod operations;
pub mod publish;
mod reservations;
pub mod store;

use domain::shards::{ShardLayout, ShardedStock};
use store::Store;

/// What every operation of this service works with.
pub struct Inventory {
    /// The table.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// How many should be available of a product of which nothing else was settled.
    low_stock_threshold: i64,
    /// What is known of the products that are divided. Of all others there is nothing to be known.
    layouts: Mutex<BTreeMap<ProductId, CachedLayout>>,
}

/// What is known of a product that is or was divided.
#[derive(Clone, Copy, Debug)]
struct CachedLayout {
    layout: ShardLayout,
    low_stock_threshold: i64,
    expires_at: Timestamp,
}

/// How long it is taken for granted how a product is divided. Who is wrong about it finds fewer
/// than there are, looks, and knows.
const LAYOUT_TTL: Duration = Duration::from_secs(60);

impl Inventory {
    /// The service as it runs deployed.
    ///
    /// # Panics
    /// When the environment lacks a setting; see the template.
    pub fn from_env() -> Self {
        let stock = Table::new(
            aws_sdk_dynamodb::Client::new(&aws::sdk_config()),
            config::required("STOCK_TABLE"),
        );
        let store = Store { stock, shards: config::parsed("INDEX_SHARDS") };
        Self::new(store, Clock::System, config::parsed("LOW_STOCK_THRESHOLD"))
    }

    /// The service over this table and clock. `low_stock_threshold` is the default for all
    /// products.
    pub fn new(store: Store, clock: Clock, low_stock_threshold: i64) -> Self {
        Self { store, clock, low_stock_threshold, layouts: Mutex::default() }
    }

    /// The default low-stock threshold.
    fn threshold_of(&self, sharded_stock: &ShardedStock) -> i64 {
        sharded_stock.low_stock_threshold.unwrap_or(self.low_stock_threshold)
    }

    /// What is known of a product, if it is known that it is or was divided.
    fn cached_layout(&self, product_id: ProductId) -> Option<CachedLayout> {
        let layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        layouts.get(&product_id).copied().filter(|cached| cached.expires_at > self.clock.now())
    }

    /// Remembers for a while how a product is divided, if it is or was.
    fn cache_layout(
        &self,
        product_id: ProductId,
        layout: ShardLayout,
        low_stock_threshold: Option<i64>,
    ) {
        if !layout.was_sharded() {
            return;
        }
        let now = self.clock.now();
        let low_stock_threshold = low_stock_threshold.unwrap_or(self.low_stock_threshold);
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        layouts.retain(|_, cached| cached.expires_at > now);
        layouts.insert(
            product_id,
            CachedLayout { layout, low_stock_threshold, expires_at: now.plus(LAYOUT_TTL) },
        );
    }
}
