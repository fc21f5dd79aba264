//! Placement of an order: one batch read and one transaction. An order of a cart reads the cart
//! first, and then the goods in it.
//!
//! Besides orders, the table contains two kinds of small items. They are in no index, and their
//! changes are not published:
//!
//! - `UNPAID#<user>`: the orders of a buyer that may be unpaid. Each order has one attribute, named
//!   after it, with its payment deadline. Placing an order updates the item on condition of its
//!   version, so two concurrent orders cannot both pass the limit. Only placing an order removes
//!   others: those past their deadline, and in a full list those that are paid, cancelled or
//!   failed.
//! - `NETWORK#<name>`: the usage of a network's limit. The condition requires free capacity, not
//!   the value that was read, so orders of several buyers do not conflict.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use shared::{
    address::CountryCode,
    clock::Timestamp,
    ids::{CartId, OrderId, PrefixedId, ProductId, UserId, Uuid},
    market::MarketId,
    table::{
        AttributeValue, Conflict, Expression, Item, Key, Table, TableError, TransactionOutcome,
        Write, from_item,
    },
    throttle::Limit,
};

use super::{
    Store, StoredOrder,
    carts::{cart_key, read_cart},
    kind, order_key,
    pricing::PriceInputs,
};
use crate::domain::{
    Order,
    cart::Cart,
    unpaid::{LimitUsage, Uncounted, UnpaidOrders},
};

/// How long both kinds of items remain after they expire, because the clocks of other instances may
/// be slow.
const RETENTION: Duration = Duration::from_secs(3600);

/// Maximum number of listed orders to read: the limit of one `BatchGetItem` call.
const BATCH_GET_SIZE: usize = 100;

/// The stored data that a placement depends on, besides the goods.
#[derive(Clone, Debug)]
pub struct PlacementSnapshot {
    /// The order of an earlier request: with the same idempotency key, or for the same cart.
    pub existing: Option<Order>,
    /// The usage of the limits of the buyer and of the network.
    pub usage: LimitUsage,
}

/// An order that is ready to be written.
#[derive(Clone, Copy, Debug)]
pub struct PlacementWrite<'a> {
    pub order: &'a Order,
    /// The cart that is ordered, as it was read.
    pub cart: Option<&'a Cart>,
    /// The name of the client's network.
    pub network: &'a str,
    pub network_limit: Limit,
    /// The usage of the limits as it was read.
    pub usage: &'a LimitUsage,
    /// Listed orders that are paid, cancelled or failed. They leave the buyer's list.
    pub ended: &'a [OrderId],
    pub now: Timestamp,
}

/// The outcome of an attempt to place an order.
#[derive(Debug)]
pub enum PlaceOutcome {
    Written,
    /// A concurrent request placed the order: with the same idempotency key, or for the same cart.
    AlreadyPlaced(Box<Order>),
    /// Another request changed the cart first. Contains the current cart; `None` if it no longer
    /// exists.
    CartChanged(Option<Box<Cart>>),
    /// Other orders of the buyer or the network were written first. Contains the current usage.
    VersionConflict(LimitUsage),
}

impl Store {
    /// Reads everything that the placement of an order of items depends on, in one call. A repeated
    /// request finds its order, even if prices or limits have changed.
    pub async fn read_for_placement(
        &self,
        order_id: OrderId,
        user_id: UserId,
        network: &str,
        rules: &[(&MarketId, &CountryCode)],
        products: &[ProductId],
    ) -> Result<(PlacementSnapshot, PriceInputs), TableError> {
        let own = self.placement_keys(order_id, user_id, network);
        let goods = self.goods_keys(rules, products);
        let items = self.orders.get_many(own.into_iter().chain(goods).collect()).await?;
        let (goods, own) = items.into_iter().partition(is_goods);
        let snapshot = PlacementSnapshot::read(own)?;
        // Skipped for a repeated request, which also succeeds if the rules are unreadable.
        let goods = match snapshot.existing {
            Some(_) => PriceInputs::default(),
            None => PriceInputs::read(goods)?,
        };
        Ok((snapshot, goods))
    }

    /// Reads the cart and the other data that the placement of its order depends on, in one call.
    /// The cart is `None` if it does not exist. It may be expired.
    pub async fn read_cart_for_placement(
        &self,
        order_id: OrderId,
        user_id: UserId,
        network: &str,
        cart_id: CartId,
    ) -> Result<(PlacementSnapshot, Option<Cart>), TableError> {
        let own = self.placement_keys(order_id, user_id, network);
        let keys = own.into_iter().chain([(&self.carts, cart_key(cart_id))]).collect();
        let items = self.orders.get_many(keys).await?;
        let (carts, own): (Vec<Item>, _) = items.into_iter().partition(is_cart);
        let cart = carts.into_iter().next().map(read_cart).transpose()?;
        Ok((PlacementSnapshot::read(own)?, cart))
    }

    /// The keys of an order, and of the usage of its limits.
    fn placement_keys(
        &self,
        order_id: OrderId,
        user_id: UserId,
        network: &str,
    ) -> [(&Table, Key); 3] {
        [order_key(order_id), unpaid_key(user_id), network_key(network)]
            .map(|key| (&self.orders, key))
    }

    /// Writes a new order, its entry in the buyer's unpaid orders, and its charge to the limit of
    /// the network in one transaction. A cart becomes ordered in the same transaction. It succeeds
    /// only if the buyer's list still equals that of `usage`, the network has free capacity and the
    /// cart is unchanged.
    pub async fn place(&self, write: PlacementWrite<'_>) -> Result<PlaceOutcome, TableError> {
        let PlacementWrite { order, cart, usage, now, .. } = write;
        let mut writes = vec![
            self.orders.transact_put(self.order_item(order), Expression::not_exists()),
            self.unpaid_entry_write(order, &usage.unpaid, write.ended, now),
            self.network_limit_write(write.network, usage.network, write.network_limit, now),
        ];
        writes.extend(cart.map(|cart| self.ordered_write(cart, order.placed.order_id, now)));
        let TransactionOutcome::Cancelled(conflicts) = self.orders.transact(writes).await? else {
            return Ok(PlaceOutcome::Written);
        };
        let mut conflicts = conflicts.into_iter();
        let mut next = || conflicts.next().flatten();
        // A failed condition returns the stored item, so placement needs no second read.
        if let Some(Conflict { item: Some(existing) }) = next() {
            return Ok(PlaceOutcome::AlreadyPlaced(Box::new(from_item(existing)?)));
        }
        let (unpaid, network, cart) = (next(), next(), next());
        if let Some(Conflict { item }) = cart {
            let cart = item.map(read_cart).transpose()?;
            return Ok(PlaceOutcome::CartChanged(cart.map(Box::new)));
        }
        let mut usage = usage.clone();
        if let Some(Conflict { item }) = unpaid {
            usage.unpaid = item.as_ref().map(unpaid_orders).transpose()?.unwrap_or_default();
        }
        if let Some(Conflict { item }) = network {
            usage.network = item.as_ref().map(arrival).transpose()?;
        }
        Ok(PlaceOutcome::VersionConflict(usage))
    }

    /// Returns the listed orders that do not count against their buyer at `now`. An unreadable
    /// order counts.
    pub async fn uncounted(
        &self,
        unpaid: &UnpaidOrders,
        now: Timestamp,
    ) -> Result<Uncounted, TableError> {
        let listed: Vec<OrderId> = unpaid.orders_at(now).take(BATCH_GET_SIZE).collect();
        let mut uncounted = Uncounted::default();
        for (order_id, found) in self.find_many(&listed).await? {
            match found {
                Ok(StoredOrder { order, .. }) if !order.is_unpaid() => {
                    uncounted.ended.push(order_id)
                }
                Ok(StoredOrder { order, .. }) if !order.counts_as_unpaid(now) => {
                    uncounted.waiting_for_shop.push(order_id)
                }
                _ => {}
            }
        }
        Ok(uncounted)
    }

    /// Refunds the charge of one order to its network's limit.
    pub async fn refund_network_limit(
        &self,
        network: &str,
        limit: Limit,
        now: Timestamp,
    ) -> Result<(), TableError> {
        let change = Expression::new("SET #tat = #tat - :interval")
            .value("interval", milliseconds(limit.interval()));
        // An unused limit needs no refund.
        let condition = Expression::new("#tat > :now").value("now", now.milliseconds());
        self.orders.update(network_key(network), change, condition).await.map(drop)
    }

    fn unpaid_entry_write(
        &self,
        order: &Order,
        unpaid: &UnpaidOrders,
        ended: &[OrderId],
        now: Timestamp,
    ) -> Write {
        let latest =
            unpaid.deadlines.values().copied().fold(order.placed.expires_at, Timestamp::max);
        let mut text = format!(
            "SET #version = :next, #ttl = :ttl, #{} = :deadline",
            unpaid_attribute(order.placed.order_id)
        );
        let removed: BTreeSet<OrderId> =
            unpaid.expired_at(now).chain(ended.iter().copied()).collect();
        if !removed.is_empty() {
            let removed: Vec<String> = removed
                .into_iter()
                .map(|order_id| format!("#{}", unpaid_attribute(order_id)))
                .collect();
            text = format!("{text} REMOVE {}", removed.join(", "));
        }
        let change = Expression::new(text)
            .value("next", unpaid.version.unwrap_or(0) + 1)
            .value("ttl", latest.plus(RETENTION).seconds())
            .value("deadline", order.placed.expires_at.milliseconds());
        let condition = unpaid.version.map_or_else(Expression::not_exists, Expression::version);
        self.orders.transact_update(unpaid_key(order.placed.user_id), change, condition)
    }

    fn network_limit_write(
        &self,
        network: &str,
        arrival: Option<Timestamp>,
        limit: Limit,
        now: Timestamp,
    ) -> Write {
        let ttl = limit.full(now).plus(RETENTION).seconds();
        let (change, condition) = if arrival.is_none_or(|arrival| arrival <= now) {
            (
                Expression::new("SET #tat = :next, #ttl = :ttl")
                    .value("next", now.plus(limit.interval()).milliseconds()),
                Expression::new("attribute_not_exists(#tat) OR #tat <= :now"),
            )
        } else {
            (
                Expression::new("SET #tat = #tat + :interval, #ttl = :ttl")
                    .value("interval", milliseconds(limit.interval())),
                Expression::new("#tat > :now AND #tat <= :latest")
                    .value("latest", limit.latest(now).milliseconds()),
            )
        };
        self.orders.transact_update(
            network_key(network),
            change.value("ttl", ttl),
            condition.value("now", now.milliseconds()),
        )
    }
}

impl PlacementSnapshot {
    /// Reads the items of an order and of the usage of its limits. `items` has only those that
    /// exist.
    fn read(items: Vec<Item>) -> Result<Self, TableError> {
        let mut snapshot = Self { existing: None, usage: LimitUsage::default() };
        for item in items {
            match kind(&item) {
                "UNPAID" => snapshot.usage.unpaid = unpaid_orders(&item)?,
                "NETWORK" => snapshot.usage.network = Some(arrival(&item)?),
                _ => snapshot.existing = Some(from_item(item)?),
            }
        }
        Ok(snapshot)
    }
}

/// Whether the item is a copy of a product or of the pricing rules.
fn is_goods(item: &Item) -> bool {
    matches!(kind(item), "PRODUCT" | "PRICING")
}

fn is_cart(item: &Item) -> bool {
    kind(item) == "CART"
}

fn unpaid_key(user_id: UserId) -> Key {
    Key::new(format!("UNPAID#{user_id}"))
}

fn network_key(network: &str) -> Key {
    Key::new(format!("NETWORK#{network}"))
}

/// The name of an unpaid order's attribute. It has no hyphens, because attribute names in
/// expressions must not contain them.
fn unpaid_attribute(order_id: OrderId) -> String {
    format!("{}_{}", OrderId::PREFIX, order_id.uuid().simple())
}

fn unpaid_orders(item: &Item) -> Result<UnpaidOrders, TableError> {
    let deadline = |(name, value): (&String, &AttributeValue)| {
        let uuid = Uuid::try_parse(name.strip_prefix(OrderId::PREFIX)?.strip_prefix('_')?).ok()?;
        Some((
            OrderId::from_uuid(uuid),
            Timestamp::from_milliseconds(value.as_n().ok()?.parse().ok()?),
        ))
    };
    let deadlines: BTreeMap<_, _> = item.iter().filter_map(deadline).collect();
    Ok(UnpaidOrders { version: Some(number(item, "version")?), deadlines })
}

/// The usage of a network's limit, stored as its theoretical arrival time (GCRA).
fn arrival(item: &Item) -> Result<Timestamp, TableError> {
    number(item, "tat").map(Timestamp::from_milliseconds)
}

fn number<N: std::str::FromStr>(item: &Item, name: &str) -> Result<N, TableError> {
    let number =
        item.get(name).and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok());
    number
        .ok_or(TableError::Unreadable { expected: "list of unpaid orders, or limit of a network" })
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
