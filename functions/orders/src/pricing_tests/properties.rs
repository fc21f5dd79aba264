//! Properties of the prices of random carts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    sample::{Sample, sample},
    *,
};
use crate::domain::pricing::{
    breakdown::{Basis, Discount, PricedLine, TaxRow},
    rules::{Effect, Promotion, ShippingTax, Target},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prices_of_random_carts_are_exact(sample in sample()) {
        let Estimate { priced, refusals } = estimate(&sample.request(&sample.lines));
        let result = price(&sample.request(&sample.lines));
        prop_assert_eq!(result.is_ok(), refusals.is_empty());
        prop_assert!(priced.is_some() || !refusals.is_empty());
        if let Some(priced) = priced {
            amounts_add_up(&priced);
            discounts_are_those_of_their_promotions(&sample, &priced);
            tax_is_rounded_once_per_rate(&sample, &priced);
            tax_is_near_its_own_rounding(&sample, &priced);
            price_does_not_depend_on_the_order_of_lines(&sample, &priced);
        }
    }
}

/// `numerator / denominator` of an amount that is not negative, with halves rounded up.
fn half_up(numerator: i64, multiplier: i64, denominator: i64) -> i64 {
    let exact = i128::from(numerator) * i128::from(multiplier);
    let denominator = i128::from(denominator);
    i64::try_from((2 * exact + denominator) / (2 * denominator)).unwrap()
}

fn sum(amounts: impl Iterator<Item = i64>) -> i64 {
    amounts.inspect(|amount| assert!(*amount >= 0, "{amount} is negative")).sum()
}

fn total_of(discounts: &[Discount]) -> i64 {
    assert!(discounts.iter().all(|discount| discount.amount > 0));
    sum(discounts.iter().map(|discount| discount.amount))
}

fn tax_of(rows: &[TaxRow]) -> i64 {
    sum(rows.iter().map(|row| row.amount))
}

fn amounts_add_up(Priced { price, totals }: &Priced) {
    let in_basis = |net, gross| if price.basis == Basis::Gross { gross } else { net };
    for line in &price.lines {
        assert_eq!(in_basis(line.net, line.gross), line.base - total_of(&line.discounts));
        assert_eq!(line.net + line.tax, line.gross);
        assert_eq!(tax_of(&line.taxes), line.tax);
        assert!(line.taxes.iter().all(|row| row.base == line.net));
        assert!(line.net >= 0 && !line.taxes.is_empty());
    }
    if let Some(shipping) = &price.shipping {
        let left = shipping.base - total_of(&shipping.discounts);
        assert_eq!(in_basis(shipping.net, shipping.gross), left);
        assert_eq!(shipping.net + shipping.tax, shipping.gross);
        assert_eq!(tax_of(&shipping.taxes), shipping.tax);
        assert!(shipping.net >= 0 && shipping.taxes.is_empty() == (shipping.gross == 0));
    }
    let of_shipping = |of: fn(&PricedShipping) -> i64| price.shipping.as_ref().map_or(0, of);
    let of_lines = |of: fn(&PricedLine) -> i64| sum(price.lines.iter().map(of));
    let gross = of_lines(|line| line.gross) + of_shipping(|shipping| shipping.gross);
    assert_eq!(totals.total.amount, gross);
    assert_eq!(totals.tax.amount, tax_of(&price.tax_summary));
    let added = if price.basis == Basis::Gross { 0 } else { totals.tax.amount };
    assert_eq!(totals.items.amount + totals.shipping.amount + added, gross);
    let bases = of_lines(|line| line.base) + of_shipping(|shipping| shipping.base);
    let parts = totals.items.amount + totals.shipping.amount + price.discount_total;
    assert_eq!(bases, parts, "discount_total has all discounts");
    let summed = price.lines.iter().flat_map(|line| &line.taxes);
    let summed = summed.chain(price.shipping.iter().flat_map(|shipping| &shipping.taxes));
    let mut by_rate: BTreeMap<_, (i64, i64)> = BTreeMap::new();
    for row in summed {
        let key = (&row.jurisdiction, &row.name, row.ppm, &row.treatment);
        let (base, amount) = by_rate.entry(key).or_default();
        (*base, *amount) = (*base + row.base, *amount + row.amount);
    }
    let summary = price.tax_summary.iter();
    let summary = summary.map(|row| (row.base, row.amount)).collect::<Vec<_>>();
    assert_eq!(summary, by_rate.into_values().collect::<Vec<_>>());
}

fn effect_on(promotion: &Promotion, amount: i64) -> i64 {
    match promotion.effect {
        Effect::PercentBp(basis_points) => half_up(amount, i64::from(basis_points), 10_000),
        Effect::Fixed(value) => amount.min(i64::try_from(value).unwrap()),
        Effect::Unknown(_) => 0,
    }
}

/// Replays the discounts: each line has at most one of a promotion of lines, on its base. Those of
/// one promotion of orders are its effect on what is left of the covered lines.
fn discounts_are_those_of_their_promotions(sample: &Sample, priced: &Priced) {
    let promotions = &sample.pricing.document.promotions;
    let of = |discount: &Discount| {
        promotions.iter().find(|promotion| promotion.id == discount.promotion_id).unwrap()
    };
    let line_of = |line: &PricedLine| {
        sample.lines.iter().find(|candidate| candidate.line_id == line.line_id).unwrap()
    };
    let mut left: Vec<i64> = priced.price.lines.iter().map(|line| line.base).collect();
    for (line, left) in priced.price.lines.iter().zip(&mut left) {
        for discount in &line.discounts {
            assert!(of(discount).covers(&line_of(line).product), "{discount:?}");
        }
        let of_line = |discount: &&Discount| of(discount).target == Target::Line;
        let of_line: Vec<_> = line.discounts.iter().filter(of_line).collect();
        assert!(of_line.len() <= 1);
        for discount in of_line {
            assert_eq!(discount.amount, effect_on(of(discount), *left));
            *left -= discount.amount;
        }
    }
    let mut by_priority: Vec<&Promotion> = promotions.iter().collect();
    by_priority.sort_by_key(|promotion| (promotion.priority, promotion.id));
    let mut taken = Vec::new();
    for promotion in by_priority.iter().filter(|promotion| promotion.target == Target::Order) {
        let share = |line: &PricedLine| {
            let discounts = line.discounts.iter();
            sum(discounts.filter(|one| one.promotion_id == promotion.id).map(|one| one.amount))
        };
        let shares: Vec<i64> = priced.price.lines.iter().map(share).collect();
        if shares.iter().all(|share| *share == 0) {
            continue;
        }
        taken.push(promotion.combinable);
        let lines = priced.price.lines.iter().zip(&left);
        let covered = lines.filter(|(line, _)| promotion.covers(&line_of(line).product));
        let expected = effect_on(promotion, covered.map(|(_, left)| *left).sum());
        assert_eq!(sum(shares.iter().copied()), expected);
        for (left, share) in left.iter_mut().zip(shares) {
            *left -= share;
            assert!(*left >= 0);
        }
    }
    assert!(taken.len() <= 1 || taken.iter().all(|combinable| *combinable));
    if let Some(shipping) = &priced.price.shipping {
        let mut left = shipping.base;
        for discount in &shipping.discounts {
            assert_eq!(of(discount).target, Target::Shipping);
            assert_eq!(discount.amount, effect_on(of(discount), left));
            left -= discount.amount;
        }
    }
}

/// Whether the rates of shipping are those of one rule.
fn shipping_has_one_rule(sample: &Sample) -> bool {
    let methods = &sample.pricing.document.shipping_methods;
    methods.iter().all(|method| method.tax != ShippingTax::Proportional)
}

fn combined_ppm(rows: &[TaxRow]) -> i64 {
    rows.iter().map(|row| i64::from(row.ppm)).sum()
}

fn tax_is_rounded_once_per_rate(sample: &Sample, Priced { price, .. }: &Priced) {
    if price.basis == Basis::Net {
        for row in &price.tax_summary {
            assert_eq!(row.amount, half_up(row.base, i64::from(row.ppm), 1_000_000), "{row:?}");
        }
        return;
    }
    let taxed = price.shipping.as_ref().filter(|shipping| shipping.gross > 0);
    if taxed.is_some() && !shipping_has_one_rule(sample) {
        return;
    }
    let lines = price.lines.iter().map(|line| (combined_ppm(&line.taxes), line.gross, line.tax));
    let shipping =
        taxed.map(|shipping| (combined_ppm(&shipping.taxes), shipping.gross, shipping.tax));
    let mut by_combined_rate: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for (ppm, gross, tax) in lines.chain(shipping) {
        let sums = by_combined_rate.entry(ppm).or_default();
        *sums = (sums.0 + gross, sums.1 + tax);
    }
    for (ppm, (gross, tax)) in by_combined_rate {
        assert_eq!(tax, half_up(gross, ppm, 1_000_000 + ppm), "{ppm} ppm of {gross}");
    }
}

/// A share differs from its exact value by less than 1. The rounded sum and the line's own rounding
/// differ from theirs by at most 1/2 each. Together that is less than 2, so at most one unit.
fn tax_is_near_its_own_rounding(sample: &Sample, Priced { price, .. }: &Priced) {
    let is_near = |basis, gross: i64, tax: i64, rows: &[TaxRow]| match basis {
        Basis::Net => {
            for row in rows {
                let own = half_up(row.base, i64::from(row.ppm), 1_000_000);
                assert!((row.amount - own).abs() <= 1, "{row:?} alone has {own}");
            }
        }
        Basis::Gross => {
            let ppm = combined_ppm(rows);
            let own = half_up(gross, ppm, 1_000_000 + ppm);
            assert!((tax - own).abs() <= 1, "{gross} alone has {own}, not {tax}");
        }
    };
    for line in &price.lines {
        is_near(price.basis, line.gross, line.tax, &line.taxes);
    }
    if let Some(shipping) = price.shipping.as_ref().filter(|_| shipping_has_one_rule(sample)) {
        is_near(price.basis, shipping.gross, shipping.tax, &shipping.taxes);
    }
}

fn price_does_not_depend_on_the_order_of_lines(sample: &Sample, priced: &Priced) {
    let mut lines = sample.lines.clone();
    let rotation = sample.rotation % lines.len().max(1);
    lines.rotate_left(rotation);
    if sample.rotation.is_multiple_of(2) {
        lines.reverse();
    }
    let other = estimate(&sample.request(&lines)).priced.unwrap();
    let bytes = |priced: &Priced| serde_json::to_string(priced).unwrap();
    assert_eq!(bytes(priced), bytes(&other));
}
