//! Rules of stock, reservations and movements. These functions are pure: they perform no I/O.
//!
//! Each product has a quantity *on hand*. Part of it is *available*; the rest is *held* for orders.
//! A reservation decrements `available`, a commit decrements `on_hand`, and a release reverts both.

pub mod movement;
pub mod reservation;
pub mod shards;

#[cfg(test)]
mod model;

use shared::ids::ProductId;

/// Stock of one product, summed over its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    pub product_id: ProductId,
    /// The quantity that new orders can reserve.
    pub available: i64,
    /// The quantity in stock, including the held quantity.
    pub on_hand: i64,
}

impl Stock {
    /// The quantity held for orders.
    pub const fn held(&self) -> i64 {
        self.on_hand - self.available
    }

    pub const fn is_in_stock(&self) -> bool {
        self.available > 0
    }
}

/// A change of one shard of a product's stock. The write fails if a quantity would fall below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockChange {
    pub product_id: ProductId,
    /// See [`shards`].
    pub shard: u32,
    /// Added to the available quantity.
    pub available: i64,
    /// Added to the quantity on hand.
    pub on_hand: i64,
    /// Whether the write fails if the product is sharded. Set if its layout was not read.
    pub requires_unsharded: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::derive;

    #[test]
    fn held_quantity_is_on_hand_and_not_available() {
        let stock = Stock { product_id: derive(&["spoon"]), available: 1, on_hand: 5 };
        assert_eq!((stock.held(), stock.is_in_stock()), (4, true));
        assert!(!Stock { available: 0, ..stock }.is_in_stock());
    }
}
