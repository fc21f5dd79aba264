//! Writes movements with their stock changes, and finds movements that were applied before.

use shared::table::{AttributeValue, Expression, Item, Key, TransactionOutcome, from_item};

use super::{NEVER_SHARDED, StockImage, Store, keyed, movement_key_text};
use crate::{
    domain::{
        StockChange,
        movement::{MAX_ON_HAND, Movement},
        shards::{Allocation, Precondition},
    },
    error::InventoryError,
};

#[derive(Debug)]
pub enum MovementOutcome {
    Applied,
    /// The same request was applied before.
    Replayed(Box<Movement>),
    /// The stock has changed since the movement was planned.
    VersionConflict,
}

impl Store {
    /// Writes a movement and its stock changes in one transaction.
    ///
    /// # Errors
    /// When the movement exceeds the available stock or the stock limit, or when another request
    /// has used its idempotency key.
    pub async fn apply_movement(
        &self,
        movement: &Movement,
        allocation: &Allocation,
    ) -> Result<MovementOutcome, InventoryError> {
        let movement_put =
            self.stock.transact_put(movement_item(movement), Expression::not_exists());
        let (at, trace) = (movement.created_at, movement.traceparent.as_ref());
        let figures = allocation.changes.iter().map(|change| {
            let allocation = Some(allocation).filter(|_| change.shard == 0);
            self.stock_write(change, at, trace, allocation, movement_condition(change, allocation))
        });
        let conflicts =
            match self.stock.transact([movement_put].into_iter().chain(figures).collect()).await? {
                TransactionOutcome::Written => return Ok(MovementOutcome::Applied),
                TransactionOutcome::Cancelled(conflicts) => conflicts,
            };
        let mut items =
            conflicts.into_iter().map(|conflict| conflict.and_then(|conflict| conflict.item));
        let (before, figures) = (items.next().flatten(), items.next().flatten());
        // A repeated request is detected first, because it may find too little stock left. If
        // DynamoDB reports only a stock condition, a copy of this request may just have been
        // applied.
        if let Some(before) = self.find_replay(movement, before).await? {
            return Ok(MovementOutcome::Replayed(Box::new(before)));
        }
        let Precondition::NeverSharded = allocation.precondition else {
            return Ok(MovementOutcome::VersionConflict);
        };
        let figures: Option<StockImage> = match figures {
            Some(item) => Some(from_item(item)?),
            None => self.find_shard(movement.product_id, 0).await?,
        };
        let delta: i64 = allocation.changes.iter().map(|change| change.on_hand).sum();
        match figures {
            Some(figures) if figures.layout().was_sharded() => Ok(MovementOutcome::VersionConflict),
            _ if delta > 0 => Err(InventoryError::StockLimitExceeded),
            figures => Err(InventoryError::InsufficientStock {
                available: figures.map_or(0, |figures| figures.available),
            }),
        }
    }

    /// Returns the movement if the same request was applied before. `current` is the movement
    /// stored under its id, if known.
    ///
    /// # Errors
    /// When another request has used the idempotency key.
    pub async fn find_replay(
        &self,
        movement: &Movement,
        current: Option<Item>,
    ) -> Result<Option<Movement>, InventoryError> {
        let current = match current {
            Some(item) => Some(item),
            None => self.stock.get(Key::new(movement_key_text(movement.movement_id))).await?,
        };
        match current.map(from_item::<Movement>).transpose()? {
            Some(before) if before.fingerprint == movement.fingerprint => Ok(Some(before)),
            Some(_) => Err(InventoryError::KeyReused),
            None => Ok(None),
        }
    }
}

/// A movement as stored. It is in `check-index` under its product.
fn movement_item(movement: &Movement) -> Item {
    let mut item = keyed(movement_key_text(movement.movement_id), movement);
    item.insert(
        "check_shard".to_owned(),
        AttributeValue::S(format!("moved#{}", movement.product_id)),
    );
    item.insert(
        "next_check_at".to_owned(),
        AttributeValue::S(format!("{}#{}", movement.created_at, movement.movement_id)),
    );
    item
}

/// The condition of a movement: removed stock must be available, added stock must not exceed the
/// limit. For shard 0, `allocation` adds the precondition of the plan.
fn movement_condition(change: &StockChange, allocation: Option<&Allocation>) -> Expression {
    let figures = if change.on_hand < 0 {
        "#available >= :needed AND #on_hand >= :needed"
    } else {
        "(attribute_not_exists(#on_hand) OR #on_hand <= :needed)"
    };
    let needed = if change.on_hand < 0 { -change.on_hand } else { MAX_ON_HAND - change.on_hand };
    let condition = |precondition: &str| match precondition {
        "" => Expression::new(figures).value("needed", needed),
        precondition => {
            Expression::new(format!("{figures} AND {precondition}")).value("needed", needed)
        }
    };
    match allocation.map(|allocation| allocation.precondition) {
        None => condition(""),
        Some(Precondition::NeverSharded) => condition(NEVER_SHARDED),
        Some(Precondition::Revision(0)) => condition("attribute_not_exists(#revision)"),
        Some(Precondition::Revision(seen)) => {
            condition("#revision = :seen_revision").value("seen_revision", seen)
        }
    }
}
