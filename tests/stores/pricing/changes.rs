//! Creating, changing, deleting and listing: idempotency, versions and conflicts.

use tests::faults::{InjectedFault, for_each_fault};

use super::*;

fn samples() -> [(&'static Resource, Value, Value); 3] {
    [
        (&METHODS, parcel(), json!({ "name": "Letter" })),
        (&RATES, vat("DE"), json!({ "rates": [{ "name": "VAT", "ppm": 160_000 }] })),
        (&PROMOTIONS, sale(&["de"]), json!({ "priority": 5 })),
    ]
}

#[tokio::test]
async fn market_is_created_and_read() {
    let shop = PricingFixture::new();
    let created = shop.create(&MARKETS, "k", &market("de", "EUR", &["DE", "AT"])).await;
    assert_eq!(created.status(), 201, "{:?}", created.answer);
    assert_eq!(created.header("location"), Some("markets/de".to_owned()));
    assert_eq!(created.json()["countries"], json!(["AT", "DE"]), "sorted");
    let read = shop.get(&MARKETS, "de").await;
    assert_eq!((read.status(), read.body()), (200, created.body()));
    assert_eq!(read.header("etag"), Some("\"1\"".to_owned()));
    assert_eq!(refusal(&shop.get(&MARKETS, "fr").await), is(404, "market_not_found"));
    assert_eq!(refusal(&shop.get(&MARKETS, "D E").await), is(404, "market_not_found"));
    let again = shop.create(&MARKETS, "other", &market("de", "EUR", &["FR"])).await;
    assert_eq!(refusal(&again), is(409, "market_exists"));
}

#[tokio::test]
async fn each_change_of_a_rule_is_a_version_of_its_market() {
    for (of, body, change) in samples() {
        let shop = PricingFixture::with_germany().await;
        let id = shop.created(of, "k", &body).await;
        assert_eq!(shop.version("de"), 2, "{}", of.name);
        let updated = shop.update(of, &id, 1, &change).await;
        assert_eq!(updated.status(), 200, "{:?}", updated.answer);
        assert_eq!(updated.header("etag"), Some("\"2\"".to_owned()));
        assert_eq!(shop.get(of, &id).await.body(), updated.body());
        assert_eq!(shop.version("de"), 3);
        assert_eq!(shop.delete(of, &id, 2).await.status(), 204);
        assert_eq!(shop.version("de"), 4);
        let not_found = format!("{}_not_found", of.name.replace('-', "_"));
        assert_eq!(refusal(&shop.get(of, &id).await), is(404, &not_found));
        assert_eq!(refusal(&shop.delete(of, &id, 2).await), is(404, &not_found));
        assert_eq!(refusal(&shop.update(of, &id, 2, &change).await), is(404, &not_found));
    }
}

#[tokio::test]
async fn repeated_key_returns_the_record_as_created() {
    for (of, body, change) in samples() {
        let shop = PricingFixture::with_germany().await;
        let created = shop.create(of, "k", &body).await;
        let id = created.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(shop.update(of, &id, 1, &change).await.status(), 200);
        assert_eq!(shop.delete(of, &id, 2).await.status(), 204);
        let again = shop.create(of, "k", &body).await;
        assert_eq!((again.status(), again.body()), (201, created.body()));
        assert_eq!(again.header("idempotent-replayed"), Some("true".to_owned()));
        assert_eq!(shop.get(of, &id).await.status(), 404, "{} stays deleted", of.name);
        let mut other = body.clone();
        other[if of.name == "tax-rate" { "tax_class" } else { "name" }] = json!("other");
        assert_eq!(refusal(&shop.create(of, "k", &other).await), is(422, "idempotency_key_reused"));
    }
}

#[tokio::test]
async fn repeated_update_changes_nothing_and_an_outdated_one_is_412() {
    for (of, body, change) in samples() {
        let shop = PricingFixture::with_germany().await;
        let id = shop.created(of, "k", &body).await;
        let first = shop.update(of, &id, 1, &change).await;
        let again = shop.update(of, &id, 1, &change).await;
        assert_eq!((again.status(), again.body()), (200, first.body()), "{}", of.name);
        assert_eq!(shop.version("de"), 3);
        let unchanged = shop.update(of, &id, 2, &change).await;
        assert_eq!((unchanged.status(), shop.version("de")), (200, 3));
        let empty = shop.update(of, &id, 2, &json!({})).await;
        assert_eq!(refusal(&empty), is(422, "nothing_to_change"));
        let other = match of.name {
            "tax-rate" => json!({ "rates": [{ "name": "VAT", "ppm": 1 }] }),
            _ => json!({ "name": "Other" }),
        };
        let outdated = shop.update(of, &id, 1, &other).await;
        assert_eq!(refusal(&outdated), is(412, "precondition_failed"));
        assert_eq!(outdated.header("etag"), Some("\"2\"".to_owned()));
        assert_eq!(refusal(&shop.delete(of, &id, 1).await), is(412, "precondition_failed"));
    }
}

#[tokio::test]
async fn any_fault_leaves_a_rule_created_once() {
    for (of, body, _) in samples() {
        for_each_fault(0..4, async |InjectedFault { call, fault }| {
            let shop = PricingFixture::with_germany().await;
            shop.aws.fail(call, fault);
            let first = shop.create(of, "k", &body).await;
            shop.aws.heal();
            assert!(matches!(first.status(), 201 | 503), "{fault:?}: {}", first.status());
            let id = shop.created(of, "k", &body).await;
            assert_eq!(shop.get(of, &id).await.status(), 200);
            assert_eq!(shop.version("de"), 2, "{} after {fault:?}", of.name);
        })
        .await;
    }
}

#[tokio::test]
async fn concurrent_changes_of_one_market_are_all_written() {
    let shop = PricingFixture::with_germany().await;
    let calls = (0..3).map(|number| {
        let request =
            events::post(METHODS.path, &parcel()).header("idempotency-key", &number.to_string());
        ("create-shipping-method".to_owned(), METHODS.request(request, None).event())
    });
    for called in shop.call_together(calls.collect()).await {
        assert_eq!(called.status(), 201, "{:?}", called.answer);
    }
    assert_eq!(shop.version("de"), 4);
    let listed = shop.list(&METHODS, "").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn promotion_has_a_copy_in_each_of_its_markets() {
    let shop = PricingFixture::with_germany().await;
    shop.created(&MARKETS, "fr", &market("fr", "EUR", &["FR"])).await;
    shop.created(&MARKETS, "it", &market("it", "EUR", &["IT"])).await;
    let id = shop.created(&PROMOTIONS, "k", &sale(&["de", "fr"])).await;
    let copies = || {
        let items = shop.aws.items("pricing");
        let of_markets = items.iter().filter(|item| item["sk"]["S"] == format!("PROMOTION#{id}"));
        let mut copies: Vec<(String, String)> = of_markets
            .map(|item| (item["pk"]["S"].as_str().unwrap(), item["version"]["N"].as_str().unwrap()))
            .map(|(market, version)| (market.to_owned(), version.to_owned()))
            .collect();
        copies.sort();
        copies
    };
    let copy = |market: &str, version: &str| (format!("MARKET#{market}"), version.to_owned());
    assert_eq!(copies(), [copy("de", "1"), copy("fr", "1")]);
    let moved = shop.update(&PROMOTIONS, &id, 1, &json!({ "markets": ["fr", "it"] })).await;
    assert_eq!(moved.status(), 200, "{:?}", moved.answer);
    assert_eq!(copies(), [copy("fr", "2"), copy("it", "2")]);
    assert_eq!(["de", "fr", "it"].map(|market| shop.version(market)), [3, 3, 2]);
    assert_eq!(shop.delete(&PROMOTIONS, &id, 2).await.status(), 204);
    assert_eq!(copies(), []);
    assert_eq!(["de", "fr", "it"].map(|market| shop.version(market)), [3, 4, 3]);
}

#[tokio::test]
async fn lists_have_pages_of_all_records() {
    let shop = PricingFixture::with_germany().await;
    shop.created(&MARKETS, "fr", &market("fr", "EUR", &["FR"])).await;
    for number in 0..2 {
        let key = number.to_string();
        shop.created(&METHODS, &key, &parcel()).await;
        shop.created(&PROMOTIONS, &key, &sale(&["de"])).await;
        let mut rate = vat("DE");
        rate["tax_class"] = json!(format!("class-{number}"));
        shop.created(&RATES, &key, &rate).await;
    }
    for of in [&MARKETS, &METHODS, &RATES, &PROMOTIONS] {
        let first = shop.list(of, "limit=1").await.json();
        let cursor = first["next_cursor"].as_str().unwrap_or_else(|| panic!("{}", of.name));
        let second = shop.list(of, &format!("limit=1&cursor={cursor}")).await.json();
        assert_eq!(second["next_cursor"], Value::Null);
        let all = shop.list(of, "").await.json();
        assert_eq!(all["items"], json!([first["items"][0], second["items"][0]]), "{}", of.name);
        assert_eq!(all["items"].as_array().unwrap().len(), 2);
    }
    let other = shop.list(&METHODS, "limit=1").await.json();
    let foreign = format!("limit=1&cursor={}", other["next_cursor"].as_str().unwrap());
    assert_eq!(refusal(&shop.list(&RATES, &foreign).await), is(400, "invalid_cursor"));
}

#[tokio::test]
async fn only_admins_manage_prices() {
    let shop = PricingFixture::with_germany().await;
    for (operation, request) in [
        ("get-market", events::get("/markets/de").path_parameter("market", "de")),
        ("list-promotions", events::get("/promotions")),
        (
            "create-market",
            events::post("/markets", &market("fr", "EUR", &["FR"])).header("idempotency-key", "k"),
        ),
    ] {
        let called = shop.call(operation, request.caller(events::USER).event()).await;
        assert_eq!(refusal(&called), is(403, "insufficient_permissions"), "{operation}");
    }
}
