//! Tests of the price: worked examples, properties of random carts, refusals, and the reading of
//! the rules.

mod document;
mod examples;
mod properties;
mod refusals;
pub(crate) mod sample;
mod steps;

use serde_json::{Value, json};
use shared::{
    address::CountryCode,
    clock::Timestamp,
    ids::{self, LineId, PrefixedId, ProductId, PromotionId, ShippingMethodId},
    money::{Currency, MAX_AMOUNT, Money},
};

use crate::domain::pricing::*;

const NOW: Timestamp = Timestamp::from_milliseconds(1_795_255_200_000);
const LONG_AGO: &str = "2020-01-01T00:00:00.000Z";

/// An id whose order is that of `number`.
fn id<I: PrefixedId>(number: usize) -> I {
    I::parse(&format!("{}_00000000-0000-7000-8000-{number:012x}", I::PREFIX)).unwrap()
}

fn pricing(document: Value) -> Pricing {
    let mut rules = json!({ "currency": "EUR", "prices_include_tax": true, "served": true });
    let fields = rules.as_object_mut().unwrap();
    fields.extend(document.as_object().unwrap().clone());
    let pricing = json!({ "market": "de", "country": "DE", "version": 7, "document": rules });
    serde_json::from_value(pricing).unwrap()
}

fn vat(class: &str, ppm: u32) -> Value {
    json!({
        "tax_class": class,
        "treatment": "standard",
        "rates": [{ "name": "VAT", "ppm": ppm }],
        "valid_from": LONG_AGO,
    })
}

fn parcel(price: u32) -> Value {
    json!({ "id": id::<ShippingMethodId>(1), "name": "Parcel", "price": price, "tax": "proportional" })
}

/// A line whose product costs `amount` euro cents.
fn line(number: usize, quantity: u32, amount: i64) -> Line {
    let amount = Money::new(amount, Currency::parse("EUR").unwrap());
    let product = Product {
        product_id: id(number),
        unit_price: Some(UnitPrice { amount, compare_at: None }),
        tax_class: TaxClass::default(),
        weight_g: 0,
        requires_shipping: false,
        category: None,
    };
    Line { line_id: id(number), quantity, product }
}

fn shipped(line: Line) -> Line {
    let product = Product { requires_shipping: true, weight_g: 500, ..line.product };
    Line { product, ..line }
}

fn to(country: &str, region: Option<&str>) -> Destination {
    let country = CountryCode::parse(country).unwrap();
    Destination { country, region: region.map(str::to_owned) }
}

fn estimate_in_germany(pricing: &Pricing, lines: &[Line]) -> Estimate {
    let shipping_method = Some(id(1));
    let destination = &to("DE", None);
    estimate(&PriceRequest { pricing, lines, destination, shipping_method, now: NOW })
}

fn price_in_germany(pricing: &Pricing, lines: &[Line]) -> Priced {
    let Estimate { priced, refusals } = estimate_in_germany(pricing, lines);
    assert_eq!(refusals, []);
    priced.unwrap()
}

#[test]
fn line_id_depends_on_cart_and_product() {
    let (one, other): (ProductId, ProductId) = (id(1), id(2));
    assert_eq!(line_id("crt_1", one), line_id("crt_1", one));
    assert_ne!(line_id("crt_1", one), line_id("crt_2", one));
    assert_ne!(line_id("crt_1", one), line_id("crt_1", other));
    assert!(LineId::parse(&line_id("crt_1", one).to_string()).is_some());
    assert_ne!(line_id("crt_1", one).uuid(), ids::derive::<PromotionId>(&["crt_1"]).uuid());
}
