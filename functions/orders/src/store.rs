//! Stores orders, carts and the copies of the catalogue and of the pricing rules in DynamoDB. Only
//! this module knows keys and attribute names.

pub mod carts;
mod item;
mod parts;
pub mod placement;
mod price;
pub mod pricing;
mod product;

use std::{collections::HashSet, sync::LazyLock};

use serde::Deserialize;
use shared::{
    auth::Caller,
    clock::Timestamp,
    ids::{OrderId, PrefixedId, ProductId, UserId, shard_of},
    sweep::{Backlog, Lease},
    table::{
        AttributeValue, Expression, Item, Key, List, ListPage, Outcome, Query, Table, TableError,
        attribute_names, from_item, to_item,
    },
};

use parts::{TotalsItem, order_key_text, placed_at};
use product::{SHAPE, product_item};

use crate::{
    domain::{Order, Product, Status, Totals, number::OrderNumber},
    error::OrderError,
};

/// Attributes derived from the other attributes of the item, which only indexes use.
const DERIVED: [&str; 6] =
    ["payment_status", "status_shard", "check_shard", "review_shard", "stuck", "number"];

/// The attributes of an item that this release knows: those of an order, and the derived ones.
static KNOWN: LazyLock<HashSet<&str>> =
    LazyLock::new(|| attribute_names::<Order>().iter().copied().chain(DERIVED).collect());

/// The tables of this service.
#[derive(Clone, Debug)]
pub struct Store {
    /// `ORDER#<id>`. Also `UNPAID#<user>` and `NETWORK#<name>`, see [`Store::place`], and
    /// `LEASE#resume-orders`.
    pub orders: Table,
    /// `PRODUCT#<id>`: the copy of the catalogue. `PRICING#<market>#<country>`: the copy of the
    /// pricing rules.
    pub products: Table,
    /// `CART#<id>` and `MINE#<user>`, see [`carts`].
    pub carts: Table,
    /// The number of shards per index partition key, so that a value shared by many orders does not
    /// make one partition hot.
    pub shards: u32,
}

/// An order with the stored data that a write must preserve.
#[derive(Clone, Debug)]
pub struct StoredOrder {
    pub order: Order,
    /// Attributes of a later release. A write replaces the whole item, so it writes them again.
    unknown_attributes: Item,
    /// The stored price, which never changes. A write copies it unchanged, with the fields of a
    /// later release.
    price: Option<AttributeValue>,
}

/// An order in a list: the attributes that the indexes project. Each step of the saga that changes
/// one of them rewrites the order's index entries, so they are few and seldom change.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "SummaryItem")]
pub struct OrderSummary {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub status: Status,
    /// The name of the payment's status in the API.
    pub payment_status: String,
    pub totals: Totals,
    /// The total quantity of all lines.
    pub item_count: u32,
    /// Why an operator has to review the order.
    pub needs_review: Option<String>,
    /// Whether the order is stuck. Only the index of flagged orders projects it.
    pub stuck: bool,
    pub created_at: Timestamp,
}

/// An index entry of an order.
#[derive(Deserialize)]
struct SummaryItem {
    listed_at: String,
    user_id: UserId,
    status: Status,
    payment_status: String,
    totals: TotalsItem,
    item_count: u32,
    needs_review: Option<String>,
    #[serde(default)]
    stuck: bool,
}

impl From<&Order> for OrderSummary {
    fn from(order: &Order) -> Self {
        Self {
            order_id: order.placed.order_id,
            user_id: order.placed.user_id,
            status: order.progress.status.clone(),
            payment_status: order.progress.payment_status().to_owned(),
            totals: order.placed.totals,
            item_count: order.placed.item_count,
            needs_review: order.progress.needs_review.clone(),
            stuck: order.is_stuck(),
            created_at: order.placed.created_at,
        }
    }
}

impl TryFrom<SummaryItem> for OrderSummary {
    type Error = &'static str;

    fn try_from(item: SummaryItem) -> Result<Self, Self::Error> {
        let (created_at, order_id) =
            placed_at(&item.listed_at).ok_or("listed_at is not a time and an order id")?;
        Ok(Self {
            order_id,
            user_id: item.user_id,
            status: item.status,
            payment_status: item.payment_status,
            totals: item.totals.read().ok_or("a total is out of range")?,
            item_count: item.item_count,
            needs_review: item.needs_review,
            stuck: item.stuck,
            created_at,
        })
    }
}

/// The orders that a list contains.
#[derive(Clone, Debug)]
pub enum ListScope {
    /// Orders of one buyer.
    User(UserId),
    /// Orders of all buyers with this status.
    Status(Status),
    /// Orders of all buyers that need a review or are stuck.
    Flagged,
    /// The order with this number.
    Number(OrderNumber),
}

/// A page of the ids of a buyer's orders, from the index.
#[derive(Clone, Debug)]
pub struct OrderIdPage {
    pub order_ids: Vec<OrderId>,
    /// The sort key that the next page starts after; `None` on the last page.
    pub next: Option<String>,
}

/// The outcome of a conditional write.
#[derive(Debug)]
pub enum WriteOutcome {
    Written,
    /// A concurrent write came first. Contains the current order.
    VersionConflict(Box<StoredOrder>),
}

impl Store {
    /// Reads an order; `None` if it does not exist.
    pub async fn find(&self, order_id: OrderId) -> Result<Option<StoredOrder>, TableError> {
        self.orders.get(order_key(order_id)).await?.map(StoredOrder::read).transpose()
    }

    /// Reads an order for a caller.
    ///
    /// # Errors
    /// If the table fails, the order does not exist, or the caller may not see it.
    pub async fn find_for(
        &self,
        caller: &Caller,
        order_id: OrderId,
    ) -> Result<StoredOrder, OrderError> {
        let found = self.find(order_id).await?;
        found.filter(|found| caller.may_see(found.order.placed.user_id)).ok_or(OrderError::NotFound)
    }

    /// Replaces `seen` by `next`, if `seen` is still the stored version.
    ///
    /// # Errors
    /// If the table fails, or the order no longer exists.
    pub async fn replace(
        &self,
        seen: &StoredOrder,
        next: &Order,
    ) -> Result<WriteOutcome, OrderError> {
        let mut item = self.order_item(next);
        for (name, value) in &seen.unknown_attributes {
            item.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if let Some(price) = &seen.price {
            item.insert("price".to_owned(), price.clone());
        }
        match self.orders.put(item, Expression::version(seen.order.version)).await? {
            Outcome::Written => Ok(WriteOutcome::Written),
            Outcome::ConditionFailed(None) => Err(OrderError::NotFound),
            Outcome::ConditionFailed(Some(current)) => {
                let current = StoredOrder::read(current)?;
                // An earlier attempt of this write succeeded, but its response was lost.
                if current.order == *next {
                    Ok(WriteOutcome::Written)
                } else {
                    Ok(WriteOutcome::VersionConflict(Box::new(current)))
                }
            }
        }
    }

    /// Reads a page of the orders for which `keep` is true, newest first; see [`Table::list`].
    pub async fn list(
        &self,
        scope: &ListScope,
        after: Option<String>,
        limit: u32,
        keep: impl Fn(&OrderSummary) -> bool + Send,
    ) -> Result<ListPage<OrderSummary>, TableError> {
        let sharded = |index, attribute, value: &str| {
            List::sharded(index, attribute, value, self.shards, "listed_at")
        };
        let list = match scope {
            ListScope::User(user_id) => {
                List::new(Some("user-index"), "user_id", user_id.to_string(), "listed_at")
            }
            ListScope::Status(status) => sharded("status-index", "status_shard", status.name()),
            ListScope::Flagged => sharded("review-index", "review_shard", FLAGGED),
            ListScope::Number(number) => {
                let found = self.find_by_number(*number).await?;
                let items = found.iter().map(OrderSummary::from).filter(keep).collect();
                return Ok(ListPage { items, next: None });
            }
        };
        self.orders.list(list.descending().after(after), limit, keep).await
    }

    /// Reads the orders with a number. Two of millions of orders may share a number, so the result
    /// is a list. The index is eventually consistent; the orders are read with strong consistency.
    async fn find_by_number(&self, number: OrderNumber) -> Result<Vec<Order>, TableError> {
        let query = Query::new(Some("number-index"), "number", number.digits(), SAME_NUMBER);
        let entries = self.orders.query(query).await?;
        let order_ids: Vec<OrderId> =
            entries.iter().filter_map(|entry| order_id_of(text(entry, "pk"))).collect();
        let found = self.find_many(&order_ids).await?.into_iter();
        found.map(|(_, found)| Ok(found?.order)).collect()
    }

    /// Reads a page of the ids of a buyer's orders, oldest first, so it also finds orders placed
    /// during the iteration. The index is eventually consistent: the caller checks the buyer of
    /// each order.
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

    /// Reads up to 100 orders in one call. One unreadable order does not fail the others.
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

    /// The orders that are due, longest overdue first. The index is eventually consistent: the
    /// caller checks whether each order is due.
    pub fn due(&self, now: Timestamp) -> Backlog {
        let due = Expression::new("#next_check_at <= :now").value("now", now);
        let query = Query::new(Some("check-index"), "check_shard", "due", DUE_PAGE).sort(due);
        Backlog::new(&self.orders, &query, self.shards, "next_check_at")
    }

    /// The lease of the sweep that resumes orders. Only its holder runs.
    pub fn lease(&self) -> Lease {
        Lease::new(&self.orders, Key::new("LEASE#resume-orders"))
    }

    /// Stores a product, unless a newer version is stored, or the same version in this release's
    /// shape or a later one.
    pub async fn store_product(&self, product: &Product) -> Result<Outcome, TableError> {
        let newer = Expression::new(
            "attribute_not_exists(#pk) OR #version < :version OR (#version = :version AND (attribute_not_exists(#shape) OR #shape < :shape))",
        );
        let newer = newer.value("version", product.version).value("shape", SHAPE);
        self.products.put(product_item(product), newer).await
    }

    fn order_item(&self, order: &Order) -> Item {
        let id = order.placed.order_id.to_string();
        let shard = shard_of(&id, self.shards);
        let mut item = to_item(order);
        let mut set =
            |name: &str, value: String| item.insert(name.to_owned(), AttributeValue::S(value));
        set("status_shard", format!("{}#{shard}", order.progress.status.name()));
        set("payment_status", order.progress.payment_status().to_owned());
        // The index projects only keys, so its entry is written once, with the order.
        set("number", OrderNumber::of(order.placed.order_id).digits());
        if order.schedule.next_check_at.is_some() {
            set("check_shard", format!("due#{shard}"));
        }
        // A sparse index: it contains only flagged orders. They are few, so a filter can read all
        // of them.
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
    fn read(mut item: Item) -> Result<Self, TableError> {
        let unknown_attributes =
            item.extract_if(|name, _| !KNOWN.contains(name.as_str())).collect();
        let price = item.get("price").cloned();
        Ok(Self { unknown_attributes, price, order: from_item(item)? })
    }
}

/// Page size of due orders, per shard.
const DUE_PAGE: u32 = 100;

/// Maximum number of orders that are read for one number.
const SAME_NUMBER: u32 = 10;

/// The index partition key of flagged orders: those that need a review or are stuck.
const FLAGGED: &str = "flagged";

fn order_key(order_id: OrderId) -> Key {
    Key::new(order_key_text(order_id))
}

fn order_id_of(pk: &str) -> Option<OrderId> {
    OrderId::parse(pk.strip_prefix("ORDER#")?)
}

/// Returns the id of the order to which an item of the index of due orders belongs.
///
/// # Errors
/// If the key is not that of an order.
pub fn due_order_id(found: &Item) -> Result<OrderId, TableError> {
    let order_id = found.get("pk").and_then(|pk| pk.as_s().ok()).and_then(|pk| order_id_of(pk));
    order_id.ok_or(TableError::Unreadable { expected: "key of an order" })
}

fn product_key(product_id: ProductId) -> Key {
    Key::new(product_key_text(product_id))
}

fn product_key_text(product_id: ProductId) -> String {
    format!("PRODUCT#{product_id}")
}

/// The kind of an item: the part of its key before the first `#`.
fn kind(item: &Item) -> &str {
    text(item, "pk").split('#').next().unwrap_or_default()
}

fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::{placed, reachable};

    fn stored(order: &Order) -> Item {
        let config = aws_sdk_dynamodb::Config::builder().behavior_version_latest().build();
        let table = Table::new(aws_sdk_dynamodb::Client::from_conf(config), "orders");
        Store { orders: table.clone(), products: table.clone(), carts: table, shards: 8 }
            .order_item(order)
    }

    #[test]
    fn every_reachable_order_is_read_as_it_was_stored() {
        for order in reachable().values() {
            let read = StoredOrder::read(stored(order)).unwrap();
            assert_eq!((&read.order, read.unknown_attributes), (order, Item::new()));
        }
    }

    #[test]
    fn attributes_of_a_later_release_are_found() {
        let order = placed();
        let mut item = stored(&order);
        let later = Item::from([
            ("gift_note".to_owned(), AttributeValue::S("Happy birthday".to_owned())),
            ("gift_tags".to_owned(), AttributeValue::Ss(vec!["red".to_owned()])),
        ]);
        item.extend(later.clone());
        let read = StoredOrder::read(item).unwrap();
        assert_eq!((read.order, read.unknown_attributes), (order, later));
    }

    #[test]
    fn attribute_of_this_release_without_a_value_is_not_kept() {
        let order = placed();
        let mut item = stored(&order);
        for name in ["shipment", "payment_in_flight_since", "network"] {
            item.insert(name.to_owned(), AttributeValue::Null(true));
        }
        let read = StoredOrder::read(item).unwrap();
        assert_eq!(read.unknown_attributes, Item::new());
        assert!(stored(&order).keys().all(|name| KNOWN.contains(name.as_str())));
    }
}
