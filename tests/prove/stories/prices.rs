//! Markets, their rules and products, as admins change them: orders has copies of all of them.

use std::sync::Arc;

use serde_json::{Value, json};
use tests::{
    dynamodb::{Item, number, text},
    events::{self, Http},
};

use super::paths;
use crate::stage::Stage;

/// The market of the stories.
const MARKET: &str = "gb";
/// How often a repair runs before it is a violation.
const MOST_REPAIRS: usize = 20;

/// Admins change a product and the rules of a market, then delete the market. A copy of its rules
/// is lost, and repaired.
pub(super) async fn changed(stage: &mut Stage) {
    let rules = Rules::create(stage).await;
    let another = json!({
        "id": "uk", "name": "Another", "currency": "USD", "prices_include_tax": false, "countries": ["GB"],
    });
    let request = events::post("/markets", &another).header("idempotency-key", "uk");
    stage.manage("create-market", request, &[422]).await;

    let id = stage.product.clone();
    let product =
        json!({ "name": "teapot", "category": "kitchen", "sku": "TEAPOT", "price": usd(1999) });
    stage.change("update-product", ("product_id", &id), 1, &product).await;
    let (method, rate) = (("shipping_method_id", &*rules.method), ("tax_rate_id", &*rules.rate));
    let (sale, market) = (("promotion_id", &*rules.promotion), ("market", MARKET));
    stage.change("update-shipping-method", method, 1, &json!({ "name": "Letter" })).await;
    stage.change("update-tax-rate", rate, 1, &json!({ "treatment": "reduced" })).await;
    stage.change("update-promotion", sale, 1, &json!({ "percent_bp": 500 })).await;
    let version = stage.market_version();
    stage.change("update-market", market, version, &json!({ "countries": ["IE"] })).await;
    stage.drain().await;
    stage.repair_copy().await;
    stage.check_copied();

    stage.delete("delete-shipping-method", method, 2).await;
    stage.delete("delete-tax-rate", rate, 2).await;
    stage.delete("delete-promotion", sale, 2).await;
    let version = stage.market_version();
    stage.delete("delete-market", market, version).await;
    stage.drain().await;
    stage.check_copied();
    stage.check_deleted();

    paths::cancelled_unpaid(stage).await;
}

/// The ids of the rules of a market.
struct Rules {
    method: String,
    rate: String,
    promotion: String,
}

impl Rules {
    /// Creates the market with a rule of each kind.
    async fn create(stage: &mut Stage) -> Self {
        let market = json!({
            "id": MARKET, "name": "Britain", "currency": "USD", "prices_include_tax": false, "countries": ["GB"],
        });
        stage.create("create-market", &market).await;
        let method = json!({ "name": "Parcel", "price": usd(490) });
        let method = stage.create("create-shipping-method", &method).await;
        let rate = json!({
            "country": "GB", "tax_class": "standard", "treatment": "standard",
            "rates": [{ "name": "VAT", "ppm": 200_000 }], "valid_from": "2021-01-01T00:00:00Z",
        });
        let rate = stage.create("create-tax-rate", &rate).await;
        let sale =
            json!({ "name": "Sale", "markets": [MARKET], "target": "line", "percent_bp": 1000 });
        let promotion = stage.create("create-promotion", &sale).await;
        stage.drain().await;
        Self { method, rate, promotion }
    }
}

impl Stage {
    /// An admin sends a request until it has one of these statuses.
    async fn manage(&mut self, operation: &str, request: Http, expected: &[u64]) -> Value {
        let request = request.caller(events::ADMIN).path_parameter("market", MARKET);
        let called = self.insist(operation, request).await;
        let is_expected = expected.contains(&called.status());
        self.ensure(is_expected, || format!("{operation}: {:?}", called.answer));
        called.json()
    }

    /// Creates a market or a rule, and returns its id.
    async fn create(&mut self, operation: &str, body: &Value) -> String {
        let request = events::post("/markets", body).header("idempotency-key", operation);
        let created = self.manage(operation, request, &[201]).await;
        created["id"].as_str().unwrap_or_default().to_owned()
    }

    /// Changes this version of a record. A repeated request has the answer of the first one.
    async fn change(&mut self, operation: &str, of: (&str, &str), version: i64, body: &Value) {
        let request = events::http("PATCH", "/markets")
            .header("content-type", "application/json")
            .header("if-match", &format!("\"{version}\""))
            .body(&body.to_string());
        self.manage(operation, request.path_parameter(of.0, of.1), &[200]).await;
    }

    /// Deletes this version of a record. A repeated request does not find it.
    async fn delete(&mut self, operation: &str, of: (&str, &str), version: i64) {
        let request = events::http("DELETE", "/markets")
            .header("if-match", &format!("\"{version}\""))
            .path_parameter(of.0, of.1);
        self.manage(operation, request, &[204, 404]).await;
    }

    /// A copy of the rules is lost, and published again.
    async fn repair_copy(&mut self) {
        let key = json!({ "pk": { "S": format!("PRICING#{MARKET}#IE") } });
        self.shop.aws.delete("order-products", &key);
        for _ in 0..MOST_REPAIRS {
            self.advance_clock(1);
            self.sweep("resync-pricing").await;
            self.drain().await;
            if self.shop.aws.item("order-products", &key).is_some() {
                return;
            }
        }
        self.fail("a lost copy of rules is not published again");
    }

    /// The version of the market.
    fn market_version(&self) -> i64 {
        let items = self.shop.aws.stored("pricing");
        let head = items.iter().find(|item| text(item, "sk") == "HEAD");
        head.map_or(0, |head| number(head, "version"))
    }

    /// Checks that orders has the latest version of the product and of the rules for each country.
    fn check_copied(&self) {
        let copies = self.shop.aws.stored("order-products");
        let version_of = |key: &str| {
            let copy = copies.iter().find(|copy| text(copy, "pk") == key);
            copy.map_or(0, |copy| number(copy, "version"))
        };
        let product = version_of(&format!("PRODUCT#{}", self.product));
        self.ensure(product == 2, || format!("orders has version {product} of the product"));
        for country in ["GB", "IE"] {
            let (copied, latest) =
                (version_of(&format!("PRICING#{MARKET}#{country}")), self.market_version());
            self.ensure(copied == latest, || {
                format!("orders has version {copied} of the rules for {country}, not {latest}")
            });
        }
    }

    /// Checks that no rule is left, and that no market serves a country.
    fn check_deleted(&self) {
        let is_left = |item: &Arc<Item>| {
            let (pk, sk) = (text(item, "pk"), text(item, "sk"));
            let is_rule =
                ["SHIPPING#", "TAX#", "PROMOTION#"].iter().any(|kind| sk.starts_with(kind));
            is_rule || pk.starts_with("PROMOTION#") || pk.starts_with("COUNTRY#")
        };
        let left = self.shop.aws.stored("pricing").into_iter().find(is_left);
        self.ensure(left.is_none(), || format!("a rule of a deleted market is left: {left:?}"));
    }
}

fn usd(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}
