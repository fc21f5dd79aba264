//! What holds once everything has settled: of every order, of the stock, and of the ledger.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::json;
use tests::dynamodb::{Attribute, Item, number, text};

use super::{NOT_SENT_AGAIN, QUEUES, Stage};

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
        let left = self.received() - sold;
        self.ensure(self.quantities() == (left, left), || {
            format!("the stock is {:?} instead of {left}", self.quantities())
        });
        // A lost message loses its mail. Every recorded mail was sent, occasionally twice after a
        // crash.
        let recorded = self.shop.aws.stored("notifications").len();
        let sent = self.shop.aws.mails().count();
        self.ensure(sent + self.lost_mails >= recorded, || {
            format!("{recorded} mails were recorded and {sent} sent")
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
        let needs_review = text(order, "needs_review");
        self.ensure(needs_review.is_empty() || self.had_day_outage, || {
            format!("{id} needs review: {needs_review}")
        });
    }

    /// Checks the state after the redrive: every movement is in the ledger, and every buyer was
    /// notified. An audit of everything queries every shard of every index; otherwise each order
    /// is audited by its id.
    pub async fn check_ledger(&self, audits_everything: bool) {
        self.check_accounts();
        // Recent changes are not audited.
        self.shop.clock.advance(ledger::GRACE);
        let asked = if audits_everything {
            vec![json!({})]
        } else {
            self.orders.iter().map(|order| json!({ "order_id": order.id })).collect()
        };
        for event in asked {
            let called = self.shop.call("reconcile-ledger", event).await;
            self.ensure(called.answer.is_ok(), || format!("{:?}", called.answer));
            let report = called.ok();
            for named in ["unsettled", "unbalanced", "products", "not_checked"] {
                self.ensure(report[named] == json!([]), || format!("{named} in {report:#}"));
            }
            let checked = if audits_everything { (self.orders.len(), 1) } else { (1, 0) };
            let is_checked =
                report["checked"] == checked.0 && report["products_checked"] == checked.1;
            self.ensure(is_checked, || format!("{report:#}"));
        }
        self.check_mails();
    }

    /// Checks the sums of the ledger's accounts.
    fn check_accounts(&self) {
        let (mut accounts, mut units): (BTreeMap<String, i64>, BTreeMap<String, i64>) =
            Default::default();
        for entry in self.shop.aws.stored("ledger") {
            // Amounts by unit and account. There is one product, and the balances of all orders are
            // added up.
            let lines = entry.get("lines").and_then(Attribute::members);
            for (unit, amounts) in lines.into_iter().flatten() {
                let Some(amounts) = amounts.members() else { continue };
                for account in amounts.keys() {
                    *accounts.entry(account.clone()).or_default() += number(amounts, account);
                    *units.entry(unit.clone()).or_default() += number(amounts, account);
                }
            }
        }
        self.ensure(units.values().all(|sum| *sum == 0), || {
            format!("the ledger does not add up: {units:?}")
        });
        let balance = |account: &str| accounts.get(account).copied().unwrap_or_default();
        let kept: i64 = self.charges().values().map(|charge| number(charge, "refundable")).sum();
        let money = (balance("provider_clearing"), balance("customer_funds"));
        self.ensure(money == (kept, -kept), || {
            format!("the provider keeps {kept}, and the accounts are {accounts:?}")
        });
        let (on_hand, available) = self.quantities();
        self.ensure(on_hand == available, || {
            format!("{on_hand} are on hand, and only {available} available")
        });
        let received = self.received();
        let buckets = ["on_hand", "shipped_out", "outside"].map(balance);
        self.ensure(buckets == [on_hand, received - on_hand, -received], || {
            format!("{on_hand} are on hand, and the accounts are {accounts:?}")
        });
    }

    /// Checks that each buyer was notified of the end of their order.
    fn check_mails(&self) {
        let recorded = self.shop.aws.stored("notifications");
        let recorded: BTreeSet<(&str, &str)> =
            recorded.iter().map(|item| (text(item, "order_id"), text(item, "template"))).collect();
        for order in self.stored_orders() {
            let (id, status) = (order_id(&order), text(&order, "status"));
            let due: &[&str] = match status {
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
        }
    }

    /// The charge of each order at the provider. [`super::invariants`] rejects a second one.
    fn charges(&self) -> BTreeMap<String, Arc<Item>> {
        let items = self.shop.aws.stored("payment-simulator").into_iter();
        let charges = items.filter(|item| text(item, "pk").starts_with("CHARGE#"));
        charges.map(|charge| (text(&charge, "order_id").to_owned(), charge)).collect()
    }

    /// The quantity of the product that was received, minus the quantity that was written off.
    fn received(&self) -> i64 {
        let items = self.shop.aws.stored("stock");
        let movements = items.iter().filter(|item| text(item, "pk").starts_with("MOVE#"));
        movements.map(|movement| number(movement, "delta")).sum()
    }

    /// The quantities on hand and available, over all shards.
    fn quantities(&self) -> (i64, i64) {
        let items = self.shop.aws.stored("stock");
        let shards = items.iter().filter(|item| text(item, "pk").starts_with("STOCK#"));
        let shards = shards.map(|shard| (number(shard, "on_hand"), number(shard, "available")));
        shards.fold((0, 0), |sum, shard| (sum.0 + shard.0, sum.1 + shard.1))
    }
}

fn is_fulfilled(order: &Item) -> bool {
    ["confirmed", "shipped", "delivered"].contains(&text(order, "status"))
}

fn total(order: &Item) -> i64 {
    let totals = order.get("totals").and_then(Attribute::members);
    totals.map_or(0, |totals| number(totals, "total"))
}

/// The id of the order, which its key contains.
fn order_id(order: &Item) -> &str {
    text(order, "pk").trim_start_matches("ORDER#")
}
