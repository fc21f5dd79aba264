//! A whole shop in which a scenario injects its fault, or not.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    aws::Fault,
    events::{self, ADMIN, USER},
    harness::Harness,
    shop::Shop,
};

/// More calls than any operation makes.
const CALLS: usize = 40;

/// A run of a scenario. The shop sells teapots at 29.99 and has processed all changes.
pub struct Run {
    pub shop: Shop,
    pub harness: Harness,
    /// The service whose metric the alarm watches.
    pub service: String,
    /// Whether the scenario injects its fault.
    pub has_fault: bool,
    pub product: String,
}

impl Run {
    pub async fn start(service: &str, has_fault: bool) -> Self {
        let shop = Shop::open();
        let product = shop.product("teapot", 2999, 10).await;
        let mut harness = shop.harness();
        harness.drain_queues().await;
        Self { shop, harness, service: service.to_owned(), has_fault, product }
    }

    /// If the run has a fault: loses every request of the next operation to AWS.
    pub fn lose_requests(&self) {
        if self.has_fault {
            (0..CALLS).for_each(|call| self.shop.aws.fail(call, Fault::LoseRequest));
        }
    }

    /// Orders a teapot, pays at once if there is a token, and processes all messages. Returns the
    /// order's id.
    pub async fn order(&mut self, key: &str, token: Option<&str>) -> String {
        let placed = self.shop.order(key, &self.product, 1, token).await;
        assert_eq!(placed.status(), 201, "{:?}", placed.answer);
        self.harness.drain_queues().await;
        text(&placed.json()["id"])
    }

    /// Sends `POST /payments`. Returns the body of the response.
    pub async fn pay(&self, order: &str, key: &str, token: &str) -> Value {
        self.shop.call("create-payment", events::new_payment(key, order, token)).await.json()
    }

    /// The id of an order's payment.
    pub async fn payment_of(&self, order: &str) -> String {
        let request = events::get(&format!("/payments?order_id={order}")).caller(USER);
        let page = self.shop.call("list-payments", request.event()).await.json();
        text(&page["items"][0]["id"])
    }

    /// Refunds a whole payment as an operator, and processes all messages. Returns the refund's id.
    pub async fn refund(&mut self, payment: &str) -> String {
        let request = events::post("/refunds", &json!({ "reason": "The lid was broken" }))
            .caller(ADMIN)
            .path_parameter("payment_id", payment)
            .header("idempotency-key", "refund");
        let refunded = self.shop.call("create-refund", request.event()).await;
        assert_eq!(refunded.status(), 201, "{:?}", refunded.answer);
        self.harness.drain_queues().await;
        text(&refunded.json()["id"])
    }

    /// Delivers a signed event of the provider, and processes all messages.
    pub async fn deliver_webhook(&mut self, kind: &str, object: &Value) {
        let (secrets, now) = (self.shop.aws.secrets_manager(), self.shop.clock.now());
        let event = events::webhook_about(secrets, now, "evt_1", kind, object);
        let received = self.shop.call("receive-payment-webhook", event).await;
        assert_eq!(received.status(), 200, "{:?}", received.answer);
        self.harness.drain_queues().await;
    }

    /// Advances the clock, runs the sweeps, and processes all messages.
    pub async fn pass(&mut self, seconds: u64) {
        self.shop.clock.advance(Duration::from_secs(seconds));
        for sweep in ["resume-orders", "reconcile-payments"] {
            self.shop.call(sweep, json!({})).await.ok();
        }
        self.harness.drain_queues().await;
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text")).to_owned()
}
