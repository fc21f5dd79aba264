//! Carts that are not ordered: neither the order nor the cart is written.

use super::*;

#[tokio::test]
async fn another_total_returns_the_price_and_writes_nothing() {
    let fixture = OrdersFixture::with_market().await;
    let cart = fixture.cart_in_market().await;
    let mut body = of_cart(&cart);
    for wrong in [usd(1), json!({ "amount": cart["totals"]["total"]["amount"], "currency": "EUR" })]
    {
        body["expected_total"] = wrong;
        let problem = fixture.assert_refused(&body, 409, "price_changed").await;
        assert_eq!(problem["total"], cart["totals"]["total"]);
        assert_eq!((&problem["totals"], &problem["price"]), (&cart["totals"], &cart["price"]));
    }
    // The price rises after the buyer has seen the cart.
    assert!(fixture.replicate(&product(SPOON, 2, 3999, true)).await);
    let problem = fixture.assert_refused(&of_cart(&cart), 409, "price_changed").await;
    body["expected_total"] = problem["total"].clone();
    let placed = fixture.post("k", &body).await;
    assert_eq!((placed.status(), &placed.json()["totals"]), (201, &problem["totals"]));
}

#[tokio::test]
async fn cart_that_cannot_be_ordered_is_422_with_the_code_that_it_shows() {
    let fixture = OrdersFixture::with_market().await;
    let mut minimum = rules(1, "minimum_charge", json!(100_000));
    minimum["market"] = "wholesale".into();
    let mut euros = rules(1, "currency", json!("EUR"));
    euros["market"] = "eu".into();
    let mut closed = rules(1, "served", json!(false));
    closed["market"] = "closed".into();
    for rules in [&minimum, &euros, &closed] {
        assert!(fixture.replicate_rules(rules).await);
    }
    let cart = fixture.cart_in_market().await;
    let another_method = "shp_0199c2a8-0000-7000-8000-0000000000ff";
    for (changes, code) in [
        (json!({ "shipping_address": null }), "shipping_address_required"),
        (json!({ "shipping_method": null }), "shipping_method_required"),
        (json!({ "shipping_method": another_method }), "shipping_unavailable"),
        (json!({ "market": "nowhere" }), "unknown_market"),
        (json!({ "market": "eu" }), "not_sold_here"),
        (json!({ "market": "closed" }), "not_delivered_there"),
        (json!({ "market": "wholesale" }), "below_minimum"),
        (json!({ "set": [{ "product_id": SPOON, "quantity": 0 }] }), "cart_empty"),
    ] {
        let shown = fixture.changed(USER, id(&cart), &changes).await;
        assert_eq!(shown["refusals"][0]["code"], code, "{shown}");
        let mut body = of_cart(&shown);
        body["expected_total"] = usd(1);
        let problem = fixture.assert_refused(&body, 422, code).await;
        if code != "below_minimum" {
            assert_eq!(problem["errors"][0]["pointer"], "/cart_id", "{code}");
        }
        if code == "not_sold_here" {
            assert_eq!(problem["product_id"], SPOON);
        }
        let restored = json!({
            "market": "gb", "shipping_method": parcel_service(),
            "shipping_address": addressed()["shipping_address"], "set": two_spoons_in_cart()["set"],
        });
        fixture.changed(USER, id(&cart), &restored).await;
    }
    let cart = fixture.read_own(id(&cart)).await.json();
    assert_eq!(fixture.post("k", &of_cart(&cart)).await.status(), 201);
}

#[tokio::test]
async fn product_that_changed_since_it_was_put_into_the_cart_is_refused() {
    let fixture = OrdersFixture::new().await;
    let cart = fixture.cart().await;
    let mut limited = product(SPOON, 2, 2999, true);
    limited["max_per_order"] = 1.into();
    assert!(fixture.replicate(&limited).await);
    let problem = fixture.assert_refused(&of_cart(&cart), 422, "too_many_of_product").await;
    assert_eq!(problem["product_id"], SPOON);
    assert!(fixture.replicate(&product(SPOON, 3, 2999, false)).await);
    let problem = fixture.assert_refused(&of_cart(&cart), 422, "unknown_product").await;
    assert_eq!(problem["product_id"], SPOON);
}

#[tokio::test]
async fn cart_of_a_buyer_at_the_order_limit_stays_open() {
    let fixture = OrdersFixture::new().await;
    for number in 0..5 {
        fixture.placed(&format!("unpaid-{number}")).await;
    }
    let cart = fixture.cart().await;
    fixture.assert_refused(&of_cart(&cart), 409, "too_many_unpaid_orders").await;
    fixture.clock.advance(PAY_WITHIN);
    assert_eq!(fixture.post("k", &of_cart(&cart)).await.status(), 201);
}

#[tokio::test]
async fn cart_of_a_network_at_the_order_limit_stays_open() {
    let fixture = OrdersFixture::new().await.with_network_limit(1).await;
    fixture.placed("first").await;
    let cart = fixture.cart().await;
    fixture.assert_refused(&of_cart(&cart), 429, "too_many_requests").await;
}

#[tokio::test]
async fn only_the_own_open_cart_can_be_ordered() {
    let fixture = OrdersFixture::new().await;
    let theirs = fixture.cart_of(STRANGER, &two_spoons_in_cart()).await;
    let created = fixture.call("create-cart", events::post("/carts", &json!({})).event()).await;
    let (guests, token) = (created.json(), created.json()["cart_token"].clone());
    let token = token.as_str().unwrap();
    let in_guests = events::post("/carts", &two_spoons_in_cart())
        .header("x-cart-token", token)
        .path_parameter("cart_id", id(&guests));
    let guests = fixture.call("change-cart", in_guests.event()).await.json();
    let unknown = json!({ "id": "crt_0199c2a8-0000-7000-8000-0000000000f1", "version": 1, "totals": theirs["totals"] });
    for cart in [&theirs, &guests, &unknown] {
        fixture.assert_refused(&of_cart(cart), 404, "cart_not_found").await;
    }
    // The token of a guest's cart does not help here: the cart must be merged first.
    let with_token = events::order("k", &of_cart(&guests)).header("x-cart-token", token).event();
    assert_eq!(fixture.call("create-order", with_token).await.code(), "cart_not_found");

    let mine = fixture.cart().await;
    let merge = events::http("POST", "/carts")
        .caller(USER)
        .header("x-cart-token", token)
        .path_parameter("cart_id", id(&mine));
    let merged = fixture.call("merge-cart", merge.event()).await;
    assert_eq!(merged.status(), 200, "{:?}", merged.answer);
    fixture.assert_refused(&of_cart(&guests), 404, "cart_not_found").await;
    let ordered = fixture.post("k", &of_cart(&merged.json())).await;
    assert_eq!((ordered.status(), &ordered.json()["totals"]["total"]), (201, &usd(11_996)));

    // The stranger orders their cart, which stays unknown to Ada.
    let theirs_ordered = events::order("k", &of_cart(&theirs)).caller(STRANGER).event();
    assert_eq!(fixture.call("create-order", theirs_ordered).await.status(), 201);
    fixture.assert_refused(&of_cart(&theirs), 404, "cart_not_found").await;
}

#[tokio::test]
async fn expired_cart_is_404() {
    let fixture = OrdersFixture::new().await;
    let cart = fixture.cart().await;
    fixture.clock.advance(Duration::from_secs(60 * 24 * 3600));
    fixture.assert_refused(&of_cart(&cart), 404, "cart_not_found").await;
}

#[tokio::test]
async fn cart_that_ships_nothing_is_ordered_at_its_billing_address() {
    let fixture = OrdersFixture::with_market().await;
    let mut file = product(SPOON, 2, 2999, true);
    file["requires_shipping"] = false.into();
    assert!(fixture.replicate(&file).await);
    let mut changes = two_spoons_in_cart();
    changes["market"] = "gb".into();
    let cart = fixture.cart_of(USER, &changes).await;
    assert_eq!(cart["refusals"][0]["code"], "billing_address_required", "{cart}");
    let mut body = of_cart(&cart);
    body["expected_total"] = usd(1);
    fixture.assert_refused(&body, 422, "billing_address_required").await;

    let billed = json!({ "billing_address": addressed()["shipping_address"] });
    let cart = fixture.changed(USER, id(&cart), &billed).await;
    let placed = fixture.post("k", &of_cart(&cart)).await;
    assert_eq!((placed.status(), &placed.json()["totals"]), (201, &cart["totals"]));
    assert_eq!(placed.json()["price"]["shipping"], Value::Null);
}

#[tokio::test]
async fn cart_without_a_market_is_503_in_a_production_shop() {
    let fixture = OrdersFixture::new().await;
    let cart = fixture.cart().await;
    let fixture = fixture.with_stage(true).await;
    let capture = Capture::start();
    fixture.assert_refused(&of_cart(&cart), 503, "no_market").await;
    assert_eq!(capture.total(&orders::metrics::ORDER_WITHOUT_MARKET), 1);
}
