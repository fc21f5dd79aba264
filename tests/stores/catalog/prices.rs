//! Prices for markets and currencies: what is stored, published and rejected, and the history of
//! their changes.

use super::*;

fn euros(market: Option<&str>, amount: i64) -> Value {
    let mut price = json!({ "currency": "EUR", "amount": amount });
    if let Some(market) = market {
        price["market"] = json!(market);
    }
    price
}

fn with_prices(prices: &[Value]) -> Value {
    let mut spoon = product("Oak spoon", "SPOON-OAK", "kitchen");
    spoon["prices"] = json!(prices);
    spoon
}

impl CatalogFixture {
    /// The history of prices, sorted: scope, amount, and the version that changed it.
    fn history(&self) -> Vec<(String, Option<i64>, u64)> {
        let items = self.items_of("PRICE#").into_iter();
        let mut history: Vec<_> = items
            .map(|item| {
                let number = |value: &Value| value["N"].as_str().map(str::to_owned);
                let amount = number(&item["price"]["M"]["amount"]);
                let version = number(&item["product_version"]).unwrap();
                let scope = item["scope"]["S"].as_str().unwrap().to_owned();
                (scope, amount.map(|amount| amount.parse().unwrap()), version.parse().unwrap())
            })
            .collect();
        history.sort_by(|one, other| (one.2, &one.0).cmp(&(other.2, &other.0)));
        history
    }
}

fn changed(scope: &str, amount: i64, version: u64) -> (String, Option<i64>, u64) {
    (scope.to_owned(), Some(amount), version)
}

fn removed(scope: &str, version: u64) -> (String, Option<i64>, u64) {
    (scope.to_owned(), None, version)
}

#[tokio::test]
async fn details_of_a_price_are_shown_and_published() {
    let shop = CatalogFixture::new();
    let mut harness = shop.publisher("products");
    let mut reduced = euros(Some("de"), 2599);
    reduced["compare_at"] = json!(3299);
    reduced["compare_at_from"] = json!("2026-11-21T00:00:00.000Z");
    reduced["compare_at_until"] = json!("2026-12-24T00:00:00.000Z");
    let mut spoon = with_prices(&[reduced, euros(None, 2799)]);
    spoon["tax_class"] = json!("reduced");
    spoon["weight_g"] = json!(45);
    spoon["requires_shipping"] = json!(false);
    let created = shop.create("k", &spoon).await;
    assert_eq!(created.status(), 201, "{:?}", created.answer);
    let id = created.json()["id"].as_str().unwrap().to_owned();

    harness.drain_queues().await;
    let messages = shop.aws.queues().take("product-changes", 10);
    let listed = shop.list("/products").await.json()["items"][0].clone();
    let read = shop.get(&id, None).await.json();
    for shown in [&created.json(), &read, &listed, &messages[0].json()["data"]] {
        for name in ["tax_class", "weight_g", "requires_shipping", "prices", "category"] {
            assert_eq!(shown[name], spoon[name], "{name}");
        }
    }
    // `PUT` replaces the whole product.
    let plain = product("Oak spoon", "SPOON-OAK", "kitchen");
    let reset = shop.update(&id, 1, &plain).await.json();
    assert_eq!((&reset["tax_class"], &reset["weight_g"]), (&json!("standard"), &json!(0)));
    assert_eq!((&reset["requires_shipping"], &reset["prices"]), (&json!(true), &json!([])));
}

#[tokio::test]
async fn invalid_prices_are_rejected_and_write_nothing() {
    let shop = CatalogFixture::new();
    let many = |count: usize| -> Vec<Value> {
        (0..count).map(|number| euros(Some(&format!("market-{number}")), 2799)).collect()
    };
    let but = |name: &str, value: Value| {
        let mut price = euros(Some("de"), 2799);
        price[name] = value;
        vec![price]
    };
    let mut reversed = euros(None, 2799);
    reversed["compare_at"] = json!(3299);
    reversed["compare_at_from"] = json!("2026-12-24T00:00:00Z");
    reversed["compare_at_until"] = json!("2026-11-21T00:00:00Z");
    let dollars = json!({ "currency": "USD", "amount": 2799 });
    for (prices, code, pointer) in [
        (many(21), "out_of_range", "/prices"),
        (vec![euros(None, 1), euros(None, 2)], "duplicate_price", "/prices"),
        (vec![euros(Some("de"), 1), euros(Some("de"), 2)], "duplicate_price", "/prices"),
        (vec![dollars], "duplicate_price", "/prices"),
        (vec![reversed], "invalid_compare_at", "/prices/0/compare_at_until"),
        (but("compare_at", json!(2799)), "invalid_compare_at", "/prices/0/compare_at"),
        (but("compare_at", json!(1)), "invalid_compare_at", "/prices/0/compare_at"),
        (but("compare_at_from", json!("2026-12-24T00:00:00Z")), "required", "/prices/0/compare_at"),
        (but("compare_at_from", json!("tomorrow")), "wrong_type", "/prices/0/compare_at_from"),
        (but("amount", json!(0)), "out_of_range", "/prices/0/amount"),
        (but("amount", json!(-1)), "out_of_range", "/prices/0/amount"),
        (but("amount", json!(100_000_000)), "out_of_range", "/prices/0/amount"),
        (but("amount", json!(9_223_372_036_854_775_807_i64)), "out_of_range", "/prices/0/amount"),
        (but("amount", json!(27.99)), "wrong_type", "/prices/0/amount"),
        (but("currency", json!("eur")), "unsupported_currency", "/prices/0/currency"),
        (but("market", json!("DE")), "invalid_id", "/prices/0/market"),
        (but("market", json!("de#1")), "invalid_id", "/prices/0/market"),
        (but("discount", json!(1)), "unknown_field", "/prices/0/discount"),
    ] {
        let answer = shop.create("k", &with_prices(&prices)).await;
        assert_eq!((answer.status(), answer.code().as_str()), (422, code), "{prices:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{prices:?}");
        assert!(answer.calls.is_empty());
    }
    assert!(shop.aws.items("products").is_empty());
    assert_eq!(shop.create("k", &with_prices(&many(20))).await.status(), 201);
    assert_eq!(shop.items_of("PRICE#").len(), 21);
}

#[tokio::test]
async fn each_changed_price_is_recorded_with_its_version() {
    let shop = CatalogFixture::new();
    let id = shop.created("k", &with_prices(&[euros(None, 2799), euros(Some("de"), 2599)])).await;
    let mut expected =
        vec![changed("EUR", 2799, 1), changed("USD", 2999, 1), changed("de", 2599, 1)];
    assert_eq!(shop.history(), expected);
    let item = shop.items_of("PRICE#").into_iter().find(|item| item["scope"]["S"] == "de").unwrap();
    let key = format!("PRICE#{id}#de#2026-11-21T09:48:49.123Z#1");
    assert_eq!(
        (&item["pk"]["S"], &item["price_of"]["S"], &item["changed_at"]["S"]),
        (&json!(key), &json!(format!("{id}#de")), &json!("2026-11-21T09:48:49.123Z"))
    );

    // A compare_at and another name change no price.
    let mut reduced = euros(None, 2799);
    reduced["compare_at"] = json!(3299);
    let mut renamed = with_prices(&[euros(Some("de"), 2599), reduced]);
    renamed["name"] = json!("Elm spoon");
    let answer = shop.update(&id, 1, &renamed).await;
    assert_eq!((answer.status(), answer.operations()), (200, vec!["GetItem", "UpdateItem"]));
    assert_eq!(shop.history(), expected);

    // Changes in the same millisecond have separate entries.
    let cheaper = with_prices(&[euros(None, 2499), euros(Some("at"), 2399)]);
    let answer = shop.update(&id, 2, &cheaper).await;
    assert_eq!(
        (answer.status(), answer.operations()),
        (200, vec!["GetItem", "TransactWriteItems"])
    );
    expected.extend([changed("EUR", 2499, 3), changed("at", 2399, 3), removed("de", 3)]);
    assert_eq!(shop.history(), expected);
    assert_eq!(shop.update(&id, 2, &cheaper).await.operations(), ["GetItem"], "it is repeated");
    assert_eq!(shop.archive(&id, 3).await.status(), 204);
    assert_eq!(shop.history(), expected, "archiving changes no price");
}

#[tokio::test]
async fn price_is_recorded_once_under_any_fault() {
    for_each_fault(0..2, async |InjectedFault { call, fault }| {
        let shop = CatalogFixture::new();
        let id = shop.created("k", &with_prices(&[euros(None, 2799)])).await;
        let cheaper = with_prices(&[euros(None, 2499)]);
        shop.aws.fail(call, fault);
        let first = shop.update(&id, 1, &cheaper).await;
        assert!(matches!(first.status(), 200 | 503), "{fault:?} at {call}: {}", first.status());
        assert_eq!(shop.update(&id, 1, &cheaper).await.status(), 200, "{fault:?} at {call}");
        let expected = [changed("EUR", 2799, 1), changed("USD", 2999, 1), changed("EUR", 2499, 2)];
        assert_eq!(shop.history(), expected, "{fault:?} at {call}");
    })
    .await;
}

#[tokio::test]
async fn rejected_change_records_no_price() {
    let shop = CatalogFixture::new();
    let id = shop.created("k", &with_prices(&[])).await;
    shop.created("other", &product("Elm", "SPOON-ELM", "kitchen")).await;
    let before = shop.aws.items("products");
    let mut taken = with_prices(&[euros(None, 2499)]);
    taken["sku"] = json!("SPOON-ELM");
    assert_eq!(shop.update(&id, 1, &taken).await.code(), "sku_taken");
    assert_eq!(shop.update(&id, 7, &with_prices(&[euros(None, 1)])).await.status(), 412);
    assert_eq!(shop.aws.items("products"), before);
}

#[tokio::test]
async fn all_prices_can_be_replaced_at_once() {
    let shop = CatalogFixture::new();
    let all = |prefix: &str| -> Vec<Value> {
        (0..20).map(|number| euros(Some(&format!("{prefix}-{number}")), 2799)).collect()
    };
    let id = shop.created("k", &with_prices(&all("old"))).await;
    let mut other = with_prices(&all("new"));
    other["price"] = json!({ "amount": 2999, "currency": "CHF" });
    other["sku"] = json!("SPOON-ELM");
    assert_eq!(shop.update(&id, 1, &other).await.status(), 200);
    assert_eq!(shop.history().iter().filter(|(.., version)| *version == 2).count(), 42);
}
