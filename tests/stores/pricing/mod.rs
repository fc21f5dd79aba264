//! Pricing: versioned changes, the validation of markets, and documents that orders can read.

mod changes;
mod documents;
mod validation;

use std::ops::Deref;

use serde_json::{Value, json};
use tests::{
    aws::{Aws, Called},
    events::{self, ADMIN, Http},
    harness::Harness,
    shop::{Shop, clock},
};

/// A shop whose admins manage prices.
struct PricingFixture(Shop);

impl Deref for PricingFixture {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.0
    }
}

/// A resource of the API: the last words of its operations, and its path.
struct Resource {
    name: &'static str,
    list: &'static str,
    path: &'static str,
    id: &'static str,
}

const MARKETS: Resource =
    Resource { name: "market", list: "markets", path: "/markets", id: "market" };
const METHODS: Resource = Resource {
    name: "shipping-method",
    list: "shipping-methods",
    path: "/markets/de/shipping-methods",
    id: "shipping_method_id",
};
const RATES: Resource = Resource {
    name: "tax-rate",
    list: "tax-rates",
    path: "/markets/de/tax-rates",
    id: "tax_rate_id",
};
const PROMOTIONS: Resource =
    Resource { name: "promotion", list: "promotions", path: "/promotions", id: "promotion_id" };

impl Resource {
    fn request(&self, request: Http, id: Option<&str>) -> Http {
        let request = request.caller(ADMIN);
        let request =
            if self.id == "market" { request } else { request.path_parameter("market", "de") };
        id.map_or(request.clone(), |id| request.path_parameter(self.id, id))
    }
}

impl PricingFixture {
    fn new() -> Self {
        Self::over(Aws::new())
    }

    fn over(aws: Aws) -> Self {
        Self(Shop::over(aws, clock()))
    }

    /// A shop with the market `de`.
    async fn with_germany() -> Self {
        let shop = Self::new();
        shop.created(&MARKETS, "de", &market("de", "EUR", &["DE"])).await;
        shop
    }

    async fn create(&self, of: &Resource, key: &str, body: &Value) -> Called {
        let request = events::post(of.path, body).header("idempotency-key", key);
        self.call(&format!("create-{}", of.name), of.request(request, None).event()).await
    }

    /// Creates a record and returns its id.
    async fn created(&self, of: &Resource, key: &str, body: &Value) -> String {
        let created = self.create(of, key, body).await;
        assert_eq!(created.status(), 201, "{:?}", created.answer);
        created.json()["id"].as_str().unwrap().to_owned()
    }

    async fn get(&self, of: &Resource, id: &str) -> Called {
        let request = events::get(&format!("{}/{id}", of.path));
        self.call(&format!("get-{}", of.name), of.request(request, Some(id)).event()).await
    }

    async fn list(&self, of: &Resource, query: &str) -> Called {
        let request = events::get(&format!("{}?{query}", of.path));
        self.call(&format!("list-{}", of.list), of.request(request, None).event()).await
    }

    async fn update(&self, of: &Resource, id: &str, version: u64, body: &Value) -> Called {
        let request = events::http("PATCH", &format!("{}/{id}", of.path))
            .header("content-type", "application/json")
            .header("if-match", &format!("\"{version}\""))
            .body(&body.to_string());
        self.call(&format!("update-{}", of.name), of.request(request, Some(id)).event()).await
    }

    async fn delete(&self, of: &Resource, id: &str, version: u64) -> Called {
        let request = events::http("DELETE", &format!("{}/{id}", of.path))
            .header("if-match", &format!("\"{version}\""));
        self.call(&format!("delete-{}", of.name), of.request(request, Some(id)).event()).await
    }

    /// Publishes changes and compiles markets. Published documents stay in their queue.
    fn compiler(&self) -> Harness {
        self.publisher("pricing").consumer("compile-market", self.lambda("compile-market"))
    }

    /// The documents that were published since the last call.
    fn published(&self) -> Vec<Value> {
        let messages = self.aws.queues().take("replicate-pricing", 1000);
        messages.iter().map(|message| message.json()["data"].clone()).collect()
    }

    /// The stored version of a market.
    fn version(&self, market: &str) -> u64 {
        let key = json!({ "pk": { "S": format!("MARKET#{market}") }, "sk": { "S": "HEAD" } });
        let head = self.aws.item("pricing", &key).unwrap();
        head["version"]["N"].as_str().unwrap().parse().unwrap()
    }
}

fn refusal(called: &Called) -> (u64, String) {
    (called.status(), called.code())
}

fn is(status: u64, code: &str) -> (u64, String) {
    (status, code.to_owned())
}

fn market(id: &str, currency: &str, countries: &[&str]) -> Value {
    json!({
        "id": id, "name": id, "currency": currency, "prices_include_tax": true,
        "minimum_charge": 50, "countries": countries,
    })
}

fn parcel() -> Value {
    json!({ "name": "Parcel", "price": { "amount": 490, "currency": "EUR" } })
}

fn vat(country: &str) -> Value {
    json!({
        "country": country, "tax_class": "standard", "treatment": "standard",
        "rates": [{ "name": "VAT", "ppm": 190_000 }], "valid_from": "2021-01-01T00:00:00Z",
    })
}

fn sale(markets: &[&str]) -> Value {
    json!({ "name": "Sale", "markets": markets, "target": "line", "percent_bp": 2500 })
}
