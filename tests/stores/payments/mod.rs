//! Payments: exactly one charge under any fault, with any number of callers, and with any provider
//! behaviour.

mod acting;
mod breaking;
mod cancel_payment;
mod catch_up;
mod charge_payment;
mod create_payment;
mod create_refund;
mod measuring;
mod racing;
mod reading;
mod receive_payment_webhook;
mod reconcile_payments;
mod refund_payment;

use std::{ops::Deref, time::Duration};

use payments::domain::{AttemptState, PaymentIntent};
use provider::PaymentId;
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    ids::{OrderId, PrefixedId},
    lambda::Invocation,
    metrics::Capture,
};
use tests::{
    aws::{Aws, Called, Fault},
    events::{self, ADMIN, STRANGER, USER},
    harness::Harness,
    shop::{self, PAY_WITHIN, Shop},
};

const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";
const PRICE: i64 = 5998;
/// The second fault of a pair: the outcome of the call is unknown.
const LATER_FAULTS: [Fault; 2] = [Fault::LoseRequest, Fault::LoseResponse];
/// More calls than any operation makes.
const CALLS: usize = 9;
/// One more call than an operation makes without faults.
const USUAL_CALLS: usize = 5;

/// A shop with one order to charge.
struct PaymentsFixture(Shop);

impl Deref for PaymentsFixture {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.0
    }
}

impl PaymentsFixture {
    fn new() -> Self {
        Self::over(Aws::new())
    }

    /// Concurrent operations interleave between table calls, depending on `seed`.
    fn crowded(seed: u64) -> Self {
        Self::over(Aws::new().crowded(seed))
    }

    fn over(aws: Aws) -> Self {
        Self(Shop::over(aws, shop::clock()))
    }

    /// A shop with an order that waits for its payment.
    async fn with_open_order() -> Self {
        let fixture = Self::new();
        fixture.open(0).await;
        fixture
    }

    /// Delivers a command to the operation of the same name.
    async fn command(&self, operation: &str, data: &Value) -> bool {
        let kind = format!("{}.v1", operation.replace('-', "_"));
        self.call(operation, events::message(operation, &kind, data)).await.is_done()
    }

    async fn open(&self, attempt: u64) -> bool {
        self.command("open-payment", &costs(attempt)).await
    }

    async fn charge(&self, token: &str, attempt: u64) -> bool {
        self.charge_order(ORDER, token, attempt).await
    }

    async fn charge_order(&self, order: &str, token: &str, attempt: u64) -> bool {
        let mut data = costs(attempt);
        data["order_id"] = order.into();
        data["payment_method"] = json!({ "type": "card", "token": token });
        self.command("charge-payment", &data).await
    }

    async fn cancel(&self, attempt: u64) -> bool {
        let data = json!({ "order_id": ORDER, "user_id": USER, "amount": { "amount": PRICE, "currency": "USD" }, "attempt": attempt });
        self.command("cancel-payment", &data).await
    }

    async fn refund(&self, attempt: u64) -> bool {
        self.command("refund-payment", &json!({ "order_id": ORDER, "attempt": attempt })).await
    }

    async fn reconcile(&self) -> Value {
        self.call("reconcile-payments", json!({})).await.ok().clone()
    }

    /// Advances the clock and reconciles.
    async fn reconcile_after(&self, seconds: u64) -> Value {
        self.clock.advance(Duration::from_secs(seconds));
        self.reconcile().await
    }

    async fn post(&self, key: &str, body: &Value) -> Called {
        self.post_within(28, key, body).await
    }

    /// Posts a payment with this number of seconds left before the function's timeout.
    async fn post_within(&self, seconds: u64, key: &str, body: &Value) -> Called {
        let deadline = Clock::System.now().plus(Duration::from_secs(seconds));
        let invocation =
            Invocation { deadline, ..Invocation::with_event(payment_request(key, body).event()) };
        self.aws.invoke(&self.lambda("create-payment"), invocation).await
    }

    async fn pay(&self, key: &str, token: &str) -> Called {
        self.pay_within(28, key, token).await
    }

    async fn pay_within(&self, seconds: u64, key: &str, token: &str) -> Called {
        self.post_within(
            seconds,
            key,
            &json!({ "order_id": ORDER, "payment_method": { "type": "card", "token": token } }),
        )
        .await
    }

    /// Requests a refund of an amount, or of the whole payment. The reason is always the same.
    async fn request_refund(&self, key: &str, payment: &str, cents: Option<i64>) -> Called {
        let mut body = json!({ "reason": "The lid was broken" });
        if let Some(cents) = cents {
            body["amount"] = json!({ "amount": cents, "currency": "USD" });
        }
        self.post_refund(key, payment, &body).await
    }

    async fn post_refund(&self, key: &str, payment: &str, body: &Value) -> Called {
        let request = events::post(&format!("/payments/{payment}/refunds"), body)
            .caller(ADMIN)
            .path_parameter("payment_id", payment);
        self.call("create-refund", request.header("idempotency-key", key).event()).await
    }

    async fn read(&self, payment: &str, reader: &str) -> Called {
        let request = events::get(&format!("/payments/{payment}"))
            .caller(reader)
            .path_parameter("payment_id", payment);
        self.call("get-payment", request.event()).await
    }

    async fn intent(&self) -> PaymentIntent {
        self.payments.store().intent(order()).await.unwrap().expect("the order has an intent")
    }

    async fn attempt_state(&self) -> AttemptState {
        let attempt = self.payments.store().attempt(automatic()).await.unwrap();
        attempt.expect("there is an automatic attempt").state
    }

    /// The provider's records: the number of charges and the refunded amount.
    fn provider_totals(&self) -> (usize, i64) {
        let items = self.aws.items("payment-simulator");
        let of = |kind: &'static str| {
            items
                .iter()
                .filter(move |item| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(kind)))
        };
        (
            of("CHARGE#").count(),
            of("REFUND#")
                .map(|item| item["amount"]["N"].as_str().unwrap().parse::<i64>().unwrap())
                .sum(),
        )
    }

    /// Sets the refundable amount of the automatic payment at the provider.
    fn set_refundable(&self, amount: i64) {
        let mut charge = self
            .aws
            .item(
                "payment-simulator",
                &json!({ "pk": { "S": format!("CHARGE#{}", transaction()) } }),
            )
            .unwrap();
        charge["refundable"]["N"] = amount.to_string().into();
        self.aws.put("payment-simulator", &charge);
    }

    /// The number of records with a scheduled check.
    fn unsettled(&self) -> usize {
        self.aws.items("payments").iter().filter(|item| item.get("next_check_at").is_some()).count()
    }

    /// The publisher of payments, from the beginning of the stream.
    fn stream(&self) -> Harness {
        self.publisher("payments")
    }

    /// The types of the messages sent to orders since the last call.
    async fn message_types(&self, harness: &mut Harness) -> Vec<String> {
        let messages = self.events(harness).await;
        messages
            .iter()
            .map(|message| message["type"].as_str().unwrap().trim_end_matches(".v1").to_owned())
            .collect()
    }

    /// The data of the messages sent to orders since the last call.
    async fn message_data(&self, harness: &mut Harness) -> Vec<Value> {
        self.events(harness).await.into_iter().map(|message| message["data"].clone()).collect()
    }

    async fn events(&self, harness: &mut Harness) -> Vec<Value> {
        harness.publish().await;
        self.aws.queues().take("order-events", 100).iter().map(|message| message.json()).collect()
    }

    /// Loses every request after this number of calls, as if the function had crashed.
    fn crash_after(&self, calls: usize) {
        for call in calls..calls + 40 {
            self.aws.fail(call, Fault::LoseRequest);
        }
    }
}

fn order() -> OrderId {
    OrderId::parse(ORDER).unwrap()
}

/// The payment that was made without `POST /payments`.
fn automatic() -> PaymentId {
    PaymentId::automatic(order())
}

/// The provider's id of [`automatic`].
fn transaction() -> String {
    format!("ch_{}", automatic().attempt().simple())
}

fn costs(attempt: u64) -> Value {
    let expires_at = shop::clock().now().plus(PAY_WITHIN);
    json!({ "order_id": ORDER, "user_id": USER, "amount": { "amount": PRICE, "currency": "USD" }, "expires_at": expires_at, "tries": 3, "attempt": attempt })
}

fn payment_request(key: &str, body: &Value) -> events::Http {
    events::post("/payments", body).caller(USER).header("idempotency-key", key)
}
