//! Stock in DynamoDB: the only file that knows keys and conditions.
//!
//! - `STOCK#<product>`: `{product_id, available, on_hand, version, updated_at}`. Further parts of the stock of a product that sells fast
//!   would stand under `STOCK#<product>#<shard>`.
//! - `RESERVATION#<order>`: a [`Reservation`]; the stream publishes it.
//! - `MOVE#<movement>`: a [`Movement`], which is also the record that its request was carried out.

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId},
    table::{Expression, Item, Key, Outcome, Table, TableError, Transacted, Write, from_item, to_item},
};

use crate::{
    domain::{
        Stock, StockChange,
        movement::{MAX_ON_HAND, Movement, MovementId},
        reservation::{Change, Reservation},
    },
    error::InventoryError,
};

/// The table of this service.
#[derive(Clone, Debug)]
pub struct Store {
    /// `STOCK#…`, `RESERVATION#…` and `MOVE#…`.
    pub stock: Table,
}

/// What became of a change of a reservation.
#[derive(Debug)]
pub enum Saved {
    /// It is written.
    Written,
    /// Another version of the reservation stands there.
    Overtaken(Option<Box<Reservation>>),
    /// There is not enough of this product; the first one, if of several.
    Short(ProductId),
}

/// What became of a movement.
#[derive(Debug)]
pub enum Moved {
    /// The goods have moved.
    Now,
    /// The request was carried out before.
    Before(Box<Movement>),
}

impl Store {
    /// How many there are of a product.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn stock_of(&self, product_id: ProductId) -> Result<Stock, TableError> {
        let stored = self.stock.get(stock_key(product_id, 0)).await?;
        stored.map_or(Ok(Stock::none(product_id)), from_item)
    }

    /// What is, was or could not be held for an order.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn reservation_of(&self, order_id: OrderId) -> Result<Option<Reservation>, TableError> {
        self.stock.get(Key::new(reservation_key_text(order_id))).await?.map(from_item).transpose()
    }

    /// Writes a movement and what it does to the figures: both or neither.
    ///
    /// # Errors
    /// When there are not enough to take away or too many would come in, when another request has the movement's id, or when the table
    /// fails.
    pub async fn move_stock(&self, movement: &Movement) -> Result<Moved, InventoryError> {
        let change = movement.change();
        let movement_put = self.stock.putting(keyed(movement_key_text(movement.movement_id), movement), Expression::absent());
        // Goods that come in make the item where there is none; goods that go need to be there.
        let allowed = match change.on_hand {
            coming @ 0.. => Expression::new("attribute_not_exists(#on_hand) OR #on_hand <= :room").value("room", MAX_ON_HAND - coming),
            _ => enough(&change),
        };
        let figures = self.changing(&change, movement.created_at, allowed);
        let conflicts = match self.stock.transact(vec![movement_put, figures]).await? {
            Transacted::Written => return Ok(Moved::Now),
            Transacted::Refused(conflicts) => conflicts,
        };
        let mut items = conflicts.into_iter().map(|conflict| conflict.and_then(|conflict| conflict.item));
        let (before, figures) = (items.next().flatten(), items.next().flatten());
        // The movement comes first: its own repetition may find too few left. Where DynamoDB says only that there are too few, a copy of
        // this request may have taken them a moment ago.
        let before = match before {
            Some(item) => Some(item),
            None => self.stock.get(Key::new(movement_key_text(movement.movement_id))).await?,
        };
        match before.map(from_item::<Movement>).transpose()? {
            Some(before) if before.fingerprint == movement.fingerprint => Ok(Moved::Before(Box::new(before))),
            Some(_) => Err(InventoryError::KeyReused),
            None if change.on_hand > 0 => Err(InventoryError::AboveLimit),
            None => {
                let figures = figures.map_or(Ok(Stock::none(movement.product_id)), from_item)?;
                Err(InventoryError::BelowReserved { available: figures.available })
            }
        }
    }

    /// Writes a reservation and what it does to the figures: all or nothing.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn save(&self, change: &Change) -> Result<Saved, TableError> {
        let (next, key) = (&change.next, reservation_key_text(change.next.order_id));
        if change.stock.is_empty() {
            let outcome = match change.seen {
                None => self.stock.put(keyed(key, next), Expression::absent()).await?,
                Some(seen) => self.stock.update(Key::new(key), progress(next), Expression::version(seen)).await?,
            };
            return match outcome {
                Outcome::Written => Ok(Saved::Written),
                Outcome::Refused(standing) => overtaken(standing),
            };
        }
        let reservation = match change.seen {
            None => self.stock.putting(keyed(key, next), Expression::absent()),
            Some(seen) => self.stock.updating(Key::new(key), progress(next), Expression::version(seen)),
        };
        let figures = change.stock.iter().map(|figures| self.changing(figures, next.updated_at, enough(figures)));
        let conflicts = match self.stock.transact([reservation].into_iter().chain(figures).collect()).await? {
            Transacted::Written => return Ok(Saved::Written),
            Transacted::Refused(conflicts) => conflicts,
        };
        let mut conflicts = conflicts.into_iter();
        // The reservation comes first: where it stands in the way, the figures are its own doing.
        if let Some(conflict) = conflicts.next().flatten() {
            return overtaken(conflict.item);
        }
        let short = change.stock.iter().zip(conflicts).find_map(|(figures, conflict)| conflict.map(|_| figures.product_id));
        Ok(short.map_or(Saved::Overtaken(None), Saved::Short))
    }

    /// Adds to the figures of a product, and takes from them, if `allowed`.
    fn changing(&self, change: &StockChange, at: Timestamp, allowed: Expression) -> Write {
        let text = "ADD #available :available, #on_hand :on_hand, #version :one SET #product_id = :product_id, #updated_at = :updated_at";
        let figures = Expression::new(text)
            .value("available", change.available)
            .value("on_hand", change.on_hand)
            .value("one", 1)
            .value("product_id", change.product_id)
            .value("updated_at", at);
        self.stock.updating(stock_key(change.product_id, change.shard), figures, allowed)
    }
}

/// That the figures exist and do not fall below zero. (DynamoDB cannot calculate in a condition.)
fn enough(change: &StockChange) -> Expression {
    Expression::new("#available >= :available_needed AND #on_hand >= :on_hand_needed")
        .value("available_needed", -change.available.min(0))
        .value("on_hand_needed", -change.on_hand.min(0))
}

/// What changes in a reservation that stands already. The rest is left as it is, with whatever a later release has added to it.
fn progress(next: &Reservation) -> Expression {
    let text = "SET #state = :state, #version = :version, #answered_drive = :answered_drive, #updated_at = :updated_at, \
                #traceparent = :traceparent";
    Expression::new(text)
        .value("state", &next.state)
        .value("version", next.version)
        .value("answered_drive", next.answered_drive)
        .value("updated_at", next.updated_at)
        .value("traceparent", &next.traceparent)
}

fn overtaken(standing: Option<Item>) -> Result<Saved, TableError> {
    Ok(Saved::Overtaken(standing.map(from_item).transpose()?.map(Box::new)))
}

fn keyed<T: Serialize>(pk: String, value: &T) -> Item {
    let mut item = to_item(value);
    item.insert("pk".to_owned(), shared::table::AttributeValue::S(pk));
    item
}

fn stock_key(product_id: ProductId, shard: u32) -> Key {
    match shard {
        0 => Key::new(format!("STOCK#{product_id}")),
        further => Key::new(format!("STOCK#{product_id}#{further}")),
    }
}

fn reservation_key_text(order_id: OrderId) -> String {
    format!("RESERVATION#{order_id}")
}

fn movement_key_text(movement_id: MovementId) -> String {
    format!("MOVE#{movement_id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reservation::{State, tests::held};

    #[test]
    fn a_reservation_is_read_as_it_was_stored() {
        let rejected = Reservation { state: State::Rejected, rejected_product: Some(held().lines[0].product_id), ..held() };
        for reservation in [held(), rejected, Reservation { state: State::Unknown("parcelled".to_owned()), ..held() }] {
            let item = keyed(reservation_key_text(reservation.order_id), &reservation);
            assert_eq!(from_item::<Reservation>(item).ok(), Some(reservation));
        }
    }

    #[test]
    fn the_first_part_of_a_stock_stands_under_the_product_alone() {
        let product_id = held().lines[0].product_id;
        assert_eq!(stock_key(product_id, 0), Key::new(format!("STOCK#{product_id}")));
        assert_eq!(stock_key(product_id, 3), Key::new(format!("STOCK#{product_id}#3")));
    }
}
