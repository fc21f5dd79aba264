//! Plans an order's missing money entries: the totals of its payment intent less the ledger's sum
//! of each kind.

use super::{EntrySeries, Repair, has_any, later_versions, reasons};
use crate::domain::{
    Account, Line, Unit,
    audit::{Finding, OrderSnapshot},
};

/// Findings that blame a record other than the ledger, or a damaged ledger.
const CONTRADICTIONS: [&str; 11] = [
    "amount_due",
    "captured_by_payments",
    "refunded_by_payments",
    "duplicate_captures_by_payments",
    "reversed_by_payments",
    "disputed_by_payments",
    "charge_at_provider",
    "refund_at_provider",
    "dispute_at_provider",
    "currency_in_ledger",
    "entry_balances",
];

/// Findings that show that the ledger lacks money entries.
const MISSING: [&str; 3] = ["captured_by_ledger", "refunded_by_ledger", "funds_in_ledger"];

/// Plans the missing entries about money.
///
/// # Errors
/// The reason why the difference is not repaired.
pub fn missing_entries(
    snapshot: &OrderSnapshot,
    findings: &[Finding],
) -> Result<Vec<Repair>, &'static str> {
    let Some(intent) = snapshot.intent.as_ref().filter(|_| has_any(findings, &MISSING)) else {
        return Ok(Vec::new());
    };
    if has_any(findings, &CONTRADICTIONS) {
        return Err(reasons::PAYMENT_RECORDS_CONFLICT);
    }
    let versions = later_versions(intent.version).ok_or(reasons::TOO_MANY_VERSIONS)?;
    let unit = Unit::Money(intent.currency);
    let mut repairs = Vec::new();
    for (kind, total) in intent.movements() {
        let entries: Vec<_> =
            snapshot.entries.iter().filter(|entry| entry.kind.name() == kind).collect();
        let lines = entries.iter().flat_map(|entry| &entry.lines);
        let booked: i64 = lines
            .filter(|line| line.account == Account::ProviderClearing && line.unit == unit)
            .map(|line| line.amount)
            .sum();
        let amount = total.saturating_sub(booked);
        if amount == 0 {
            continue;
        }
        if amount.signum() != total.signum() {
            return Err(reasons::LEDGER_EXCEEDS_RECORDS);
        }
        let series = EntrySeries {
            service: "payments",
            record: snapshot.order_id.to_string(),
            kinds: vec![kind],
            versions: versions.clone(),
        };
        if !entries.iter().all(|entry| series.explains(entry)) {
            return Err(reasons::UNEXPLAINED_ENTRY);
        }
        let line = |account, amount| Line { account, unit, amount };
        let lines = vec![
            line(Account::ProviderClearing, amount),
            line(Account::CustomerFunds(snapshot.order_id), -amount),
        ];
        let repair =
            series.repair(kind, intent.updated_at, snapshot.order_id, lines, &snapshot.entries);
        repairs.push(repair.ok_or(reasons::UNEXPLAINED_ENTRY)?);
    }
    Ok(repairs)
}
