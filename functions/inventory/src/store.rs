//! Keys, conditions and queries of the table `stock`.
//!
//! - `STOCK#<product>`: shard 0 of a product's stock, `{product_id, available, on_hand, version,
//!   updated_at, traceparent}`. It also has the settings of the product: `low_stock_threshold`;
//!   `shard_count` and `last_shard` once it was sharded; and `revision`, which grows with every
//!   movement that was planned on a read. For a sharded product `is_low_stock`, `low_stock_count`
//!   and `low_stock_available` describe the sum of all shards.
//! - `STOCK#<product>#<shard>`: another shard, `{product_id, shard, available, on_hand, version,
//!   updated_at, traceparent}`.
//! - `RESERVATION#<order>`: a reservation, see `store/item.rs`. While it holds stock it is in
//!   `check-index`, by the time from which it is held too long.
//! - `MOVE#<movement>`: a movement, which is also the idempotency record of its request. It is in
//!   `check-index` under its product, by creation time, so that the ledger can be reconciled with
//!   it.
//! - `LEASE#check-reservations`: the lease of the sweep.

use serde::Serialize;
use serde_json::{Value, json};
use shared::{
    clock::Timestamp,
    ids::ProductId,
    sweep::Lease,
    table::{AttributeValue, Expression, Item, Key, Table, TableError, Write, from_item, to_item},
    telemetry::Trace,
};

use crate::domain::{
    Stock, StockChange,
    movement::MovementId,
    shards::{Allocation, Precondition, ShardStock, ShardedStock},
};

mod image;
mod item;
mod movements;
mod reservations;

pub use image::{Image, StockImage};
pub use movements::MovementOutcome;
pub use reservations::{HELD_TOO_LONG, SaveOutcome, Shortage, held_order_id};

/// Maximum reads of a product's shards while stock moves between them.
const MAX_SNAPSHOT_READS: u32 = 3;

/// Condition that a product was never sharded.
const NEVER_SHARDED: &str = "attribute_not_exists(#last_shard)";

#[derive(Clone, Debug)]
pub struct Store {
    pub stock: Table,
    /// Shards of the index of held reservations.
    pub shards: u32,
}

/// The stock of a product as it was read.
#[derive(Clone, Debug)]
pub struct StockSnapshot {
    pub sharded_stock: ShardedStock,
    /// Whether the revision was the same before and after the read. If not, stock that moved
    /// between shards meanwhile may be counted twice or not at all.
    pub is_consistent: bool,
}

impl Store {
    /// Reads all shards of a product: one call if it was never sharded.
    pub async fn stock_snapshot(&self, product_id: ProductId) -> Result<StockSnapshot, TableError> {
        let Some(mut first) = self.find_shard(product_id, 0).await? else {
            return Ok(StockSnapshot {
                sharded_stock: ShardedStock::empty(product_id),
                is_consistent: true,
            });
        };
        if !first.layout().was_sharded() {
            let shards = vec![first.shard_stock()];
            return Ok(StockSnapshot {
                sharded_stock: first.into_sharded_stock(shards),
                is_consistent: true,
            });
        }
        let mut snapshot = None;
        for _ in 0..MAX_SNAPSHOT_READS {
            let keys = first
                .layout()
                .all_shards()
                .map(|shard| (&self.stock, stock_key(product_id, shard)))
                .collect();
            let items = self.stock.get_many(keys).await?;
            let found: Vec<StockImage> =
                items.into_iter().map(from_item).collect::<Result<_, _>>()?;
            let shard_stock = |shard| {
                found
                    .iter()
                    .find(|image| image.shard == shard)
                    .map_or(ShardStock { shard, available: 0, on_hand: 0 }, StockImage::shard_stock)
            };
            let shards = first.layout().all_shards().map(shard_stock).collect();
            let last = self
                .find_shard(product_id, 0)
                .await?
                .ok_or(TableError::Unreadable { expected: "stock of a product" })?;
            let is_consistent = last.revision == first.revision;
            snapshot = Some(StockSnapshot {
                sharded_stock: first.into_sharded_stock(shards),
                is_consistent,
            });
            if is_consistent {
                break;
            }
            first = last;
        }
        snapshot.ok_or(TableError::Unreadable { expected: "stock of a product" })
    }

    /// Reads one shard of a product; `None` if it was never written.
    pub async fn find_shard(
        &self,
        product_id: ProductId,
        shard: u32,
    ) -> Result<Option<StockImage>, TableError> {
        self.stock.get(stock_key(product_id, shard)).await?.map(from_item).transpose()
    }

    /// Records whether a sharded product is low on stock, unless another call has recorded the
    /// same. Each fall to the threshold is counted: the stream notifies the operator of each one.
    pub async fn set_low_stock(
        &self,
        stock: &Stock,
        is_low_stock: bool,
        at: Timestamp,
    ) -> Result<(), TableError> {
        let text = if is_low_stock {
            "SET #is_low_stock = :is_low_stock, #updated_at = :updated_at, #low_stock_available = :available ADD #version :one, #low_stock_count :one"
        } else {
            "SET #is_low_stock = :is_low_stock, #updated_at = :updated_at ADD #version :one"
        };
        let change = Expression::new(text)
            .value("is_low_stock", is_low_stock)
            .value("updated_at", at)
            .value("one", 1);
        let change = if is_low_stock { change.value("available", stock.available) } else { change };
        let has_changed = Expression::new(if is_low_stock {
            "attribute_exists(#last_shard) AND (attribute_not_exists(#is_low_stock) OR #is_low_stock <> :the_same)"
        } else {
            "attribute_exists(#last_shard) AND attribute_exists(#is_low_stock) AND #is_low_stock <> :the_same"
        });
        self.stock
            .update(
                stock_key(stock.product_id, 0),
                change,
                has_changed.value("the_same", is_low_stock),
            )
            .await
            .map(drop)
    }

    /// The lease of the sweep that checks reservations.
    pub fn lease(&self) -> Lease {
        Lease::new(&self.stock, Key::new("LEASE#check-reservations"))
    }

    /// Changes the quantities of a shard if the condition `allowed` holds. The new settings in
    /// `allocation` are written as well.
    fn stock_write(
        &self,
        change: &StockChange,
        at: Timestamp,
        trace: Option<&Trace>,
        allocation: Option<&Allocation>,
        allowed: Expression,
    ) -> Write {
        let revised =
            allocation.filter(|allocation| allocation.precondition != Precondition::NeverSharded);
        let mut text = "ADD #available :available, #on_hand :on_hand, #version :one".to_owned();
        if revised.is_some() {
            text.push_str(", #revision :one");
        }
        text.push_str(" SET #product_id = :product_id, #updated_at = :updated_at");
        let layout = revised.and_then(|allocation| allocation.layout);
        let optional = [
            ("traceparent", trace.map(|trace| json!(trace))),
            ("shard", (change.shard > 0).then(|| json!(change.shard))),
            ("shard_count", layout.map(|layout| json!(layout.shard_count))),
            ("last_shard", layout.map(|layout| json!(layout.last_shard))),
            (
                "low_stock_threshold",
                revised.and_then(|allocation| allocation.low_stock_threshold).map(Value::from),
            ),
            (
                "is_low_stock",
                revised.and_then(|allocation| allocation.is_low_stock).map(Value::from),
            ),
        ];
        let optional: Vec<(&str, Value)> =
            optional.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        for (name, _) in &optional {
            text.push_str(&format!(", #{name} = :{name}"));
        }
        let figures = Expression::new(text)
            .value("available", change.available)
            .value("on_hand", change.on_hand)
            .value("one", 1)
            .value("product_id", change.product_id)
            .value("updated_at", at);
        let figures =
            optional.into_iter().fold(figures, |figures, (name, value)| figures.value(name, value));
        self.stock.transact_update(stock_key(change.product_id, change.shard), figures, allowed)
    }
}

fn keyed<T: Serialize>(pk: String, value: &T) -> Item {
    let mut item = to_item(value);
    item.insert("pk".to_owned(), AttributeValue::S(pk));
    item
}

fn stock_key(product_id: ProductId, shard: u32) -> Key {
    match shard {
        0 => Key::new(format!("STOCK#{product_id}")),
        further => Key::new(format!("STOCK#{product_id}#{further}")),
    }
}

fn movement_key_text(movement_id: MovementId) -> String {
    format!("MOVE#{movement_id}")
}

#[cfg(test)]
mod tests;
