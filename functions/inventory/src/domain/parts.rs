//! Parts: the stock of a product that sells fast is divided, so that orders for it do not wait for one another.
//!
//! Part 0 is where all of a product lies until somebody divides it, and where it is written how it is divided. Divided into *n*, it lies in
//! the parts 1 to *n*, and part 0 is left in peace. Each order has a part that it looks at first; where that one has too few, the others
//! are asked, and in the end the goods come from several. What was held goes back to where it came from, however the product is divided by
//! then: so a part that was once used is always counted, and the next movement brings what lies in it back to the others.

use std::{cmp::Reverse, ops::RangeInclusive};

use shared::ids::{OrderId, ProductId, shard_of};

use super::{
    Stock, StockChange,
    movement::{Delta, MAX_ON_HAND, Movement, Threshold},
};

/// How the stock of a product is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Over how many parts new orders are spread; 1: it is not divided.
    pub shards: u32,
    /// The last part in which anything may lie; 0: it was never divided.
    pub reach: u32,
}

impl Layout {
    /// All of it lies in one place, and always has.
    pub const WHOLE: Self = Self { shards: 1, reach: 0 };

    /// Whether there is, or was, more than one part.
    pub const fn was_divided(self) -> bool {
        self.reach > 0
    }

    /// The parts that anything may lie in.
    pub const fn parts(self) -> RangeInclusive<u32> {
        0..=self.reach
    }

    /// The parts that goods are put into now.
    const fn in_use(self) -> RangeInclusive<u32> {
        if self.shards > 1 { 1..=self.shards } else { 0..=0 }
    }

    /// The part that an order looks at first.
    pub fn preferred(self, order_id: OrderId) -> u32 {
        self.in_use().start() + shard_of(&order_id.to_string(), self.shards)
    }

    /// The same stock, divided into so many from now on.
    fn divided(self, shards: u32) -> Self {
        let reach = if shards > 1 { self.reach.max(shards) } else { self.reach };
        Self { shards, reach }
    }
}

/// What lies in one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub shard: u32,
    /// So many can be held for the next orders.
    pub available: i64,
    /// So many are there.
    pub on_hand: i64,
}

/// So many from one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The part.
    pub shard: u32,
    /// How many.
    pub quantity: u32,
}

/// Everything about the stock of one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    /// The product.
    pub product_id: ProductId,
    /// How it is divided.
    pub layout: Layout,
    /// Grows whenever goods go from part to part, or something is settled for the product: who plans such a thing says what they have seen.
    pub revision: u64,
    /// So many should be available at least; none: as many as of every product.
    pub low_stock_threshold: Option<i64>,
    /// Whether it is known that there are fewer. Only of a product that was divided: of any other its one figure says it.
    pub is_low: bool,
    /// What lies where: every part of the layout once, in their order.
    pub parts: Vec<Part>,
}

/// What a movement does to the stock of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it builds upon; if that has changed meanwhile, a new plan is needed.
    pub premise: Premise,
    /// How the product is divided from now on, if that changes.
    pub layout: Option<Layout>,
    /// How many should be available from now on, if that changes.
    pub low_stock_threshold: Option<i64>,
    /// Whether there are too few as things stand before the goods move; said where the measure changes, so that the change of the measure
    /// alone does not look as if goods had gone.
    pub is_low: Option<bool>,
    /// What comes and goes in each part; part 0 is always there, and first.
    pub changes: Vec<StockChange>,
}

/// What a plan builds upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Premise {
    /// The product was never divided: nobody has looked.
    NeverDivided,
    /// This is the product's revision.
    Revision(u64),
}

/// Why a movement cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impossible {
    /// There are only so many to take away.
    Only(i64),
    /// There would be too many.
    TooMany,
}

impl Plan {
    /// The plan for a product about which nothing is known but that it lies in one place, as nearly all do.
    pub fn unseen(product_id: ProductId, delta: i64) -> Self {
        let changes = vec![StockChange { product_id, shard: 0, available: delta, on_hand: delta, only_undivided: true }];
        Self { premise: Premise::NeverDivided, layout: None, low_stock_threshold: None, is_low: None, changes }
    }
}

impl Division {
    /// A product that nothing is known of.
    pub fn none(product_id: ProductId) -> Self {
        let parts = vec![Part { shard: 0, available: 0, on_hand: 0 }];
        Self { product_id, layout: Layout::WHOLE, revision: 0, low_stock_threshold: None, is_low: false, parts }
    }

    /// How many there are in all parts together.
    pub fn total(&self) -> Stock {
        let sum = |figure: fn(&Part) -> i64| self.parts.iter().map(figure).sum();
        Stock { product_id: self.product_id, available: sum(|part| part.available), on_hand: sum(|part| part.on_hand) }
    }

    /// Where so many for an order come from: the part that it looks at first, another one, or several. None: there are not so many.
    pub fn choose(&self, quantity: u32, order_id: OrderId) -> Option<Vec<Share>> {
        let wanted = i64::from(quantity);
        if self.total().available < wanted {
            return None;
        }
        let (first, in_use) = (self.layout.preferred(order_id), self.layout.in_use());
        let mut parts: Vec<&Part> = self.parts.iter().filter(|part| part.available > 0).collect();
        // Round from the first one; what lies in no part that is in use comes last.
        parts.sort_by_key(|part| match in_use.contains(&part.shard) {
            true => (part.shard + self.layout.shards - first) % self.layout.shards,
            false => self.layout.shards + part.shard,
        });
        if let Some(part) = parts.iter().find(|part| part.available >= wanted) {
            return Some(vec![Share { shard: part.shard, quantity }]);
        }
        parts.sort_by_key(|part| Reverse(part.available));
        let (mut left, mut shares) = (quantity, Vec::new());
        for part in parts {
            let taken = left.min(u32::try_from(part.available).unwrap_or(u32::MAX));
            shares.push(Share { shard: part.shard, quantity: taken });
            left -= taken;
            if left == 0 {
                break;
            }
        }
        Some(shares)
    }

    /// What a movement does. `least_of_all`: so many should be available of a product that nothing else is said of. `levelled`: all that is available is spread evenly over the parts in use. That fails where orders are faster;
    /// what does not touch more than it must comes through.
    ///
    /// # Errors
    /// When there are not so many to take away, or there would be too many.
    pub fn plan(&self, movement: &Movement, least_of_all: i64, levelled: bool) -> Result<Plan, Impossible> {
        let (total, delta) = (self.total(), movement.delta.map_or(0, Delta::count));
        if total.available + delta < 0 {
            return Err(Impossible::Only(total.available));
        }
        if delta > 0 && total.on_hand + delta > MAX_ON_HAND {
            return Err(Impossible::TooMany);
        }
        let layout = movement.shards.map_or(self.layout, |shards| self.layout.divided(shards.count()));
        let moves = if levelled { self.levelling(layout, total.available + delta) } else { self.least(layout, delta) };
        let change =
            |(shard, moved)| StockChange { product_id: self.product_id, shard, available: moved, on_hand: moved, only_undivided: false };
        let threshold = movement.low_stock_threshold.map(Threshold::count);
        let least = threshold.or(self.low_stock_threshold).unwrap_or(least_of_all);
        let is_measured_anew = threshold.is_some() || layout != self.layout;
        Ok(Plan {
            premise: Premise::Revision(self.revision),
            layout: (layout != self.layout).then_some(layout),
            low_stock_threshold: threshold,
            is_low: (is_measured_anew && layout.was_divided()).then_some(total.available <= least),
            changes: moves.into_iter().filter(|(shard, moved)| *shard == 0 || *moved != 0).map(change).collect(),
        })
    }

    /// What goes where, so that `all` lie evenly in the parts in use and none elsewhere.
    fn levelling(&self, layout: Layout, all: i64) -> Vec<(u32, i64)> {
        let (in_use, parts) = (layout.in_use(), i64::from(layout.shards));
        let target = |shard: u32| {
            if !in_use.contains(&shard) {
                return 0;
            }
            all / parts + i64::from(i64::from(shard - in_use.start()) < all % parts)
        };
        layout.parts().map(|shard| (shard, target(shard) - self.available_in(shard))).collect()
    }

    /// What goes where, if as little moves as possible: what comes is spread over the parts in use, what goes is taken where most is.
    fn least(&self, layout: Layout, delta: i64) -> Vec<(u32, i64)> {
        let mut moves: Vec<(u32, i64)> = layout.parts().map(|shard| (shard, 0)).collect();
        if delta >= 0 {
            let (in_use, parts) = (layout.in_use(), i64::from(layout.shards));
            for (shard, moved) in moves.iter_mut().filter(|(shard, _)| in_use.contains(shard)) {
                *moved = delta / parts + i64::from(i64::from(*shard - in_use.start()) < delta % parts);
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
        self.parts.iter().find(|part| part.shard == shard).map_or(0, |part| part.available)
    }
}
