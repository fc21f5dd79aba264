//! Applies stock adjustments. A movement is planned again whenever the stock has changed since the
//! last plan.

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

/// Maximum number of plans for one movement, when other writers change the stock.
const MAX_ATTEMPTS: u32 = 10;
/// Number of plans that spread all available stock evenly. Later plans move as little as possible,
/// so that concurrent orders are less likely to invalidate them.
const REBALANCE_ATTEMPTS: u32 = 5;

pub(crate) enum AdjustmentResult {
    Applied,
    /// The same request was applied before.
    Replayed(Box<Movement>),
}

impl Inventory {
    /// Applies a movement, or finds that it was applied before. A movement that changes no settings
    /// is written without a read, because nearly every product is unsharded.
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

    /// Plans the movement on the current stock. If that is impossible, checks whether the same
    /// request was applied before.
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

    /// Caches the new layout and records whether the product is low on stock. The movement is
    /// already applied, so a failure is only logged.
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

enum AllocationResult {
    Allocated(Allocation),
    /// The same request was applied before.
    Replayed(Box<Movement>),
}
