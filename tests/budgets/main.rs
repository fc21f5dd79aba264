//! What a request may cost: calls of DynamoDB on its path. A call more is a decision, and it is made here.
#![allow(clippy::unwrap_used)]

mod permissions;

use serde_json::{Value, json};
use tests::{
    aws::Called,
    events::{self, Http, sample},
    shop::{OPERATIONS, SHARDS, Shop},
};

/// A shop with Ada, logged in, and a product that orders has heard of.
async fn shop() -> (Shop, String) {
    let shop = Shop::new();
    let product = shop.product("teapot", 2999, 50).await;
    shop.pump().settle().await;
    (shop, product)
}

/// The id of the one thing that a call created.
fn id(called: &Called) -> String {
    assert!([200, 201].contains(&called.status()), "{:?}", called.answer);
    called.json()["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn costs(called: &Called, operations: &[&str]) {
    assert!(called.status() < 300, "a refusal costs less, and is not what is measured: {:?}", called.answer);
    assert_eq!(called.operations(), operations);
}

#[tokio::test]
async fn to_place_an_order_costs_one_read_of_everything_and_one_write() {
    let (shop, product) = shop().await;
    costs(&shop.order("first", &product, 1, None).await, &["BatchGetItem", "PutItem"]);
    let again = shop.order("first", &product, 1, None).await;
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    costs(&again, &["BatchGetItem"]);
}

#[tokio::test]
async fn to_read_one_thing_costs_one_call() {
    let (shop, product) = shop().await;
    let order = id(&shop.order("first", &product, 1, Some("tok_ok")).await);
    shop.pump().settle().await;

    let get_order = events::get("/orders").caller(events::USER).path_parameter("order_id", &order);
    costs(&shop.call("get-order", get_order.event()).await, &["GetItem"]);
    let of_product = |path: &str| events::get(path).path_parameter("product_id", &product);
    costs(&shop.call("get-product", of_product("/products").event()).await, &["GetItem"]);
    costs(&shop.call("get-stock", of_product("/inventory").event()).await, &["GetItem"]);
    costs(&shop.call("get-stock", of_product("/inventory").caller(events::ADMIN).event()).await, &["GetItem"]);

    let list = shop.call("list-payments", events::get(&format!("/payments?order_id={order}")).caller(events::USER).event()).await;
    costs(&list, &["Query"]);
    let payment = list.json()["items"][0]["id"].as_str().expect("the order was paid").to_owned();
    let get_payment = events::get("/payments").caller(events::USER).path_parameter("payment_id", &payment);
    costs(&shop.call("get-payment", get_payment.event()).await, &["GetItem"]);
}

#[tokio::test]
async fn a_page_of_a_list_costs_one_query_for_each_shard() {
    let (shop, product) = shop().await;
    shop.order("first", &product, 1, None).await;
    costs(&shop.call("list-products", events::get("/products").event()).await, &["Query"; SHARDS as usize]);
    costs(&shop.call("list-products", events::get("/products?category=kitchen").event()).await, &["Query"; SHARDS as usize]);
    costs(&shop.call("list-orders", events::get("/orders").caller(events::USER).event()).await, &["Query"]);
    let by_status = events::get("/orders?status=pending").caller(events::ADMIN);
    costs(&shop.call("list-orders", by_status.event()).await, &["Query"; SHARDS as usize]);
    costs(&shop.call("list-notifications", events::get("/notifications").caller(events::USER).event()).await, &["Query"]);
}

#[tokio::test]
async fn users_cost_one_call_to_register_and_few_to_log_in() {
    let shop = Shop::new();
    shop.rotate_signing_key().await;
    costs(&shop.call("register-user", sample("register-user")).await, &["TransactWriteItems"]);
    let login = shop.call("login-user", sample("login-user")).await;
    assert_eq!(login.status(), 200, "{:?}", login.answer);
    assert!(login.operations().len() <= 3, "{:?}", login.operations());

    // The authorizer, which the gateway asks where it has no answer of the last minute.
    let mut event = sample("authorize-request");
    let token = format!("Bearer {}", login.json()["access_token"].as_str().unwrap());
    event["headers"]["Authorization"] = json!(token);
    event["multiValueHeaders"]["Authorization"] = json!([token]);
    let authorized = shop.call("authorize-request", event).await;
    assert!(authorized.answer.is_ok(), "{:?}", authorized.answer);
    assert_eq!(authorized.operations(), ["GetItem"]);

    // What it found out is what the functions see.
    let mut me = events::get("/users/me").event();
    me["requestContext"]["authorizer"] = authorized.ok()["context"].clone();
    // The token is of the story's time; whether it has expired is judged by the machine's.
    me["requestContext"]["authorizer"]["exp"] = "4102444800".into();
    costs(&shop.call("get-me", me).await, &["GetItem"]);
}

#[tokio::test]
async fn to_pay_costs_at_most_four_calls_of_payments_own_table() {
    let (shop, product) = shop().await;
    let order = id(&shop.order("first", &product, 1, None).await);
    shop.pump().settle().await;
    let paid = shop.call("create-payment", payment(&order, "tok_ok").event()).await;
    assert_eq!(paid.status(), 201, "{:?}", paid.answer);
    assert!(paid.operations_on("payments").len() <= 4, "{:?}", paid.operations_on("payments"));
    let again = shop.call("create-payment", payment(&order, "tok_ok").event()).await;
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    assert!(again.operations_on("payments").len() <= 4, "{:?}", again.operations_on("payments"));
    assert!(again.operations_on("payment-simulator").is_empty(), "a repeated request does not charge");
}

fn payment(order: &str, token: &str) -> Http {
    let body = json!({ "order_id": order, "payment_method": { "type": "card", "token": token } });
    events::post("/payments", &body).caller(events::USER).header("idempotency-key", "pay")
}

#[tokio::test]
async fn to_write_for_the_shop_costs_little() {
    let shop = Shop::new();
    let created = shop.call("create-product", sample("create-product")).await;
    assert_eq!(created.status(), 201, "{:?}", created.answer);
    assert!(created.operations().len() <= 2, "{:?}", created.operations());
    let adjusted = shop.call("adjust-stock", sample("adjust-stock")).await;
    assert_eq!(adjusted.status(), 201, "{:?}", adjusted.answer);
    assert!(adjusted.operations().len() <= 2, "{:?}", adjusted.operations());
}

#[tokio::test]
async fn a_list_costs_the_same_however_much_is_stored() {
    let shop = Shop::new();
    let product = sample("publish-product-events")["Records"][0]["dynamodb"]["NewImage"].to_string();
    assert_eq!(shop.call("send-notification", sample("send-notification")).await.ok()["batchItemFailures"], json!([]));
    let notification = shop.aws.items("notifications")[0].to_string();
    let mut costs = Vec::new();
    let mut stored = 0;
    for many in [10, 1_000] {
        for number in stored..many {
            let shard = number % SHARDS;
            let mut item: Value = serde_json::from_str(&product.replace("00000000000a", &format!("{number:012x}"))).unwrap();
            for name in ["active_shard", "category_shard"] {
                let value = item[name]["S"].as_str().expect("the sample is listed").rsplit_once('#').unwrap().0.to_owned();
                item[name]["S"] = format!("{value}#{shard}").into();
            }
            let name = format!("{number:05}#{}", item["product_id"]["S"].as_str().unwrap());
            item["name_sort"]["S"] = name.into();
            shop.aws.put("products", &item);
            shop.aws.put("notifications", &serde_json::from_str(&notification.replace("0000000000e1", &format!("{number:012x}"))).unwrap());
        }
        stored = many;
        let products = shop.call("list-products", events::get("/products?limit=5").event()).await;
        assert_eq!(products.json()["items"].as_array().map(Vec::len), Some(5), "{:?}", products.answer);
        let notifications = shop.call("list-notifications", events::get("/notifications?limit=5").caller(events::USER).event()).await;
        assert_eq!(notifications.json()["items"].as_array().map(Vec::len), Some(5), "{:?}", notifications.answer);
        costs.push((products.operations().len(), notifications.operations().len()));
    }
    assert_eq!(costs[0], costs[1], "with 10 and with 1,000 items");
}

/// A function that waits for ever is paid for, and its caller gets the gateway's 504, which says nothing.
#[tokio::test(start_paused = true)]
async fn when_aws_falls_silent_every_request_ends_in_503_within_ten_seconds() {
    let one_call = shared::aws::timeouts().operation_timeout().expect("a call has a limit");
    let one_try = shared::aws::timeouts().operation_attempt_timeout().expect("a try has a limit");
    let (mut odd, mut measured) = (Vec::new(), 0);
    for operation in OPERATIONS {
        let event = sample(operation);
        if event.get("httpMethod").is_none() || operation == "authorize-request" {
            continue;
        }
        measured += 1;
        let shop = Shop::new();
        shop.aws.fall_silent();
        let started = tokio::time::Instant::now();
        let called = shop.call(operation, event).await;
        // Without the SDK's retries a call takes one try; deployed it takes all of them.
        let calls = started.elapsed().as_secs_f64() / one_try.as_secs_f64();
        let deployed = one_call.mul_f64(calls.ceil());
        if called.status() != 503 || deployed.as_secs() >= 10 {
            odd.push(format!("{operation}: {} after {calls} unanswered calls one after the other", called.status()));
        }
    }
    assert!(measured >= 16, "only {measured} operations answer requests");
    assert!(odd.is_empty(), "\n{}\n", odd.join("\n"));
}
