//! Orders and products in DynamoDB: only this module knows keys and attribute names.

mod item;
pub mod placing;

use serde::{Deserialize, Serialize};
use shared::{
    auth::Caller,
    clock::Timestamp,
    ids::{OrderId, PrefixedId, ProductId, UserId, shard_of},
    sweep::{Backlog, Lease},
    table::{AttributeValue, Expression, Item, Key, Outcome, Query, Table, TableError, from_item, to_item},
};

use crate::{
    domain::{Goal, Order, PaymentState, Product, Status, StockState, Totals},
    error::OrderError,
};

/// The attributes of an order's item that follow from its others: keys, and those of the indexes.
const DERIVED: [&str; 6] = ["pk", "listed_at", "status_shard", "check_shard", "attention_shard", "stuck"];

/// The tables of this service.
#[derive(Clone, Debug)]
pub struct Store {
    /// `ORDER#<id>`; beside them `UNPAID#<user>` and `NETWORK#<name>`, see [`Store::place`], and `LEASE#resume-orders`.
    pub orders: Table,
    /// `PRODUCT#<id>`: the read model of the catalogue.
    pub products: Table,
    /// Over how many partitions an index spreads a value that many orders share.
    pub shards: u32,
}

/// An order as it stands in the table.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The order.
    pub order: Order,
    /// What a later release has written beside it. It is written again with the next version: an order is written whole.
    later: Item,
}

/// An order as lists show it: what the indexes project.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OrderSummary {
    /// The order.
    pub order_id: OrderId,
    /// Whose it is.
    pub user_id: UserId,
    /// What the public sees.
    pub status: Status,
    /// Where it is going.
    pub goal: Goal,
    /// How far the stock is.
    pub stock: StockState,
    /// How far the money is.
    pub payment: PaymentState,
    /// What it costs.
    pub totals: Totals,
    /// The number of pieces.
    pub item_count: u32,
    /// Minor units captured.
    pub captured_total: i64,
    /// Minor units that refunds gave back.
    pub refunded_total: i64,
    /// Minor units of these that came back because a refund failed later.
    #[serde(default)]
    pub refunds_reversed_total: i64,
    /// Why an operator should look at it.
    pub needs_attention: Option<String>,
    /// Whether it does not move on: only in lists of what an operator should look at.
    #[serde(default)]
    pub stuck: bool,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When something last changed that the buyer can see.
    pub updated_at: Timestamp,
    /// The sort key that the list goes on after.
    pub listed_at: String,
}

/// Which orders a list holds.
#[derive(Clone, Debug)]
pub enum Listed {
    /// Those of one buyer.
    By(UserId),
    /// Those with this status, of all buyers.
    With(Status),
    /// Those that an operator should look at, because they say so or because they do not move.
    Flagged,
}

/// A page of the orders that an index has of a buyer.
#[derive(Clone, Debug)]
pub struct Bought {
    /// Which.
    pub order_ids: Vec<OrderId>,
    /// The sort key that the next page begins after; none if there is no next page.
    pub next: Option<String>,
}

/// What an attempt to write a changed order came to.
#[derive(Debug)]
pub enum Saved {
    /// It is written.
    Written,
    /// Somebody else was faster: the order as it stands now.
    VersionConflict(Box<Stored>),
}

impl Store {
    /// The order.
    pub async fn find(&self, order_id: OrderId) -> Result<Option<Stored>, TableError> {
        self.orders.get(order_key(order_id)).await?.map(Stored::read).transpose()
    }

    /// The order, if there is one that the caller may see.
    ///
    /// # Errors
    /// When the table fails, or there is none.
    pub async fn find_for(&self, caller: &Caller, order_id: OrderId) -> Result<Stored, OrderError> {
        let found = self.find(order_id).await?;
        found.filter(|found| caller.may_see(found.order.placed.user_id)).ok_or(OrderError::NotFound)
    }

    /// Writes `next` in place of `seen`, if that still stands there.
    ///
    /// # Errors
    /// When the table fails, or the order is gone.
    pub async fn replace(&self, seen: &Stored, next: &Order) -> Result<Saved, OrderError> {
        let mut item = self.order_item(next);
        for (name, value) in &seen.later {
            item.entry(name.clone()).or_insert_with(|| value.clone());
        }
        match self.orders.put(item, Expression::version(seen.order.version)).await? {
            Outcome::Written => Ok(Saved::Written),
            Outcome::ConditionFailed(None) => Err(OrderError::NotFound),
            Outcome::ConditionFailed(Some(current)) => {
                let current = Stored::read(current)?;
                // Our own write, whose answer was lost on the way.
                if current.order == *next { Ok(Saved::Written) } else { Ok(Saved::VersionConflict(Box::new(current))) }
            }
        }
    }

    /// A page of orders, the newest first.
    pub async fn list(&self, listed: &Listed, after: Option<String>, limit: u32) -> Result<Vec<OrderSummary>, TableError> {
        let (index, attribute, value) = match listed {
            Listed::By(user_id) => ("user-index", "user_id", user_id.to_string()),
            Listed::With(status) => ("status-index", "status_shard", status.name().to_owned()),
            Listed::Flagged => ("attention-index", "attention_shard", FLAGGED.to_owned()),
        };
        let mut query = Query::new(Some(index), attribute, value, limit).descending();
        if let Some(after) = after {
            query = query.sort(Expression::new("#listed_at < :after").value("after", after));
        }
        let items = match listed {
            Listed::By(_) => self.orders.query(query).await?,
            Listed::With(_) | Listed::Flagged => self.orders.query_shards(query, self.shards, "listed_at").await?,
        };
        items.into_iter().map(from_item).collect()
    }

    /// A page of the orders that the index has of a buyer, the oldest first: one that is placed during the search is still found. Whether
    /// an order is really theirs is for the order itself to say.
    pub async fn bought_by(&self, user_id: UserId, after: Option<String>, limit: u32) -> Result<Bought, TableError> {
        #[derive(Deserialize)]
        struct Found {
            pk: String,
            listed_at: String,
        }
        let mut query = Query::new(Some("user-index"), "user_id", user_id.to_string(), limit);
        if let Some(after) = after {
            query = query.sort(Expression::new("#listed_at > :after").value("after", after));
        }
        let items = self.orders.query(query).await?;
        let found = items.into_iter().map(from_item).collect::<Result<Vec<Found>, _>>()?;
        let is_full = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Bought {
            order_ids: found.iter().filter_map(|found| order_id_of(&found.pk)).collect(),
            next: found.into_iter().next_back().filter(|_| is_full).map(|last| last.listed_at),
        })
    }

    /// Up to 100 orders as they stand, in one call. One that cannot be read does not hide the others.
    pub async fn find_many(&self, order_ids: &[OrderId]) -> Result<Vec<(OrderId, Result<Stored, TableError>)>, TableError> {
        let keys = order_ids.iter().map(|order_id| (&self.orders, order_key(*order_id)));
        let items = self.orders.get_many(keys.collect()).await?;
        let found = |item: Item| {
            let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).and_then(|pk| order_id_of(pk))?;
            Some((pk, Stored::read(item)))
        };
        Ok(items.into_iter().filter_map(found).collect())
    }

    /// Orders that are due, the longest overdue first. An index only finds candidates: whether one is really due is for the order itself to
    /// say.
    pub fn due(&self, now: Timestamp) -> Backlog {
        let due = Expression::new("#check_at <= :now").value("now", now);
        let query = Query::new(Some("check-index"), "check_shard", "due", DUE_PAGE).sort(due);
        Backlog::new(&self.orders, &query, self.shards, "check_at")
    }

    /// The lease of the sweep that resumes orders.
    pub fn lease(&self) -> Lease {
        Lease::new(&self.orders, Key::new("LEASE#resume-orders"))
    }

    /// Keeps what the catalogue says of a product, unless something newer is kept.
    pub async fn keep_product(&self, product: &Product) -> Result<Outcome, TableError> {
        let mut item = to_item(product);
        item.insert("pk".to_owned(), AttributeValue::S(format!("PRODUCT#{}", product.product_id)));
        let newer = Expression::new("attribute_not_exists(#pk) OR #version < :version").value("version", product.version);
        self.products.put(item, newer).await
    }

    fn order_item(&self, order: &Order) -> Item {
        let id = order.placed.order_id.to_string();
        let shard = shard_of(&id, self.shards);
        let mut item = to_item(order);
        let mut set = |name: &str, value: String| item.insert(name.to_owned(), AttributeValue::S(value));
        set("pk", format!("ORDER#{id}"));
        set("listed_at", format!("{}#{id}", order.placed.created_at));
        set("status_shard", format!("{}#{shard}", order.progress.status.name()));
        if order.schedule.check_at.is_some() {
            set("check_shard", format!("due#{shard}"));
        }
        // In this index stand only those that are odd: so few that who looks for some of them may look at all.
        if order.progress.needs_attention.is_some() || order.is_stuck() {
            set("attention_shard", format!("{FLAGGED}#{shard}"));
        }
        if order.is_stuck() {
            item.insert("stuck".to_owned(), AttributeValue::Bool(true));
        }
        item
    }
}

impl Stored {
    fn read(item: Item) -> Result<Self, TableError> {
        let order: Order = from_item(item.clone())?;
        let known = to_item(&order);
        let later = item.into_iter().filter(|(name, _)| !known.contains_key(name) && !DERIVED.contains(&name.as_str()));
        Ok(Self { later: later.collect(), order })
    }
}

/// How many due orders are read of each shard at once.
const DUE_PAGE: u32 = 100;

/// The value under which the orders stand that an operator should look at.
const FLAGGED: &str = "flagged";

fn order_key(order_id: OrderId) -> Key {
    Key::new(format!("ORDER#{order_id}"))
}

fn order_id_of(pk: &str) -> Option<OrderId> {
    OrderId::parse(pk.strip_prefix("ORDER#")?)
}

/// The order that an item of the index of due orders belongs to.
///
/// # Errors
/// When its key is not that of an order.
pub fn due_order(found: &Item) -> Result<OrderId, TableError> {
    let order_id = found.get("pk").and_then(|pk| pk.as_s().ok()).and_then(|pk| order_id_of(pk));
    order_id.ok_or(TableError::Unreadable { expected: "key of an order" })
}

fn product_key(product_id: ProductId) -> Key {
    Key::new(format!("PRODUCT#{product_id}"))
}
