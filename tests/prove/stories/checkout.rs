//! The stories of a checkout in a market.

use serde_json::{Value, json};
use tests::events::{self, Http};

use super::paths::delivered_from_here;
use crate::stage::{
    Stage,
    markets::{Checkout, PLACES, creation, promotion, usd},
};

impl Stage {
    /// Two products of different tax classes, to be shipped to one of [`PLACES`].
    fn checkout(&self, place: usize) -> Checkout {
        let lines = self.products.iter().map(|product| (product.clone(), 1)).collect();
        Checkout { place: PLACES[place], lines, shipping_method: None }
    }

    /// Orders at the price of the preview, with the cheapest shipping method. Returns the total.
    async fn buy(&mut self, mut checkout: Checkout) -> i64 {
        let preview = self.insist("preview-prices", checkout.preview()).await.json();
        let cheapest = &preview["shipping_options"][0]["method_id"];
        checkout.shipping_method = cheapest.as_str().map(str::to_owned);
        let preview = self.insist("preview-prices", checkout.preview()).await.json();
        let total = preview["totals"]["total"]["amount"].as_i64();
        let Some(total) = total else { self.fail(&format!("no price: {preview:#}")) };
        let order = events::order("order", &checkout.order(total, Some("tok_ok")));
        let called = self.insist("create-order", order).await;
        self.ensure(called.status() == 201, || format!("create-order: {:?}", called.answer));
        let id = called.json()["id"].as_str().unwrap_or_default().to_owned();
        self.placed_at(id, events::USER.to_owned(), total);
        total
    }
}

/// Promotions reduce goods and shipping to 0. Orders receives the rules before the buyer orders.
pub(super) async fn free_by_promotions(stage: &mut Stage) {
    for target in ["order", "shipping"] {
        let request = creation("", target, &promotion(target, 10_000));
        stage.insist("create-promotion", request).await;
    }
    stage.drain().await;
    let checkout = stage.checkout(0);
    let total = stage.buy(checkout).await;
    stage.ensure(total == 0, || format!("the promotions leave {total}"));
    stage.drain().await;
    stage.pay("tok_ok").await;
    delivered_from_here(stage).await;
}

/// A guest fills a cart and logs in, and orders it in a market whose tax is added at two rates.
pub(super) async fn from_cart(stage: &mut Stage) {
    let guest = stage.create_cart(|request| request).await;
    let token = guest["cart_token"].as_str().unwrap_or_default().to_owned();
    let lines: Value = stage
        .products
        .iter()
        .map(|product| json!({ "product_id": product, "quantity": 1 }))
        .collect();
    let add = json!({ "add": lines, "mutation_id": "add" });
    let as_guest = |request: Http| request.header("x-cart-token", &token);
    stage.cart(as_guest(of_cart(&guest, change(&add))), "change-cart").await;

    let mine = stage.create_cart(|request| request.caller(events::USER)).await;
    stage.cart(as_guest(of_mine(&mine, events::http("POST", "/carts/merge"))), "merge-cart").await;
    let terms = json!({ "shipping_address": PLACES[2].address(), "market": PLACES[2].market });
    stage.cart(of_mine(&mine, change(&terms)), "change-cart").await;
    let options = stage
        .cart(of_mine(&mine, events::get("/carts/shipping-options")), "list-shipping-options")
        .await;
    let method = json!({ "shipping_method": options["shipping_options"][0]["method_id"] });
    stage.cart(of_mine(&mine, change(&method)), "change-cart").await;
    let shown = stage.cart(of_mine(&mine, events::get("/carts")), "get-cart").await;
    let quantities: Vec<&Value> =
        shown["lines"].as_array().into_iter().flatten().map(|line| &line["quantity"]).collect();
    stage.ensure(quantities == [1, 1], || format!("added and merged once, but {shown:#}"));

    stage.order_cart(&shown).await;
    let gone = stage.insist("get-cart", of_mine(&mine, events::get("/carts"))).await;
    stage.ensure(gone.status() == 410, || format!("an ordered cart: {:?}", gone.answer));
    stage.drain().await;
    delivered_from_here(stage).await;
}

fn change(body: &Value) -> Http {
    events::post("/carts/changes", body)
}

/// A request about a cart.
fn of_cart(cart: &Value, request: Http) -> Http {
    request.path_parameter("cart_id", cart["id"].as_str().unwrap_or_default())
}

/// A request of the buyer about their own cart.
fn of_mine(cart: &Value, request: Http) -> Http {
    of_cart(cart, request).caller(events::USER)
}

impl Stage {
    /// The buyer leaves an address in a cart that they do not order.
    pub(super) async fn leave_cart(&mut self) {
        let mine = self.create_cart(|request| request.caller(events::USER)).await;
        let address = json!({ "shipping_address": PLACES[2].address() });
        self.cart(of_mine(&mine, change(&address)), "change-cart").await;
    }

    async fn create_cart(&mut self, by: impl FnOnce(Http) -> Http) -> Value {
        let request = events::post("/carts", &json!({ "market": PLACES[2].market }));
        self.cart(by(request), "create-cart").await
    }

    /// Sends a request about a cart until it is answered with the cart.
    async fn cart(&mut self, request: Http, operation: &str) -> Value {
        let called = self.insist(operation, request).await;
        let is_accepted = called.status() < 300;
        self.ensure(is_accepted, || format!("{operation}: {:?}", called.answer));
        called.json()
    }

    /// Orders a cart as it was shown. In a race the request is sent under two keys at once: one of
    /// them orders the cart, and the other one finds its order.
    async fn order_cart(&mut self, shown: &Value) {
        let total = shown["totals"]["total"]["amount"].as_i64().unwrap_or_default();
        let body = json!({
            "cart_id": shown["id"], "cart_version": shown["version"], "expected_total": usd(total),
            "payment_method": { "type": "card", "token": "tok_ok" },
        });
        if self.is_racing() {
            let under = |key: &str| events::order(key, &body).event();
            let events = [under("order"), under("another")];
            for called in self.race_requests("create-order", events).await {
                let is_expected =
                    [201, 502, 503].contains(&called.status()) || called.code() == "cart_ordered";
                self.ensure(is_expected, || format!("create-order: {:?}", called.answer));
            }
        }
        let called = self.insist("create-order", events::order("order", &body)).await;
        let order = called.json();
        let id = if called.code() == "cart_ordered" && self.is_racing() {
            &order["order_id"]
        } else {
            self.ensure(called.status() == 201, || format!("create-order: {:?}", called.answer));
            &order["id"]
        };
        let id = id.as_str().unwrap_or_default().to_owned();
        self.placed_at(id, events::USER.to_owned(), total);
    }
}
