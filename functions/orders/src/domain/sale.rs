//! The sale of an order, which the ledger records: the revenue and tax of the order, and how much
//! of them is reversed because money was returned to the buyer.
//!
//! The change that confirms an order is its sale. An order that ends unpaid, or is paid too late,
//! has no sale. A cancellation does not reverse a sale. Each returned amount does, in proportion to
//! the parts.
//!
//! The reversal depends only on the amount that is returned now. It falls if a refund fails after
//! it succeeded, or if a bank reinstates a disputed amount. It is the whole sale if the whole total
//! is returned, in one step or several.

use std::collections::BTreeMap;

use shared::money::allocate;

use super::{history::HistoryEntry, order::Order, placement::PlacedOrder, state::Status};

/// A part of the total.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SalePart {
    /// The goods without tax. The whole total of an order without a market.
    Goods,
    /// Shipping without tax.
    Shipping,
    /// The tax of a jurisdiction in ISO 3166: `DE`, or `US-CA`.
    Tax(String),
}

/// Minor units by part. The order of the parts decides which of two equal fractions gets the
/// remaining unit, so the ledger sorts them in the same way.
pub type Parts = BTreeMap<SalePart, i64>;

/// The sale of an order that was confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// The parts of the total, all above 0.
    pub parts: Parts,
    /// The part of the total that is returned to the buyer now.
    pub returned: i64,
}

impl Sale {
    /// The sale of an order; `None` if it was never confirmed, or is free.
    pub fn of(order: &Order) -> Option<Self> {
        let parts = parts(&order.placed);
        if parts.is_empty() || !was_confirmed(order) {
            return None;
        }
        // A bank may withdraw a disputed amount that was refunded before. Then more than the total
        // is returned, which reverses no more than the sale.
        let total = order.placed.totals.total.amount;
        let returned = order.progress.returned_total().clamp(0, total);
        Some(Self { parts, returned })
    }

    /// How much of each part is reversed.
    pub fn reversed(&self) -> Parts {
        let weights: Vec<i64> = self.parts.values().copied().collect();
        self.parts.keys().cloned().zip(allocate(self.returned, &weights)).collect()
    }
}

/// Whether the order is or was confirmed. An order that was cancelled later has the status only in
/// its history, which keeps its first entries.
fn was_confirmed(order: &Order) -> bool {
    let is_confirmed = |entry: &HistoryEntry| entry.status == Status::Confirmed;
    match order.progress.status {
        Status::Confirmed | Status::Shipped | Status::Delivered => true,
        _ => order.progress.history.iter().any(is_confirmed),
    }
}

/// The parts of the total, from the stored price.
fn parts(placed: &PlacedOrder) -> Parts {
    let mut parts = Parts::new();
    let mut add = |part, amount: i64| {
        let sum: &mut i64 = parts.entry(part).or_default();
        *sum = sum.saturating_add(amount);
    };
    match &placed.price {
        None => add(SalePart::Goods, placed.totals.total.amount),
        Some(price) => {
            price.lines.iter().for_each(|line| add(SalePart::Goods, line.net));
            price.shipping.iter().for_each(|shipping| add(SalePart::Shipping, shipping.net));
            for row in &price.tax_summary {
                add(SalePart::Tax(row.jurisdiction.clone()), row.amount);
            }
        }
    }
    parts.retain(|_, amount| *amount > 0);
    parts
}
