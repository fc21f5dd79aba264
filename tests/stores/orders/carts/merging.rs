//! A guest's cart is merged into the cart of a user, once.

use super::*;

#[tokio::test]
async fn merge_adds_quantities_and_closes_the_cart_of_the_guest() {
    let fixture = OrdersFixture::new().await;
    let (own, guest) = (fixture.own_cart(USER).await, fixture.guest_cart(&json!({})).await);
    fixture.changed_cart(&own, &add(SPOON, 2)).await;
    let change = json!({
        "add": [{ "product_id": SPOON, "quantity": 1 }, { "product_id": BOWL, "quantity": 4 }],
        "note": "As a guest.",
    });
    fixture.changed_cart(&guest, &change).await;
    let merged = fixture.merge_carts(&own, &guest).await;
    assert_eq!(merged.status(), 200, "{:?}", merged.answer);
    assert_eq!(merged.operations(), ["BatchGetItem", "BatchGetItem", "TransactWriteItems"]);
    let cart = merged.json();
    assert_eq!(quantities(&cart), pieces([(SPOON, 3), (BOWL, 4)]));
    assert_eq!((&cart["id"], &cart["note"]), (&json!(own.id), &Value::Null));
    assert_eq!(fixture.read_cart(&own).await.json(), cart);

    // The guest's cart has no content, and its token is invalid.
    assert!(!format!("{:?}", fixture.aws.items("order-carts")).contains("As a guest."));
    assert_eq!(fixture.read_cart(&guest).await.status(), 404);
    assert_eq!(fixture.change_cart(&guest, &add(SPOON, 1)).await.status(), 404);
    let again = fixture.merge_carts(&own, &guest).await;
    assert_eq!((again.status(), again.json()), (200, cart));
}

#[tokio::test]
async fn empty_cart_takes_the_fields_of_the_guest() {
    let fixture = OrdersFixture::with_market().await;
    let own = fixture.own_cart(USER).await;
    fixture.changed_cart(&own, &json!({ "email": "ada@example.com", "locale": "de" })).await;
    let guest = fixture.guest_cart(&json!({ "market": "gb", "locale": "en-GB" })).await;
    let change = json!({
        "add": [{ "product_id": SPOON, "quantity": 2 }],
        "shipping_address": addressed()["shipping_address"], "shipping_method": parcel_service(),
    });
    let before = fixture.changed_cart(&guest, &change).await;
    let cart = fixture.merge_carts(&own, &guest).await.json();
    for name in ["market", "locale", "shipping_address", "shipping_method", "totals", "item_count"]
    {
        assert_eq!(cart[name], before[name], "{name}");
    }
    assert_eq!((&cart["email"], &cart["refusals"]), (&json!("ada@example.com"), &json!([])));
}

#[tokio::test]
async fn cart_for_another_market_is_not_merged_until_the_markets_match() {
    let fixture = OrdersFixture::with_market().await;
    let own = fixture.own_cart(USER).await;
    fixture.changed_cart(&own, &add(SPOON, 1)).await;
    let guest = fixture.guest_cart(&json!({ "market": "gb", "country": "GB" })).await;
    fixture.changed_cart(&guest, &add(BOWL, 1)).await;
    let stored = fixture.aws.items("order-carts");
    for _ in 0..2 {
        let cart = fixture.merge_carts(&own, &guest).await.json();
        assert_eq!(cart["warnings"], json!([{ "code": "other_market", "line_id": null }]));
        assert_eq!(quantities(&cart), pieces([(SPOON, 1)]));
    }
    assert_eq!(fixture.aws.items("order-carts"), stored);
    // After the user has chosen the market, the carts are merged.
    fixture.changed_cart(&own, &json!({ "market": "gb", "country": "GB" })).await;
    let cart = fixture.merge_carts(&own, &guest).await.json();
    assert_eq!(quantities(&cart), pieces([(SPOON, 1), (BOWL, 1)]));
}

#[tokio::test]
async fn merged_lines_are_cut_at_the_limits_with_a_warning() {
    let fixture = OrdersFixture::new().await;
    let id = |number: usize| format!("prd_0199c2a8-0000-7000-8000-0000000001{number:02}");
    for number in 0..41 {
        assert!(fixture.replicate(&product(&id(number), 1, 100, true)).await);
    }
    let (own, guest) = (fixture.own_cart(USER).await, fixture.guest_cart(&json!({})).await);
    let lines: Value =
        (0..40).map(|number| json!({ "product_id": id(number), "quantity": 15 })).collect();
    fixture.changed_cart(&own, &json!({ "set": lines })).await;
    let change = json!({ "set": [
        { "product_id": id(0), "quantity": 5 }, { "product_id": id(1), "quantity": 6 },
        { "product_id": id(40), "quantity": 1 },
    ] });
    fixture.changed_cart(&guest, &change).await;
    let cart = fixture.merge_carts(&own, &guest).await.json();
    let merged = quantities(&cart);
    assert_eq!(
        (merged.len(), merged[&id(0)], merged[&id(1)], merged.get(&id(40))),
        (40, 20, 20, None)
    );
    let warnings = cart["warnings"].as_array().unwrap();
    assert_eq!(codes(&cart, "warnings"), ["quantity_cut", "quantity_cut"]);
    assert_eq!(warnings[0]["line_id"], cart["lines"][1]["line_id"]);
    assert_eq!(fixture.read_cart(&own).await.json()["warnings"], json!([]));
}

#[tokio::test]
async fn only_the_own_open_cart_and_an_open_cart_of_a_guest_are_merged() {
    let fixture = OrdersFixture::new().await;
    let (own, theirs) = (fixture.own_cart(USER).await, fixture.own_cart(STRANGER).await);
    let (guest, other) =
        (fixture.guest_cart(&json!({})).await, fixture.guest_cart(&json!({})).await);
    for guest in [&guest, &other] {
        fixture.changed_cart(guest, &add(SPOON, 1)).await;
    }
    let stored = fixture.aws.items("order-carts");
    let wrong = |token: String| CartHandle { token: Some(token), ..guest.clone() };
    let secret = other.token.as_ref().unwrap().split_once('.').unwrap().1.to_owned();
    let not_mine = CartHandle { owner: Some(USER), ..theirs.clone() };
    let into_guest = CartHandle { id: other.id.clone(), token: None, owner: Some(USER) };
    for (own, guest) in [
        (&own, &CartHandle { token: None, ..guest.clone() }),
        (&own, &wrong(format!("{}.{secret}", guest.id))),
        (&own, &wrong(format!("{}.{secret}", own.id))),
        (&own, &wrong(format!("{}.{secret}", theirs.id))),
        (&not_mine, &guest),
        (&into_guest, &guest),
    ] {
        let called = fixture.merge_carts(own, guest).await;
        assert_eq!((called.status(), called.code().as_str()), (404, "cart_not_found"));
    }
    let visitor = CartHandle { owner: None, ..own.clone() };
    assert_eq!(fixture.merge_carts(&visitor, &guest).await.status(), 401);
    assert_eq!(fixture.aws.items("order-carts"), stored);

    // A cart that was merged into another cart is not found.
    assert_eq!(fixture.merge_carts(&own, &guest).await.status(), 200);
    assert_eq!(fixture.merge_carts(&theirs, &guest).await.status(), 404);
    fixture.clock.advance(Duration::from_secs(60 * 24 * 3600));
    let own = fixture.own_cart(USER).await;
    assert_eq!(fixture.merge_carts(&own, &other).await.status(), 404);
}
