//! A small shop with every kind of item, and the steps with which another release continues.

use std::{fmt, time::Duration};

use serde_json::{Value, json};
use tests::{
    aws::Called,
    events::{self, Http},
    harness::Harness,
    shop::{
        Shop,
        accounts::{ADA, PASSWORD, Session, registration, request},
    },
    template::template,
};

use crate::{goldens::Golden, text};

/// The user who has deleted her account.
const GONE: &str = "gone@example.com";
/// The operation whose sample suppresses an address.
const FEEDBACK: &str = "record-mail-feedback";

/// One step and its outcome.
#[derive(Debug)]
pub struct Step {
    name: String,
    outcome: String,
}

impl Step {
    fn new(name: impl Into<String>, called: &Called) -> Self {
        let outcome = match &called.answer {
            Err(failure) => format!("fails: {}", failure.message),
            Ok(answer) if answer["statusCode"].is_u64() => {
                format!("{} {}", called.status(), called.json()["code"].as_str().unwrap_or("ok"))
            }
            Ok(answer) => answer.to_string(),
        };
        Self { name: name.into(), outcome }
    }

    pub fn is_done(&self) -> bool {
        let is_answer = self.outcome.starts_with(['2', '{', '[', 'n']);
        is_answer && !self.outcome.contains("itemIdentifier")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.outcome)
    }
}

/// The steps that a shop has made so far.
pub struct Run {
    pub shop: Shop,
    harness: Harness,
    pub steps: Vec<Step>,
}

impl Run {
    fn new(shop: Shop) -> Self {
        Self { harness: shop.harness(), shop, steps: Vec::new() }
    }

    /// Adds a step that is done if it has this status.
    fn expect(&mut self, name: &str, called: &Called, status: u64) {
        let outcome = match called.status() {
            found if found == status => "200 as expected".to_owned(),
            found => format!("{found} instead of {status}"),
        };
        self.steps.push(Step { name: name.to_owned(), outcome });
    }

    /// Runs everything that a schedule runs.
    async fn sweep(&mut self) {
        const SCHEDULED: [&str; 7] = [
            "resume-orders",
            "reconcile-payments",
            "check-reservations",
            "resync-products",
            "resync-pricing",
            "reconcile-ledger",
            "check-health",
        ];
        for operation in SCHEDULED {
            self.call(operation, json!({})).await;
            self.drain().await;
        }
    }

    async fn call(&mut self, operation: &str, event: Value) -> Called {
        let called = self.shop.call(operation, event).await;
        self.steps.push(Step::new(operation, &called));
        called
    }

    /// A request of a user, with a body unless it is null, about the resource `id`.
    async fn ask(&mut self, user: &str, operation: &str, id: Option<&str>, body: &Value) -> Called {
        let request = asked(user, operation, id, body);
        self.call(operation, request.event()).await
    }

    /// Like [`Run::ask`], under an idempotency key.
    async fn once(
        &mut self,
        user: &str,
        operation: &str,
        id: Option<&str>,
        body: &Value,
        key: &str,
    ) -> Called {
        let request = asked(user, operation, id, body).header("idempotency-key", key);
        self.call(operation, request.event()).await
    }

    async fn drain(&mut self) {
        self.harness.drain_queues().await;
    }
}

fn asked(user: &str, operation: &str, id: Option<&str>, body: &Value) -> Http {
    let request = request(operation, body).caller(user);
    const PARAMETERS: [&str; 7] =
        ["product_id", "order_id", "payment_id", "user_id", "notification_id", "market", "cart_id"];
    PARAMETERS.into_iter().fold(request, |request, name| match id {
        Some(id) => request.path_parameter(name, id),
        None => request,
    })
}

fn id_of(called: &Called) -> String {
    called.json()["id"].as_str().unwrap_or_else(|| panic!("{:?}", called.answer)).to_owned()
}

fn product(name: &str) -> Value {
    json!({ "name": name, "category": "kitchen", "sku": name.to_uppercase(),
        "price": { "amount": 2999, "currency": "USD" } })
}

/// The shop of the goldens, and Ada's refresh token.
pub async fn produce() -> (Shop, String) {
    let shop = Shop::new();
    shop.rotate_signing_key().await;
    let mut run = Run::new(shop.clone());
    for address in [ADA, GONE] {
        run.call("register-user", registration(address)).await;
    }
    run.drain().await;
    let (ada, gone) = (shop.log_in(ADA).await, shop.log_in(GONE).await);
    run.call("delete-me", gone.request(request("delete-me", &Value::Null))).await;
    run.call(
        "request-password-reset",
        request("request-password-reset", &json!({ "email": ADA })).event(),
    )
    .await;
    let buyer = ada.user_id().to_string();

    let teapot =
        run.once(events::ADMIN, "create-product", None, &product("teapot"), "teapot").await;
    let teapot = id_of(&teapot);
    let body = json!({ "delta": 20, "reason": "The first delivery", "shard_count": 2 });
    run.once(events::ADMIN, "adjust-stock", Some(&teapot), &body, "teapots").await;
    market(&mut run).await;
    run.drain().await;

    let tokens = [None, Some("tok_ok"), Some("tok_ok"), Some("tok_3ds"), None];
    for (number, token) in tokens.into_iter().enumerate() {
        let (key, body) = (format!("order-{number}"), events::order_request(&teapot, 1, token));
        let placed = run.once(&buyer, "create-order", None, &body, &key).await;
        run.drain().await;
        let order = id_of(&placed);
        match number {
            0 => run.ask(&buyer, "cancel-order", Some(&order), &Value::Null).await,
            1 => run.ask(events::ADMIN, "ship-order", Some(&order), &parcel()).await,
            _ => continue,
        };
        run.drain().await;
    }
    let payment = payment_of(&shop, &order_with(&shop, "shipped"));
    let cart = change_cart(&mut run, &buyer, &teapot).await;
    run.once(&buyer, "create-order", None, &order_of_cart(&cart), "cart").await;
    change_cart(&mut run, &buyer, &teapot).await;
    run.drain().await;
    run.once(events::ADMIN, "create-refund", Some(&payment), &refund(1000), "refund").await;
    let event = events::webhook(shop.aws.secrets_manager(), shop.clock.now(), "evt_1", &payment);
    run.call("receive-payment-webhook", event).await;
    run.call(FEEDBACK, events::sample(FEEDBACK)).await;
    run.drain().await;

    shop.clock.advance(Duration::from_secs(11 * 60));
    run.sweep().await;
    let failed: Vec<&Step> = run.steps.iter().filter(|step| !step.is_done()).collect();
    assert!(failed.is_empty(), "the shop of the goldens: {failed:#?}");
    (shop, ada.refresh_token)
}

/// Continues with the shop of the goldens.
pub async fn continue_with(golden: &Golden) -> Run {
    let mut run = Run::new(golden.shop());
    run.harness.skip_changes();
    let shop = run.shop.clone();
    shop.rotate_signing_key().await;
    continue_accounts(&mut run, golden).await;
    continue_orders(&mut run).await;
    shop.clock.advance(Duration::from_secs(11 * 60));
    run.sweep().await;
    run.ask(events::ADMIN, "get-health", None, &Value::Null).await;
    for (table, letters) in dead_letters(&shop) {
        run.steps.push(Step { name: table, outcome: format!("dead letters: {letters:?}") });
    }
    run
}

async fn continue_accounts(run: &mut Run, golden: &Golden) {
    let shop = run.shop.clone();
    let token = json!({ "refresh_token": golden.refresh_token });
    let refreshed = run.call("refresh-token", request("refresh-token", &token).event()).await;
    let login = json!({ "email": ADA, "password": PASSWORD });
    run.call("login-user", request("login-user", &login).event()).await;
    if let Some(session) = Session::of(&refreshed) {
        run.call("authorize-request", events::authorize(&session.access_token)).await;
        let tag = shop.me(&session).await.header("etag").unwrap_or_default();
        let update = request("update-me", &json!({ "full_name": "Ada King" }));
        run.call("update-me", session.request(update.header("If-Match", &tag))).await;
        run.call("logout-user", session.request(request("logout-user", &Value::Null))).await;
        let user = session.user_id().to_string();
        let listed = run.ask(&user, "list-notifications", None, &Value::Null).await;
        let first = listed.json()["items"][0]["id"].as_str().unwrap_or_default().to_owned();
        run.ask(&user, "read-notification", Some(&first), &Value::Null).await;
    }
    run.ask(events::ADMIN, "list-users", None, &Value::Null).await;
    // The address of the deleted account is free again.
    run.call("register-user", registration(GONE)).await;
    let deleted = shop.aws.items("users");
    let deleted = deleted.iter().find(|item| item.get("deleted_at").is_some());
    let gone = deleted.map(|item| text(item, "user_id").to_owned()).unwrap_or_default();
    let read = run
        .shop
        .call("get-user", asked(events::ADMIN, "get-user", Some(&gone), &Value::Null).event())
        .await;
    run.expect("get-user of a deleted user", &read, 404);
    run.call(FEEDBACK, events::sample(FEEDBACK)).await;
    run.drain().await;
}

async fn continue_orders(run: &mut Run) {
    let shop = run.shop.clone();
    let teapot = shop.aws.items("products");
    let teapot = teapot.iter().map(|item| text(item, "product_id")).find(|id| !id.is_empty());
    let teapot = teapot.unwrap_or_default().to_owned();
    let user = |item: &Value| text(item, "user_id").to_owned();
    let buyer = shop.aws.orders().first().map(user).unwrap_or_default();
    let (shipped, confirmed) = (order_with(&shop, "shipped"), order_with(&shop, "confirmed"));

    // Requests that the last release has answered.
    run.once(events::ADMIN, "create-product", None, &product("teapot"), "teapot").await;
    let body = json!({ "delta": 20, "reason": "The first delivery", "shard_count": 2 });
    run.once(events::ADMIN, "adjust-stock", Some(&teapot), &body, "teapots").await;
    let body = events::order_request(&teapot, 1, Some("tok_ok"));
    run.once(&buyer, "create-order", None, &body, "order-1").await;
    let payment = payment_of(&shop, &shipped);
    run.once(events::ADMIN, "create-refund", Some(&payment), &refund(1000), "refund").await;
    let event = events::webhook(shop.aws.secrets_manager(), shop.clock.now(), "evt_1", &payment);
    run.call("receive-payment-webhook", event).await;
    run.drain().await;

    // The last release has created the same market and rules.
    market(run).await;
    for operation in ["get-market", "list-shipping-methods", "list-tax-rates"] {
        run.ask(events::ADMIN, operation, Some("de"), &Value::Null).await;
    }
    for operation in ["list-markets", "list-promotions"] {
        run.ask(events::ADMIN, operation, None, &Value::Null).await;
    }
    for (operation, id) in [
        ("get-product", &teapot),
        ("get-stock", &teapot),
        ("get-order", &shipped),
        ("get-order-timeline", &shipped),
        ("get-payment", &payment),
    ] {
        run.ask(events::ADMIN, operation, Some(id), &Value::Null).await;
    }
    for operation in ["list-products", "list-orders"] {
        run.ask(&buyer, operation, None, &Value::Null).await;
    }
    run.ask(events::ADMIN, "deliver-order", Some(&shipped), &Value::Null).await;
    run.ask(events::ADMIN, "ship-order", Some(&confirmed), &parcel()).await;
    run.once(events::ADMIN, "create-refund", Some(&payment), &refund(500), "another").await;
    let request = asked(events::ADMIN, "update-product", Some(&teapot), &product("teapot"));
    run.call("update-product", request.header("If-Match", "\"1\"").event()).await;
    let body = json!({ "delta": -1, "reason": "Broken" });
    run.once(events::ADMIN, "adjust-stock", Some(&teapot), &body, "broken").await;
    run.drain().await;

    let unpaid = shop.aws.orders();
    let is_unpaid =
        |item: &&Value| text(item, "status") == "pending" && text(item, "payment") == "open";
    let unpaid = unpaid.iter().find(is_unpaid).map(order_of);
    let body =
        json!({ "order_id": unpaid, "payment_method": { "type": "card", "token": "tok_ok" } });
    run.once(&buyer, "create-payment", None, &body, "pay").await;
    let body = events::order_request(&teapot, 2, Some("tok_ok"));
    run.once(&buyer, "create-order", None, &body, "new").await;
    let cart = change_cart(run, &buyer, &teapot).await;
    assert_eq!(cart["lines"][0]["quantity"], 2, "the line of the last release, and one more piece");
    run.once(&buyer, "create-order", None, &order_of_cart(&cart), "new-cart").await;
    run.drain().await;
}

/// Adds a piece to the open cart of the buyer.
async fn change_cart(run: &mut Run, buyer: &str, product: &str) -> Value {
    let cart = id_of(&run.ask(buyer, "create-cart", None, &json!({})).await);
    let body = json!({
        "add": [{ "product_id": product, "quantity": 1 }],
        "shipping_address": {
            "name": "Ada", "line1": "1 Street", "city": "Town", "postal_code": "1", "country": "GB",
        },
    });
    run.ask(buyer, "change-cart", Some(&cart), &body).await.json()
}

/// The request that orders a cart as its buyer has seen it, with a card.
fn order_of_cart(cart: &Value) -> Value {
    json!({
        "cart_id": cart["id"], "cart_version": cart["version"], "expected_total": cart["totals"]["total"],
        "payment_method": { "type": "card", "token": "tok_ok" },
    })
}

/// A market with a rule of each kind.
async fn market(run: &mut Run) {
    let body = json!({
        "id": "de", "name": "Germany", "currency": "EUR", "prices_include_tax": true, "minimum_charge": 50,
        "countries": ["DE"],
    });
    run.once(events::ADMIN, "create-market", None, &body, "market").await;
    let price = json!({ "amount": 490, "currency": "EUR" });
    let body = json!({ "name": "Parcel", "price": price, "tax_class": "standard" });
    run.once(events::ADMIN, "create-shipping-method", Some("de"), &body, "method").await;
    let body = json!({
        "country": "DE", "tax_class": "standard", "treatment": "standard",
        "rates": [{ "name": "VAT", "ppm": 190_000 }], "valid_from": "2021-01-01T00:00:00Z",
    });
    run.once(events::ADMIN, "create-tax-rate", Some("de"), &body, "rate").await;
    let body = json!({ "name": "Sale", "markets": ["de"], "target": "line", "percent_bp": 1000 });
    run.once(events::ADMIN, "create-promotion", None, &body, "promotion").await;
    run.drain().await;
}

fn parcel() -> Value {
    json!({ "carrier": "Royal Mail", "tracking": "RM1" })
}

fn refund(cents: i64) -> Value {
    json!({ "reason": "The lid was broken", "amount": { "amount": cents, "currency": "USD" } })
}

/// The id of the first order with this status.
fn order_with(shop: &Shop, status: &str) -> String {
    let orders = shop.aws.orders();
    let found = orders.iter().find(|item| text(item, "status") == status);
    found.map(order_of).unwrap_or_default()
}

/// The id of an order, which is in its key.
fn order_of(item: &Value) -> String {
    text(item, "pk").trim_start_matches("ORDER#").to_owned()
}

fn payment_of(shop: &Shop, order: &str) -> String {
    let items = shop.aws.items("payments");
    let is_it =
        |item: &&Value| text(item, "sk").starts_with("ATTEMPT#") && text(item, "order_id") == order;
    items.iter().find(is_it).map(|item| text(item, "payment_id").to_owned()).unwrap_or_default()
}

/// The types of the dead letters, by queue.
fn dead_letters(shop: &Shop) -> Vec<(String, Vec<String>)> {
    let queues = template().queues().into_iter().filter(|queue| queue.ends_with("-dead-letter"));
    let letters = |queue: String| {
        let letters = shop.aws.queues().waiting(&queue);
        let types = letters.iter().map(|letter| letter.json()["type"].to_string()).collect();
        (queue, types)
    };
    queues.map(letters).filter(|(_, letters): &(_, Vec<String>)| !letters.is_empty()).collect()
}
