//! A shop in which a valid request to every route succeeds, and the checks that apply to bad
//! requests.

mod bodies;
mod checks;
mod pricing;

use serde_json::{Value, json};
use shared::{lambda::Invocation, seal::SealingKey};
use tokio::sync::OnceCell;

pub use self::checks::{Expect, violations};
use self::{bodies::order_request, pricing::PricingRules};
use super::routes::{IfMatch, Route};
use crate::{
    aws::Aws,
    events::{self, sample},
    shop::Shop,
};

/// A marker in inputs that must not appear in responses.
pub const ECHO: &str = "zqxEchoxqz";
/// A user who owns nothing.
pub const STRANGER: &str = "usr_0199c2a8-0000-7000-8000-0000000000ff";
const TABLES: [&str; 12] = [
    "users",
    "sessions",
    "products",
    "pricing",
    "stock",
    "orders",
    "order-products",
    "order-carts",
    "payments",
    "payment-simulator",
    "notifications",
    "ledger",
];
/// The current and the previous signing secret of the provider.
pub const WEBHOOK_SECRET: &str = "whsec_zqxEchoxqz_0123456789";
pub const WEBHOOK_SECRET_BEFORE: &str = "whsec_zqxEchoxqz_of_yesterday";

/// The shop, its initial state and the unexpected results so far.
#[derive(Clone)]
pub struct ApiFixture {
    pub shop: Shop,
    pub product: String,
    /// A product of which few are in stock.
    scarce: String,
    pub paid_order: String,
    pub open_order: String,
    pub failed_order: String,
    /// Paid orders with an address: one to ship, one already shipped, and one reserved for
    /// cancellation.
    pub ready_order: String,
    pub shipped_order: String,
    pub unwanted_order: String,
    /// The version of the order to ship, as an `If-Match` value.
    pub order_etag: String,
    pub payment: String,
    pub notification: String,
    /// The version of [`events::USER`], as an `If-Match` value.
    pub etag: String,
    /// An address of [`events::USER`]. Its book has version 1.
    pub address: String,
    /// The token of a guest's cart, and the cart of [`events::USER`]. Each has one line.
    pub cart_token: String,
    pub own_cart: String,
    rules: PricingRules,
    pub refresh_token: String,
    /// The tokens in mails to [`events::USER`]: one resets the password, one verifies the new
    /// address.
    pub reset_token: String,
    pub verification_token: String,
    /// The token that withdraws the change of address.
    pub withdraw_token: String,
    before: Vec<Value>,
    /// [`Aws::writes`] at the time of `before`.
    writes: usize,
    checked: usize,
    violations: Vec<String>,
    about: &'static str,
}

impl ApiFixture {
    /// Returns a private copy of a shop that is set up once for all tests.
    pub async fn new(about: &'static str) -> Self {
        static MODEL: OnceCell<ApiFixture> = OnceCell::const_new();
        let model = MODEL.get_or_init(Self::set_up).await;
        let shop = model.shop.copy();
        Self { writes: shop.aws.writes(), shop, about, ..model.clone() }
    }

    async fn set_up() -> Self {
        let shop = Shop::new();
        shop.rotate_signing_key().await;
        let secrets = json!({ "current": WEBHOOK_SECRET, "previous": WEBHOOK_SECRET_BEFORE });
        shop.aws.secrets_manager().set("payment-webhook-secrets", &secrets.to_string());
        shop.ada().await;
        let tokens = shop.call("login-user", sample("login-user")).await.json();
        let refresh_token =
            tokens["refresh_token"].as_str().expect("the sample logs Ada in").to_owned();
        assert_eq!(
            shop.call("update-me", sample("update-me")).await.status(),
            200,
            "the sample changes Ada's address"
        );
        assert_eq!(
            shop.call("request-password-reset", sample("request-password-reset")).await.status(),
            202
        );
        let etag = shop
            .call("get-me", sample("get-me"))
            .await
            .header("etag")
            .expect("a profile has a version");
        let mut saved = sample("create-address");
        header(&mut saved, "idempotency-key", &["fixture"]);
        let saved = shop.call("create-address", saved).await;
        let address = saved.json()["id"].as_str().expect("the sample saves an address").to_owned();
        let (reset_token, verification_token, withdraw_token) = links(&shop).await;
        let (product, scarce) =
            (shop.product("Teapot", 2999, 50).await, shop.product("Saucer", 499, 1).await);
        assert!(shop.call("replicate-pricing", sample("replicate-pricing")).await.is_done());
        let rules = PricingRules::create(&shop).await;
        let mut harness = shop.harness();
        harness.drain_queues().await;
        let cart_token = guest_cart(&shop, &product).await;
        let own_cart = own_cart(&shop, &product).await;
        let mut orders = Vec::new();
        for (key, product, token) in [
            ("paid", &product, Some("tok_ok")),
            ("open", &product, None),
            ("failed", &scarce, None),
        ] {
            let placed = shop.order(key, product, if key == "open" { 1 } else { 2 }, token).await;
            orders.push(placed.json()["id"].as_str().expect("the order is placed").to_owned());
            harness.drain_queues().await;
        }
        for key in ["ready", "shipped", "unwanted"] {
            let request = events::post("/orders", &order_request(&product))
                .caller(events::USER)
                .header("idempotency-key", key);
            orders.push(
                shop.call("create-order", request.event()).await.json()["id"]
                    .as_str()
                    .expect("the order is placed")
                    .to_owned(),
            );
        }
        harness.drain_queues().await;
        let mut shipped = sample("ship-order");
        shipped["pathParameters"] = json!({ "order_id": orders[4] });
        assert_eq!(
            shop.call("ship-order", shipped).await.status(),
            200,
            "the sample ships an order that is paid"
        );
        harness.drain_queues().await;
        let read =
            events::get("/orders").caller(events::USER).path_parameter("order_id", &orders[3]);
        let read = shop.call("get-order", read.event()).await;
        let order_etag = read.header("etag").expect("an order has a version");
        let mails = shop
            .call("list-notifications", events::get("/notifications").caller(events::USER).event())
            .await
            .json();
        let notification = mails["items"][0]["id"].as_str().expect("a mail").to_owned();
        let list =
            events::get(&format!("/payments?order_id={}", orders[0])).caller(events::USER).event();
        let payment = shop.call("list-payments", list).await.json()["items"][0]["id"]
            .as_str()
            .expect("a payment")
            .to_owned();
        shop.call("check-health", json!({})).await;
        let before = snapshot(&shop.aws);
        let [paid_order, open_order, failed_order, ready_order, shipped_order, unwanted_order] =
            <[String; 6]>::try_from(orders).unwrap();
        Self {
            shop,
            product,
            scarce,
            paid_order,
            open_order,
            failed_order,
            ready_order,
            shipped_order,
            unwanted_order,
            order_etag,
            payment,
            notification,
            etag,
            address,
            cart_token,
            own_cart,
            rules,
            refresh_token,
            reset_token,
            verification_token,
            withdraw_token,
            before,
            writes: 0,
            checked: 0,
            violations: Vec::new(),
            about: "",
        }
    }

    /// The session id of [`ApiFixture::refresh_token`].
    pub fn session(&self) -> &str {
        self.refresh_token.split('.').next().unwrap()
    }

    /// A request that succeeds.
    pub fn valid(&self, operation: &str) -> Value {
        let mut event = sample(operation);
        let path = |event: &mut Value, parameter: &str, id: &str| {
            event["pathParameters"] = json!({ parameter: id });
            event["path"] = event["path"]
                .as_str()
                .unwrap()
                .split('/')
                .map(|part| if part.contains('_') { id } else { part })
                .collect::<Vec<_>>()
                .join("/")
                .into();
        };
        match operation {
            "get-product" | "get-stock" | "adjust-stock" | "update-product" | "archive-product" => {
                path(&mut event, "product_id", &self.product);
            }
            "get-order" | "get-order-timeline" => path(&mut event, "order_id", &self.paid_order),
            "cancel-order" => path(&mut event, "order_id", &self.unwanted_order),
            "ship-order" => path(&mut event, "order_id", &self.ready_order),
            "update-order" => {
                path(&mut event, "order_id", &self.ready_order);
                header(&mut event, "if-match", &[&self.order_etag]);
            }
            "deliver-order" => path(&mut event, "order_id", &self.shipped_order),
            "get-cart" | "change-cart" | "list-shipping-options" => {
                path(&mut event, "cart_id", self.cart_token.split('.').next().unwrap());
                header(&mut event, "x-cart-token", &[&self.cart_token]);
            }
            "merge-cart" => {
                path(&mut event, "cart_id", &self.own_cart);
                header(&mut event, "x-cart-token", &[&self.cart_token]);
            }
            "get-payment" | "create-refund" => path(&mut event, "payment_id", &self.payment),
            "read-notification" => path(&mut event, "notification_id", &self.notification),
            "receive-payment-webhook" => return self.webhook(&self.webhook_body("evt_valid")),
            "get-health" => event["pathParameters"] = json!({ "service": "orders" }),
            "list-payments" => {
                event["queryStringParameters"] = json!({ "order_id": self.paid_order });
                event["multiValueQueryStringParameters"] = json!({ "order_id": [self.paid_order] });
            }
            "logout-user" | "change-password" => {
                event["requestContext"]["authorizer"]["sid"] = self.session().into()
            }
            "update-address" | "delete-address" => {
                path(&mut event, "address_id", &self.address);
            }
            "update-me" | "update-user" => header(&mut event, "if-match", &[&self.etag]),
            _ => self.rules.locate(operation, &mut event),
        }
        if matches!(operation, "update-product" | "archive-product" | "update-address") {
            header(&mut event, "if-match", &[self.etag_of(operation)]);
        }
        if let Some(body) = self.body(operation) {
            event["body"] = body.to_string().into();
        }
        event
    }

    /// The `If-Match` value of what the operation changes. All but the order and the user are
    /// unchanged since their creation.
    pub fn etag_of(&self, operation: &str) -> &str {
        if operation == "update-order" {
            return &self.order_etag;
        }
        const NEW: [&str; 6] =
            ["-product", "-address", "-market", "-shipping-method", "-tax-rate", "-promotion"];
        if NEW.iter().any(|what| operation.ends_with(what)) { "\"1\"" } else { &self.etag }
    }

    /// The webhook body for the success of [`ApiFixture::payment`].
    pub fn webhook_body(&self, event: &str) -> String {
        let object = json!({ "object": "payment_intent", "id": "ch_1", "metadata": { "payment_id": self.payment } });
        json!({ "id": event, "type": "payment_intent.succeeded", "data": { "object": object } })
            .to_string()
    }

    /// A webhook request with this body, signed now.
    pub fn webhook(&self, body: &str) -> Value {
        let mut event = sample("receive-payment-webhook");
        event["body"] = body.into();
        let signature =
            events::provider_signature(WEBHOOK_SECRET, self.shop.clock.now().seconds(), body);
        header(&mut event, "stripe-signature", &[&signature]);
        event
    }

    /// A valid request with another body, given as text.
    pub fn with_body(&self, operation: &str, body: &str) -> Value {
        let mut event = self.valid(operation);
        event["body"] = body.into();
        event
    }

    /// A valid request that changes nothing, or whose rejection comes last: a caller that gets this
    /// far was authorized.
    pub fn harmless(&self, route: &Route) -> (Value, Expect) {
        let mut event = self.valid(route.operation);
        if route.body {
            event["body"] = "{".into();
            return (event, Expect::Problem(400, "malformed_json"));
        }
        if route.if_match != IfMatch::Ignored {
            header(&mut event, "if-match", &["\"999\""]);
            return (event, Expect::Problem(412, "precondition_failed"));
        }
        (event, Expect::Fine)
    }

    /// Sends an input and checks every invariant of the response.
    pub async fn check(
        &mut self,
        what: &str,
        operation: &str,
        event: Value,
        expect: Expect,
    ) -> Option<Value> {
        self.checked += 1;
        let lambda = self.shop.lambda(operation);
        let aws = self.shop.aws.clone();
        let called =
            tokio::spawn(async move { aws.invoke(&lambda, Invocation::with_event(event)).await })
                .await;
        let mut found = match &called {
            Err(panic) => vec![format!("it panics: {panic}")],
            Ok(called) => violations(called, expect),
        };
        // If every request only read, the tables are unchanged.
        if self.shop.aws.writes() != self.writes {
            let earlier = std::mem::take(&mut self.before);
            self.take_snapshot();
            if self.before != earlier && !matches!(expect, Expect::Fine) {
                found.push("it writes".to_owned());
            }
        }
        let what: String = what.chars().take(160).collect();
        self.violations
            .extend(found.iter().map(|violation| format!("{operation}: {what}: {violation}")));
        called.ok().map(|called| called.json())
    }

    /// Counts one change of [`events::USER`].
    pub fn next_version(&mut self) {
        let version: u64 = self.etag.trim_matches('"').parse().unwrap();
        self.etag = format!("\"{}\"", version + 1);
    }

    /// Drains the queues. Their writes, and writes that bypass [`ApiFixture::check`], are not
    /// attributed to an input.
    pub async fn settle(&mut self) {
        self.shop.harness().drain_queues().await;
        self.take_snapshot();
    }

    fn take_snapshot(&mut self) {
        self.before = snapshot(&self.shop.aws);
        self.writes = self.shop.aws.writes();
    }

    /// Records a violation that [`ApiFixture::check`] cannot see.
    pub fn report(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Reports how many inputs were checked and fails on unexpected results.
    ///
    /// # Panics
    /// If a result was unexpected.
    #[track_caller]
    pub fn done(self) {
        eprintln!(
            "edge: {}: {} inputs, {} violations",
            self.about,
            self.checked,
            self.violations.len()
        );
        let shown: Vec<&String> = self.violations.iter().take(40).collect();
        assert!(
            shown.is_empty(),
            "{} violations, the first of them:\n{shown:#?}",
            self.violations.len()
        );
    }
}

/// Creates a guest's cart with one piece of a product. Returns its token.
async fn guest_cart(shop: &Shop, product: &str) -> String {
    let created = shop.call("create-cart", events::post("/carts", &json!({})).event()).await.json();
    let token = created["cart_token"].as_str().expect("a guest gets a token").to_owned();
    let change = added(&created, product).header("x-cart-token", &token);
    assert_eq!(shop.call("change-cart", change.event()).await.status(), 200);
    token
}

/// Creates the cart of [`events::USER`] with one piece of a product. Returns its id.
async fn own_cart(shop: &Shop, product: &str) -> String {
    let create = events::post("/carts", &json!({})).caller(events::USER);
    let created = shop.call("create-cart", create.event()).await.json();
    let change = added(&created, product).caller(events::USER);
    assert_eq!(shop.call("change-cart", change.event()).await.status(), 200);
    created["id"].as_str().expect("a cart has an id").to_owned()
}

fn added(cart: &Value, product: &str) -> events::Http {
    let add = json!({ "add": [{ "product_id": product, "quantity": 1 }] });
    let cart_id = cart["id"].as_str().expect("a cart has an id");
    events::post("/carts", &add).path_parameter("cart_id", cart_id)
}

/// The tokens of the pending links of [`events::USER`]. Only the mails contain them in plain text.
async fn links(shop: &Shop) -> (String, String, String) {
    let secrets = shop.aws.secrets_at(shop.clock.clone());
    let key = SealingKey::new(
        secrets.keys("mail-token-key").await.unwrap().active().derive("one-time-token"),
    );
    let profile = format!("USER#{}", events::USER);
    let profile = shop
        .aws
        .items("users")
        .into_iter()
        .find(|item| item["pk"]["S"] == *profile)
        .expect("Ada is registered");
    let open = |link: &Value| {
        key.open(link["sealed_token"]["S"].as_str().unwrap(), &["one-time-token", events::USER])
            .unwrap()
    };
    let link = |attribute: &str| open(&profile[attribute]["M"]["link"]["M"]);
    (open(&profile["reset"]["M"]), link("verification"), link("withdrawal"))
}

/// Replaces the values of a request header.
pub fn header(event: &mut Value, name: &str, values: &[&str]) {
    for headers in ["headers", "multiValueHeaders"] {
        let members = event[headers].as_object_mut().unwrap();
        members.retain(|member, _| !member.eq_ignore_ascii_case(name));
        if let Some(last) = values.last() {
            members.insert(
                name.to_owned(),
                if headers == "headers" { json!(last) } else { json!(values) },
            );
        }
    }
}

/// The content of all tables and the number of mails. Rate limit buckets are excluded: a rejected
/// attempt counts.
pub fn snapshot(aws: &Aws) -> Vec<Value> {
    let counts_tries =
        |item: &Value| item["pk"]["S"].as_str().is_some_and(|key| key.starts_with("BUCKET#"));
    let table =
        |name: &&str| aws.items(name).into_iter().filter(|item| !counts_tries(item)).collect();
    TABLES.iter().map(table).chain([json!(aws.mails().mails().len())]).collect()
}
