//! Orders beyond the successful checkout: cancelled, refunded, waiting for 3-D Secure, shipped and
//! delivered.

mod bank;
mod refunds;

use serde_json::{Value, json};
use tests::{events, harness::Harness, shop::Shop};

use super::{assert_settled, pay, placed, shop, stock, subjects, time_passes};

/// The result of an action on an order: the status and the body of the response.
async fn step(
    shop: &Shop,
    operation: &str,
    caller: &str,
    order: &str,
    body: &Value,
) -> (u64, Value) {
    let request = events::post("/orders", body).caller(caller).path_parameter("order_id", order);
    let request = if body.is_null() { request.body("") } else { request };
    let called = shop.call(operation, request.event()).await;
    (called.status(), called.json())
}

/// Cancels an order, and drains the queues.
pub async fn cancel_order(shop: &Shop, harness: &mut Harness, order: &str) -> Value {
    let (status, cancelled) = step(
        shop,
        "cancel-order",
        events::USER,
        order,
        &json!({ "reason": "It is the wrong colour." }),
    )
    .await;
    assert_eq!(status, 202, "{cancelled}");
    harness.drain_queues().await;
    shop.read_order(order).await
}

async fn ship(shop: &Shop, order: &str, tracking: &str) -> (u64, Value) {
    step(
        shop,
        "ship-order",
        events::ADMIN,
        order,
        &json!({ "carrier": "Royal Mail", "tracking": tracking }),
    )
    .await
}

/// The status of an order, and the state of its payment.
pub fn statuses(order: &Value) -> (&str, &str) {
    (
        order["status"].as_str().unwrap_or_default(),
        order["payment_status"].as_str().unwrap_or_default(),
    )
}

/// The events in the history of an order, oldest first.
pub fn history(order: &Value) -> Vec<&str> {
    order["history"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["event"].as_str())
        .collect()
}

pub async fn payment_of(shop: &Shop, order: &str) -> String {
    let list = shop
        .call(
            "list-payments",
            events::get(&format!("/payments?order_id={order}")).caller(events::USER).event(),
        )
        .await;
    list.json()["items"][0]["id"].as_str().expect("the order has a payment").to_owned()
}

/// Refunds an amount in cents as an operator, or the remaining amount.
pub async fn refund_payment(
    shop: &Shop,
    key: &str,
    payment: &str,
    cents: Option<i64>,
) -> (u64, Value) {
    let mut body = json!({ "reason": "The lid was broken" });
    if let Some(cents) = cents {
        body["amount"] = json!({ "amount": cents, "currency": "USD" });
    }
    let request =
        events::post("/refunds", &body).caller(events::ADMIN).path_parameter("payment_id", payment);
    let called = shop.call("create-refund", request.header("idempotency-key", key).event()).await;
    (called.status(), called.json())
}

async fn deliver_webhook(shop: &Shop, event_id: &str, payment: &str) {
    let event = events::webhook(shop.aws.secrets_manager(), shop.clock.now(), event_id, payment);
    let received = shop.call("receive-payment-webhook", event).await;
    assert_eq!(received.status(), 200, "{:?}", received.answer);
}

/// The charges at the provider, each with its refundable amount.
pub fn charges(shop: &Shop) -> Vec<(i64, i64)> {
    let number = |item: &Value, name: &str| {
        item[name]["N"].as_str().and_then(|digits| digits.parse().ok()).expect("a number")
    };
    let records = shop.aws.items("payment-simulator");
    let charges = records
        .iter()
        .filter(|item| item["pk"]["S"].as_str().is_some_and(|key| key.starts_with("CHARGE#")));
    charges.map(|charge| (number(charge, "amount"), number(charge, "refundable"))).collect()
}

#[tokio::test]
async fn order_cancelled_before_payment_releases_its_stock() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 3, None).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    assert_eq!(stock(&shop, &product).await, (10, 7, 3));
    let read = cancel_order(&shop, &mut harness, &order).await;
    assert_eq!(
        (statuses(&read), &read["cancellation"]["by"]),
        (("cancelled", "unpaid"), &json!("customer")),
        "{read:#}"
    );
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    assert_eq!(
        (charges(&shop), subjects(&shop)),
        (vec![], vec!["Your order is cancelled".to_owned()])
    );
    let late = pay(&shop, &order, "tok_ok").await;
    assert_eq!(
        (late["http"].as_u64(), late["body"]["code"].as_str()),
        (Some(409), Some("order_closed")),
        "{late}"
    );
    assert_eq!(
        step(&shop, "cancel-order", events::USER, &order, &Value::Null).await.0,
        202,
        "a repetition succeeds"
    );
    assert_settled(&shop).await;
}

#[tokio::test]
async fn order_cancelled_at_once_holds_and_charges_nothing() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 3, Some("tok_ok")).await;
    let read = cancel_order(&shop, &mut shop.harness(), &order).await;
    assert_eq!(statuses(&read), ("cancelled", "unpaid"), "{read:#}");
    assert_eq!((stock(&shop, &product).await, charges(&shop)), ((10, 10, 0), vec![]));
    assert_settled(&shop).await;
}

#[tokio::test]
async fn order_is_shipped_and_delivered_once_with_a_mail_each() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, None).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let (status, refused) = ship(&shop, &order, "RM1").await;
    assert_eq!(
        (status, &refused["current"], &refused["allowed"]),
        (409, &json!("pending"), &json!(["cancel"])),
        "{refused}"
    );
    pay(&shop, &order, "tok_ok").await;
    harness.drain_queues().await;
    assert_eq!(step(&shop, "deliver-order", events::ADMIN, &order, &Value::Null).await.0, 409);
    assert_eq!(
        step(
            &shop,
            "ship-order",
            events::USER,
            &order,
            &json!({ "carrier": "x", "tracking": "y" })
        )
        .await
        .0,
        403
    );
    for (tracking, expected) in [("RM1", 200), ("RM1", 200), ("RM2", 409)] {
        let (status, shipped) = ship(&shop, &order, tracking).await;
        assert_eq!(status, expected, "{tracking}: {shipped}");
    }
    let (status, refused) = step(&shop, "cancel-order", events::USER, &order, &Value::Null).await;
    assert_eq!(
        (status, &refused["current"], &refused["allowed"]),
        (409, &json!("shipped"), &json!(["deliver"])),
        "{refused}"
    );
    for _ in 0..2 {
        assert_eq!(step(&shop, "deliver-order", events::ADMIN, &order, &Value::Null).await.0, 200);
    }
    harness.drain_queues().await;
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), &read["shipment"]["tracking"]),
        (("delivered", "paid"), &json!("RM1")),
        "{read:#}"
    );
    let expected =
        ["Your order is confirmed", "Your order is on its way", "Your order was delivered"];
    assert_eq!(subjects(&shop), expected);
    assert!(history(&read).ends_with(&["shipped", "delivered"]), "{:?}", history(&read));
    assert_eq!(stock(&shop, &product).await, (8, 8, 0));
    assert_settled(&shop).await;
}

#[tokio::test]
async fn order_ships_right_after_confirmation_though_the_commit_is_lost() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    let mut harness = shop.harness();
    while shop.read_order(&order).await["status"] != "confirmed" {
        assert!(
            harness.publish().await | harness.consume().await,
            "nothing moves, and the order is not confirmed"
        );
    }
    // The warehouse ships as soon as it receives the confirmation.
    let (status, shipped) = ship(&shop, &order, "RM1").await;
    assert_eq!(
        (status, history(&shipped).contains(&"stock_committed")),
        (200, false),
        "{shipped:#}"
    );
    harness.publish().await;
    assert_eq!(shop.aws.queues().take("commit-stock", usize::MAX).len(), 1);
    harness.drain_queues().await;
    assert_eq!(stock(&shop, &product).await, (10, 8, 2), "still reserved for the order");
    time_passes(&shop, &mut harness, 120).await;
    let read = shop.read_order(&order).await;
    assert_eq!(statuses(&read), ("shipped", "paid"), "{read:#}");
    assert_eq!(stock(&shop, &product).await, (8, 8, 0));
    assert_settled(&shop).await;
}

/// The stock of a product is sharded and merged again while orders for it are in flight.
#[tokio::test]
async fn orders_are_unaffected_by_a_change_of_stock_shards() {
    let (shop, product) = shop().await;
    let divide = async |key: &str, shards: u32| {
        let request = events::post(
            "/inventory",
            &json!({ "shard_count": shards, "reason": "It sells fast" }),
        )
        .caller(events::ADMIN);
        let called = shop
            .call(
                "adjust-stock",
                request
                    .path_parameter("product_id", &product)
                    .header("idempotency-key", key)
                    .event(),
            )
            .await;
        assert_eq!(called.status(), 201, "{:?}", called.answer);
    };
    let mut harness = shop.harness();
    let order = async |key: &str, quantity: u32, token: Option<&str>| {
        let request = events::post("/orders", &events::order_request(&product, quantity, token))
            .caller(events::USER);
        let called =
            shop.call("create-order", request.header("idempotency-key", key).event()).await;
        called.json()["id"].as_str().unwrap_or_else(|| panic!("{:?}", called.answer)).to_owned()
    };
    let before = order("before", 2, None).await;
    harness.drain_queues().await;
    divide("divide", 4).await;
    // More than any single shard holds.
    let across = order("across", 5, Some("tok_ok")).await;
    let too_many = order("too-many", 4, Some("tok_ok")).await;
    harness.drain_queues().await;
    assert_eq!(stock(&shop, &product).await, (5, 3, 2));
    divide("together", 1).await;
    cancel_order(&shop, &mut harness, &across).await;
    pay(&shop, &before, "tok_ok").await;
    harness.drain_queues().await;
    let ends = [
        shop.read_order(&before).await,
        shop.read_order(&across).await,
        shop.read_order(&too_many).await,
    ];
    assert_eq!(
        ends.each_ref().map(|order| statuses(order).0),
        ["confirmed", "cancelled", "failed"]
    );
    assert_eq!(stock(&shop, &product).await, (8, 8, 0));
    assert_settled(&shop).await;
}
