//! The shipping address of an order: changed by its buyer or the shop on condition of the version,
//! never after the order ships, and the buyer of a confirmed order is notified.

use super::*;

fn address(name: &str, country: &str) -> Value {
    let mut address = addressed()["shipping_address"].clone();
    (address["name"], address["country"]) = (json!(name), json!(country));
    address
}

pub(super) fn change(who: &str, order: &str, tag: &str, address: &Value) -> Value {
    events::http("PATCH", "/orders/x")
        .caller(who)
        .path_parameter("order_id", order)
        .header("content-type", "application/json")
        .header("if-match", tag)
        .body(&json!({ "shipping_address": address }).to_string())
        .event()
}

impl OrdersFixture {
    pub(super) async fn tag(&self, order: &str) -> String {
        self.read(order, ADMIN, None).await.header("etag").expect("an order has a version")
    }

    /// Changes the address of the current version of an order.
    async fn move_to(&self, who: &str, order: &str, name: &str, country: &str) -> Called {
        let tag = self.tag(order).await;
        self.call("update-order", change(who, order, &tag, &address(name, country))).await
    }
}

#[tokio::test]
async fn buyer_and_shop_change_the_address_and_strangers_do_not() {
    let fixture = OrdersFixture::new().await;
    for (who, by, ready) in [(USER, "customer", false), (ADMIN, "admin", true)] {
        let order =
            if ready { fixture.ready(by).await } else { fixture.stored(by, &addressed()).await };
        let hidden = fixture.move_to(STRANGER, &order, "Mallory", "GB").await;
        assert_eq!((hidden.status(), hidden.code().as_str()), (404, "order_not_found"));
        let moved = fixture.move_to(who, &order, "Ada King", "GB").await;
        assert_eq!((moved.status(), moved.operations()), (200, vec!["GetItem", "PutItem"]));
        assert_eq!(moved.json()["shipping_address"]["name"], "Ada King");
        assert_eq!(moved.header("etag"), Some(fixture.tag(&order).await));
        let history = moved.json()["history"].as_array().unwrap().clone();
        let last = history.last().unwrap();
        assert_eq!((&last["event"], &last["by"]), (&json!("shipping_address_changed"), &json!(by)));
        assert!(!Value::Array(history).to_string().contains("Ada King"));
        // The same address again is not a change.
        let again = fixture.move_to(who, &order, "Ada King", "GB").await;
        assert_eq!((again.status(), again.operations()), (200, vec!["GetItem"]));
    }
}

#[tokio::test]
async fn outdated_version_and_invalid_bodies_are_rejected() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.stored("k", &addressed()).await;
    let before = fixture.item(&order);
    let king = address("Ada King", "GB");
    let stale = fixture.call("update-order", change(USER, &order, "\"0\"", &king)).await;
    assert_eq!((stale.status(), stale.header("etag")), (412, Some(fixture.tag(&order).await)));
    for (field, value, refused) in [
        ("phone", json!("0207"), "invalid_phone"),
        ("company", json!(" "), "blank"),
        ("country", json!("UK"), "invalid_country"),
        ("postal_code", Value::Null, "required"),
        ("planet", json!("Earth"), "unknown_field"),
    ] {
        let mut invalid = king.clone();
        invalid[field] = value;
        let called = fixture.call("update-order", change(USER, &order, "\"2\"", &invalid)).await;
        assert_eq!((called.code().as_str(), called.calls.len()), (refused, 0), "{invalid}");
    }
    let abroad = fixture.move_to(USER, &order, "Ada King", "DE").await;
    assert_eq!((abroad.status(), abroad.code().as_str()), (409, "price_would_change"));
    assert_eq!(fixture.item(&order), before);
}

#[tokio::test]
async fn cancelled_and_shipped_orders_keep_their_address() {
    let fixture = OrdersFixture::new().await;
    let (cancelled, shipped) = (fixture.ready("cancelled").await, fixture.ready("shipped").await);
    assert_eq!(fixture.step(USER, "cancel", &cancelled, &Value::Null).await.status(), 202);
    assert_eq!(fixture.step(ADMIN, "ship", &shipped, &parcel()).await.status(), 200);
    for (order, current) in [(&cancelled, "confirmed"), (&shipped, "shipped")] {
        let refused = fixture.move_to(USER, order, "Ada King", "GB").await;
        assert_eq!((refused.status(), refused.code().as_str()), (409, "invalid_transition"));
        assert_eq!(refused.json()["current"], current);
    }
}

#[tokio::test]
async fn change_that_loses_the_race_with_a_shipment_is_rejected() {
    let (mut first, mut later) = (0, 0);
    for seed in 0..32 {
        let fixture = OrdersFixture::crowded(seed).await;
        let order = fixture.ready("k").await;
        let tag = fixture.tag(&order).await;
        let event = change(USER, &order, &tag, &address("Ada King", "GB"));
        let body = parcel();
        let (moved, shipped) = tokio::join!(
            fixture.call("update-order", event),
            fixture.step(ADMIN, "ship", &order, &body),
        );
        assert_eq!(shipped.status(), 200);
        let stored = fixture.order(&order).await;
        let name = stored.customer.shipping_address.unwrap().name.to_string();
        match moved.status() {
            200 => {
                first += 1;
                assert_eq!(name, "Ada King");
                let events: Vec<_> =
                    stored.progress.history.iter().rev().map(|entry| &*entry.event).collect();
                assert_eq!(events[..2], ["shipped", "shipping_address_changed"], "seed {seed}");
            }
            status => {
                later += 1;
                assert!([409, 412].contains(&status), "seed {seed}: {:?}", moved.answer);
                assert_eq!(name, "Ada Lovelace");
            }
        }
    }
    assert!(first > 0 && later > 0, "{first} changes came first, {later} later");
}

#[tokio::test]
async fn buyer_of_a_confirmed_order_is_notified_without_the_address() {
    let fixture = OrdersFixture::new().await;
    let mut stream = fixture.stream();
    let order = fixture.stored("k", &addressed()).await;
    assert_eq!(fixture.move_to(USER, &order, "Grace", "GB").await.status(), 200);
    stream.publish().await;
    assert!(fixture.aws.queues().take("send-notification", 10).is_empty(), "not confirmed");
    fixture.settle(&order).await;
    stream.publish().await;
    drop(fixture.aws.queues().take("send-notification", 10));
    for name in ["Ada King", "Ada Byron"] {
        assert_eq!(fixture.move_to(ADMIN, &order, name, "GB").await.status(), 200);
    }
    stream.publish().await;
    let mails: Vec<Value> = fixture
        .aws
        .queues()
        .take("send-notification", 10)
        .iter()
        .map(|message| message.json()["data"].clone())
        .collect();
    assert_eq!(mails.len(), 2);
    for mail in &mails {
        assert_eq!(mail["template"], "shipping_address_changed");
        assert_eq!(mail["email"], "ada@example.com");
        assert!(!mail.to_string().contains("Ada King") && !mail.to_string().contains("Byron"));
    }
    assert_ne!(mails[0]["notification_id"], mails[1]["notification_id"]);
}

#[tokio::test]
async fn order_keeps_billing_address_and_tax_id() {
    let fixture = OrdersFixture::new().await;
    let mut request = addressed();
    request["billing_address"] = address("Analytical Engines", "DE");
    request["billing_address"]["company"] = json!("Analytical Engines Ltd");
    request["tax_id"] = json!("DE 123456789");
    let placed = fixture.post("k", &request).await;
    assert_eq!(placed.status(), 201, "{:?}", placed.answer);
    let view = placed.json();
    assert_eq!(view["billing_address"]["company"], "Analytical Engines Ltd");
    assert_eq!(view["tax_id"], "DE 123456789");
    let plain = fixture.post("plain", &addressed()).await.json();
    assert_eq!(view["totals"], plain["totals"], "they change no price");
    assert_eq!((&plain["billing_address"], &plain["tax_id"]), (&Value::Null, &Value::Null));
    let read = fixture.read(view["id"].as_str().unwrap(), USER, None).await.json();
    assert_eq!(read["billing_address"], view["billing_address"]);
    for (field, value, refused) in [
        ("tax_id", json!("x".repeat(41)), "too_long"),
        ("tax_id", json!("a\u{202e}b"), "invalid_characters"),
        ("tax_id", json!(7), "wrong_type"),
        ("billing_address", json!({ "name": "Ada" }), "required"),
    ] {
        let mut invalid = addressed();
        invalid[field] = value;
        let called = fixture.post("other", &invalid).await;
        assert_eq!((called.code().as_str(), called.calls.len()), (refused, 0), "{invalid}");
    }
}
