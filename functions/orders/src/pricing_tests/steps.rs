//! Single steps of the calculation that the worked examples do not show.

use super::*;
use crate::domain::pricing::breakdown::TaxRow;

fn promoted(promotions: Value) -> Pricing {
    let shipping_methods = [parcel(490)];
    let taxes = [vat("standard", 190_000), vat("reduced", 70_000)];
    pricing(
        json!({ "taxes": taxes, "shipping_methods": shipping_methods, "promotions": promotions }),
    )
}

fn promotion(number: usize, target: &str, change: Value) -> Value {
    let mut promotion =
        json!({ "id": id::<PromotionId>(number), "target": target, "effect": { "fixed": 100 } });
    promotion.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    promotion
}

/// Ids of the promotions that a price names, and their amounts.
fn taken(priced: &Priced) -> Vec<(PromotionId, i64)> {
    let lines = priced.price.lines.iter().flat_map(|line| &line.discounts);
    let shipping = priced.price.shipping.iter().flat_map(|shipping| &shipping.discounts);
    lines.chain(shipping).map(|discount| (discount.promotion_id, discount.amount)).collect()
}

#[test]
fn promotion_is_active_from_its_start_until_its_end() {
    let now = NOW.to_string();
    let later = NOW.plus(std::time::Duration::from_millis(1)).to_string();
    for (starts_at, ends_at, is_active) in [
        (json!(null), json!(null), true),
        (json!(now), json!(later), true),
        (json!(later), json!(null), false),
        (json!(null), json!(now), false),
    ] {
        let dates = json!({ "starts_at": starts_at, "ends_at": ends_at });
        let rules = promoted(json!([promotion(1, "order", dates)]));
        let priced = price_in_germany(&rules, &[line(1, 1, 1000)]);
        assert_eq!(!taken(&priced).is_empty(), is_active, "{starts_at} {ends_at}");
    }
}

#[test]
fn equal_discounts_of_a_line_prefer_the_lower_id() {
    let rules = promoted(json!([
        promotion(2, "line", json!({})),
        promotion(1, "line", json!({ "effect": { "percent_bp": 1000 } })),
        promotion(3, "line", json!({ "effect": { "fixed": 99 } })),
    ]));
    assert_eq!(taken(&price_in_germany(&rules, &[line(1, 1, 1000)])), [(id(1), 100)]);
}

#[test]
fn promotion_covers_its_products_and_its_categories() {
    let covers = json!({ "products": [id::<ProductId>(1)], "categories": ["lamps"] });
    let rules = promoted(json!([promotion(1, "line", covers)]));
    let mut lamp = line(2, 1, 1000);
    lamp.product.category = Some("lamps".to_owned());
    let priced = price_in_germany(&rules, &[line(1, 1, 1000), lamp, line(3, 1, 1000)]);
    let discounted = priced.price.lines.iter().map(|line| line.base - line.gross);
    assert_eq!(discounted.collect::<Vec<_>>(), [100, 100, 0]);
}

#[test]
fn minimum_of_a_promotion_is_that_of_the_covered_lines() {
    let covers = json!({ "products": [id::<ProductId>(1)], "min_subtotal": 1000 });
    for target in ["line", "order"] {
        let rules = promoted(json!([promotion(1, target, covers.clone())]));
        let enough = price_in_germany(&rules, &[line(1, 2, 500), line(2, 1, 900)]);
        assert_eq!(taken(&enough), [(id(1), 100)], "{target}");
        let too_little = price_in_germany(&rules, &[line(1, 1, 999), line(2, 1, 900)]);
        assert_eq!(taken(&too_little), [], "{target}");
    }
}

#[test]
fn minimum_ignores_the_discounts_of_earlier_promotions_of_orders() {
    let rules = promoted(json!([
        promotion(1, "order", json!({ "combinable": true })),
        promotion(2, "order", json!({ "combinable": true, "min_subtotal": 1000 })),
    ]));
    let priced = price_in_germany(&rules, &[line(1, 1, 1000)]);
    assert_eq!(taken(&priced), [(id(1), 100), (id(2), 100)]);
}

#[test]
fn promotions_of_equal_priority_are_tried_by_id() {
    let single = |number: usize| promotion(number, "order", json!({ "combinable": number == 3 }));
    let rules = promoted(json!([single(3), single(2), single(1)]));
    assert_eq!(taken(&price_in_germany(&rules, &[line(1, 1, 1000)])), [(id(1), 100)]);
    let rules = promoted(json!([single(3), single(4)]));
    assert_eq!(taken(&price_in_germany(&rules, &[line(1, 1, 1000)])), [(id(3), 100)]);
}

#[test]
fn promotion_without_a_discount_excludes_no_other() {
    let nothing = json!({ "effect": { "percent_bp": 1 } });
    let rules = promoted(json!([promotion(1, "order", nothing), promotion(2, "order", json!({}))]));
    assert_eq!(taken(&price_in_germany(&rules, &[line(1, 1, 1000)])), [(id(2), 100)]);
}

#[test]
fn promotion_above_100_percent_results_in_a_total_of_0() {
    let all = json!({ "effect": { "percent_bp": 12_000 } });
    for target in ["line", "order"] {
        let rules = promoted(json!([promotion(1, target, all.clone())]));
        assert_eq!(price_in_germany(&rules, &[line(1, 1, 1000)]).totals.total.amount, 0);
    }
}

#[test]
fn promotion_of_shipping_needs_a_covered_line() {
    let covers = json!({ "products": [id::<ProductId>(2)] });
    let rules = promoted(json!([promotion(1, "shipping", covers)]));
    let parts = |lines: &[Line]| {
        let shipping = price_in_germany(&rules, lines).price.shipping.unwrap();
        (shipping.base, shipping.gross)
    };
    assert_eq!(parts(&[shipped(line(1, 1, 1000))]), (490, 490));
    assert_eq!(parts(&[shipped(line(1, 1, 1000)), line(2, 1, 1)]), (490, 390));
}

#[test]
fn latest_valid_tax_rule_applies() {
    let rate = |ppm: u32, valid_from: &str| {
        let mut rule = vat("standard", ppm);
        rule["valid_from"] = json!(valid_from);
        rule
    };
    let now = NOW.to_string();
    let taxes =
        [rate(160_000, LONG_AGO), rate(190_000, &now), rate(210_000, "2099-01-01T00:00:00Z")];
    let priced = price_in_germany(&pricing(json!({ "taxes": taxes })), &[line(1, 1, 11_900)]);
    assert_eq!(priced.totals.tax.amount, 1900);
}

#[test]
fn rules_with_one_combined_rate_are_rounded_together() {
    let part = |name: &str, ppm: u32| json!({ "name": name, "ppm": ppm });
    let mut split = vat("reduced", 0);
    split["rates"] = json!([part("State", 120_000), part("City", 70_000)]);
    let rules = pricing(json!({ "taxes": [vat("standard", 190_000), split] }));
    let mut reduced = line(2, 1, 110);
    reduced.product.tax_class = TaxClass::parse("reduced").unwrap();
    let priced = price_in_germany(&rules, &[line(1, 1, 110), reduced, line(3, 1, 110)]);
    // 3.30 includes 0.5269; each line alone 0.1756.
    assert_eq!(priced.totals.tax.amount, 53);
    let amounts = |rows: &[TaxRow]| -> Vec<(String, i64)> {
        rows.iter().map(|row| (row.name.clone(), row.amount)).collect()
    };
    let named = |name: &str, amount| (name.to_owned(), amount);
    assert_eq!(
        amounts(&priced.price.tax_summary),
        [named("City", 7), named("State", 11), named("VAT", 35)]
    );
    assert_eq!(amounts(&priced.price.lines[1].taxes), [named("State", 11), named("City", 7)]);
}

#[test]
fn shipping_options_are_those_that_the_goods_can_use() {
    let method = |number: usize, price: u32, change: Value| {
        let mut method = parcel(price);
        method["id"] = json!(id::<ShippingMethodId>(number));
        method.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        method
    };
    let shipping_methods = [
        method(1, 990, json!({})),
        method(2, 490, json!({ "max_weight_g": 400 })),
        method(4, 490, json!({ "free_from": 5000 })),
        method(3, 490, json!({ "tax": { "class": "standard" } })),
        method(5, 100, json!({ "tax": "unknown" })),
    ];
    let rules = pricing(
        json!({ "taxes": [vat("standard", 190_000)], "shipping_methods": shipping_methods }),
    );
    let options = |lines: &[Line]| -> Vec<(ShippingMethodId, i64, i64)> {
        let destination = &to("DE", None);
        let request =
            PriceRequest { pricing: &rules, lines, destination, shipping_method: None, now: NOW };
        let options = shipping_options(&request).unwrap();
        options.iter().map(|option| (option.method_id, option.gross, option.tax)).collect()
    };
    let expected = [(id(3), 490, 78), (id(4), 490, 78), (id(1), 990, 158)];
    assert_eq!(options(&[shipped(line(1, 1, 4999))]), expected);
    let expected = [(id(4), 0, 0), (id(3), 490, 78), (id(1), 990, 158)];
    assert_eq!(options(&[shipped(line(1, 1, 5000))]), expected);
    assert_eq!(options(&[line(1, 1, 5000)]), []);
    let destination = &to("FR", None);
    let request =
        PriceRequest { pricing: &rules, lines: &[], destination, shipping_method: None, now: NOW };
    assert_eq!(shipping_options(&request), Err(vec![Refusal::NotDeliveredThere]));
}

#[test]
fn breakdown_is_stored_and_read_unchanged() {
    let rules = promoted(json!([promotion(1, "order", json!({ "name": "Hello" }))]));
    let price = price_in_germany(&rules, &[shipped(line(1, 2, 1000))]).price;
    let stored = serde_json::to_value(&price).unwrap();
    let row = |base: i64, amount: i64| {
        json!({ "jurisdiction": "DE", "name": "VAT", "treatment": "standard", "ppm": 190_000,
            "base": base, "amount": amount })
    };
    let expected = json!({
        "market": "de", "pricing_version": 7, "currency": "EUR", "basis": "gross", "rounding": "per_rate",
        "lines": [{
            "line_id": id::<LineId>(1), "base": 2000,
            "discounts": [{ "promotion_id": id::<PromotionId>(1), "name": "Hello", "amount": 100 }],
            "taxes": [row(1596, 304)], "net": 1596, "tax": 304, "gross": 1900,
        }],
        "shipping": {
            "method_id": id::<ShippingMethodId>(1), "name": "Parcel", "base": 490, "discounts": [],
            "taxes": [row(412, 78)], "net": 412, "tax": 78, "gross": 490,
        },
        "tax_summary": [row(2008, 382)],
        "discount_total": 100,
        "tax_source": { "kind": "rules", "version": 7 },
    });
    assert_eq!(stored, expected);
    assert_eq!(serde_json::from_value::<Price>(stored).unwrap(), price);
}
