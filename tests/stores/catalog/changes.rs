//! Changing and archiving a product: no concurrent change is overwritten, and a SKU never belongs
//! to two products.

use std::sync::Arc;

use shared::lambda::Lambda;
use tokio::task::JoinSet;

use super::*;

impl CatalogFixture {
    /// Updates a product with `PUT`, with version `seen` in `If-Match`.
    pub(super) async fn update(&self, id: &str, seen: u64, product: &Value) -> Called {
        self.call("update-product", change(id, seen, product)).await
    }

    /// Archives a product with `DELETE`, with version `seen` in `If-Match`.
    pub(super) async fn archive(&self, id: &str, seen: u64) -> Called {
        self.call("archive-product", removal(id, seen)).await
    }

    /// The product that owns a SKU, from the SKU's uniqueness item.
    fn holder(&self, sku: &str) -> Option<String> {
        let items = self.aws.items("products");
        let holder = items.into_iter().find(|item| item["pk"]["S"] == format!("SKU#{sku}"))?;
        holder["product_id"]["S"].as_str().map(str::to_owned)
    }

    /// Checks that every active product owns its SKU, and that every SKU item belongs to a product.
    fn check(&self) {
        let (products, holders) = (self.items_of("PRODUCT#"), self.items_of("SKU#"));
        let pair = |sku: &Value, product: &Value| {
            (sku.as_str().unwrap().to_owned(), product.as_str().unwrap().to_owned())
        };
        let sold = products.iter().filter(|item| item["status"]["S"] != "archived");
        let upper = |item: &Value| {
            Value::from(item["details"]["M"]["sku"]["S"].as_str().unwrap().to_uppercase())
        };
        let had: BTreeSet<_> =
            sold.map(|item| pair(&upper(item), &item["product_id"]["S"])).collect();
        let held: BTreeSet<_> = holders
            .iter()
            .filter_map(|item| {
                Some((
                    item["pk"]["S"].as_str()?.strip_prefix("SKU#")?.to_owned(),
                    item["product_id"]["S"].as_str()?.to_owned(),
                ))
            })
            .collect();
        assert_eq!(had, held);
    }
}

fn change(id: &str, seen: u64, product: &Value) -> Value {
    put(id, product).caller(events::ADMIN).header("if-match", &format!("\"{seen}\"")).event()
}

fn put(id: &str, product: &Value) -> events::Http {
    events::put(&format!("/products/{id}"), product).path_parameter("product_id", id)
}

fn removal(id: &str, seen: u64) -> Value {
    let request = events::http("DELETE", &format!("/products/{id}"))
        .path_parameter("product_id", id)
        .caller(events::ADMIN);
    request.header("if-match", &format!("\"{seen}\"")).event()
}

fn spoon() -> Value {
    let mut spoon = product("Oak spoon", "SPOON-OAK", "kitchen");
    spoon["description"] = json!("Carved by hand.");
    spoon["max_per_order"] = json!(5);
    spoon
}

#[tokio::test]
async fn product_and_its_sku_are_replaced_together() {
    let shop = CatalogFixture::new();
    let id = shop.created("k", &spoon()).await;
    shop.clock.advance(std::time::Duration::from_secs(60));

    let mut cheaper = spoon();
    cheaper["price"]["amount"] = json!(1999);
    cheaper["category"] = json!("garden");
    let changed = shop.update(&id, 1, &cheaper).await;
    assert_eq!((changed.status(), changed.header("etag")), (200, Some("\"2\"".to_owned())));
    assert_eq!(changed.operations(), ["GetItem", "TransactWriteItems"], "the price is recorded");
    let read = shop.get(&id, None).await;
    assert_eq!((read.body(), read.header("etag")), (changed.body(), changed.header("etag")));
    assert_eq!(names(&shop.list("/products?category=garden").await), ["Oak spoon"]);
    assert!(names(&shop.list("/products?category=kitchen").await).is_empty());

    // `PUT` replaces the whole product: omitted fields are reset.
    let changed = shop.update(&id, 2, &product("Elm spoon", "SPOON-ELM", "garden")).await;
    assert_eq!(changed.operations(), ["GetItem", "TransactWriteItems"]);
    let expected = json!({
        "id": id, "sku": "SPOON-ELM", "name": "Elm spoon", "description": null, "category": "garden", "active": true, "max_per_order": 20,
        "price": { "amount": 2999, "currency": "USD" }, "prices": [], "tax_class": "standard", "weight_g": 0, "requires_shipping": true,
        "created_at": "2026-11-21T09:48:49.123Z", "updated_at": "2026-11-21T09:49:49.123Z",
    });
    assert_eq!(changed.json(), expected);
    assert_eq!(names(&shop.list("/products").await), ["Elm spoon"]);
    assert_eq!((shop.holder("SPOON-OAK"), shop.holder("SPOON-ELM")), (None, Some(id)));
    shop.created("other", &product("Another", "SPOON-OAK", "kitchen")).await;
    shop.check();
}

#[tokio::test]
async fn outdated_version_changes_nothing() {
    let shop = CatalogFixture::new();
    let id = shop.created("k", &spoon()).await;
    assert_eq!(
        shop.update(&id, 1, &product("Elm spoon", "SPOON-OAK", "kitchen")).await.status(),
        200
    );
    let before = shop.aws.items("products");
    for seen in [0, 1, 3, 7] {
        for answer in [shop.update(&id, seen, &spoon()).await, shop.archive(&id, seen).await] {
            assert_eq!(
                (answer.status(), answer.code().as_str()),
                (412, "precondition_failed"),
                "{seen}"
            );
            assert_eq!(answer.header("etag"), Some("\"2\"".to_owned()));
        }
    }
    let delete =
        || events::http("DELETE", &format!("/products/{id}")).path_parameter("product_id", &id);
    for (operation, request) in
        [("update-product", put(&id, &spoon())), ("archive-product", delete())]
    {
        let request = request.caller(events::ADMIN);
        let blind = shop.call(operation, request.clone().event()).await;
        assert_eq!(
            (blind.status(), blind.code().as_str(), blind.calls.len()),
            (428, "precondition_required", 0)
        );
        for other in ["W/\"2\"", "\"02\"", "\"x\"", "\"18446744073709551616\""] {
            let answer =
                shop.call(operation, request.clone().header("if-match", other).event()).await;
            assert_eq!(
                (answer.status(), answer.code().as_str()),
                (412, "precondition_failed"),
                "{other}"
            );
            assert_eq!(answer.header("etag"), Some("\"2\"".to_owned()), "{other}");
        }
        for invalid in ["*", "2", "\"2\", \"3\"", "\"2", ""] {
            let answer =
                shop.call(operation, request.clone().header("if-match", invalid).event()).await;
            assert_eq!(
                (answer.status(), answer.code().as_str(), answer.calls.len()),
                (400, "invalid_if_match", 0),
                "{invalid}"
            );
        }
    }
    assert_eq!(shop.aws.items("products"), before);
}

#[tokio::test]
async fn repeated_change_returns_the_same_answer() {
    let shop = CatalogFixture::new();
    let mut harness = shop.publisher("products");
    let id = shop.created("k", &spoon()).await;
    let wanted = product("Elm spoon", "SPOON-ELM", "kitchen");
    let first = shop.update(&id, 1, &wanted).await;
    let again = shop.update(&id, 1, &wanted).await;
    let nothing_new = shop.update(&id, 2, &wanted).await;
    for answer in [&again, &nothing_new] {
        assert_eq!((answer.status(), answer.operations()), (200, vec!["GetItem"]));
        assert_eq!((answer.body(), answer.header("etag")), (first.body(), first.header("etag")));
    }
    harness.drain_queues().await;
    let messages: Vec<Value> = shop
        .aws
        .queues()
        .take("product-changes", 10)
        .iter()
        .map(|message| message.json()["data"].clone())
        .collect();
    assert_eq!(
        messages.iter().map(|data| data["version"].as_u64().unwrap()).collect::<Vec<_>>(),
        [1, 2]
    );
    insta::assert_json_snapshot!(messages);
}

#[tokio::test]
async fn sku_of_another_product_is_rejected() {
    let shop = CatalogFixture::new();
    let (oak, elm) = (
        shop.created("oak", &spoon()).await,
        shop.created("elm", &product("Elm", "SPOON-ELM", "kitchen")).await,
    );
    let mut wanted = spoon();
    wanted["sku"] = json!("SPOON-ELM");
    let taken = shop.update(&oak, 1, &wanted).await;
    assert_eq!((taken.status(), taken.code().as_str()), (409, "sku_taken"));
    assert_eq!(shop.get(&oak, None).await.header("etag"), Some("\"1\"".to_owned()));
    shop.check();
    assert_eq!(
        shop.create("new", &product("New", "SPOON-ELM", "kitchen")).await.code(),
        "sku_taken"
    );
    // The SKU stays taken until its owner is archived. A repeated archiving does not take it from
    // the new owner.
    assert_eq!(shop.archive(&elm, 1).await.status(), 204);
    assert_eq!(shop.update(&oak, 1, &wanted).await.status(), 200);
    assert_eq!(shop.archive(&elm, 1).await.status(), 204);
    assert_eq!(shop.holder("SPOON-ELM"), Some(oak));
    // A retry of the creation still returns the archived product.
    let replayed = shop.create("elm", &product("Elm", "SPOON-ELM", "kitchen")).await;
    assert_eq!((replayed.status(), replayed.json()["id"].clone()), (201, json!(elm)));
    shop.check();
}

#[tokio::test]
async fn archived_product_is_hidden_and_published() {
    let shop = CatalogFixture::new();
    let mut harness = shop.publisher("products");
    let id = shop.created("k", &spoon()).await;
    let archived = shop.archive(&id, 1).await;
    assert_eq!(
        (archived.status(), archived.operations(), archived.body()),
        (204, vec!["GetItem", "TransactWriteItems"], "")
    );
    for seen in [1, 2, 9] {
        let again = shop.archive(&id, seen).await;
        assert_eq!((again.status(), again.operations()), (204, vec!["GetItem"]));
    }
    assert_eq!(shop.get(&id, None).await.code(), "product_not_found");
    for list in ["/products", "/products?category=kitchen"] {
        assert!(names(&shop.list(list).await).is_empty());
    }
    let gone = shop.update(&id, 2, &spoon()).await;
    assert_eq!((gone.status(), gone.code().as_str()), (404, "product_not_found"));
    harness.drain_queues().await;
    let messages: Vec<(Value, Value)> = shop
        .aws
        .queues()
        .take("product-changes", 10)
        .iter()
        .map(|message| message.json()["data"].clone())
        .map(|data| (data["version"].clone(), data["active"].clone()))
        .collect();
    assert_eq!(messages, [(json!(1), json!(true)), (json!(2), json!(false))]);

    let unknown = "prd_0199c2a8-0000-7000-8000-0000000000cc";
    assert_eq!(shop.archive(unknown, 1).await.code(), "product_not_found");
    assert_eq!(shop.update(unknown, 1, &spoon()).await.code(), "product_not_found");
    for invalid in ["spoon", "usr_0199c2a8-0000-7000-8000-0000000000cc"] {
        assert_eq!(
            (
                shop.archive(invalid, 1).await.status(),
                shop.update(invalid, 1, &spoon()).await.status()
            ),
            (404, 404)
        );
    }
}

#[tokio::test]
async fn sku_is_unique_case_insensitively_and_stored_as_written() {
    let shop = CatalogFixture::new();
    let id = shop.created("k", &product("Oak spoon", "Spoon / oak 1", "kitchen")).await;
    assert_eq!(shop.get(&id, None).await.json()["sku"], "Spoon / oak 1");
    let other = shop.create("l", &product("Elm spoon", "SPOON / OAK 1", "kitchen")).await;
    assert_eq!((other.status(), other.code().as_str()), (409, "sku_taken"));
    let other = shop.created("m", &product("Elm spoon", "spoon-elm", "kitchen")).await;
    assert_eq!(
        shop.update(&other, 1, &product("Elm spoon", "sPOON / OAK 1", "kitchen")).await.code(),
        "sku_taken"
    );
    // The owner may change the letter case of its SKU.
    let renamed = shop.update(&id, 1, &product("Oak spoon", "SPOON / oak 1", "kitchen")).await;
    assert_eq!((renamed.status(), &renamed.json()["sku"]), (200, &json!("SPOON / oak 1")));
    shop.check();
    assert_eq!(
        shop.update(&id, 2, &product("Oak spoon", "SPOON-OAK", "kitchen")).await.status(),
        200
    );
    assert_eq!(
        shop.update(&other, 1, &product("Elm spoon", "spoon / oak 1", "kitchen")).await.status(),
        200
    );
    shop.check();
    assert_eq!(shop.archive(&id, 3).await.status(), 204);
    assert_eq!(
        shop.update(&other, 2, &product("Elm spoon", "spoon-Oak", "kitchen")).await.status(),
        200
    );
    shop.check();
}

#[tokio::test]
async fn only_admins_change_products_and_rejections_write_nothing() {
    let shop = CatalogFixture::new();
    let id = shop.created("k", &spoon()).await;
    let before = shop.aws.items("products");
    let delete = || {
        events::http("DELETE", "/products")
            .path_parameter("product_id", &id)
            .header("if-match", "\"1\"")
    };
    for (operation, request) in [
        ("update-product", put(&id, &spoon()).header("if-match", "\"1\"")),
        ("archive-product", delete()),
    ] {
        assert_eq!(shop.call(operation, request.clone().event()).await.status(), 401);
        assert_eq!(shop.call(operation, request.caller(events::USER).event()).await.status(), 403);
    }
    assert_eq!(shop.aws.items("products"), before);
}

#[tokio::test]
async fn change_is_made_once_under_any_fault() {
    for sku in ["SPOON-OAK", "SPOON-ELM"] {
        for_each_fault(0..2, async |InjectedFault { call, fault }| {
            let shop = CatalogFixture::new();
            let id = shop.created("k", &spoon()).await;
            let wanted = product("Elm spoon", sku, "kitchen");
            shop.aws.fail(call, fault);
            let first = shop.update(&id, 1, &wanted).await;
            assert!(matches!(first.status(), 200 | 503), "{fault:?} at {call}: {}", first.status());
            let second = shop.update(&id, 1, &wanted).await;
            assert_eq!(
                (second.status(), second.header("etag")),
                (200, Some("\"2\"".to_owned())),
                "{fault:?} at {call}"
            );
            shop.check();
            shop.aws.fail(call, fault);
            let first = shop.archive(&id, 2).await;
            assert!(matches!(first.status(), 204 | 503), "{fault:?} at {call}: {}", first.status());
            assert_eq!(shop.archive(&id, 2).await.status(), 204);
            shop.check();
            let stored = shop
                .aws
                .items("products")
                .into_iter()
                .find(|item| item["pk"]["S"] == format!("PRODUCT#{id}"))
                .unwrap();
            assert_eq!(
                (&stored["version"]["N"], &stored["status"]["S"]),
                (&json!("3"), &json!("archived"))
            );
        })
        .await;
    }
}

/// Runs these requests concurrently and returns the statuses, sorted.
async fn at_once(requests: Vec<(Lambda, Value)>) -> Vec<u64> {
    let mut running = JoinSet::new();
    for (lambda, event) in requests {
        running.spawn(lambda(Invocation::with_event(event)));
    }
    let mut statuses: Vec<u64> = running
        .join_all()
        .await
        .into_iter()
        .map(|answer| answer.unwrap()["statusCode"].as_u64().unwrap())
        .collect();
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn concurrent_changes_of_one_version_apply_once() {
    for seed in 0..20 {
        let shop = CatalogFixture::crowded(seed);
        let id = shop.created("k", &spoon()).await;
        // Half of the updates change the SKU to the same value, the others to distinct ones.
        let wanted = |number: usize| {
            product(
                &format!("Spoon {number}"),
                &if number.is_multiple_of(2) {
                    "SPOON-OAK".to_owned()
                } else {
                    format!("SPOON-{number}")
                },
                "kitchen",
            )
        };
        let statuses = at_once(
            (0..12)
                .map(|number| (shop.lambda("update-product"), change(&id, 1, &wanted(number))))
                .collect(),
        )
        .await;
        assert_eq!(statuses, [vec![200], vec![412; 11]].concat(), "seed {seed}");
        shop.check();
        assert_eq!(shop.get(&id, None).await.header("etag"), Some("\"2\"".to_owned()));
    }
}

#[tokio::test]
async fn concurrent_changes_with_retries_all_apply() {
    let shop = Arc::new(CatalogFixture::crowded(7));
    let id = shop.created("k", &spoon()).await;
    let mut writers = JoinSet::new();
    for writer in 0..10 {
        let (shop, id) = (shop.clone(), id.clone());
        writers.spawn(async move {
            for round in 0..5 {
                // Each writer appends to the others' changes, and retries after a conflict.
                loop {
                    let read = shop.lambda("get-product")(Invocation::with_event(
                        events::get("/products").path_parameter("product_id", &id).event(),
                    ))
                    .await
                    .unwrap();
                    let seen: u64 = read["headers"]["etag"]
                        .as_str()
                        .unwrap()
                        .trim_matches('"')
                        .parse()
                        .unwrap();
                    let current: Value =
                        serde_json::from_str(read["body"].as_str().unwrap()).unwrap();
                    let mut wanted =
                        product("Spoon", &format!("SPOON-{writer}-{round}"), "kitchen");
                    wanted["price"]["amount"] =
                        json!(current["price"]["amount"].as_i64().unwrap() + 1);
                    let answer = shop.lambda("update-product")(Invocation::with_event(change(
                        &id, seen, &wanted,
                    )))
                    .await
                    .unwrap();
                    match answer["statusCode"].as_u64() {
                        Some(200) => break,
                        Some(412) => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
        });
    }
    writers.join_all().await;
    let last = shop.get(&id, None).await;
    assert_eq!(
        (last.json()["price"]["amount"].as_i64(), last.header("etag")),
        (Some(2999 + 50), Some("\"51\"".to_owned()))
    );
    shop.check();
}

#[tokio::test]
async fn concurrent_requests_for_one_sku_create_one_product() {
    for seed in 0..20 {
        let shop = CatalogFixture::crowded(seed);
        let oak = shop.created("oak", &spoon()).await;
        let elm = shop.created("elm", &product("Elm", "SPOON-ELM", "kitchen")).await;
        let ash = |name: &str| product(name, "SPOON-ASH", "kitchen");
        let statuses = at_once(vec![
            (shop.lambda("update-product"), change(&oak, 1, &ash("Oak"))),
            (shop.lambda("update-product"), change(&elm, 1, &ash("Elm"))),
            (shop.lambda("create-product"), new_product("new", &ash("New"))),
        ])
        .await;
        assert!(
            statuses == [200, 409, 409] || statuses == [201, 409, 409],
            "seed {seed}: {statuses:?}"
        );
        shop.check();
    }
}

#[tokio::test]
async fn concurrent_change_and_archiving_apply_only_one() {
    let mut ends = BTreeSet::new();
    for seed in 0..20 {
        let shop = CatalogFixture::crowded(seed);
        let id = shop.created("k", &spoon()).await;
        let statuses = at_once(vec![
            (
                shop.lambda("update-product"),
                change(&id, 1, &product("Elm", "SPOON-ELM", "kitchen")),
            ),
            (shop.lambda("archive-product"), removal(&id, 1)),
            (shop.lambda("archive-product"), removal(&id, 1)),
        ])
        .await;
        // Either the update wins and both archivings conflict, or both archivings succeed and the
        // product is gone.
        assert!(
            statuses == [200, 412, 412] || statuses == [204, 204, 404],
            "seed {seed}: {statuses:?}"
        );
        ends.insert(statuses);
        shop.check();
    }
    assert_eq!(ends.len(), 2, "each outcome occurs with some seed");
}
