//! Payments: exactly one charge, whatever happens to a call, whoever asks how often, and however the provider behaves.

mod acting;
mod breaking;
mod cancel_payment;
mod catch_up;
mod charge_payment;
mod create_payment;
mod create_refund;
mod racing;
mod reading;
mod receive_payment_webhook;
mod reconcile_payments;
mod refund_payment;

use std::{sync::Arc, time::Duration};

use aws_config::SdkConfig;

use payments::{
    Payments, Settings,
    domain::{AttemptState, Head},
    operations::{
        cancel_payment::cancel_payment,
        charge_payment::charge_payment,
        create_payment::create_payment,
        create_refund::create_refund,
        get_payment::get_payment,
        open_payment::open_payment,
        publish_payment_events::{PUBLISHED, QUEUES},
        reconcile_payments::reconcile_payments,
        refund_payment::refund_payment,
    },
    publish,
};
use provider::{PaymentId, Simulated};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    http,
    ids::{Ids, OrderId, PrefixedId},
    invoke,
    lambda::{Invocation, Lambda},
    queue, stream,
    table::Table,
};
use tests::{
    aws::{Aws, Called, Fault},
    events::{self, ADMIN, USER},
    pump::Pump,
    shop,
};

const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";
const STRANGER: &str = "usr_0199c2a8-0000-7000-8000-000000000003";
const PRICE: i64 = 5998;
/// The faults that come second: what was done is unknown, and was or was not.
const LATER_FAULTS: [Fault; 2] = [Fault::LoseRequest, Fault::LoseResponse];
/// More calls than any operation makes.
const CALLS: usize = 9;
/// As many as an operation makes when nothing goes wrong, and one more.
const USUAL_CALLS: usize = 6;

/// Payments, its provider, and what they are asked.
struct Till {
    aws: Aws,
    clock: Clock,
    payments: Arc<Payments>,
    drive: u64,
}

impl Till {
    fn new() -> Self {
        let aws = Aws::new();
        let config = aws.sdk_config();
        Self::over(aws, &config)
    }

    /// A till whose calls of AWS let others go first, now once, now several times, as `seed` has it.
    fn crowded(seed: u64) -> Self {
        let aws = Aws::new();
        let config = aws.crowded_sdk_config(seed);
        Self::over(aws, &config)
    }

    fn over(aws: Aws, config: &SdkConfig) -> Self {
        let clock = shop::clock();
        let table = |name| Table::new(aws_sdk_dynamodb::Client::new(config), format!("ferrocart-{name}"));
        let provider = Arc::new(Simulated::new(table("payment-simulator")));
        let settings = Settings { shards: 8, nudge: Duration::from_secs(60) };
        let payments = Payments::new(table("payments"), provider, aws.secrets_at(clock.clone()), clock.clone(), Ids::default(), settings);
        Self { aws, clock, payments: Arc::new(payments), drive: 0 }
    }

    /// A till with an order that waits for its payment.
    async fn with_open_order() -> Self {
        let till = Self::new();
        till.open(0).await;
        till
    }

    async fn command(&self, queue: &str, kind: &str, lambda: Lambda, data: &Value) -> bool {
        let called = self.aws.call(&lambda, events::message(queue, kind, data)).await;
        called.is_done()
    }

    fn costs(&self, drive: u64) -> Value {
        let expires_at = shop::clock().now().plus(Duration::from_secs(1800));
        json!({ "order_id": ORDER, "user_id": USER, "amount": { "amount": PRICE, "currency": "USD" }, "expires_at": expires_at, "tries": 3, "drive": drive })
    }

    async fn open(&self, drive: u64) -> bool {
        let lambda = queue::lambda(self.payments.clone(), open_payment, self.aws.queue("open-payment"));
        self.command("open-payment", "open_payment.v1", lambda, &self.costs(drive)).await
    }

    async fn charge(&self, token: &str, drive: u64) -> bool {
        let lambda = queue::lambda(self.payments.clone(), charge_payment, self.aws.queue("charge-payment"));
        let mut data = self.costs(drive);
        data["payment_method"] = json!({ "type": "card", "token": token });
        self.command("charge-payment", "charge_payment.v1", lambda, &data).await
    }

    async fn cancel(&self, drive: u64) -> bool {
        let lambda = queue::lambda(self.payments.clone(), cancel_payment, self.aws.queue("cancel-payment"));
        let data = json!({ "order_id": ORDER, "user_id": USER, "amount": { "amount": PRICE, "currency": "USD" }, "drive": drive });
        self.command("cancel-payment", "cancel_payment.v1", lambda, &data).await
    }

    async fn refund(&self, drive: u64) -> bool {
        let lambda = queue::lambda(self.payments.clone(), refund_payment, self.aws.queue("refund-payment"));
        self.command("refund-payment", "refund_payment.v1", lambda, &json!({ "order_id": ORDER, "drive": drive })).await
    }

    /// Lets time go by, and reconciles.
    async fn reconcile_after(&self, seconds: u64) -> Value {
        self.clock.advance(Duration::from_secs(seconds));
        let lambda = invoke::lambda(self.payments.clone(), reconcile_payments);
        self.aws.call(&lambda, json!({})).await.ok().clone()
    }

    async fn post(&self, key: &str, body: &Value) -> Called {
        self.post_within(28, key, body).await
    }

    /// As a function that is stopped after so many seconds.
    async fn post_within(&self, seconds: u64, key: &str, body: &Value) -> Called {
        let lambda = http::lambda(self.payments.clone(), create_payment);
        let event = events::post("/payments", body).caller(USER).header("idempotency-key", key).event();
        let deadline = Clock::System.now().plus(Duration::from_secs(seconds));
        self.aws.invoke(&lambda, Invocation { deadline, ..Invocation::with_event(event) }).await
    }

    async fn pay(&self, key: &str, token: &str) -> Called {
        self.pay_within(28, key, token).await
    }

    async fn pay_within(&self, seconds: u64, key: &str, token: &str) -> Called {
        self.post_within(seconds, key, &json!({ "order_id": ORDER, "payment_method": { "type": "card", "token": token } })).await
    }

    /// Asks for so much of a payment back, or for all of it; the reason is the same each time.
    async fn ask_back(&self, key: &str, payment: &str, cents: Option<i64>) -> Called {
        let mut body = json!({ "reason": "The lid was broken" });
        if let Some(cents) = cents {
            body["amount"] = json!({ "amount": cents, "currency": "USD" });
        }
        self.post_refund(key, payment, &body).await
    }

    async fn post_refund(&self, key: &str, payment: &str, body: &Value) -> Called {
        let lambda = http::lambda(self.payments.clone(), create_refund);
        let request = events::post(&format!("/payments/{payment}/refunds"), body).caller(ADMIN).path_parameter("payment_id", payment);
        self.aws.call(&lambda, request.header("idempotency-key", key).event()).await
    }

    /// A payment as the shop reads it.
    async fn read(&self, payment: &str) -> Value {
        let lambda = http::lambda(self.payments.clone(), get_payment);
        let request = events::get(&format!("/payments/{payment}")).caller(ADMIN).path_parameter("payment_id", payment);
        self.aws.call(&lambda, request.event()).await.json()
    }

    async fn head(&self) -> Head {
        self.payments.store().head(order()).await.unwrap().expect("the order has a head")
    }

    async fn attempt_state(&self) -> AttemptState {
        let attempt = self.payments.store().attempt(PaymentId::automatic(order())).await.unwrap();
        attempt.expect("there is an automatic attempt").state
    }

    /// What the provider really did: charges, and what it gave back.
    fn books(&self) -> (usize, i64) {
        let items = self.aws.items("payment-simulator");
        let of = |kind: &str| {
            items.iter().filter(|item| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(kind))).cloned().collect::<Vec<_>>()
        };
        let amount = |item: &Value| item["amount"]["N"].as_str().unwrap().parse::<i64>().unwrap();
        (of("CHARGE#").len(), of("REFUND#").iter().map(amount).sum())
    }

    /// How many records are still to be looked at.
    fn unsettled(&self) -> usize {
        self.aws.items("payments").iter().filter(|item| item.get("check_at").is_some()).count()
    }

    fn publisher(&self) -> Pump {
        let sender = self.aws.sender(QUEUES, "publish-payment-dead-letter");
        Pump::new(&self.aws).publisher("payments", stream::lambda("publish-payment-events", PUBLISHED, publish::messages, sender))
    }

    /// What orders was told since it was last asked.
    async fn told(&self, pump: &mut Pump) -> Vec<String> {
        let messages = self.events(pump).await;
        messages.iter().map(|message| message["type"].as_str().unwrap().trim_end_matches(".v1").to_owned()).collect()
    }

    /// The data of the same messages.
    async fn said(&self, pump: &mut Pump) -> Vec<Value> {
        self.events(pump).await.into_iter().map(|message| message["data"].clone()).collect()
    }

    async fn events(&self, pump: &mut Pump) -> Vec<Value> {
        pump.publish().await;
        self.aws.queues().take("order-events", 100).iter().map(|message| message.json()).collect()
    }

    /// From here on no call arrives: what a function that dies leaves behind.
    fn die_after(&self, calls: usize) {
        for call in calls..calls + 40 {
            self.aws.fail(call, Fault::LoseRequest);
        }
    }
}

fn order() -> OrderId {
    OrderId::parse(ORDER).unwrap()
}
