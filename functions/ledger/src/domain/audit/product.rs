//! The books of one product: what inventory has on its shelves, what reservations hold, and what the ledger says of both.

use std::time::Duration;

use shared::{clock::Timestamp, ids::ProductId};

use super::{Findings, Verdict, record::StockRecord};
use crate::domain::{Balances, Shelf};

/// All that is written anywhere about the stock of one product.
#[derive(Clone, Debug)]
pub struct ProductBooks {
    /// Which.
    pub product_id: ProductId,
    /// Its figures: one record for each part of its stock.
    pub parts: Vec<StockRecord>,
    /// How many the reservations that hold some of it hold together; none where there was no time to ask all of them.
    pub reserved: Option<i64>,
    /// What the ledger's lines about it come to.
    pub balances: Balances,
}

impl ProductBooks {
    /// Compares them. A product that moved a moment ago is judged when it has come to rest.
    pub fn judge(&self, now: Timestamp, grace: Duration) -> Verdict {
        let sum = |figure: fn(&StockRecord) -> i64| self.parts.iter().map(figure).fold(0, i64::saturating_add);
        let (available, on_hand) = (sum(|part| part.available), sum(|part| part.on_hand));
        let held = on_hand.saturating_sub(available);
        let balance = |shelf| self.balances.stock(self.product_id, shelf);
        let mut findings = Findings::default();
        if self.parts.iter().any(|part| part.available < 0 || part.on_hand < part.available) {
            let found = format!("{available} available of {on_hand}");
            findings.same("possible_stock", "none below zero, no more available than there are", found.as_str());
        }
        if let Some(reserved) = self.reserved {
            findings.same("held_for_orders", reserved, held);
        }
        findings.same("available_in_ledger", available, balance(Shelf::Available));
        findings.same("held_in_ledger", held, balance(Shelf::Held));
        for (unit, sum) in self.balances.sums() {
            findings.same_of("entry_balances", format!("all entries in {unit}"), 0, sum);
        }
        let moved_at = self.parts.iter().filter_map(|part| part.updated_at).max();
        Verdict::of(findings.0, true, moved_at, now, grace)
    }
}
