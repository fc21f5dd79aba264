//! The rules of prices: admins change them, and their changes reach orders by messages that are
//! lost, repeated and delivered out of order like all others.

use std::time::Duration;

use serde_json::{Value, json};
use tests::events::{self, Http};

use super::Schedule;
use crate::stage::markets::{METHOD, PROMOTION, RATE, Rule, creation, promotion, usd};

/// The queues and the table of the rules of prices.
const RULE_QUEUES: [&str; 2] = ["compile-market", "replicate-pricing"];
const RULE_TABLE: &str = "pricing";
/// Maximum of attempts of an admin to send a request.
const MOST_ATTEMPTS: usize = 3;
/// The duration of a promotion that ends, in seconds.
const LASTS: u64 = 300;

impl Schedule {
    /// An admin changes a rule.
    pub(super) async fn change_rules(&mut self) {
        match self.below(12) {
            0..4 => self.promote().await,
            4 | 5 => self.end_promotion().await,
            6 => self.give_away().await,
            7 | 8 => self.change_rate().await,
            9 => self.add_or_delete_method().await,
            10 => self.change_method().await,
            _ => self.resync().await,
        }
    }

    async fn promote(&mut self) {
        let target = ["line", "order", "order", "shipping"][self.below(4) as usize];
        let mut body = promotion(target, 500 + 500 * self.below(8) as i64);
        if self.chance(30) {
            body["percent_bp"] = Value::Null;
            body["fixed"] = json!([usd(1 + self.below(1500) as i64)]);
        }
        if self.chance(30) {
            body["min_subtotal"] = json!([usd(4000)]);
        }
        if self.chance(30) {
            let category = ["kitchen", "books"][self.below(2) as usize];
            body["categories"] = json!([category]);
        }
        if self.chance(30) {
            body["products"] = json!([self.stage.product]);
        }
        if self.chance(30) {
            let ends = self.stage.shop.clock.now().plus(Duration::from_secs(LASTS));
            body["ends_at"] = ends.to_string().into();
        }
        body["priority"] = self.below(3).into();
        body["combinable"] = self.chance(60).into();
        self.create("create-promotion", "", &body).await;
    }

    async fn end_promotion(&mut self) {
        if let Some(rule) = self.any_rule(PROMOTION) {
            let request = changing(&rule, "promotion_id", "DELETE");
            self.administer("delete-promotion", request).await;
        }
    }

    /// Creates promotions that reduce goods and shipping to 0.
    async fn give_away(&mut self) {
        for target in ["order", "shipping"] {
            self.create("create-promotion", "", &promotion(target, 10_000)).await;
        }
    }

    async fn change_rate(&mut self) {
        let Some(rule) = self.any_rule(RATE) else { return };
        let mut rates = rule.details["rates"].clone();
        for rate in rates.as_array_mut().into_iter().flatten() {
            rate["ppm"] = [10_000, 77_000, 175_000, 212_500][self.below(4) as usize].into();
        }
        let request = changing(&rule, "tax_rate_id", "PATCH");
        let request = request.body(&json!({ "rates": rates }).to_string());
        self.administer("update-tax-rate", request).await;
    }

    async fn add_or_delete_method(&mut self) {
        if self.chance(50) {
            let market = ["uk", "us"][self.below(2) as usize];
            let price = 100 + self.below(900) as i64;
            let body = json!({ "name": format!("Van at {price}"), "price": usd(price) });
            self.create("create-shipping-method", market, &body).await;
        } else if let Some(rule) = self.any_rule(METHOD) {
            let request = changing(&rule, "shipping_method_id", "DELETE");
            self.administer("delete-shipping-method", request).await;
        }
    }

    async fn change_method(&mut self) {
        let Some(rule) = self.any_rule(METHOD) else { return };
        let price = self.below(2000) as i64;
        let request = changing(&rule, "shipping_method_id", "PATCH");
        let request = request.body(&json!({ "price": usd(price) }).to_string());
        self.administer("update-shipping-method", request).await;
    }

    /// Compiles and publishes all markets again.
    async fn resync(&mut self) {
        self.inject_faults();
        self.stage.sweep("resync-pricing").await;
        self.clear_faults();
    }

    async fn create(&mut self, operation: &str, market: &str, body: &Value) {
        self.admin_requests += 1;
        let key = format!("rule-{}", self.admin_requests);
        self.administer(operation, creation(market, &key, body)).await;
    }

    fn any_rule(&mut self, kind: &str) -> Option<Rule> {
        let mut rules = self.stage.rules(kind);
        if rules.is_empty() {
            return None;
        }
        let chosen = self.below(rules.len() as u64) as usize;
        Some(rules.swap_remove(chosen))
    }

    /// Sends a request of an admin, sometimes again if its outcome is unknown. The request is
    /// valid. It is rejected only if an earlier attempt has deleted its rule.
    async fn administer(&mut self, operation: &str, request: Http) {
        for attempt in 0..MOST_ATTEMPTS {
            let called = self.request(operation, request.clone().event()).await;
            let status = called.status();
            self.stage.note(&format!("{operation}: {status} {}", called.json()["code"]));
            if status < 300 || attempt > 0 && status == 404 {
                return;
            }
            self.stage.ensure([502, 503].contains(&status), || {
                format!("{operation}: {:?}", called.answer)
            });
        }
    }

    /// Publishes the changes of rules.
    pub(super) async fn publish_rules(&mut self) {
        self.publish_changes(RULE_TABLE).await;
    }

    /// Delivers a random message about rules.
    pub(super) async fn deliver_rules(&mut self) {
        self.deliver_one(&RULE_QUEUES).await;
    }

    /// Delivers the changes of rules to orders, unless their messages are lost or fail too often.
    pub(super) async fn pass_rules(&mut self) {
        for _ in 0..4 {
            self.publish_rules().await;
            for _ in 0..4 {
                self.deliver_rules().await;
            }
        }
    }
}

/// A request that changes or deletes a rule in the version that the admin has read.
fn changing(rule: &Rule, parameter: &str, method: &str) -> Http {
    let request = events::http(method, "/markets").caller(events::ADMIN);
    let request = request.header("content-type", "application/json");
    let request = request.header("if-match", &format!("\"{}\"", rule.version));
    request.path_parameter("market", &rule.market).path_parameter(parameter, &rule.id)
}
