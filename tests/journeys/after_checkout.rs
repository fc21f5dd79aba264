//! Orders beyond the successful checkout: cancelled, refunded, waiting for 3-D Secure, shipped and
//! delivered.

use serde_json::{Value, json};
use tests::{
    events,
    harness::Harness,
    shop::{PAY_WITHIN, Shop},
};

use super::{assert_reconciled, assert_settled, pay, placed, shop, stock, subjects, time_passes};

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
    let (status, given_up) = step(
        shop,
        "cancel-order",
        events::USER,
        order,
        &json!({ "reason": "It is the wrong colour." }),
    )
    .await;
    assert_eq!(status, 202, "{given_up}");
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
    let heard = shop.call("receive-payment-webhook", event).await;
    assert_eq!(heard.status(), 200, "{:?}", heard.answer);
}

/// The charges at the provider, each with its refundable amount.
pub fn charges(shop: &Shop) -> Vec<(i64, i64)> {
    let number = |item: &Value, name: &str| {
        item[name]["N"].as_str().and_then(|digits| digits.parse().ok()).expect("a number")
    };
    let books = shop.aws.items("payment-simulator");
    let charges = books
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
async fn lost_charge_of_a_cancelled_order_is_refunded() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_timeout_after_charge")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    assert_eq!(statuses(&shop.read_order(&order).await), ("pending", "unknown"));
    cancel_order(&shop, &mut harness, &order).await;
    for _ in 0..4 {
        time_passes(&shop, &mut harness, 600).await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("cancelled", "refunded"), vec![(5998, 0)]),
        "{read:#}"
    );
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    assert_settled(&shop).await;
}

#[tokio::test]
async fn cancelled_confirmed_order_is_refunded_and_restocked() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    assert_eq!(stock(&shop, &product).await, (8, 8, 0));
    let read = cancel_order(&shop, &mut harness, &order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("cancelled", "refunded"), vec![(5998, 0)]),
        "{read:#}"
    );
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    let (confirmed, cancelled) =
        ("Your order is confirmed".to_owned(), "Your order is cancelled".to_owned());
    assert!(
        subjects(&shop).starts_with(&[confirmed]) && subjects(&shop).contains(&cancelled),
        "{:?}",
        subjects(&shop)
    );
    let events = history(&read);
    let position = |event: &str| {
        events
            .iter()
            .position(|recorded| *recorded == event)
            .unwrap_or_else(|| panic!("{event} in {events:?}"))
    };
    assert!(
        position("cancel_requested") < position("payment_refunded")
            && position("cancel_requested") < position("stock_released")
    );
    assert_eq!(ship(&shop, &order, "RM1").await.0, 409);
    assert_settled(&shop).await;
}

/// The payout has already left the provider, so the refund fails. The stock is released without it,
/// and the order needs review.
#[tokio::test]
async fn failed_refund_needs_review_and_releases_the_stock() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let mut charge = shop
        .aws
        .items("payment-simulator")
        .into_iter()
        .find(|item| item.get("refundable").is_some())
        .unwrap();
    charge["refundable"]["N"] = "0".into();
    shop.aws.put("payment-simulator", &charge);
    let read = cancel_order(&shop, &mut harness, &order).await;
    assert_eq!(
        (statuses(&read), &read["needs_review"]),
        (("confirmed", "refunding"), &json!("refund_failed")),
        "{read:#}"
    );
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    let flagged = shop
        .call("list-orders", events::get("/orders?needs_review=true").caller(events::ADMIN).event())
        .await;
    assert_eq!(flagged.json()["items"][0]["id"], order.as_str(), "{:?}", flagged.answer);
    // An operator has settled it with the provider: the refund is requested again, and the order
    // completes.
    charge["refundable"]["N"] = "5998".into();
    shop.aws.put("payment-simulator", &charge);
    for _ in 0..4 {
        time_passes(&shop, &mut harness, 3600).await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("cancelled", "refunded"), vec![(5998, 0)]),
        "{read:#}"
    );
    assert!(read["needs_review"].is_null(), "{read:#}");
    assert_settled(&shop).await;
}

#[tokio::test]
async fn partial_refunds_never_exceed_the_payment() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let payment = payment_of(&shop, &order).await;
    // Two equal refunds under different keys count twice, a repeated key counts once.
    for key in ["one", "two", "two"] {
        let (status, refund) = refund_payment(&shop, key, &payment, Some(1000)).await;
        assert_eq!(status, 201, "{refund}");
    }
    harness.drain_queues().await;
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("confirmed", "partially_refunded"), vec![(5998, 3998)]),
        "{read:#}"
    );
    assert_reconciled(&shop).await;
    let (status, refused) = refund_payment(&shop, "three", &payment, Some(3999)).await;
    assert_eq!(
        (status, &refused["code"], &refused["refundable"]["amount"]),
        (422, &json!("exceeds_refundable"), &json!(3998))
    );
    assert_eq!(refund_payment(&shop, "four", &payment, None).await.0, 201);
    harness.drain_queues().await;
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("confirmed", "refunded"), vec![(5998, 0)]),
        "{read:#}"
    );
    assert_eq!(stock(&shop, &product).await, (8, 8, 0), "the stock stays committed");
    assert!(
        subjects(&shop).contains(&"Your refund is on its way".to_owned()),
        "{:?}",
        subjects(&shop)
    );
    let refunds = history(&read).into_iter().filter(|event| *event == "payment_refunded").count();
    assert!((2..=3).contains(&refunds), "{:?}", history(&read));
    assert_settled(&shop).await;
}

/// The cancellation of a partially refunded order refunds the rest, and not more than the capture.
#[tokio::test]
async fn partially_refunded_order_is_refunded_fully_on_cancellation() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    assert_eq!(
        refund_payment(&shop, "one", &payment_of(&shop, &order).await, Some(1000)).await.0,
        201
    );
    // The order has not received the refund event yet.
    let read = cancel_order(&shop, &mut harness, &order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("cancelled", "refunded"), vec![(5998, 0)]),
        "{read:#}"
    );
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    assert_settled(&shop).await;
}

/// An order that is captured and fully refunded before its confirmation is cancelled.
#[tokio::test]
async fn order_refunded_in_full_before_confirmation_is_cancelled() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, None).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let paid = pay(&shop, &order, "tok_ok").await;
    assert_eq!(paid["http"], 201, "{paid}");
    assert_eq!(
        refund_payment(&shop, "all", paid["body"]["id"].as_str().unwrap(), None).await.0,
        201
    );
    harness.publish().await;
    // The refund event overtakes the payment event.
    for message in shop.aws.queues().take("order-events", 10).into_iter().rev() {
        shop.aws.queues().give_back("order-events", message);
    }
    harness.drain_queues().await;
    let read = shop.read_order(&order).await;
    let (kept, figures) = (charges(&shop), stock(&shop, &product).await);
    assert_eq!(
        (statuses(&read), kept, figures),
        (("cancelled", "refunded"), vec![(5998, 0)], (10, 10, 0)),
        "{read:#}"
    );
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

#[tokio::test]
async fn payment_awaiting_the_bank_is_completed_by_webhook() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, None).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let waiting = pay(&shop, &order, "tok_3ds").await;
    assert_eq!(
        (waiting["http"].as_u64(), &waiting["body"]["status"]),
        (Some(202), &json!("requires_action")),
        "{waiting}"
    );
    assert!(waiting["body"]["next_action"].is_object(), "{waiting}");
    harness.drain_queues().await;
    assert_eq!(statuses(&shop.read_order(&order).await), ("pending", "processing"));
    let payment = waiting["body"]["id"].as_str().unwrap();
    // Two events, one of them repeated: payments trusts neither and queries the provider for each.
    for event_id in ["evt_1", "evt_1", "evt_2"] {
        deliver_webhook(&shop, event_id, payment).await;
        harness.drain_queues().await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("confirmed", "paid"), vec![(5998, 5998)]),
        "{read:#}"
    );
    assert_eq!(
        (stock(&shop, &product).await, subjects(&shop)),
        ((8, 8, 0), vec!["Your order is confirmed".to_owned()])
    );
    assert_settled(&shop).await;
}

#[tokio::test]
async fn abandoned_3d_secure_cancels_the_order_without_a_charge() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_3ds_abandoned")).await;
    let mut harness = shop.harness();
    for seconds in [0, PAY_WITHIN.as_secs(), 3600, 3600, 3600] {
        time_passes(&shop, &mut harness, seconds).await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!((statuses(&read), charges(&shop)), (("cancelled", "unpaid"), vec![]), "{read:#}");
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    assert_settled(&shop).await;
}

#[tokio::test]
async fn declined_authentication_leaves_time_for_another_card() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_3ds_declined")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    deliver_webhook(&shop, "evt_1", &payment_of(&shop, &order).await).await;
    harness.drain_queues().await;
    assert_eq!(
        (statuses(&shop.read_order(&order).await), subjects(&shop)),
        (("pending", "unpaid"), vec!["Your payment was declined".to_owned()])
    );
    assert_eq!(pay(&shop, &order, "tok_ok").await["http"], 201);
    harness.drain_queues().await;
    assert_eq!(statuses(&shop.read_order(&order).await), ("confirmed", "paid"));
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
