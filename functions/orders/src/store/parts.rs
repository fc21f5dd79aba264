//! The parts of a stored order that are shorter than in the domain. Each write of an order costs
//! the size of its item, so what follows from other attributes is not stored: the currency of a
//! line and its total, the sum of the lines, and a status that equals the one before.

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, PrefixedId, ProductId},
    money::{Currency, MAX_AMOUNT, Money},
};

use crate::domain::{OrderLine, Status, Totals, actions::Actor, history::HistoryEntry};

/// A line. Its amounts are in the currency of the order's totals.
#[derive(Serialize, Deserialize)]
pub(super) struct LineItem {
    product_id: ProductId,
    sku: String,
    name: String,
    /// Minor units.
    unit_price: i64,
    quantity: u32,
}

impl From<OrderLine> for LineItem {
    // Destructured without `..`, so a new field does not compile until it is stored.
    fn from(line: OrderLine) -> Self {
        let OrderLine { product_id, sku, name, unit_price, quantity, line_total: _ } = line;
        Self { product_id, sku, name, unit_price: unit_price.amount, quantity }
    }
}

impl LineItem {
    /// The line in this currency; `None` if an amount is out of range.
    pub(super) fn read(self, currency: Currency) -> Option<OrderLine> {
        let Self { product_id, sku, name, unit_price, quantity } = self;
        let unit_price = money(unit_price, currency)?;
        let line_total = unit_price.checked_mul(quantity)?;
        Some(OrderLine { product_id, sku, name, unit_price, quantity, line_total })
    }
}

/// The totals, in minor units of one currency.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct TotalsItem {
    total: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    shipping: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    tax: i64,
    pub currency: Currency,
}

impl From<Totals> for TotalsItem {
    fn from(totals: Totals) -> Self {
        let Totals { items: _, shipping, tax, total } = totals;
        Self {
            total: total.amount,
            shipping: shipping.amount,
            tax: tax.amount,
            currency: total.currency,
        }
    }
}

impl TotalsItem {
    /// The totals; `None` if an amount is out of range.
    pub(super) fn read(self) -> Option<Totals> {
        let Self { total, shipping, tax, currency } = self;
        Some(Totals {
            items: money(total.checked_sub(shipping)?.checked_sub(tax)?, currency)?,
            shipping: money(shipping, currency)?,
            tax: money(tax, currency)?,
            total: money(total, currency)?,
        })
    }
}

fn money(amount: i64, currency: Currency) -> Option<Money> {
    (0..=MAX_AMOUNT).contains(&amount).then_some(Money::new(amount, currency))
}

/// An entry of the history. An absent status equals that of the entry before.
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
    let mut last = None;
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
        let is_new = last.replace(status.clone()).as_ref() != Some(&status);
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

/// The history of stored entries; `None` if the first one has no status.
pub(super) fn read_history(items: Vec<HistoryItem>) -> Option<Vec<HistoryEntry>> {
    let mut last = None;
    let entry = |item: HistoryItem| {
        if let Some(status) = item.status {
            last = Some(status);
        }
        Some(HistoryEntry {
            at: item.at,
            event: item.event,
            status: last.clone()?,
            detail: item.detail,
            by: item.by,
            payment_id: item.payment_id,
            amount: item.amount,
            pending_command: item.pending_command,
            since: item.since,
            answered_at: item.answered_at,
        })
    };
    items.into_iter().map(entry).collect()
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

/// Whether a value is the one that an absent attribute stands for.
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
            { "at": "2026-11-21T09:48:49.123Z", "event": "placed", "status": "pending" },
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
        let history = read_history(from_value(stored.clone()).unwrap()).unwrap();
        let statuses: Vec<&str> = history.iter().map(|entry| entry.status.name()).collect();
        assert_eq!(statuses, ["pending", "pending", "confirmed", "confirmed"]);
        assert_eq!(to_value(stored_history(history)).unwrap(), stored);
        let headless = json!([{ "at": "2026-11-21T09:48:49.123Z", "event": "placed" }]);
        assert!(read_history(from_value(headless).unwrap()).is_none());
    }

    #[test]
    fn totals_are_stored_without_what_follows_from_the_total() {
        let read = |value| from_value::<TotalsItem>(value).unwrap().read();
        let totals = |value| read(value).unwrap();
        let free = json!({ "total": 5998, "currency": "USD" });
        assert_eq!(totals(free.clone()).items.amount, 5998);
        assert_eq!(to_value(TotalsItem::from(totals(free.clone()))).unwrap(), free);
        let sent = json!({ "total": 5998, "shipping": 500, "tax": 98, "currency": "USD" });
        assert_eq!(totals(sent.clone()).items.amount, 5400);
        assert_eq!(to_value(TotalsItem::from(totals(sent.clone()))).unwrap(), sent);
        assert!(read(json!({ "total": 5998, "tax": 5999, "currency": "USD" })).is_none());
    }

    #[test]
    fn line_with_an_amount_out_of_range_is_unreadable() {
        let line = |unit_price: i64| {
            let product_id: ProductId = shared::ids::derive(&["spoon"]);
            let stored = json!({ "product_id": product_id, "sku": "SPOON", "name": "Spoon", "unit_price": unit_price, "quantity": 2 });
            from_value::<LineItem>(stored).unwrap().read(Currency::parse("USD").unwrap())
        };
        assert_eq!(line(2999).unwrap().line_total.amount, 5998);
        assert!(line(-1).is_none() && line(MAX_AMOUNT).is_none());
    }
}
