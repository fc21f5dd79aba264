//! A typical invocation of each budgeted function and of some others: the shop before it, and
//! events that it processes in any order.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use shared::clock::Clock;

use crate::{
    events, ses,
    shop::{
        Shop,
        accounts::{PASSWORD, Session, request},
    },
    sqs::QueuedMessage,
};

/// Products in the catalogue, more than a page of every shard.
const PRODUCTS: usize = 170;
/// Orders of the buyer who lists them, one page.
const LISTED_ORDERS: usize = 20;
/// Enough for every order of a scenario.
const IN_STOCK: u32 = 10_000;

/// A shop, and the events of one function.
pub struct Scenario {
    pub function: &'static str,
    pub shop: Shop,
    /// Independent events: each is processed once.
    pub events: Vec<Value>,
}

const FUNCTIONS: [&str; 24] = [
    "advance-order",
    "authorize-request",
    "charge-payment",
    "commit-stock",
    "create-order",
    "create-payment",
    "get-health",
    "get-jwks",
    "get-order",
    "get-product",
    "list-orders",
    "list-products",
    "login-user",
    "open-payment",
    "publish-order-events",
    "record-entry",
    "record-mail-feedback",
    "refresh-token",
    "release-stock",
    "replicate-pricing",
    "replicate-product",
    "reserve-stock",
    "send-account-notification",
    "send-notification",
];

impl Scenario {
    /// Whether a function has a scenario.
    pub fn exists(function: &str) -> bool {
        FUNCTIONS.contains(&function)
    }

    /// Prepares `count` events of a function in this empty shop.
    ///
    /// # Panics
    /// If the function has no scenario, or a step of its preparation fails.
    pub async fn prepare(function: &str, shop: Shop, count: usize) -> Self {
        let (function, events) = match function {
            "get-order" => ("get-order", repeated(&get_order(&shop).await, count)),
            "create-order" => ("create-order", create_order(&shop, count).await),
            "list-orders" => ("list-orders", repeated(&list_orders(&shop).await, count)),
            "list-products" => ("list-products", repeated(&list_products(&shop).await, count)),
            "get-product" => ("get-product", repeated(&get_product(&shop).await, count)),
            "reserve-stock" => ("reserve-stock", reserve_stock(&shop, count).await),
            "advance-order" => ("advance-order", advance_order(&shop, count).await),
            "charge-payment" => ("charge-payment", charge_payment(&shop, count).await),
            "create-payment" => ("create-payment", create_payment(&shop, count).await),
            "publish-order-events" => ("publish-order-events", publish(&shop, count).await),
            "login-user" => ("login-user", login_user(&shop, count).await),
            "get-health" => ("get-health", repeated(&get_health(&shop).await, count)),
            "get-jwks" => ("get-jwks", repeated(&get_jwks(&shop).await, count)),
            "authorize-request" => ("authorize-request", authorize_request(&shop, count).await),
            "refresh-token" => ("refresh-token", refresh_token(&shop, count).await),
            "commit-stock" => ("commit-stock", commit_stock(&shop, count).await),
            "open-payment" => ("open-payment", open_payment(&shop, count).await),
            "record-entry" => ("record-entry", record_entry(&shop, count).await),
            "record-mail-feedback" => ("record-mail-feedback", mail_feedback(&shop, count)),
            "release-stock" => ("release-stock", release_stock(&shop, count).await),
            "replicate-pricing" => ("replicate-pricing", replicate_pricing(count)),
            "replicate-product" => ("replicate-product", replicate_product(&shop, count).await),
            "send-account-notification" => {
                ("send-account-notification", send_account_notification(&shop, count).await)
            }
            "send-notification" => ("send-notification", send_notification(&shop, count).await),
            other => panic!("{other} has a budget and no scenario"),
        };
        assert_eq!(events.len(), count, "{function}: an event for each invocation");
        Self { function, shop, events }
    }
}

fn repeated(event: &Value, count: usize) -> Vec<Value> {
    vec![event.clone(); count]
}

async fn product(shop: &Shop) -> String {
    let product = shop.product("teapot", 2999, IN_STOCK).await;
    shop.harness().drain_queues().await;
    product
}

fn buyer(number: usize) -> String {
    format!("usr_0199c2a8-0000-7000-8001-{number:012x}")
}

/// A network of its own for each buyer, so that no limit of networks is reached.
fn network(number: usize) -> String {
    format!("198.18.{}.{}", number / 250, number % 250 + 1)
}

/// An order of one line. Each has another buyer.
fn new_order(number: usize, product: &str, token: Option<&str>) -> Value {
    events::post("/orders", &events::order_request(product, 1, token))
        .caller(&buyer(number))
        .source_ip(&network(number))
        .header("idempotency-key", &format!("order-{number}"))
        .event()
}

/// Creates the orders of [`new_order`] and returns their ids.
async fn orders(shop: &Shop, count: usize, token: Option<&str>) -> Vec<String> {
    let product = product(shop).await;
    let mut ids = Vec::new();
    for number in 0..count {
        let created = shop.call("create-order", new_order(number, &product, token)).await;
        assert_eq!(created.status(), 201, "{:?}", created.answer);
        ids.push(created.json()["id"].as_str().expect("an order has an id").to_owned());
    }
    ids
}

/// Runs the shop without the consumer of a queue. Returns an event for each of its messages of this
/// type.
async fn messages(shop: &Shop, queue: &'static str, kind: &str) -> Vec<Value> {
    let mut harness = shop.harness();
    harness.stop(queue);
    harness.drain_queues().await;
    let is_wanted = |message: &QueuedMessage| message.json()["type"] == kind;
    let waiting = shop.aws.queues().take(queue, usize::MAX);
    waiting.into_iter().filter(is_wanted).map(|message| events::sqs(queue, &[message])).collect()
}

/// The body of the message in an event.
fn body(event: &Value) -> Value {
    let body = event["Records"][0]["body"].as_str().unwrap_or_default();
    serde_json::from_str(body).expect("a message is JSON")
}

/// The first message about each subject.
fn of_different_subjects(mut events: Vec<Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    events.retain(|event| seen.insert(body(event)["subject"].to_string()));
    events
}

async fn get_order(shop: &Shop) -> Value {
    let id = orders(shop, 1, Some("tok_ok")).await.remove(0);
    shop.harness().drain_queues().await;
    events::get("/orders").caller(&buyer(0)).path_parameter("order_id", &id).event()
}

async fn create_order(shop: &Shop, count: usize) -> Vec<Value> {
    let product = product(shop).await;
    (0..count).map(|number| new_order(number, &product, Some("tok_ok"))).collect()
}

async fn list_orders(shop: &Shop) -> Value {
    let product = product(shop).await;
    let mut harness = shop.harness();
    for number in 0..LISTED_ORDERS {
        let key = format!("order-{number}");
        let created = shop.order(&key, &product, 1, Some("tok_ok")).await;
        assert_eq!(created.status(), 201, "{:?}", created.answer);
        // A paid order does not count against the limit of unpaid ones.
        harness.drain_queues().await;
    }
    events::get("/orders").caller(events::USER).event()
}

async fn list_products(shop: &Shop) -> Value {
    for number in 0..PRODUCTS {
        let body = json!({
            "name": format!("Teapot {number:03}"),
            "description": "Cast iron, with a strainer of stainless steel",
            "category": "kitchen",
            "sku": format!("TEAPOT-{number:03}"),
            "price": { "amount": 2999, "currency": "USD" },
        });
        let product = events::new_product(&format!("product-{number}"), &body);
        let created = shop.call("create-product", product).await;
        assert_eq!(created.status(), 201, "{:?}", created.answer);
    }
    events::get("/products").event()
}

async fn get_product(shop: &Shop) -> Value {
    events::get("/products").path_parameter("product_id", &product(shop).await).event()
}

async fn reserve_stock(shop: &Shop, count: usize) -> Vec<Value> {
    orders(shop, count, Some("tok_ok")).await;
    messages(shop, "reserve-stock", "reserve_stock.v1").await
}

async fn advance_order(shop: &Shop, count: usize) -> Vec<Value> {
    orders(shop, count, Some("tok_ok")).await;
    messages(shop, "order-events", "stock_reserved.v1").await
}

async fn charge_payment(shop: &Shop, count: usize) -> Vec<Value> {
    orders(shop, count, Some("tok_ok")).await;
    messages(shop, "charge-payment", "charge_payment.v1").await
}

async fn commit_stock(shop: &Shop, count: usize) -> Vec<Value> {
    orders(shop, count, Some("tok_ok")).await;
    messages(shop, "commit-stock", "commit_stock.v1").await
}

async fn release_stock(shop: &Shop, count: usize) -> Vec<Value> {
    let orders = orders(shop, count, None).await;
    shop.harness().drain_queues().await;
    for order in orders {
        let cancel = events::post("/orders", &Value::Null).caller(events::ADMIN).body("");
        let cancel = cancel.path_parameter("order_id", &order);
        let cancelled = shop.call("cancel-order", cancel.event()).await;
        assert_eq!(cancelled.status(), 202, "{:?}", cancelled.answer);
    }
    messages(shop, "release-stock", "release_stock.v1").await
}

async fn open_payment(shop: &Shop, count: usize) -> Vec<Value> {
    orders(shop, count, None).await;
    messages(shop, "open-payment", "open_payment.v1").await
}

/// The captures of different orders.
async fn record_entry(shop: &Shop, count: usize) -> Vec<Value> {
    orders(shop, count, Some("tok_ok")).await;
    let entries = messages(shop, "record-entry", "record_entry.v1").await;
    entries.into_iter().filter(|entry| body(entry)["data"]["kind"] == "capture").collect()
}

async fn replicate_product(shop: &Shop, count: usize) -> Vec<Value> {
    for number in 0..count {
        shop.product(&format!("teapot-{number}"), 2999, IN_STOCK).await;
    }
    of_different_subjects(messages(shop, "product-changes", "product_changed.v1").await)
}

/// The documents of different markets.
fn replicate_pricing(count: usize) -> Vec<Value> {
    let document = |number: usize| {
        let mut pricing = events::pricing();
        pricing["market"] = format!("market-{number}").into();
        let mut event = events::pricing_changed(&pricing);
        let mut envelope = body(&event);
        envelope["subject"] = pricing["market"].clone();
        event["Records"][0]["body"] = envelope.to_string().into();
        event
    };
    (0..count).map(document).collect()
}

/// The confirmations of different orders.
async fn send_notification(shop: &Shop, count: usize) -> Vec<Value> {
    orders(shop, count, Some("tok_ok")).await;
    of_different_subjects(messages(shop, "send-notification", "send_notification.v1").await)
}

async fn send_account_notification(shop: &Shop, count: usize) -> Vec<Value> {
    for number in 0..count {
        let registered = shop.register(&format!("buyer-{number}@example.com")).await;
        assert_eq!(registered.status(), 201, "{:?}", registered.answer);
    }
    messages(shop, "send-account-notification", "send_notification.v1").await
}

fn mail_feedback(shop: &Shop, count: usize) -> Vec<Value> {
    let queue = "record-mail-feedback";
    for number in 0..count {
        let data = ses::bounced(&format!("buyer-{number}@example.com"), "Permanent");
        let body = json!({ "type": "mail_bounced.v1", "data": data });
        shop.aws.queues().send(queue, &body.to_string());
    }
    let waiting = shop.aws.queues().take(queue, count);
    waiting.into_iter().map(|message| events::sqs(queue, &[message])).collect()
}

async fn create_payment(shop: &Shop, count: usize) -> Vec<Value> {
    let orders = orders(shop, count, None).await;
    shop.harness().drain_queues().await;
    let payment = |(number, order): (usize, &String)| {
        let method = json!({ "type": "card", "token": "tok_ok" });
        events::post("/payments", &json!({ "order_id": order, "payment_method": method }))
            .caller(&buyer(number))
            .source_ip(&network(number))
            .header("idempotency-key", &format!("payment-{number}"))
            .event()
    };
    orders.iter().enumerate().map(payment).collect()
}

/// The changes that publish a new order, one an event.
async fn publish(shop: &Shop, count: usize) -> Vec<Value> {
    orders(shop, count, Some("tok_ok")).await;
    let (changes, _) = shop.aws.database().changes("ferrocart-orders", None);
    let is_order = |change: &Value| {
        let key = change["dynamodb"]["Keys"]["pk"]["S"].as_str();
        change["eventName"] == "INSERT" && key.is_some_and(|key| key.starts_with("ORDER#"))
    };
    changes.into_iter().filter(is_order).map(|change| json!({ "Records": [change] })).collect()
}

/// Logins from a known device, each of another user.
async fn login_user(shop: &Shop, count: usize) -> Vec<Value> {
    shop.rotate_signing_key().await;
    let mut events = Vec::new();
    for number in 0..count {
        let email = format!("buyer-{number}@example.com");
        shop.enrol(&email).await;
        let login = shop.login_from(&network(number), None, &email, PASSWORD).await;
        let device = login.header("x-device-token").expect("the first login earns a device token");
        let body = json!({ "email": email, "password": PASSWORD });
        let event = request("login-user", &body).source_ip(&network(number));
        events.push(event.header("x-device-token", &device).event());
    }
    events
}

/// Sessions of different users.
async fn sessions(shop: &Shop, count: usize) -> Vec<Session> {
    shop.rotate_signing_key().await;
    let mut sessions = Vec::new();
    for number in 0..count {
        let email = format!("buyer-{number}@example.com");
        shop.enrol(&email).await;
        sessions.push(shop.log_in(&email).await);
    }
    sessions
}

async fn authorize_request(shop: &Shop, count: usize) -> Vec<Value> {
    let sessions = sessions(shop, count).await;
    sessions.iter().map(|session| events::authorize(&session.access_token)).collect()
}

async fn refresh_token(shop: &Shop, count: usize) -> Vec<Value> {
    let event = |session: &Session| {
        let body = json!({ "refresh_token": session.refresh_token });
        request("refresh-token", &body).event()
    };
    sessions(shop, count).await.iter().map(event).collect()
}

/// The stored health is dated an hour ahead, so that it stays current during a benchmark.
async fn get_health(shop: &Shop) -> Value {
    shop.rotate_signing_key().await;
    let later = Clock::manual(shop.clock.now().plus(Duration::from_secs(3600)));
    let shop = Shop::over(shop.aws.clone(), later);
    let checked = shop.call("check-health", events::sample("check-health")).await;
    assert!(checked.answer.is_ok(), "{:?}", checked.answer);
    events::get("/health").event()
}

async fn get_jwks(shop: &Shop) -> Value {
    shop.rotate_signing_key().await;
    events::sample("get-jwks")
}
