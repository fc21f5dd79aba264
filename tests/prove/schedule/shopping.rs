//! Buyers in markets preview the price and order at the previewed price. The rules change in
//! between.

use serde_json::Value;
use tests::{aws::Called, events};

use super::{Schedule, met, people::MOST_ATTEMPTS};
use crate::stage::markets::{Checkout, PLACES};

/// Maximum number of previews of the same checkout.
const MOST_PREVIEWS: usize = 4;
/// The reasons for which a preview or an order in a market is refused after a change of its rules.
pub(super) const REFUSALS: [&str; 3] =
    ["shipping_unavailable", "shipping_method_required", "below_minimum"];

impl Schedule {
    /// Places an order in a market. Returns whether it is placed: the buyer stops if the price
    /// changes too often.
    pub(super) async fn place_in_market(&mut self, number: u64) -> bool {
        let buyer = Self::buyer(number);
        let mut checkout = self.random_checkout();
        for attempt in 0..MOST_PREVIEWS {
            let Some(seen) = self.preview(&mut checkout).await else { continue };
            self.meanwhile().await;
            let token = if self.chance(70) { Some(self.token()) } else { None };
            let key = format!("market-{number}-{attempt}");
            let answer = self.order(&key, &buyer, &checkout.order(seen, token)).await;
            if let Ok(placed) = &answer {
                self.accept(placed, &buyer, seen);
                return true;
            }
            let refused = answer.unwrap_or_else(|problem| problem);
            let Some(total) = refused["total"]["amount"].as_i64() else { continue };
            if self.chance(50) {
                // Nothing changes between the refusal and this order, which accepts the new price.
                let key = format!("{key}-accepted");
                let placed = self.order(&key, &buyer, &checkout.order(total, token)).await;
                self.stage.ensure(placed.is_ok(), || {
                    format!("the price {total} is accepted and refused again: {placed:?}")
                });
                self.accept(&placed.unwrap_or_default(), &buyer, total);
                self.facts.push("a changed price, accepted");
                return true;
            }
        }
        false
    }

    fn accept(&mut self, placed: &Value, buyer: &str, total: i64) {
        self.stage.note(&format!("placed {} at {total}", placed["id"]));
        self.stage.ensure(!placed["price"].is_null(), || format!("no price: {placed:#}"));
        let id = placed["id"].as_str().unwrap_or_default().to_owned();
        self.stage.placed_at(id, buyer.to_owned(), total);
        self.facts.push(if total == 0 { met::FREE_ORDER } else { "an order in a market" });
    }

    fn random_checkout(&mut self) -> Checkout {
        let place = PLACES[self.below(PLACES.len() as u64) as usize];
        let products = self.stage.products.clone();
        let chosen = self.below(3) as usize;
        let chosen = if chosen == 2 { products } else { vec![products[chosen].clone()] };
        let lines = chosen.into_iter().map(|product| (product, 1 + self.below(3) as u32)).collect();
        Checkout { place, lines, shipping_method: None }
    }

    /// Previews the price and chooses a shipping method. Returns the total, or `None` if the
    /// lines cannot be ordered now.
    async fn preview(&mut self, checkout: &mut Checkout) -> Option<i64> {
        for _ in 0..MOST_PREVIEWS {
            let called = self.ask("preview-prices", &checkout.preview().event()).await;
            self.stage.ensure(called.status() == 200, || format!("{:?}", called.answer));
            let preview = called.json();
            let refusals = preview["refusals"].as_array().cloned().unwrap_or_default();
            let refusal = refusals.first().map(|refusal| refusal["code"].clone());
            self.stage.note(&format!("a preview: {} {refusal:?}", preview["totals"]["total"]));
            let Some(refusal) = refusal else {
                return preview["totals"]["total"]["amount"].as_i64();
            };
            let is_expected = refusal.as_str().is_some_and(|code| REFUSALS.contains(&code));
            self.stage.ensure(is_expected, || format!("a preview is refused: {refusals:?}"));
            let options = preview["shipping_options"].as_array().cloned().unwrap_or_default();
            if options.is_empty() || refusal == "below_minimum" {
                return None;
            }
            let option = &options[self.below(options.len() as u64) as usize];
            checkout.shipping_method = option["method_id"].as_str().map(str::to_owned);
        }
        None
    }

    /// Advances the shop between the preview of a price and the order.
    pub(super) async fn meanwhile(&mut self) {
        if self.chance(60) {
            self.change_rules().await;
            if self.chance(80) {
                self.pass_rules().await;
            }
        }
        if self.chance(40) {
            let seconds = [1, 10, 60, 600][self.below(4) as usize];
            self.stage.advance_clock(seconds);
        }
    }

    /// Orders, until the request has an answer: the order, or the problem. A refused request has
    /// written nothing.
    async fn order(&mut self, key: &str, buyer: &str, body: &Value) -> Result<Value, Value> {
        let request = events::post("/orders", body).caller(buyer).header("idempotency-key", key);
        let event = request.event();
        for _ in 0..MOST_ATTEMPTS {
            let writes = self.stage.shop.aws.writes();
            let called = self.request("create-order", event.clone()).await;
            let (status, answer) = (called.status(), called.json());
            match status {
                201 => return Ok(answer),
                502 | 503 => continue,
                _ => {}
            }
            let code = reason(&answer);
            self.stage.note(&format!("create-order {key}: {status} {code}"));
            let is_expected = code == "price_changed" || REFUSALS.contains(&code.as_str());
            let wrote = self.stage.shop.aws.writes() - writes;
            self.stage.ensure(is_expected && wrote == 0, || {
                format!("create-order writes {wrote} times, and is refused: {:?}", called.answer)
            });
            self.facts.push(if code == "price_changed" { met::CHANGED_PRICE } else { "a refusal" });
            return Err(answer);
        }
        self.stage.fail(&format!("create-order failed {MOST_ATTEMPTS} times"))
    }

    /// Sends a request until its function answers.
    pub(super) async fn ask(&mut self, operation: &str, event: &Value) -> Called {
        for _ in 0..MOST_ATTEMPTS {
            let called = self.request(operation, event.clone()).await;
            if ![502, 503].contains(&called.status()) {
                return called;
            }
        }
        self.stage.fail(&format!("{operation} failed {MOST_ATTEMPTS} times"))
    }
}

/// Why a request is refused: the code of its first invalid field, or of the problem.
pub(super) fn reason(problem: &Value) -> String {
    let code = problem["errors"][0]["code"].as_str().or_else(|| problem["code"].as_str());
    code.unwrap_or_default().to_owned()
}
