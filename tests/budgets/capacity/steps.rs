//! The write units of an order by step: paid orders of 1, 10 and 40 lines, and an order that its
//! buyer abandons. The units of the ledger are counted apart.

use std::collections::BTreeMap;

use tests::{
    events::{new_order, sqs},
    harness::Harness,
    shop::{PAY_WITHIN, consumer_of, queues},
};

use super::*;

/// Time between a change, its message and the consumer. With a stopped clock, a write that only
/// moves a time would cost nothing.
const STEP: Duration = Duration::from_millis(100);

/// The steps of a paid order of one product, with their write units.
const PAID: [(&str, u64); 8] = [
    ("create-order", 10),
    ("reserve-stock reserve_stock.v1", 5),
    ("advance-order stock_reserved.v1", 1),
    ("charge-payment charge_payment.v1", 8),
    ("advance-order payment_succeeded.v1", 5),
    ("commit-stock commit_stock.v1", 5),
    ("advance-order stock_committed.v1", 3),
    ("send-notification send_notification.v1", 2),
];

/// The steps of an order that its buyer does not pay, with their write units.
const ABANDONED: [(&str, u64); 11] = [
    ("create-order", 10),
    ("reserve-stock reserve_stock.v1", 5),
    ("advance-order stock_reserved.v1", 1),
    ("open-payment open_payment.v1", 1),
    ("advance-order payment_opened.v1", 3),
    ("resume-orders", 1),
    ("release-stock release_stock.v1", 5),
    ("cancel-payment cancel_payment.v1", 1),
    ("advance-order stock_released.v1", 1),
    ("advance-order payment_closed.v1", 6),
    ("send-notification send_notification.v1", 2),
];

/// The write units of a paid order by table, for a number of lines.
const TABLES: [(usize, [(&str, u64); 4]); 3] = [
    (1, [("notifications", 2), ("orders", 19), ("payments", 8), ("stock", 10)]),
    (10, [("notifications", 2), ("orders", 22), ("payments", 8), ("stock", 46)]),
    (40, [("notifications", 4), ("orders", 37), ("payments", 8), ("stock", 170)]),
];

/// Delivers changes and messages one by one, and counts the write units of each step.
pub struct Deliveries {
    shop: Shop,
    harness: Harness,
    steps: BTreeMap<String, u64>,
}

impl Deliveries {
    pub fn of(shop: &Shop) -> Self {
        Self { shop: shop.clone(), harness: shop.harness(), steps: BTreeMap::new() }
    }

    /// Delivers all changes and messages.
    pub async fn drain(&mut self) {
        loop {
            let mut has_moved = self.harness.publish().await;
            self.shop.clock.advance(STEP);
            for queue in queues() {
                for message in self.shop.aws.queues().take_within(queue, usize::MAX, 0) {
                    has_moved = true;
                    let consumer = consumer_of(queue);
                    let step = format!("{consumer} {}", message.json()["type"].as_str().unwrap());
                    let called = self.count(&step, &consumer, sqs(queue, &[message])).await;
                    assert!(called.is_done(), "{step}: {:?}", called.answer);
                }
            }
            self.shop.clock.advance(STEP);
            if !has_moved {
                return;
            }
        }
    }

    /// Calls a function, and adds its write units to a step.
    async fn count(&mut self, step: &str, operation: &str, event: Value) -> Called {
        let before = units(&self.shop);
        let called = self.shop.call(operation, event).await;
        let units = units(&self.shop) - before;
        if units > 0 {
            *self.steps.entry(step.to_owned()).or_default() += units;
        }
        called
    }
}

/// The write units so far by key, without the ledger, the simulated provider and the leases of
/// sweeps, which each run writes.
fn keys(shop: &Shop) -> BTreeMap<String, u64> {
    let mut units = shop.aws.write_units();
    units.retain(|key, _| {
        !["ledger", "payment-simulator", "orders LEASE", "payments LEASE"]
            .iter()
            .any(|other| key.starts_with(other))
    });
    units
}

fn units(shop: &Shop) -> u64 {
    keys(shop).values().sum()
}

fn by_table(shop: &Shop) -> BTreeMap<String, u64> {
    let mut tables = BTreeMap::new();
    for (key, units) in keys(shop) {
        let table = key.split([' ', '/']).next().unwrap_or(&key).to_owned();
        *tables.entry(table).or_default() += units;
    }
    tables
}

fn named(steps: &[(&str, u64)]) -> BTreeMap<String, u64> {
    steps.iter().map(|(step, units)| ((*step).to_owned(), *units)).collect()
}

/// Places an order of one piece of each product.
async fn place(deliveries: &mut Deliveries, products: &[String], token: Option<&str>) {
    let items: Vec<Value> =
        products.iter().map(|id| json!({ "product_id": id, "quantity": 1 })).collect();
    let mut body = json!({ "items": items });
    if let Some(token) = token {
        body["payment_method"] = json!({ "type": "card", "token": token });
    }
    deliveries.shop.aws.count_write_units(None);
    let placed = deliveries.count("create-order", "create-order", new_order("order", &body)).await;
    assert_eq!(placed.status(), 201, "{:?}", placed.answer);
    deliveries.drain().await;
}

#[tokio::test]
async fn write_units_of_a_paid_order_are_known_for_every_step() {
    let (shop, product) = shop().await;
    let mut deliveries = Deliveries::of(&shop);
    deliveries.drain().await;
    place(&mut deliveries, &[product], Some("tok_ok")).await;
    assert_eq!(deliveries.steps, named(&PAID));
}

#[tokio::test]
async fn write_units_of_a_paid_order_are_known_for_every_number_of_lines() {
    let mut counted = BTreeMap::new();
    for (lines, _) in TABLES {
        let shop = Shop::new();
        let mut products = Vec::new();
        for number in 0..lines {
            products.push(shop.product(&format!("product-{number}"), 1000, 5).await);
        }
        let mut deliveries = Deliveries::of(&shop);
        deliveries.drain().await;
        place(&mut deliveries, &products, Some("tok_ok")).await;
        counted.insert(lines, by_table(&shop));
    }
    let expected: BTreeMap<_, _> =
        TABLES.iter().map(|(lines, tables)| (*lines, named(tables))).collect();
    assert_eq!(counted, expected);
}

/// The sweeps run every minute. They read only the index until the payment deadline.
#[tokio::test]
async fn order_that_waits_for_its_buyer_costs_nothing_until_its_deadline() {
    let (shop, product) = shop().await;
    let mut deliveries = Deliveries::of(&shop);
    deliveries.drain().await;
    place(&mut deliveries, &[product], None).await;
    let before = units(&shop);
    for _ in 0..29 {
        shop.clock.advance(Duration::from_secs(60));
        for operation in ["resume-orders", "reconcile-payments"] {
            let called = shop.call(operation, json!({})).await;
            let mut calls = called.operations();
            calls.sort_unstable();
            let lease = ["PutItem", "PutItem"].into_iter();
            let expected: Vec<&str> = lease.chain(["Query"; SHARDS as usize]).collect();
            assert_eq!(calls, expected, "{operation}: {:?}", called.answer);
        }
        deliveries.harness.publish().await;
        let waiting = |queue| shop.aws.queues().waiting(queue);
        assert!(queues().all(|queue| waiting(queue).is_empty()), "no message about the order");
    }
    assert_eq!(units(&shop), before);

    shop.clock.advance(PAY_WITHIN);
    let resumed = deliveries.count("resume-orders", "resume-orders", json!({})).await;
    assert_eq!(resumed.ok()["resumed"], 1);
    deliveries.drain().await;
    assert_eq!(deliveries.steps, named(&ABANDONED));
    let order = &shop.aws.orders()[0];
    assert_eq!((&order["status"]["S"], order.get("check_shard")), (&json!("cancelled"), None));
}
