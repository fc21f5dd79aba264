//! `POST /orders` with a market: the rules of the market price the order once.

use orders::domain::{
    Product,
    number::order_number,
    pricing::{Destination, Price, Pricing},
    quote::{Purchase, RequestedLine, Terms, quote},
};
use shared::address::CountryCode;

use super::{update_order::change, *};

/// Two spoons at 29.99: 59.98 less 10 %, shipping 4.90 and tax of 20 %.
pub(super) const TOTAL: i64 = 7066;
const ANOTHER_METHOD: &str = "shp_0199c2a8-0000-7000-8000-0000000000ff";

pub(super) fn usd(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

/// The shipping method of the sample rules.
pub(super) fn parcel_service() -> Value {
    events::pricing()["document"]["shipping_methods"][0]["id"].clone()
}

/// The sample rules in this version, with one value of their document changed.
pub(super) fn rules(version: u64, field: &str, value: Value) -> Value {
    let mut pricing = events::pricing();
    pricing["version"] = version.into();
    pricing["document"][field] = value;
    pricing
}

/// Two spoons that are shipped to Ada in the market `gb`.
fn in_market() -> Value {
    let mut request = addressed();
    request["market"] = "gb".into();
    request["shipping_method"] = parcel_service();
    request
}

impl OrdersFixture {
    /// A shop with the sample rules of the market `gb` for its country.
    pub(super) async fn with_market() -> Self {
        let fixture = Self::new().await;
        assert!(fixture.replicate_rules(&events::pricing()).await);
        fixture
    }

    async fn placed_in_market(&self, key: &str) -> Value {
        let placed = self.post(key, &in_market()).await;
        assert_eq!(placed.status(), 201, "{:?}", placed.answer);
        placed.json()
    }

    /// The price that the domain computes for two spoons.
    async fn computed(&self, owner: &str) -> Price {
        let pricing: Pricing = serde_json::from_value(events::pricing()).unwrap();
        let spoon: Product = serde_json::from_value(self.known(SPOON).await).unwrap();
        let destination = Destination { country: CountryCode::parse("GB").unwrap(), region: None };
        let purchase = Purchase {
            pricing: &pricing,
            destination: &destination,
            shipping_method: serde_json::from_value(parcel_service()).unwrap(),
            now: self.clock.now(),
        };
        let spoons = RequestedLine { position: 0, quantity: 2, product: &spoon };
        let quote = quote(owner, &[spoons], &Terms::Market(purchase));
        assert_eq!(quote.refusals, []);
        quote.price.unwrap()
    }
}

#[tokio::test]
async fn order_is_priced_by_the_rules_of_its_market() {
    let fixture = OrdersFixture::with_market().await;
    let placed = fixture.post("k", &in_market()).await;
    assert_eq!(
        (placed.status(), placed.operations()),
        (201, vec!["BatchGetItem", "TransactWriteItems"])
    );
    let view = placed.json();
    let id = view["id"].as_str().unwrap();
    assert_eq!(
        view["totals"],
        json!({ "items": usd(5398), "shipping": usd(490), "tax": usd(1178), "total": usd(TOTAL) })
    );
    assert_eq!(view["items"][0]["unit_price"], usd(2999));
    assert_eq!(view["items"][0]["line_total"], usd(5998));
    let price = &view["price"];
    assert_eq!((&price["market"], &price["pricing_version"]), (&json!("gb"), &json!(1)));
    assert_eq!(price["lines"][0]["line_id"], view["items"][0]["line_id"]);
    assert_eq!(price["lines"][0]["discounts"][0]["amount"], 600);
    assert_eq!(price["shipping"]["base"], 490);
    assert_eq!(price["tax_summary"][0]["amount"], 1178);
    assert_eq!(price["discount_total"], 600);
    assert_eq!(fixture.read(id, USER, None).await.body(), placed.body());
}

#[tokio::test]
async fn stored_price_is_that_of_the_domain() {
    let fixture = OrdersFixture::with_market().await;
    let view = fixture.placed_in_market("k").await;
    let id = view["id"].as_str().unwrap();
    let expected = fixture.computed(id).await;
    assert_eq!(fixture.order(id).await.placed.price.as_ref(), Some(&expected));
    assert_eq!(view["price"], serde_json::to_value(&expected).unwrap());
    assert!(fixture.item(id)["price"]["M"].is_object());
}

#[tokio::test]
async fn order_number_is_shown_with_the_order_and_in_lists() {
    let fixture = OrdersFixture::with_market().await;
    let view = fixture.placed_in_market("k").await;
    let number = order_number(OrderId::parse(view["id"].as_str().unwrap()).unwrap());
    assert_eq!(view["number"], number.as_str());
    let listed = fixture.page("", USER).await.json();
    assert_eq!(listed["items"][0]["number"], number.as_str());
    assert_eq!(listed["items"][0]["totals"], view["totals"]);
}

#[tokio::test]
async fn another_expected_total_returns_the_price_and_writes_nothing() {
    let fixture = OrdersFixture::with_market().await;
    let mut request = in_market();
    for wrong in [usd(5998), json!({ "amount": TOTAL, "currency": "EUR" })] {
        request["expected_total"] = wrong;
        let refused = fixture.post("k", &request).await;
        assert_eq!((refused.status(), refused.code().as_str()), (409, "price_changed"));
        assert_eq!((fixture.count(), refused.operations()), (0, vec!["BatchGetItem"]));
        let problem = refused.json();
        assert_eq!((&problem["total"], &problem["totals"]["total"]), (&usd(TOTAL), &usd(TOTAL)));
        assert_eq!(problem["items"][0]["line_id"], problem["price"]["lines"][0]["line_id"]);
        assert_eq!(problem["price"]["lines"][0]["gross"], 6478);
        assert_eq!(problem["price"]["tax_summary"][0]["amount"], 1178);
        request["expected_total"] = problem["total"].clone();
    }
    let accepted = fixture.post("k", &request).await;
    assert_eq!((accepted.status(), fixture.count()), (201, 1));
    assert_eq!(accepted.json()["totals"]["total"], usd(TOTAL));
}

#[tokio::test]
async fn what_cannot_be_ordered_is_422_and_writes_nothing() {
    let fixture = OrdersFixture::with_market().await;
    let mut euros = rules(1, "currency", json!("EUR"));
    euros["market"] = "eu".into();
    let mut closed = rules(1, "served", json!(false));
    closed["market"] = "closed".into();
    let mut minimum = rules(1, "minimum_charge", json!(100_000));
    minimum["market"] = "wholesale".into();
    let regional = json!([{
        "region": "CA", "tax_class": "standard", "treatment": "standard",
        "rates": [{ "name": "State", "ppm": 72_500 }], "valid_from": "2026-01-01T00:00:00Z",
    }]);
    let mut regional = rules(1, "taxes", regional);
    regional["market"] = "regional".into();
    for rules in [&euros, &closed, &minimum, &regional] {
        assert!(fixture.replicate_rules(rules).await);
    }
    let with = |place: &str, value: Value| {
        let mut request = in_market();
        *request.pointer_mut(place).unwrap() = value;
        request
    };
    for (request, code, pointer) in [
        (with("/market", json!("nowhere")), "unknown_market", "/market"),
        (with("/shipping_address/country", json!("IE")), "unknown_market", "/market"),
        (with("/market", Value::Null), "required", "/market"),
        (with("/shipping_address", Value::Null), "shipping_address_required", "/shipping_address"),
        (with("/shipping_method", Value::Null), "shipping_method_required", "/shipping_method"),
        (
            with("/shipping_method", json!(ANOTHER_METHOD)),
            "shipping_unavailable",
            "/shipping_method",
        ),
        (with("/market", json!("eu")), "not_sold_here", "/items/0/product_id"),
        (with("/market", json!("closed")), "not_delivered_there", "/shipping_address/country"),
        (with("/market", json!("regional")), "unknown_region", "/shipping_address/region"),
    ] {
        let refused = fixture.post("k", &request).await;
        assert_eq!((refused.status(), refused.code().as_str()), (422, code));
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{code}");
        assert_eq!((fixture.count(), refused.operations()), (0, vec!["BatchGetItem"]), "{code}");
    }
    let refused = fixture.post("k", &with("/market", json!("wholesale"))).await;
    assert_eq!((refused.status(), refused.code().as_str()), (422, "below_minimum"));
    assert_eq!((&refused.json()["minimum"], fixture.count()), (&usd(100_000), 0));

    fixture.replicate(&product(SPOON, 2, 99_999_999, true)).await;
    let refused = fixture.post("k", &in_market()).await;
    assert_eq!((refused.status(), refused.code().as_str()), (422, "amount_too_large"));
    fixture.replicate(&product(SPOON, 3, 2999, true)).await;
    assert_eq!(fixture.post("k", &in_market()).await.status(), 201);
}

#[tokio::test]
async fn repeated_order_ignores_rules_that_have_changed() {
    let fixture = OrdersFixture::with_market().await;
    let first = fixture.post("k", &in_market()).await;
    let mut unreadable = rules(3, "served", json!(true));
    unreadable["document"] = json!({ "currency": "USD" });
    for (version, field, value) in
        [(2, "minimum_charge", json!(1_000_000)), (3, "served", json!(false))]
    {
        assert!(fixture.replicate_rules(&rules(version, field, value)).await);
        let again = fixture.post("k", &in_market()).await;
        assert_eq!((again.status(), again.body()), (201, first.body()), "{field}");
        assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
        assert_eq!(fixture.post("new", &in_market()).await.status(), 422, "{field}");
    }
    assert!(!fixture.replicate_rules(&unreadable).await);
    assert_eq!(fixture.post("k", &in_market()).await.body(), first.body());
}

#[tokio::test]
async fn totals_are_equal_in_the_order_its_list_its_payment_and_its_mail() {
    let fixture = OrdersFixture::with_market().await;
    let mut request = in_market();
    request["payment_method"] = json!({ "type": "card", "token": "tok_ok" });
    let placed = fixture.post("k", &request).await.json();
    let id = placed["id"].as_str().unwrap();
    let mut stream = fixture.stream();
    fixture.send_event(id, "stock_reserved.v1", &json!({ "version": 1 })).await;
    let captured = json!({ "version": 2, "payment_id": "pay_1", "captured_total": TOTAL });
    stream.publish().await;
    fixture.send_event(id, "payment_succeeded.v1", &captured).await;
    stream.publish().await;

    let charge = fixture.aws.queues().waiting("charge-payment")[0].json();
    assert_eq!(charge["data"]["amount"], usd(TOTAL));
    let mail = fixture.aws.queues().waiting("send-notification")[0].json();
    let mail = &mail["data"]["data"];
    assert_eq!((&mail["total"], &mail["number"]), (&usd(TOTAL), &placed["number"]));
    assert_eq!(mail["discounts"], json!([{ "name": "Autumn sale", "amount": 600 }]));
    assert_eq!(mail["shipping"], json!({ "name": "Parcel", "amount": 490 }));
    let tax = json!({ "name": "VAT", "jurisdiction": "GB", "ppm": 200_000, "amount": 1178 });
    assert_eq!((&mail["taxes"], &mail["tax_included"]), (&json!([tax]), &json!(false)));
    assert_eq!(fixture.order(id).await.progress.status, Status::Confirmed);
    let read = fixture.read(id, USER, None).await.json();
    assert_eq!((&read["totals"], &read["price"]), (&placed["totals"], &placed["price"]));
    assert_eq!(fixture.page("", USER).await.json()["items"][0]["totals"], placed["totals"]);
}

/// A later release adds fields to the price of an order, and this one writes the order.
#[tokio::test]
async fn unknown_fields_of_a_stored_price_survive_a_write() {
    let fixture = OrdersFixture::with_market().await;
    let id = fixture.placed_in_market("k").await["id"].as_str().unwrap().to_owned();
    let mut item = fixture.item(&id);
    item["price"]["M"]["gift_wrapping"] = json!({ "M": { "amount": { "N": "300" } } });
    item["price"]["M"]["lines"]["L"][0]["M"]["note"] = json!({ "S": "later" });
    fixture.aws.put("orders", &item);
    fixture.send_event(&id, "stock_reserved.v1", &json!({ "version": 1 })).await;
    let written = fixture.item(&id);
    assert_eq!(written["version"]["N"], "2");
    assert_eq!(written["price"], item["price"]);
}

#[tokio::test]
async fn prices_that_include_tax_are_stored_with_their_items() {
    let fixture = OrdersFixture::with_market().await;
    assert!(fixture.replicate_rules(&rules(2, "prices_include_tax", json!(true))).await);
    let placed = fixture.post("k", &in_market()).await;
    let view = placed.json();
    // 58.88 includes 9.81.
    assert_eq!(
        view["totals"],
        json!({ "items": usd(5398), "shipping": usd(490), "tax": usd(981), "total": usd(5888) })
    );
    let id = view["id"].as_str().unwrap();
    assert_eq!(fixture.read(id, USER, None).await.body(), placed.body());
    assert_eq!(fixture.page("", USER).await.json()["items"][0]["totals"], view["totals"]);
}

#[tokio::test]
async fn order_without_a_market_has_no_shipping_cost_and_no_tax() {
    let fixture = OrdersFixture::with_market().await;
    let placed = fixture.post("k", &addressed()).await.json();
    assert_eq!((&placed["price"], &placed["totals"]["total"]), (&Value::Null, &usd(5998)));
    assert_eq!((&placed["totals"]["shipping"], &placed["totals"]["tax"]), (&usd(0), &usd(0)));
    let item = fixture.item(placed["id"].as_str().unwrap());
    assert!(item.get("price").is_none() && item["totals"]["M"].get("items").is_none());
}

/// A region is kept only where tax rates differ by region, and may be spelled in another way.
#[tokio::test]
async fn address_of_an_order_in_a_market_keeps_its_country_and_tax_region() {
    let fixture = OrdersFixture::with_market().await;
    let placed = fixture.placed_in_market("k").await;
    let change_region = async |placed: &Value, region: &str| {
        let order = placed["id"].as_str().unwrap();
        let mut address = placed["shipping_address"].clone();
        address["region"] = region.into();
        let tag = fixture.tag(order).await;
        fixture.call("update-order", change(USER, order, &tag, &address)).await
    };
    assert_eq!(placed["price"].get("tax_region"), None);
    assert_eq!(change_region(&placed, "Surrey").await.status(), 200);

    let mut taxes = events::pricing()["document"]["taxes"].clone();
    taxes[0]["region"] = "SRY".into();
    assert!(fixture.replicate_rules(&rules(2, "taxes", taxes)).await);
    let mut request = in_market();
    request["shipping_address"]["region"] = "SRY".into();
    let regional = fixture.post("regional", &request).await.json();
    assert_eq!(regional["price"]["tax_region"], "SRY", "{regional}");
    let moved = change_region(&regional, "KEN").await;
    assert_eq!((moved.status(), moved.code().as_str()), (409, "price_would_change"));
    assert_eq!(change_region(&regional, "Surrey").await.code(), "price_would_change");
    assert_eq!(change_region(&regional, "GB-SRY").await.status(), 200);
}
