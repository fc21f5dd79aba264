//! Requests of buyers, of the shop's staff and of the payment provider.

use serde_json::{Value, json};
use tests::{aws::Called, events};

use super::{PRICE, Schedule, text};

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

impl Schedule {
    pub(super) async fn place(&mut self, number: u64) {
        let quantity = 1 + self.below(3) as u32;
        let token = if self.chance(70) { Some(self.token()) } else { None };
        loop {
            let placed = events::new_order(
                &format!("order-{number}"),
                &events::order_request(&self.product, quantity, token),
            );
            let called = self.request("create-order", placed).await;
            if called.status() == 201 {
                let id = called.json()["id"].as_str().unwrap().to_owned();
                self.note(&format!("placed {id}: {quantity} with {token:?}"));
                self.orders.push(id);
                return;
            }
            assert_eq!(called.status(), 503, "{:?}\n{}", called.answer, self.trace_report());
        }
    }

    /// A random card token, in half of the cases a good one.
    fn token(&mut self) -> &'static str {
        let chosen = self.below(2 * TOKENS.len() as u64) as usize;
        TOKENS.get(chosen).copied().unwrap_or(TOKENS[0])
    }

    pub(super) async fn pay(&mut self) {
        let chosen = self.below(self.orders.len() as u64) as usize;
        let order = self.orders[chosen].clone();
        let token = self.token();
        // Occasionally the same request is repeated, as impatient clients do.
        if !self.chance(40) {
            self.payments += 1;
        }
        let payment = events::new_payment(&format!("payment-{}", self.payments), &order, token);
        let called = self.request("create-payment", payment).await;
        self.note(&format!(
            "payment {} of {order} with {token}: {} {}",
            self.payments,
            called.status(),
            called.json()["code"]
        ));
    }

    /// An admin cancels, ships or delivers an order.
    pub(super) async fn step(&mut self) {
        let chosen = self.below(self.orders.len() as u64) as usize;
        let order = self.orders[chosen].clone();
        let status = self
            .shop
            .aws
            .orders()
            .iter()
            .find(|item| text(item, "order_id") == order)
            .map(|item| text(item, "status"));
        // Mostly the next regular transition, occasionally an invalid one.
        let operation = match (status.unwrap_or_default().as_str(), self.below(20)) {
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
        self.note(&format!(
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
        self.note(&format!(
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
        let event = events::webhook(
            self.shop.aws.secrets_manager(),
            self.shop.clock.now(),
            &event_id,
            &payment,
        );
        let called = self.request("receive-payment-webhook", event).await;
        self.note(&format!(
            "webhook {event_id} about {payment}: {} {}",
            called.status(),
            called.json()["code"]
        ));
        assert!(
            [200, 503].contains(&called.status()),
            "{:?}\n{}",
            called.answer,
            self.trace_report()
        );
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
        let adjustment =
            events::adjustment(&format!("movement-{}", self.admin_requests), &self.product, &body);
        let called = self.request("adjust-stock", adjustment).await;
        self.note(&format!("the stock, {body}: {} {}", called.status(), called.json()["code"]));
    }

    /// A random payment attempt, if there is one.
    fn any_payment(&mut self) -> Option<String> {
        let items = self.shop.aws.items("payments");
        let attempts: Vec<&Value> =
            items.iter().filter(|item| text(item, "sk").starts_with("ATTEMPT#")).collect();
        if attempts.is_empty() {
            return None;
        }
        Some(text(attempts[self.below(attempts.len() as u64) as usize], "payment_id"))
    }

    /// Sends a request with injected faults. Asserts that it succeeds, is rejected, or fails with a
    /// retryable 503.
    pub(super) async fn request(&mut self, operation: &str, event: Value) -> Called {
        self.inject_faults();
        let called = self.shop.call(operation, event).await;
        self.clear_faults();
        let status = called.status();
        assert!(
            status < 500 || status == 503,
            "{operation}: {:?}\n{}",
            called.answer,
            self.trace_report()
        );
        called
    }
}
