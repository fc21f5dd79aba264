//! The cost of each request in DynamoDB calls. An additional call is a decision that is made here.
#![allow(clippy::unwrap_used)]

mod capacity;
mod permissions;

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    aws::Called,
    events::{self, Http, sample},
    shop::{SHARDS, Shop, operations},
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

/// Calls a function with the same latency for every AWS call. Returns the response and the number of
/// round trips. The calls of one round trip have no order, so they are sorted as in `calls`. Needs
/// paused time.
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
        &["Query"; SHARDS as usize],
    );
    costs(
        &shop.call("list-products", events::get("/products?category=kitchen").event()).await,
        &["Query"; SHARDS as usize],
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

/// Registers Ada and logs her in. Returns the login response, and the authorizer's response for her
/// access token.
async fn ada(shop: &Shop) -> (Called, Called) {
    shop.rotate_signing_key().await;
    assert_eq!(shop.call("register-user", sample("register-user")).await.status(), 201);
    let login = shop.call("login-user", sample("login-user")).await;
    assert_eq!(login.status(), 200, "{:?}", login.answer);
    let authorized = shop
        .call(
            "authorize-request",
            events::authorize(login.json()["access_token"].as_str().unwrap()),
        )
        .await;
    assert!(authorized.answer.is_ok(), "{:?}", authorized.answer);
    (login, authorized)
}

fn refresh(tokens: &Called) -> Value {
    events::post(
        "/users/token/refresh",
        &json!({ "refresh_token": tokens.json()["refresh_token"] }),
    )
    .event()
}

#[tokio::test]
async fn registration_costs_one_attempt_and_one_transaction() {
    let shop = Shop::new();
    costs(
        &shop.call("register-user", sample("register-user")).await,
        &["UpdateItem", "TransactWriteItems"],
    );
}

/// A known device has its own bucket and does not use the network's. The network is charged before
/// the account. A network with a recent attempt costs one more call and round trip: its bucket is
/// not empty.
#[tokio::test(start_paused = true)]
async fn login_costs_three_round_trips_or_two_from_a_known_device() {
    let shop = Shop::new();
    let (first, _) = ada(&shop).await;
    let device = first.header("x-device-token").expect("the first login earns a device token");
    let body = json!({ "email": "ada@example.com", "password": "correct horse battery staple" });
    let login = events::post("/users/login", &body);
    let from_known = login.clone().header("x-device-token", &device);
    // The buckets are full again, and the secrets are cached.
    shop.clock.advance(Duration::from_secs(3600));
    assert_eq!(shop.call("login-user", from_known.clone().event()).await.status(), 200);
    let stranger = &["UpdateItem", "UpdateItem", "GetItem", "TransactWriteItems"][..];
    let after_another =
        &["UpdateItem", "UpdateItem", "UpdateItem", "GetItem", "TransactWriteItems"][..];
    let known = &["UpdateItem", "GetItem", "TransactWriteItems"][..];
    for (request, calls, expected) in
        [(&login, stranger, 3), (&login, after_another, 4), (&from_known, known, 2)]
    {
        let (called, one_after_the_other) =
            round_trips(&shop, "login-user", &request.clone().event(), calls).await;
        costs(&called, calls);
        assert_eq!(one_after_the_other, expected, "{calls:?}");
    }
}

#[tokio::test]
async fn token_refresh_costs_one_transaction() {
    let shop = Shop::new();
    let (login, _) = ada(&shop).await;
    let first = shop.call("refresh-token", refresh(&login)).await;
    costs(&first, &["TransactWriteItems"]);
    costs(&shop.call("refresh-token", refresh(&first)).await, &["TransactWriteItems"]);
    // A repeated exchange after a lost response: the failed condition returns everything that the
    // repetition needs.
    costs(&shop.call("refresh-token", refresh(&first)).await, &["TransactWriteItems"]);
}

#[tokio::test]
async fn authorizer_costs_one_call_without_a_cached_response() {
    let (_, authorized) = ada(&Shop::new()).await;
    assert_eq!(authorized.operations(), ["BatchGetItem"]);
}

#[tokio::test]
async fn account_changes_cost_one_read_and_one_write_per_item() {
    let shop = Shop::new();
    let (_, authorized) = ada(&shop).await;
    let me = |method: &str, path: &str, body: Value| {
        let request = events::http(method, path).authorized(authorized.ok());
        if body.is_null() {
            request
        } else {
            request.header("content-type", "application/json").body(&body.to_string())
        }
    };
    let tag = async || {
        shop.call("get-me", me("GET", "/users/me", Value::Null).event())
            .await
            .header("etag")
            .unwrap()
    };
    costs(&shop.call("get-me", me("GET", "/users/me", Value::Null).event()).await, &["GetItem"]);
    let name = me(
        "PATCH",
        "/users/me",
        json!({ "full_name": "Ada King", "email": "king@example.com", "current_password": "correct horse battery staple" }),
    )
    .header("if-match", &tag().await);
    // Two buckets, and the credentials to check the current password: only for a change of the
    // address.
    costs(
        &shop.call("update-me", name.event()).await,
        &["GetItem", "UpdateItem", "UpdateItem", "GetItem", "TransactWriteItems"],
    );

    shop.harness().drain_queues().await;
    let link = |address: &str| shop.aws.mails().token_for(address);
    let verify = json!({ "token": link("king@example.com") });
    // The second read is for the credentials, which move with the address: only for a change of the
    // address.
    let verified =
        shop.call("verify-email", events::post("/users/verify-email", &verify).event()).await;
    costs(&verified, &["UpdateItem", "GetItem", "GetItem", "TransactWriteItems"]);

    let passwords = json!({ "current_password": "correct horse battery staple", "new_password": "four score and seven donkeys" });
    let changed =
        shop.call("change-password", me("POST", "/users/me/password", passwords).event()).await;
    costs(&changed, &["GetItem", "UpdateItem", "GetItem", "TransactWriteItems"]);

    let known = events::post("/users/password-reset", &json!({ "email": "king@example.com" }));
    let unknown = events::post("/users/password-reset", &json!({ "email": "nobody@example.com" }));
    for request in [unknown, known] {
        // The buckets are full again.
        shop.clock.advance(Duration::from_secs(3600));
        let asked = shop.call("request-password-reset", request.event()).await;
        costs(&asked, &["UpdateItem", "UpdateItem", "GetItem", "GetItem", "UpdateItem"]);
    }
    shop.harness().drain_queues().await;
    let reset = json!({ "token": link("king@example.com"), "new_password": "correct horse battery staple" });
    let confirmed = shop
        .call(
            "confirm-password-reset",
            events::post("/users/password-reset/confirm", &reset).event(),
        )
        .await;
    costs(&confirmed, &["UpdateItem", "GetItem", "TransactWriteItems"]);

    costs(
        &shop.call("logout-user", me("POST", "/users/logout", Value::Null).event()).await,
        &["UpdateItem"],
    );
    costs(
        &shop.call("delete-me", me("DELETE", "/users/me", Value::Null).event()).await,
        &["GetItem", "TransactWriteItems"],
    );
}

#[tokio::test]
async fn reading_users_costs_one_call_each_or_one_per_shard() {
    let shop = Shop::new();
    shop.ada().await;
    costs(&shop.call("get-user", sample("get-user")).await, &["GetItem"]);
    costs(&shop.call("list-users", sample("list-users")).await, &["Query"; SHARDS as usize]);
    costs(
        &shop.call("update-user", sample("update-user")).await,
        &["GetItem", "TransactWriteItems"],
    );
}

/// The keys are read at most once in a few seconds, for all callers.
#[tokio::test]
async fn public_keys_cost_no_table_call() {
    let shop = Shop::new();
    shop.rotate_signing_key().await;
    let keys = shop.call("get-jwks", sample("get-jwks")).await;
    assert_eq!((keys.status(), keys.calls.len()), (200, 1), "{:?}", keys.answer);
    assert_eq!(shop.call("get-jwks", sample("get-jwks")).await.calls, []);
}

#[tokio::test]
async fn payment_costs_at_most_three_calls_of_the_payments_table() {
    let (shop, product) = shop().await;
    let order = id(&shop.order("first", &product, 1, None).await);
    shop.harness().drain_queues().await;
    let paid = shop.call("create-payment", payment(&order, "tok_ok").event()).await;
    assert_eq!(paid.status(), 201, "{:?}", paid.answer);
    assert!(paid.operations_on("payments").len() <= 3, "{:?}", paid.operations_on("payments"));
    let again = shop.call("create-payment", payment(&order, "tok_ok").event()).await;
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    assert!(again.operations_on("payments").len() <= 3, "{:?}", again.operations_on("payments"));
    assert!(
        again.operations_on("payment-simulator").is_empty(),
        "a repeated request does not charge"
    );
}

fn payment(order: &str, token: &str) -> Http {
    let body = json!({ "order_id": order, "payment_method": { "type": "card", "token": token } });
    events::post("/payments", &body).caller(events::USER).header("idempotency-key", "pay")
}

/// One read covers the payment, the idempotency record and the state of the provider.
#[tokio::test]
async fn refund_costs_one_read_and_three_writes() {
    let (shop, product) = shop().await;
    let order = id(&shop.order("first", &product, 1, Some("tok_ok")).await);
    shop.harness().drain_queues().await;
    let payment = payment_of(&shop, &order).await;
    let body =
        json!({ "amount": { "amount": 1000, "currency": "USD" }, "reason": "The lid was broken" });
    let refund =
        events::post("/refunds", &body).caller(events::ADMIN).header("idempotency-key", "one");
    let refund = refund.path_parameter("payment_id", &payment).event();
    let refunded = shop.call("create-refund", refund.clone()).await;
    assert_eq!(refunded.status(), 201, "{:?}", refunded.answer);
    // The refund and its reservation, the mark before it is sent, and its outcome.
    let own = ["BatchGetItem", "TransactWriteItems", "PutItem", "TransactWriteItems"];
    assert_eq!(refunded.operations_on("payments"), own);
    assert_eq!(refunded.operations_on("payment-simulator").len(), 1);
    costs(&shop.call("create-refund", refund).await, &["BatchGetItem"]);
}

/// The event only identifies the payment, which is read together with the state of the provider.
#[tokio::test]
async fn webhook_costs_two_reads_and_the_changed_writes() {
    let (shop, product) = shop().await;
    let order = id(&shop.order("first", &product, 1, Some("tok_3ds")).await);
    shop.harness().drain_queues().await;
    let webhook = events::webhook(
        shop.aws.secrets_manager(),
        shop.clock.now(),
        "evt_1",
        &payment_of(&shop, &order).await,
    );
    // The webhook secret is cached for a few minutes.
    let first = shop.call("receive-payment-webhook", webhook.clone()).await;
    assert_eq!(first.status(), 200, "{:?}", first.answer);
    assert_eq!(
        first.operations_on("payments"),
        ["GetItem", "BatchGetItem", "TransactWriteItems", "PutItem"]
    );
    let again = shop.call("receive-payment-webhook", webhook).await;
    assert_eq!((again.operations(), again.calls.len()), (vec!["GetItem"], 1));
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
            let shard = number % SHARDS;
            let mut item: Value =
                serde_json::from_str(&product.replace("00000000000a", &format!("{number:012x}")))
                    .unwrap();
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

/// A function that waits without a limit costs money, and its caller gets an unspecific 504 from
/// the gateway.
#[tokio::test(start_paused = true)]
async fn unresponsive_aws_is_503_within_ten_seconds() {
    let one_call = shared::aws::timeouts().operation_timeout().expect("a call has a limit");
    let one_try = shared::aws::timeouts().operation_attempt_timeout().expect("a try has a limit");
    let (mut violations, mut measured) = (Vec::new(), 0);
    // Pages call nothing.
    for operation in operations().filter(|operation| !operation.serves_pages()) {
        let operation = &operation.name();
        let event = sample(operation);
        if event.get("httpMethod").is_none() || operation == "authorize-request" {
            continue;
        }
        measured += 1;
        let shop = Shop::new();
        shop.aws.fall_silent();
        let started = tokio::time::Instant::now();
        let called = shop.call(operation, event).await;
        // Without the SDK's retries, a call makes one attempt; deployed, it makes all of them.
        let calls = started.elapsed().as_secs_f64() / one_try.as_secs_f64();
        let deployed = one_call.mul_f64(calls.ceil());
        if called.status() != 503 || deployed.as_secs() >= 10 {
            violations.push(format!(
                "{operation}: {} after {calls} unanswered calls one after the other",
                called.status()
            ));
        }
    }
    assert!(measured >= 36, "only {measured} operations answer requests");
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
