//! The reconciliation rules: what the records of an order or a product must contain if the other
//! records are right.
//!
//! | check | expected (source) | found (where) |
//! |---|---|---|
//! | `order_exists` | an order | in orders |
//! | `amount_due` | the order's total | the payment intent |
//! | `captured_by_order`, `refunded_by_order` | the payment intent | the order |
//! | `captured_by_payments`, `refunded_by_payments` | attempts and refunds that succeeded | the payment intent |
//! | `duplicate_captures_by_payments` | duplicate captures and their refunds that succeeded | the payment intent |
//! | `reversed_by_payments`, `reversed_by_order` | refunds that failed after they succeeded; the intent | the payment intent; the order |
//! | `disputed_by_payments`, `disputed_by_order` | the disputes; the intent | the payment intent; the order |
//! | `refundable` | the captured amount less refunds and disputes | the payment intent |
//! | `refunded_of_payment` | the refunds of one payment | the attempt |
//! | `charge_at_provider`, `refund_at_provider` | the provider | the attempt, the refund |
//! | `dispute_at_provider` | the amount that the bank holds, according to the provider | the dispute |
//! | `refundable_at_provider`, `order_at_provider` | the provider's refunds, the order | the provider's charge |
//! | `captured_by_ledger`, `refunded_by_ledger` | attempts, refunds and disputes | the ledger |
//! | `funds_in_ledger`, `currency_in_ledger`, `entry_balances` | the same, the sale, and the double-entry rule | the ledger |
//! | `sale_of_order` | the order's total | the parts of its price, for an order that was confirmed |
//! | `sale_in_ledger` | the parts of the order's price, less the share of what was returned | the ledger |
//! | `one_full_capture` | exactly one capture of the order's total | attempts of an order that is confirmed, shipped or delivered |
//! | `no_payment` | no attempt, and no intent that is not closed | payments, for an order of total 0 |
//! | `confirmed` | `confirmed` or later | the status of a fully paid order that is not cancelled |
//! | `net_zero` | zero | the retained money of an order that is cancelled or failed |
//! | `duplicate_captures_refunded` | zero | the retained money of duplicate captures |
//! | `under_review` | no review is pending | attempts and refunds that contradict the provider |
//! | `reservation_state` | the order's stock state | the reservation |
//! | `reserved_quantity` | the order's lines | the reservation's lines |
//! | `committed_in_ledger` | the committed reservation | the ledger |
//! | `held_for_orders` | reservations in the state `held` | the product's stock |
//! | `on_hand_in_ledger` | the product's stock | the ledger |
//! | `possible_stock` | 0 ≤ available ≤ on hand | each shard of the product's stock |
//!
//! Services write their records one after the other. Records that contradict each other while
//! changes are in flight are unsettled, not unbalanced.

mod ledger;
pub mod order;
pub mod product;
pub mod record;
pub mod sale;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;
use shared::clock::Timestamp;

pub use order::OrderSnapshot;
pub use product::ProductSnapshot;

/// A contradiction between two records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the failed check.
    pub check: &'static str,
    /// The payment, refund, product or entry concerned, if the finding does not concern the whole
    /// order or product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub expected: FindingValue,
    pub found: FindingValue,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FindingValue {
    /// Minor units or pieces.
    Count(i64),
    Name(String),
}

impl From<i64> for FindingValue {
    fn from(count: i64) -> Self {
        Self::Count(count)
    }
}

impl From<&str> for FindingValue {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

/// The result of comparing all records of an order or product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditStatus {
    /// All records agree, and no change is in flight.
    Balanced,
    /// Changes are in flight; the result is final only once they have settled.
    Unsettled,
    /// The records contradict each other, and no pending work will change that.
    Unbalanced,
}

/// The result of checking an order or a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub status: AuditStatus,
    pub findings: Vec<Finding>,
    /// The time of the latest change of any of the records.
    pub last_changed_at: Option<Timestamp>,
}

impl Verdict {
    /// Counts findings as mismatches only if no record has changed within `grace`.
    fn of(
        findings: Vec<Finding>,
        settled: bool,
        last_changed_at: Option<Timestamp>,
        now: Timestamp,
        grace: Duration,
    ) -> Self {
        let moving =
            last_changed_at.is_some_and(|last_changed_at| now.since(last_changed_at) < grace);
        let status = match (findings.is_empty(), settled) {
            (true, true) => AuditStatus::Balanced,
            (true, false) => AuditStatus::Unsettled,
            (false, _) if moving => AuditStatus::Unsettled,
            (false, _) => AuditStatus::Unbalanced,
        };
        Self { status, findings, last_changed_at }
    }

    /// The verdict for an unreadable record, which `what` names.
    pub fn unreadable(what: &str) -> Self {
        let finding = Finding {
            check: "readable",
            subject: None,
            expected: "a record that can be read".into(),
            found: what.into(),
        };
        Self { status: AuditStatus::Unbalanced, findings: vec![finding], last_changed_at: None }
    }
}

/// Collects findings.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding if the values differ.
    fn expect(
        &mut self,
        check: &'static str,
        expected: impl Into<FindingValue>,
        found: impl Into<FindingValue>,
    ) {
        self.compare(check, None, expected.into(), found.into());
    }

    /// As [`Self::expect`], for one part of the order or product.
    fn expect_for(
        &mut self,
        check: &'static str,
        subject: impl ToString,
        expected: impl Into<FindingValue>,
        found: impl Into<FindingValue>,
    ) {
        self.compare(check, Some(subject.to_string()), expected.into(), found.into());
    }

    fn compare(
        &mut self,
        check: &'static str,
        subject: Option<String>,
        expected: FindingValue,
        found: FindingValue,
    ) {
        if expected != found {
            self.0.push(Finding { check, subject, expected, found });
        }
    }
}
