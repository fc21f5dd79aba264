//! What buyers, the shop's staff, the provider and banks do in the stories.

use std::sync::Arc;

use serde_json::{Value, json};
use tests::{
    aws::Called,
    dynamodb::{Item, text},
    events,
    events::Http,
};

use crate::stage::Stage;

/// How often a client sends a request before it is a violation.
const MOST_ATTEMPTS: usize = 20;

impl Stage {
    /// Sends a request until its function answers.
    pub(super) async fn insist(&mut self, operation: &str, request: Http) -> Called {
        for _ in 0..MOST_ATTEMPTS {
            let called = self.request(operation, request.clone().event()).await;
            self.note(&format!("{operation}: {} {}", called.status(), called.json()["code"]));
            if called.status() < 500 {
                return called;
            }
        }
        self.fail(&format!("{operation} failed {MOST_ATTEMPTS} times"));
    }

    pub(super) async fn place(&mut self, quantity: u32, token: Option<&str>) {
        let body = events::order_request(&self.product, quantity, token);
        self.place_request(body).await;
    }

    /// Places an order in the market `gb` that has a billing address alone.
    pub(super) async fn place_download(&mut self, token: &str) {
        let mut body = events::order_request(&self.product, 1, Some(token));
        body["billing_address"] = body["shipping_address"].take();
        body["market"] = "gb".into();
        self.place_request(body).await;
    }

    async fn place_request(&mut self, body: Value) {
        let called = self.insist("create-order", events::order("order", &body)).await;
        self.ensure(called.status() == 201, || format!("create-order: {:?}", called.answer));
        let id = called.json()["id"].as_str().unwrap_or_default().to_owned();
        self.placed(id, events::USER.to_owned());
    }

    /// A buyer whose e-mail address is not verified sends an order without a card.
    pub(super) async fn place_unverified(&mut self, key: &str) -> Called {
        let body = events::order_request(&self.product, 1, None);
        let request = events::post("/orders", &body).unverified_caller(events::USER);
        self.insist("create-order", request.header("idempotency-key", key)).await
    }

    pub(super) async fn pay(&mut self, token: &str) {
        let order = &self.orders[0].id;
        let body =
            json!({ "order_id": order, "payment_method": { "type": "card", "token": token } });
        let request = events::post("/payments", &body).caller(events::USER);
        self.insist("create-payment", request.header("idempotency-key", token)).await;
    }

    /// A buyer or an operator changes the state of the order.
    pub(super) async fn step(&mut self, operation: &str, caller: &str, body: Option<Value>) {
        let request = events::post("/orders", &body.clone().unwrap_or_default()).caller(caller);
        let request = if body.is_some() { request } else { request.body("") };
        let request = request.path_parameter("order_id", &self.orders[0].id);
        self.insist(operation, request).await;
    }

    pub(super) async fn ship(&mut self) {
        let parcel = json!({ "carrier": "Royal Mail", "tracking": "RM1" });
        self.step("ship-order", events::ADMIN, Some(parcel)).await;
    }

    pub(super) async fn refund(&mut self, key: &str, cents: Option<i64>) -> Called {
        let mut body = json!({ "reason": "The lid was broken" });
        if let Some(cents) = cents {
            body["amount"] = json!({ "amount": cents, "currency": "USD" });
        }
        let request = events::post("/refunds", &body)
            .caller(events::ADMIN)
            .path_parameter("payment_id", &self.payment());
        self.insist("create-refund", request.header("idempotency-key", key)).await
    }

    pub(super) async fn reshard(&mut self, shards: u32) {
        let body = json!({ "reason": "It sells fast", "shard_count": shards });
        let request = events::post(&format!("/inventory/{}/adjustments", self.product), &body)
            .path_parameter("product_id", &self.product)
            .caller(events::ADMIN)
            .header("idempotency-key", "shards");
        self.insist("adjust-stock", request).await;
    }

    /// The buyer saves two addresses, changes the first and deletes the second.
    pub(super) async fn keep_addresses(&mut self) {
        let (mut ids, mut version) = (Vec::new(), String::new());
        for key in ["home", "office"] {
            let body = json!({ "address": address("London"), "default_shipping": true });
            let request = events::post("/users/me/addresses", &body).caller(events::USER);
            let saved = self.insist("create-address", request.header("idempotency-key", key)).await;
            self.ensure(saved.status() == 201, || format!("create-address: {:?}", saved.answer));
            ids.push(saved.json()["id"].as_str().unwrap_or_default().to_owned());
            version = saved.header("etag").unwrap_or_default();
        }
        let of = |method: &str, id: &str| {
            let request = events::http(method, "/users/me/addresses").caller(events::USER);
            request.path_parameter("address_id", id)
        };
        let body = json!({ "address": address("Bath") }).to_string();
        let request = of("PATCH", &ids[0]).header("content-type", "application/json").body(&body);
        self.insist("update-address", request.header("if-match", &version)).await;
        self.insist("delete-address", of("DELETE", &ids[1])).await;
        let listed = self.insist("list-addresses", of("GET", &ids[0])).await.json();
        let city = |saved: &Value| saved["address"]["city"].clone();
        let cities: Option<Vec<Value>> =
            listed["items"].as_array().map(|saved| saved.iter().map(city).collect());
        self.ensure(cities == Some(vec![json!("Bath")]), || format!("the addresses are {listed}"));
    }

    pub(super) async fn delete_account(&mut self) {
        // Existing records are older than the deletion.
        self.advance_clock(1);
        self.account_deleted_at = Some(self.shop.clock.now());
        self.insist("delete-me", events::http("DELETE", "/users/me").caller(events::USER)).await;
    }

    /// The first record of payments whose sort key has this prefix.
    fn record(&self, prefix: &str) -> Option<Arc<Item>> {
        let payments = self.shop.aws.stored("payments");
        payments.into_iter().find(|item| text(item, "sk").starts_with(prefix))
    }

    /// The payment of the order; empty before the first attempt.
    pub(super) fn payment(&self) -> String {
        let attempt = self.record("ATTEMPT#");
        attempt.map(|item| text(&item, "payment_id").to_owned()).unwrap_or_default()
    }

    /// The first refund: our id and the provider's.
    pub(super) fn first_refund(&self) -> Option<(String, String)> {
        let refund = self.record("REFUND#")?;
        let theirs = text(&refund, "provider_refund_id").to_owned();
        Some((text(&refund, "refund_id").to_owned(), theirs))
    }

    /// The provider's id of the charge; empty before the charge.
    pub(super) fn charge(&self) -> String {
        let items = self.shop.aws.stored("payment-simulator");
        let charge = items.iter().find(|item| text(item, "pk").starts_with("CHARGE#"));
        charge.map(|charge| text(charge, "charge_id").to_owned()).unwrap_or_default()
    }

    /// The provider sends an event until the shop accepts it.
    pub(super) async fn webhook(&mut self, event_id: &str, kind: &str, object: &Value) {
        let body = events::provider_event(event_id, kind, object);
        self.send_event(&body).await;
    }

    /// The provider reports the outcome of the payment.
    pub(super) async fn payment_webhook(&mut self, event_id: &str) {
        let payment = self.payment();
        if !payment.is_empty() {
            self.send_event(&events::payment_event(event_id, &payment)).await;
        }
    }

    async fn send_event(&mut self, body: &str) {
        for _ in 0..MOST_ATTEMPTS {
            let (secrets, now) = (self.shop.aws.secrets_manager(), self.shop.clock.now());
            let event = events::signed_webhook(secrets, now, body);
            let called = self.request("receive-payment-webhook", event).await;
            self.note(&format!("receive-payment-webhook: {}", called.status()));
            if called.status() < 500 {
                return;
            }
            self.later(60).await;
        }
        self.fail(&format!("the event was not accepted {MOST_ATTEMPTS} times"));
    }

    /// Lets time pass, and runs the scheduled operations.
    pub(super) async fn later(&mut self, seconds: u64) {
        self.advance_clock(seconds);
        for operation in ["resume-orders", "reconcile-payments"] {
            self.sweep(operation).await;
        }
        self.drain().await;
    }

    /// Lets the delayed charge requests arrive at the provider.
    pub async fn deliver_late_charges(&mut self) {
        let provider = self.shop.provider.clone();
        let arrived = self.shop.aws.unless_it_dies(provider.deliver_late_charges()).await;
        self.note(&format!("late charge requests arrive: {arrived:?}"));
    }
}

/// An address of the buyer in this city.
fn address(city: &str) -> Value {
    json!({
        "name": "Ada Lovelace", "line1": "12 St James's Square", "city": city, "postal_code": "SW1Y 4JH", "country": "GB",
    })
}
