//! Adjustments: plans a movement again until the stock is as the plan assumed.

use shared::{http, ids::ProductId};

use crate::{
    Inventory,
    domain::{
        movement::{Delta, Movement},
        shards::{Allocation, AllocationError},
    },
    error::InventoryError,
    store::MovementOutcome,
};

/// How often a movement is planned.
const MAX_ATTEMPTS: u32 = 10;
/// How often it is tried to spread all that is available evenly. Where orders are faster each time,
/// as little moves as possible.
const REBALANCE_ATTEMPTS: u32 = 5;

/// The outcome of a movement.
pub(crate) enum AdjustmentResult {
    /// It is made now.
    Applied,
    /// The request was carried out before.
    Replayed(Box<Movement>),
}

impl Inventory {
    /// Applies a movement, or finds that it was applied before. Nearly every product is unsharded
    /// and has no settings: then no read is needed first.
    pub(crate) async fn adjust(
        &self,
        movement: &Movement,
    ) -> Result<AdjustmentResult, InventoryError> {
        let product_id = movement.product_id;
        let delta = movement
            .delta
            .map(Delta::count)
            .filter(|_| !movement.changes_settings() && self.cached_layout(product_id).is_none());
        let mut allocation = match delta {
            Some(delta) => Allocation::unsharded(product_id, delta),
            None => match self.allocate(movement, true).await? {
                AllocationResult::Allocated(allocation) => allocation,
                AllocationResult::Replayed(before) => {
                    return Ok(AdjustmentResult::Replayed(before));
                }
            },
        };
        for attempt in 0..MAX_ATTEMPTS {
            match self.store.apply_movement(movement, &allocation).await? {
                MovementOutcome::Applied => {
                    self.finish_adjustment(product_id, &allocation).await;
                    return Ok(AdjustmentResult::Applied);
                }
                MovementOutcome::Replayed(before) => return Ok(AdjustmentResult::Replayed(before)),
                MovementOutcome::VersionConflict => {
                    match self.allocate(movement, attempt < REBALANCE_ATTEMPTS).await? {
                        AllocationResult::Allocated(next) => allocation = next,
                        AllocationResult::Replayed(before) => {
                            return Ok(AdjustmentResult::Replayed(before));
                        }
                    }
                }
            }
        }
        Err(InventoryError::Contended)
    }

    /// What the movement does to the stock as it is now. Where that is impossible, perhaps because
    /// it was done before.
    async fn allocate(
        &self,
        movement: &Movement,
        rebalance: bool,
    ) -> Result<AllocationResult, InventoryError> {
        let sharded_stock = self.store.stock_snapshot(movement.product_id).await?.sharded_stock;
        self.cache_layout(
            movement.product_id,
            sharded_stock.layout,
            sharded_stock.low_stock_threshold,
        );
        let error =
            match sharded_stock.allocate_movement(movement, self.low_stock_threshold, rebalance) {
                Ok(allocation) => return Ok(AllocationResult::Allocated(allocation)),
                Err(error) => error,
            };
        if let Some(before) = self.store.find_replay(movement, None).await? {
            return Ok(AllocationResult::Replayed(Box::new(before)));
        }
        Err(match error {
            AllocationError::InsufficientStock(available) => {
                InventoryError::InsufficientStock { available }
            }
            AllocationError::LimitExceeded => InventoryError::StockLimitExceeded,
        })
    }

    /// Remembers how the product is divided now, and looks whether there is little left of it. The
    /// movement is made already.
    async fn finish_adjustment(&self, product_id: ProductId, allocation: &Allocation) {
        if let Some(layout) = allocation.layout {
            self.cache_layout(product_id, layout, allocation.low_stock_threshold);
        }
        let was_sharded = allocation.layout.is_some() || self.cached_layout(product_id).is_some();
        if was_sharded && let Err(error) = self.update_low_stock(product_id).await {
            http::warn(&error, "low-stock check skipped, the next order repeats it");
        }
    }
}

/// What was found when a movement was planned.
enum AllocationResult {
    /// This is to be done.
    Allocated(Allocation),
    /// The request was carried out before.
    Replayed(Box<Movement>),
}
