//! The records of one product: inventory's stock, the held quantities, and the ledger's balances.

use std::time::Duration;

use shared::clock::Timestamp;

use super::{Findings, Verdict, record::StockRecord};
use crate::domain::ProductBalance;

/// All records about the stock of one product.
#[derive(Clone, Debug)]
pub struct ProductSnapshot {
    /// One record per shard of the stock.
    pub shards: Vec<StockRecord>,
    /// The total quantity that reservations hold. `None` if there was not enough time to read them
    /// all.
    pub reserved: Option<i64>,
    /// The sum of the ledger's entries about the product. `None` if there was not enough time to
    /// read them all.
    pub balance: Option<ProductBalance>,
}

impl ProductSnapshot {
    /// Compares the records. Findings count as mismatches only if the stock has not changed within
    /// `grace`.
    pub fn reconcile(&self, now: Timestamp, grace: Duration) -> Verdict {
        let sum = |figure: fn(&StockRecord) -> i64| {
            self.shards.iter().map(figure).fold(0, i64::saturating_add)
        };
        let (available, on_hand) = (sum(|shard| shard.available), sum(|shard| shard.on_hand));
        let held = on_hand.saturating_sub(available);
        let mut findings = Findings::default();
        if self.shards.iter().any(|shard| shard.available < 0 || shard.on_hand < shard.available) {
            let found = format!("{available} available of {on_hand}");
            findings.expect(
                "possible_stock",
                "none below zero, no more available than there are",
                found.as_str(),
            );
        }
        if let Some(reserved) = self.reserved {
            findings.expect("held_for_orders", reserved, held);
        }
        if let Some(balance) = self.balance {
            findings.expect("on_hand_in_ledger", on_hand, balance.on_hand);
            findings.expect_for("entry_balances", "all entries", 0, balance.sum());
        }
        let last_changed_at = self.shards.iter().filter_map(|shard| shard.updated_at).max();
        Verdict::of(findings.0, true, last_changed_at, now, grace)
    }
}
