//! The cost of each request in DynamoDB calls. An additional call is a decision that is made here.
#![allow(clippy::unwrap_used)]

mod accounts;
mod batches;
mod capacity;
mod functions;
mod growth;
mod lists;
mod payments;
mod permissions;
mod secrets;

use std::time::Duration;

use serde_json::{Value, json};
use shared::ids::shard_of;
use tests::{
    aws::Called,
    events::{self, Http, sample},
    shop::{LIST_SHARDS, SHARDS, Shop},
};

/// A shop with Ada logged in, and a product that is replicated to orders.
async fn shop() -> (Shop, String) {
    let shop = Shop::new();
    let product = shop.product("teapot", 2999, 50).await;
    shop.harness().drain_queues().await;
    (shop, product)
}

/// The id of the created resource.
fn id(called: &Called) -> String {
    assert!([200, 201].contains(&called.status()), "{:?}", called.answer);
    called.json()["id"].as_str().unwrap().to_owned()
}

async fn payment_of(shop: &Shop, order: &str) -> String {
    let list = shop
        .call(
            "list-payments",
            events::get(&format!("/payments?order_id={order}")).caller(events::USER).event(),
        )
        .await;
    list.json()["items"][0]["id"].as_str().expect("the order has a payment").to_owned()
}

#[track_caller]
fn costs(called: &Called, operations: &[&str]) {
    assert!(
        called.status() < 300,
        "the request failed, so its cost is not measured: {:?}",
        called.answer
    );
    assert_eq!(called.operations(), operations);
}

/// Calls a function with the same latency for every AWS call. Returns the response and the number
/// of round trips. The calls of one round trip have no order, so they are sorted as in `calls`.
/// Needs paused time.
async fn round_trips(
    shop: &Shop,
    operation: &str,
    event: &Value,
    calls: &[&str],
) -> (Called, u128) {
    let latency = Duration::from_millis(10);
    shop.aws.take_time(latency);
    let started = tokio::time::Instant::now();
    let mut called = shop.call(operation, event.clone()).await;
    let elapsed = started.elapsed();
    shop.aws.take_time(Duration::ZERO);
    called.calls.sort_by_key(|call| calls.iter().position(|name| *name == call.operation));
    (called, elapsed.as_millis() / latency.as_millis())
}

/// The limits of the buyer and of the network share the one read and the one transaction.
#[tokio::test(start_paused = true)]
async fn new_order_costs_one_read_and_one_transaction_and_a_replay_one_read() {
    let (shop, product) = shop().await;
    // The key that derives network names is cached.
    assert_eq!(shop.order("earlier", &product, 1, None).await.status(), 201);
    let request = events::post("/orders", &events::order_request(&product, 1, None))
        .caller(events::USER)
        .header("idempotency-key", "first")
        .event();
    for (is_repeated, calls, expected) in
        [(false, &["BatchGetItem", "TransactWriteItems"][..], 2), (true, &["BatchGetItem"], 1)]
    {
        let (called, one_after_the_other) =
            round_trips(&shop, "create-order", &request, calls).await;
        assert_eq!(called.header("idempotent-replayed").is_some(), is_repeated);
        costs(&called, calls);
        assert_eq!(one_after_the_other, expected, "{calls:?}");
    }
}

/// The rules are in the same table as the products, so both are one read. An instance that has read
/// the rules reads the products alone.
#[tokio::test]
async fn price_preview_costs_one_read_and_an_order_in_a_market_no_more_than_others() {
    let (shop, product) = shop().await;
    assert!(shop.call("replicate-pricing", sample("replicate-pricing")).await.is_done());
    let method = events::pricing()["document"]["shipping_methods"][0]["id"].clone();
    let lines = json!([{ "product_id": product, "quantity": 1 }]);
    let preview =
        json!({ "market": "gb", "lines": lines, "country": "GB", "shipping_method": method });
    for _ in 0..2 {
        let request = events::post("/prices/preview", &preview).event();
        costs(&shop.call("preview-prices", request).await, &["BatchGetItem"]);
    }
    let mut order = events::order_request(&product, 1, None);
    order["market"] = "gb".into();
    order["shipping_method"] = method;
    let request = events::post("/orders", &order)
        .caller(events::USER)
        .header("idempotency-key", "first")
        .event();
    let called = shop.call("create-order", request).await;
    costs(&called, &["BatchGetItem", "TransactWriteItems"]);
}

/// A cart is one read, and its products and rules are another. A change adds one write, and a merge
/// one transaction.
#[tokio::test]
async fn cart_costs_two_reads_and_a_change_one_more_write() {
    let (shop, product) = shop().await;
    assert!(shop.call("replicate-pricing", sample("replicate-pricing")).await.is_done());
    let market = json!({ "market": "gb", "country": "GB" });
    let created = shop.call("create-cart", events::post("/carts", &market).event()).await;
    costs(&created, &["BatchGetItem", "PutItem"]);
    let token = created.json()["cart_token"].as_str().unwrap().to_owned();
    let guest = id(&created);
    let of_guest = |request: Http| {
        request.path_parameter("cart_id", &guest).header("x-cart-token", &token).event()
    };
    let add = json!({ "add": [{ "product_id": product, "quantity": 1 }], "mutation_id": "one" });
    let change = of_guest(events::post("/carts", &add));
    let called = shop.call("change-cart", change.clone()).await;
    costs(&called, &["GetItem", "BatchGetItem", "UpdateItem"]);
    costs(&shop.call("change-cart", change).await, &["GetItem", "BatchGetItem"]);
    for operation in ["get-cart", "list-shipping-options"] {
        let called = shop.call(operation, of_guest(events::get("/carts"))).await;
        costs(&called, &["GetItem", "BatchGetItem"]);
    }

    let create = events::post("/carts", &market).caller(events::USER).event();
    let own = shop.call("create-cart", create.clone()).await;
    // The rules of the market are kept.
    costs(&own, &["GetItem", "TransactWriteItems"]);
    costs(&shop.call("create-cart", create).await, &["GetItem", "GetItem"]);
    let merge = events::post("/carts", &json!({})).body("").caller(events::USER);
    let merge = merge.path_parameter("cart_id", &id(&own)).header("x-cart-token", &token);
    let calls = &["BatchGetItem", "BatchGetItem", "TransactWriteItems"];
    costs(&shop.call("merge-cart", merge.event()).await, calls);
}

/// Only the cart names the products, so they need a second read.
#[tokio::test(start_paused = true)]
async fn order_of_a_cart_costs_two_reads_and_one_transaction_and_a_replay_one_read() {
    let (shop, product) = shop().await;
    // The key that derives network names is cached.
    assert_eq!(shop.order("earlier", &product, 1, None).await.status(), 201);
    let created = events::post("/carts", &json!({})).caller(events::USER).event();
    let cart = id(&shop.call("create-cart", created).await);
    let changes = json!({ "set": [{ "product_id": product, "quantity": 2 }] });
    let changed = events::post("/carts", &changes).caller(events::USER);
    let changed = changed.path_parameter("cart_id", &cart).event();
    let cart = shop.call("change-cart", changed).await.json();
    let body = json!({
        "cart_id": cart["id"], "cart_version": cart["version"], "expected_total": cart["totals"]["total"],
    });
    let request = events::order("first", &body).event();
    let calls = ["BatchGetItem", "BatchGetItem", "TransactWriteItems"];
    for (is_repeated, calls) in [(false, &calls[..]), (true, &calls[..1])] {
        let (called, one_after_the_other) =
            round_trips(&shop, "create-order", &request, calls).await;
        assert_eq!(called.header("idempotent-replayed").is_some(), is_repeated);
        costs(&called, calls);
        assert_eq!(one_after_the_other, calls.len() as u128, "{calls:?}");
    }
}

#[tokio::test]
async fn order_action_costs_one_read_and_one_write() {
    let (shop, product) = shop().await;
    let mut orders = Vec::new();
    for key in ["shipped", "given-up"] {
        let request = events::post("/orders", &events::order_request(&product, 1, Some("tok_ok")))
            .caller(events::USER);
        orders.push(id(&shop
            .call("create-order", request.header("idempotency-key", key).event())
            .await));
    }
    shop.harness().drain_queues().await;
    let step = async |operation: &str, order: &str| {
        let request =
            events::post("/orders", &json!({ "carrier": "Royal Mail", "tracking": "RM1" }))
                .path_parameter("order_id", order);
        let request = if operation == "ship-order" { request } else { request.body("") };
        shop.call(operation, request.caller(events::ADMIN).event()).await
    };
    let of_order =
        |request: Http| request.caller(events::USER).path_parameter("order_id", &orders[0]);
    let read = shop.call("get-order", of_order(events::get("/orders")).event()).await;
    let tag = read.header("etag").unwrap();
    let mut body = events::order_request(&product, 1, None);
    body["shipping_address"]["name"] = json!("Ada King");
    let body = json!({ "shipping_address": body["shipping_address"] });
    let moved = of_order(events::http("PATCH", "/orders"))
        .header("content-type", "application/json")
        .header("if-match", &tag)
        .body(&body.to_string());
    costs(&shop.call("update-order", moved.event()).await, &["GetItem", "PutItem"]);
    for (operation, order) in
        [("ship-order", &orders[0]), ("deliver-order", &orders[0]), ("cancel-order", &orders[1])]
    {
        costs(&step(operation, order).await, &["GetItem", "PutItem"]);
        if operation != "ship-order" {
            costs(&step(operation, order).await, &["GetItem"]);
        }
    }
}

#[tokio::test]
async fn reading_one_resource_costs_one_call() {
    let (shop, product) = shop().await;
    let order = id(&shop.order("first", &product, 1, Some("tok_ok")).await);
    shop.harness().drain_queues().await;

    let get_order = events::get("/orders").caller(events::USER).path_parameter("order_id", &order);
    costs(&shop.call("get-order", get_order.event()).await, &["GetItem"]);
    let timeline = events::get("/orders").caller(events::ADMIN).path_parameter("order_id", &order);
    costs(&shop.call("get-order-timeline", timeline.event()).await, &["GetItem"]);
    let of_product = |path: &str| events::get(path).path_parameter("product_id", &product);
    costs(&shop.call("get-product", of_product("/products").event()).await, &["GetItem"]);
    costs(&shop.call("get-stock", of_product("/inventory").event()).await, &["GetItem"]);
    costs(
        &shop.call("get-stock", of_product("/inventory").caller(events::ADMIN).event()).await,
        &["GetItem"],
    );

    let list = shop
        .call(
            "list-payments",
            events::get(&format!("/payments?order_id={order}")).caller(events::USER).event(),
        )
        .await;
    costs(&list, &["Query"]);
    let payment = list.json()["items"][0]["id"].as_str().expect("the order was paid").to_owned();
    let get_payment =
        events::get("/payments").caller(events::USER).path_parameter("payment_id", &payment);
    costs(&shop.call("get-payment", get_payment.event()).await, &["GetItem"]);
}

#[tokio::test]
async fn list_page_costs_one_query_per_shard() {
    let (shop, product) = shop().await;
    shop.order("first", &product, 1, None).await;
    costs(
        &shop.call("list-products", events::get("/products").event()).await,
        &["Query"; LIST_SHARDS as usize],
    );
    costs(
        &shop.call("list-products", events::get("/products?category=kitchen").event()).await,
        &["Query"; LIST_SHARDS as usize],
    );
    costs(
        &shop.call("list-orders", events::get("/orders").caller(events::USER).event()).await,
        &["Query"],
    );
    let by_status = events::get("/orders?status=pending").caller(events::ADMIN);
    costs(&shop.call("list-orders", by_status.event()).await, &["Query"; SHARDS as usize]);
    costs(
        &shop
            .call("list-notifications", events::get("/notifications").caller(events::USER).event())
            .await,
        &["Query"],
    );
}

#[tokio::test]
async fn product_change_costs_one_read_and_one_write() {
    let shop = Shop::new();
    assert_eq!(shop.call("create-product", sample("create-product")).await.status(), 201);
    let product = shop
        .aws
        .items("products")
        .into_iter()
        .find_map(|item| item.get("product_id")?["S"].as_str().map(str::to_owned))
        .unwrap();
    let to_it = |request: Http, version: u64| {
        let request = request.caller(events::ADMIN).path_parameter("product_id", &product);
        request
            .header("content-type", "application/json")
            .header("if-match", &format!("\"{version}\""))
    };
    let text = sample("update-product")["body"].as_str().unwrap().to_owned();
    let update = |version: u64, text: &str| {
        to_it(events::http("PUT", "/products"), version).body(text).event()
    };
    // The product moves to another SKU: the new one is reserved and the old one released.
    costs(&shop.call("update-product", update(1, &text)).await, &["GetItem", "TransactWriteItems"]);
    costs(&shop.call("update-product", update(1, &text)).await, &["GetItem"]);
    costs(
        &shop.call("update-product", update(2, &text.replace("oiled by hand", "waxed"))).await,
        &["GetItem", "UpdateItem"],
    );
    let archive = |version: u64| to_it(events::http("DELETE", "/products"), version).event();
    costs(&shop.call("archive-product", archive(3)).await, &["GetItem", "TransactWriteItems"]);
    costs(&shop.call("archive-product", archive(3)).await, &["GetItem"]);
}

/// Each part of a transaction costs two units per KB.
#[tokio::test]
async fn changed_price_costs_two_units_and_no_call() {
    let shop = Shop::new();
    let body = |amount: i64, prices: usize| {
        let prices: Vec<Value> = (0..prices)
            .map(|number| json!({ "market": format!("market-{number}"), "currency": "EUR", "amount": amount }))
            .collect();
        json!({
            "name": "Oak spoon", "category": "kitchen", "sku": "SPOON-OAK", "prices": prices,
            "price": { "amount": 2999, "currency": "USD" },
        })
    };
    let recorded = || -> u64 {
        let units = shop.aws.write_units();
        units.iter().filter(|(key, _)| key.contains(" PRICE#")).map(|(_, units)| units).sum()
    };
    shop.aws.count_write_units(None);
    let created = shop.call("create-product", events::new_product("k", &body(2799, 20))).await;
    costs(&created, &["TransactWriteItems"]);
    assert_eq!(recorded(), 42, "the price and 20 explicit prices");
    let product = id(&created);
    let update = |version: u64, amount: i64, prices: usize| {
        events::put("/products", &body(amount, prices))
            .caller(events::ADMIN)
            .path_parameter("product_id", &product)
            .header("if-match", &format!("\"{version}\""))
            .event()
    };
    for (version, amount, prices, units) in [(1, 2799, 19, 2), (2, 2699, 19, 38), (3, 2699, 0, 38)]
    {
        shop.aws.count_write_units(None);
        let changed = shop.call("update-product", update(version, amount, prices)).await;
        assert_eq!(changed.status(), 200, "{:?}", changed.answer);
        costs(&changed, &["GetItem", "TransactWriteItems"]);
        assert_eq!(recorded(), units, "version {version}");
    }
}

/// The key follows from the caller and the id, and the write checks that the notification exists.
#[tokio::test]
async fn reading_a_notification_costs_one_write() {
    let shop = Shop::new();
    assert_eq!(
        shop.call("send-notification", sample("send-notification")).await.ok()["batchItemFailures"],
        json!([])
    );
    for _ in 0..2 {
        costs(&shop.call("read-notification", sample("read-notification")).await, &["UpdateItem"]);
    }
}

#[tokio::test]
async fn admin_writes_cost_few_calls() {
    let shop = Shop::new();
    let created = shop.call("create-product", sample("create-product")).await;
    assert_eq!(created.status(), 201, "{:?}", created.answer);
    assert!(created.operations().len() <= 2, "{:?}", created.operations());
    let adjusted = shop.call("adjust-stock", sample("adjust-stock")).await;
    assert_eq!(adjusted.status(), 201, "{:?}", adjusted.answer);
    assert!(adjusted.operations().len() <= 2, "{:?}", adjusted.operations());
}

#[tokio::test]
async fn list_cost_is_independent_of_stored_items() {
    let shop = Shop::new();
    let product =
        sample("publish-product-events")["Records"][0]["dynamodb"]["NewImage"].to_string();
    assert_eq!(
        shop.call("send-notification", sample("send-notification")).await.ok()["batchItemFailures"],
        json!([])
    );
    let notification = shop.aws.items("notifications")[0].to_string();
    shop.ada().await;
    let user = shop
        .aws
        .items("users")
        .into_iter()
        .find(|item| item.get("listed_shard").is_some())
        .unwrap()
        .to_string();
    let mut costs = Vec::new();
    let mut stored = 0;
    for many in [10, 1_000] {
        for number in stored..many {
            let mut item: Value =
                serde_json::from_str(&product.replace("00000000000a", &format!("{number:012x}")))
                    .unwrap();
            let shard = shard_of(item["product_id"]["S"].as_str().unwrap(), LIST_SHARDS);
            for name in ["active_shard", "category_shard"] {
                let value = item[name]["S"]
                    .as_str()
                    .expect("the sample is listed")
                    .rsplit_once('#')
                    .unwrap()
                    .0
                    .to_owned();
                item[name]["S"] = format!("{value}#{shard}").into();
            }
            let name = format!("{number:05}#{}", item["product_id"]["S"].as_str().unwrap());
            item["name_sort"]["S"] = name.into();
            shop.aws.put("products", &item);
            shop.aws.put(
                "notifications",
                &serde_json::from_str(
                    &notification.replace("0000000000e1", &format!("{number:012x}")),
                )
                .unwrap(),
            );
            let mut item: Value =
                serde_json::from_str(&user.replace("000000000001", &format!("{number:012x}")))
                    .unwrap();
            item["listed_shard"]["S"] = format!("listed#{shard}").into();
            shop.aws.put("users", &item);
        }
        stored = many;
        let products = shop.call("list-products", events::get("/products?limit=5").event()).await;
        assert_eq!(
            products.json()["items"].as_array().map(Vec::len),
            Some(5),
            "{:?}",
            products.answer
        );
        let notifications = shop
            .call(
                "list-notifications",
                events::get("/notifications?limit=5").caller(events::USER).event(),
            )
            .await;
        assert_eq!(
            notifications.json()["items"].as_array().map(Vec::len),
            Some(5),
            "{:?}",
            notifications.answer
        );
        let users = shop
            .call("list-users", events::get("/users?limit=5").caller(events::ADMIN).event())
            .await;
        assert_eq!(users.json()["items"].as_array().map(Vec::len), Some(5), "{:?}", users.answer);
        costs.push([products, notifications, users].map(|called| called.operations().len()));
    }
    assert_eq!(costs[0], costs[1], "with 10 and with 1,000 items");
}
