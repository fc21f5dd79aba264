//! Reading the rules that the service pricing publishes.

use super::*;
use crate::domain::pricing::rules::{Effect, ShippingTax, Target, Treatment};

fn promotion(change: Value) -> Value {
    let mut promotion =
        json!({ "id": id::<PromotionId>(1), "target": "order", "effect": { "fixed": 100 } });
    promotion.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    promotion
}

#[test]
fn published_document_is_read() {
    let document = json!({
        "market": "de", "country": "DE", "version": 7,
        "document": {
            "currency": "EUR", "prices_include_tax": true, "minimum_charge": 50, "served": true,
            "default_market": false,
            "taxes": [{ "region": null, "tax_class": "standard", "treatment": "reverse_charge",
                "rates": [{ "name": "VAT", "ppm": 190_000, "label": "new" }], "valid_from": "2026-01-01T00:00:00Z" }],
            "shipping_methods": [
                { "id": id::<ShippingMethodId>(1), "name": "Parcel", "price": 490, "free_from": 50_000,
                  "max_weight_g": 31_500, "tax": "proportional" },
                { "id": id::<ShippingMethodId>(2), "name": "Express", "price": 990, "tax": { "class": "reduced" } },
            ],
            "promotions": [{ "id": id::<PromotionId>(1), "name": "Summer", "target": "line",
                "effect": { "percent_bp": 2500 }, "products": [id::<ProductId>(1)], "categories": ["lamps"],
                "min_subtotal": 5000, "priority": 10, "combinable": true,
                "starts_at": "2026-06-01T00:00:00Z", "ends_at": "2026-09-01T00:00:00Z", "audience": "new" }],
        },
    });
    let read: Pricing = serde_json::from_value(document).unwrap();
    assert_eq!((read.market.as_str(), read.version), ("de", 7));
    assert_eq!(read.document.minimum_charge, 50);
    assert_eq!(read.document.taxes[0].treatment, Treatment::ReverseCharge);
    let [parcel, express] = &read.document.shipping_methods[..] else { panic!("two methods") };
    assert_eq!(parcel.tax, ShippingTax::Proportional);
    assert_eq!(express.tax, ShippingTax::Class(TaxClass::parse("reduced").unwrap()));
    assert_eq!(express.free_from, None);
    let [summer] = &read.document.promotions[..] else { panic!("one promotion") };
    assert_eq!((&summer.target, summer.effect), (&Target::Line, Effect::PercentBp(2500)));
}

#[test]
fn country_that_is_not_served_needs_no_lists() {
    let read = pricing(json!({ "served": false }));
    assert_eq!(read.document.taxes, []);
    assert_eq!(read.document.promotions, []);
}

#[test]
fn unreadable_promotions_are_left_out_of_the_price() {
    for unknown in [
        json!({ "target": "gift_card" }),
        json!({ "effect": "buy_two" }),
        json!({ "effect": { "points": 3 } }),
        json!({ "effect": { "percent_bp": -1 } }),
        json!({ "effect": { "fixed": 1.5 } }),
        json!({ "products": "all" }),
        json!({ "min_subtotal": -1 }),
        json!({ "id": "prm_1" }),
        json!({ "starts_at": "tomorrow" }),
    ] {
        let promotions =
            [promotion(unknown.clone()), promotion(json!({ "id": id::<PromotionId>(2) }))];
        let rules = pricing(json!({ "taxes": [vat("standard", 0)], "promotions": promotions }));
        let discounts = &price_in_germany(&rules, &[line(1, 1, 1000)]).price.lines[0].discounts;
        let taken: Vec<PromotionId> =
            discounts.iter().map(|discount| discount.promotion_id).collect();
        assert_eq!(taken, [id(2)], "{unknown}");
    }
}

#[test]
fn unreadable_rules_of_tax_and_shipping_are_errors() {
    let mut rate = vat("standard", 0);
    rate["rates"][0]["ppm"] = json!(-1);
    let mut method = parcel(490);
    method["price"] = json!(-1);
    for invalid in [
        json!({ "taxes": [rate] }),
        json!({ "shipping_methods": [method] }),
        json!({ "minimum_charge": -1 }),
        json!({ "currency": "XXX" }),
        json!({ "taxes": [vat("Not a class", 0)] }),
    ] {
        let mut rules = json!({ "currency": "EUR", "prices_include_tax": true, "served": true });
        rules.as_object_mut().unwrap().extend(invalid.as_object().unwrap().clone());
        let read = serde_json::from_value::<crate::domain::pricing::rules::Rules>(rules);
        assert!(read.is_err(), "{invalid}");
    }
}

#[test]
fn market_and_tax_class_are_slugs() {
    for good in ["de", "ch-export", "a1"] {
        assert!(MarketId::parse(good).is_ok() && TaxClass::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "De", "1a", "-a", "a_b", "ä1", &"a".repeat(33)] {
        assert!(MarketId::parse(bad).is_err() && TaxClass::parse(bad).is_err(), "{bad}");
    }
    assert!(MarketId::parse("d").is_err() && TaxClass::parse("d").is_ok());
    assert_eq!(TaxClass::default().as_str(), "standard");
}
