//! The sale of an order, as its record requires it in the ledger.
//!
//! An order is sold by the change that confirms it. The amount that is returned to the buyer now
//! reverses the same share of each part. Orders computes the same shares when it publishes the
//! entries.

use std::collections::BTreeMap;

use shared::{clock::Timestamp, money::allocate};

use super::record::{OrderRecord, Status};
use crate::domain::Account;

/// Minor units by account, in the order by which shares are rounded.
pub type Amounts = BTreeMap<Account, i64>;

/// The sale of an order that was confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// The part of the total in each account of the sale, all above 0.
    pub parts: Amounts,
    /// The part of the total that is returned to the buyer now.
    pub returned: i64,
    /// The returned amount above the total. A bank may withdraw a disputed amount that was refunded
    /// before.
    pub over_returned: i64,
}

impl Sale {
    /// The sale of an order; `None` if it was never confirmed, or is free.
    pub fn of(order: &OrderRecord) -> Option<Self> {
        let total = order.totals.total;
        if total == 0 || !was_confirmed(order) {
            return None;
        }
        let mut parts = match &order.price {
            None => Amounts::from([(Account::RevenueGoods, total)]),
            Some(price) => price.0.clone(),
        };
        parts.retain(|_, amount| *amount > 0);
        let all_returned = order.returned_total();
        let returned = all_returned.clamp(0, total.max(0));
        Some(Self { parts, returned, over_returned: all_returned.saturating_sub(total).max(0) })
    }

    /// The reversed amount of each part.
    pub fn reversed(&self) -> Amounts {
        let weights: Vec<i64> = self.parts.values().copied().collect();
        self.parts.keys().copied().zip(allocate(self.returned, &weights)).collect()
    }

    /// The sum of the parts.
    pub fn total(&self) -> i64 {
        self.parts.values().copied().fold(0, i64::saturating_add)
    }
}

impl OrderRecord {
    /// The time at which the order was confirmed.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        let confirmed = Some(Status::Confirmed);
        self.history.iter().find(|entry| entry.status == confirmed).map(|entry| entry.at)
    }
}

/// Whether the order is or was confirmed. An order that was cancelled later has the status only in
/// its history.
fn was_confirmed(order: &OrderRecord) -> bool {
    matches!(order.status, Status::Confirmed | Status::Shipped | Status::Delivered)
        || order.confirmed_at().is_some()
}

/// Whether a sale is booked in this account.
pub fn is_of_sale(account: Account) -> bool {
    match account {
        Account::RevenueGoods | Account::RevenueShipping | Account::Tax(_) => true,
        Account::ProviderClearing | Account::CustomerFunds(_) | Account::Stock(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    /// An order of 59.98 in California, with this status, history and refunded total.
    fn order(status: &str, history: &[&str], refunded_total: i64) -> OrderRecord {
        let at = "2026-11-21T09:48:49.123Z";
        let entry = |status: &&str| json!({ "at": at, "event": "changed", "status": status });
        let price = json!({
            "lines": [{ "net": 2000 }, { "net": 2500 }],
            "shipping": { "net": 540 },
            "tax_summary": [[1, 5040, 500], [0, 5040, 458], [2, 5040, 0]],
            "rates": [
                { "jurisdiction": "US" },
                { "jurisdiction": "US-CA" },
                { "jurisdiction": "US-NV" },
            ],
        });
        from_value(json!({
            "status": status, "goal": "fulfil", "stock": "committed", "payment": "paid",
            "lines": {}, "totals": { "total": 5998, "currency": "USD" }, "price": price,
            "captured_total": 5998, "refunded_total": refunded_total, "version": 3,
            "history": history.iter().map(entry).collect::<Vec<Value>>(),
        }))
        .unwrap()
    }

    fn amounts(amounts: &Amounts) -> Vec<(String, i64)> {
        amounts.iter().map(|(account, amount)| (account.to_string(), *amount)).collect()
    }

    #[test]
    fn sale_has_the_parts_of_the_price_without_zeros() {
        let sale = Sale::of(&order("shipped", &[], 0)).unwrap();
        let expected = [
            ("revenue:goods", 4500),
            ("revenue:shipping", 540),
            ("tax:US", 458),
            ("tax:US-CA", 500),
        ];
        let expected = expected.map(|(name, amount)| (name.to_owned(), amount));
        assert_eq!((amounts(&sale.parts), sale.total()), (expected.to_vec(), 5998));
    }

    #[test]
    fn only_an_order_that_was_confirmed_is_sold() {
        for (status, history, is_sold) in [
            ("pending", &["pending"][..], false),
            ("confirmed", &[], true),
            ("delivered", &[], true),
            ("cancelled", &["cancelled"], false),
            ("cancelled", &["confirmed", "cancelled"], true),
            ("failed", &["failed"], false),
        ] {
            let sale = Sale::of(&order(status, history, 0));
            assert_eq!(sale.is_some(), is_sold, "{status} {history:?}");
        }
        let mut free = order("confirmed", &[], 0);
        free.totals.total = 0;
        assert_eq!(Sale::of(&free), None);
    }

    #[test]
    fn returned_amount_reverses_its_share_and_no_more_than_the_sale() {
        let reversed = |refunded| Sale::of(&order("confirmed", &[], refunded)).unwrap().reversed();
        assert_eq!(reversed(0).values().sum::<i64>(), 0);
        let of_some = reversed(1000);
        assert_eq!(of_some.values().copied().collect::<Vec<_>>(), [750, 90, 76, 84]);
        let whole = Sale::of(&order("confirmed", &[], 5998)).unwrap();
        assert_eq!((whole.reversed(), whole.over_returned), (whole.parts, 0));
        let more = Sale::of(&order("confirmed", &[], 6098)).unwrap();
        assert_eq!((more.reversed(), more.over_returned), (more.parts, 100));
    }
}
