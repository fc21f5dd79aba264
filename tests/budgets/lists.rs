//! The cost of lists: calls, rows and read units of a page, and the writes that their keys accept.

use std::sync::Arc;

use shared::ids::shard_of;
use tests::{
    aws::Aws,
    reads::{ReadCost, ReadMeter},
    shop::{clock, users_over},
    template,
};

use super::*;

/// Items of each kind: more than two pages of the largest size.
const STORED: u32 = 240;

/// Write units per second of a partition key; see `capacity`.
const UNITS_OF_A_KEY: u64 = 1000;

/// A list, its limit, and the calls, rows and half read units of its first page.
type Row = (&'static str, u32, [u64; 3]);

/// The rows of the table in functions/README.md.
const ROWS: [Row; 11] = [
    ("GET /products", 20, [1, 21, 4]),
    ("GET /products", 100, [1, 101, 17]),
    ("GET /products?category=", 20, [1, 21, 4]),
    ("GET /orders", 20, [1, 21, 2]),
    ("GET /orders", 100, [1, 101, 7]),
    ("GET /orders?status=", 20, [9, 41, 9]),
    ("GET /orders?status=", 100, [9, 138, 17]),
    ("GET /users", 20, [1, 21, 3]),
    ("GET /users", 100, [1, 101, 11]),
    ("GET /notifications", 20, [1, 21, 3]),
    ("GET /notifications", 100, [1, 101, 13]),
];

fn measured() -> (Shop, ReadMeter) {
    let meter = ReadMeter::new(Aws::new());
    let shop = Shop::over(meter.aws(), clock()).with(|shop| {
        let users = users_over(&meter.sdk_config(), &shop.clock, shop.aws.ids(100_000));
        shop.users = Arc::new(users);
    });
    (shop, meter)
}

/// A measured shop with 240 items of each kind.
async fn stocked() -> (Shop, ReadMeter) {
    let (shop, meter) = measured();
    let description = "Carved from one piece of oak and oiled by hand. ".repeat(6);
    for number in 0..STORED {
        let body = json!({
            "name": format!("Oak spoon {number:03}"),
            "description": description,
            "category": "kitchen",
            "sku": format!("SPOON-{number:03}"),
            "price": { "amount": 2999, "currency": "USD" },
        });
        let created = events::new_product(&format!("spoon-{number}"), &body);
        assert_eq!(shop.call("create-product", created).await.status(), 201);
    }
    shop.ada().await;
    let product = shop.product("teapot", 2999, 50).await;
    shop.harness().drain_queues().await;
    assert_eq!(shop.order("first", &product, 1, None).await.status(), 201);
    assert!(shop.call("send-notification", sample("send-notification")).await.is_done());
    multiply(&shop, "users", "user_id", "listed_shard", LIST_SHARDS);
    multiply(&shop, "orders", "listed_at", "status_shard", SHARDS);
    multiply(&shop, "notifications", "sk", "", 1);
    (shop, meter)
}

/// Copies the one item with `id` under new ids. `id` is an attribute that is or ends with the id,
/// `sharded` the one with a shard.
fn multiply(shop: &Shop, table: &str, id: &str, sharded: &str, shards: u32) {
    let items = shop.aws.items(table);
    let is_listed =
        |item: &Value| ["created_at", "listed_at"].iter().any(|name| item.get(name).is_some());
    let found = items.iter().find(|item| item.get(id).is_some() && is_listed(item));
    let item = found.expect("one item was written").to_string();
    let original: Value = serde_json::from_str(&item).unwrap();
    let original = original[id]["S"].as_str().unwrap().rsplit('#').next().unwrap().to_owned();
    let prefix = original.split_once('_').unwrap().0;
    for number in 1..STORED {
        let copy = format!("{prefix}_0199c2a8-0000-7000-8000-{number:012x}");
        let mut item: Value = serde_json::from_str(&item.replace(&original, &copy)).unwrap();
        if !sharded.is_empty() {
            let value = item[sharded]["S"].as_str().unwrap().rsplit_once('#').unwrap().0.to_owned();
            item[sharded]["S"] = format!("{value}#{}", shard_of(&copy, shards)).into();
        }
        shop.aws.put(table, &item);
    }
}

/// The request for a page of a list.
fn page(list: &str, limit: u32) -> (&'static str, Value) {
    let get = |path: &str| events::get(&format!("{path}limit={limit}"));
    match list {
        "GET /products" => ("list-products", get("/products?").event()),
        "GET /products?category=" => ("list-products", get("/products?category=kitchen&").event()),
        "GET /users" => ("list-users", get("/users?").caller(events::ADMIN).event()),
        "GET /orders" => ("list-orders", get("/orders?").caller(events::USER).event()),
        "GET /orders?status=" => {
            ("list-orders", get("/orders?status=pending&").caller(events::ADMIN).event())
        }
        "GET /notifications" => {
            ("list-notifications", get("/notifications?").caller(events::USER).event())
        }
        other => panic!("no request for {other}"),
    }
}

/// Read units from half units, as the README states them.
fn units(half_units: u64) -> String {
    match half_units % 2 {
        0 => (half_units / 2).to_string(),
        _ => format!("{}.5", half_units / 2),
    }
}

#[tokio::test]
async fn page_reads_little_more_than_it_shows() {
    let (shop, meter) = stocked().await;
    let readme = std::fs::read_to_string(template::root().join("functions/README.md")).unwrap();
    let mut wrong = Vec::new();
    for (list, limit, expected) in ROWS {
        let (operation, event) = page(list, limit);
        meter.take();
        let called = shop.call(operation, event).await;
        let ReadCost { calls, rows, half_units, .. } = meter.take();
        let shown = called.json()["items"].as_array().map(Vec::len);
        assert_eq!((called.status(), shown), (200, Some(limit as usize)), "{:?}", called.answer);
        if [calls, rows, half_units] != expected {
            wrong.push(format!("{list} {limit}: {calls} calls, {rows} rows, {half_units} halves"));
        }
        let row = format!("| `{list}` | {limit} | {calls} | {rows} | {} |", units(half_units));
        if !readme.contains(&row) {
            wrong.push(format!("functions/README.md, Lists, lacks the row: {row}"));
        }
        assert!(half_units as f64 / 2.0 <= 1.5 * f64::from(limit), "{list}: {half_units}");
        if calls == 1 {
            assert_eq!(rows, u64::from(limit) + 1, "{list}");
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// A search reads one order from the index of numbers, however many orders exist.
#[tokio::test]
async fn search_by_number_reads_one_index_entry_and_one_order() {
    let (shop, meter) = measured();
    shop.ada().await;
    let product = shop.product("teapot", 2999, 50).await;
    shop.harness().drain_queues().await;
    let mut number = String::new();
    for key in ["first", "second", "third"] {
        let placed = shop.order(key, &product, 1, None).await.json();
        number = placed["number"].as_str().unwrap().to_owned();
    }
    let request = events::get(&format!("/orders?number={number}")).caller(events::ADMIN);
    meter.take();
    let found = shop.call("list-orders", request.event()).await.json();
    let ReadCost { calls, rows, half_units, .. } = meter.take();
    assert_eq!(found["items"][0]["number"], number.as_str());
    assert_eq!((calls, rows, half_units), (2, 2, 3));
}

/// Routes that read one item, with their requests.
async fn single_item_routes(shop: &Shop) -> Vec<(&'static str, Value)> {
    let product = shop.product("kettle", 4999, 5).await;
    shop.harness().drain_queues().await;
    let order = id(&shop.order("paid", &product, 1, Some("tok_ok")).await);
    shop.harness().drain_queues().await;
    let payment = payment_of(shop, &order).await;
    let of_product = || events::get("/item").path_parameter("product_id", &product);
    let order = events::get("/orders").path_parameter("order_id", &order).caller(events::USER);
    let payment = events::get("/payments").path_parameter("payment_id", &payment);
    vec![
        ("get-product", of_product().event()),
        ("get-stock", of_product().event()),
        ("get-order", order.clone().event()),
        ("get-order-timeline", order.caller(events::ADMIN).event()),
        ("get-payment", payment.caller(events::USER).event()),
        ("get-user", sample("get-user")),
        ("get-health", events::get("/health").event()),
    ]
}

#[tokio::test(start_paused = true)]
async fn single_item_route_makes_one_call_on_one_connection() {
    let (shop, meter) = measured();
    shop.ada().await;
    shop.call("check-health", json!({})).await;
    let routes = single_item_routes(&shop).await;
    shop.aws.take_time(Duration::from_millis(10));
    for (operation, event) in routes {
        meter.take();
        let called = shop.call(operation, event).await;
        assert!([200, 503].contains(&called.status()), "{operation}: {:?}", called.answer);
        let ReadCost { calls, rows, connections, .. } = meter.take();
        assert_eq!((calls, rows, connections), (1, 1, 1), "{operation}");
        assert_eq!(called.calls.len(), 1, "{operation}: {:?}", called.calls);
    }
}

#[tokio::test(start_paused = true)]
async fn list_opens_one_connection_for_each_shard() {
    let (shop, meter) = stocked().await;
    shop.aws.take_time(Duration::from_millis(10));
    for (list, expected) in
        [("GET /products", 1), ("GET /users", 1), ("GET /orders", 1), ("GET /orders?status=", 8)]
    {
        let (operation, event) = page(list, 20);
        meter.take();
        assert_eq!(shop.call(operation, event).await.status(), 200);
        assert_eq!(meter.take().connections, expected, "{list}");
    }
}

/// The index keys of lists that are not sharded: the write units of a change, and the write.
const LIST_KEYS: [(&str, u64, &str); 4] = [
    ("products/active-index active", 1, "a change of a product"),
    ("products/category-index kitchen", 1, "a change of a product"),
    ("users/listed-index listed", 1, "a registration"),
    ("users/listed-index listed", 1, "a verified address"),
];

#[tokio::test]
async fn readme_states_the_writes_that_unsharded_lists_accept() {
    let shop = Shop::new();
    let created = shop.call("create-product", sample("create-product")).await;
    let tag = created.header("etag").unwrap();
    let update = events::put("/products", &price_of(&sample("create-product"), 3999))
        .caller(events::ADMIN)
        .path_parameter("product_id", &id(&created))
        .header("if-match", &tag);
    let register = sample("register-user");
    shop.aws.count_write_units(None);
    assert_eq!(shop.call("update-product", update.event()).await.status(), 200);
    assert_eq!(shop.call("register-user", register).await.status(), 201);
    let registered = shop.aws.write_units();
    shop.harness().drain_queues().await;
    let verify = json!({ "token": shop.aws.mails().token_for("ada@example.com") });
    shop.aws.count_write_units(None);
    let verify = events::post("/users/verify-email", &verify).event();
    assert_eq!(shop.call("verify-email", verify).await.status(), 204);
    let verified = shop.aws.write_units();

    let readme = std::fs::read_to_string(template::root().join("functions/README.md")).unwrap();
    for (key, expected, write) in LIST_KEYS {
        let counted = if write == "a verified address" { &verified } else { &registered };
        let of_key = |(name, units): (&String, &u64)| {
            name.rsplit_once('#').is_some_and(|(kind, _)| kind == key).then_some(*units)
        };
        let units: u64 = counted.iter().filter_map(of_key).sum();
        assert_eq!(units, expected, "{key}: {counted:?}");
        let second = UNITS_OF_A_KEY * u64::from(LIST_SHARDS) / units;
        let row = format!("| `{key}` | {write} | {units} | {LIST_SHARDS} | {second} |");
        assert!(readme.contains(&row), "functions/README.md, Lists, lacks the row: {row}");
    }
}

/// The body of a request to create a product, at another price.
fn price_of(create: &Value, amount: i64) -> Value {
    let mut body: Value = serde_json::from_str(create["body"].as_str().unwrap()).unwrap();
    body["price"]["amount"] = amount.into();
    body
}
