//! Whole orders, from the request to the mail, through every service, in one process.
#![allow(clippy::unwrap_used)]

mod after_checkout;
#[path = "../examples/place_order.rs"]
mod example;
mod free_orders;
mod late_provider_events;
mod one_price;
mod ordered_carts;
mod provider_unavailable;
mod sales;
mod stopped_consumer;

use std::{collections::BTreeMap, io::Write, time::Duration};

use serde_json::{Value, json};
use tests::{
    events,
    harness::Harness,
    shop::{PAY_WITHIN, Shop},
};

#[test]
fn example_runs() {
    example::main();
}

/// A shop with 10 teapots at 29.99.
async fn shop() -> (Shop, String) {
    let shop = Shop::new();
    let product = shop.product("teapot", 2999, 10).await;
    shop.harness().drain_queues().await;
    (shop, product)
}

async fn placed(shop: &Shop, product: &str, quantity: u32, token: Option<&str>) -> String {
    let request = events::post("/orders", &events::order_request(product, quantity, token))
        .caller(events::USER);
    let called =
        shop.call("create-order", request.header("idempotency-key", "order").event()).await;
    assert_eq!(
        (called.status(), called.json()["status"].as_str()),
        (201, Some("pending")),
        "{:?}",
        called.answer
    );
    called.json()["id"].as_str().unwrap().to_owned()
}

/// On hand, available and reserved, as an admin sees them.
async fn stock(shop: &Shop, product: &str) -> (i64, i64, i64) {
    let request =
        events::get("/inventory").caller(events::ADMIN).path_parameter("product_id", product);
    let view = shop.call("get-stock", request.event()).await.json();
    let number = |name: &str| view[name].as_i64().unwrap_or_else(|| panic!("{name} in {view}"));
    (number("on_hand"), number("available"), number("held"))
}

fn subjects(shop: &Shop) -> Vec<String> {
    shop.aws.mails().mails().into_iter().map(|mail| mail.subject).collect()
}

async fn pay(shop: &Shop, order: &str, token: &str) -> Value {
    let body = json!({ "order_id": order, "payment_method": { "type": "card", "token": token } });
    let request =
        events::post("/payments", &body).caller(events::USER).header("idempotency-key", token);
    let called = shop.call("create-payment", request.event()).await;
    json!({ "http": called.status(), "body": called.json() })
}

/// Advances the clock, runs the sweeps and drains the queues.
async fn time_passes(shop: &Shop, harness: &mut Harness, seconds: u64) {
    shop.clock.advance(Duration::from_secs(seconds));
    for operation in ["resume-orders", "reconcile-payments"] {
        let called = shop.call(operation, json!({})).await;
        assert!(called.answer.is_ok(), "{operation}: {:?}", called.answer);
    }
    harness.drain_queues().await;
}

/// Asserts that provider, payments, orders, stock and ledger agree on every order and product.
async fn assert_reconciled(shop: &Shop) {
    // The reconciliation skips changes within the grace period.
    shop.clock.advance(ledger::GRACE);
    let report = shop.call("reconcile-ledger", json!({})).await;
    let report = report.ok();
    for named in ["unsettled", "unbalanced", "products", "not_checked"] {
        assert_eq!(report[named], json!([]), "{report:#}");
    }
    let (orders, products) = (
        shop.aws.orders().len(),
        shop.aws.items("products").iter().filter(|item| is_product(item)).count(),
    );
    assert_eq!(
        (report["checked"].as_u64(), report["products_checked"].as_u64()),
        (Some(orders as u64), Some(products as u64)),
        "{report:#}"
    );
}

fn is_product(item: &Value) -> bool {
    item["pk"]["S"].as_str().is_some_and(|key| key.starts_with("PRODUCT#"))
}

/// Asserts that no command is pending, no dead letter exists, and the ledger reconciles.
async fn assert_settled(shop: &Shop) {
    for order in shop.aws.orders() {
        assert!(order.get("next_check_at").is_none(), "a command is still pending: {order}");
    }

    const OF_PAYMENTS: [&str; 4] =
        ["open-payment", "charge-payment", "cancel-payment", "refund-payment"];
    for queue in ["order-events", "reserve-stock", "release-stock", "commit-stock", "record-entry"]
        .into_iter()
        .chain(OF_PAYMENTS)
    {
        assert!(
            shop.aws.queues().waiting(&format!("{queue}-dead-letter")).is_empty(),
            "{queue} has dead letters"
        );
    }
    for publisher in ["product", "stock", "order", "payment"] {
        let dead = shop.aws.queues().waiting(&format!("publish-{publisher}-dead-letter"));
        assert!(dead.is_empty(), "the publisher of {publisher} could not read a change: {dead:?}");
    }
    assert_reconciled(shop).await;
}

#[tokio::test]
async fn paid_order_is_confirmed_committed_and_mailed_once() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let read = shop.read_order(&order).await;
    assert_eq!(
        (read["status"].as_str(), read["payment_status"].as_str()),
        (Some("confirmed"), Some("paid")),
        "{read}\n{:#?}",
        harness.story()
    );
    assert_eq!(stock(&shop, &product).await, (8, 8, 0));
    assert_eq!(subjects(&shop), ["Your order is confirmed"]);
    assert_settled(&shop).await;
}

#[tokio::test]
async fn later_payment_confirms_the_order() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, None).await;
    shop.harness().drain_queues().await;
    assert_eq!(stock(&shop, &product).await, (10, 8, 2));
    let paid = pay(&shop, &order, "tok_ok").await;
    assert_eq!(
        (paid["http"].as_u64(), paid["body"]["status"].as_str()),
        (Some(201), Some("completed")),
        "{paid}"
    );
    shop.harness().drain_queues().await;
    assert_eq!(shop.read_order(&order).await["status"], "confirmed");
    assert_eq!(stock(&shop, &product).await, (8, 8, 0));
    assert_eq!(subjects(&shop), ["Your order is confirmed"]);
    assert_settled(&shop).await;
}

#[tokio::test]
async fn order_above_stock_fails_without_a_charge() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 11, Some("tok_ok")).await;
    shop.harness().drain_queues().await;
    let read = shop.read_order(&order).await;
    assert_eq!(read["status"], "failed", "{read}");
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    assert!(shop.aws.items("payment-simulator").is_empty(), "the provider was called");
    assert_eq!(subjects(&shop), ["Your order could not be completed"]);
    assert_settled(&shop).await;
}

#[tokio::test]
async fn declined_card_leaves_time_for_another() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 1, Some("tok_declined")).await;
    shop.harness().drain_queues().await;
    assert_eq!(shop.read_order(&order).await["status"], "pending");
    assert_eq!(subjects(&shop), ["Your payment was declined"]);
    let paid = pay(&shop, &order, "tok_ok").await;
    assert_eq!(paid["http"], 201, "{paid}");
    shop.harness().drain_queues().await;
    assert_eq!(shop.read_order(&order).await["status"], "confirmed");
    assert_eq!(subjects(&shop), ["Your payment was declined", "Your order is confirmed"]);
    assert_settled(&shop).await;
}

#[tokio::test]
async fn unpaid_order_expires_and_releases_its_stock() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 3, None).await;
    shop.harness().drain_queues().await;
    assert_eq!(stock(&shop, &product).await, (10, 7, 3));
    let mut harness = shop.harness();
    for seconds in [PAY_WITHIN.as_secs(), 3600, 3600] {
        time_passes(&shop, &mut harness, seconds).await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!(read["status"], "cancelled", "{read}");
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    assert_eq!(subjects(&shop), ["Your order is cancelled"]);
    let late = pay(&shop, &order, "tok_ok").await;
    assert_eq!(
        (late["http"].as_u64(), late["body"]["code"].as_str()),
        (Some(409), Some("order_closed")),
        "{late}"
    );
    assert_settled(&shop).await;
}

#[tokio::test]
async fn charge_with_a_lost_response_confirms_the_order_once() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 1, Some("tok_timeout_after_charge")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    assert_eq!(shop.read_order(&order).await["payment_status"], "unknown");
    for _ in 0..5 {
        time_passes(&shop, &mut harness, 600).await;
    }
    assert_eq!(shop.read_order(&order).await["status"], "confirmed");
    assert_eq!(subjects(&shop), ["Your order is confirmed"]);
    assert_settled(&shop).await;
}

#[tokio::test]
async fn duplicate_messages_change_nothing() {
    let (shop, product) = shop().await;
    placed(&shop, &product, 2, Some("tok_ok")).await;
    shop.harness().drain_queues().await;
    let before: Vec<_> = ["orders", "stock", "payments", "payment-simulator"]
        .map(|table| shop.aws.items(table))
        .into();
    // A new harness reads every stream from the start: each change is published and each message
    // delivered again.
    shop.harness().drain_queues().await;
    let after: Vec<_> = ["orders", "stock", "payments", "payment-simulator"]
        .map(|table| shop.aws.items(table))
        .into();
    assert_eq!(before, after);
    assert_eq!(subjects(&shop), ["Your order is confirmed"]);
}

#[tokio::test]
async fn one_trace_spans_the_request_every_queue_and_the_mail() {
    let (shop, product) = shop().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = json!({ "items": [{ "product_id": product, "quantity": 1 }], "payment_method": { "type": "card", "token": "tok_ok" } });
    let request = events::post("/orders", &body)
        .caller(events::USER)
        .header("idempotency-key", "traced")
        .header("traceparent", trace);
    // Earlier messages belong to other requests.
    let mut harness = shop.harness();
    harness.drain_queues().await;
    harness.delivered.clear();
    assert_eq!(shop.call("create-order", request.event()).await.status(), 201);
    harness.drain_queues().await;
    for delivery in ["send-notification send_notification.v1", "record-entry record_entry.v1"] {
        assert!(harness.story().contains(&delivery.to_owned()), "{:#?}", harness.story());
    }
    for (queue, message) in &harness.delivered {
        assert_eq!(message["traceparent"], trace, "{queue}: {message}");
    }
    assert_provider_and_mails_have(&shop, &trace[3..35]);
}

/// Asserts that the provider's charge and each mail have this trace id.
fn assert_provider_and_mails_have(shop: &Shop, trace_id: &str) {
    let charges = shop.aws.items("payment-simulator");
    let is_charge =
        |item: &&Value| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("CHARGE#"));
    let charges: Vec<&Value> = charges.iter().filter(is_charge).collect();
    assert_eq!(charges.len(), 1, "{charges:#?}");
    assert_eq!(charges[0]["trace_id"]["S"], trace_id, "{charges:#?}");
    let mails = shop.aws.mails().mails();
    assert!(!mails.is_empty() && mails.iter().all(|mail| mail.trace_id == trace_id), "{mails:#?}");
}

/// The charge is made, its response is lost, and the sweeps of both services continue the order.
#[tokio::test]
async fn sweeps_continue_the_trace_of_the_order() {
    let (shop, product) = shop().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = events::post(
        "/orders",
        &events::order_request(&product, 1, Some("tok_timeout_after_charge")),
    )
    .caller(events::USER)
    .header("idempotency-key", "lost")
    .header("traceparent", trace);
    let mut harness = shop.harness();
    harness.drain_queues().await;
    harness.delivered.clear();
    let order = shop.call("create-order", request.event()).await.json()["id"].clone();
    harness.drain_queues().await;
    let first = harness.delivered.len();
    for _ in 0..4 {
        time_passes(&shop, &mut harness, 120).await;
    }
    assert_eq!(shop.read_order(order.as_str().unwrap()).await["status"], "confirmed");
    assert!(harness.delivered.len() > first, "{:#?}", harness.story());
    for (queue, message) in &harness.delivered {
        assert_eq!(message["traceparent"], trace, "{queue}: {message}");
    }
    assert_provider_and_mails_have(&shop, &trace[3..35]);
}

/// The command to inventory is lost, and `resume-orders` sends it again.
#[tokio::test]
async fn command_that_is_sent_again_continues_the_trace_of_the_order() {
    let (shop, product) = shop().await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let stopped = harness.stop("reserve-stock");
    harness.delivered.clear();
    let order = placed(&shop, &product, 1, Some("tok_ok")).await;
    let trace = shop.aws.orders()[0]["traceparent"]["S"].clone();
    for _ in 0..3 {
        time_passes(&shop, &mut harness, 241).await;
    }
    harness.start("reserve-stock", stopped);
    harness.drain_queues().await;
    let is_sent_again = harness.delivered.iter().any(|(queue, message)| {
        *queue == "reserve-stock" && message["data"]["attempt"].as_u64() > Some(0)
    });
    assert!(is_sent_again, "{:#?}", harness.story());
    assert_eq!(shop.read_order(&order).await["status"], "confirmed");
    for (queue, message) in &harness.delivered {
        assert_eq!(message["traceparent"], trace, "{queue}: {message}");
    }
}

#[tokio::test]
async fn paid_order_costs_the_documented_units() {
    let (shop, product) = shop().await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    harness.delivered.clear();
    let before = shop.aws.calls().len();
    let order = placed(&shop, &product, 1, Some("tok_ok")).await;
    harness.drain_queues().await;
    assert_eq!(shop.read_order(&order).await["status"], "confirmed");
    let mut calls: BTreeMap<String, u32> = BTreeMap::new();
    // The simulated provider stores its records in a table, which a real provider does not need.
    for call in
        shop.aws.calls()[before..].iter().filter(|call| !call.tables.contains("payment-simulator"))
    {
        *calls.entry(format!("{} {}", call.service, call.operation)).or_default() += 1;
    }
    let delivered = harness.delivered.len();
    let count =
        |operation: &str| calls.get(&format!("dynamodb {operation}")).copied().unwrap_or_default();
    let (reads, writes) =
        (count("GetItem") + count("BatchGetItem"), count("PutItem") + count("UpdateItem"));
    let counted = (reads, count("Query"), writes, count("TransactWriteItems"), delivered);
    // One read is this test's own. Three of the writes and of the messages are the ledger's.
    assert_eq!(counted, (7 + 1, 0, 8, 5, 10), "{calls:#?} {:#?}", harness.story());
    let _ = writeln!(std::io::stderr(), "a paid order: {delivered} messages, {calls:?}");
}
