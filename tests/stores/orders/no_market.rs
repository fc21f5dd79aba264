//! A production shop sells only in markets: an order that names none is rejected, counted and logged.

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
    async fn with_stage(self, is_production: bool) -> Self {
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

/// The name of the market comes from the client, so an unknown one is a mistake of the request.
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

/// An order of the time before the stage was changed is returned again.
#[tokio::test]
async fn repeated_request_without_a_market_returns_its_order() {
    let fixture = OrdersFixture::new().await;
    let placed = fixture.post("k", &two_spoons()).await;
    let fixture = fixture.with_stage(true).await;
    let again = fixture.post("k", &two_spoons()).await;
    assert_eq!((again.status(), again.body()), (201, placed.body()));
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
}
