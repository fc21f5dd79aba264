//! Orders of carts: they settle like every order, and after a failure the buyer orders again from a
//! new cart.

use serde_json::{Value, json};
use tests::{
    events,
    harness::Harness,
    shop::{PAY_WITHIN, Shop},
};

use super::{assert_settled, shop, stock, subjects, time_passes};

/// A cart as the API shows it.
async fn create_cart(shop: &Shop, body: &Value) -> Value {
    let request = events::post("/carts", body).caller(events::USER);
    let called = shop.call("create-cart", request.event()).await;
    assert_eq!(called.status(), 201, "{:?}", called.answer);
    called.json()
}

async fn change_cart(shop: &Shop, cart: &Value, product: &str, quantity: u32) -> Value {
    let changes = json!({ "set": [{ "product_id": product, "quantity": quantity }] });
    let request = events::post("/carts", &changes)
        .caller(events::USER)
        .path_parameter("cart_id", cart["id"].as_str().unwrap());
    let called = shop.call("change-cart", request.event()).await;
    assert_eq!(called.status(), 200, "{:?}", called.answer);
    called.json()
}

/// Orders a cart as it was shown, and returns the id of the order. The key is the id of the cart.
async fn order_cart(shop: &Shop, cart: &Value, token: Option<&str>) -> String {
    let mut body = json!({
        "cart_id": cart["id"], "cart_version": cart["version"], "expected_total": cart["totals"]["total"],
    });
    if let Some(token) = token {
        body["payment_method"] = json!({ "type": "card", "token": token });
    }
    let request = events::order(cart["id"].as_str().unwrap(), &body);
    let called = shop.call("create-order", request.event()).await;
    assert_eq!(called.status(), 201, "{:?}", called.answer);
    called.json()["id"].as_str().unwrap().to_owned()
}

async fn drain(shop: &Shop) -> Harness {
    let mut harness = shop.harness();
    harness.drain_queues().await;
    harness
}

/// Orders the goods of an earlier order again, and asserts that the new order is confirmed.
async fn order_again(shop: &Shop, harness: &mut Harness, order: &str, product: &str) {
    let cart = create_cart(shop, &json!({ "from_order": order })).await;
    assert_eq!((&cart["lines"][0]["product_id"], &cart["refusals"]), (&json!(product), &json!([])));
    let cart = change_cart(shop, &cart, product, 2).await;
    let again = order_cart(shop, &cart, Some("tok_ok")).await;
    assert_ne!(again, order);
    harness.drain_queues().await;
    let read = shop.read_order(&again).await;
    assert_eq!((&read["status"], &read["cart_id"]), (&json!("confirmed"), &cart["id"]), "{read}");
    assert_eq!(stock(shop, product).await, (8, 8, 0));
    assert_settled(shop).await;
}

#[tokio::test]
async fn order_of_a_cart_is_confirmed_committed_and_mailed_once() {
    let (shop, product) = shop().await;
    let cart = create_cart(&shop, &json!({})).await;
    let cart = change_cart(&shop, &cart, &product, 2).await;
    assert_eq!(stock(&shop, &product).await, (10, 10, 0), "a cart holds no stock");
    let order = order_cart(&shop, &cart, Some("tok_ok")).await;
    drain(&shop).await;
    let read = shop.read_order(&order).await;
    assert_eq!(
        (&read["status"], &read["totals"]),
        (&json!("confirmed"), &cart["totals"]),
        "{read}"
    );
    assert_eq!(stock(&shop, &product).await, (8, 8, 0));
    assert_eq!(subjects(&shop), ["Your order is confirmed"]);
    // The repeated request still has its first response.
    assert_eq!(order_cart(&shop, &cart, Some("tok_ok")).await, order);
    assert_settled(&shop).await;
}

#[tokio::test]
async fn order_above_stock_is_ordered_again_from_a_new_cart() {
    let (shop, product) = shop().await;
    let cart = create_cart(&shop, &json!({})).await;
    let cart = change_cart(&shop, &cart, &product, 11).await;
    let order = order_cart(&shop, &cart, Some("tok_ok")).await;
    let mut harness = drain(&shop).await;
    assert_eq!(shop.read_order(&order).await["status"], "failed");
    order_again(&shop, &mut harness, &order, &product).await;
}

#[tokio::test]
async fn order_declined_five_times_is_ordered_again_from_a_new_cart() {
    let (shop, product) = shop().await;
    let cart = create_cart(&shop, &json!({})).await;
    let cart = change_cart(&shop, &cart, &product, 2).await;
    let order = order_cart(&shop, &cart, None).await;
    let mut harness = drain(&shop).await;
    for attempt in 0..5 {
        let request = events::new_payment(&format!("attempt-{attempt}"), &order, "tok_declined");
        let declined = shop.call("create-payment", request).await;
        assert_eq!(declined.code(), "payment_declined", "{attempt}: {:?}", declined.answer);
        harness.drain_queues().await;
    }
    assert_eq!(shop.read_order(&order).await["status"], "failed");
    order_again(&shop, &mut harness, &order, &product).await;
}

#[tokio::test]
async fn expired_order_is_ordered_again_from_a_new_cart() {
    let (shop, product) = shop().await;
    let cart = create_cart(&shop, &json!({})).await;
    let cart = change_cart(&shop, &cart, &product, 2).await;
    let order = order_cart(&shop, &cart, None).await;
    let mut harness = drain(&shop).await;
    for seconds in [PAY_WITHIN.as_secs(), 3600, 3600] {
        time_passes(&shop, &mut harness, seconds).await;
    }
    assert_eq!(shop.read_order(&order).await["status"], "cancelled");
    order_again(&shop, &mut harness, &order, &product).await;
}
