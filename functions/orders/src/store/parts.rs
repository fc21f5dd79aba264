//! The parts of a stored order that are shorter than in the domain.
//!
//! Each write of an order costs the size of its item, so attributes that follow from others are not
//! stored: the currency and the total of a line, the sum of the lines, a status that equals the one
//! before, and the start of a wait that began with the last change.

use std::{collections::BTreeMap, mem};

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, PrefixedId, ProductId},
    money::{Currency, MAX_AMOUNT, Money},
};

use crate::domain::{
    OrderLine, Status, Totals, actions::Actor, history::HistoryEntry, pricing::line_id,
    schedule::Unanswered,
};

/// A line. Its price is in the currency of the order's totals.
#[derive(Serialize, Deserialize)]
pub(super) struct LineItem {
    sku: String,
    name: String,
    /// Minor units for one piece.
    price: i64,
    quantity: u32,
}

/// The lines by product. An order has one for each product.
pub(super) fn stored_lines(lines: Vec<OrderLine>) -> BTreeMap<String, LineItem> {
    // Destructured without `..`, so a new field does not compile until it is stored.
    let stored = |line: OrderLine| {
        let OrderLine { line_id: _, product_id, sku, name, unit_price, quantity, line_total: _ } =
            line;
        (product_id.to_string(), LineItem { sku, name, price: unit_price.amount, quantity })
    };
    lines.into_iter().map(stored).collect()
}

/// The lines, sorted by product; `None` if a key is not a product or an amount is out of range. The
/// ids of the lines are derived from `owner`.
pub(super) fn read_lines(
    lines: BTreeMap<String, LineItem>,
    currency: Currency,
    owner: &str,
) -> Option<Vec<OrderLine>> {
    let read = |(product_id, line): (String, LineItem)| {
        let LineItem { sku, name, price, quantity } = line;
        let product_id = ProductId::parse(&product_id)?;
        let unit_price = money(price, currency)?;
        let line_total = unit_price.checked_mul(quantity)?;
        let line_id = line_id(owner, product_id);
        Some(OrderLine { line_id, product_id, sku, name, unit_price, quantity, line_total })
    };
    lines.into_iter().map(read).collect()
}

/// The totals, in minor units of one currency.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct TotalsItem {
    total: i64,
    /// Absent if it is the total without shipping and tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    shipping: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    tax: i64,
    pub currency: Currency,
}

impl From<Totals> for TotalsItem {
    fn from(totals: Totals) -> Self {
        let Totals { items, shipping, tax, total } = totals;
        let rest = total.amount - shipping.amount - tax.amount;
        Self {
            total: total.amount,
            items: Some(items.amount).filter(|items| *items != rest),
            shipping: shipping.amount,
            tax: tax.amount,
            currency: total.currency,
        }
    }
}

impl TotalsItem {
    /// The totals; `None` if an amount is out of range.
    pub(super) fn read(self) -> Option<Totals> {
        let Self { total, items, shipping, tax, currency } = self;
        let items = match items {
            Some(items) => items,
            None => total.checked_sub(shipping)?.checked_sub(tax)?,
        };
        Some(Totals {
            items: money(items, currency)?,
            shipping: money(shipping, currency)?,
            tax: money(tax, currency)?,
            total: money(total, currency)?,
        })
    }
}

fn money(amount: i64, currency: Currency) -> Option<Money> {
    (0..=MAX_AMOUNT).contains(&amount).then_some(Money::new(amount, currency))
}

/// An entry of the history. An absent status equals that of the entry before; the first entry is
/// `pending`.
#[derive(Serialize, Deserialize)]
pub(super) struct HistoryItem {
    at: Timestamp,
    event: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Actor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answered_at: Option<Timestamp>,
}

/// The stored entries of a history, oldest first.
pub(super) fn stored_history(history: Vec<HistoryEntry>) -> Vec<HistoryItem> {
    let mut last = Status::Pending;
    let stored = |entry: HistoryEntry| {
        let HistoryEntry {
            at,
            event,
            status,
            detail,
            by,
            payment_id,
            amount,
            pending_command,
            since,
            answered_at,
        } = entry;
        let is_new = mem::replace(&mut last, status.clone()) != status;
        HistoryItem {
            at,
            event,
            status: is_new.then_some(status),
            detail,
            by,
            payment_id,
            amount,
            pending_command,
            since,
            answered_at,
        }
    };
    history.into_iter().map(stored).collect()
}

/// The history of stored entries.
pub(super) fn read_history(items: Vec<HistoryItem>) -> Vec<HistoryEntry> {
    let mut last = Status::Pending;
    let entry = |item: HistoryItem| {
        if let Some(status) = item.status {
            last = status;
        }
        HistoryEntry {
            at: item.at,
            event: item.event,
            status: last.clone(),
            detail: item.detail,
            by: item.by,
            payment_id: item.payment_id,
            amount: item.amount,
            pending_command: item.pending_command,
            since: item.since,
            answered_at: item.answered_at,
        }
    };
    items.into_iter().map(entry).collect()
}

/// A wait for the answer to a command. An absent start is the time of the order's last change.
#[derive(Serialize, Deserialize)]
pub(super) struct WaitItem {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_default")]
    checks: u32,
}

impl WaitItem {
    pub(super) fn new(wait: Unanswered, updated_at: Timestamp) -> Self {
        let Unanswered { since, checks } = wait;
        Self { since: Some(since).filter(|since| *since != updated_at), checks }
    }

    pub(super) fn read(self, updated_at: Timestamp) -> Unanswered {
        Unanswered { since: self.since.unwrap_or(updated_at), checks: self.checks }
    }
}

pub(super) fn order_key_text(order_id: OrderId) -> String {
    format!("ORDER#{order_id}")
}

/// The sort key of the lists: the time of placement, then the id.
pub(super) fn listed_at(created_at: Timestamp, order_id: OrderId) -> String {
    format!("{created_at}#{order_id}")
}

/// The time of placement and the id in a sort key of the lists.
pub(super) fn placed_at(listed_at: &str) -> Option<(Timestamp, OrderId)> {
    let (created_at, order_id) = listed_at.split_once('#')?;
    Some((created_at.parse().ok()?, OrderId::parse(order_id)?))
}

/// Whether a value is the default, which is not stored.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn status_is_stored_only_where_it_changes() {
        let stored = json!([
            { "at": "2026-11-21T09:48:49.123Z", "event": "placed" },
            { "at": "2026-11-21T09:48:50.123Z", "event": "stock_reserved" },
            { "at": "2026-11-21T09:48:51.123Z", "event": "confirmed", "status": "confirmed" },
            {
                "at": "2026-11-21T09:48:52.123Z",
                "event": "payment_refunded",
                "detail": "broken",
                "by": "admin",
                "payment_id": "pay_1",
                "amount": 1000,
            },
        ]);
        let history = read_history(from_value(stored.clone()).unwrap());
        let statuses: Vec<&str> = history.iter().map(|entry| entry.status.name()).collect();
        assert_eq!(statuses, ["pending", "pending", "confirmed", "confirmed"]);
        assert_eq!(to_value(stored_history(history)).unwrap(), stored);
    }

    #[test]
    fn start_of_a_wait_is_stored_unless_it_is_the_last_change() {
        let at = Timestamp::from_milliseconds;
        for (since, checks, stored) in [
            (1, 0, json!({})),
            (1, 2, json!({ "checks": 2 })),
            (0, 0, json!({ "since": "1970-01-01T00:00:00.000Z" })),
        ] {
            let wait = Unanswered { since: at(since), checks };
            assert_eq!(to_value(WaitItem::new(wait, at(1))).unwrap(), stored);
            assert_eq!(from_value::<WaitItem>(stored).unwrap().read(at(1)), wait);
        }
    }

    #[test]
    fn totals_are_stored_without_derived_amounts() {
        let read = |value| from_value::<TotalsItem>(value).unwrap().read();
        let totals = |value| read(value).unwrap();
        let free = json!({ "total": 5998, "currency": "USD" });
        assert_eq!(totals(free.clone()).items.amount, 5998);
        assert_eq!(to_value(TotalsItem::from(totals(free.clone()))).unwrap(), free);
        let sent = json!({ "total": 5998, "shipping": 500, "tax": 98, "currency": "USD" });
        assert_eq!(totals(sent.clone()).items.amount, 5400);
        assert_eq!(to_value(TotalsItem::from(totals(sent.clone()))).unwrap(), sent);
        // Prices that include tax.
        let gross =
            json!({ "total": 5998, "items": 5498, "shipping": 500, "tax": 958, "currency": "USD" });
        assert_eq!(totals(gross.clone()).items.amount, 5498);
        assert_eq!(to_value(TotalsItem::from(totals(gross.clone()))).unwrap(), gross);
        assert!(read(json!({ "total": 5998, "tax": 5999, "currency": "USD" })).is_none());
        assert!(read(json!({ "total": 5998, "items": -1, "currency": "USD" })).is_none());
    }

    #[test]
    fn line_without_a_product_or_with_an_amount_out_of_range_is_unreadable() {
        let spoon: ProductId = shared::ids::derive(&["spoon"]);
        let read = |product: &str, price: i64| {
            let line = json!({ "sku": "SPOON", "name": "Spoon", "price": price, "quantity": 2 });
            let stored = from_value(json!({ (product): line })).unwrap();
            read_lines(stored, Currency::parse("USD").unwrap(), "order")
        };
        let lines = read(&spoon.to_string(), 2999).unwrap();
        assert_eq!((lines[0].product_id, lines[0].line_total.amount), (spoon, 5998));
        assert!(read("spoon", 2999).is_none());
        for price in [-1, MAX_AMOUNT] {
            assert!(read(&spoon.to_string(), price).is_none(), "{price}");
        }
    }
}
