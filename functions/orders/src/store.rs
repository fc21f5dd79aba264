//! Orders and products in DynamoDB: only this module knows keys and attribute names.

mod item;
pub mod placement;

use serde::{Deserialize, Serialize};
use shared::{
    auth::Caller,
    clock::Timestamp,
    ids::{OrderId, PrefixedId, ProductId, UserId, shard_of},
    sweep::{Backlog, Lease},
    table::{
        AttributeValue, Expression, Item, Key, Outcome, Query, Table, TableError, from_item,
        to_item,
    },
};

use crate::{
    domain::{Goal, Order, PaymentState, Product, Status, StockState, Totals},
    error::OrderError,
};

/// The attributes of an order's item that follow from its others: keys, and those of the indexes.
const DERIVED: [&str; 6] =
    ["pk", "listed_at", "status_shard", "check_shard", "review_shard", "stuck"];

/// The tables of this service.
#[derive(Clone, Debug)]
pub struct Store {
    /// `ORDER#<id>`; beside them `UNPAID#<user>` and `NETWORK#<name>`, see [`Store::place`], and
    /// `LEASE#resume-orders`.
    pub orders: Table,
    /// `PRODUCT#<id>`: the read model of the catalogue.
    pub products: Table,
    /// Over how many partitions an index spreads a value that many orders share.
    pub shards: u32,
}

/// An order as it stands in the table.
#[derive(Clone, Debug)]
pub struct StoredOrder {
    /// The order.
    pub order: Order,
    /// What a later release has written beside it. It is written again with the next version: an
    /// order is written whole.
    unknown_attributes: Item,
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
    pub needs_review: Option<String>,
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
pub enum ListScope {
    /// Those of one buyer.
    User(UserId),
    /// Those with this status, of all buyers.
    Status(Status),
    /// Those that an operator should look at, because they say so or because they do not move.
    Flagged,
}

/// A page of the orders that an index has of a buyer.
#[derive(Clone, Debug)]
pub struct OrderIdPage {
    /// Which.
    pub order_ids: Vec<OrderId>,
    /// The sort key that the next page begins after; none if there is no next page.
    pub next: Option<String>,
}

/// What an attempt to write a changed order came to.
#[derive(Debug)]
pub enum WriteOutcome {
    /// It is written.
    Written,
    /// Somebody else was faster: the order as it stands now.
    VersionConflict(Box<StoredOrder>),
}

impl Store {
    /// The order.
    pub async fn find(&self, order_id: OrderId) -> Result<Option<StoredOrder>, TableError> {
        self.orders.get(order_key(order_id)).await?.map(StoredOrder::read).transpose()
    }

    /// The order, if there is one that the caller may see.
    ///
    /// # Errors
    /// When the table fails, or there is none.
    pub async fn find_for(
        &self,
        caller: &Caller,
        order_id: OrderId,
    ) -> Result<StoredOrder, OrderError> {
        let found = self.find(order_id).await?;
        found.filter(|found| caller.may_see(found.order.placed.user_id)).ok_or(OrderError::NotFound)
    }

    /// Writes `next` in place of `seen`, if that still stands there.
    ///
    /// # Errors
    /// When the table fails, or the order is gone.
    pub async fn replace(
        &self,
        seen: &StoredOrder,
        next: &Order,
    ) -> Result<WriteOutcome, OrderError> {
        let mut item = self.order_item(next);
        for (name, value) in &seen.unknown_attributes {
            item.entry(name.clone()).or_insert_with(|| value.clone());
        }
        match self.orders.put(item, Expression::version(seen.order.version)).await? {
            Outcome::Written => Ok(WriteOutcome::Written),
            Outcome::ConditionFailed(None) => Err(OrderError::NotFound),
            Outcome::ConditionFailed(Some(current)) => {
                let current = StoredOrder::read(current)?;
                // Our own write, whose answer was lost on the way.
                if current.order == *next {
                    Ok(WriteOutcome::Written)
                } else {
                    Ok(WriteOutcome::VersionConflict(Box::new(current)))
                }
            }
        }
    }

    /// A page of orders, the newest first.
    pub async fn list(
        &self,
        scope: &ListScope,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<OrderSummary>, TableError> {
        let (index, attribute, value) = match scope {
            ListScope::User(user_id) => ("user-index", "user_id", user_id.to_string()),
            ListScope::Status(status) => ("status-index", "status_shard", status.name().to_owned()),
            ListScope::Flagged => ("review-index", "review_shard", FLAGGED.to_owned()),
        };
        let mut query = Query::new(Some(index), attribute, value, limit).descending();
        if let Some(after) = after {
            query = query.sort(Expression::new("#listed_at < :after").value("after", after));
        }
        let items = match scope {
            ListScope::User(_) => self.orders.query(query).await?,
            ListScope::Status(_) | ListScope::Flagged => {
                self.orders.query_shards(query, self.shards, "listed_at").await?
            }
        };
        items.into_iter().map(from_item).collect()
    }

    /// A page of the orders that the index has of a buyer, the oldest first: one that is placed
    /// during the search is still found. Whether an order is really theirs is for the order itself
    /// to say.
    pub async fn order_ids_of(
        &self,
        user_id: UserId,
        after: Option<String>,
        limit: u32,
    ) -> Result<OrderIdPage, TableError> {
        #[derive(Deserialize)]
        struct IndexEntry {
            pk: String,
            listed_at: String,
        }
        let mut query = Query::new(Some("user-index"), "user_id", user_id.to_string(), limit);
        if let Some(after) = after {
            query = query.sort(Expression::new("#listed_at > :after").value("after", after));
        }
        let items = self.orders.query(query).await?;
        let found = items.into_iter().map(from_item).collect::<Result<Vec<IndexEntry>, _>>()?;
        let is_full = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(OrderIdPage {
            order_ids: found.iter().filter_map(|found| order_id_of(&found.pk)).collect(),
            next: found.into_iter().next_back().filter(|_| is_full).map(|last| last.listed_at),
        })
    }

    /// Up to 100 orders as they stand, in one call. One that cannot be read does not hide the
    /// others.
    pub async fn find_many(
        &self,
        order_ids: &[OrderId],
    ) -> Result<Vec<(OrderId, Result<StoredOrder, TableError>)>, TableError> {
        let keys = order_ids.iter().map(|order_id| (&self.orders, order_key(*order_id)));
        let items = self.orders.get_many(keys.collect()).await?;
        let found = |item: Item| {
            let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).and_then(|pk| order_id_of(pk))?;
            Some((pk, StoredOrder::read(item)))
        };
        Ok(items.into_iter().filter_map(found).collect())
    }

    /// Orders that are due, the longest overdue first. An index only finds candidates: whether one
    /// is really due is for the order itself to say.
    pub fn due(&self, now: Timestamp) -> Backlog {
        let due = Expression::new("#next_check_at <= :now").value("now", now);
        let query = Query::new(Some("check-index"), "check_shard", "due", DUE_PAGE).sort(due);
        Backlog::new(&self.orders, &query, self.shards, "next_check_at")
    }

    /// The lease of the sweep that resumes orders.
    pub fn lease(&self) -> Lease {
        Lease::new(&self.orders, Key::new("LEASE#resume-orders"))
    }

    /// Keeps what the catalogue says of a product, unless something newer is kept.
    pub async fn store_product(&self, product: &Product) -> Result<Outcome, TableError> {
        let mut item = to_item(product);
        item.insert("pk".to_owned(), AttributeValue::S(format!("PRODUCT#{}", product.product_id)));
        let newer = Expression::new("attribute_not_exists(#pk) OR #version < :version")
            .value("version", product.version);
        self.products.put(item, newer).await
    }

    fn order_item(&self, order: &Order) -> Item {
        let id = order.placed.order_id.to_string();
        let shard = shard_of(&id, self.shards);
        let mut item = to_item(order);
        let mut set =
            |name: &str, value: String| item.insert(name.to_owned(), AttributeValue::S(value));
        set("pk", format!("ORDER#{id}"));
        set("listed_at", format!("{}#{id}", order.placed.created_at));
        set("status_shard", format!("{}#{shard}", order.progress.status.name()));
        if order.schedule.next_check_at.is_some() {
            set("check_shard", format!("due#{shard}"));
        }
        // In this index stand only those that are odd: so few that who looks for some of them may
        // look at all.
        if order.progress.needs_review.is_some() || order.is_stuck() {
            set("review_shard", format!("{FLAGGED}#{shard}"));
        }
        if order.is_stuck() {
            item.insert("stuck".to_owned(), AttributeValue::Bool(true));
        }
        item
    }
}

impl StoredOrder {
    fn read(item: Item) -> Result<Self, TableError> {
        let order: Order = from_item(item.clone())?;
        let known = to_item(&order);
        let unknown_attributes = item
            .into_iter()
            .filter(|(name, _)| !known.contains_key(name) && !DERIVED.contains(&name.as_str()));
        Ok(Self { unknown_attributes: unknown_attributes.collect(), order })
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
pub fn due_order_id(found: &Item) -> Result<OrderId, TableError> {
    let order_id = found.get("pk").and_then(|pk| pk.as_s().ok()).and_then(|pk| order_id_of(pk));
    order_id.ok_or(TableError::Unreadable { expected: "key of an order" })
}

fn product_key(product_id: ProductId) -> Key {
    Key::new(format!("PRODUCT#{product_id}"))
}
