//! The reconciliation rules: what each record of an order, and of a product, must say if the others
//! are right.
//!
//! | check | expected (who says it) | found (where) |
//! |---|---|---|
//! | `order_exists` | an order | in orders |
//! | `amount_due` | the order's total | the payment intent |
//! | `captured_by_order`, `refunded_by_order` | the payment intent | the order |
//! | `captured_by_payments`, `refunded_by_payments` | attempts and refunds that succeeded | the payment intent |
//! | `duplicate_captures_by_payments` | the same of captures that were one too many | the payment intent |
//! | `reversed_by_payments`, `reversed_by_order` | refunds that failed after they succeeded; the intent | the payment intent; the order |
//! | `disputed_by_payments`, `disputed_by_order` | the disputes; the intent | the payment intent; the order |
//! | `refundable` | what was captured less what refunds and disputes have taken | the payment intent |
//! | `refunded_of_payment` | the refunds of one payment | the attempt |
//! | `charge_at_provider`, `refund_at_provider` | the provider | the attempt, the refund |
//! | `dispute_at_provider` | what the bank holds, as the provider says | the dispute |
//! | `refundable_at_provider`, `order_at_provider` | the provider's refunds, the order | the provider's charge |
//! | `captured_by_ledger`, `refunded_by_ledger` | attempts, refunds and disputes | the ledger |
//! | `funds_in_ledger`, `currency_in_ledger`, `entry_balances` | the same, and double entry | the ledger |
//! | `one_full_capture` | exactly one, of the whole total | attempts of an order that is confirmed, shipped or delivered |
//! | `confirmed` | `confirmed` or later | the status of an order that was paid in full and is not cancelled |
//! | `net_zero` | nothing left | the money of an order that is cancelled or failed |
//! | `duplicate_captures_refunded` | nothing left | captures that were one too many |
//! | `under_review` | no review is pending | attempts and refunds that contradict the provider |
//! | `reservation_state` | what the order believes | the reservation |
//! | `reserved_quantity` | the order's line | the reservation's lines |
//! | `reserved_in_ledger` | the reservation | the ledger |
//! | `held_for_orders` | reservations that hold | the product's figures |
//! | `available_in_ledger`, `held_in_ledger` | the product's figures | the ledger |
//! | `possible_stock` | neither less than none nor more available than there are | the product's figures |
//!
//! Books of different services are written one after the other: what contradicts itself while it is
//! still moving is unsettled, not broken.

pub mod order;
pub mod product;
pub mod record;

use std::time::Duration;

use serde::Serialize;
use shared::clock::Timestamp;

pub use order::OrderSnapshot;
pub use product::ProductSnapshot;

/// Two books that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule is broken.
    pub check: &'static str,
    /// The payment, refund, product or entry that it is about, where it is not about the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it should be.
    pub expected: FindingValue,
    /// What it is.
    pub found: FindingValue,
}

/// A number of minor units or pieces, or a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FindingValue {
    /// How much, how many.
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

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditStatus {
    /// All agree, and nothing is under way.
    Balanced,
    /// Something is under way: it is judged when it has come to rest.
    Unsettled,
    /// The records contradict each other, and no pending work will change that.
    Unbalanced,
}

/// What was found out about an order or a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its state.
    pub status: AuditStatus,
    /// What contradicts what.
    pub findings: Vec<Finding>,
    /// The last change of any of its records.
    pub last_changed_at: Option<Timestamp>,
}

impl Verdict {
    /// Contradictions count once nothing has moved for as long as `grace`.
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

    /// What follows where a book cannot be read: `what` is the book.
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

/// Findings as they come up.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// Notes it if the two are not the same.
    fn expect(
        &mut self,
        check: &'static str,
        expected: impl Into<FindingValue>,
        found: impl Into<FindingValue>,
    ) {
        self.compare(check, None, expected.into(), found.into());
    }

    /// The same about a part of the whole.
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
