//! A production shop sells only in markets: an order without a market is rejected, counted and
//! logged.

use super::*;

/// Two spoons in the market `gb`, which are shipped.
fn in_market() -> Value {
    let mut request = addressed();
    request["market"] = "gb".into();
    request["shipping_method"] = super::in_market::parcel_service();
    request
}

impl OrdersFixture {
    /// The same shop, whose stage is production or not.
    pub(super) async fn with_stage(self, is_production: bool) -> Self {
        let service = shop::orders(&self.aws, &self.clock);
        let limits =
            orders::domain::unpaid::Limits { requires_market: is_production, ..service.limits };
        Self(self.0.with(|shop| shop.orders = Arc::new(Orders { limits, ..service })))
            .ready_to_place()
            .await
    }
}

#[tokio::test]
async fn production_shop_rejects_and_counts_an_order_without_a_market() {
    let fixture = OrdersFixture::new().await.with_stage(true).await;
    let capture = Capture::start();
    for request in [two_spoons(), addressed()] {
        let refused = fixture.post("k", &request).await;
        assert_eq!((refused.status(), refused.code().as_str()), (503, "no_market"));
        assert_eq!(refused.header("retry-after").as_deref(), Some("60"));
        assert_eq!((fixture.count(), refused.operations()), (0, vec!["BatchGetItem"]));
    }
    assert_eq!(capture.total(&orders::metrics::ORDER_WITHOUT_MARKET), 2);
}

#[tokio::test]
async fn other_shops_sell_without_a_market_and_count_nothing() {
    let fixture = OrdersFixture::new().await.with_stage(false).await;
    let capture = Capture::start();
    let placed = fixture.post("k", &two_spoons()).await;
    assert_eq!((placed.status(), &placed.json()["price"]), (201, &Value::Null));
    assert_eq!(capture.total(&orders::metrics::ORDER_WITHOUT_MARKET), 0);
}

/// The name of the market comes from the client, so an unknown one is an error of the request.
#[tokio::test]
async fn production_shop_answers_422_for_a_market_without_rules() {
    let fixture = OrdersFixture::with_market().await.with_stage(true).await;
    let capture = Capture::start();
    let mut request = in_market();
    request["market"] = "nowhere".into();
    let refused = fixture.post("k", &request).await;
    assert_eq!((refused.status(), refused.code().as_str()), (422, "unknown_market"));
    let mut request = addressed();
    request["shipping_method"] = super::in_market::parcel_service();
    let refused = fixture.post("k", &request).await;
    assert_eq!((refused.status(), refused.code().as_str()), (422, "required"));
    assert_eq!(capture.total(&orders::metrics::ORDER_WITHOUT_MARKET), 0);
    assert_eq!(fixture.post("k", &in_market()).await.status(), 201);
}

/// An order from before the change of the stage is returned again.
#[tokio::test]
async fn repeated_request_without_a_market_returns_its_order() {
    let fixture = OrdersFixture::new().await;
    let placed = fixture.post("k", &two_spoons()).await;
    let fixture = fixture.with_stage(true).await;
    let again = fixture.post("k", &two_spoons()).await;
    assert_eq!((again.status(), again.body()), (201, placed.body()));
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
}

/// A cart lists the reason why it cannot be ordered before the buyer orders it.
#[tokio::test]
async fn cart_without_a_market_is_refused_in_a_production_shop_only() {
    for is_production in [false, true] {
        let fixture = OrdersFixture::new().await.with_stage(is_production).await;
        let created = fixture.call("create-cart", events::post("/carts", &json!({})).event()).await;
        assert_eq!(created.status(), 201, "{:?}", created.answer);
        let refusals = created.json()["refusals"].clone();
        let refusals = refusals.as_array().unwrap();
        let is_refused = refusals.iter().any(|refusal| refusal["code"] == "no_market");
        assert_eq!(is_refused, is_production, "{refusals:?}");
    }
}

/// The rule also applies to the order of a cart, and the cart stays open.
#[tokio::test]
async fn production_shop_rejects_and_counts_the_order_of_a_cart_without_a_market() {
    let fixture = OrdersFixture::new().await.with_stage(true).await;
    let create = events::post("/carts", &json!({})).caller(USER);
    let cart = fixture.call("create-cart", create.event()).await.json();
    let id = cart["id"].as_str().unwrap();
    let add = json!({ "add": [{ "product_id": SPOON, "quantity": 2 }] });
    let change = events::post(&format!("/carts/{id}/changes"), &add).path_parameter("cart_id", id);
    let cart = fixture.call("change-cart", change.caller(USER).event()).await.json();
    let capture = Capture::start();
    let refused = fixture.post("k", &super::order_cart::of_cart(&cart)).await;
    assert_eq!((refused.status(), refused.code().as_str()), (503, "no_market"));
    assert_eq!(capture.total(&orders::metrics::ORDER_WITHOUT_MARKET), 1);
    let read = events::get(&format!("/carts/{id}")).path_parameter("cart_id", id).caller(USER);
    let read = fixture.call("get-cart", read.event()).await;
    assert_eq!((read.status(), read.json()["version"].clone()), (200, cart["version"].clone()));
    assert_eq!(fixture.count(), 0);
}
