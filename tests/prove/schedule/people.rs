//! Requests of buyers, of the shop's staff and of the payment provider.

use serde_json::{Value, json};
use tests::{aws::Called, dynamodb::text, events};

use super::Schedule;
use crate::stage::PRICE;

const TOKENS: [&str; 11] = [
    "tok_ok",
    "tok_declined",
    "tok_insufficient_funds",
    "tok_timeout_after_charge",
    "tok_timeout_before_charge",
    "tok_5xx_then_ok",
    "tok_late_webhook",
    "tok_duplicate_webhook",
    "tok_3ds",
    "tok_3ds_declined",
    "tok_3ds_abandoned",
];

/// How often a buyer sends an order before it is a violation.
pub(super) const MOST_ATTEMPTS: usize = 1000;
/// A buyer may have up to five unpaid orders.
const ORDERS_OF_A_BUYER: u64 = 4;

impl Schedule {
    pub(super) async fn place(&mut self, number: u64) {
        let quantity = 1 + self.below(3) as u32;
        let token = if self.chance(70) { Some(self.token()) } else { None };
        let buyer = Self::buyer(number);
        let body = events::order_request(&self.stage.product, quantity, token);
        let key = format!("order-{number}");
        let request = events::post("/orders", &body).caller(&buyer).header("idempotency-key", &key);
        for _ in 0..MOST_ATTEMPTS {
            let called = self.request("create-order", request.clone().event()).await;
            if called.status() == 201 {
                let id = called.json()["id"].as_str().unwrap_or_default().to_owned();
                self.stage.note(&format!("placed {id}: {quantity} with {token:?}"));
                self.stage.placed(id, buyer);
                return;
            }
            self.stage.ensure([502, 503].contains(&called.status()), || {
                format!("create-order: {:?}", called.answer)
            });
        }
        self.stage.fail(&format!("create-order failed {MOST_ATTEMPTS} times"));
    }

    /// The buyer of an order.
    pub(super) fn buyer(number: u64) -> String {
        match number / ORDERS_OF_A_BUYER {
            0 => events::USER.to_owned(),
            other => format!("usr_0199c2a8-0000-7000-8000-0000000001{other:02}"),
        }
    }

    /// A random card token, in half of the cases a good one.
    pub(super) fn token(&mut self) -> &'static str {
        let chosen = self.below(2 * TOKENS.len() as u64) as usize;
        TOKENS.get(chosen).copied().unwrap_or(TOKENS[0])
    }

    /// The id and the buyer of a random order.
    pub(super) fn any_order(&mut self) -> (String, String) {
        let chosen = self.below(self.stage.orders.len() as u64) as usize;
        let order = &self.stage.orders[chosen];
        (order.id.clone(), order.buyer.clone())
    }

    pub(super) async fn pay(&mut self) {
        let (order, buyer) = self.any_order();
        let token = self.token();
        // Occasionally the client repeats the same request.
        if !self.chance(40) {
            self.payments += 1;
        }
        let body =
            json!({ "order_id": order, "payment_method": { "type": "card", "token": token } });
        let request = events::post("/payments", &body)
            .caller(&buyer)
            .header("idempotency-key", &format!("payment-{}", self.payments));
        let called = self.request("create-payment", request.event()).await;
        self.stage.note(&format!(
            "payment {} of {order} with {token}: {} {}",
            self.payments,
            called.status(),
            called.json()["code"]
        ));
    }

    /// An admin cancels, ships or delivers an order.
    pub(super) async fn step(&mut self) {
        let (order, _) = self.any_order();
        let orders = self.stage.stored_orders();
        let stored = orders.iter().find(|item| text(item, "pk") == format!("ORDER#{order}"));
        let status = stored.map(|item| text(item, "status")).unwrap_or_default();
        // Mostly the next regular transition, occasionally an invalid one.
        let operation = match (status, self.below(20)) {
            ("confirmed", 0..12) | ("shipped", 0) | ("pending", 0) => "ship-order",
            ("shipped", 1..16) | ("confirmed", 12) | ("pending", 1) => "deliver-order",
            ("confirmed" | "shipped", _) | (_, 2) => "cancel-order",
            _ => return,
        };
        let request =
            events::post("/orders", &json!({ "carrier": "Royal Mail", "tracking": "RM1" }))
                .caller(events::ADMIN);
        let request = if operation == "ship-order" { request } else { request.body("") };
        let called =
            self.request(operation, request.path_parameter("order_id", &order).event()).await;
        self.stage.note(&format!(
            "{operation} of {order}: {} {}",
            called.status(),
            called.json()["code"]
        ));
    }

    /// An operator refunds a payment in full or in part.
    pub(super) async fn refund(&mut self) {
        let Some(payment) = self.any_payment() else { return };
        // Occasionally the same request is repeated.
        if !self.chance(30) {
            self.admin_requests += 1;
        }
        let cents = [None, Some(1000), Some(1000), Some(PRICE)][self.below(4) as usize];
        let mut body = json!({ "reason": "The lid was broken" });
        if let Some(cents) = cents {
            body["amount"] = json!({ "amount": cents, "currency": "USD" });
        }
        let request = events::post("/refunds", &body)
            .caller(events::ADMIN)
            .path_parameter("payment_id", &payment);
        let request = request.header("idempotency-key", &format!("refund-{}", self.admin_requests));
        let called = self.request("create-refund", request.event()).await;
        self.stage.note(&format!(
            "refund {} of {payment}, {cents:?}: {} {}",
            self.admin_requests,
            called.status(),
            called.json()["code"]
        ));
    }

    /// The provider sends a webhook about a payment, whether it changed or not.
    pub(super) async fn send_webhook(&mut self) {
        let Some(payment) = self.any_payment() else { return };
        let event_id = format!("evt_{}", self.below(8));
        let (aws, now) = (&self.stage.shop.aws, self.stage.shop.clock.now());
        let event = events::webhook(aws.secrets_manager(), now, &event_id, &payment);
        let called = self.request("receive-payment-webhook", event).await;
        self.stage.note(&format!(
            "webhook {event_id} about {payment}: {} {}",
            called.status(),
            called.json()["code"]
        ));
        self.stage.ensure([200, 502, 503].contains(&called.status()), || {
            format!("receive-payment-webhook: {:?}", called.answer)
        });
    }

    /// Stock is received, written off or resharded.
    pub(super) async fn adjust_stock(&mut self) {
        self.admin_requests += 1;
        let mut body = json!({ "reason": "It sells fast" });
        let kinds = self.below(3);
        if kinds < 2 {
            body["shard_count"] = (1 + self.below(4)).into();
        }
        if kinds > 0 {
            body["delta"] = [-1, 1, 2][self.below(3) as usize].into();
        }
        let key = format!("movement-{}", self.admin_requests);
        let adjustment = events::adjustment(&key, &self.stage.product, &body);
        let called = self.request("adjust-stock", adjustment).await;
        self.stage.note(&format!(
            "the stock, {body}: {} {}",
            called.status(),
            called.json()["code"]
        ));
    }

    /// A random payment attempt, if there is one.
    fn any_payment(&mut self) -> Option<String> {
        let items = self.stage.shop.aws.stored("payments");
        let attempts: Vec<&str> = items
            .iter()
            .filter(|item| text(item, "sk").starts_with("ATTEMPT#"))
            .map(|item| text(item, "payment_id"))
            .collect();
        if attempts.is_empty() {
            return None;
        }
        Some(attempts[self.below(attempts.len() as u64) as usize].to_owned())
    }

    /// Sends a request with injected faults.
    pub(super) async fn request(&mut self, operation: &str, event: Value) -> Called {
        self.inject_faults();
        let called = self.stage.request(operation, event).await;
        self.clear_faults();
        called
    }
}
