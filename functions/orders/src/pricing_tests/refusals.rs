//! Goods, destinations and methods that a market rejects, each with its reason.

use super::*;

fn refusals(document: Value, lines: &[Line], destination: &Destination) -> Vec<Refusal> {
    let pricing = pricing(document);
    let shipping_method = Some(id(1));
    let request = PriceRequest { pricing: &pricing, lines, destination, shipping_method, now: NOW };
    price(&request).err().unwrap_or_default()
}

fn in_germany(document: Value, lines: &[Line]) -> Vec<Refusal> {
    refusals(document, lines, &to("DE", None))
}

#[test]
fn product_without_a_price_in_the_currency_is_not_sold_here() {
    let rules = || json!({ "taxes": [vat("standard", 190_000)] });
    let (mut without, mut foreign) = (line(3, 1, 100), line(1, 1, 100));
    without.product.unit_price = None;
    let dollars = Money::new(100, Currency::parse("USD").unwrap());
    foreign.product.unit_price = Some(UnitPrice { amount: dollars, compare_at: None });
    let lines = [without, line(2, 1, 100), foreign, line(4, 1, -1), line(5, 1, MAX_AMOUNT + 1)];
    let expected = [1, 3, 4, 5].map(|number| Refusal::NotSoldHere { product_id: id(number) });
    assert_eq!(in_germany(rules(), &lines), expected);
    let estimate = estimate_in_germany(&pricing(rules()), &lines);
    assert_eq!(estimate.priced.unwrap().totals.total.amount, 100, "the sold line has a price");
    assert_eq!(estimate.refusals, expected);
}

#[test]
fn destination_without_its_tax_is_not_delivered_to() {
    let not_delivered = [Refusal::NotDeliveredThere];
    let goods = [line(1, 1, 100)];
    let standard = || json!({ "taxes": [vat("standard", 190_000)] });
    assert_eq!(refusals(standard(), &goods, &to("FR", None)), not_delivered);
    assert_eq!(in_germany(json!({ "served": false }), &goods), not_delivered);
    assert_eq!(in_germany(json!({ "taxes": [vat("reduced", 70_000)] }), &goods), not_delivered);
    for (field, value) in [
        ("treatment", json!("margin_scheme")),
        ("rates", json!([])),
        ("valid_from", json!("2099-01-01T00:00:00Z")),
    ] {
        let mut rule = vat("standard", 190_000);
        rule[field] = value;
        assert_eq!(in_germany(json!({ "taxes": [rule] }), &goods), not_delivered, "{field}");
    }
    let both = [Refusal::NotDeliveredThere, Refusal::NotSoldHere { product_id: id(1) }];
    assert_eq!(in_germany(json!({ "served": false }), &[line(1, 1, -1)]), both);
}

#[test]
fn region_is_a_code_where_rates_are_regional() {
    let mut regional = vat("standard", 60_000);
    regional["region"] = json!("BY");
    let rules = || json!({ "taxes": [regional, vat("reduced", 10_000)] });
    let goods = [line(1, 1, 100)];
    for unknown in
        [None, Some(""), Some("Bavaria"), Some("by"), Some("AT-BY"), Some("DE-"), Some("BY ")]
    {
        assert_eq!(
            refusals(rules(), &goods, &to("DE", unknown)),
            [Refusal::UnknownRegion],
            "{unknown:?}"
        );
    }
    for known in ["BY", "DE-BY"] {
        assert_eq!(refusals(rules(), &goods, &to("DE", Some(known))), [], "{known}");
    }
    assert_eq!(refusals(rules(), &goods, &to("DE", Some("HE"))), [Refusal::NotDeliveredThere]);
    // A rule that is not valid yet needs no region.
    let mut later = regional.clone();
    later["valid_from"] = json!("2099-01-01T00:00:00Z");
    assert_eq!(in_germany(json!({ "taxes": [later, vat("standard", 0)] }), &goods), []);
}

#[test]
fn shipping_method_is_required_and_suits_the_goods() {
    let goods = [shipped(line(1, 3, 100)), line(2, 1, 100)];
    let with = |change: Value| {
        let mut method = parcel(490);
        method.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "taxes": [vat("standard", 190_000)], "shipping_methods": [method] })
    };
    assert_eq!(in_germany(with(json!({ "max_weight_g": 1500 })), &goods), []);
    for unavailable in [
        json!({ "max_weight_g": 1499 }),
        json!({ "id": id::<ShippingMethodId>(2) }),
        json!({ "tax": "by_weight" }),
        json!({ "tax": { "class": "books" } }),
        json!({ "tax": { "class": "standard", "rate": 3 } }),
    ] {
        assert_eq!(
            in_germany(with(unavailable.clone()), &goods),
            [Refusal::ShippingUnavailable],
            "{unavailable}"
        );
    }
    let pricing = pricing(with(json!({})));
    let without_method = |lines: &[Line]| {
        let destination = &to("DE", None);
        estimate(&PriceRequest {
            pricing: &pricing,
            lines,
            destination,
            shipping_method: None,
            now: NOW,
        })
    };
    let estimate = without_method(&goods);
    assert_eq!(estimate.refusals, [Refusal::ShippingMethodRequired]);
    let priced = estimate.priced.unwrap();
    assert_eq!((priced.price.shipping, priced.totals.total.amount), (None, 400));
    let digital = without_method(&goods[1..]);
    assert_eq!((digital.refusals, digital.priced.unwrap().price.shipping), (vec![], None));
    let ignored = price_in_germany(&pricing, &goods[1..]);
    assert_eq!(ignored.price.shipping, None, "nothing is shipped, so the method is ignored");
}

#[test]
fn total_is_0_or_between_the_minimum_and_the_largest_amount() {
    let rules = || json!({ "taxes": [vat("standard", 190_000)], "minimum_charge": 50 });
    for allowed in [0, 50, MAX_AMOUNT] {
        assert_eq!(in_germany(rules(), &[line(1, 1, allowed)]), [], "{allowed}");
    }
    let below = [Refusal::BelowMinimum { minimum: 50 }];
    for amount in [1, 49] {
        let estimate = estimate_in_germany(&pricing(rules()), &[line(1, 1, amount)]);
        assert_eq!(estimate.refusals, below);
        assert_eq!(estimate.priced.unwrap().totals.total.amount, amount, "a cart shows the price");
    }
    let too_large = [Refusal::AmountTooLarge];
    assert_eq!(in_germany(rules(), &[line(1, 1, MAX_AMOUNT), line(2, 1, 1)]), too_large);
    assert_eq!(in_germany(rules(), &[line(1, u32::MAX, MAX_AMOUNT)]), too_large);
    let lines: Vec<Line> = (1..100).map(|number| line(number, u32::MAX, MAX_AMOUNT)).collect();
    assert_eq!(in_germany(rules(), &lines), too_large);
    let extreme = json!({ "prices_include_tax": false, "taxes": [vat("standard", u32::MAX)] });
    let lines: Vec<Line> = (1..=40).map(|number| line(number, 999, MAX_AMOUNT)).collect();
    assert_eq!(in_germany(extreme, &lines), too_large);
}

#[test]
fn discount_can_bring_a_large_sum_below_the_limit() {
    let promotion = json!({ "id": id::<PromotionId>(1), "target": "order", "effect": { "percent_bp": 10_000 } });
    let rules = json!({ "taxes": [vat("standard", 190_000)], "promotions": [promotion] });
    let lines: Vec<Line> = (1..=40).map(|number| line(number, 999, MAX_AMOUNT)).collect();
    let priced = price_in_germany(&pricing(rules), &lines);
    assert_eq!(
        (priced.totals.total.amount, priced.price.discount_total),
        (0, 40 * 999 * MAX_AMOUNT)
    );
}

#[test]
fn cart_without_lines_costs_nothing() {
    let priced = price_in_germany(&pricing(json!({ "minimum_charge": 50 })), &[]);
    assert_eq!((priced.totals.total.amount, priced.price.lines.len()), (0, 0));
}

#[test]
fn refusals_serialize_with_their_codes() {
    let refusals = [Refusal::NotSoldHere { product_id: id(1) }, Refusal::UnknownRegion];
    let expected = json!([
        { "code": "not_sold_here", "product_id": id::<ProductId>(1) },
        { "code": "unknown_region" },
    ]);
    assert_eq!(serde_json::to_value(refusals).unwrap(), expected);
}

#[test]
fn price_names_the_region_only_where_rates_differ_by_region() {
    let mut regional = vat("standard", 60_000);
    regional["region"] = json!("BY");
    let goods = [line(1, 1, 100)];
    let region = |taxes: Value, region: Option<&str>| {
        let pricing = pricing(json!({ "taxes": taxes }));
        let destination = &to("DE", region);
        let (lines, shipping_method) = (&goods[..], None);
        let request =
            PriceRequest { pricing: &pricing, lines, destination, shipping_method, now: NOW };
        estimate(&request).priced.unwrap().price.tax_region
    };
    let national = vat("standard", 50_000);
    assert_eq!(region(json!([national]), Some("Bayern")), None);
    for (written, read) in [("BY", "BY"), ("DE-BY", "BY"), ("HE", "HE")] {
        let found = region(json!([national, regional]), Some(written));
        assert_eq!(found.as_deref(), Some(read));
    }
}
