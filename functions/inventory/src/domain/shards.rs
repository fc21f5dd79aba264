//! Sharding: splits the stock of a fast-selling product into several items, so that concurrent
//! orders do not conflict on one.
//!
//! Shard 0 holds all stock of an unsharded product, and the layout of a sharded one. With a shard
//! count of *n*, the stock is in the shards 1 to *n*. Each order has a preferred shard. If that one
//! has too little, another shard is used, and finally several shards together.
//!
//! A release returns stock to its shard, even if the layout has changed since. Every shard that was
//! ever used is therefore counted, and the next movement moves its stock to the active shards.

use std::{cmp::Reverse, ops::RangeInclusive};

use shared::ids::{OrderId, ProductId, shard_of};

use super::{
    Stock, StockChange,
    movement::{Delta, MAX_ON_HAND, Movement, Threshold},
};

/// The number of shards of a product's stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardLayout {
    /// Number of shards that new orders use; 1 means that the product is unsharded.
    pub shard_count: u32,
    /// Highest shard that was ever used; 0 if the product was never sharded.
    pub last_shard: u32,
}

impl ShardLayout {
    /// Layout of a product that was never sharded.
    pub const UNSHARDED: Self = Self { shard_count: 1, last_shard: 0 };

    /// Whether the product is or was sharded.
    pub const fn was_sharded(self) -> bool {
        self.last_shard > 0
    }

    /// All shards that may hold stock.
    pub const fn all_shards(self) -> RangeInclusive<u32> {
        0..=self.last_shard
    }

    /// The shards that receive stock now.
    const fn active_shards(self) -> RangeInclusive<u32> {
        if self.shard_count > 1 { 1..=self.shard_count } else { 0..=0 }
    }

    /// The shard that an order tries first.
    pub fn preferred_shard(self, order_id: OrderId) -> u32 {
        self.active_shards().start() + shard_of(&order_id.to_string(), self.shard_count)
    }

    fn with_shard_count(self, shard_count: u32) -> Self {
        let last_shard =
            if shard_count > 1 { self.last_shard.max(shard_count) } else { self.last_shard };
        Self { shard_count, last_shard }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardStock {
    pub shard: u32,
    /// The quantity that new orders can reserve.
    pub available: i64,
    /// The quantity in stock, including the held quantity.
    pub on_hand: i64,
}

/// A quantity from one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardAllocation {
    pub shard: u32,
    pub quantity: u32,
}

/// Stock and settings of one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardedStock {
    pub product_id: ProductId,
    pub layout: ShardLayout,
    /// Grows with every movement that was planned on a read. The write of a plan requires the
    /// revision that the plan was made on.
    pub revision: u64,
    /// `None` means the default threshold.
    pub low_stock_threshold: Option<i64>,
    /// Whether the product was recorded as low on stock. Maintained only for products that are or
    /// were sharded; for others the available quantity shows it.
    pub is_low_stock: bool,
    /// Each shard of the layout once, in ascending order.
    pub shards: Vec<ShardStock>,
}

/// The planned writes of a movement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The state that the plan requires; if it has changed, a new plan is needed.
    pub precondition: Precondition,
    /// The new layout, if it changes.
    pub layout: Option<ShardLayout>,
    /// The new threshold, if it changes.
    pub low_stock_threshold: Option<i64>,
    /// Whether the stock before the movement is low by the new settings. Set if threshold or layout
    /// change, so that a new threshold alone does not count as a fall to the threshold.
    pub is_low_stock: Option<bool>,
    /// The change of each affected shard; shard 0 is always included and comes first.
    pub changes: Vec<StockChange>,
}

/// The state that a plan requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The product was never sharded. The plan was made without a read.
    NeverSharded,
    /// The product has this revision.
    Revision(u64),
}

/// Why a movement cannot be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocationError {
    /// The movement exceeds this available quantity.
    InsufficientStock(i64),
    /// The quantity on hand would exceed [`MAX_ON_HAND`].
    LimitExceeded,
}

impl Allocation {
    /// The plan for a product that was not read. It assumes an unsharded product, like nearly all.
    pub fn unsharded(product_id: ProductId, delta: i64) -> Self {
        let changes = vec![StockChange {
            product_id,
            shard: 0,
            available: delta,
            on_hand: delta,
            requires_unsharded: true,
        }];
        Self {
            precondition: Precondition::NeverSharded,
            layout: None,
            low_stock_threshold: None,
            is_low_stock: None,
            changes,
        }
    }
}

impl ShardedStock {
    /// The stock of a product without a record.
    pub fn empty(product_id: ProductId) -> Self {
        let shards = vec![ShardStock { shard: 0, available: 0, on_hand: 0 }];
        Self {
            product_id,
            layout: ShardLayout::UNSHARDED,
            revision: 0,
            low_stock_threshold: None,
            is_low_stock: false,
            shards,
        }
    }

    pub fn total(&self) -> Stock {
        let sum = |figure: fn(&ShardStock) -> i64| self.shards.iter().map(figure).sum();
        Stock {
            product_id: self.product_id,
            available: sum(|shard_stock| shard_stock.available),
            on_hand: sum(|shard_stock| shard_stock.on_hand),
        }
    }

    /// Allocates an order's quantity to the preferred shard, to another one, or to several. Returns
    /// `None` if the product is out of stock.
    pub fn allocate_order(&self, quantity: u32, order_id: OrderId) -> Option<Vec<ShardAllocation>> {
        let wanted = i64::from(quantity);
        if self.total().available < wanted {
            return None;
        }
        let (first, active) = (self.layout.preferred_shard(order_id), self.layout.active_shards());
        let mut shards: Vec<&ShardStock> =
            self.shards.iter().filter(|shard_stock| shard_stock.available > 0).collect();
        // Active shards in cyclic order from the preferred one, then inactive shards.
        shards.sort_by_key(|shard_stock| match active.contains(&shard_stock.shard) {
            true => (shard_stock.shard + self.layout.shard_count - first) % self.layout.shard_count,
            false => self.layout.shard_count + shard_stock.shard,
        });
        if let Some(shard_stock) = shards.iter().find(|shard_stock| shard_stock.available >= wanted)
        {
            return Some(vec![ShardAllocation { shard: shard_stock.shard, quantity }]);
        }
        shards.sort_by_key(|shard_stock| Reverse(shard_stock.available));
        let (mut left, mut allocations) = (quantity, Vec::new());
        for shard_stock in shards {
            let taken = left.min(u32::try_from(shard_stock.available).unwrap_or(u32::MAX));
            allocations.push(ShardAllocation { shard: shard_stock.shard, quantity: taken });
            left -= taken;
            if left == 0 {
                break;
            }
        }
        Some(allocations)
    }

    /// Plans a movement. `default_threshold` applies to a product without its own threshold. With
    /// `rebalance`, all available stock is spread evenly over the active shards. Concurrent orders
    /// can invalidate such a plan; a plan without `rebalance` changes only the necessary shards.
    ///
    /// # Errors
    /// When the movement exceeds the available stock or the stock limit.
    pub fn allocate_movement(
        &self,
        movement: &Movement,
        default_threshold: i64,
        rebalance: bool,
    ) -> Result<Allocation, AllocationError> {
        let (total, delta) = (self.total(), movement.delta.map_or(0, Delta::count));
        if total.available + delta < 0 {
            return Err(AllocationError::InsufficientStock(total.available));
        }
        if delta > 0 && total.on_hand + delta > MAX_ON_HAND {
            return Err(AllocationError::LimitExceeded);
        }
        let layout = movement
            .shard_count
            .map_or(self.layout, |shard_count| self.layout.with_shard_count(shard_count.count()));
        let moves = if rebalance {
            self.rebalance_moves(layout, total.available + delta)
        } else {
            self.minimal_moves(layout, delta)
        };
        let change = |(shard, moved)| StockChange {
            product_id: self.product_id,
            shard,
            available: moved,
            on_hand: moved,
            requires_unsharded: false,
        };
        let threshold = movement.low_stock_threshold.map(Threshold::count);
        let effective_threshold =
            threshold.or(self.low_stock_threshold).unwrap_or(default_threshold);
        let threshold_changed = threshold.is_some() || layout != self.layout;
        Ok(Allocation {
            precondition: Precondition::Revision(self.revision),
            layout: (layout != self.layout).then_some(layout),
            low_stock_threshold: threshold,
            is_low_stock: (threshold_changed && layout.was_sharded())
                .then_some(total.available <= effective_threshold),
            changes: moves
                .into_iter()
                .filter(|(shard, moved)| *shard == 0 || *moved != 0)
                .map(change)
                .collect(),
        })
    }

    /// The change of each shard that spreads `all` evenly over the active shards and empties the
    /// others.
    fn rebalance_moves(&self, layout: ShardLayout, all: i64) -> Vec<(u32, i64)> {
        let (active, count) = (layout.active_shards(), i64::from(layout.shard_count));
        let target = |shard: u32| {
            if !active.contains(&shard) {
                return 0;
            }
            all / count + i64::from(i64::from(shard - active.start()) < all % count)
        };
        layout.all_shards().map(|shard| (shard, target(shard) - self.available_in(shard))).collect()
    }

    /// The smallest change of each shard. An increase is spread over the active shards; a decrease
    /// is taken from the fullest shards first.
    fn minimal_moves(&self, layout: ShardLayout, delta: i64) -> Vec<(u32, i64)> {
        let mut moves: Vec<(u32, i64)> = layout.all_shards().map(|shard| (shard, 0)).collect();
        if delta >= 0 {
            let (active, count) = (layout.active_shards(), i64::from(layout.shard_count));
            for (shard, moved) in moves.iter_mut().filter(|(shard, _)| active.contains(shard)) {
                *moved =
                    delta / count + i64::from(i64::from(*shard - active.start()) < delta % count);
            }
            return moves;
        }
        let mut left = -delta;
        let mut by_most: Vec<&mut (u32, i64)> = moves.iter_mut().collect();
        by_most.sort_by_key(|(shard, _)| Reverse(self.available_in(*shard)));
        for (shard, moved) in by_most {
            let taken = left.min(self.available_in(*shard).max(0));
            *moved = -taken;
            left -= taken;
        }
        moves
    }

    fn available_in(&self, shard: u32) -> i64 {
        self.shards
            .iter()
            .find(|shard_stock| shard_stock.shard == shard)
            .map_or(0, |shard_stock| shard_stock.available)
    }
}
