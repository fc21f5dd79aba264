//! A cart takes the lines of an order that ended, or that is bought again.

use super::*;

#[tokio::test]
async fn order_that_failed_was_cancelled_or_expired_becomes_a_cart() {
    for end in ["failed", "cancelled", "expired"] {
        let fixture = OrdersFixture::new().await;
        let order = fixture.stored("k", &addressed()).await;
        match end {
            "failed" => {
                let rejected = json!({ "version": 1, "reason": "out_of_stock" });
                let called = fixture.send_event(&order, "stock_rejected.v1", &rejected).await;
                assert!(called.is_done());
            }
            "cancelled" => {
                let called = fixture.step(USER, "cancel", &order, &Value::Null).await;
                assert_eq!(called.status(), 202);
            }
            _ => fixture.clock.advance(PAY_WITHIN + Duration::from_secs(1)),
        }
        let created = fixture.create_cart(USER, &json!({ "from_order": order })).await;
        assert_eq!(created.status(), 201, "{end}: {:?}", created.answer);
        let cart = created.json();
        assert_eq!(quantities(&cart), pieces([(SPOON, 2)]), "{end}");
        for (member, value) in addressed()["shipping_address"].as_object().unwrap() {
            assert_eq!(&cart["shipping_address"][member], value, "{end}: {member}");
        }
        let own = fixture.own_cart(USER).await;
        assert_eq!(own.id, cart["id"].as_str().unwrap());
        // A repetition changes nothing.
        let again = fixture.create_cart(USER, &json!({ "from_order": order })).await;
        assert_eq!((again.status(), again.json()), (200, cart), "{end}");
    }
}

#[tokio::test]
async fn new_cart_takes_market_and_method_of_the_order_and_replaces_the_empty_one() {
    let fixture = OrdersFixture::with_market().await;
    let mut request = addressed();
    request["market"] = "gb".into();
    request["shipping_method"] = parcel_service();
    let order = fixture.post("k", &request).await.json();
    let empty = fixture.own_cart(USER).await;
    let create = json!({ "from_order": order["id"], "locale": "en-GB" });
    let cart = fixture.create_cart(USER, &create).await;
    assert_eq!(cart.status(), 201, "{:?}", cart.answer);
    let cart = cart.json();
    assert_eq!((&cart["market"], &cart["locale"]), (&json!("gb"), &json!("en-GB")));
    assert_eq!((&cart["totals"], &cart["refusals"]), (&order["totals"], &json!([])));
    assert_ne!(cart["id"], empty.id.as_str());
    assert_eq!(fixture.read_cart(&empty).await.status(), 404);
    assert_eq!(fixture.own_cart(USER).await.id, cart["id"].as_str().unwrap());

    // The cart warns of a price that has changed since the order.
    assert!(fixture.replicate(&product(SPOON, 2, 3499, true)).await);
    let cart = fixture.create_cart(USER, &json!({})).await.json();
    assert_eq!(codes(&cart, "warnings"), ["price_changed"]);
}

#[tokio::test]
async fn cart_with_lines_takes_the_larger_quantities() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    let own = fixture.own_cart(USER).await;
    let change = json!({ "add": [{ "product_id": BOWL, "quantity": 1 }], "note": "Mine." });
    fixture.changed_cart(&own, &change).await;
    for (spoons, expected, version) in [(0, 2, 3), (1, 2, 5), (3, 3, 6)] {
        if spoons > 0 {
            fixture.changed_cart(&own, &set(SPOON, spoons)).await;
        }
        for _ in 0..2 {
            let called = fixture.create_cart(USER, &json!({ "from_order": order })).await;
            assert_eq!(called.status(), 200, "{:?}", called.answer);
            let cart = called.json();
            assert_eq!(quantities(&cart), pieces([(SPOON, expected), (BOWL, 1)]));
            assert_eq!((&cart["version"], &cart["note"]), (&json!(version), &json!("Mine.")));
        }
    }
}

#[tokio::test]
async fn quantities_of_the_order_are_cut_at_the_limits_of_today() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    let mut few = product(SPOON, 2, 2999, true);
    few["max_per_order"] = 1.into();
    assert!(fixture.replicate(&few).await);
    let cart = fixture.create_cart(USER, &json!({ "from_order": order })).await.json();
    assert_eq!(quantities(&cart), pieces([(SPOON, 1)]));
    assert_eq!(codes(&cart, "warnings"), ["quantity_cut"]);
}

#[tokio::test]
async fn order_of_another_market_changes_no_cart_with_lines() {
    let fixture = OrdersFixture::with_market().await;
    let mut request = addressed();
    request["market"] = "gb".into();
    request["shipping_method"] = parcel_service();
    let order = fixture.post("k", &request).await.json();
    let own = fixture.own_cart(USER).await;
    let mine = fixture.changed_cart(&own, &add(BOWL, 1)).await;
    let stored = fixture.aws.items("order-carts");
    for _ in 0..2 {
        let called = fixture.create_cart(USER, &json!({ "from_order": order["id"] })).await;
        assert_eq!(called.status(), 200, "{:?}", called.answer);
        let cart = called.json();
        assert_eq!(cart["warnings"], json!([{ "code": "other_market", "line_id": null }]));
        assert_eq!((&cart["lines"], &cart["version"]), (&mine["lines"], &mine["version"]));
    }
    assert_eq!(fixture.aws.items("order-carts"), stored);
    // After the user has chosen the market, the cart takes the lines.
    fixture.changed_cart(&own, &json!({ "market": "gb", "country": "GB" })).await;
    let cart = fixture.create_cart(USER, &json!({ "from_order": order["id"] })).await.json();
    assert_eq!(quantities(&cart), pieces([(SPOON, 2), (BOWL, 1)]));
}
