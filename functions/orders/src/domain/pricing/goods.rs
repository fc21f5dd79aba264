//! The goods of a price: their lines after all promotions of goods.

use shared::{
    clock::Timestamp,
    money::{MAX_AMOUNT, Money, allocate},
};

use super::{
    Line, PriceRequest, Product, Refusal,
    breakdown::{Basis, Discount},
    promotions::{active, take},
    rules::{Pricing, Promotion, Target},
    tax::{AppliedRule, TaxTable, Taxable},
};

/// The largest sum of all lines before discounts, in minor units. 40 lines of 999 pieces at the
/// largest unit price stay below it, and all products of two amounts fit in 128 bits.
const MAX_BASE: i128 = 10_000_000_000_000;

/// The lines that can be priced, sorted by product, after all promotions of goods.
pub(super) struct Goods<'a> {
    pub(super) pricing: &'a Pricing,
    pub(super) table: TaxTable<'a>,
    pub(super) lines: Vec<PricingLine<'a>>,
    pub(super) now: Timestamp,
}

/// A line while its price is computed. Amounts are in the market's basis.
pub(super) struct PricingLine<'a> {
    pub(super) line: &'a Line,
    pub(super) rule: AppliedRule<'a>,
    /// Unit price times quantity.
    pub(super) base: i64,
    /// The amount after the promotions of lines.
    after_line_promotions: i64,
    /// The amount after all discounts.
    pub(super) left: i64,
    pub(super) discounts: Vec<Discount>,
}

impl<'a> Goods<'a> {
    /// Returns the goods without the lines that are not sold in the market, for which it adds a
    /// refusal. Returns `None`, with a refusal, if nothing can be priced.
    pub(super) fn of(request: &PriceRequest<'a>, refusals: &mut Vec<Refusal>) -> Option<Self> {
        let PriceRequest { pricing, lines, destination, now, .. } = *request;
        let table = TaxTable::of(pricing, destination, now);
        if let Err(refusal) = &table {
            refusals.push(refusal.clone());
        }
        let mut sorted: Vec<&Line> = lines.iter().collect();
        sorted.sort_by_key(|line| (line.product.product_id, line.line_id, line.quantity));
        let mut sold = Vec::with_capacity(sorted.len());
        for line in sorted {
            let product_id = line.product.product_id;
            match line.product.price_in(pricing) {
                Some(unit_price) => sold.push((line, unit_price.amount)),
                None => refusals.push(Refusal::NotSoldHere { product_id }),
            }
        }
        let table = table.ok()?;
        let lines = sold.into_iter().map(|(line, unit_price)| {
            let rule = table.rule(&line.product.tax_class)?;
            // A price is at most `MAX_AMOUNT`, so the product fits.
            let base = unit_price * i64::from(line.quantity);
            Some(PricingLine {
                line,
                rule,
                base,
                after_line_promotions: base,
                left: base,
                discounts: Vec::new(),
            })
        });
        let Some(lines) = lines.collect::<Option<Vec<_>>>() else {
            refusals.push(Refusal::NotDeliveredThere);
            return None;
        };
        if lines.iter().map(|line| i128::from(line.base)).sum::<i128>() > MAX_BASE {
            refusals.push(Refusal::AmountTooLarge);
            return None;
        }
        let mut goods = Self { pricing, table, lines, now };
        goods.apply_line_promotions();
        goods.apply_order_promotions();
        Some(goods)
    }

    /// Each line takes the largest discount; of equal ones, that of the lower promotion id.
    fn apply_line_promotions(&mut self) {
        let mut promotions = self.active(&Target::Line);
        promotions.retain(|promotion| self.admits(promotion));
        for line in &mut self.lines {
            let offers = promotions.iter().filter(|promotion| promotion.covers(&line.line.product));
            let offers = offers.map(|promotion| (promotion.discount_on(line.base), *promotion));
            let best = offers.min_by_key(|(discount, promotion)| (-discount, promotion.id));
            if let Some((discount, promotion)) = best {
                line.take(promotion, discount);
            }
        }
        for line in &mut self.lines {
            line.after_line_promotions = line.left;
        }
    }

    /// Applies the promotions of orders to the amounts after the promotions of lines.
    fn apply_order_promotions(&mut self) {
        take(&self.active(&Target::Order), |promotion| {
            if !self.admits(promotion) {
                return false;
            }
            let covered = self.covered_by(promotion);
            let left: Vec<i64> = covered.iter().map(|index| self.lines[*index].left).collect();
            let discount = promotion.discount_on(left.iter().sum::<i64>());
            for (index, share) in covered.into_iter().zip(allocate(discount, &left)) {
                self.lines[index].take(promotion, share);
            }
            discount > 0
        });
    }

    pub(super) fn active(&self, target: &Target) -> Vec<&'a Promotion> {
        active(&self.pricing.document.promotions, target, self.now)
    }

    /// Whether a promotion covers a line, and the covered lines reach its minimum. Promotions of
    /// orders do not lower this subtotal.
    pub(super) fn admits(&self, promotion: &Promotion) -> bool {
        let covered = self.covered_by(promotion);
        let subtotal =
            covered.iter().map(|index| self.lines[*index].after_line_promotions).sum::<i64>();
        !covered.is_empty() && promotion.is_reached_by(subtotal)
    }

    fn covered_by(&self, promotion: &Promotion) -> Vec<usize> {
        let covers = |index: &usize| promotion.covers(&self.lines[*index].line.product);
        (0..self.lines.len()).filter(covers).collect()
    }

    pub(super) fn basis(&self) -> Basis {
        if self.pricing.document.prices_include_tax { Basis::Gross } else { Basis::Net }
    }

    pub(super) fn require_shipping(&self) -> bool {
        self.lines.iter().any(|line| line.line.product.requires_shipping)
    }

    /// The weight of everything that is shipped, in grams.
    pub(super) fn weight_g(&self) -> u128 {
        let shipped = self.lines.iter().filter(|line| line.line.product.requires_shipping);
        shipped
            .map(|line| u128::from(line.line.product.weight_g) * u128::from(line.line.quantity))
            .sum()
    }

    pub(super) fn taxable(&self) -> impl Iterator<Item = Taxable<'a>> {
        self.lines.iter().map(|line| Taxable { rule: line.rule.clone(), amount: line.left })
    }
}

impl PricingLine<'_> {
    fn take(&mut self, promotion: &Promotion, amount: i64) {
        if amount > 0 {
            self.left -= amount;
            self.discounts.push(promotion.discount(amount));
        }
    }
}

impl Product {
    /// The unit price, if it is in the currency of the market and an amount that can be charged.
    pub fn price_in(&self, pricing: &Pricing) -> Option<Money> {
        let price = self.unit_price.as_ref()?.amount;
        let can_be_charged = (0..=MAX_AMOUNT).contains(&price.amount);
        (price.currency == pricing.document.currency && can_be_charged).then_some(price)
    }
}
