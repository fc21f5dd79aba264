//! Products, stock and reservations.

use crate::permissions::*;

pub(super) async fn catalogue_and_stock(seen: &Arc<Mutex<Actions>>) {
    let watched = Watched::new(seen);
    // The same request with the same key, another product with the same SKU, and a lost response.
    let create = |key: &str, sku: &str| {
        let price = json!({ "amount": 2999, "currency": "USD" });
        let body = json!({ "name": format!("Thing {sku}"), "category": "kitchen", "sku": sku, "price": price });
        events::post("/products", &body).caller(ADMIN).header("idempotency-key", key).event()
    };
    let first = watched.call("create-product", create("one", "A")).await;
    for (key, sku) in [("one", "A"), ("two", "A"), ("two", "B"), ("one", "C")] {
        watched.call("create-product", create(key, sku)).await;
    }
    watched.with_fault(0, Fault::LoseResponse, "create-product", create("three", "D")).await;
    watched.call("create-product", create("three", "D")).await;
    // A SKU whose product is missing: here the operation needs a read in addition to the failed
    // condition.
    let half = Watched::new(seen);
    let holder = watched
        .shop
        .aws
        .items("products")
        .into_iter()
        .find(|item| item["pk"]["S"] == "SKU#A")
        .expect("the SKU is held");
    half.shop.aws.put("products", &holder);
    assert_eq!(half.call("create-product", create("one", "A")).await.json()["code"], "sku_taken");
    let pricing = watched.call("replicate-pricing", sample("replicate-pricing")).await;
    assert!(pricing.is_done(), "{:?}", pricing.answer);
    // Without the product, but with the rules.
    let preview = watched.call("preview-prices", sample("preview-prices")).await;
    assert_eq!(preview.code(), "unknown_product", "{:?}", preview.answer);
    watched.pages("list-products", "limit=1", None).await;
    watched.pages("list-products", "limit=1&category=kitchen", None).await;
    let product = first.json()["id"].as_str().expect("a product was created").to_owned();
    watched
        .call(
            "get-product",
            events::get("/products").path_parameter("product_id", &product).event(),
        )
        .await;

    let adjust = |key: &str, delta: i64| {
        let request = events::post("/inventory", &json!({ "delta": delta, "reason": "Delivery" }));
        request
            .caller(ADMIN)
            .path_parameter("product_id", &product)
            .header("idempotency-key", key)
            .event()
    };
    // The last but one leaves less than the low-stock threshold.
    for (key, delta) in
        [("one", 15), ("one", 15), ("two", -3), ("three", -19), ("few", -9), ("one", 4)]
    {
        watched.call("adjust-stock", adjust(key, delta)).await;
    }
    watched.with_fault(0, Fault::LoseResponse, "adjust-stock", adjust("four", 1)).await;
    watched.call("adjust-stock", adjust("four", 1)).await;
    let divide = |key: &str, shards: u32| {
        let request = events::post(
            "/inventory",
            &json!({ "shard_count": shards, "reason": "It sells fast" }),
        )
        .caller(ADMIN);
        request.path_parameter("product_id", &product).header("idempotency-key", key).event()
    };
    let mut harness = watched.harness();
    // First in one shard, then in several.
    for (turn, shards) in [1, 4].into_iter().enumerate() {
        let divided =
            watched.call("adjust-stock", divide(&format!("divided-{turn}"), shards)).await;
        assert_eq!(divided.status(), 201, "{:?}", divided.answer);
        for caller in [USER, ADMIN] {
            watched
                .call(
                    "get-stock",
                    events::get("/inventory")
                        .caller(caller)
                        .path_parameter("product_id", &product)
                        .event(),
                )
                .await;
        }
        reservations(&watched, &product, turn).await;
        watched.call("adjust-stock", adjust(&format!("more-{turn}"), 1)).await;
        harness.drain_queues().await;
    }
    watched.shop.clock.advance(Duration::from_secs(49 * 3600));
    let held = watched.call("check-reservations", json!({})).await;
    assert!(held.ok()["held_too_long"].as_u64() > Some(0), "{:?}", held.answer);
    product_that_changes(&watched, &product).await;
    harness.drain_queues().await;
}

/// Updates a product with a new SKU and with its own, with lost responses; then archives and
/// republishes it.
async fn product_that_changes(watched: &Watched, product: &str) {
    let to_it = |method: &str, version: usize| {
        let request =
            events::http(method, "/products").caller(ADMIN).path_parameter("product_id", product);
        request
            .header("content-type", "application/json")
            .header("if-match", &format!("\"{version}\""))
    };
    let update = |version: usize, sku: &str| {
        let price = json!({ "amount": 2999 + version, "currency": "USD" });
        to_it("PUT", version)
            .body(
                &json!({ "name": "Thing", "category": "kitchen", "sku": sku, "price": price })
                    .to_string(),
            )
            .event()
    };
    // The second SKU belongs to another product.
    for (version, sku, status) in [(1, "Z", 200), (2, "B", 409), (2, "Z", 200), (2, "A", 412)] {
        let updated = watched.call("update-product", update(version, sku)).await;
        assert_eq!(updated.status(), status, "{version} {sku}: {:?}", updated.answer);
    }
    for (version, sku) in [(3, "Z"), (4, "Y")] {
        watched.with_fault(1, Fault::LoseResponse, "update-product", update(version, sku)).await;
        assert_eq!(watched.call("update-product", update(version, sku)).await.status(), 200);
    }
    for call in [0, 2, 4] {
        watched.with_fault(call, Fault::LoseResponse, "resync-products", json!({})).await;
        assert!(watched.call("resync-products", json!({})).await.answer.is_ok());
    }
    let archive = |version: usize| to_it("DELETE", version).event();
    assert_eq!(watched.call("archive-product", archive(1)).await.status(), 412);
    watched.with_fault(1, Fault::LoseResponse, "archive-product", archive(5)).await;
    assert_eq!(watched.call("archive-product", archive(5)).await.status(), 204);
}

async fn reservations(watched: &Watched, product: &str, turn: usize) {
    // Every sequence of three inventory commands, for an available and for a too large quantity.
    let commands = ["reserve-stock", "release-stock", "commit-stock"];
    for number in 0..54_usize {
        let order = format!("ord_0199c2a8-0000-7000-8000-000000000{turn}{number:02}");
        let quantity = if number < 27 { 1 } else { 900 };
        for (attempt, index) in [number % 3, number / 3 % 3, number / 9 % 3].into_iter().enumerate()
        {
            let mut data = json!({ "order_id": order, "attempt": attempt });
            if index == 0 {
                data["lines"] = json!([{ "product_id": product, "quantity": quantity }]);
            }
            let kind = format!("{}.v1", commands[index].replace('-', "_"));
            watched.call(commands[index], events::message(commands[index], &kind, &data)).await;
        }
    }
}
