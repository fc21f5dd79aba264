//! The invariants of the prices of orders in markets. All sums are computed again from the stored
//! amounts, without the function that computed the price.

use std::{collections::BTreeMap, sync::Arc};

use tests::dynamodb::{Attribute, Item, number, text};

use super::{Order, Stage, checks::total};

/// 100 % in parts per million.
const WHOLE: i64 = 1_000_000;

/// The price that a buyer accepted.
pub struct Accepted {
    total: i64,
    /// The breakdown, as it was stored with the order; `None` without a market.
    price: Option<Attribute>,
}

impl Stage {
    /// Adds an order that was placed at this total.
    pub fn placed_at(&mut self, id: String, buyer: String, total: i64) {
        let stored = self.stored_price(&id);
        let price = stored.as_ref().filter(|(stored, _)| *stored == total);
        let Some((_, price)) = price.cloned() else {
            self.fail(&format!("{id} was placed at {total}, and has {stored:?}"))
        };
        self.orders.push(Order { id, buyer, accepted: Some(Accepted { total, price }) });
    }

    /// The stored total and price of an order.
    fn stored_price(&self, id: &str) -> Option<(i64, Option<Attribute>)> {
        let orders = self.stored_orders();
        let order = orders.iter().find(|order| text(order, "pk") == format!("ORDER#{id}"))?;
        Some((total(order), order.get("price").cloned()))
    }

    /// Checks that orders have the prices that their buyers accepted, and that all sums of these
    /// prices are right.
    pub(super) fn check_prices(&self) {
        for Order { id, accepted, .. } in &self.orders {
            let Some(accepted) = accepted else { continue };
            let stored = self.stored_price(id);
            let is_kept = stored
                .as_ref()
                .is_some_and(|(total, price)| *total == accepted.total && *price == accepted.price);
            self.ensure(is_kept, || {
                format!("{id} was placed at {}, and now has {stored:?}", accepted.total)
            });
        }
        for order in self.stored_orders() {
            let Some(price) = order.get("price").and_then(Attribute::members) else { continue };
            if let Err(violation) = check(&order, price) {
                self.fail(&format!("{}: {violation} in {price:?}", text(&order, "pk")));
            }
        }
    }

    /// Checks that the ledger has the parts of each price as the earnings of its order, unless
    /// money was returned.
    pub(super) fn check_booked_prices(&self) {
        let ledger = self.shop.aws.stored("ledger");
        for (id, charge) in self.charges() {
            let Some((total, Some(price))) = self.stored_price(&id) else { continue };
            if charge.contains_key("disputed") || number(&charge, "refundable") < total {
                continue;
            }
            let mut booked: BTreeMap<&str, i64> = BTreeMap::new();
            let key = format!("ORDER#{id}");
            for entry in ledger.iter().filter(|entry| text(entry, "pk") == key) {
                let units = entry.get("lines").and_then(Attribute::members);
                let money = units.and_then(|units| units.get("USD")).and_then(Attribute::members);
                let Some(money) = money else { continue };
                let earned = money.keys().filter(|account| account.contains(':'));
                for account in earned {
                    *booked.entry(account).or_default() -= number(money, account);
                }
            }
            let parts = price.members().map(parts).unwrap_or_default();
            let is_booked = booked.len() == parts.len()
                && parts.iter().all(|(account, part)| booked.get(account.as_str()) == Some(part));
            self.ensure(is_booked, || format!("{id} earns {parts:?}, and {booked:?} is booked"));
        }
    }

    /// Checks that each mail about an order has its total, which is the sum of the amounts above
    /// it.
    pub(super) fn check_mailed_totals(&self) {
        let mails = self.shop.aws.mails().mails();
        let orders = self.stored_orders();
        for mail in mails.iter().skip(self.before.mails) {
            let Some((sum, mailed)) = amounts(&mail.text) else { continue };
            let is_about = |order: &&Arc<Item>| {
                mail.text.contains(text(order, "pk").trim_start_matches("ORDER#"))
            };
            let expected = orders.iter().find(is_about).map(|order| total(order));
            self.ensure(expected == Some(mailed) && sum == mailed, || {
                format!("the order costs {expected:?}, and its mail says {}", mail.text)
            });
        }
    }
}

/// The revenue and tax of a price, by account of the ledger.
fn parts(price: &Item) -> BTreeMap<String, i64> {
    let mut parts: BTreeMap<String, i64> = BTreeMap::new();
    let lines = price.get("lines").map(Attribute::values).unwrap_or_default();
    let lines = lines.iter().filter_map(Attribute::members);
    parts.insert("revenue:goods".to_owned(), lines.map(|line| number(line, "net")).sum());
    let shipping = price.get("shipping").and_then(Attribute::members);
    let shipping = shipping.map_or(0, |shipping| number(shipping, "net"));
    parts.insert("revenue:shipping".to_owned(), shipping);
    let rates = price.get("rates").map(Attribute::values).unwrap_or_default();
    for row in rows(price, "tax_summary") {
        let rate = usize::try_from(row[0]).ok().and_then(|rate| rates.get(rate)?.members());
        let jurisdiction = rate.map(|rate| text(rate, "jurisdiction")).unwrap_or_default();
        *parts.entry(format!("tax:{jurisdiction}")).or_default() += row[2];
    }
    parts.retain(|_, part| *part > 0);
    parts
}

/// The sum of the amounts above the total of a mail, and the total, in cents.
fn amounts(mail: &str) -> Option<(i64, i64)> {
    let lines: Vec<&str> = mail.lines().collect();
    let position = lines.iter().position(|line| line.starts_with("Total: "))?;
    let cents = |line: &&str| -> Option<i64> {
        let (_, amount) = line.rsplit_once(": ")?;
        amount.strip_suffix(" USD")?.replace('.', "").parse().ok()
    };
    let above = lines[..position].iter().rev().map_while(cents).sum();
    Some((above, cents(&lines[position])?))
}

/// A line of a price, or its shipping.
struct Part {
    base: i64,
    /// The number of each promotion, and its amount.
    discounts: Vec<Vec<i64>>,
    /// The number of each rate, the taxed amount, and the tax.
    taxes: Vec<Vec<i64>>,
    net: i64,
    tax: i64,
    gross: i64,
}

impl Part {
    fn of(item: &Item) -> Self {
        Self {
            base: number(item, "base"),
            discounts: rows(item, "discounts"),
            taxes: rows(item, "taxes"),
            net: number(item, "net"),
            tax: number(item, "tax"),
            gross: number(item, "gross"),
        }
    }

    /// The amount in the basis of the market.
    fn amount(&self, is_gross: bool) -> i64 {
        if is_gross { self.gross } else { self.net }
    }

    fn check(&self, is_gross: bool, promotions: usize) -> Result<(), String> {
        let amounts = [self.base, self.net, self.tax, self.gross];
        let of_rows = self.taxes.iter().flat_map(|row| &row[1..]);
        holds("a negative amount", amounts.iter().chain(of_rows).all(|amount| *amount >= 0))?;
        let mut taken = vec![false; promotions];
        for row in &self.discounts {
            let known = usize::try_from(row[0]).ok().and_then(|number| taken.get_mut(number));
            let is_first = known.is_some_and(|taken| !std::mem::replace(taken, true));
            holds("a discount", is_first && row[1] > 0)?;
        }
        equal("the discounted amount", self.amount(is_gross), self.base - sum(&self.discounts, 1))?;
        equal("a gross amount", self.gross, self.net + self.tax)?;
        equal("a tax", self.tax, sum(&self.taxes, 2))
    }
}

/// Checks all sums of the price of an order.
fn check(order: &Item, price: &Item) -> Result<(), String> {
    let is_gross = text(price, "basis") == "gross";
    let promotions = price.get("promotions").map_or(0, |promotions| promotions.values().len());
    let lines = price.get("lines").map(Attribute::values).unwrap_or_default();
    let lines: Vec<Part> = lines.iter().filter_map(Attribute::members).map(Part::of).collect();
    let shipping = price.get("shipping").and_then(Attribute::members).map(Part::of);
    let parts: Vec<&Part> = lines.iter().chain(&shipping).collect();
    for part in &parts {
        part.check(is_gross, promotions)?;
    }
    // Both are sorted by product.
    let ordered = order.get("lines").and_then(Attribute::members);
    let ordered = ordered.into_iter().flatten().filter_map(|(_, line)| line.members());
    let bases: Vec<i64> =
        ordered.map(|line| number(line, "price") * number(line, "quantity")).collect();
    holds("the bases", bases == lines.iter().map(|line| line.base).collect::<Vec<_>>())?;
    let is_taxed = |line: &Part| line.taxes.iter().all(|row| row[1] == line.net);
    holds("a tax without rate", lines.iter().all(|line| !line.taxes.is_empty()))?;
    holds("a taxed amount", lines.iter().all(is_taxed))?;

    let discounts = parts.iter().map(|part| sum(&part.discounts, 1)).sum();
    equal("the discounts", number(price, "discount_total"), discounts)?;
    check_taxes(price, &parts, is_gross)?;

    let stored = order.get("totals").and_then(Attribute::members).cloned().unwrap_or_default();
    let of = |of: fn(&Part) -> i64| parts.iter().map(|part| of(part)).sum::<i64>();
    let (items, charged) = (
        lines.iter().map(|line| line.amount(is_gross)).sum::<i64>(),
        shipping.as_ref().map_or(0, |shipping| shipping.amount(is_gross)),
    );
    let total = number(&stored, "total");
    equal("the total", total, of(|part| part.gross))?;
    equal("the tax", number(&stored, "tax"), of(|part| part.tax))?;
    equal("the shipping", number(&stored, "shipping"), charged)?;
    // The items are not stored if they follow from the other amounts.
    let rest = total - number(&stored, "shipping") - number(&stored, "tax");
    let stored_items = stored.get("items").map_or(rest, |_| number(&stored, "items"));
    equal("the sum of the items", stored_items, items)?;
    let added = if is_gross { 0 } else { of(|part| part.tax) };
    equal("the sum of the totals", total, items + charged + added)
}

/// Checks that the summary has the sums of all tax rows, and that each rate is rounded once.
fn check_taxes(price: &Item, parts: &[&Part], is_gross: bool) -> Result<(), String> {
    let mut sums: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in parts.iter().flat_map(|part| &part.taxes) {
        let sum = sums.entry(row[0]).or_default();
        *sum = (sum.0 + row[1], sum.1 + row[2]);
    }
    let summary = rows(price, "tax_summary");
    let rows: BTreeMap<i64, (i64, i64)> =
        summary.iter().map(|row| (row[0], (row[1], row[2]))).collect();
    holds("a repeated row of the tax summary", rows.len() == summary.len())?;
    holds("the tax summary", rows == sums)?;

    let rates = price.get("rates").map(Attribute::values).unwrap_or_default();
    let ppm = |rate: i64| {
        let rate = usize::try_from(rate).ok().and_then(|rate| rates.get(rate)?.members());
        rate.map(|rate| number(rate, "ppm")).ok_or_else(|| "an unknown rate".to_owned())
    };
    if !is_gross {
        for (rate, (base, amount)) in sums {
            equal("the tax of a rate", amount, rounded(base * ppm(rate)?, WHOLE))?;
        }
        return Ok(());
    }
    // Rows of one rate each. Those of equal rates are rounded together.
    let mut by_ppm: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for (rate, (base, amount)) in sums {
        let sum = by_ppm.entry(ppm(rate)?).or_default();
        *sum = (sum.0 + base + amount, sum.1 + amount);
    }
    for (ppm, (gross, amount)) in by_ppm {
        equal("the tax of a rate", amount, rounded(gross * ppm, WHOLE + ppm))?;
    }
    Ok(())
}

/// A fraction of amounts that are not negative, rounded half up.
fn rounded(numerator: i64, denominator: i64) -> i64 {
    (2 * numerator + denominator) / (2 * denominator)
}

/// Rows of numbers.
fn rows(item: &Item, name: &str) -> Vec<Vec<i64>> {
    let number = |value: &Attribute| match value {
        Attribute::N(number) => number.text().parse().unwrap_or_default(),
        _ => 0,
    };
    let rows = item.get(name).map(Attribute::values).unwrap_or_default();
    rows.iter().map(|row| row.values().iter().map(number).collect()).collect()
}

/// The sum of a column.
fn sum(rows: &[Vec<i64>], column: usize) -> i64 {
    rows.iter().map(|row| row[column]).sum()
}

fn holds(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn equal(what: &str, found: i64, expected: i64) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found} instead of {expected}")) }
}
