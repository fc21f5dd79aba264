//! What `reconcile-ledger` answers.

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

/// The findings. Every order and product with a mismatch is listed.
#[derive(Debug, Serialize)]
pub struct Report {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    /// Where it was read what the provider has done.
    pub(super) provider: &'static str,
    /// Orders that were checked. An order that is found in two ways may count twice if a run is
    /// continued.
    pub(super) checked: u32,
    /// The settled ones without a mismatch.
    pub(super) balanced: u32,
    /// Those that are on their way.
    pub(super) unsettled: Vec<OrderRow>,
    /// Those with a mismatch.
    pub(super) unbalanced: Vec<OrderRow>,
    /// Products that were checked.
    pub(super) products_checked: u32,
    /// Those with a mismatch.
    pub(super) products: Vec<ProductRow>,
    /// Orders and products that could not be read: the reason is in the log.
    pub(super) not_checked: Vec<String>,
    /// Entries that were missing and are booked now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) repaired: Vec<Repaired>,
    /// Orders and products whose differences a repair has left, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_repaired: Vec<NotRepaired>,
    /// Whether another scheduled call holds the lease: this one did nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) already_running: bool,
    /// Send `{"continuation": …}` with this to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) continuation: Option<Continuation>,
}

/// An order that is not settled, or not right.
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
    /// Whether no table has a record under the id: then nothing is wrong but the id.
    pub(super) fn has_no_record(&self) -> bool {
        self.last_changed_at.is_none()
            && matches!(&self.findings[..], [only] if only.check == "order_exists")
    }
}

/// A product with a mismatch.
#[derive(Debug, Serialize)]
pub struct ProductRow {
    pub(super) product_id: ProductId,
    /// `unbalanced`, or `unsettled` where it moved a moment ago.
    pub(super) state: &'static str,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// The report of a run that has checked nothing yet.
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
            continuation: None,
        }
    }

    /// How many orders, products and entries it names.
    pub(super) fn rows(&self) -> usize {
        let rows = [
            self.unsettled.len(),
            self.unbalanced.len(),
            self.products.len(),
            self.not_checked.len(),
        ];
        rows.into_iter().sum::<usize>() + self.repaired.len() + self.not_repaired.len()
    }

    /// Adds what a repair of this order or product has done.
    pub(super) fn add_repairs(&mut self, id: &str, repairs: Repairs) {
        self.repaired.extend(repairs.repaired);
        self.not_repaired.extend(
            repairs.rejected.into_iter().map(|reason| NotRepaired { id: id.to_owned(), reason }),
        );
    }
}
