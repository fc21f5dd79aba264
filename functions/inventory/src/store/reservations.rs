//! Reads reservations, and writes them with their stock changes.

use std::time::Duration;

use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId, shard_of},
    sweep::Backlog,
    table::{
        AttributeValue, Expression, Item, Key, Outcome, Query, TableError, TransactionOutcome,
        from_item, to_item,
    },
};

use super::{
    NEVER_SHARDED, StockImage, Store,
    item::{reservation_key_text, reserving_order},
};
use crate::domain::{
    StockChange,
    reservation::{Reservation, ReservationChange, State},
};

/// Time after which a reservation counts as held too long.
pub const HELD_TOO_LONG: Duration = Duration::from_secs(48 * 3600);

/// Partition of `check-index` with held reservations, before its shard.
const HELD: &str = "held";

/// Reservations read from one shard per page.
const HELD_PAGE: u32 = 100;

#[derive(Debug)]
pub enum SaveOutcome {
    Written,
    /// The stored reservation has another version.
    VersionConflict(Option<Box<Reservation>>),
    /// These shards have too little stock.
    InsufficientStock(Vec<Shortage>),
}

/// A shard with too little stock.
#[derive(Debug)]
pub struct Shortage {
    pub product_id: ProductId,
    /// The stored item; `None` if it is absent or DynamoDB does not return it.
    pub current: Option<StockImage>,
}

impl Store {
    pub async fn reservation_of(
        &self,
        order_id: OrderId,
    ) -> Result<Option<Reservation>, TableError> {
        self.stock.get(Key::new(reservation_key_text(order_id))).await?.map(from_item).transpose()
    }

    /// Reservations that the index lists as held too long, the longest held first.
    pub fn held_too_long(&self, now: Timestamp) -> Backlog {
        let due = Expression::new("#next_check_at <= :now").value("now", now);
        let query = Query::new(Some("check-index"), "check_shard", HELD, HELD_PAGE).sort(due);
        Backlog::new(&self.stock, &query, self.shards, "next_check_at")
    }

    /// Writes a reservation and its stock changes in one transaction.
    pub async fn save(&self, change: &ReservationChange) -> Result<SaveOutcome, TableError> {
        let (next, key) = (&change.next, reservation_key_text(change.next.order_id));
        if change.stock.is_empty() {
            let outcome = match change.expected_version {
                None => {
                    self.stock.put(self.reservation_item(next), Expression::not_exists()).await?
                }
                Some(seen) => {
                    self.stock
                        .update(Key::new(key), reservation_update(next), Expression::version(seen))
                        .await?
                }
            };
            return match outcome {
                Outcome::Written => Ok(SaveOutcome::Written),
                Outcome::ConditionFailed(current) => version_conflict(current),
            };
        }
        let reservation = match change.expected_version {
            None => self.stock.transact_put(self.reservation_item(next), Expression::not_exists()),
            Some(seen) => self.stock.transact_update(
                Key::new(key),
                reservation_update(next),
                Expression::version(seen),
            ),
        };
        let (at, trace) = (next.updated_at, Some(&next.traceparent));
        let figures = change.stock.iter().map(|figures| {
            self.stock_write(figures, at, trace, None, availability_condition(figures))
        });
        let conflicts =
            match self.stock.transact([reservation].into_iter().chain(figures).collect()).await? {
                TransactionOutcome::Written => return Ok(SaveOutcome::Written),
                TransactionOutcome::Cancelled(conflicts) => conflicts,
            };
        let mut conflicts = conflicts.into_iter();
        // A version conflict is reported first, because it can be why the stock conditions failed.
        if let Some(conflict) = conflicts.next().flatten() {
            return version_conflict(conflict.item);
        }
        let shortages = change
            .stock
            .iter()
            .zip(conflicts)
            .filter_map(|(figures, conflict)| Some((figures.product_id, conflict?)));
        let shortages = shortages.map(|(product_id, conflict)| {
            Ok(Shortage { product_id, current: conflict.item.map(from_item).transpose()? })
        });
        let shortages: Vec<Shortage> = shortages.collect::<Result<_, TableError>>()?;
        Ok(if shortages.is_empty() {
            SaveOutcome::VersionConflict(None)
        } else {
            SaveOutcome::InsufficientStock(shortages)
        })
    }

    /// A reservation as stored. While it holds stock it is in `check-index`.
    fn reservation_item(&self, reservation: &Reservation) -> Item {
        let mut item = to_item(reservation);
        if reservation.state == State::Held {
            let shard = shard_of(&reservation.order_id.to_string(), self.shards);
            item.insert("check_shard".to_owned(), AttributeValue::S(format!("{HELD}#{shard}")));
            item.insert(
                "next_check_at".to_owned(),
                AttributeValue::S(reservation.created_at.plus(HELD_TOO_LONG).to_string()),
            );
        }
        item
    }
}

/// Parses the key of a reservation found in `check-index`.
///
/// # Errors
/// When the key does not belong to a reservation.
pub fn held_order_id(found: &Item) -> Result<OrderId, TableError> {
    let key = found.get("pk").and_then(|pk| pk.as_s().ok());
    key.and_then(|key| reserving_order(key))
        .ok_or(TableError::Unreadable { expected: "key of a reservation" })
}

/// Requires that the quantities exist and stay at zero or above. If the change requires an
/// unsharded product, the condition includes that. The required quantities are computed here,
/// because a DynamoDB condition cannot calculate.
fn availability_condition(change: &StockChange) -> Expression {
    let text = "#available >= :available_needed AND #on_hand >= :on_hand_needed";
    let text = if change.requires_unsharded {
        format!("{text} AND {NEVER_SHARDED}")
    } else {
        text.to_owned()
    };
    Expression::new(text)
        .value("available_needed", -change.available.min(0))
        .value("on_hand_needed", -change.on_hand.min(0))
}

/// The changed attributes of an existing reservation. All others are kept, including those that a
/// newer release has added.
fn reservation_update(next: &Reservation) -> Expression {
    let text = "SET #state = :state, #version = :version, #answered_attempt = :answered_attempt, #updated_at = :updated_at, \
                #traceparent = :traceparent";
    // Only held reservations are in the index.
    let text = if next.state == State::Held {
        text.to_owned()
    } else {
        format!("{text} REMOVE #check_shard, #next_check_at")
    };
    Expression::new(text)
        .value("state", &next.state)
        .value("version", next.version)
        .value("answered_attempt", next.answered_attempt)
        .value("updated_at", next.updated_at)
        .value("traceparent", &next.traceparent)
}

fn version_conflict(current: Option<Item>) -> Result<SaveOutcome, TableError> {
    Ok(SaveOutcome::VersionConflict(current.map(from_item).transpose()?.map(Box::new)))
}
