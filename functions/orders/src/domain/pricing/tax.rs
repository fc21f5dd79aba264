//! Tax: the rule for a destination, and the tax of each amount.
//!
//! Tax is rounded once per rate over the whole order, and allocated to the lines by the largest
//! remainder. So the tax of the order is the sum of its tax summary. The tax of a line at one rate
//! (in the basis `gross`: at one combined rate) is within one unit of its own rounding.

use std::{collections::BTreeMap, num::NonZeroU64};

use shared::{clock::Timestamp, market::TaxClass, money::allocate};

use super::{
    Destination, Refusal,
    breakdown::{Basis, TaxRow},
    fraction,
    rules::{Pricing, TaxRate, TaxRule, Treatment},
};

/// The rate 100 %, in parts per million.
const WHOLE: NonZeroU64 = NonZeroU64::new(1_000_000).expect("not 0");

/// The tax rules that are valid for one destination at one moment.
pub(super) struct TaxTable<'a> {
    country: &'a str,
    /// The region of the destination; `None` if no rule of the country is regional.
    region: Option<&'a str>,
    rules: Vec<&'a TaxRule>,
}

/// The rates for an amount.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AppliedRule<'a> {
    country: &'a str,
    region: Option<&'a str>,
    treatment: &'a Treatment,
    /// Names and rates in ppm.
    rates: Vec<(&'a str, u32)>,
}

/// What identifies a row of the tax summary, in its order.
type RateKey<'a> = (&'a str, Option<&'a str>, &'a str, u32, &'a Treatment);

/// An amount, in the market's basis, with its rates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Taxable<'a> {
    pub(super) rule: AppliedRule<'a>,
    pub(super) amount: i64,
}

impl<'a> TaxTable<'a> {
    /// # Errors
    /// [`Refusal::NotDeliveredThere`] if the rules are not those of the country, or the country is
    /// not served. [`Refusal::UnknownRegion`] if its rates are regional, and the region of the
    /// destination is not a code.
    pub(super) fn of(
        pricing: &'a Pricing,
        destination: &'a Destination,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        if !pricing.document.served || pricing.country != destination.country {
            return Err(Refusal::NotDeliveredThere);
        }
        let rules = pricing.document.taxes.iter().filter(|rule| rule.valid_from <= now);
        let rules: Vec<&TaxRule> = rules.collect();
        let is_regional = rules.iter().any(|rule| rule.region.is_some());
        let region = if is_regional {
            Some(region_code(destination).ok_or(Refusal::UnknownRegion)?)
        } else {
            None
        };
        Ok(Self { country: pricing.country.as_str(), region, rules })
    }

    /// The region whose rates apply; `None` if no rule of the country is regional.
    pub(super) fn region(&self) -> Option<&'a str> {
        self.region
    }

    /// Returns the latest rule for a tax class: that of the region, or else that of the country.
    /// `None` if there is no rule, or its treatment is unknown, or it taxes without a rate.
    pub(super) fn rule(&self, class: &TaxClass) -> Option<AppliedRule<'a>> {
        let latest = |region: Option<&str>| {
            let rules = self.rules.iter().copied().filter(|rule| rule.tax_class == *class);
            rules.filter(|rule| rule.region.as_deref() == region).max_by_key(|rule| rule.valid_from)
        };
        let regional = self.region.and_then(|region| latest(Some(region)));
        self.applied(regional.or_else(|| latest(None))?)
    }

    fn applied(&self, rule: &'a TaxRule) -> Option<AppliedRule<'a>> {
        let treatment = &rule.treatment;
        let names = rule.rates.iter().map(|rate| rate.name.as_str());
        let rates: Vec<(&str, u32)> = match treatment {
            Treatment::Standard | Treatment::Reduced if rule.rates.is_empty() => return None,
            Treatment::Standard | Treatment::Reduced => {
                rule.rates.iter().map(|TaxRate { name, ppm }| (name.as_str(), *ppm)).collect()
            }
            Treatment::Unknown(_) => return None,
            // An amount that is not taxed has a row too.
            _ if rule.rates.is_empty() => vec![(treatment.name(), 0)],
            _ => names.map(|name| (name, 0)).collect(),
        };
        let (country, region) = (self.country, rule.region.as_deref());
        Some(AppliedRule { country, region, treatment, rates })
    }
}

/// Reads `CA` and `US-CA`. Returns `None` for a missing region, or one that is not a code of ISO
/// 3166-2.
pub fn region_code(destination: &Destination) -> Option<&str> {
    let text = destination.region.as_deref()?;
    let without_country = text
        .strip_prefix(destination.country.as_str())
        .and_then(|rest| rest.strip_prefix('-'))
        .unwrap_or(text);
    let is_code = (1..=3).contains(&without_country.len())
        && without_country.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    is_code.then_some(without_country)
}

impl<'a> AppliedRule<'a> {
    /// The sum of the rates, in ppm.
    pub(super) fn combined_ppm(&self) -> u64 {
        self.rates.iter().map(|(_, ppm)| u64::from(*ppm)).sum()
    }

    fn key(&self, rate: usize) -> RateKey<'a> {
        let (name, ppm) = self.rates[rate];
        (self.country, self.region, name, ppm, self.treatment)
    }
}

/// Returns the gross amount of `amount` at a combined rate.
pub(super) fn gross(amount: i64, combined_ppm: u64, basis: Basis) -> i64 {
    match basis {
        Basis::Gross => amount,
        Basis::Net => amount.saturating_add(fraction(amount, combined_ppm, WHOLE)),
    }
}

/// Returns the tax of each amount at each of its rates.
pub(super) fn tax(basis: Basis, amounts: &[Taxable<'_>]) -> Vec<Vec<i64>> {
    let mut taxes: Vec<Vec<i64>> =
        amounts.iter().map(|taxable| vec![0; taxable.rule.rates.len()]).collect();
    match basis {
        Basis::Net => add_taxes(amounts, &mut taxes),
        Basis::Gross => extract_taxes(amounts, &mut taxes),
    }
    taxes
}

/// Each rate is taxed on its own: its tax is rounded once and allocated to its amounts.
fn add_taxes(amounts: &[Taxable<'_>], taxes: &mut [Vec<i64>]) {
    let mut by_rate: BTreeMap<RateKey<'_>, Vec<(usize, usize)>> = BTreeMap::new();
    for (index, taxable) in amounts.iter().enumerate() {
        for rate in 0..taxable.rule.rates.len() {
            by_rate.entry(taxable.rule.key(rate)).or_default().push((index, rate));
        }
    }
    for ((_, _, _, ppm, _), places) in by_rate {
        let bases: Vec<i64> = places.iter().map(|(index, _)| amounts[*index].amount).collect();
        let total = fraction(sum(&bases), u64::from(ppm), WHOLE);
        for ((index, rate), share) in places.into_iter().zip(allocate(total, &bases)) {
            taxes[index][rate] = share;
        }
    }
}

/// The tax that amounts of one combined rate include is rounded once and allocated to them. The tax
/// of those with the same rule is then split over the rates of the rule.
fn extract_taxes(amounts: &[Taxable<'_>], taxes: &mut [Vec<i64>]) {
    let mut by_combined_rate: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, taxable) in amounts.iter().enumerate() {
        by_combined_rate.entry(taxable.rule.combined_ppm()).or_default().push(index);
    }
    for (ppm, indexes) in by_combined_rate {
        let gross: Vec<i64> = indexes.iter().map(|index| amounts[*index].amount).collect();
        let total = fraction(sum(&gross), ppm, WHOLE.saturating_add(ppm));
        let mut open: Vec<(usize, i64)> =
            indexes.into_iter().zip(allocate(total, &gross)).collect();
        while let Some((first, _)) = open.first() {
            let rule = &amounts[*first].rule;
            let (same, others) =
                open.into_iter().partition(|(index, _)| amounts[*index].rule == *rule);
            split_over_rates(rule, same, taxes);
            open = others;
        }
    }
}

/// Splits the taxes of the amounts under one rule over its rates, so that the sums of both the
/// amounts and the rates are kept.
fn split_over_rates(rule: &AppliedRule<'_>, amounts: Vec<(usize, i64)>, taxes: &mut [Vec<i64>]) {
    let (indexes, mut open): (Vec<usize>, Vec<i64>) = amounts.into_iter().unzip();
    let ppm: Vec<i64> = rule.rates.iter().map(|(_, ppm)| i64::from(*ppm)).collect();
    for (rate, total) in allocate(sum(&open), &ppm).into_iter().enumerate() {
        // The last rate takes all remaining amounts, because its total is their sum.
        for (position, share) in allocate(total, &open).into_iter().enumerate() {
            taxes[indexes[position]][rate] = share;
            open[position] -= share;
        }
    }
}

/// The rows of one amount, one per rate.
pub(super) fn rows(basis: Basis, taxable: &Taxable<'_>, taxes: &[i64]) -> Vec<TaxRow> {
    let rule = &taxable.rule;
    let base = match basis {
        Basis::Net => taxable.amount,
        Basis::Gross => taxable.amount - sum(taxes),
    };
    let jurisdiction = match rule.region {
        Some(region) => format!("{}-{region}", rule.country),
        None => rule.country.to_owned(),
    };
    let row = |((name, ppm), amount): (&(&str, u32), &i64)| TaxRow {
        jurisdiction: jurisdiction.clone(),
        name: (*name).to_owned(),
        treatment: rule.treatment.clone(),
        ppm: *ppm,
        base,
        amount: *amount,
    };
    rule.rates.iter().zip(taxes).map(row).collect()
}

/// Adds up the rows of each rate, sorted by jurisdiction, name, rate and treatment.
pub(super) fn summary<'a>(rows: impl Iterator<Item = &'a TaxRow>) -> Vec<TaxRow> {
    let mut by_rate: BTreeMap<_, TaxRow> = BTreeMap::new();
    for row in rows {
        let key = (&row.jurisdiction, &row.name, row.ppm, &row.treatment);
        by_rate
            .entry(key)
            .and_modify(|sum| {
                sum.base = sum.base.saturating_add(row.base);
                sum.amount = sum.amount.saturating_add(row.amount);
            })
            .or_insert_with(|| row.clone());
    }
    by_rate.into_values().collect()
}

/// Adds up amounts. A sum that does not fit is far above the largest amount that can be charged.
pub(super) fn sum(amounts: &[i64]) -> i64 {
    amounts.iter().fold(0, |sum, amount| sum.saturating_add(*amount))
}
