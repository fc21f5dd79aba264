//! Stock and its rules. Nothing here waits, stores or sends.
//!
//! Of each product so many are *on hand*, and so many of these are *available*: the others are
//! *held* for orders. A hold takes from `available`, a commit takes from `on_hand`, a release gives
//! back what was taken.

pub mod movement;
pub mod reservation;
pub mod shards;

#[cfg(test)]
mod model;

use shared::ids::ProductId;

/// How many there are of one product, wherever they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// The product.
    pub product_id: ProductId,
    /// So many can be held for the next orders.
    pub available: i64,
    /// So many are on the shelves.
    pub on_hand: i64,
}

impl Stock {
    /// So many are on the shelves for orders that wait.
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
    /// The product.
    pub product_id: ProductId,
    /// Which part; see [`shards`].
    pub shard: u32,
    /// Added to what is available.
    pub available: i64,
    /// Added to what is on hand.
    pub on_hand: i64,
    /// Whether it is meant for a product that was never divided: whoever has not looked learns so
    /// that this one was.
    pub requires_unsharded: bool,
}
