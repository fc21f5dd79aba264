//! The invariants of orders, stock and mails after everything has settled.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;
use shared::clock::Timestamp;
use tests::{
    dynamodb::{Attribute, Item, number, text},
    events,
};

use super::{NOT_SENT_AGAIN, QUEUES, Stage};

/// Personal data of the buyer in the requests of [`tests::events`].
const BUYER: [&str; 4] = ["Lovelace", "ada@example.com", "St James", "SW1Y"];

impl Stage {
    /// Checks the invariants of the orders. Returns their final states.
    pub fn check(&self) -> Vec<String> {
        for queue in QUEUES {
            let rejected = self.shop.aws.queues().waiting(&format!("{queue}-dead-letter"));
            self.ensure(rejected.is_empty(), || {
                format!("the consumer of {queue} rejected messages: {rejected:#?}")
            });
        }
        let unwanted = self.shop.provider.unwanted_charges();
        self.ensure(unwanted.is_empty(), || {
            format!("charged after the order was cancelled: {unwanted:#?}")
        });
        let lost = self.shop.provider.lost_charges();
        let lost: BTreeSet<String> =
            lost.iter().map(|charge| charge.order_id.to_string()).collect();
        let orders = self.stored_orders();
        self.ensure(orders.len() == self.orders.len(), || "an order was lost".to_owned());
        let charges = self.charges();
        let payments = self.shop.aws.stored("payments");
        let mut sold = 0;
        let mut ends = Vec::new();
        for order in &orders {
            let id = order_id(order);
            let charge = charges.get(id).map(|charge| &**charge);
            self.check_order(order, charge, &payments);
            let charged = charge.map_or(total(order), |charge| number(charge, "amount"));
            self.ensure(charged == total(order), || {
                format!("{id} costs {}, and {charged} is charged", total(order))
            });
            if is_fulfilled(order) {
                sold += number(order, "item_count");
            }
            let refunded = match charge {
                Some(charge) if number(charge, "refundable") == 0 => ", refunded",
                Some(charge) if number(charge, "refundable") < number(charge, "amount") => {
                    ", refunded in part"
                }
                None if lost.contains(id) => NOT_SENT_AGAIN,
                _ => "",
            };
            ends.push(format!("{}{refunded}", text(order, "status")));
        }
        self.check_prices();
        let left = self.received() - sold;
        self.ensure(self.quantities() == (left, left), || {
            format!("the stock is {:?} instead of {left}", self.quantities())
        });
        // A lost message loses its mail. Every recorded mail was sent: once, unless its response or
        // the record of it was lost.
        let recorded = self.shop.aws.stored("notifications").len();
        let recorded = recorded.saturating_sub(self.before.notifications);
        let sent = self.shop.aws.mails().count() - self.before.mails;
        self.ensure(sent + self.lost_mails >= recorded, || {
            format!("{recorded} mails were recorded and {sent} sent")
        });
        self.take_hits();
        let repeated = self.repeated_mails.get();
        self.ensure(sent <= recorded + repeated || self.account_deleted_at.is_some(), || {
            format!("{recorded} mails were recorded, {repeated} may be repeated, and {sent} sent")
        });
        ends
    }

    /// Checks that an order has ended, and that the provider keeps what it costs.
    fn check_order(&self, order: &Item, charge: Option<&Item>, payments: &[Arc<Item>]) {
        let (id, status) = (order_id(order), text(order, "status"));
        self.ensure(is_fulfilled(order) || ["cancelled", "failed"].contains(&status), || {
            format!("{id} is {status}")
        });
        let refunds = payments.iter().filter(|item| {
            text(item, "order_id") == id
                && text(item, "state") == "succeeded"
                && text(item, "kind") == "requested"
        });
        let refunded: i64 = refunds.map(|refund| number(refund, "amount")).sum();
        let due = if is_fulfilled(order) { total(order) - refunded } else { 0 };
        let kept = charge.map_or(0, |charge| number(charge, "refundable"));
        self.ensure(kept == due, || {
            format!("{id} is {status}, and the provider keeps {kept} instead of {due}")
        });
        if total(order) == 0 {
            self.check_free_order(id, charge, payments);
        }
        let needs_review = text(order, "needs_review");
        let is_expected = self.had_day_outage || needs_review == self.may_need_review;
        self.ensure(needs_review.is_empty() || is_expected, || {
            format!("{id} needs review: {needs_review}")
        });
    }

    /// Checks that an order of total 0 has no charge, no attempt, no intent except a closed one,
    /// and no entry about money in the ledger.
    fn check_free_order(&self, id: &str, charge: Option<&Item>, payments: &[Arc<Item>]) {
        self.ensure(charge.is_none(), || format!("{id} is free, and charged"));
        for item in payments.iter().filter(|item| text(item, "order_id") == id) {
            let is_closed = text(item, "state") == "closed" && number(item, "amount") == 0;
            self.ensure(is_closed && !text(item, "sk").starts_with("ATTEMPT#"), || {
                format!("{id} is free, and payments has {item:?}")
            });
        }
        let ledger = self.shop.aws.stored("ledger");
        let mut of_order = ledger.iter().filter(|entry| text(entry, "pk").ends_with(id));
        let entry = of_order.find(|entry| {
            let lines = entry.get("lines").and_then(Attribute::members);
            lines.is_some_and(|lines| lines.contains_key("USD"))
        });
        self.ensure(entry.is_none(), || format!("{id} is free, and the ledger has {entry:?}"));
    }

    /// Checks that each buyer was notified of the end of their order, with its total.
    pub(super) fn check_mails(&self) {
        self.check_mailed_totals();
        if let Some(at) = self.account_deleted_at {
            return self.check_erasure(at);
        }
        let recorded = self.shop.aws.stored("notifications");
        let recorded: BTreeSet<(&str, &str)> =
            recorded.iter().map(|item| (text(item, "order_id"), text(item, "template"))).collect();
        for order in self.stored_orders() {
            let (id, status) = (order_id(&order), text(&order, "status"));
            let price = order.get("price").and_then(Attribute::members);
            let is_shipped = price.is_none_or(|price| price.contains_key("shipping"));
            let due: &[&str] = match status {
                "delivered" if !is_shipped => &["order_confirmed", "order_delivered"],
                "shipped" => &["order_confirmed", "order_shipped"],
                "delivered" => &["order_confirmed", "order_shipped", "order_delivered"],
                "confirmed" => &["order_confirmed"],
                "cancelled" => &["order_cancelled"],
                _ => &["order_failed"],
            };
            for template in due {
                self.ensure(recorded.contains(&(id, template)), || {
                    format!("{id}: {template} was not sent")
                });
            }
            self.ensure(is_shipped || !recorded.contains(&(id, "order_shipped")), || {
                format!("{id} ships nothing, and order_shipped was sent")
            });
        }
    }

    /// Checks that no personal data of a deleted account is left. Only a mail that is sent after
    /// the deletion is recorded, without them, until the record expires.
    fn check_erasure(&self, deleted_at: Timestamp) {
        for table in ["orders", "order-carts", "payments", "ledger", "users", "notifications"] {
            for item in self.shop.aws.items(table) {
                let item = item.to_string();
                let left = BUYER.into_iter().find(|data| item.contains(data));
                self.ensure(left.is_none(), || format!("{table} still has {left:?}: {item}"));
            }
        }
        let deleted_at = deleted_at.to_string();
        let is_late = |item: &Value| {
            let written_at = item["updated_at"]["S"].as_str().unwrap_or_default();
            written_at >= deleted_at.as_str() && !item["ttl"].is_null()
        };
        let left = self.notifications_of_buyer().into_iter().find(|item| !is_late(item));
        self.ensure(left.is_none(), || format!("a notification is left: {left:?}"));
    }

    /// The notifications that name the buyer.
    pub fn notifications_of_buyer(&self) -> Vec<Value> {
        let mut notifications = self.shop.aws.items("notifications");
        notifications.retain(|item| item.to_string().contains(events::USER));
        notifications
    }

    /// The charge of each order at the provider. [`super::invariants`] rejects a second one.
    pub(super) fn charges(&self) -> BTreeMap<String, Arc<Item>> {
        let items = self.shop.aws.stored("payment-simulator").into_iter();
        let charges = items.filter(|item| text(item, "pk").starts_with("CHARGE#"));
        charges.map(|charge| (text(&charge, "order_id").to_owned(), charge)).collect()
    }

    /// The quantity of the products that was received, minus the quantity that was written off.
    pub(super) fn received(&self) -> i64 {
        let items = self.shop.aws.stored("stock");
        let movements = items.iter().filter(|item| text(item, "pk").starts_with("MOVE#"));
        movements.map(|movement| number(movement, "delta")).sum()
    }

    /// The quantities on hand and available, over all shards.
    pub(super) fn quantities(&self) -> (i64, i64) {
        let items = self.shop.aws.stored("stock");
        let shards = items.iter().filter(|item| text(item, "pk").starts_with("STOCK#"));
        let shards = shards.map(|shard| (number(shard, "on_hand"), number(shard, "available")));
        shards.fold((0, 0), |sum, shard| (sum.0 + shard.0, sum.1 + shard.1))
    }
}

fn is_fulfilled(order: &Item) -> bool {
    ["confirmed", "shipped", "delivered"].contains(&text(order, "status"))
}

pub(super) fn total(order: &Item) -> i64 {
    let totals = order.get("totals").and_then(Attribute::members);
    totals.map_or(0, |totals| number(totals, "total"))
}

/// The id of the order, which its key contains.
fn order_id(order: &Item) -> &str {
    text(order, "pk").trim_start_matches("ORDER#")
}
