//! `POST /prices/preview` returns the price of an order without placing one.

use super::{
    in_market::{parcel_service, rules, usd},
    *,
};

fn two_spoons_in_market() -> Value {
    json!({
        "market": "gb",
        "lines": [{ "product_id": SPOON, "quantity": 2 }],
        "country": "GB",
        "shipping_method": parcel_service(),
    })
}

impl OrdersFixture {
    async fn preview(&self, body: &Value) -> Called {
        self.call("preview-prices", events::post("/prices/preview", body).event()).await
    }
}

/// A price without the ids of its lines, which depend on the order.
fn without_ids(mut price: Value) -> Value {
    for line in price["lines"].as_array_mut().unwrap() {
        line.as_object_mut().unwrap().remove("line_id").unwrap();
    }
    price
}

#[tokio::test]
async fn preview_equals_the_order() {
    for rules in [events::pricing(), rules(2, "prices_include_tax", json!(true))] {
        let fixture = OrdersFixture::with_market().await;
        assert!(fixture.replicate_rules(&rules).await);
        let previewed = fixture.preview(&two_spoons_in_market()).await;
        assert_eq!((previewed.status(), previewed.operations()), (200, vec!["BatchGetItem"]));
        assert_eq!(previewed.header("cache-control").as_deref(), Some("no-store"));
        let preview = previewed.json();
        assert_eq!(preview["refusals"], json!([]));
        assert_eq!(preview["lines"][0]["line_id"], preview["price"]["lines"][0]["line_id"]);

        let mut request = addressed();
        request["market"] = "gb".into();
        request["shipping_method"] = parcel_service();
        request["expected_total"] = preview["totals"]["total"].clone();
        let order = fixture.post("k", &request).await.json();
        assert_eq!(order["totals"], preview["totals"]);
        assert_eq!(without_ids(order["price"].clone()), without_ids(preview["price"].clone()));
    }
}

#[tokio::test]
async fn address_and_country_have_the_same_price() {
    let fixture = OrdersFixture::with_market().await;
    let mut request = two_spoons_in_market();
    let of_country = fixture.preview(&request).await;
    request["shipping_address"] = addressed()["shipping_address"].clone();
    request["country"] = "IE".into();
    let of_address = fixture.preview(&request).await;
    assert_eq!(of_address.status(), 200);
    assert_eq!(of_address.body(), of_country.body());
}

#[tokio::test]
async fn preview_lists_refusals_and_shipping_options() {
    let fixture = OrdersFixture::with_market().await;
    let mut request = two_spoons_in_market();
    request.as_object_mut().unwrap().remove("shipping_method");
    let preview = fixture.preview(&request).await.json();
    assert_eq!(
        preview["refusals"],
        json!([{ "code": "shipping_method_required", "product_id": null, "minimum": null }])
    );
    // 53.98 and 20 % tax, without shipping.
    assert_eq!(preview["totals"]["total"], usd(6478));
    let [option] = &preview["shipping_options"].as_array().unwrap()[..] else { panic!("one") };
    assert_eq!((&option["method_id"], &option["gross"]), (&parcel_service(), &json!(588)));

    let mut euros = rules(1, "currency", json!("EUR"));
    euros["market"] = "eu".into();
    assert!(fixture.replicate_rules(&euros).await);
    request["market"] = "eu".into();
    let preview = fixture.preview(&request).await.json();
    assert_eq!(preview["refusals"][0]["code"], "not_sold_here");
    assert_eq!(preview["refusals"][0]["product_id"], SPOON);
    assert_eq!(preview["lines"], json!([]));
    assert_eq!(fixture.count(), 0);
}

#[tokio::test]
async fn invalid_previews_are_422_with_the_field() {
    let fixture = OrdersFixture::with_market().await;
    fixture.replicate(&product(BOWL, 2, 1000, false)).await;
    let with = |field: &str, value: Value| {
        let mut request = two_spoons_in_market();
        request[field] = value;
        request
    };
    let line =
        |product: &str, quantity: u32| json!([{ "product_id": product, "quantity": quantity }]);
    for (request, code, pointer) in [
        (with("country", Value::Null), "required", "/country"),
        (with("market", json!("nowhere")), "unknown_market", "/market"),
        (with("country", json!("IE")), "unknown_market", "/market"),
        (with("lines", line(BOWL, 1)), "unknown_product", "/lines/0/product_id"),
        (with("lines", line(SPOON, 21)), "too_many_of_product", "/lines/0/quantity"),
        (with("lines", json!([])), "out_of_range", "/lines"),
    ] {
        let refused = fixture.preview(&request).await;
        assert_eq!((refused.status(), refused.code().as_str()), (422, code), "{request}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{code}");
    }
}

/// An instance uses rules for ten seconds. Orders always read them.
#[tokio::test]
async fn rules_are_kept_for_previews_only_and_for_ten_seconds() {
    let fixture = OrdersFixture::with_market().await;
    let version = async || {
        fixture.preview(&two_spoons_in_market()).await.json()["pricing_version"].as_u64().unwrap()
    };
    assert_eq!(version().await, 1);
    assert!(fixture.replicate_rules(&rules(2, "minimum_charge", json!(0))).await);
    fixture.clock.advance(Duration::from_millis(9_999));
    assert_eq!(version().await, 1);
    let mut request = addressed();
    request["market"] = "gb".into();
    request["shipping_method"] = parcel_service();
    assert_eq!(fixture.post("k", &request).await.json()["price"]["pricing_version"], 2);
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(version().await, 2);
}

#[tokio::test]
async fn table_failure_is_503_and_is_not_kept() {
    for_each_fault([0], async |InjectedFault { call, fault }| {
        let fixture = OrdersFixture::with_market().await;
        fixture.aws.fail(call, fault);
        let failed = fixture.preview(&two_spoons_in_market()).await;
        fixture.aws.heal();
        // A read does not conflict.
        assert!(failed.status() == 503 || fault == Fault::Conflict, "{fault:?}");
        assert_eq!(fixture.preview(&two_spoons_in_market()).await.status(), 200, "{fault:?}");
    })
    .await;
}
