//! Catalog: idempotent creation, unique SKUs, paged lists, published changes, and complete backfill
//! runs.

mod changes;
mod prices;
mod resync_products;

use std::{collections::BTreeSet, ops::Deref, time::Duration};

use serde_json::{Value, json};
use shared::{
    clock::{Clock, Timestamp},
    lambda::Invocation,
    table::{Expression, Key},
};
use tests::{
    aws::{Aws, Called},
    events::{self, new_product},
    faults::{InjectedFault, for_each_fault},
    shop::{LIST_SHARDS, Shop},
};

/// A shop whose admins manage the catalog.
struct CatalogFixture(Shop);

impl Deref for CatalogFixture {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.0
    }
}

impl CatalogFixture {
    fn new() -> Self {
        Self::over(Aws::new())
    }

    /// Concurrent operations interleave between AWS calls, depending on `seed`.
    fn crowded(seed: u64) -> Self {
        Self::over(Aws::new().crowded(seed))
    }

    fn over(aws: Aws) -> Self {
        Self(Shop::over(aws, Clock::manual(Timestamp::from_milliseconds(1_795_254_529_123))))
    }

    /// An independent shop with the same products.
    fn copy(&self) -> Self {
        Self(self.0.copy())
    }

    /// The items whose key has this prefix.
    fn items_of(&self, prefix: &str) -> Vec<Value> {
        let mut items = self.aws.items("products");
        items.retain(|item| item["pk"]["S"].as_str().unwrap().starts_with(prefix));
        items
    }

    /// Creates a product and returns its id.
    async fn created(&self, key: &str, product: &Value) -> String {
        let created = self.create(key, product).await;
        assert_eq!(created.status(), 201, "{:?}", created.answer);
        created.json()["id"].as_str().unwrap().to_owned()
    }

    async fn create(&self, key: &str, product: &Value) -> Called {
        self.call("create-product", new_product(key, product)).await
    }

    async fn list(&self, path: &str) -> Called {
        self.call("list-products", events::get(path).event()).await
    }

    async fn list_unless(&self, path: &str, tag: &str) -> Called {
        self.call("list-products", events::get(path).header("if-none-match", tag).event()).await
    }

    async fn get(&self, id: &str, tag: Option<&str>) -> Called {
        let request = events::get(&format!("/products/{id}")).path_parameter("product_id", id);
        let request = tag.map_or(request.clone(), |tag| request.header("if-none-match", tag));
        self.call("get-product", request.event()).await
    }
}

fn product(name: &str, sku: &str, category: &str) -> Value {
    json!({ "name": name, "category": category, "sku": sku, "price": { "amount": 2999, "currency": "USD" } })
}

fn names(called: &Called) -> Vec<String> {
    called.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn product_is_created_with_one_call_and_can_be_read() {
    let shop = CatalogFixture::new();
    let created = shop.create("k", &product("Oak spoon", "SPOON-OAK", "kitchen")).await;
    assert_eq!(created.status(), 201);
    assert_eq!(created.operations(), ["TransactWriteItems"]);
    let view = created.json();
    let id = view["id"].as_str().unwrap();
    assert_eq!(created.header("location"), Some(format!("products/{id}")));
    let expected = json!({
        "id": id, "sku": "SPOON-OAK", "name": "Oak spoon", "description": null, "category": "kitchen", "active": true, "max_per_order": 20,
        "price": { "amount": 2999, "currency": "USD" }, "prices": [], "tax_class": "standard", "weight_g": 0, "requires_shipping": true,
        "created_at": "2026-11-21T09:48:49.123Z", "updated_at": "2026-11-21T09:48:49.123Z",
    });
    assert_eq!(view, expected);

    let read = shop.get(id, None).await;
    assert_eq!((read.status(), read.operations()), (200, vec!["GetItem"]));
    assert_eq!(read.body(), created.body());
    assert_eq!(read.header("cache-control"), Some("public, max-age=30".to_owned()));
    let tag = read.header("etag").unwrap();
    assert_eq!(shop.get(id, Some(&tag)).await.status(), 304);
    assert_eq!(shop.get(id, Some("\"7\"")).await.status(), 200);
}

#[tokio::test]
async fn repeated_key_returns_the_product_as_created() {
    let shop = CatalogFixture::new();
    let spoon = product("Oak spoon", "SPOON-OAK", "kitchen");
    let created = shop.create("k", &spoon).await;
    let id = created.json()["id"].as_str().unwrap().to_owned();
    shop.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(
        shop.update(&id, 1, &product("Old spoon", "SPOON-OLD", "attic")).await.status(),
        200
    );
    assert_eq!(shop.archive(&id, 2).await.status(), 204);

    let again = shop.create("k", &spoon).await;
    assert_eq!(again.status(), 201);
    assert_eq!(again.operations(), ["TransactWriteItems"]);
    assert_eq!(again.body(), created.body());
    assert_eq!(again.header("location"), created.header("location"));
    assert_eq!(again.header("etag"), created.header("etag"));
    assert_eq!(again.header("idempotent-replayed"), Some("true".to_owned()));

    let other = shop.create("k", &product("Oak spoon", "SPOON-ELM", "kitchen")).await;
    assert_eq!((other.status(), other.code().as_str()), (422, "idempotency_key_reused"));
    assert_eq!(shop.items_of("SKU#").len(), 0, "its SKU is free again");
    assert_eq!(shop.items_of("PRODUCT#").len(), 1);
    assert_eq!(shop.get(&id, None).await.status(), 404, "it is archived");
}

#[tokio::test]
async fn sku_belongs_to_one_product() {
    let shop = CatalogFixture::new();
    assert_eq!(shop.create("a", &product("Oak spoon", "SPOON", "kitchen")).await.status(), 201);
    let taken = shop.create("b", &product("Elm spoon", "SPOON", "kitchen")).await;
    assert_eq!((taken.status(), taken.code().as_str()), (409, "sku_taken"));
    assert_eq!(shop.aws.items("products").len(), 3);
}

#[tokio::test]
async fn product_is_created_once_under_any_fault() {
    for_each_fault([0], async |InjectedFault { call, fault }| {
        let shop = CatalogFixture::new();
        let spoon = product("Oak spoon", "SPOON-OAK", "kitchen");
        shop.aws.fail(call, fault);
        let first = shop.create("k", &spoon).await;
        assert!(matches!(first.status(), 201 | 503), "{fault:?}: {}", first.status());
        let (second, third) = (shop.create("k", &spoon).await, shop.create("k", &spoon).await);
        assert_eq!((second.status(), third.status()), (201, 201), "{fault:?}");
        assert_eq!(second.body(), third.body());
        assert_eq!(shop.aws.items("products").len(), 3);
    })
    .await;
}

#[tokio::test]
async fn concurrent_copies_get_one_answer() {
    let shop = CatalogFixture::new();
    let copies: Vec<_> = (0..16)
        .map(|_| {
            tokio::spawn(shop.lambda("create-product")(Invocation::with_event(new_product(
                "k",
                &product("Oak spoon", "SPOON-OAK", "kitchen"),
            ))))
        })
        .collect();
    let mut bodies = BTreeSet::new();
    for copy in copies {
        let answer = copy.await.unwrap().unwrap();
        assert_eq!(answer["statusCode"], 201);
        bodies.insert(answer["body"].as_str().unwrap().to_owned());
    }
    assert_eq!(bodies.len(), 1);
    assert_eq!(shop.aws.items("products").len(), 3);
}

#[tokio::test]
async fn only_admins_create_products_and_rejections_write_nothing() {
    let shop = CatalogFixture::new();
    let spoon = product("Oak spoon", "SPOON-OAK", "kitchen");
    let post = || events::post("/products", &spoon).header("idempotency-key", "k");
    assert_eq!(shop.call("create-product", post().event()).await.status(), 401);
    assert_eq!(
        shop.call("create-product", post().caller(events::USER).event()).await.status(),
        403
    );
    let keyless = events::post("/products", &spoon).caller(events::ADMIN).event();
    assert_eq!(shop.call("create-product", keyless).await.code(), "idempotency_key_required");
    for (field, value, refused) in [
        ("name", json!("  "), "blank"),
        ("name", json!(7), "wrong_type"),
        ("sku", json!("\u{3164}"), "invalid_sku"),
        ("sku", json!("x".repeat(65)), "invalid_sku"),
        ("category", json!("Kitchen"), "invalid_category"),
        ("description", json!("a\u{202e}b"), "invalid_characters"),
        ("price", json!({ "amount": 0, "currency": "USD" }), "out_of_range"),
        ("price", json!({ "amount": 100_000_000, "currency": "USD" }), "out_of_range"),
        ("price", json!({ "amount": 29.99, "currency": "USD" }), "wrong_type"),
        ("price", json!({ "amount": 2999, "currency": "usd" }), "unsupported_currency"),
        ("max_per_order", json!(0), "out_of_range"),
        ("max_per_order", json!(1000), "out_of_range"),
        ("max_per_order", json!(-1), "out_of_range"),
        ("max_per_order", json!("5"), "wrong_type"),
        ("max_per_order", json!(5.0), "wrong_type"),
        ("tax_class", json!("Reduced"), "invalid_id"),
        ("weight_g", json!(-1), "out_of_range"),
        ("weight_g", json!(1_000_001), "out_of_range"),
        ("requires_shipping", json!("true"), "wrong_type"),
        ("prices", json!({}), "wrong_type"),
        ("version", json!(9), "unknown_field"),
        ("name", json!("4242 4242 4242 4242"), "card_number_rejected"),
    ] {
        let mut invalid = spoon.clone();
        invalid[field] = value;
        let answer = shop.create("k", &invalid).await;
        assert_eq!((answer.status(), answer.code().as_str()), (422, refused), "{field}");
        assert!(answer.calls.is_empty());
    }
    assert!(shop.aws.items("products").is_empty());
}

#[tokio::test]
async fn unchanged_page_is_304_until_its_cursor_ages() {
    let shop = CatalogFixture::new();
    let mut ids = Vec::new();
    for number in 0..3 {
        let name = format!("Spoon {number}");
        let created = shop
            .create(&format!("k{number}"), &product(&name, &format!("S-{number}"), "kitchen"))
            .await
            .json();
        ids.push(created["id"].as_str().unwrap().to_owned());
    }
    let (first, all) = ("/products?limit=2", "/products");
    let tag = async |path: &str| shop.list(path).await.header("etag").unwrap();
    let (tag_of_first, tag_of_all) = (tag(first).await, tag(all).await);
    assert!(tag_of_first.starts_with("W/\""), "{tag_of_first}");
    assert_ne!(tag_of_first, tag_of_all);
    let unchanged = shop.list_unless(first, &tag_of_first).await;
    assert_eq!((unchanged.status(), unchanged.body()), (304, ""));
    assert_eq!(unchanged.header("cache-control"), Some("public, max-age=30".to_owned()));
    assert_eq!(shop.list_unless(all, &tag_of_first).await.status(), 200);

    // A cursor is good for a day. A page with one is new after half of that, a page without is not.
    shop.clock.advance(std::time::Duration::from_secs(12 * 3600));
    assert_eq!(shop.list_unless(first, &tag_of_first).await.status(), 200);
    assert_eq!(shop.list_unless(all, &tag_of_all).await.status(), 304);

    assert_eq!(shop.update(&ids[0], 1, &product("Spoon 0", "S-0", "garden")).await.status(), 200);
    assert_eq!(shop.list_unless(all, &tag_of_all).await.status(), 200);
}

#[tokio::test]
async fn list_pages_are_sorted_by_name() {
    let shop = CatalogFixture::new();
    for number in 0..25 {
        let category = if number % 5 == 0 { "garden" } else { "kitchen" };
        // Sorting ignores letter case.
        let name =
            format!("{} {:02}", if number % 2 == 0 { "SPOON" } else { "spoon" }, (number * 7) % 25);
        assert_eq!(
            shop.create(&format!("k{number}"), &product(&name, &format!("S-{number}"), category))
                .await
                .status(),
            201
        );
    }
    let first = shop.list("/products?limit=10").await;
    assert_eq!(first.operations(), ["Query"; LIST_SHARDS as usize]);
    assert_eq!(first.header("cache-control"), Some("public, max-age=30".to_owned()));
    let mut seen = names(&first);
    let mut cursor = first.json()["next_cursor"].as_str().map(str::to_owned);
    while let Some(next) = cursor {
        let page = shop.list(&format!("/products?limit=10&cursor={next}")).await;
        seen.extend(names(&page));
        cursor = page.json()["next_cursor"].as_str().map(str::to_owned);
    }
    let numbers: Vec<String> = seen.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(numbers, (0..25).map(|number| format!("spoon {number:02}")).collect::<Vec<_>>());

    let garden = shop.list("/products?category=garden").await;
    assert_eq!(
        (garden.json()["items"].as_array().unwrap().len(), garden.json()["next_cursor"].clone()),
        (5, Value::Null)
    );
    assert!(
        garden.calls.iter().all(|call| call.service == "dynamodb"),
        "a single page needs no key"
    );

    let next = first.json()["next_cursor"].as_str().unwrap().to_owned();
    for (path, refused) in [
        (format!("/products?limit=10&category=kitchen&cursor={next}"), "invalid_cursor"),
        (format!("/products?limit=11&cursor={next}"), "invalid_cursor"),
        (format!("/products?cursor={next}x"), "invalid_cursor"),
        ("/products?category=Kitchen%231".to_owned(), "invalid_category"),
        ("/products?category=".to_owned(), "invalid_category"),
        ("/products?limit=0".to_owned(), "out_of_range"),
    ] {
        assert_eq!(shop.list(&path).await.code(), refused, "{path}");
    }
}

#[tokio::test]
async fn malformed_product_id_is_404_without_a_read() {
    let shop = CatalogFixture::new();
    for id in [
        "usr_0199c2a8-0000-7000-8000-00000000000a",
        "PRD_0199c2a8-0000-7000-8000-00000000000a",
        "x",
        "",
        "prd_%2e%2e%2f",
    ] {
        let answer = shop.get(id, None).await;
        assert_eq!((answer.status(), answer.calls.len()), (404, 0), "{id}");
    }
    let unknown = shop.get("prd_0199c2a8-0000-7000-8000-00000000000a", None).await;
    assert_eq!((unknown.status(), unknown.code().as_str()), (404, "product_not_found"));
}

#[tokio::test]
async fn each_product_version_is_published_without_its_sku_item() {
    let shop = CatalogFixture::new();
    let mut harness = shop.publisher("products");
    let created = shop.create("k", &product("Oak spoon", "SPOON-OAK", "kitchen")).await;
    harness.drain_queues().await;
    let messages = shop.aws.queues().take("product-changes", 10);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].json()["data"]["product_id"], created.json()["id"]);

    let key = Key::new(format!("PRODUCT#{}", created.json()["id"].as_str().unwrap()));
    let unknown_status = Expression::new("SET #status = :status, #version = :next")
        .value("status", "announced")
        .value("next", 2);
    shop.aws
        .table("products")
        .update(key.clone(), unknown_status, Expression::version(1))
        .await
        .unwrap();
    let archived = Expression::new("SET #status = :status, #version = :next")
        .value("status", "archived")
        .value("next", 3);
    shop.aws.table("products").update(key, archived, Expression::version(2)).await.unwrap();
    harness.drain_queues().await;
    let messages = shop.aws.queues().take("product-changes", 10);
    assert_eq!(messages.len(), 1);
    assert_eq!(
        (&messages[0].json()["data"]["version"], &messages[0].json()["data"]["active"]),
        (&json!(3), &json!(false))
    );
    assert_eq!(
        shop.aws.queues().waiting("publish-product-dead-letter").len(),
        1,
        "unknown states go to the dead-letter queue"
    );
}
