//! Documents: compiled from the whole market, published in order of versions, and read by orders.

use orders::domain::pricing::{
    Destination, Line, PriceRequest, Pricing, Product, UnitPrice, price,
};
use shared::{
    ids::{LineId, PrefixedId, ProductId, ShippingMethodId},
    market::TaxClass,
    metrics::Capture,
    money::{Currency, Money},
};

use super::*;

/// A shop whose market `de` has a rule of each kind. Returns the shipping method.
async fn sold_in_germany() -> (PricingFixture, String) {
    let shop = PricingFixture::with_germany().await;
    let method = shop.created(&METHODS, "m", &parcel()).await;
    shop.created(&RATES, "r", &vat("DE")).await;
    shop.created(&PROMOTIONS, "p", &sale(&["de"])).await;
    (shop, method)
}

fn document(shop: &PricingFixture, country: &str) -> Option<Value> {
    let key = json!({ "pk": { "S": "MARKET#de" }, "sk": { "S": format!("DOCUMENT#{country}") } });
    shop.aws.item("pricing", &key)
}

fn compile(market: &str) -> Value {
    events::command("compile-market", &json!({ "market": market, "version": 1 }))
}

#[tokio::test]
async fn orders_computes_a_price_from_the_published_document() {
    let (shop, method) = sold_in_germany().await;
    shop.compiler().drain_queues().await;
    let published = shop.published().pop().unwrap();
    let pricing: Pricing = serde_json::from_value(published).unwrap();
    assert_eq!((pricing.version, pricing.document.promotions.len()), (4, 1));
    let euros = |amount| Money::new(amount, Currency::parse("EUR").unwrap());
    let lines = [Line {
        line_id: LineId::parse("lin_00000000-0000-7000-8000-000000000001").unwrap(),
        quantity: 1,
        product: Product {
            product_id: ProductId::parse("prd_00000000-0000-7000-8000-000000000001").unwrap(),
            unit_price: Some(UnitPrice { amount: euros(1999), compare_at: None }),
            tax_class: TaxClass::default(),
            weight_g: 0,
            requires_shipping: true,
            category: None,
        },
    }];
    let destination = Destination { country: pricing.country.clone(), region: None };
    let priced = price(&PriceRequest {
        pricing: &pricing,
        lines: &lines,
        destination: &destination,
        shipping_method: ShippingMethodId::parse(&method),
        now: shop.clock.now(),
    })
    .unwrap();
    // 19.99 less 25 %, and 4.90 for the parcel, including 19 % tax.
    assert_eq!(priced.totals.items, euros(1499));
    assert_eq!(priced.totals.shipping, euros(490));
    assert_eq!(priced.totals.total, euros(1989));
    assert_eq!(priced.totals.tax, euros(318));
}

#[tokio::test]
async fn every_kind_of_rule_is_readable_by_orders() {
    let (shop, _) = sold_in_germany().await;
    let mut class = parcel();
    class["tax_class"] = json!("standard");
    class["free_from"] = json!({ "amount": 5000, "currency": "EUR" });
    class["max_weight_g"] = json!(1000);
    shop.created(&METHODS, "class", &class).await;
    let mut regional = vat("DE");
    regional["region"] = json!("BE");
    shop.created(&RATES, "regional", &regional).await;
    let mut fixed = sale(&["de"]);
    fixed["percent_bp"] = Value::Null;
    for (name, value) in [
        ("target", json!("order")),
        ("fixed", json!([{ "amount": 500, "currency": "EUR" }])),
        ("min_subtotal", json!([{ "amount": 1000, "currency": "EUR" }])),
        ("products", json!(["prd_00000000-0000-7000-8000-000000000001"])),
        ("categories", json!(["kitchen"])),
        ("priority", json!(-3)),
        ("starts_at", json!("2026-01-01T00:00:00Z")),
        ("ends_at", json!("2027-01-01T00:00:00Z")),
    ] {
        fixed[name] = value;
    }
    shop.created(&PROMOTIONS, "fixed", &fixed).await;
    shop.compiler().drain_queues().await;
    let published = shop.published().pop().unwrap();
    let rules = serde_json::from_value::<Pricing>(published).unwrap().document;
    assert_eq!(
        (rules.taxes.len(), rules.shipping_methods.len(), rules.promotions.len()),
        (2, 2, 2)
    );
    let method = rules.shipping_methods.iter().find(|one| one.max_weight_g == Some(1000)).unwrap();
    assert_eq!(format!("{:?}", method.tax), "Class(TaxClass(\"standard\"))");
    let promotion = rules.promotions.iter().find(|one| one.priority == -3).unwrap();
    assert_eq!(format!("{:?}", promotion.effect), "Fixed(500)");
    assert_eq!(promotion.min_subtotal, Some(1000));
}

#[tokio::test]
async fn each_version_is_compiled_and_published() {
    let (shop, _) = sold_in_germany().await;
    let mut harness = shop.compiler();
    harness.drain_queues().await;
    let versions = |published: Vec<Value>| -> Vec<u64> {
        published.iter().map(|data| data["version"].as_u64().unwrap()).collect()
    };
    let first = versions(shop.published());
    assert_eq!(first.last(), Some(&4), "{first:?}");
    assert!(first.is_sorted());
    shop.update(&MARKETS, "de", 4, &json!({ "minimum_charge": 100 })).await;
    harness.drain_queues().await;
    let published = shop.published();
    assert_eq!(published[0]["document"]["minimum_charge"], 100);
    assert_eq!(versions(published), [5]);
}

#[tokio::test]
async fn only_a_newer_version_replaces_a_document() {
    let (shop, _) = sold_in_germany().await;
    assert!(shop.call("compile-market", compile("de")).await.is_done());
    let mut newer = document(&shop, "DE").unwrap();
    assert_eq!(newer["version"]["N"], "4");
    newer["version"]["N"] = json!("9");
    newer["note"] = json!({ "S": "of a later release" });
    shop.aws.put("pricing", &newer);
    assert!(shop.call("compile-market", compile("de")).await.is_done());
    assert_eq!(document(&shop, "DE"), Some(newer.clone()), "a late message changes nothing");
    newer["version"]["N"] = json!("3");
    shop.aws.put("pricing", &newer);
    assert!(shop.call("compile-market", compile("de")).await.is_done());
    let compiled = document(&shop, "DE").unwrap();
    assert_eq!((&compiled["version"]["N"], &compiled["note"]), (&json!("4"), &newer["note"]));
}

#[tokio::test]
async fn redelivered_and_unknown_messages_are_acknowledged() {
    let (shop, _) = sold_in_germany().await;
    for market in ["de", "de", "fr"] {
        assert!(shop.call("compile-market", compile(market)).await.is_done(), "{market}");
    }
    let foreign =
        events::message("compile-market", "compile_market.v2", &json!({ "market": "de" }));
    assert_eq!(shop.call("compile-market", foreign).await.rejected(), 1);
}

#[tokio::test]
async fn country_that_is_no_longer_served_is_published_as_such() {
    let (shop, _) = sold_in_germany().await;
    let mut harness = shop.compiler();
    harness.drain_queues().await;
    shop.published();
    let moved = shop.update(&MARKETS, "de", 4, &json!({ "countries": ["AT"] })).await;
    assert_eq!(moved.status(), 200, "{:?}", moved.answer);
    harness.drain_queues().await;
    let mut published: Vec<(String, bool)> = shop
        .published()
        .iter()
        .map(|data| (data["country"].as_str().unwrap(), &data["document"]["served"]))
        .map(|(country, served)| (country.to_owned(), served.as_bool().unwrap()))
        .collect();
    published.sort();
    assert_eq!(published, [("AT".to_owned(), true), ("DE".to_owned(), false)]);
}

#[tokio::test]
async fn resync_publishes_every_market_again_also_deleted_ones() {
    let (shop, _) = sold_in_germany().await;
    shop.created(&MARKETS, "fr", &market("fr", "EUR", &["FR"])).await;
    assert_eq!(shop.delete(&MARKETS, "fr", 1).await.status(), 204);
    let mut harness = shop.compiler();
    harness.drain_queues().await;
    shop.published();
    for _ in 0..2 {
        let called = shop.call("resync-pricing", json!({})).await;
        assert_eq!(called.ok(), &json!({ "resynced": 2, "failed": 0 }));
        harness.drain_queues().await;
        let mut published: Vec<(String, u64, bool)> = shop
            .published()
            .iter()
            .map(|data| {
                (
                    data["market"].as_str().unwrap().to_owned(),
                    data["version"].as_u64().unwrap(),
                    data["document"]["served"].as_bool().unwrap(),
                )
            })
            .collect();
        published.sort();
        assert_eq!(published, [("de".to_owned(), 4, true), ("fr".to_owned(), 2, false)]);
        shop.clock.advance(std::time::Duration::from_secs(24 * 3600));
    }
    assert_eq!(shop.get(&MARKETS, "de").await.header("etag"), Some("\"4\"".to_owned()));
}

#[tokio::test]
async fn resync_leaves_out_an_unreadable_market_and_fails_loudly() {
    let (shop, _) = sold_in_germany().await;
    let unreadable = json!({
        "pk": { "S": "MARKET#unreadable" }, "sk": { "S": "HEAD" }, "list": { "S": "market" }, "list_sort": { "S": "!" },
    });
    shop.aws.put("pricing", &unreadable);
    let capture = Capture::start();
    let called = shop.call("resync-pricing", json!({})).await;
    assert_eq!(called.ok(), &json!({ "resynced": 1, "failed": 1 }));
    assert_eq!(capture.total(&pricing::metrics::SWEEP_FAILED), 1);
}

#[tokio::test]
async fn rules_alone_publish_nothing() {
    let shop = PricingFixture::with_germany().await;
    let mut harness = shop.publisher("pricing");
    harness.drain_queues().await;
    shop.aws.queues().take("compile-market", 100);
    shop.created(&METHODS, "m", &parcel()).await;
    harness.drain_queues().await;
    let messages = shop.aws.queues().take("compile-market", 100);
    assert_eq!(messages.len(), 1, "one for the market, none for the rule");
    assert_eq!(messages[0].json()["data"], json!({ "market": "de", "version": 2 }));
    assert!(shop.published().is_empty());
}
