//! Stock in DynamoDB: the only file that knows keys and conditions.
//!
//! - `STOCK#<product>`: part 0 of a product's stock, `{product_id, available, on_hand, version, updated_at, traceparent}`, with what is
//!   settled for the product: `low_stock_threshold`; `shards` and `reach`, once it was divided; `revision`, which grows with every plan that
//!   was carried out; `is_low`, `crossings` and `low_available`, which say of a divided product what one figure says of others.
//! - `STOCK#<product>#<shard>`: a further part, `{product_id, shard, available, on_hand, version, updated_at, traceparent}`.
//! - `RESERVATION#<order>`: a [`Reservation`]; the stream publishes it. While it holds goods it stands in `check-index`, by when they have
//!   been held for too long.
//! - `MOVE#<movement>`: a [`Movement`], which is also the record that its request was carried out. It stands in `check-index` under its
//!   product, by when it was made, so that the ledger can be compared with it.
//! - `LEASE#check-reservations`: the lease of the sweep.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Value, json};
use shared::{
    clock::Timestamp,
    ids::{OrderId, PrefixedId, ProductId, shard_of},
    sweep::{Backlog, Lease},
    table::{AttributeValue, Expression, Item, Key, Outcome, Query, Table, TableError, TransactionOutcome, Write, from_item, to_item},
    telemetry::Trace,
};

use crate::{
    domain::{
        Stock, StockChange,
        movement::{MAX_ON_HAND, Movement, MovementId},
        parts::{Division, Layout, Part, Plan, Premise},
        reservation::{Change, Reservation, State},
    },
    error::InventoryError,
};

/// How long an order may hold goods without a question.
pub const HELD_TOO_LONG: Duration = Duration::from_secs(48 * 3600);

/// How often the parts of a product are read anew because goods were going from one to another.
const READS: u32 = 3;

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
        let kind = item["pk"].as_str().and_then(|pk| pk.split('#').next()).unwrap_or_default().to_owned();
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
    /// The product.
    pub product_id: ProductId,
    /// Which part.
    #[serde(default)]
    pub shard: u32,
    /// So many can be held for the next orders.
    pub available: i64,
    /// So many are there.
    pub on_hand: i64,
    /// Grows with every write.
    pub version: u64,
    /// When it was written last.
    pub updated_at: Timestamp,
    /// The trace that wrote it last; none: that was not noted yet.
    #[serde(default)]
    pub traceparent: Option<Trace>,
    #[serde(default)]
    shards: Option<u32>,
    #[serde(default)]
    reach: u32,
    #[serde(default)]
    revision: u64,
    /// So many of the product should be available at least; none: as many as of every product.
    #[serde(default)]
    pub low_stock_threshold: Option<i64>,
    #[serde(default)]
    is_low: bool,
    /// How often it has come to that there was little left in all parts together.
    #[serde(default)]
    pub crossings: u64,
    /// How many that were the last time.
    #[serde(default)]
    pub low_available: i64,
}

impl StockImage {
    /// How the product is divided. Part 0 alone knows.
    pub fn layout(&self) -> Layout {
        Layout { shards: self.shards.unwrap_or(Layout::WHOLE.shards), reach: self.reach }
    }

    fn part(&self) -> Part {
        Part { shard: self.shard, available: self.available, on_hand: self.on_hand }
    }

    /// The whole stock, of which these are the parts, this one among them.
    fn with(self, parts: Vec<Part>) -> Division {
        Division {
            product_id: self.product_id,
            layout: self.layout(),
            revision: self.revision,
            low_stock_threshold: self.low_stock_threshold,
            is_low: self.is_low,
            parts,
        }
    }
}

/// The stock of a product as it was read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The stock.
    pub division: Division,
    /// Whether all of it was read between the same two plans. If not, goods that went from one part to another meanwhile may have been seen
    /// twice or not at all.
    pub is_settled: bool,
}

/// What became of a change of a reservation.
#[derive(Debug)]
pub enum Saved {
    /// It is written.
    Written,
    /// Another version of the reservation stands there.
    VersionConflict(Option<Box<Reservation>>),
    /// There is not enough in these parts.
    Short(Vec<Shortage>),
}

/// A part in which there is not enough.
#[derive(Debug)]
pub struct Shortage {
    /// The product.
    pub product_id: ProductId,
    /// What stands there; none: nothing, or DynamoDB does not say.
    pub current: Option<StockImage>,
}

/// What became of a movement.
#[derive(Debug)]
pub enum Moved {
    /// The goods have moved.
    Now,
    /// The request was carried out before.
    Before(Box<Movement>),
    /// The stock is not as the plan took it to be.
    VersionConflict,
}

impl Store {
    /// All of the stock of a product. Where it was never divided, that is one call.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn division_of(&self, product_id: ProductId) -> Result<Reading, TableError> {
        let Some(mut first) = self.part(product_id, 0).await? else {
            return Ok(Reading { division: Division::none(product_id), is_settled: true });
        };
        if !first.layout().was_divided() {
            let parts = vec![first.part()];
            return Ok(Reading { division: first.with(parts), is_settled: true });
        }
        let mut reading = None;
        for _ in 0..READS {
            let keys = first.layout().parts().map(|shard| (&self.stock, stock_key(product_id, shard))).collect();
            let items = self.stock.get_many(keys).await?;
            let found: Vec<StockImage> = items.into_iter().map(from_item).collect::<Result<_, _>>()?;
            let part =
                |shard| found.iter().find(|image| image.shard == shard).map_or(Part { shard, available: 0, on_hand: 0 }, StockImage::part);
            let parts = first.layout().parts().map(part).collect();
            let last = self.part(product_id, 0).await?.ok_or(TableError::Unreadable { expected: "stock of a product" })?;
            let is_settled = last.revision == first.revision;
            reading = Some(Reading { division: first.with(parts), is_settled });
            if is_settled {
                break;
            }
            first = last;
        }
        reading.ok_or(TableError::Unreadable { expected: "stock of a product" })
    }

    /// One part of the stock of a product, if anything has ever lain there.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn part(&self, product_id: ProductId, shard: u32) -> Result<Option<StockImage>, TableError> {
        self.stock.get(stock_key(product_id, shard)).await?.map(from_item).transpose()
    }

    /// Notes of a product that was divided whether there is little left of it, if nobody else has noted the same. It is counted how often it
    /// comes to that: the stream tells the operator of each time.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn note_level(&self, stock: &Stock, is_low: bool, at: Timestamp) -> Result<(), TableError> {
        let text = if is_low {
            "SET #is_low = :is_low, #updated_at = :updated_at, #low_available = :available ADD #version :one, #crossings :one"
        } else {
            "SET #is_low = :is_low, #updated_at = :updated_at ADD #version :one"
        };
        let change = Expression::new(text).value("is_low", is_low).value("updated_at", at).value("one", 1);
        let change = if is_low { change.value("available", stock.available) } else { change };
        let is_news = Expression::new(if is_low {
            "attribute_exists(#reach) AND (attribute_not_exists(#is_low) OR #is_low <> :the_same)"
        } else {
            "attribute_exists(#reach) AND attribute_exists(#is_low) AND #is_low <> :the_same"
        });
        self.stock.update(stock_key(stock.product_id, 0), change, is_news.value("the_same", is_low)).await.map(drop)
    }

    /// What is, was or could not be held for an order.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn reservation_of(&self, order_id: OrderId) -> Result<Option<Reservation>, TableError> {
        self.stock.get(Key::new(reservation_key_text(order_id))).await?.map(from_item).transpose()
    }

    /// The reservations that stand in the index as held for too long, the longest first.
    pub fn held_too_long(&self, now: Timestamp) -> Backlog {
        let due = Expression::new("#check_at <= :now").value("now", now);
        let query = Query::new(Some("check-index"), "check_shard", HELD, HELD_PAGE).sort(due);
        Backlog::new(&self.stock, &query, self.shards, "check_at")
    }

    /// The lease of the sweep that checks reservations.
    pub fn lease(&self) -> Lease {
        Lease::new(&self.stock, Key::new("LEASE#check-reservations"))
    }

    /// Writes a movement and what it does to the figures: both or neither.
    ///
    /// # Errors
    /// When there are not enough to take away or too many would come in, when another request has the movement's id, or when the table
    /// fails.
    pub async fn move_stock(&self, movement: &Movement, plan: &Plan) -> Result<Moved, InventoryError> {
        let movement_put = self.stock.transact_put(movement_item(movement), Expression::not_exists());
        let (at, trace) = (movement.created_at, movement.traceparent.as_ref());
        let figures = plan.changes.iter().map(|change| {
            let plan = Some(plan).filter(|_| change.shard == 0);
            self.changing(change, at, trace, plan, possible(change, plan))
        });
        let conflicts = match self.stock.transact([movement_put].into_iter().chain(figures).collect()).await? {
            TransactionOutcome::Written => return Ok(Moved::Now),
            TransactionOutcome::Cancelled(conflicts) => conflicts,
        };
        let mut items = conflicts.into_iter().map(|conflict| conflict.and_then(|conflict| conflict.item));
        let (before, figures) = (items.next().flatten(), items.next().flatten());
        // The movement comes first: its own repetition may find too few left. Where DynamoDB says only that there are too few, a copy of
        // this request may have taken them a moment ago.
        if let Some(before) = self.same_request(movement, before).await? {
            return Ok(Moved::Before(Box::new(before)));
        }
        let Premise::NeverDivided = plan.premise else { return Ok(Moved::VersionConflict) };
        let figures: Option<StockImage> = match figures {
            Some(item) => Some(from_item(item)?),
            None => self.part(movement.product_id, 0).await?,
        };
        let delta: i64 = plan.changes.iter().map(|change| change.on_hand).sum();
        match figures {
            Some(figures) if figures.layout().was_divided() => Ok(Moved::VersionConflict),
            _ if delta > 0 => Err(InventoryError::AboveLimit),
            figures => Err(InventoryError::BelowReserved { available: figures.map_or(0, |figures| figures.available) }),
        }
    }

    /// What the same request has moved before, if it has. `current` is the movement that stands under its id, if that is known.
    ///
    /// # Errors
    /// When another request has the id, or the table fails.
    pub async fn same_request(&self, movement: &Movement, current: Option<Item>) -> Result<Option<Movement>, InventoryError> {
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
    pub async fn save(&self, change: &Change) -> Result<Saved, TableError> {
        let (next, key) = (&change.next, reservation_key_text(change.next.order_id));
        if change.stock.is_empty() {
            let outcome = match change.seen {
                None => self.stock.put(self.reservation_item(key, next), Expression::not_exists()).await?,
                Some(seen) => self.stock.update(Key::new(key), progress(next), Expression::version(seen)).await?,
            };
            return match outcome {
                Outcome::Written => Ok(Saved::Written),
                Outcome::ConditionFailed(current) => version_conflict(current),
            };
        }
        let reservation = match change.seen {
            None => self.stock.transact_put(self.reservation_item(key, next), Expression::not_exists()),
            Some(seen) => self.stock.transact_update(Key::new(key), progress(next), Expression::version(seen)),
        };
        let (at, trace) = (next.updated_at, Some(&next.traceparent));
        let figures = change.stock.iter().map(|figures| self.changing(figures, at, trace, None, enough(figures)));
        let conflicts = match self.stock.transact([reservation].into_iter().chain(figures).collect()).await? {
            TransactionOutcome::Written => return Ok(Saved::Written),
            TransactionOutcome::Cancelled(conflicts) => conflicts,
        };
        let mut conflicts = conflicts.into_iter();
        // The reservation comes first: where it stands in the way, the figures are its own doing.
        if let Some(conflict) = conflicts.next().flatten() {
            return version_conflict(conflict.item);
        }
        let short = change.stock.iter().zip(conflicts).filter_map(|(figures, conflict)| Some((figures.product_id, conflict?)));
        let short = short.map(|(product_id, conflict)| Ok(Shortage { product_id, current: conflict.item.map(from_item).transpose()? }));
        let short: Vec<Shortage> = short.collect::<Result<_, TableError>>()?;
        Ok(if short.is_empty() { Saved::VersionConflict(None) } else { Saved::Short(short) })
    }

    /// Adds to the figures of a part, and takes from them, if `allowed`. `plan`: what it settles for the product is written too.
    fn changing(&self, change: &StockChange, at: Timestamp, trace: Option<&Trace>, plan: Option<&Plan>, allowed: Expression) -> Write {
        let revised = plan.filter(|plan| plan.premise != Premise::NeverDivided);
        let mut text = "ADD #available :available, #on_hand :on_hand, #version :one".to_owned();
        if revised.is_some() {
            text.push_str(", #revision :one");
        }
        text.push_str(" SET #product_id = :product_id, #updated_at = :updated_at");
        let layout = revised.and_then(|plan| plan.layout);
        let settled = [
            ("traceparent", trace.map(|trace| json!(trace))),
            ("shard", (change.shard > 0).then(|| json!(change.shard))),
            ("shards", layout.map(|layout| json!(layout.shards))),
            ("reach", layout.map(|layout| json!(layout.reach))),
            ("low_stock_threshold", revised.and_then(|plan| plan.low_stock_threshold).map(Value::from)),
            ("is_low", revised.and_then(|plan| plan.is_low).map(Value::from)),
        ];
        let settled: Vec<(&str, Value)> = settled.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        for (name, _) in &settled {
            text.push_str(&format!(", #{name} = :{name}"));
        }
        let figures = Expression::new(text)
            .value("available", change.available)
            .value("on_hand", change.on_hand)
            .value("one", 1)
            .value("product_id", change.product_id)
            .value("updated_at", at);
        let figures = settled.into_iter().fold(figures, |figures, (name, value)| figures.value(name, value));
        self.stock.transact_update(stock_key(change.product_id, change.shard), figures, allowed)
    }

    /// A reservation as it is put: what holds goods stands in the index of what is looked at when it does so for too long.
    fn reservation_item(&self, key: String, reservation: &Reservation) -> Item {
        let mut item = keyed(key, reservation);
        if reservation.state == State::Held {
            let shard = shard_of(&reservation.order_id.to_string(), self.shards);
            item.insert("check_shard".to_owned(), AttributeValue::S(format!("{HELD}#{shard}")));
            item.insert("check_at".to_owned(), AttributeValue::S(reservation.created_at.plus(HELD_TOO_LONG).to_string()));
        }
        item
    }
}

/// A movement as it is put: in the index under its product.
fn movement_item(movement: &Movement) -> Item {
    let mut item = keyed(movement_key_text(movement.movement_id), movement);
    item.insert("check_shard".to_owned(), AttributeValue::S(format!("moved#{}", movement.product_id)));
    item.insert("check_at".to_owned(), AttributeValue::S(format!("{}#{}", movement.created_at, movement.movement_id)));
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
pub fn held_order(found: &Item) -> Result<OrderId, TableError> {
    let key = found.get("pk").and_then(|pk| pk.as_s().ok());
    let order_id = key.and_then(|key| key.strip_prefix("RESERVATION#")).and_then(OrderId::parse);
    order_id.ok_or(TableError::Unreadable { expected: "key of a reservation" })
}

/// That the figures exist and do not fall below zero; and that the product was never divided, where the change takes that for granted.
/// (DynamoDB cannot calculate in a condition.)
fn enough(change: &StockChange) -> Expression {
    let text = "#available >= :available_needed AND #on_hand >= :on_hand_needed";
    let text = if change.only_undivided { format!("{text} AND {NEVER_DIVIDED}") } else { text.to_owned() };
    Expression::new(text).value("available_needed", -change.available.min(0)).value("on_hand_needed", -change.on_hand.min(0))
}

/// That a movement can be made here: goods that come in make the item where there is none, and goods that go need to be there. `plan`: and
/// that the product is as the plan took it to be.
fn possible(change: &StockChange, plan: Option<&Plan>) -> Expression {
    let figures = if change.on_hand < 0 {
        "#available >= :needed AND #on_hand >= :needed"
    } else {
        "(attribute_not_exists(#on_hand) OR #on_hand <= :needed)"
    };
    let needed = if change.on_hand < 0 { -change.on_hand } else { MAX_ON_HAND - change.on_hand };
    let condition = |premise: &str| match premise {
        "" => Expression::new(figures).value("needed", needed),
        premise => Expression::new(format!("{figures} AND {premise}")).value("needed", needed),
    };
    match plan.map(|plan| plan.premise) {
        None => condition(""),
        Some(Premise::NeverDivided) => condition(NEVER_DIVIDED),
        Some(Premise::Revision(0)) => condition("attribute_not_exists(#revision)"),
        Some(Premise::Revision(seen)) => condition("#revision = :seen_revision").value("seen_revision", seen),
    }
}

const NEVER_DIVIDED: &str = "attribute_not_exists(#reach)";

/// What changes in a reservation that stands already. The rest is left as it is, with whatever a later release has added to it.
fn progress(next: &Reservation) -> Expression {
    let text = "SET #state = :state, #version = :version, #answered_drive = :answered_drive, #updated_at = :updated_at, \
                #traceparent = :traceparent";
    // Only what holds goods is looked at when it does so for too long.
    let text = if next.state == State::Held { text.to_owned() } else { format!("{text} REMOVE #check_shard, #check_at") };
    Expression::new(text)
        .value("state", &next.state)
        .value("version", next.version)
        .value("answered_drive", next.answered_drive)
        .value("updated_at", next.updated_at)
        .value("traceparent", &next.traceparent)
}

fn version_conflict(current: Option<Item>) -> Result<Saved, TableError> {
    Ok(Saved::VersionConflict(current.map(from_item).transpose()?.map(Box::new)))
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
