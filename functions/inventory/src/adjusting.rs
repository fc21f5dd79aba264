//! Making a movement by hand: planned anew until the stock is as the plan took it to be.

use shared::{http, ids::ProductId};

use crate::{
    Inventory,
    domain::{
        movement::{Delta, Movement},
        parts::{Impossible, Plan},
    },
    error::InventoryError,
    store::Moved,
};

/// How often a movement is planned.
const TRIES: u32 = 10;
/// How often it is tried to spread all that is available evenly. Where orders are faster each time, as little moves as possible.
const LEVELLED: u32 = 5;

/// What became of a movement.
pub(crate) enum Made {
    /// It is made now.
    Now,
    /// The request was carried out before.
    Before(Box<Movement>),
}

impl Inventory {
    /// Makes a movement, or finds that it was made before. Nearly every product lies in one place, and nothing is settled for it: then
    /// nobody has to look first.
    pub(crate) async fn adjust(&self, movement: &Movement) -> Result<Made, InventoryError> {
        let product_id = movement.product_id;
        let delta = movement.delta.map(Delta::count).filter(|_| !movement.settles() && self.known(product_id).is_none());
        let mut plan = match delta {
            Some(delta) => Plan::unseen(product_id, delta),
            None => match self.plan(movement, true).await? {
                Planned::Plan(plan) => plan,
                Planned::Before(before) => return Ok(Made::Before(before)),
            },
        };
        for attempt in 0..TRIES {
            match self.store.move_stock(movement, &plan).await? {
                Moved::Now => {
                    self.look_after(product_id, &plan).await;
                    return Ok(Made::Now);
                }
                Moved::Before(before) => return Ok(Made::Before(before)),
                Moved::VersionConflict => match self.plan(movement, attempt < LEVELLED).await? {
                    Planned::Plan(next) => plan = next,
                    Planned::Before(before) => return Ok(Made::Before(before)),
                },
            }
        }
        Err(InventoryError::Contended)
    }

    /// What the movement does to the stock as it is now. Where that is impossible, perhaps because it was done before.
    async fn plan(&self, movement: &Movement, levelled: bool) -> Result<Planned, InventoryError> {
        let division = self.store.division_of(movement.product_id).await?.division;
        self.learn(movement.product_id, division.layout, division.low_stock_threshold);
        let impossible = match division.plan(movement, self.low_stock_threshold, levelled) {
            Ok(plan) => return Ok(Planned::Plan(plan)),
            Err(impossible) => impossible,
        };
        if let Some(before) = self.store.same_request(movement, None).await? {
            return Ok(Planned::Before(Box::new(before)));
        }
        Err(match impossible {
            Impossible::Only(available) => InventoryError::BelowReserved { available },
            Impossible::TooMany => InventoryError::AboveLimit,
        })
    }

    /// Remembers how the product is divided now, and looks whether there is little left of it. The movement is made already.
    async fn look_after(&self, product_id: ProductId, plan: &Plan) {
        if let Some(layout) = plan.layout {
            self.learn(product_id, layout, plan.low_stock_threshold);
        }
        let was_divided = plan.layout.is_some() || self.known(product_id).is_some();
        if was_divided && let Err(error) = self.note_level_of(product_id).await {
            http::warn(&error, "nobody has looked whether there is little left: the next order does");
        }
    }
}

/// What was found when a movement was planned.
enum Planned {
    /// This is to be done.
    Plan(Plan),
    /// The request was carried out before.
    Before(Box<Movement>),
}
