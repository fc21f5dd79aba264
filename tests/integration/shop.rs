//! A deployed shop: access for buyers and admins over HTTP, and for operators to the stack behind
//! it.
//!
//! [`Shop::open`] offers the API and the invocation of functions, on every target. Tests that need
//! more name it, [`shop_with!`] and [`shop_alone_with!`], and are skipped where it is missing.

mod cart;
mod person;
mod stack;

use std::{
    collections::HashMap,
    fmt::Debug,
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use shared::clock::Clock;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use users::tokens::{
    access::Claims,
    signing_keys::{CurrentKey, SigningKeys},
};

pub use self::{
    cart::{Cart, address, quantities},
    person::{Answer, Person, card},
    stack::ProviderRecords,
};
use crate::target::{self, Need};

/// Maximum wait for a state.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How many tests use the stack concurrently. More of them would only wait for each other.
const TOGETHER: usize = 6;

/// A test holds one permit. A test that breaks something on purpose holds all.
static STACK: Semaphore = Semaphore::const_new(TOGETHER);

pub struct Shop {
    pub url: String,
    pub stack: String,
    pub http: reqwest::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub lambda: aws_sdk_lambda::Client,
    pub secrets: aws_sdk_secretsmanager::Client,
    needs: &'static [Need],
    _held: SemaphorePermit<'static>,
}

/// Opens the shop for a test that needs more than the API: `shop_with!(Tables, Mails)`. Returns
/// from the test if the target does not offer it.
macro_rules! shop_with {
    ($($need:ident),+) => {
        match $crate::shop::Shop::open_for(module_path!(), &[$($crate::target::Need::$need),+]).await {
            Some(shop) => shop,
            None => return,
        }
    };
}

/// As [`shop_with!`], for an exclusive test.
macro_rules! shop_alone_with {
    ($($need:ident),+) => {
        match $crate::shop::Shop::alone_for(module_path!(), &[$($crate::target::Need::$need),+]).await {
            Some(shop) => shop,
            None => return,
        }
    };
}

pub(crate) use {shop_alone_with, shop_with};

/// The name of the running test, which names its thread.
fn test_name(module: &str) -> String {
    let thread = std::thread::current();
    let name = thread.name().filter(|name| name.contains("::"));
    name.unwrap_or(module.trim_start_matches("integration::")).to_owned()
}

/// A text that no other test and no earlier run uses.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("{what}-{run}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub const PASSWORD: &str = "a perfectly ordinary passphrase";

impl Shop {
    /// The stack, shared with other tests. Offers the API and the invocation of functions.
    pub async fn open() -> Self {
        Self::new(&[], STACK.acquire().await.unwrap())
    }

    /// As [`Shop::open`], with what the test needs; `None` if the target does not offer it.
    pub async fn open_for(module: &str, needs: &'static [Need]) -> Option<Self> {
        let is_offered = target::offers(&test_name(module), needs).await;
        if is_offered { Some(Self::new(needs, STACK.acquire().await.unwrap())) } else { None }
    }

    /// The stack for one exclusive test. It starts after the others: waiting for all permits
    /// earlier would keep the stack idle.
    pub async fn alone() -> Self {
        loop {
            if let Ok(all) = STACK.try_acquire_many(TOGETHER as u32) {
                return Self::new(&[], all);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// As [`Shop::alone`], with what the test needs; `None` if the target does not offer it.
    pub async fn alone_for(module: &str, needs: &'static [Need]) -> Option<Self> {
        let is_offered = target::offers(&test_name(module), needs).await;
        if is_offered { Some(Self { needs, ..Self::alone().await }) } else { None }
    }

    fn new(needs: &'static [Need], held: SemaphorePermit<'static>) -> Self {
        let url = std::env::var("API_URL").unwrap_or_else(|_| {
            panic!("API_URL is not set: set it to the address of the API with its stage, or run the tests with `make test`, which starts a stack")
        });
        let config = shared::aws::sdk_config();
        let long = Duration::from_secs(600);
        let patient = aws_config::timeout::TimeoutConfig::builder()
            .operation_timeout(long)
            .operation_attempt_timeout(long);
        let patient = patient.read_timeout(long).build();
        let lambda = aws_sdk_lambda::config::Builder::from(&config).timeout_config(patient).build();
        Self {
            url: url.trim_end_matches('/').to_owned(),
            stack: std::env::var("FERROCART_STACK").unwrap_or_else(|_| "ferrocart".to_owned()),
            http: {
                // The payment provider's TLS needs a process-wide crypto provider, which the first
                // test installs.
                let _ = rustls::crypto::ring::default_provider().install_default();
                reqwest::Client::builder()
            }
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap(),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            lambda: aws_sdk_lambda::Client::from_conf(lambda),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            needs,
            _held: held,
        }
    }

    /// A person without a token.
    pub fn visitor(&self) -> Person {
        Person {
            url: self.url.clone(),
            http: self.http.clone(),
            token: None,
            email: String::new(),
            id: String::new(),
        }
    }

    /// Fails a test that uses what it has not named.
    #[track_caller]
    fn require(&self, need: Need) {
        assert!(
            self.needs.contains(&need),
            "the test needs {need}: open the shop with shop_with!({need:?})"
        );
    }

    /// A new logged-in customer. In tests with direct access to tables the address is verified,
    /// which is written directly, because most tests would only wait for the mail. In other tests
    /// it is not, and the customer may have one unpaid order.
    pub async fn customer(&self) -> Person {
        if !self.needs.contains(&Need::Tables) {
            return self.unverified_customer().await;
        }
        let email = format!("{}@example.com", unique("buyer"));
        let registered = self.register(&email).await.expect(201);
        let key = AttributeValue::S(format!("USER#{}", registered["id"].as_str().unwrap()));
        let change = self.dynamodb.update_item().table_name(self.table("users")).key("pk", key);
        let change = change
            .update_expression("SET email_verified = :yes")
            .expression_attribute_values(":yes", AttributeValue::Bool(true));
        change.send().await.unwrap();
        self.log_in(&email).await
    }

    /// A customer whose address is not verified.
    pub async fn unverified_customer(&self) -> Person {
        let email = format!("{}@example.com", unique("newcomer"));
        self.register(&email).await.expect(201);
        self.log_in(&email).await
    }

    pub async fn register(&self, email: &str) -> Answer {
        let body = json!({ "email": email, "username": unique("u").replace('-', "_"), "full_name": "Ada Lovelace", "password": PASSWORD });
        self.visitor().post("/users", &body).await
    }

    pub async fn log_in(&self, email: &str) -> Person {
        let tokens = self
            .visitor()
            .post("/users/login", &json!({ "email": email, "password": PASSWORD }))
            .await
            .expect(200);
        let mut person = Person {
            token: Some(tokens["access_token"].as_str().unwrap().to_owned()),
            email: email.to_owned(),
            ..self.visitor()
        };
        person.id = person.get("/users/me").await.expect(200)["id"].as_str().unwrap().to_owned();
        person
    }

    /// New customers with tokens, written as copies of one registered customer: password hashing
    /// would dominate the run time.
    pub async fn crowd(&self, count: usize) -> Vec<Person> {
        let model = self.customer().await;
        let profile = self.item("users", &format!("USER#{}", model.id)).await.unwrap();
        let key = self.signing_key().await;
        let mut crowd = Vec::with_capacity(count);
        for _ in 0..count {
            let id = shared::ids::derive::<shared::ids::UserId>(&[&unique("crowd")]).to_string();
            let email = format!("{}@example.com", unique("one-of-many"));
            let own = [
                ("pk", format!("USER#{id}")),
                ("user_id", id.clone()),
                ("email", email.clone()),
                ("listed_at", format!("2026#{id}")),
            ];
            let mut item = profile.clone();
            item.extend(own.map(|(name, value)| (name.to_owned(), AttributeValue::S(value))));
            // The verification link belongs to one address.
            item.remove("verification");
            self.dynamodb
                .put_item()
                .table_name(self.table("users"))
                .set_item(Some(item))
                .send()
                .await
                .unwrap();
            let person = Person { id, email, ..model.clone() };
            crowd.push(Person { token: Some(signed_with(&key, &person, 900)), ..person });
        }
        // The signing key may be too new for the gateway. It is the same for all customers.
        if let Some(person) = crowd.first() {
            until("the token counts", || person.get("/users/me"), |answer| answer.status == 200)
                .await;
        }
        crowd
    }

    /// A token as login signs it for this person, with this lifetime in seconds. It belongs to the
    /// person's session, if there is one.
    pub async fn signed_for(&self, person: &Person, seconds: i64) -> String {
        signed_with(&self.signing_key().await, person, seconds)
    }

    async fn signing_key(&self) -> CurrentKey {
        self.require(Need::Tables);
        let secret = self
            .secrets
            .get_secret_value()
            .secret_id(format!("{}/signing-key", self.stack))
            .send()
            .await
            .unwrap();
        SigningKeys::parse(secret.secret_string().unwrap()).unwrap().current().unwrap()
    }

    /// An admin, created once for all tests. Logs in again only before the token expires, because a
    /// login hashes a password.
    pub async fn admin(&self) -> Person {
        const LOGGED_IN_FOR: Duration = Duration::from_secs(300);
        static ADMIN: Mutex<Option<(Instant, Person)>> = Mutex::const_new(None);
        let mut admin = ADMIN.lock().await;
        let email = match &*admin {
            Some((since, known)) if since.elapsed() < LOGGED_IN_FOR => {
                return Person { http: self.http.clone(), ..known.clone() };
            }
            Some((_, known)) => known.email.clone(),
            None => {
                let email = format!("{}@example.com", unique("admin"));
                self.register(&email).await.expect(201);
                self.invoke("grant-role", &json!({ "email": email, "role": "admin" })).await;
                email
            }
        };
        let person = self.log_in(&email).await;
        *admin = Some((Instant::now(), person.clone()));
        person
    }

    /// A new product with this stock, as soon as it can be ordered.
    pub async fn product(&self, amount: i64, stock: u32) -> String {
        self.product_in_shards(amount, stock, 1).await
    }

    /// As [`Shop::product`], with the stock in this number of shards.
    pub async fn product_in_shards(&self, amount: i64, stock: u32, shards: u32) -> String {
        let admin = self.admin().await;
        let sku = unique("T").to_uppercase();
        let body = json!({ "name": "Oak spoon", "category": "kitchen", "sku": sku, "price": { "amount": amount, "currency": "USD" } });
        let product =
            admin.post_with_key("/products", &unique("key"), &body).await.expect(201)["id"]
                .as_str()
                .unwrap()
                .to_owned();
        if stock > 0 {
            let path = format!("/inventory/{product}/adjustments");
            let mut delivery = json!({ "delta": stock, "reason": "delivery" });
            if shards > 1 {
                delivery["shard_count"] = shards.into();
            }
            admin.post_with_key(&path, &unique("key"), &delivery).await.expect(201);
        }
        if self.needs.contains(&Need::Tables) {
            let item =
                || async { self.item("order-products", &format!("PRODUCT#{product}")).await };
            until("orders knows the product", item, Option::is_some).await;
        } else {
            // An order with a wrong total is rejected, once orders knows the product.
            let total = json!({ "amount": amount + 1, "currency": "USD" });
            let body = json!({ "items": [{ "product_id": product, "quantity": 1 }], "expected_total": total });
            let place = || async { admin.post_with_key("/orders", &unique("key"), &body).await };
            let answer = until("orders knows the product", place, |answer| {
                !answer.text.contains("unknown_product")
            });
            assert_eq!(answer.await.problem(409), "price_changed");
        }
        product
    }

    /// Orders one piece of a product for each buyer, eight concurrently. Returns the order ids in
    /// the order of the buyers.
    pub async fn sell_to_all(&self, buyers: &[Person], product: &str, token: &str) -> Vec<String> {
        const CLIENTS: usize = 8;
        let each = buyers.len().div_ceil(CLIENTS).max(1);
        let clients: Vec<_> = buyers
            .chunks(each)
            .map(|buyers| {
                let (buyers, product, token) =
                    (buyers.to_vec(), product.to_owned(), token.to_owned());
                tokio::spawn(async move {
                    let mut orders = Vec::new();
                    for buyer in buyers {
                        orders.push(buyer.order(&product, 1, Some(&token)).await);
                    }
                    orders
                })
            })
            .collect();
        let mut orders = Vec::new();
        for client in clients {
            orders.extend(client.await.unwrap());
        }
        orders
    }

    /// Waits until every order has one of these statuses, and returns them. Calls `retry` before
    /// each check, in place of the schedules.
    pub async fn all_with_status<F: Future<Output = ()>>(
        &self,
        orders: &[String],
        statuses: &[&str],
        retry: impl Fn() -> F,
    ) -> Vec<String> {
        let read = || async {
            retry().await;
            let stored: HashMap<String, String> = self
                .scan("orders")
                .await
                .iter()
                .filter_map(|item| {
                    Some((
                        item["pk"].as_s().ok()?.clone(),
                        item.get("status")?.as_s().ok()?.clone(),
                    ))
                })
                .collect();
            orders.iter().map(|order| stored[&format!("ORDER#{order}")].clone()).collect::<Vec<_>>()
        };
        until(&format!("all are one of {statuses:?}"), read, |seen| {
            seen.iter().all(|status| statuses.contains(&status.as_str()))
        })
        .await
    }

    /// How many charges the simulated provider has made for each of these orders.
    pub async fn charges(&self, orders: &[String]) -> Vec<usize> {
        let charges = self.scan("payment-simulator").await;
        let charges = charges
            .iter()
            .filter(|item| item["pk"].as_s().is_ok_and(|pk| pk.starts_with("CHARGE#")));
        let charged: Vec<&String> = charges.map(|item| item["order_id"].as_s().unwrap()).collect();
        orders
            .iter()
            .map(|order| charged.iter().filter(|charged| **charged == order).count())
            .collect()
    }

    /// The stock: (on hand, available, held).
    pub async fn stock(&self, product: &str) -> (i64, i64, i64) {
        let stock = self.admin().await.get(&format!("/inventory/{product}")).await.expect(200);
        let figure = |name: &str| {
            stock[name].as_i64().unwrap_or_else(|| panic!("{name} is missing: {stock}"))
        };
        (figure("on_hand"), figure("available"), figure("held"))
    }
}

/// A token for this person with this lifetime in seconds; see [`Shop::signed_for`].
fn signed_with(key: &CurrentKey, person: &Person, seconds: i64) -> String {
    let claims = person.token.as_deref().unwrap().split('.').nth(1).unwrap();
    let mut claims: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    if claims["sub"] != person.id.as_str() {
        claims["sub"] = person.id.as_str().into();
        claims["email"] = person.email.as_str().into();
        claims.as_object_mut().unwrap().remove("sid");
    }
    let now = Clock::System.now().seconds();
    claims["exp"] = (now + seconds).into();
    claims["iat"] = (now.min(now + seconds) - 10).into();
    serde_json::from_value::<Claims>(claims).unwrap().sign(key).unwrap()
}

pub fn events_of(order: &Value) -> Vec<String> {
    order["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["event"].as_str().unwrap().to_owned())
        .collect()
}

/// Polls until `done` holds. Fails after [`PATIENCE`] with the last value.
#[track_caller]
pub fn until<T: Debug, F: Future<Output = T>>(
    what: &str,
    read: impl Fn() -> F,
    done: impl Fn(&T) -> bool,
) -> impl Future<Output = T> {
    let begun = Instant::now();
    let what = what.to_owned();
    async move {
        // Polling takes capacity from the system under test, so the interval grows.
        let mut pause = Duration::from_millis(50);
        loop {
            let seen = read().await;
            if done(&seen) {
                return seen;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {what}; last seen: {seen:#?}"
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_millis(400));
        }
    }
}
