//! The stories of an order, each from its request to its end: the good one, and what may go wrong.
//!
//! Clients are insistent: a request whose function fails or dies is sent again with the same
//! idempotency key. Messages and changes are delivered until they are processed.

use std::{future::Future, pin::Pin};

use serde_json::{Value, json};
use tests::{
    aws::Called, dynamodb::text, events, events::Http, provider::Network, shop::PAY_WITHIN,
};

use crate::stage::{Order, Stage};

/// A story of one order.
pub struct Story {
    pub name: &'static str,
    play: for<'a> fn(&'a mut Stage) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
    /// The end of the order if nothing fails.
    pub end: &'static str,
}

/// The stock at the start of a story.
const IN_STOCK: u32 = 10;
/// How often a client sends a request before it is a violation.
const MOST_ATTEMPTS: usize = 20;

pub const STORIES: &[Story] = &[
    Story {
        name: "paid and delivered",
        play: |stage| Box::pin(delivered(stage)),
        end: "delivered",
    },
    Story { name: "not in stock", play: |stage| Box::pin(not_in_stock(stage)), end: "failed" },
    Story {
        name: "declined, then paid",
        play: |stage| Box::pin(declined(stage)),
        end: "confirmed",
    },
    Story {
        name: "charged, but the answer is lost",
        play: |stage| Box::pin(paid_in_time(stage, "tok_timeout_after_charge")),
        end: "confirmed",
    },
    Story {
        name: "the request for the charge is lost",
        play: |stage| Box::pin(paid_in_time(stage, "tok_timeout_before_charge")),
        end: "confirmed",
    },
    Story {
        name: "cancelled while the charge is in flight",
        play: |stage| Box::pin(cancelled(stage)),
        end: "cancelled, refunded",
    },
    Story {
        name: "expired while the charge is in flight",
        play: |stage| Box::pin(expired(stage)),
        end: "cancelled",
    },
    Story {
        name: "confirmed, then cancelled",
        play: |stage| Box::pin(cancelled_after_payment(stage)),
        end: "cancelled, refunded",
    },
    Story {
        name: "refunded in two parts",
        play: |stage| Box::pin(refunded(stage)),
        end: "confirmed, refunded",
    },
    Story {
        name: "paid after 3-D Secure, with resharded stock",
        play: |stage| Box::pin(three_d_secure(stage)),
        end: "confirmed",
    },
];

impl Story {
    /// The stage of a story, before it begins.
    pub async fn stage(&self, case: &str) -> Stage {
        Stage::new(format!("{case}: {}", self.name), IN_STOCK).await
    }

    /// Plays the story, and lets everything settle without further faults. Returns the end of its
    /// order.
    pub async fn play(&self, stage: &mut Stage) -> Vec<String> {
        (self.play)(stage).await;
        stage.shop.aws.heal();
        stage.shop.provider.set_network(Network::Up);
        stage.note("settling");
        stage.deliver_late_charges().await;
        stage.settle().await;
        let ends = stage.check();
        stage.check_ledger(false).await;
        ends
    }
}

impl Stage {
    /// Sends a request until its function answers.
    async fn insist(&mut self, operation: &str, request: Http) -> Called {
        for _ in 0..MOST_ATTEMPTS {
            let called = self.request(operation, request.clone().event()).await;
            self.note(&format!("{operation}: {} {}", called.status(), called.json()["code"]));
            if called.status() < 500 {
                return called;
            }
        }
        self.fail(&format!("{operation} failed {MOST_ATTEMPTS} times"));
    }

    async fn place(&mut self, quantity: u32, token: Option<&str>) {
        let body = events::order_request(&self.product, quantity, token);
        let called = self.insist("create-order", events::order("order", &body)).await;
        self.ensure(called.status() == 201, || format!("create-order: {:?}", called.answer));
        let id = called.json()["id"].as_str().unwrap_or_default().to_owned();
        self.orders.push(Order { id, buyer: events::USER.to_owned() });
    }

    async fn pay(&mut self, token: &str) {
        let order = &self.orders[0].id;
        let body =
            json!({ "order_id": order, "payment_method": { "type": "card", "token": token } });
        let request = events::post("/payments", &body).caller(events::USER);
        self.insist("create-payment", request.header("idempotency-key", token)).await;
    }

    async fn step(&mut self, operation: &str, caller: &str, body: Option<Value>) {
        let request = events::post("/orders", &body.clone().unwrap_or_default()).caller(caller);
        let request = if body.is_some() { request } else { request.body("") };
        let request = request.path_parameter("order_id", &self.orders[0].id);
        self.insist(operation, request).await;
    }

    async fn refund(&mut self, key: &str, cents: Option<i64>) {
        let payments = self.shop.aws.stored("payments");
        let attempt = payments.iter().find(|item| text(item, "sk").starts_with("ATTEMPT#"));
        let payment = attempt.map(|item| text(item, "payment_id").to_owned()).unwrap_or_default();
        let mut body = json!({ "reason": "The lid was broken" });
        if let Some(cents) = cents {
            body["amount"] = json!({ "amount": cents, "currency": "USD" });
        }
        let request = events::post("/refunds", &body)
            .caller(events::ADMIN)
            .path_parameter("payment_id", &payment);
        self.insist("create-refund", request.header("idempotency-key", key)).await;
    }

    /// Lets time pass, and runs the scheduled operations.
    async fn later(&mut self, seconds: u64) {
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

async fn delivered(stage: &mut Stage) {
    stage.place(2, Some("tok_ok")).await;
    stage.drain().await;
    let parcel = json!({ "carrier": "Royal Mail", "tracking": "RM1" });
    stage.step("ship-order", events::ADMIN, Some(parcel)).await;
    stage.drain().await;
    stage.step("deliver-order", events::ADMIN, None).await;
    stage.drain().await;
}

async fn not_in_stock(stage: &mut Stage) {
    stage.place(IN_STOCK + 1, Some("tok_ok")).await;
    stage.drain().await;
}

async fn declined(stage: &mut Stage) {
    stage.place(1, Some("tok_declined")).await;
    stage.drain().await;
    stage.pay("tok_ok").await;
    stage.drain().await;
}

async fn paid_in_time(stage: &mut Stage, token: &str) {
    stage.place(1, Some(token)).await;
    stage.drain().await;
    for _ in 0..3 {
        stage.later(300).await;
    }
}

async fn cancelled(stage: &mut Stage) {
    stage.shop.provider.set_network(Network::ChargesDelayed);
    stage.place(1, Some("tok_ok")).await;
    stage.drain().await;
    stage.step("cancel-order", events::USER, None).await;
    stage.drain().await;
    stage.deliver_late_charges().await;
    stage.shop.provider.set_network(Network::Up);
    stage.later(300).await;
    stage.later(3600).await;
}

async fn expired(stage: &mut Stage) {
    stage.shop.provider.set_network(Network::ChargesDelayed);
    stage.place(1, Some("tok_ok")).await;
    stage.drain().await;
    stage.later(PAY_WITHIN.as_secs() + 60).await;
    stage.deliver_late_charges().await;
    stage.shop.provider.set_network(Network::Up);
    stage.later(300).await;
    stage.later(3600).await;
}

async fn cancelled_after_payment(stage: &mut Stage) {
    stage.place(1, Some("tok_ok")).await;
    stage.drain().await;
    stage.step("cancel-order", events::ADMIN, None).await;
    stage.drain().await;
    stage.later(300).await;
}

async fn refunded(stage: &mut Stage) {
    stage.place(1, Some("tok_ok")).await;
    stage.drain().await;
    stage.refund("part", Some(1000)).await;
    stage.drain().await;
    stage.refund("rest", None).await;
    stage.drain().await;
}

async fn three_d_secure(stage: &mut Stage) {
    stage.place(3, Some("tok_3ds")).await;
    stage.drain().await;
    let body = json!({ "reason": "It sells fast", "shard_count": 3 });
    let key = events::post(&format!("/inventory/{}/adjustments", stage.product), &body)
        .path_parameter("product_id", &stage.product)
        .caller(events::ADMIN)
        .header("idempotency-key", "shards");
    stage.insist("adjust-stock", key).await;
    let payments = stage.shop.aws.stored("payments");
    let attempt = payments.iter().find(|item| text(item, "sk").starts_with("ATTEMPT#"));
    if let Some(payment) = attempt.map(|item| text(item, "payment_id").to_owned()) {
        let (aws, now) = (&stage.shop.aws, stage.shop.clock.now());
        let event = events::webhook(aws.secrets_manager(), now, "evt_1", &payment);
        let called = stage.request("receive-payment-webhook", event).await;
        stage.note(&format!("receive-payment-webhook: {}", called.status()));
    }
    stage.drain().await;
    stage.later(300).await;
}
