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
pub mod metrics;
pub mod operations;
pub mod publish;
mod reservations;
pub mod store;

use domain::shards::{ShardLayout, ShardedStock};
use store::Store;

/// The dependencies and settings that every operation of inventory shares.
pub struct Inventory {
    pub store: Store,
    pub clock: Clock,
    /// Default for products without their own threshold.
    low_stock_threshold: i64,
    /// Cached layouts of products that are or were sharded. Other products need none.
    layouts: Mutex<BTreeMap<ProductId, CachedLayout>>,
}

/// The cached layout and threshold of a product that is or was sharded.
#[derive(Clone, Copy, Debug)]
struct CachedLayout {
    layout: ShardLayout,
    low_stock_threshold: i64,
    expires_at: Timestamp,
}

/// Time to live of a cached layout. An order with an outdated layout may find too little stock.
/// It then reads the current layout.
const LAYOUT_TTL: Duration = Duration::from_secs(60);

impl Inventory {
    /// Builds the service from environment variables.
    ///
    /// # Panics
    /// When a variable is missing.
    pub fn from_env() -> Self {
        let stock = Table::new(
            aws_sdk_dynamodb::Client::new(&aws::sdk_config()),
            config::required("STOCK_TABLE"),
        );
        let store = Store { stock, shards: config::parsed("INDEX_SHARDS") };
        Self::new(store, Clock::System, config::parsed("LOW_STOCK_THRESHOLD"))
    }

    /// `low_stock_threshold` applies to products without their own threshold.
    pub fn new(store: Store, clock: Clock, low_stock_threshold: i64) -> Self {
        Self { store, clock, low_stock_threshold, layouts: Mutex::default() }
    }

    /// The product's low-stock threshold, otherwise the default.
    fn threshold_of(&self, sharded_stock: &ShardedStock) -> i64 {
        sharded_stock.low_stock_threshold.unwrap_or(self.low_stock_threshold)
    }

    /// The cached layout; `None` if it has expired or the product is not known to be sharded.
    fn cached_layout(&self, product_id: ProductId) -> Option<CachedLayout> {
        let layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        layouts.get(&product_id).copied().filter(|cached| cached.expires_at > self.clock.now())
    }

    /// Caches the layout for [`LAYOUT_TTL`] if the product is or was sharded.
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
