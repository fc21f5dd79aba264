//! Plans the missing sale entries of an order: the amounts that its record requires, less those
//! that the ledger has.
//!
//! The sale is one entry. Its reversals and reinstatements are differences of one amount, so at
//! most one entry is planned for all missing ones.

use super::{EntrySeries, Repair, has_any, later_versions, reasons};
use crate::domain::{
    Account, Line, Unit,
    audit::{
        Finding, OrderSnapshot,
        record::{OrderRecord, RecordedEntry},
        sale::{Amounts, Sale, is_of_sale},
    },
};

/// Findings that blame a record other than the ledger, or a damaged ledger.
const CONTRADICTIONS: [&str; 8] = [
    "amount_due",
    "refunded_by_order",
    "reversed_by_order",
    "disputed_by_order",
    "one_full_capture",
    "sale_of_order",
    "currency_in_ledger",
    "entry_balances",
];

const SALE: &str = "sale";
const REVERSAL: &str = "sale_reversal";
const REINSTATEMENT: &str = "sale_reinstatement";

/// Plans the missing entries about the sale.
///
/// # Errors
/// The reason why the difference is not repaired.
pub fn missing_entries(
    snapshot: &OrderSnapshot,
    findings: &[Finding],
) -> Result<Vec<Repair>, &'static str> {
    let is_missing = has_any(findings, &["sale_in_ledger"]);
    let Some(order) = snapshot.order.as_ref().filter(|_| is_missing) else {
        return Ok(Vec::new());
    };
    if has_any(findings, &CONTRADICTIONS) {
        return Err(reasons::SALE_RECORDS_CONFLICT);
    }
    let sale = Sale::of(order).ok_or(reasons::LEDGER_EXCEEDS_RECORDS)?;
    let versions = later_versions(order.version).ok_or(reasons::TOO_MANY_VERSIONS)?;
    let series = |kinds: Vec<&'static str>| EntrySeries {
        service: "orders",
        record: snapshot.order_id.to_string(),
        kinds,
        versions: versions.clone(),
    };
    let (sold, moved) = (series(vec![SALE]), series(vec![REVERSAL, REINSTATEMENT]));
    let (of_sale, others): (Vec<&RecordedEntry>, Vec<&RecordedEntry>) =
        of_orders(snapshot).partition(|entry| entry.kind.name() == SALE);
    if !of_sale.iter().all(|it| sold.explains(it)) || !others.iter().all(|it| moved.explains(it)) {
        return Err(reasons::UNEXPLAINED_ENTRY);
    }
    let mut repairs = Vec::new();
    let missing = difference(&negated(sale.parts.clone()), &of_sale);
    if !missing.is_empty() {
        // The sale is booked by one entry. A booked sale is never corrected.
        if !of_sale.is_empty() {
            return Err(reasons::LEDGER_EXCEEDS_RECORDS);
        }
        repairs.push(repair(&sold, SALE, missing, snapshot, order)?);
    }
    let missing = difference(&sale.reversed(), &others);
    if !missing.is_empty() {
        let kind = if sum(&missing) < 0 { REINSTATEMENT } else { REVERSAL };
        repairs.push(repair(&moved, kind, missing, snapshot, order)?);
    }
    Ok(repairs)
}

/// The entries that orders has published, or that earlier repairs have booked for them.
fn of_orders(snapshot: &OrderSnapshot) -> impl Iterator<Item = &RecordedEntry> {
    let moves_sale =
        |entry: &&RecordedEntry| entry.lines.iter().any(|line| is_of_sale(line.account));
    snapshot.entries.iter().filter(moves_sale)
}

fn negated(mut amounts: Amounts) -> Amounts {
    amounts.values_mut().for_each(|amount| *amount = -*amount);
    amounts
}

/// The expected amounts, less those of these entries.
fn difference(expected: &Amounts, entries: &[&RecordedEntry]) -> Amounts {
    let mut missing = expected.clone();
    let lines = entries.iter().flat_map(|entry| &entry.lines);
    for line in lines.filter(|line| is_of_sale(line.account)) {
        let rest = missing.entry(line.account).or_default();
        *rest = rest.saturating_sub(line.amount);
    }
    missing.retain(|_, amount| *amount != 0);
    missing
}

fn sum(amounts: &Amounts) -> i64 {
    amounts.values().copied().fold(0, i64::saturating_add)
}

/// The entry that moves these amounts from the funds of the order.
fn repair(
    series: &EntrySeries,
    kind: &'static str,
    amounts: Amounts,
    snapshot: &OrderSnapshot,
    order: &OrderRecord,
) -> Result<Repair, &'static str> {
    let unit = Unit::Money(order.totals.currency);
    let funds = (Account::CustomerFunds(snapshot.order_id), sum(&amounts).saturating_neg());
    let lines = [funds].into_iter().chain(amounts).filter(|(_, amount)| *amount != 0);
    let lines = lines.map(|(account, amount)| Line { account, unit, amount }).collect();
    let confirmed_at = order.confirmed_at().filter(|_| kind == SALE);
    let at = confirmed_at.or_else(|| order.changed_at()).ok_or(reasons::UNEXPLAINED_ENTRY)?;
    let repair = series.repair(kind, at, snapshot.order_id, lines, &snapshot.entries);
    repair.ok_or(reasons::UNEXPLAINED_ENTRY)
}
