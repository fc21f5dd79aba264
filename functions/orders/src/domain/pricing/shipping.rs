//! Shipping: which methods the goods can use, what a method costs, and which rates tax it.

use std::collections::BTreeMap;

use shared::{ids::ShippingMethodId, market::TaxClass, money::allocate};

use super::{
    Refusal,
    breakdown::Discount,
    goods::{Goods, PricingLine},
    promotions::take,
    rules::{ShippingMethod, ShippingTax, Target},
    tax::{AppliedRule, Taxable, gross, sum},
};

/// The cost of a shipping method. Amounts are in the market's basis.
pub(super) struct Charge<'a> {
    pub(super) method: &'a ShippingMethod,
    pub(super) base: i64,
    pub(super) discounts: Vec<Discount>,
    /// The amount after the discounts, in one portion per tax rule, without portions of 0.
    pub(super) portions: Vec<Taxable<'a>>,
}

/// Returns the charge of the chosen method; `None` if nothing requires shipping.
///
/// # Errors
/// [`Refusal::ShippingMethodRequired`] without a method, [`Refusal::ShippingUnavailable`] if the
/// method is unknown, or the goods cannot use it.
pub(super) fn charge<'a>(
    goods: &Goods<'a>,
    method: Option<ShippingMethodId>,
) -> Result<Option<Charge<'a>>, Refusal> {
    if !goods.require_shipping() {
        return Ok(None);
    }
    let id = method.ok_or(Refusal::ShippingMethodRequired)?;
    let mut methods = goods.pricing.document.shipping_methods.iter();
    let method = methods.find(|method| method.id == id);
    let charge = method.and_then(|method| charge_of(goods, method));
    charge.map(Some).ok_or(Refusal::ShippingUnavailable)
}

/// Returns the charges of all methods that the goods can use.
pub(super) fn charges<'a>(goods: &Goods<'a>) -> Vec<Charge<'a>> {
    if !goods.require_shipping() {
        return Vec::new();
    }
    let methods = goods.pricing.document.shipping_methods.iter();
    methods.filter_map(|method| charge_of(goods, method)).collect()
}

/// Returns the charge of a method; `None` if the goods are too heavy, or the tax of the method is
/// unknown.
fn charge_of<'a>(goods: &Goods<'a>, method: &'a ShippingMethod) -> Option<Charge<'a>> {
    if method.max_weight_g.is_some_and(|maximum| goods.weight_g() > u128::from(maximum)) {
        return None;
    }
    let subtotal: i128 = goods.lines.iter().map(|line| i128::from(line.left)).sum();
    let is_free = method.free_from.is_some_and(|threshold| subtotal >= i128::from(threshold));
    let base = if is_free { 0 } else { i64::from(method.price) };
    let (mut left, mut discounts) = (base, Vec::new());
    take(&goods.active(&Target::Shipping), |promotion| {
        let discount = promotion.discount_on(left);
        let applies = discount > 0 && goods.admits(promotion);
        if applies {
            left -= discount;
            discounts.push(promotion.discount(discount));
        }
        applies
    });
    let portions = match &method.tax {
        ShippingTax::Class(class) => vec![Taxable { rule: goods.table.rule(class)?, amount: left }],
        ShippingTax::Proportional => proportional(goods, left)?,
        ShippingTax::Unknown(_) => return None,
    };
    let portions = portions.into_iter().filter(|portion| portion.amount > 0).collect();
    Some(Charge { method, base, discounts, portions })
}

/// Divides `amount` among the tax rules of the goods: first among their combined rates by gross
/// amounts, then among the rules of one combined rate. Free goods count with their amounts before
/// discounts. If those are 0 too, the standard class applies; `None` if it has no rule.
fn proportional<'a>(goods: &Goods<'a>, amount: i64) -> Option<Vec<Taxable<'a>>> {
    let after_discounts = |line: &PricingLine<'_>| line.left;
    let before_discounts = |line: &PricingLine<'_>| line.base;
    if goods.lines.iter().any(|line| line.left > 0) {
        let weight = |sum, ppm| gross(sum, ppm, goods.basis());
        return Some(divide(goods, amount, after_discounts, weight));
    }
    if goods.lines.iter().any(|line| line.base > 0) {
        return Some(divide(goods, amount, before_discounts, |sum, _| sum));
    }
    let rule = goods.table.rule(&TaxClass::default())?;
    Some(vec![Taxable { rule, amount }])
}

/// Divides `amount` among the combined rates of the goods by `weight`, and within a combined rate
/// among its rules by their amounts. `of_line` returns the amount of a line, `weight` the weight of
/// a combined rate from the sum of its amounts.
fn divide<'a>(
    goods: &Goods<'a>,
    amount: i64,
    of_line: impl Fn(&PricingLine<'a>) -> i64,
    weight: impl Fn(i64, u64) -> i64,
) -> Vec<Taxable<'a>> {
    let mut by_combined_rate: BTreeMap<u64, Vec<(&AppliedRule<'a>, i64)>> = BTreeMap::new();
    for line in &goods.lines {
        let rules = by_combined_rate.entry(line.rule.combined_ppm()).or_default();
        match rules.iter_mut().find(|(rule, _)| *rule == &line.rule) {
            Some((_, sum)) => *sum += of_line(line),
            None => rules.push((&line.rule, of_line(line))),
        }
    }
    let amounts = |rules: &[(&AppliedRule<'a>, i64)]| -> Vec<i64> {
        rules.iter().map(|(_, amount)| *amount).collect()
    };
    let weights: Vec<i64> =
        by_combined_rate.iter().map(|(ppm, rules)| weight(sum(&amounts(rules)), *ppm)).collect();
    let mut portions = Vec::new();
    for (rules, share) in by_combined_rate.values().zip(allocate(amount, &weights)) {
        for ((rule, _), amount) in rules.iter().zip(allocate(share, &amounts(rules))) {
            portions.push(Taxable { rule: (*rule).clone(), amount });
        }
    }
    portions
}
