//! Stock and its rules. Nothing here waits, stores or sends.
//!
//! Each product has a quantity *on hand*, of which a part is *available* and the rest is *held* for
//! orders. A hold takes from `available`, a commit takes from `on_hand`, a release returns what was
//! taken.

pub mod movement;
pub mod reservation;
pub mod shards;

#[cfg(test)]
mod model;

use shared::ids::ProductId;

/// How many there are of one product, wherever they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    pub product_id: ProductId,
    /// The quantity that new orders can reserve.
    pub available: i64,
    /// The quantity in stock, including what is held.
    pub on_hand: i64,
}

impl Stock {
    /// The quantity that is held for orders.
    pub const fn held(&self) -> i64 {
        self.on_hand - self.available
    }

    /// Whether one can be ordered.
    pub const fn is_in_stock(&self) -> bool {
        self.available > 0
    }
}

/// What a write adds to the figures of one part of a product's stock, or takes from them. Neither
/// figure can fall below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockChange {
    pub product_id: ProductId,
    /// Which part; see [`shards`].
    pub shard: u32,
    /// Added to what is available.
    pub available: i64,
    /// Added to what is on hand.
    pub on_hand: i64,
    /// Whether the change assumes an unsharded product: its condition fails if the product is
    /// sharded, which the caller then learns.
    pub requires_unsharded: bool,
}
