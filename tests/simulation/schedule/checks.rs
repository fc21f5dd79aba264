//! Invariants at the end of a schedule: of every order, and of the ledger.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{NOT_SENT_AGAIN, QUEUES, Schedule, number, text};

impl Schedule {
    /// Checks the invariants of the orders. Returns their final states.
    pub fn check(&self) -> Vec<String> {
        for queue in QUEUES {
            let rejected = self.shop.aws.queues().waiting(&format!("{queue}-dead-letter"));
            assert!(
                rejected.is_empty(),
                "the consumer of {queue} rejected messages: {rejected:#?}\n{}",
                self.trace_report()
            );
        }
        let unwanted = self.shop.provider.unwanted_charges();
        assert!(
            unwanted.is_empty(),
            "charged after the order was cancelled: {unwanted:#?}\n{}",
            self.trace_report()
        );
        let lost_charges: BTreeSet<String> = self
            .shop
            .provider
            .lost_charges()
            .iter()
            .map(|charge| charge.order_id.to_string())
            .collect();
        let orders = self.shop.aws.orders();
        assert_eq!(orders.len(), self.orders.len(), "an order was lost\n{}", self.trace_report());
        let (provider_records, payments) =
            (self.shop.aws.items("payment-simulator"), self.shop.aws.items("payments"));
        let mut sold = 0;
        let ends = orders.iter().map(|order| {
            let (id, status) = (text(order, "order_id"), text(order, "status"));
            let charges: Vec<&Value> = provider_records
                .iter()
                .filter(|item| {
                    text(item, "pk").starts_with("CHARGE#") && text(item, "order_id") == id
                })
                .collect();
            let kept: i64 = charges.iter().map(|charge| number(charge, "refundable")).sum();
            let is_fulfilled = ["confirmed", "shipped", "delivered"].contains(&status.as_str());
            assert!(
                is_fulfilled || ["cancelled", "failed"].contains(&status.as_str()),
                "{id} is {status}\n{}",
                self.trace_report()
            );
            let of_it = payments
                .iter()
                .filter(|item| text(item, "order_id") == id && text(item, "state") == "succeeded");
            let refunded_total: i64 = of_it
                .filter(|item| text(item, "kind") == "requested")
                .map(|refund| number(refund, "amount"))
                .sum();
            let due = if is_fulfilled {
                number(&order["totals"]["M"]["total"]["M"], "amount") - refunded_total
            } else {
                0
            };
            assert!(
                charges.len() <= 1,
                "{id} was charged {} times\n{}",
                charges.len(),
                self.trace_report()
            );
            assert_eq!(
                kept,
                due,
                "{id} is {status}, and the provider keeps {kept}\n{}",
                self.trace_report()
            );
            let is_clear = order["needs_review"]["S"].is_null() || self.had_day_outage;
            assert!(
                is_clear,
                "{id} needs review: {}\n{}",
                order["needs_review"],
                self.trace_report()
            );
            if is_fulfilled {
                sold += number(order, "item_count");
            }
            let refunded = match charges.first() {
                Some(charge) if number(charge, "refundable") == 0 => ", refunded",
                Some(charge) if number(charge, "refundable") < number(charge, "amount") => {
                    ", refunded in part"
                }
                None if lost_charges.contains(&id) => NOT_SENT_AGAIN,
                _ => "",
            };
            format!("{status}{refunded}")
        });
        let ends = ends.collect();
        let left = self.received() - sold;
        assert_eq!(
            self.quantities(),
            (left, left),
            "the stock does not add up\n{}",
            self.trace_report()
        );
        // A lost message loses its mail. Every recorded mail was sent, occasionally twice after a
        // crash.
        let (noted, sent) =
            (self.shop.aws.items("notifications").len(), self.shop.aws.mails().mails().len());
        let lost =
            self.lost_messages.iter().filter(|(queue, _)| *queue == "send-notification").count();
        assert!(
            sent + lost >= noted,
            "{noted} mails were recorded and {sent} sent\n{}",
            self.trace_report()
        );
        ends
    }

    /// Checks the state after the redrive: every movement is in the ledger, and every buyer was
    /// notified.
    pub async fn check_ledger(&self) {
        let (mut accounts, mut units): (BTreeMap<String, i64>, BTreeMap<String, i64>) =
            Default::default();
        for entry in self.shop.aws.items("ledger") {
            // Amounts by unit and account. There is one product, and the balances of all orders are
            // added up.
            for (unit, lines) in entry["lines"]["M"].as_object().into_iter().flatten() {
                for (account, amount) in lines["M"].as_object().into_iter().flatten() {
                    let amount: i64 = amount["N"].as_str().unwrap().parse().unwrap();
                    *accounts.entry(account.clone()).or_default() += amount;
                    *units.entry(unit.clone()).or_default() += amount;
                }
            }
        }
        assert!(
            units.values().all(|sum| *sum == 0),
            "the ledger does not add up: {units:?}\n{}",
            self.trace_report()
        );
        let balance = |account: &str| accounts.get(account).copied().unwrap_or_default();
        let provider_records = self.shop.aws.items("payment-simulator");
        let kept: i64 = provider_records
            .iter()
            .filter(|item| text(item, "pk").starts_with("CHARGE#"))
            .map(|item| number(item, "refundable"))
            .sum();
        assert_eq!(
            (balance("provider_clearing"), balance("customer_funds")),
            (kept, -kept),
            "{accounts:?}\n{}",
            self.trace_report()
        );
        let (on_hand, available) = self.quantities();
        assert_eq!(on_hand, available, "goods are held for no order\n{}", self.trace_report());
        let sold = self.received() - on_hand;
        let buckets = ["on_hand", "shipped_out", "outside"].map(balance);
        assert_eq!(
            buckets,
            [on_hand, sold, -self.received()],
            "{accounts:?}\n{}",
            self.trace_report()
        );

        // Recent changes are not audited.
        self.shop.clock.advance(ledger::GRACE);
        // Some schedules audit everything, which queries every shard of every index. The others
        // audit each order by its id.
        let finds_all = self.seed.is_multiple_of(4);
        let asked = if finds_all {
            vec![json!({})]
        } else {
            self.orders.iter().map(|order| json!({ "order_id": order })).collect()
        };
        for event in asked {
            let report = self.shop.call("reconcile-ledger", event).await;
            let report = report.ok();
            for named in ["unsettled", "unbalanced", "products", "not_checked"] {
                assert_eq!(
                    report[named],
                    json!([]),
                    "{named} in {report:#}\n{}",
                    self.trace_report()
                );
            }
            let checked = if finds_all { (self.orders.len(), 1) } else { (1, 0) };
            assert_eq!(
                (&report["checked"], &report["products_checked"]),
                (&json!(checked.0), &json!(checked.1)),
                "{report:#}"
            );
        }

        let written: BTreeSet<(String, String)> = self
            .shop
            .aws
            .items("notifications")
            .iter()
            .map(|item| (text(item, "order_id"), text(item, "template")))
            .collect();
        for order in self.shop.aws.orders() {
            let (id, status) = (text(&order, "order_id"), text(&order, "status"));
            let due: &[&str] = match status.as_str() {
                "shipped" => &["order_confirmed", "order_shipped"],
                "delivered" => &["order_confirmed", "order_shipped", "order_delivered"],
                "confirmed" => &["order_confirmed"],
                "cancelled" => &["order_cancelled"],
                _ => &["order_failed"],
            };
            for template in due {
                assert!(
                    written.contains(&(id.clone(), (*template).to_owned())),
                    "{id}: {template} was not sent\n{}",
                    self.trace_report()
                );
            }
        }
    }

    /// The quantity of the product that was received, minus the quantity that was written off.
    fn received(&self) -> i64 {
        let items = self.shop.aws.items("stock");
        items
            .iter()
            .filter(|item| text(item, "pk").starts_with("MOVE#"))
            .map(|movement| number(movement, "delta"))
            .sum()
    }

    /// The quantities on hand and available, over all shards.
    fn quantities(&self) -> (i64, i64) {
        let items = self.shop.aws.items("stock");
        let parts = items.iter().filter(|item| text(item, "pk").starts_with("STOCK#"));
        let parts = parts.map(|part| (number(part, "on_hand"), number(part, "available")));
        parts.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
    }
}
