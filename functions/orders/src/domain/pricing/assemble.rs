//! Assembles the breakdown: taxes goods and shipping in one calculation, and computes the totals.

use shared::money::Money;

use super::{
    super::placement::Totals,
    breakdown::{Basis, Price, Priced, PricedLine, PricedShipping, Rounding, TaxRow, TaxSource},
    goods::Goods,
    shipping::Charge,
    tax::{Taxable, rows, sum, summary, tax},
};

/// Returns the price of `goods` with `shipping`. The tax of both is rounded together.
pub(super) fn assemble(goods: &Goods<'_>, shipping: Option<Charge<'_>>) -> Priced {
    let basis = goods.basis();
    let mut amounts: Vec<Taxable<'_>> = goods.taxable().collect();
    amounts.extend(shipping.iter().flat_map(|charge| charge.portions.iter().cloned()));
    let taxes = tax(basis, &amounts);
    let (of_lines, of_shipping) = amounts.split_at(goods.lines.len());
    let (taxes_of_lines, taxes_of_shipping) = taxes.split_at(goods.lines.len());

    let lines = goods.lines.iter().zip(of_lines.iter().zip(taxes_of_lines));
    let lines: Vec<PricedLine> = lines
        .map(|(line, (taxable, taxes))| {
            let Amounts { net, tax, gross } = Amounts::of(basis, line.left, sum(taxes));
            PricedLine {
                line_id: line.line.line_id,
                base: line.base,
                discounts: line.discounts.clone(),
                taxes: rows(basis, taxable, taxes),
                net,
                tax,
                gross,
            }
        })
        .collect();
    let shipping = shipping.map(|charge| {
        let rows: Vec<TaxRow> = of_shipping
            .iter()
            .zip(taxes_of_shipping)
            .flat_map(|(taxable, taxes)| rows(basis, taxable, taxes))
            .collect();
        let left = of_shipping.iter().map(|portion| portion.amount).sum();
        let tax = taxes_of_shipping.iter().map(|taxes| sum(taxes)).fold(0, i64::saturating_add);
        let Amounts { net, tax, gross } = Amounts::of(basis, left, tax);
        PricedShipping {
            method_id: charge.method.id,
            name: charge.method.name.clone(),
            base: charge.base,
            discounts: charge.discounts,
            taxes: summary(rows.iter()),
            net,
            tax,
            gross,
        }
    });
    with_totals(goods, lines, shipping)
}

/// Adds up the priced lines and shipping.
fn with_totals(
    goods: &Goods<'_>,
    lines: Vec<PricedLine>,
    shipping: Option<PricedShipping>,
) -> Priced {
    let pricing = goods.pricing;
    let basis = goods.basis();
    let in_basis = |net, gross| match basis {
        Basis::Gross => gross,
        Basis::Net => net,
    };
    let of_shipping =
        |of: fn(&PricedShipping) -> i64| shipping.as_ref().map(of).unwrap_or_default();
    let of_lines = |of: fn(&PricedLine) -> i64| sum(&lines.iter().map(of).collect::<Vec<_>>());
    let money = |amount| Money::new(amount, pricing.document.currency);
    let totals = Totals {
        items: money(in_basis(of_lines(|line| line.net), of_lines(|line| line.gross))),
        shipping: money(in_basis(
            of_shipping(|shipping| shipping.net),
            of_shipping(|shipping| shipping.gross),
        )),
        tax: money(of_lines(|line| line.tax).saturating_add(of_shipping(|shipping| shipping.tax))),
        total: money(
            of_lines(|line| line.gross).saturating_add(of_shipping(|shipping| shipping.gross)),
        ),
    };
    let rows = lines.iter().flat_map(|line| &line.taxes);
    let tax_summary = summary(rows.chain(shipping.iter().flat_map(|shipping| &shipping.taxes)));
    let discounts = lines.iter().flat_map(|line| &line.discounts);
    let discounts = discounts.chain(shipping.iter().flat_map(|shipping| &shipping.discounts));
    let price = Price {
        market: pricing.market.clone(),
        pricing_version: pricing.version,
        currency: pricing.document.currency,
        basis,
        rounding: Rounding::PerRate,
        tax_summary,
        discount_total: discounts.map(|discount| discount.amount).sum(),
        lines,
        shipping,
        tax_source: TaxSource::Rules { version: pricing.version },
        tax_region: goods.table.region().map(str::to_owned),
    };
    Priced { price, totals }
}

struct Amounts {
    net: i64,
    tax: i64,
    gross: i64,
}

impl Amounts {
    /// From an amount in the market's basis and its tax.
    fn of(basis: Basis, amount: i64, tax: i64) -> Self {
        match basis {
            Basis::Gross => Self { net: amount - tax, tax, gross: amount },
            Basis::Net => Self { net: amount, tax, gross: amount.saturating_add(tax) },
        }
    }
}
