//! Carrying out what an order asks of its reservation, until what was decided holds.

use std::collections::BTreeSet;

use shared::{
    http,
    ids::{OrderId, ProductId},
    table::TableError,
};

use crate::{
    Inventory,
    domain::reservation::{Change, Command, Decision, Lines, Reservation, State, Wish, decide},
    error::InventoryError,
    store::{Saved, Shortage},
};

/// How often it is decided anew because somebody else has just written the reservation, or taken from the same part.
const TRIES: u32 = 10;

impl Inventory {
    /// Carries out what an order asks of its reservation, which was last seen as `stored`. The domain decides, the store writes; what
    /// stands in the way of the write is what is decided upon next, so that a lost race, a second copy of the command and the own write
    /// whose answer was lost all end the same way.
    pub(crate) async fn carry_out(&self, mut command: Command, mut stored: Option<Reservation>) -> Result<(), InventoryError> {
        let order_id = command.order_id;
        if let Wish::Reserve(lines) = &mut command.wish {
            for product_id in lines.products() {
                if let Some(known) = self.known(product_id) {
                    lines.prefer(product_id, known.layout, order_id);
                }
            }
        }
        let mut short = None;
        for _ in 0..TRIES {
            let change = match decide(stored.as_ref(), &command, short)? {
                Decision::Settled => return Ok(()),
                Decision::Write(change) => change,
            };
            match self.store.save(&change).await? {
                Saved::Written => {
                    self.look_at_levels(&change).await;
                    return Ok(());
                }
                Saved::VersionConflict(current) => stored = current.map(|current| *current),
                Saved::Short(shortages) => match &mut command.wish {
                    Wish::Reserve(lines) if change.is_hold() => short = self.look_elsewhere(lines, shortages, order_id).await?,
                    _ => {
                        let product_id = shortages.first().map(|shortage| shortage.product_id);
                        return Err(product_id.map_or(InventoryError::Contended, |product_id| InventoryError::BooksBroken { product_id }));
                    }
                },
            }
        }
        Err(InventoryError::Contended)
    }

    /// Lets what is short in one part come from others; the product of which there is not enough in all parts together, if there is one.
    async fn look_elsewhere(
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
            if let Some(current) = current.filter(|_| !lines.is_chosen(product_id)) {
                let layout = current.layout();
                if !layout.was_divided() {
                    return Ok(Some(product_id));
                }
                self.learn(product_id, layout, current.low_stock_threshold);
                lines.prefer(product_id, layout, order_id);
                continue;
            }
            let reading = self.store.division_of(product_id).await?;
            let division = &reading.division;
            self.learn(product_id, division.layout, division.low_stock_threshold);
            match division.choose(lines.quantity_of(product_id), order_id) {
                // What would have to come from too many parts cannot be had at once, and is not there for this order.
                Some(shares) if lines.take_from(product_id, &shares) => {}
                None if !reading.is_settled => return Err(InventoryError::Contended),
                _ => return Ok(Some(product_id)),
            }
        }
        Ok(None)
    }

    /// Looks whether there is little left of the divided products that a change has touched. The change is made already: what cannot be
    /// looked at now shows with the next order.
    async fn look_at_levels(&self, change: &Change) {
        let takes = match change.next.state {
            State::Held => true,
            State::Released => false,
            _ => return,
        };
        let mut seen = BTreeSet::new();
        for part in &change.stock {
            let known = self.known(part.product_id);
            let was_divided = part.shard > 0 || known.is_some();
            if !was_divided || !seen.insert(part.product_id) {
                continue;
            }
            // While as many as that lie in one part, there cannot be fewer in all of them.
            let enough_here = known.filter(|_| takes).map(|known| known.low_stock_threshold);
            if let Err(error) = self.look_at_level(part.product_id, part.shard, enough_here).await {
                http::warn(&error, "nobody has looked whether there is little left: the next order does");
            }
        }
    }

    async fn look_at_level(&self, product_id: ProductId, shard: u32, enough_here: Option<i64>) -> Result<(), TableError> {
        if let Some(enough) = enough_here
            && self.store.part(product_id, shard).await?.is_some_and(|part| part.available > enough)
        {
            return Ok(());
        }
        self.note_level_of(product_id).await
    }

    /// Notes whether there is little left of a product in all its parts together, if it is or was divided.
    pub(crate) async fn note_level_of(&self, product_id: ProductId) -> Result<(), TableError> {
        let reading = self.store.division_of(product_id).await?;
        let (division, stock) = (&reading.division, reading.division.total());
        let is_low = stock.available <= self.least_of(division);
        if !reading.is_settled || !division.layout.was_divided() || is_low == division.is_low {
            return Ok(());
        }
        self.store.note_level(&stock, is_low, self.clock.now()).await
    }
}
