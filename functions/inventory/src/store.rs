//! Stock in DynamoDB: the only file that knows keys and conditions.
//!
//! - `STOCK#<product>`: part 0 of a product's stock, `{product_id, available, on_hand, version,
//!   updated_at, traceparent}`, with what is settled for the product: `low_stock_threshold`;
//!   `shard_count` and `last_shard`, once it was divided; `revision`, which grows with every plan
//!   that was carried out; `is_low_stock`, `low_stock_count` and `low_stock_available`, which say
//!   of a divided product what one figure says of others.
//! - `STOCK#<product>#<shard>`: a further part, `{product_id, shard, available, on_hand, version,
//!   updated_at, traceparent}`.
//! - `RESERVATION#<order>`: a [`Reservation`]; the stream publishes it. While it holds stock it is
//!   in `check-index`, by the time at which it is held too long.
//! - `MOVE#<movement>`: a [`Movement`], which is also the idempotency record of its request. It is
//!   in `check-index` under its product, by creation time, so that the ledger can be reconciled
//!   with it.
//! - `LEASE#check-reservations`: the lease of the sweep.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Value, json};
use shared::{
    clock::Timestamp,
    ids::{OrderId, PrefixedId, ProductId, shard_of},
    sweep::{Backlog, Lease},
    table::{
        AttributeValue, Expression, Item, Key, Outcome, Query, Table, TableError,
        TransactionOutcome, Write, from_item, to_item,
    },
    telemetry::Trace,
};

use crate::{
    domain::{
        Stock, StockChange,
        movement::{MAX_ON_HAND, Movement, MovementId},
        reservation::{Reservation, ReservationChange, State},
        shards::{Allocation, Precondition, ShardLayout, ShardStock, ShardedStock},
    },
    error::InventoryError,
};

/// How long an order may hold goods without a question.
pub const HELD_TOO_LONG: Duration = Duration::from_secs(48 * 3600);

/// Maximum reads of a product's shards while stock moves between them.
const MAX_SNAPSHOT_READS: u32 = 3;

/// The table of this service.
#[derive(Clone, Debug)]
pub struct Store {
    /// `STOCK#…`, `RESERVATION#…` and `MOVE#…`.
    pub stock: Table,
    /// Over how many partitions an index spreads a value that many items share.
    pub shards: u32,
}

/// An item of the table, as the stream shows it.
#[derive(Clone, Debug)]
pub enum Image {
    /// What is held for an order.
    Reservation(Reservation),
    /// What was moved by hand.
    Movement(Movement),
    /// A part of a product's stock.
    Stock(StockImage),
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let item = Value::deserialize(deserializer)?;
        let kind =
            item["pk"].as_str().and_then(|pk| pk.split('#').next()).unwrap_or_default().to_owned();
        let image = match kind.as_str() {
            "RESERVATION" => serde_json::from_value(item).map(Self::Reservation),
            "MOVE" => serde_json::from_value(item).map(Self::Movement),
            "STOCK" => serde_json::from_value(item).map(Self::Stock),
            _ => return Err(D::Error::custom("no item of this table has such a key")),
        };
        image.map_err(D::Error::custom)
    }
}

/// A part of a product's stock, as it is stored.
#[derive(Clone, Debug, Deserialize)]
pub struct StockImage {
    pub product_id: ProductId,
    /// Which part.
    #[serde(default)]
    pub shard: u32,
    /// The quantity that new orders can reserve.
    pub available: i64,
    /// The quantity in stock.
    pub on_hand: i64,
    /// Grows with every write.
    pub version: u64,
    /// When it was written last.
    pub updated_at: Timestamp,
    /// The trace that wrote it last; none: that was not noted yet.
    #[serde(default)]
    pub traceparent: Option<Trace>,
    #[serde(default)]
    shard_count: Option<u32>,
    #[serde(default)]
    last_shard: u32,
    #[serde(default)]
    revision: u64,
    /// The product's low-stock threshold; `None`: the default.
    #[serde(default)]
    pub low_stock_threshold: Option<i64>,
    #[serde(default)]
    is_low_stock: bool,
    /// How often it has come to that there was little left in all parts together.
    #[serde(default)]
    pub low_stock_count: u64,
    /// How many that were the last time.
    #[serde(default)]
    pub low_stock_available: i64,
}

impl StockImage {
    /// How the product is divided. Part 0 alone knows.
    pub fn layout(&self) -> ShardLayout {
        ShardLayout {
            shard_count: self.shard_count.unwrap_or(ShardLayout::UNSHARDED.shard_count),
            last_shard: self.last_shard,
        }
    }

    fn shard_stock(&self) -> ShardStock {
        ShardStock { shard: self.shard, available: self.available, on_hand: self.on_hand }
    }

    /// The whole stock, of which these are the parts, this one among them.
    fn into_sharded_stock(self, shards: Vec<ShardStock>) -> ShardedStock {
        ShardedStock {
            product_id: self.product_id,
            layout: self.layout(),
            revision: self.revision,
            low_stock_threshold: self.low_stock_threshold,
            is_low_stock: self.is_low_stock,
            shards,
        }
    }
}

/// The stock of a product as it was read.
#[derive(Clone, Debug)]
pub struct StockSnapshot {
    pub sharded_stock: ShardedStock,
    /// Whether all of it was read between the same two plans. If not, goods that went from one part
    /// to another meanwhile may have been seen twice or not at all.
    pub is_consistent: bool,
}

/// The outcome of changing a reservation.
#[derive(Debug)]
pub enum SaveOutcome {
    /// It is written.
    Written,
    /// The stored reservation has another version.
    VersionConflict(Option<Box<Reservation>>),
    /// There is not enough in these parts.
    InsufficientStock(Vec<Shortage>),
}

/// A part in which there is not enough.
#[derive(Debug)]
pub struct Shortage {
    pub product_id: ProductId,
    /// The stored item; `None` if it is absent or DynamoDB does not return it.
    pub current: Option<StockImage>,
}

/// The outcome of a movement.
#[derive(Debug)]
pub enum MovementOutcome {
    /// The goods have moved.
    Applied,
    /// The request was carried out before.
    Replayed(Box<Movement>),
    /// The stock is not as the plan took it to be.
    VersionConflict,
}

impl Store {
    /// All of the stock of a product. Where it was never divided, that is one call.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn stock_snapshot(&self, product_id: ProductId) -> Result<StockSnapshot, TableError> {
        let Some(mut first) = self.find_shard(product_id, 0).await? else {
            return Ok(StockSnapshot {
                sharded_stock: ShardedStock::empty(product_id),
                is_consistent: true,
            });
        };
        if !first.layout().was_sharded() {
            let shards = vec![first.shard_stock()];
            return Ok(StockSnapshot {
                sharded_stock: first.into_sharded_stock(shards),
                is_consistent: true,
            });
        }
        let mut snapshot = None;
        for _ in 0..MAX_SNAPSHOT_READS {
            let keys = first
                .layout()
                .all_shards()
                .map(|shard| (&self.stock, stock_key(product_id, shard)))
                .collect();
            let items = self.stock.get_many(keys).await?;
            let found: Vec<StockImage> =
                items.into_iter().map(from_item).collect::<Result<_, _>>()?;
            let shard_stock = |shard| {
                found
                    .iter()
                    .find(|image| image.shard == shard)
                    .map_or(ShardStock { shard, available: 0, on_hand: 0 }, StockImage::shard_stock)
            };
            let shards = first.layout().all_shards().map(shard_stock).collect();
            let last = self
                .find_shard(product_id, 0)
                .await?
                .ok_or(TableError::Unreadable { expected: "stock of a product" })?;
            let is_consistent = last.revision == first.revision;
            snapshot = Some(StockSnapshot {
                sharded_stock: first.into_sharded_stock(shards),
                is_consistent,
            });
            if is_consistent {
                break;
            }
            first = last;
        }
        snapshot.ok_or(TableError::Unreadable { expected: "stock of a product" })
    }

    /// One part of the stock of a product, if anything has ever lain there.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn find_shard(
        &self,
        product_id: ProductId,
        shard: u32,
    ) -> Result<Option<StockImage>, TableError> {
        self.stock.get(stock_key(product_id, shard)).await?.map(from_item).transpose()
    }

    /// Records whether a sharded product is low on stock, unless another call has recorded the
    /// same. Each fall to the threshold is counted: the stream notifies the operator of each one.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn set_low_stock(
        &self,
        stock: &Stock,
        is_low_stock: bool,
        at: Timestamp,
    ) -> Result<(), TableError> {
        let text = if is_low_stock {
            "SET #is_low_stock = :is_low_stock, #updated_at = :updated_at, #low_stock_available = :available ADD #version :one, #low_stock_count :one"
        } else {
            "SET #is_low_stock = :is_low_stock, #updated_at = :updated_at ADD #version :one"
        };
        let change = Expression::new(text)
            .value("is_low_stock", is_low_stock)
            .value("updated_at", at)
            .value("one", 1);
        let change = if is_low_stock { change.value("available", stock.available) } else { change };
        let has_changed = Expression::new(if is_low_stock {
            "attribute_exists(#last_shard) AND (attribute_not_exists(#is_low_stock) OR #is_low_stock <> :the_same)"
        } else {
            "attribute_exists(#last_shard) AND attribute_exists(#is_low_stock) AND #is_low_stock <> :the_same"
        });
        self.stock
            .update(
                stock_key(stock.product_id, 0),
                change,
                has_changed.value("the_same", is_low_stock),
            )
            .await
            .map(drop)
    }

    /// What is, was or could not be held for an order.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn reservation_of(
        &self,
        order_id: OrderId,
    ) -> Result<Option<Reservation>, TableError> {
        self.stock.get(Key::new(reservation_key_text(order_id))).await?.map(from_item).transpose()
    }

    /// The reservations that stand in the index as held for too long, the longest first.
    pub fn held_too_long(&self, now: Timestamp) -> Backlog {
        let due = Expression::new("#next_check_at <= :now").value("now", now);
        let query = Query::new(Some("check-index"), "check_shard", HELD, HELD_PAGE).sort(due);
        Backlog::new(&self.stock, &query, self.shards, "next_check_at")
    }

    /// The lease of the sweep that checks reservations.
    pub fn lease(&self) -> Lease {
        Lease::new(&self.stock, Key::new("LEASE#check-reservations"))
    }

    /// Writes a movement and what it does to the figures: both or neither.
    ///
    /// # Errors
    /// When there are not enough to take away or too many would come in, when another request has
    /// the movement's id, or when the table fails.
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
        // The movement comes first: its own repetition may find too few left. Where DynamoDB says
        // only that there are too few, a copy of this request may have taken them a moment ago.
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

    /// What the same request has moved before, if anything. `current` is the movement stored under
    /// its id, if known.
    ///
    /// # Errors
    /// When another request has the id, or the table fails.
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

    /// Writes a reservation and what it does to the figures: all or nothing.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn save(&self, change: &ReservationChange) -> Result<SaveOutcome, TableError> {
        let (next, key) = (&change.next, reservation_key_text(change.next.order_id));
        if change.stock.is_empty() {
            let outcome = match change.expected_version {
                None => {
                    self.stock
                        .put(self.reservation_item(key, next), Expression::not_exists())
                        .await?
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
            None => {
                self.stock.transact_put(self.reservation_item(key, next), Expression::not_exists())
            }
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
        // The reservation comes first: if its condition failed, the failed figures follow from
        // that.
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

    /// Adds to the figures of a part, and takes from them, if `allowed`. `allocation`: what it
    /// settles for the product is written too.
    fn stock_write(
        &self,
        change: &StockChange,
        at: Timestamp,
        trace: Option<&Trace>,
        allocation: Option<&Allocation>,
        allowed: Expression,
    ) -> Write {
        let revised =
            allocation.filter(|allocation| allocation.precondition != Precondition::NeverSharded);
        let mut text = "ADD #available :available, #on_hand :on_hand, #version :one".to_owned();
        if revised.is_some() {
            text.push_str(", #revision :one");
        }
        text.push_str(" SET #product_id = :product_id, #updated_at = :updated_at");
        let layout = revised.and_then(|allocation| allocation.layout);
        let optional = [
            ("traceparent", trace.map(|trace| json!(trace))),
            ("shard", (change.shard > 0).then(|| json!(change.shard))),
            ("shard_count", layout.map(|layout| json!(layout.shard_count))),
            ("last_shard", layout.map(|layout| json!(layout.last_shard))),
            (
                "low_stock_threshold",
                revised.and_then(|allocation| allocation.low_stock_threshold).map(Value::from),
            ),
            (
                "is_low_stock",
                revised.and_then(|allocation| allocation.is_low_stock).map(Value::from),
            ),
        ];
        let optional: Vec<(&str, Value)> =
            optional.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        for (name, _) in &optional {
            text.push_str(&format!(", #{name} = :{name}"));
        }
        let figures = Expression::new(text)
            .value("available", change.available)
            .value("on_hand", change.on_hand)
            .value("one", 1)
            .value("product_id", change.product_id)
            .value("updated_at", at);
        let figures =
            optional.into_iter().fold(figures, |figures, (name, value)| figures.value(name, value));
        self.stock.transact_update(stock_key(change.product_id, change.shard), figures, allowed)
    }

    /// A reservation as stored: one that holds stock is in the index of reservations that may be
    /// held too long.
    fn reservation_item(&self, key: String, reservation: &Reservation) -> Item {
        let mut item = keyed(key, reservation);
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

/// A movement as it is put: in the index under its product.
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

/// What `check-index` has reservations under that hold goods.
const HELD: &str = "held";

/// How many reservations are read of each shard at once.
const HELD_PAGE: u32 = 100;

/// The order whose reservation an item of `check-index` is.
///
/// # Errors
/// When its key is not that of a reservation.
pub fn held_order_id(found: &Item) -> Result<OrderId, TableError> {
    let key = found.get("pk").and_then(|pk| pk.as_s().ok());
    let order_id = key.and_then(|key| key.strip_prefix("RESERVATION#")).and_then(OrderId::parse);
    order_id.ok_or(TableError::Unreadable { expected: "key of a reservation" })
}

/// That the figures exist and do not fall below zero; and that the product was never divided, where
/// the change takes that for granted. (DynamoDB cannot calculate in a condition.)
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

/// The condition of a movement: added stock creates a missing item, removed stock must exist.
/// `allocation`: the product's layout is as planned.
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

const NEVER_SHARDED: &str = "attribute_not_exists(#last_shard)";

/// The changed attributes of an existing reservation. All others stay, including those of a later
/// release.
fn reservation_update(next: &Reservation) -> Expression {
    let text = "SET #state = :state, #version = :version, #answered_attempt = :answered_attempt, #updated_at = :updated_at, \
                #traceparent = :traceparent";
    // Only what holds goods is looked at when it does so for too long.
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

fn keyed<T: Serialize>(pk: String, value: &T) -> Item {
    let mut item = to_item(value);
    item.insert("pk".to_owned(), AttributeValue::S(pk));
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
mod tests;
