//! The report that `reconcile-ledger` returns.

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId},
};

use crate::{
    audit_run::{Continuation, Window},
    domain::audit::{Finding, record::Status},
    repair::{NotRepaired, Repaired, Repairs},
};

/// The result of a reconciliation. It lists every order and product with a mismatch.
#[derive(Debug, Serialize)]
pub struct Report {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    /// The source of the provider's results.
    pub(super) provider: &'static str,
    /// Number of orders checked. A continued run may count an order twice if two sources list it.
    pub(super) checked: u32,
    /// Number of settled orders without a mismatch.
    pub(super) balanced: u32,
    /// Orders with changes in flight.
    pub(super) unsettled: Vec<OrderRow>,
    pub(super) unbalanced: Vec<OrderRow>,
    /// Number of products checked.
    pub(super) products_checked: u32,
    pub(super) products: Vec<ProductRow>,
    /// Orders and products that could not be read. The log has the reason.
    pub(super) not_checked: Vec<String>,
    /// Missing entries that this call booked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) repaired: Vec<Repaired>,
    /// Orders and products whose differences were not repaired, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_repaired: Vec<NotRepaired>,
    /// Whether this scheduled call did nothing because another one holds the lease.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) already_running: bool,
    /// The balances of products are calculated again from the entries recorded since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reposting_since: Option<Timestamp>,
    /// Send this as `{"continuation": …}` to continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) continuation: Option<Continuation>,
}

/// An order that is unsettled or has a mismatch.
#[derive(Debug, Serialize)]
pub struct OrderRow {
    pub(super) order_id: OrderId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) needs_review: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_changed_at: Option<Timestamp>,
    pub(super) findings: Vec<Finding>,
}

impl OrderRow {
    /// Whether no table has a record with this id. The id is then unknown, which is not a mismatch.
    pub(super) fn has_no_record(&self) -> bool {
        self.last_changed_at.is_none()
            && matches!(&self.findings[..], [only] if only.check == "order_exists")
    }
}

/// A product with a mismatch.
#[derive(Debug, Serialize)]
pub struct ProductRow {
    pub(super) product_id: ProductId,
    /// `unbalanced`, or `unsettled` if its stock changed within the grace period.
    pub(super) state: &'static str,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    pub(super) fn empty(window: Window, provider: &'static str) -> Self {
        Self {
            since: window.since,
            until: window.until,
            provider,
            checked: 0,
            balanced: 0,
            unsettled: Vec::new(),
            unbalanced: Vec::new(),
            products_checked: 0,
            products: Vec::new(),
            not_checked: Vec::new(),
            repaired: Vec::new(),
            not_repaired: Vec::new(),
            already_running: false,
            reposting_since: None,
            continuation: None,
        }
    }

    /// The number of listed orders, products and entries.
    pub(super) fn rows(&self) -> usize {
        let rows = [
            self.unsettled.len(),
            self.unbalanced.len(),
            self.products.len(),
            self.not_checked.len(),
        ];
        rows.into_iter().sum::<usize>() + self.repaired.len() + self.not_repaired.len()
    }

    /// Adds the result of repairing this order or product.
    pub(super) fn add_repairs(&mut self, id: &str, repairs: Repairs) {
        self.repaired.extend(repairs.repaired);
        self.not_repaired.extend(
            repairs.rejected.into_iter().map(|reason| NotRepaired { id: id.to_owned(), reason }),
        );
    }
}
