//! The markets of the shop: one whose prices include tax, and one with two tax rates that are
//! added. The functions of pricing create them, and orders has copies of their rules.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use tests::{
    dynamodb::{Attribute, Item, number, text},
    events::{self, Http},
    shop::Shop,
};

use super::Stage;

/// The price of the second product, in cents.
const ATLAS: i64 = 1450;

/// A destination of the markets.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub market: &'static str,
    country: &'static str,
    region: Option<&'static str>,
}

pub const PLACES: [Place; 3] = [
    Place { market: "uk", country: "GB", region: None },
    Place { market: "uk", country: "IE", region: None },
    Place { market: "us", country: "US", region: Some("CA") },
];

/// The kinds of rules in the partition of a market: the prefixes of their keys.
pub const METHOD: &str = "SHIPPING#";
pub const RATE: &str = "TAX#";
/// A promotion has a partition of its own.
pub const PROMOTION: &str = "PROMOTION#";

/// A rule as it is stored.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The market; empty for a promotion.
    pub market: String,
    pub id: String,
    pub version: i64,
    pub details: Value,
}

/// The lines, address and shipping method that a buyer orders in a market.
#[derive(Clone, Debug)]
pub struct Checkout {
    pub place: Place,
    /// Products and their quantities.
    pub lines: Vec<(String, u32)>,
    pub shipping_method: Option<String>,
}

impl Place {
    /// An address of Ada's at this place.
    pub fn address(self) -> Value {
        let mut address = events::order_request("", 1, None)["shipping_address"].take();
        address["country"] = self.country.into();
        if let Some(region) = self.region {
            address["region"] = region.into();
        }
        address
    }
}

impl Checkout {
    /// The request for a preview of the price.
    pub fn preview(&self) -> Http {
        let mut body = json!({
            "market": self.place.market,
            "lines": self.lines(),
            "shipping_address": self.place.address(),
        });
        if let Some(method) = &self.shipping_method {
            body["shipping_method"] = method.as_str().into();
        }
        events::post("/prices/preview", &body)
    }

    /// The body of an order request that expects this total.
    pub fn order(&self, total: i64, token: Option<&str>) -> Value {
        let mut body = json!({
            "market": self.place.market,
            "items": self.lines(),
            "shipping_address": self.place.address(),
            "expected_total": usd(total),
        });
        if let Some(method) = &self.shipping_method {
            body["shipping_method"] = method.as_str().into();
        }
        if let Some(token) = token {
            body["payment_method"] = json!({ "type": "card", "token": token });
        }
        body
    }

    fn lines(&self) -> Value {
        let line = |(product, quantity): &(String, u32)| json!({ "product_id": product, "quantity": quantity });
        self.lines.iter().map(line).collect()
    }
}

pub fn usd(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

/// The request of an admin that creates a rule of a market, or a promotion if `market` is empty.
pub fn creation(market: &str, key: &str, body: &Value) -> Http {
    let request = events::post("/markets", body).caller(events::ADMIN);
    request.path_parameter("market", market).header("idempotency-key", key)
}

/// The body of a promotion of this percentage, in both markets.
pub fn promotion(target: &str, basis_points: i64) -> Value {
    json!({
        "name": format!("Less for {target}"), "markets": ["uk", "us"], "target": target,
        "percent_bp": basis_points, "combinable": true,
    })
}

/// Creates a second product with this stock, and the markets. Returns the id of the product.
pub(super) async fn open(shop: &Shop, in_stock: u32) -> String {
    let product = json!({
        "name": "atlas", "category": "books", "sku": "ATLAS", "price": usd(ATLAS),
        "tax_class": "reduced", "weight_g": 800,
        "prices": [{ "market": "us", "currency": "USD", "amount": ATLAS - 51 }],
    });
    let created = shop.call("create-product", events::new_product("atlas", &product)).await;
    assert_eq!(created.status(), 201, "{:?}", created.answer);
    let product = created.json()["id"].as_str().unwrap_or_default().to_owned();
    let delivery = json!({ "delta": in_stock, "reason": "first delivery" });
    let delivered =
        shop.call("adjust-stock", events::adjustment("atlas", &product, &delivery)).await;
    assert_eq!(delivered.status(), 201, "{:?}", delivered.answer);

    let market = |id: &str, prices_include_tax: bool, countries: &[&str]| {
        json!({
            "id": id, "name": id, "currency": "USD", "prices_include_tax": prices_include_tax,
            "minimum_charge": 50, "countries": countries,
        })
    };
    create(shop, "create-market", "", &market("uk", true, &["GB", "IE"])).await;
    create(shop, "create-market", "", &market("us", false, &["US"])).await;
    let rate = |country: &str, class: &str, rates: &[(&str, i64)]| {
        let rates: Value =
            rates.iter().map(|(name, ppm)| json!({ "name": name, "ppm": ppm })).collect();
        json!({
            "country": country, "tax_class": class, "treatment": class, "rates": rates,
            "valid_from": "2026-01-01T00:00:00Z",
        })
    };
    for (country, class, ppm) in [
        ("GB", "standard", 200_000),
        ("GB", "reduced", 50_000),
        ("IE", "standard", 230_000),
        ("IE", "reduced", 90_000),
    ] {
        create(shop, "create-tax-rate", "uk", &rate(country, class, &[("VAT", ppm)])).await;
    }
    for (class, rates) in [
        ("standard", [("State", 60_000), ("County", 12_500)].as_slice()),
        ("reduced", [("State", 60_000)].as_slice()),
    ] {
        let mut rate = rate("US", class, rates);
        rate["region"] = "CA".into();
        create(shop, "create-tax-rate", "us", &rate).await;
    }
    // The tax of this method follows from the goods.
    let parcel = json!({ "name": "Parcel", "price": usd(490), "free_from": usd(7500) });
    let express = json!({ "name": "Express", "price": usd(1290), "tax_class": "standard" });
    create(shop, "create-shipping-method", "uk", &parcel).await;
    create(shop, "create-shipping-method", "uk", &express).await;
    create(shop, "create-shipping-method", "us", &parcel).await;
    let mut sale = promotion("line", 1500);
    sale["categories"] = json!(["books"]);
    create(shop, "create-promotion", "", &sale).await;
    product
}

async fn create(shop: &Shop, operation: &str, market: &str, body: &Value) {
    let key = format!("{operation}-{}", shop.aws.requests());
    let created = shop.call(operation, creation(market, &key, body).event()).await;
    assert_eq!(created.status(), 201, "{operation}: {:?}", created.answer);
}

impl Stage {
    /// The stored rules of a kind, in the order of their keys.
    pub fn rules(&self, kind: &str) -> Vec<Rule> {
        let items = self.shop.aws.stored("pricing");
        let is_promotion = kind == PROMOTION;
        let of_kind = items.iter().filter(|item| {
            let key = if is_promotion { text(item, "pk") } else { text(item, "sk") };
            key.starts_with(kind)
        });
        let rule = |item: &Arc<Item>| Rule {
            market: text(item, "pk").strip_prefix("MARKET#").unwrap_or_default().to_owned(),
            id: text(item, "id").to_owned(),
            version: number(item, "version"),
            details: item.get("details").map(plain).unwrap_or_default(),
        };
        of_kind.map(rule).collect()
    }

    /// Checks that every document is compiled from the current rules, and that the copy in orders
    /// equals it. Requires that all messages are delivered.
    pub fn check_documents(&self) {
        let items = self.shop.aws.stored("pricing");
        let of_kind = |kind: &'static str| {
            items.iter().filter(move |item| text(item, "sk").starts_with(kind))
        };
        let markets: BTreeMap<&str, i64> =
            of_kind("HEAD").map(|head| (text(head, "pk"), number(head, "version"))).collect();
        let copies = self.shop.aws.stored("order-products");
        for compiled in of_kind("DOCUMENT#") {
            let market = text(compiled, "pk");
            let name = format!("{}#{}", text(compiled, "market"), text(compiled, "country"));
            let version = number(compiled, "version");
            self.ensure(markets.get(market) == Some(&version), || {
                format!("the document {name} has version {version}, and the markets {markets:?}")
            });
            let copy = copies.iter().find(|copy| text(copy, "pk") == format!("PRICING#{name}"));
            let kept = copy.map(|copy| (number(copy, "version"), document(copy)));
            let newest = (version, compiled.get("document").map(plain).unwrap_or_default());
            self.ensure(kept.as_ref() == Some(&newest), || {
                format!("the document {name} is {newest:?}, and its copy {kept:?}")
            });
        }
    }
}

/// The rules in a copy of orders, which are JSON text.
fn document(copy: &Item) -> Value {
    serde_json::from_str(text(copy, "document")).unwrap_or_default()
}

/// A stored value as JSON.
pub(super) fn plain(value: &Attribute) -> Value {
    match value {
        Attribute::S(text) => text.as_str().into(),
        Attribute::N(number) => serde_json::from_str(number.text()).unwrap_or_default(),
        Attribute::Bool(is_true) => (*is_true).into(),
        Attribute::Null(_) => Value::Null,
        Attribute::M(members) => {
            members.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        Attribute::L(values) => values.iter().map(plain).collect(),
        Attribute::Texts(texts) => texts.iter().map(String::as_str).collect(),
    }
}
