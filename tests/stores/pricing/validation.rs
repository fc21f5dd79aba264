//! A market is validated with all its rules before each change.

use super::*;

#[tokio::test]
async fn country_is_in_one_market_only() {
    let shop = PricingFixture::with_germany().await;
    let overlapping = market("eu", "EUR", &["DE", "FR"]);
    assert_eq!(refusal(&shop.create(&MARKETS, "eu", &overlapping).await), is(422, "country_taken"));
    assert_eq!(refusal(&shop.get(&MARKETS, "eu").await), is(404, "market_not_found"));
    shop.created(&MARKETS, "fr", &market("fr", "EUR", &["FR"])).await;
    let grown = shop.update(&MARKETS, "fr", 1, &json!({ "countries": ["DE", "FR"] })).await;
    assert_eq!(refusal(&grown), is(422, "country_taken"));

    let moved = shop.update(&MARKETS, "de", 1, &json!({ "countries": ["AT"] })).await;
    assert_eq!(moved.status(), 200, "{:?}", moved.answer);
    let grown = shop.update(&MARKETS, "fr", 1, &json!({ "countries": ["DE", "FR"] })).await;
    assert_eq!(grown.status(), 200, "the country is free now: {:?}", grown.answer);
}

#[tokio::test]
async fn market_with_rules_is_not_deleted() {
    let shop = PricingFixture::with_germany().await;
    let id = shop.created(&METHODS, "k", &parcel()).await;
    assert_eq!(refusal(&shop.delete(&MARKETS, "de", 1).await), is(412, "precondition_failed"));
    assert_eq!(refusal(&shop.delete(&MARKETS, "de", 2).await), is(409, "market_not_empty"));
    assert_eq!(shop.delete(&METHODS, &id, 1).await.status(), 204);
    assert_eq!(shop.delete(&MARKETS, "de", 3).await.status(), 204);
    assert_eq!(refusal(&shop.get(&MARKETS, "de").await), is(404, "market_not_found"));
    assert_eq!(shop.list(&MARKETS, "").await.json()["items"], json!([]));
    let rejected = shop.create(&METHODS, "other", &parcel()).await;
    assert_eq!(refusal(&rejected), is(404, "market_not_found"));
    // Its country is free, and its versions continue.
    shop.created(&MARKETS, "again", &market("de", "EUR", &["DE"])).await;
    assert_eq!(shop.version("de"), 5);
}

#[tokio::test]
async fn every_amount_needs_the_currency_of_the_market() {
    let shop = PricingFixture::with_germany().await;
    shop.created(&MARKETS, "us", &market("us", "USD", &["US"])).await;
    let mut dollars = parcel();
    dollars["price"]["currency"] = json!("USD");
    assert_eq!(refusal(&shop.create(&METHODS, "a", &dollars).await), is(422, "currency_missing"));

    let mut fixed = sale(&["de", "us"]);
    fixed["percent_bp"] = Value::Null;
    fixed["fixed"] = json!([{ "amount": 500, "currency": "EUR" }]);
    assert_eq!(refusal(&shop.create(&PROMOTIONS, "b", &fixed).await), is(422, "currency_missing"));
    assert_eq!([shop.version("de"), shop.version("us")], [1, 1], "nothing is written");
    fixed["fixed"] =
        json!([{ "amount": 500, "currency": "EUR" }, { "amount": 500, "currency": "USD" }]);
    shop.created(&PROMOTIONS, "c", &fixed).await;
    let changed = shop.update(&MARKETS, "de", 2, &json!({ "currency": "CHF" })).await;
    assert_eq!(refusal(&changed), is(422, "currency_missing"));
}

#[tokio::test]
async fn promotion_that_could_apply_nowhere_is_rejected() {
    let shop = PricingFixture::with_germany().await;
    let rejected = async |change: fn(&mut Value)| {
        let mut body = sale(&["de"]);
        change(&mut body);
        refusal(&shop.create(&PROMOTIONS, "k", &body).await)
    };
    let unknown = rejected(|body| body["markets"] = json!(["de", "fr"])).await;
    assert_eq!(unknown, is(422, "unknown_market"));
    let ended = rejected(|body| body["ends_at"] = json!("2026-01-01T00:00:00Z")).await;
    assert_eq!(ended, is(422, "promotion_never_applies"));
    let both = rejected(|body| body["fixed"] = json!([{ "amount": 1, "currency": "EUR" }])).await;
    assert_eq!(both, is(422, "invalid_effect"));
    let none = rejected(|body| body["percent_bp"] = Value::Null).await;
    assert_eq!(none, is(422, "invalid_effect"));
    assert_eq!(shop.version("de"), 1);
}

#[tokio::test]
async fn second_tax_rate_for_a_case_is_409() {
    let shop = PricingFixture::with_germany().await;
    shop.created(&RATES, "a", &vat("DE")).await;
    assert_eq!(refusal(&shop.create(&RATES, "b", &vat("DE")).await), is(409, "tax_rate_exists"));
    let mut later = vat("DE");
    later["valid_from"] = json!("2027-01-01T00:00:00Z");
    shop.created(&RATES, "c", &later).await;
    later["treatment"] = json!("zero");
    assert_eq!(refusal(&shop.create(&RATES, "d", &later).await), is(422, "invalid_tax_rates"));
}

#[tokio::test]
async fn number_of_rules_and_size_of_a_document_are_limited() {
    let shop = PricingFixture::with_germany().await;
    for number in 0..pricing::domain::MAX_SHIPPING_METHODS {
        shop.created(&METHODS, &number.to_string(), &parcel()).await;
    }
    assert_eq!(refusal(&shop.create(&METHODS, "more", &parcel()).await), is(422, "too_many_rules"));

    let shop = PricingFixture::with_germany().await;
    let products: Vec<String> =
        (0..50).map(|number| format!("prd_00000000-0000-7000-8000-{number:012x}")).collect();
    let mut large = sale(&["de"]);
    large["products"] = json!(products);
    let mut refused = None;
    for number in 0..10 {
        let called = shop.create(&PROMOTIONS, &number.to_string(), &large).await;
        if called.status() != 201 {
            refused = Some((number, refusal(&called)));
            break;
        }
    }
    assert_eq!(refused, Some((7, is(422, "document_too_large"))));
    assert_eq!(shop.version("de"), 8);
}
