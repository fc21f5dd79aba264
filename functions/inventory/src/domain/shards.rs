//! Parts: the stock of a product that sells fast is divided, so that orders for it do not wait for
//! one another.
//!
//! Shard 0 holds all stock of an unsharded product, and the layout of a sharded one. Divided into
//! *n*, the stock is in the shards 1 to *n*. Each order has a preferred shard; if that one has too
//! little, the others are tried, and finally several shards together. What was held returns to its
//! shard, whatever the layout is by then: so a shard that was once used is always counted, and the
//! next movement moves its stock to the active ones.

use std::{cmp::Reverse, ops::RangeInclusive};

use shared::ids::{OrderId, ProductId, shard_of};

use super::{
    Stock, StockChange,
    movement::{Delta, MAX_ON_HAND, Movement, Threshold},
};

/// How the stock of a product is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardLayout {
    /// Over how many parts new orders are spread; 1: it is not divided.
    pub shard_count: u32,
    /// The last part in which anything may lie; 0: it was never divided.
    pub last_shard: u32,
}

impl ShardLayout {
    /// All of it lies in one place, and always has.
    pub const UNSHARDED: Self = Self { shard_count: 1, last_shard: 0 };

    /// Whether there is, or was, more than one part.
    pub const fn was_sharded(self) -> bool {
        self.last_shard > 0
    }

    /// The parts that anything may lie in.
    pub const fn all_shards(self) -> RangeInclusive<u32> {
        0..=self.last_shard
    }

    /// The parts that goods are put into now.
    const fn active_shards(self) -> RangeInclusive<u32> {
        if self.shard_count > 1 { 1..=self.shard_count } else { 0..=0 }
    }

    /// The part that an order looks at first.
    pub fn preferred_shard(self, order_id: OrderId) -> u32 {
        self.active_shards().start() + shard_of(&order_id.to_string(), self.shard_count)
    }

    /// The same stock, with another number of shards from now on.
    fn with_shard_count(self, shard_count: u32) -> Self {
        let last_shard =
            if shard_count > 1 { self.last_shard.max(shard_count) } else { self.last_shard };
        Self { shard_count, last_shard }
    }
}

/// What lies in one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardStock {
    pub shard: u32,
    /// The quantity that new orders can reserve.
    pub available: i64,
    /// The quantity in stock.
    pub on_hand: i64,
}

/// A quantity from one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardAllocation {
    /// The part.
    pub shard: u32,
    /// How many.
    pub quantity: u32,
}

/// Everything about the stock of one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardedStock {
    pub product_id: ProductId,
    /// How it is divided.
    pub layout: ShardLayout,
    /// Grows whenever goods go from part to part, or something is settled for the product: who
    /// plans such a thing says what they have seen.
    pub revision: u64,
    /// The product's low-stock threshold; `None`: the default.
    pub low_stock_threshold: Option<i64>,
    /// Whether it is known that there are fewer. Only of a product that was divided: of any other
    /// its one figure says it.
    pub is_low_stock: bool,
    /// What lies where: every part of the layout once, in their order.
    pub shards: Vec<ShardStock>,
}

/// What a movement does to the stock of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// What it builds upon; if that has changed meanwhile, a new plan is needed.
    pub precondition: Precondition,
    /// How the product is divided from now on, if that changes.
    pub layout: Option<ShardLayout>,
    /// How many should be available from now on, if that changes.
    pub low_stock_threshold: Option<i64>,
    /// Whether there are too few as things stand before the goods move; said where the measure
    /// changes, so that the change of the measure alone does not look as if goods had gone.
    pub is_low_stock: Option<bool>,
    /// What comes and goes in each part; part 0 is always there, and first.
    pub changes: Vec<StockChange>,
}

/// What a plan builds upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The product is unsharded, without a read.
    NeverSharded,
    /// This is the product's revision.
    Revision(u64),
}

/// Why a movement cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocationError {
    /// The adjustment exceeds the available stock.
    InsufficientStock(i64),
    /// There would be too many.
    LimitExceeded,
}

impl Allocation {
    /// The plan for a product about which nothing is known but that it lies in one place, as nearly
    /// all do.
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
    /// A product that nothing is known of.
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

    /// How many there are in all parts together.
    pub fn total(&self) -> Stock {
        let sum = |figure: fn(&ShardStock) -> i64| self.shards.iter().map(figure).sum();
        Stock {
            product_id: self.product_id,
            available: sum(|shard_stock| shard_stock.available),
            on_hand: sum(|shard_stock| shard_stock.on_hand),
        }
    }

    /// Allocates an order's quantity: the preferred shard, another one, or several. `None`: out of
    /// stock.
    pub fn allocate_order(&self, quantity: u32, order_id: OrderId) -> Option<Vec<ShardAllocation>> {
        let wanted = i64::from(quantity);
        if self.total().available < wanted {
            return None;
        }
        let (first, active) = (self.layout.preferred_shard(order_id), self.layout.active_shards());
        let mut shards: Vec<&ShardStock> =
            self.shards.iter().filter(|shard_stock| shard_stock.available > 0).collect();
        // Round from the first one; what lies in no part that is in use comes last.
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

    /// Allocates a movement. `default_threshold` applies to a product without a threshold of its
    /// own. `rebalance`: all available stock is spread evenly over the active shards. That fails if
    /// orders are faster; a movement that touches only the necessary shards succeeds.
    ///
    /// # Errors
    /// If the movement exceeds the available stock or the stock limit.
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

    /// What goes where, so that `all` lie evenly in the parts in use and none elsewhere.
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

    /// What goes where, if as little moves as possible: what comes is spread over the parts in use,
    /// what goes is taken where most is.
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
