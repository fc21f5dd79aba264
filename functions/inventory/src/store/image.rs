//! Items of the table `stock` as reads and the stream return them.

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;
use shared::{clock::Timestamp, ids::ProductId, telemetry::Trace};

use crate::domain::{
    movement::Movement,
    reservation::Reservation,
    shards::{ShardLayout, ShardStock, ShardedStock},
};

/// An item in the table's stream.
#[derive(Clone, Debug)]
pub enum Image {
    Reservation(Reservation),
    Movement(Movement),
    Stock(StockImage),
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let item = Value::deserialize(deserializer)?;
        let kind =
            item["pk"].as_str().and_then(|pk| pk.split('#').next()).unwrap_or_default().to_owned();
        let image = match kind.as_str() {
            "RESERVATION" => serde_json::from_value(item).map(Self::Reservation),
            "MOVE" => serde_json::from_value(item).map(Self::Movement),
            "STOCK" => serde_json::from_value(item).map(Self::Stock),
            _ => return Err(D::Error::custom("no item of this table has such a key")),
        };
        image.map_err(D::Error::custom)
    }
}

/// The stored item of one shard. The fields after `traceparent` are set only in shard 0.
#[derive(Clone, Debug, Deserialize)]
pub struct StockImage {
    pub product_id: ProductId,
    #[serde(default)]
    pub shard: u32,
    /// The quantity that new orders can reserve.
    pub available: i64,
    /// The quantity in stock, including the held quantity.
    pub on_hand: i64,
    /// Number of writes of this record.
    pub version: u64,
    pub updated_at: Timestamp,
    /// Trace of the last write; `None` for items written before traces were stored.
    #[serde(default)]
    pub traceparent: Option<Trace>,
    #[serde(default)]
    shard_count: Option<u32>,
    #[serde(default)]
    last_shard: u32,
    #[serde(default)]
    pub(super) revision: u64,
    /// `None` means the default threshold.
    #[serde(default)]
    pub low_stock_threshold: Option<i64>,
    #[serde(default)]
    is_low_stock: bool,
    /// How often the sum of all shards fell to the threshold.
    #[serde(default)]
    pub low_stock_count: u64,
    /// The available sum of all shards at the last of these falls.
    #[serde(default)]
    pub low_stock_available: i64,
}

impl StockImage {
    /// The layout of the product. Only the item of shard 0 has it.
    pub fn layout(&self) -> ShardLayout {
        ShardLayout {
            shard_count: self.shard_count.unwrap_or(ShardLayout::UNSHARDED.shard_count),
            last_shard: self.last_shard,
        }
    }

    pub(super) fn shard_stock(&self) -> ShardStock {
        ShardStock { shard: self.shard, available: self.available, on_hand: self.on_hand }
    }

    /// The stock of the product. `self` is the item of shard 0, `shards` the stock of all shards.
    pub(super) fn into_sharded_stock(self, shards: Vec<ShardStock>) -> ShardedStock {
        ShardedStock {
            product_id: self.product_id,
            layout: self.layout(),
            revision: self.revision,
            low_stock_threshold: self.low_stock_threshold,
            is_low_stock: self.is_low_stock,
            shards,
        }
    }
}
