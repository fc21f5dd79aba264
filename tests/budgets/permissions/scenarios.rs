//! The scenarios that lead every function through all of its outcomes.

mod accounts;
mod carts;
mod faults;
mod mails;
mod ordered_carts;
mod payments;
mod prices;
mod stock;

use ::orders::domain::number::order_number;
use shared::ids::{OrderId, PrefixedId};

use self::payments::refund;
use super::*;

pub(super) async fn play(seen: &Arc<Mutex<Actions>>) {
    accounts::users(seen).await;
    accounts::imported_accounts(seen).await;
    stock::catalogue_and_stock(seen).await;
    prices::prices(seen).await;
    orders(seen).await;
    carts::carts(seen).await;
    ordered_carts::ordered_carts(seen).await;
    payments::challenges_and_disputes(seen).await;
    mails::bounced_mails(seen).await;
    payments::refunds(seen).await;
    faults::faults(seen).await;
    faults::unreadable_changes(seen).await;
    faults::unreadable_messages(seen).await;
    mails::account_mails(seen).await;
}

async fn orders(seen: &Arc<Mutex<Actions>>) {
    let (watched, product) = Watched::with_teapots(seen).await;
    let mut harness = watched.harness();
    let confirmed = watched.order("paid", &product, 1, Some("tok_ok")).await;
    assert_eq!(watched.order("paid", &product, 1, Some("tok_ok")).await, confirmed);
    watched.order("none", &product, 20, Some("tok_ok")).await;
    let later = watched.order("later", &product, 1, None).await;
    watched.order("declined", &product, 1, Some("tok_declined")).await;
    // A buyer with too many unpaid orders is rejected.
    harness.drain_queues().await;
    watched.order("5xx", &product, 1, Some("tok_5xx_then_ok")).await;
    watched.order("before", &product, 1, Some("tok_timeout_before_charge")).await;
    harness.drain_queues().await;

    // The goods of unpaid orders are still in stock.
    assert_eq!(watched.call("reconcile-ledger", json!({})).await.ok()["unbalanced"], json!([]));
    for (key, token) in [
        ("a", "tok_declined"),
        ("a", "tok_declined"),
        ("b", "tok_ok"),
        ("b", "tok_ok"),
        ("c", "tok_ok"),
    ] {
        watched.pay(&later, key, token).await;
    }
    harness.drain_queues().await;
    watched.call("get-order", of_order(events::get("/orders"), &confirmed)).await;
    let timeline = events::get("/orders").path_parameter("order_id", &confirmed).caller(ADMIN);
    watched.call("get-order-timeline", timeline.event()).await;
    // The key was cached when the orders were placed.
    watched.shop.clock.advance(SECRETS_KEPT);
    watched.pages("list-orders", "limit=1", Some(USER)).await;
    watched.pages("list-orders", "limit=1&status=confirmed", Some(ADMIN)).await;
    watched
        .call("list-orders", events::get("/orders?needs_review=true").caller(ADMIN).event())
        .await;
    let id = OrderId::parse(&confirmed).unwrap();
    let by_number = format!("/orders?number={}", order_number(id));
    let found = watched.call("list-orders", events::get(&by_number).caller(ADMIN).event()).await;
    assert_eq!(found.json()["items"][0]["id"], confirmed.as_str());
    watched.shop.clock.advance(SECRETS_KEPT);
    watched.pages("list-notifications", "limit=1", Some(USER)).await;
    let notification = watched
        .shop
        .aws
        .items("notifications")
        .into_iter()
        .find_map(|item| Some(item.get("occurred_at").and(item.get("sk"))?["S"].clone()));
    let notification = notification
        .and_then(|id| id.as_str().map(str::to_owned))
        .expect("the buyer received a mail");
    for _ in 0..2 {
        let read = events::post("/notifications", &Value::Null)
            .caller(USER)
            .path_parameter("notification_id", &notification);
        assert_eq!(watched.call("read-notification", read.body("").event()).await.status(), 204);
    }
    let payments = format!("order_id={later}");
    watched.pages("list-payments", &format!("{payments}&limit=1"), Some(USER)).await;
    let listed = watched
        .call("list-payments", events::get(&format!("/payments?{payments}")).caller(USER).event())
        .await;
    let id = listed.json()["items"][0]["id"].as_str().expect("the order has payments").to_owned();
    watched
        .call(
            "get-payment",
            events::get("/payments").caller(USER).path_parameter("payment_id", &id).event(),
        )
        .await;
    for _ in 0..4 {
        watched.sweep(&mut harness, PAY_WITHIN.as_secs()).await;
    }
    move_order(&watched, &confirmed).await;
    for (operation, status) in
        [("deliver-order", 409), ("ship-order", 200), ("cancel-order", 409), ("deliver-order", 200)]
    {
        assert_eq!(watched.step(operation, &confirmed).await, status, "{operation}");
    }
    let paid = watched.payment_of(&confirmed);
    for (key, cents, status) in [
        ("one", Some(1000), 201),
        ("one", Some(1000), 201),
        ("two", Some(9999), 422),
        ("three", None, 201),
    ] {
        let refunded = watched.call("create-refund", refund(&paid, key, cents)).await;
        assert_eq!(refunded.status(), status, "{key}: {:?}", refunded.answer);
    }
    harness.drain_queues().await;
    for event in [json!({}), json!({ "source": "aws.events" }), json!({ "order_id": confirmed })] {
        let report = watched.call("reconcile-ledger", event).await;
        assert_eq!(
            (&report.ok()["unbalanced"], &report.ok()["not_checked"]),
            (&json!([]), &json!([]))
        );
    }
    repair(&watched, &product).await;
    // The daily run posts the entries that are a day old.
    watched.shop.clock.advance(Duration::from_secs(2 * 24 * 3600));
    watched.call("reconcile-ledger", json!({ "source": "aws.events" })).await;
    // Publishes every change a second time.
    watched.harness().drain_queues().await;
    // The buyer is renamed, and then deleted.
    let changed = json!({ "user_id": USER, "version": 2, "name": "Ada King", "email": KING });
    watched
        .call("update-buyer", events::message("update-buyer", "user_changed.v1", &changed))
        .await;
    for queue in ["update-buyer", "forget-recipient"] {
        watched
            .call(
                queue,
                events::message(
                    queue,
                    "user_deleted.v1",
                    &json!({ "user_id": USER, "version": 3 }),
                ),
            )
            .await;
    }
}

/// The buyer changes the shipping address, and repeats the request with an outdated version.
async fn move_order(watched: &Watched, order: &str) {
    let read = watched.call("get-order", of_order(events::get("/orders"), order)).await;
    let tag = read.header("etag").expect("an order has a version");
    let mut address = read.json()["shipping_address"].clone();
    address["name"] = json!("Ada King");
    for status in [200, 412] {
        let request = events::http("PATCH", "/orders")
            .header("content-type", "application/json")
            .header("if-match", &tag)
            .body(&json!({ "shipping_address": address }).to_string());
        let moved = watched.call("update-order", of_order(request, order)).await;
        assert_eq!(moved.status(), status, "{:?}", moved.answer);
    }
}

/// The ledger has lost all money and stock entries: an operator repairs it.
async fn repair(watched: &Watched, product: &str) {
    watched.shop.clock.advance(Duration::from_secs(660));
    for item in
        watched.shop.aws.items("ledger").into_iter().filter(|item| item["lines"]["M"].is_object())
    {
        watched.shop.aws.delete("ledger", &json!({ "pk": item["pk"], "sk": item["sk"] }));
    }
    let report = watched.call("reconcile-ledger", json!({ "repair": true })).await;
    assert_eq!(
        (&report.ok()["unbalanced"], report.ok()["repaired"].is_array()),
        (&json!([]), true),
        "{:?}",
        report.answer
    );
    let again =
        watched.call("reconcile-ledger", json!({ "repair": true, "product_id": product })).await;
    assert!(again.ok().get("repaired").is_none(), "{:?}", again.answer);
}

fn of_order(request: Http, order: &str) -> Value {
    request.caller(USER).path_parameter("order_id", order).event()
}
