//! Executes an order's commands on its reservation. A decision is made again until its write
//! succeeds.

use std::collections::BTreeSet;

use shared::{
    http,
    ids::{OrderId, ProductId},
    table::TableError,
};

use crate::{
    Inventory,
    domain::reservation::{
        Decision, Lines, Reservation, ReservationChange, ReservationCommand, ReservationRequest,
        State, decide,
    },
    error::InventoryError,
    store::{SaveOutcome, Shortage},
};

/// Maximum number of decisions, when other writers change the reservation or the same shard.
const MAX_ATTEMPTS: u32 = 10;

impl Inventory {
    /// Executes an order's command on its reservation, last read as `stored`.
    ///
    /// The domain decides and the store writes. If the write conflicts, the next decision starts
    /// from the stored reservation. A lost race, a repeated command and a write with a lost
    /// response therefore end the same way.
    pub(crate) async fn execute(
        &self,
        mut request: ReservationRequest,
        mut stored: Option<Reservation>,
    ) -> Result<(), InventoryError> {
        let order_id = request.order_id;
        if let ReservationCommand::Reserve(lines) = &mut request.command {
            for product_id in lines.products() {
                if let Some(cached) = self.cached_layout(product_id) {
                    lines.allocate_preferred(product_id, cached.layout, order_id);
                }
            }
        }
        let mut out_of_stock = None;
        for _ in 0..MAX_ATTEMPTS {
            let change = match decide(stored.as_ref(), &request, out_of_stock)? {
                Decision::NoChange => return Ok(()),
                Decision::Write(change) => change,
            };
            match self.store.save(&change).await? {
                SaveOutcome::Written => {
                    self.check_low_stock(&change).await;
                    return Ok(());
                }
                SaveOutcome::VersionConflict(current) => stored = current.map(|current| *current),
                SaveOutcome::InsufficientStock(shortages) => match &mut request.command {
                    ReservationCommand::Reserve(lines) if change.is_hold() => {
                        out_of_stock = self.reallocate(lines, shortages, order_id).await?
                    }
                    _ => {
                        let product_id = shortages.first().map(|shortage| shortage.product_id);
                        return Err(product_id.map_or(InventoryError::Contended, |product_id| {
                            InventoryError::StockMismatch { product_id }
                        }));
                    }
                },
            }
        }
        Err(InventoryError::Contended)
    }

    /// Allocates products that are short in one shard to other shards. Returns the product that is
    /// out of stock across all shards, if any.
    async fn reallocate(
        &self,
        lines: &mut Lines,
        shortages: Vec<Shortage>,
        order_id: OrderId,
    ) -> Result<Option<ProductId>, InventoryError> {
        let mut seen = BTreeSet::new();
        for Shortage { product_id, current } in shortages {
            if !seen.insert(product_id) {
                continue;
            }
            if let Some(current) = current.filter(|_| !lines.is_allocated(product_id)) {
                let layout = current.layout();
                if !layout.was_sharded() {
                    return Ok(Some(product_id));
                }
                self.cache_layout(product_id, layout, current.low_stock_threshold);
                lines.allocate_preferred(product_id, layout, order_id);
                continue;
            }
            let snapshot = self.store.stock_snapshot(product_id).await?;
            let sharded_stock = &snapshot.sharded_stock;
            self.cache_layout(product_id, sharded_stock.layout, sharded_stock.low_stock_threshold);
            match sharded_stock.allocate_order(lines.quantity_of(product_id), order_id) {
                // If the allocation needs more shards than one transaction can write, the last arm
                // treats the product as out of stock.
                Some(allocations) if lines.allocate(product_id, &allocations) => {}
                None if !snapshot.is_consistent => return Err(InventoryError::Contended),
                _ => return Ok(Some(product_id)),
            }
        }
        Ok(None)
    }

    /// Records whether the sharded products of a change are low on stock. The change is already
    /// written, so a failure is only logged; the next order repeats the check.
    async fn check_low_stock(&self, change: &ReservationChange) {
        let takes = match change.next.state {
            State::Held => true,
            State::Released => false,
            _ => return,
        };
        let mut seen = BTreeSet::new();
        for stock_change in &change.stock {
            let cached = self.cached_layout(stock_change.product_id);
            let was_sharded = stock_change.shard > 0 || cached.is_some();
            if !was_sharded || !seen.insert(stock_change.product_id) {
                continue;
            }
            // If one shard alone exceeds the threshold, the total does too.
            let skip_above = cached.filter(|_| takes).map(|cached| cached.low_stock_threshold);
            if let Err(error) = self
                .check_low_stock_of(stock_change.product_id, stock_change.shard, skip_above)
                .await
            {
                http::warn(&error, "low-stock check skipped, the next order repeats it");
            }
        }
    }

    async fn check_low_stock_of(
        &self,
        product_id: ProductId,
        shard: u32,
        skip_above: Option<i64>,
    ) -> Result<(), TableError> {
        if let Some(threshold) = skip_above
            && self
                .store
                .find_shard(product_id, shard)
                .await?
                .is_some_and(|shard_stock| shard_stock.available > threshold)
        {
            return Ok(());
        }
        self.update_low_stock(product_id).await
    }

    /// Records whether a product that is or was sharded is low on stock across all shards.
    pub(crate) async fn update_low_stock(&self, product_id: ProductId) -> Result<(), TableError> {
        let snapshot = self.store.stock_snapshot(product_id).await?;
        let (sharded_stock, stock) = (&snapshot.sharded_stock, snapshot.sharded_stock.total());
        let is_low_stock = stock.available <= self.threshold_of(sharded_stock);
        if !snapshot.is_consistent
            || !sharded_stock.layout.was_sharded()
            || is_low_stock == sharded_stock.is_low_stock
        {
            return Ok(());
        }
        self.store.set_low_stock(&stock, is_low_stock, self.clock.now()).await
    }
}
