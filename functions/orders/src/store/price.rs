//! The stored form of a price. Each write of an order costs the size of its item, so promotions and
//! tax rates are stored once, and lines refer to them by their index. All amounts are stored as
//! they were computed.

use serde::{Deserialize, Serialize};
use shared::{
    ids::{LineId, PromotionId, ShippingMethodId},
    market::MarketId,
    money::Currency,
};

use crate::domain::pricing::{
    Price, PricedShipping,
    breakdown::{Basis, Discount, PricedLine, Rounding, TaxRow, TaxSource},
    rules::Treatment,
};

#[derive(Serialize, Deserialize)]
pub(super) struct PriceItem {
    market: MarketId,
    version: u64,
    currency: Currency,
    basis: Basis,
    rounding: Rounding,
    lines: Vec<PricedLineItem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shipping: Option<ShippingItem>,
    tax_summary: Vec<TaxItem>,
    discount_total: i64,
    tax_source: TaxSourceItem,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tax_region: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    promotions: Vec<PromotionItem>,
    rates: Vec<RateItem>,
}

#[derive(Serialize, Deserialize)]
struct PricedLineItem {
    id: LineId,
    base: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    discounts: Vec<DiscountItem>,
    taxes: Vec<TaxItem>,
    net: i64,
    tax: i64,
    gross: i64,
}

#[derive(Serialize, Deserialize)]
struct ShippingItem {
    method: ShippingMethodId,
    name: String,
    base: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    discounts: Vec<DiscountItem>,
    taxes: Vec<TaxItem>,
    net: i64,
    tax: i64,
    gross: i64,
}

/// The index of a promotion, and the amount.
#[derive(Serialize, Deserialize)]
struct DiscountItem(usize, i64);

/// The index of a rate, the taxed amount, and the tax.
#[derive(Serialize, Deserialize)]
struct TaxItem(usize, i64, i64);

#[derive(PartialEq, Serialize, Deserialize)]
struct PromotionItem {
    id: PromotionId,
    name: String,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct RateItem {
    jurisdiction: String,
    name: String,
    treatment: Treatment,
    ppm: u32,
}

#[derive(Serialize, Deserialize)]
struct TaxSourceItem {
    kind: String,
    version: u64,
}

/// The promotions and rates that the lines of a price refer to.
#[derive(Default)]
struct Tables {
    promotions: Vec<PromotionItem>,
    rates: Vec<RateItem>,
}

impl From<Price> for PriceItem {
    // Destructured without `..`, so a new field does not compile until it is stored.
    fn from(price: Price) -> Self {
        let Price {
            market,
            pricing_version,
            currency,
            basis,
            rounding,
            lines,
            shipping,
            tax_summary,
            discount_total,
            tax_source,
            tax_region,
        } = price;
        let mut tables = Tables::default();
        let TaxSource::Rules { version } = tax_source;
        Self {
            market,
            version: pricing_version,
            currency,
            basis,
            rounding,
            lines: lines.into_iter().map(|line| tables.line(line)).collect(),
            shipping: shipping.map(|shipping| tables.shipping(shipping)),
            tax_summary: tables.taxes(tax_summary),
            discount_total,
            tax_source: TaxSourceItem { kind: RULES.to_owned(), version },
            tax_region,
            promotions: tables.promotions,
            rates: tables.rates,
        }
    }
}

const RULES: &str = "rules";

impl Tables {
    fn line(&mut self, line: PricedLine) -> PricedLineItem {
        let PricedLine { line_id, base, discounts, taxes, net, tax, gross } = line;
        let (discounts, taxes) = (self.discounts(discounts), self.taxes(taxes));
        PricedLineItem { id: line_id, base, discounts, taxes, net, tax, gross }
    }

    fn shipping(&mut self, shipping: PricedShipping) -> ShippingItem {
        let PricedShipping { method_id, name, base, discounts, taxes, net, tax, gross } = shipping;
        let (discounts, taxes) = (self.discounts(discounts), self.taxes(taxes));
        ShippingItem { method: method_id, name, base, discounts, taxes, net, tax, gross }
    }

    fn discounts(&mut self, discounts: Vec<Discount>) -> Vec<DiscountItem> {
        let stored = |Discount { promotion_id, name, amount }| {
            let promotion = PromotionItem { id: promotion_id, name };
            DiscountItem(index_of(&mut self.promotions, promotion), amount)
        };
        discounts.into_iter().map(stored).collect()
    }

    fn taxes(&mut self, rows: Vec<TaxRow>) -> Vec<TaxItem> {
        let stored = |TaxRow { jurisdiction, name, treatment, ppm, base, amount }| {
            let rate = RateItem { jurisdiction, name, treatment, ppm };
            TaxItem(index_of(&mut self.rates, rate), base, amount)
        };
        rows.into_iter().map(stored).collect()
    }

    fn read_discounts(&self, items: Vec<DiscountItem>) -> Option<Vec<Discount>> {
        let read = |DiscountItem(index, amount)| {
            let PromotionItem { id, name } = self.promotions.get(index)?;
            Some(Discount { promotion_id: *id, name: name.clone(), amount })
        };
        items.into_iter().map(read).collect()
    }

    fn read_taxes(&self, items: Vec<TaxItem>) -> Option<Vec<TaxRow>> {
        let read = |TaxItem(index, base, amount)| {
            let RateItem { jurisdiction, name, treatment, ppm } = self.rates.get(index)?;
            Some(TaxRow {
                jurisdiction: jurisdiction.clone(),
                name: name.clone(),
                treatment: treatment.clone(),
                ppm: *ppm,
                base,
                amount,
            })
        };
        items.into_iter().map(read).collect()
    }

    fn read_line(&self, item: PricedLineItem) -> Option<PricedLine> {
        let PricedLineItem { id, base, discounts, taxes, net, tax, gross } = item;
        let (discounts, taxes) = (self.read_discounts(discounts)?, self.read_taxes(taxes)?);
        Some(PricedLine { line_id: id, base, discounts, taxes, net, tax, gross })
    }

    fn read_shipping(&self, item: ShippingItem) -> Option<PricedShipping> {
        let ShippingItem { method, name, base, discounts, taxes, net, tax, gross } = item;
        let (discounts, taxes) = (self.read_discounts(discounts)?, self.read_taxes(taxes)?);
        Some(PricedShipping { method_id: method, name, base, discounts, taxes, net, tax, gross })
    }
}

/// The index of `item` in `items`, to which it is added if it is new.
fn index_of<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    items.iter().position(|known| *known == item).unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    })
}

impl PriceItem {
    /// The price; `None` if a line refers to an unknown promotion or rate, or the tax has a source
    /// that this release does not know.
    pub(super) fn read(self) -> Option<Price> {
        if self.tax_source.kind != RULES {
            return None;
        }
        let tables = Tables { promotions: self.promotions, rates: self.rates };
        let lines = self.lines.into_iter().map(|line| tables.read_line(line));
        let shipping = match self.shipping {
            Some(shipping) => Some(tables.read_shipping(shipping)?),
            None => None,
        };
        Some(Price {
            market: self.market,
            pricing_version: self.version,
            currency: self.currency,
            basis: self.basis,
            rounding: self.rounding,
            lines: lines.collect::<Option<_>>()?,
            shipping,
            tax_summary: tables.read_taxes(self.tax_summary)?,
            discount_total: self.discount_total,
            tax_source: TaxSource::Rules { version: self.tax_source.version },
            tax_region: self.tax_region,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{json, to_value};
    use shared::{
        ids,
        table::{from_item, to_item},
    };

    use super::*;
    use crate::{
        domain::pricing::{Priced, estimate},
        pricing_tests::sample::sample,
    };

    fn stored(price: &Price) -> PriceItem {
        let item = to_item(&PriceItem::from(price.clone()));
        from_item(item).unwrap()
    }

    proptest! {
        #[test]
        fn price_is_read_as_it_was_stored(sample in sample()) {
            let priced = estimate(&sample.request(&sample.lines)).priced;
            if let Some(Priced { price, .. }) = priced {
                prop_assert_eq!(stored(&price).read(), Some(price));
            }
        }
    }

    /// The price of an order with this number of promotions and of tax rates on each of 40 lines.
    fn large(promotions: usize, rates: usize) -> Price {
        let discount = |number: usize| Discount {
            promotion_id: ids::derive(&["promotion", &number.to_string()]),
            name: "A promotion with a name of forty letters".to_owned(),
            amount: 1_234_567,
        };
        let rate = |number: usize| TaxRow {
            jurisdiction: "US-CA".to_owned(),
            name: format!("Rate of the district {number}"),
            treatment: Treatment::Standard,
            ppm: 72_500,
            base: 12_345_678,
            amount: 1_234_567,
        };
        let taxes: Vec<TaxRow> = (0..rates).map(rate).collect();
        let line = |number: usize| PricedLine {
            line_id: ids::derive(&["line", &number.to_string()]),
            base: 99_999_999,
            discounts: (0..promotions).map(discount).collect(),
            taxes: taxes.clone(),
            net: 12_345_678,
            tax: 1_234_567,
            gross: 13_580_245,
        };
        Price {
            market: MarketId::parse("us").unwrap(),
            pricing_version: 1_000_000,
            currency: Currency::parse("USD").unwrap(),
            basis: Basis::Net,
            rounding: Rounding::PerRate,
            lines: (0..40).map(line).collect(),
            shipping: None,
            tax_summary: taxes.clone(),
            discount_total: 1_234_567,
            tax_source: TaxSource::Rules { version: 1_000_000 },
            tax_region: Some("CA".to_owned()),
        }
    }

    /// An item has at most 400 KB. As JSON a price is longer than as an item.
    #[test]
    fn price_of_forty_lines_fits_into_the_item_of_its_order() {
        let kilobytes =
            |price: Price| to_value(PriceItem::from(price)).unwrap().to_string().len() / 1024;
        assert!(kilobytes(large(1, 1)) < 9, "{} KB", kilobytes(large(1, 1)));
        let most = large(rules_limits().0, rules_limits().1);
        assert!(kilobytes(most.clone()) < 200, "{} KB", kilobytes(most));
    }

    fn rules_limits() -> (usize, usize) {
        use crate::domain::pricing::rules::{MAX_PROMOTIONS, MAX_RATES};
        (MAX_PROMOTIONS, MAX_RATES)
    }

    #[test]
    fn price_with_an_unknown_reference_or_source_is_unreadable() {
        let damaged = |place: &str, value: serde_json::Value| {
            let mut item = to_value(PriceItem::from(large(1, 1))).unwrap();
            *item.pointer_mut(place).unwrap() = value;
            serde_json::from_value::<PriceItem>(item).unwrap().read()
        };
        assert!(damaged("/version", json!(7)).is_some());
        for (place, value) in [
            ("/lines/0/discounts/0/0", json!(1)),
            ("/lines/0/taxes/0/0", json!(1)),
            ("/tax_summary/0/0", json!(9)),
            ("/tax_source/kind", json!("quote")),
        ] {
            assert_eq!(damaged(place, value), None, "{place}");
        }
    }
}
