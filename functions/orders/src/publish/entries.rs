//! The ledger entries of an order: its sale and the reversals of it.
//!
//! The change that confirms an order records its sale. A change of the returned amount records the
//! difference to the previous reversal, so the entries always sum to the present state. An event
//! that arrives twice or late changes nothing.

use shared::{
    ids,
    queue::{Message, MessageContext},
};

use crate::{
    domain::{
        Order,
        sale::{Parts, Sale, SalePart},
    },
    messages::{EntryLine, RecordEntry},
};

/// The entries for a change from `old` to `new`. A new order has none: a later change confirms it.
pub(super) fn entries(old: &Order, new: &Order, context: &MessageContext) -> Vec<Message> {
    let Some(sale) = Sale::of(new) else { return Vec::new() };
    let before = Sale::of(old);
    let sold = before.is_none().then(|| {
        let credits = sale.parts.iter().map(|(part, amount)| (part.clone(), -amount)).collect();
        entry("sale", &credits, new, context)
    });
    let mut reversed = sale.reversed();
    for (part, amount) in before.iter().flat_map(Sale::reversed) {
        *reversed.entry(part).or_default() -= amount;
    }
    let kind = match sum(&reversed) {
        0 => None,
        1.. => Some("sale_reversal"),
        ..0 => Some("sale_reinstatement"),
    };
    sold.into_iter().chain(kind.map(|kind| entry(kind, &reversed, new, context))).collect()
}

/// The entry that moves these amounts from the funds of the order to the accounts of the parts.
fn entry(kind: &'static str, amounts: &Parts, order: &Order, context: &MessageContext) -> Message {
    let order_id = order.placed.order_id;
    let line = |account: String, amount: i64| EntryLine {
        account,
        unit: order.placed.totals.total.currency.code(),
        amount,
    };
    let funds = line(format!("customer_funds:{order_id}"), -sum(amounts));
    let parts = amounts.iter().map(|(part, amount)| line(account(part), *amount));
    let data = RecordEntry {
        entry_id: ids::derive(&["orders", &context.id, &context.version.to_string(), kind]),
        occurred_at: context.time,
        kind,
        order_id,
        lines: [funds].into_iter().chain(parts).filter(|line| line.amount != 0).collect(),
    };
    let mut message = Message::new("record-entry", "record_entry.v1", context, &data);
    // One change can record two entries. The kind gives each message its own id.
    message.id = ids::derive_uuid(&[&message.id, kind]).to_string();
    message
}

fn sum(amounts: &Parts) -> i64 {
    amounts.values().fold(0, |sum, amount| sum.saturating_add(*amount))
}

fn account(part: &SalePart) -> String {
    match part {
        SalePart::Goods => "revenue:goods".to_owned(),
        SalePart::Shipping => "revenue:shipping".to_owned(),
        SalePart::Tax(jurisdiction) => format!("tax:{jurisdiction}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;
    use shared::{ids::derive, market::MarketId, money::Money};

    use super::*;
    use crate::{
        domain::{
            Status,
            pricing::{
                Price,
                breakdown::{Basis, PricedLine, PricedShipping, Rounding, TaxRow, TaxSource},
                rules::Treatment,
            },
            saga::{Event, PaymentUpdate, StockUpdate},
            tests::{after, cancel, events, placed, reachable, reachable_free},
        },
        publish::messages,
    };

    /// The kind and the amount of each account of the entries for a change.
    fn entries(old: &Order, new: &Order) -> Vec<(String, BTreeMap<String, i64>)> {
        let messages = messages(Some(old), new).unwrap();
        let of_ledger = messages.iter().filter(|message| message.queue == "record-entry");
        let amounts = |data: &Value| {
            let lines = data["lines"].as_array().unwrap().iter();
            let amount = |line: &Value| {
                let account = line["account"].as_str().unwrap();
                let name = account.split(":ord_").next().unwrap().to_owned();
                assert_eq!(line["unit"], "USD");
                (name, line["amount"].as_i64().unwrap())
            };
            lines.map(amount).collect()
        };
        of_ledger
            .map(|it| (it.data["kind"].as_str().unwrap().to_owned(), amounts(&it.data)))
            .collect()
    }

    /// The amounts that the ledger must have in the accounts of the sale.
    fn booked(order: &Order) -> BTreeMap<String, i64> {
        let Some(sale) = Sale::of(order) else { return BTreeMap::new() };
        let reversed = sale.reversed();
        sale.parts.iter().map(|(part, amount)| (account(part), reversed[part] - amount)).collect()
    }

    /// Applies the changes, and checks that the entries are balanced, have no amount of 0, and sum
    /// to the amounts that the order requires. Returns their kinds.
    fn kinds(order: &Order, changes: &[Event]) -> (Vec<String>, Order) {
        let (mut order, mut sums, mut kinds) = (order.clone(), booked(order), Vec::new());
        for change in changes {
            let next = after(&order, change);
            for (kind, lines) in entries(&order, &next) {
                assert!(lines.values().all(|amount| *amount != 0), "{kind} {lines:?}");
                assert_eq!(lines.values().sum::<i64>(), 0, "{kind} {lines:?}");
                assert!(lines.contains_key("customer_funds"), "{kind} {lines:?}");
                for (account, amount) in lines {
                    *sums.entry(account).or_default() += amount;
                }
                kinds.push(kind);
            }
            sums.remove("customer_funds");
            let is_moved = |sums: BTreeMap<String, i64>| -> BTreeMap<String, i64> {
                sums.into_iter().filter(|(_, amount)| *amount != 0).collect()
            };
            assert_eq!(is_moved(sums.clone()), is_moved(booked(&next)), "{change:?}");
            order = next;
        }
        (kinds, order)
    }

    /// An order of 59.98 in California: goods 45.00, shipping 5.40, and two taxes.
    fn in_california() -> Order {
        let row = |jurisdiction: &str, amount| TaxRow {
            jurisdiction: jurisdiction.to_owned(),
            name: "Sales tax".to_owned(),
            treatment: Treatment::Standard,
            ppm: 90_000,
            base: 5040,
            amount,
        };
        let line = |number: &str, net| PricedLine {
            line_id: derive(&["line", number]),
            base: net,
            discounts: Vec::new(),
            taxes: Vec::new(),
            net,
            tax: 0,
            gross: net,
        };
        let mut order = placed();
        let currency = order.placed.totals.total.currency;
        let shipping = PricedShipping {
            method_id: derive(&["method"]),
            name: "Parcel".to_owned(),
            base: 540,
            discounts: Vec::new(),
            taxes: Vec::new(),
            net: 540,
            tax: 0,
            gross: 540,
        };
        order.placed.price = Some(Price {
            market: MarketId::parse("us").unwrap(),
            pricing_version: 1,
            currency,
            basis: Basis::Net,
            rounding: Rounding::PerRate,
            lines: vec![line("one", 2000), line("two", 2500), line("free", 0)],
            shipping: Some(shipping),
            tax_summary: vec![row("US-CA", 500), row("US", 458), row("US-NV", 0)],
            discount_total: 0,
            tax_source: TaxSource::Rules { version: 1 },
            tax_region: None,
        });
        order.placed.totals.total = Money::new(5998, currency);
        order
    }

    fn reserved() -> Event {
        Event::StockReserved(StockUpdate { version: 9, out_of_stock: None })
    }

    /// What payments reports: captured, refunded, reversed, withdrawn and reinstated.
    fn paid(version: u64, totals: [i64; 5]) -> Event {
        let [captured_total, refunded_total, refunds_reversed_total, withdrawn, reinstated] =
            totals;
        Event::PaymentSucceeded(PaymentUpdate {
            version,
            payment_id: Some("pay_1".to_owned()),
            captured_total,
            refunded_total,
            refunds_reversed_total,
            dispute_withdrawn_total: withdrawn,
            dispute_reinstated_total: reinstated,
            ..PaymentUpdate::default()
        })
    }

    #[test]
    fn confirmation_records_the_parts_of_the_price() {
        let reserved = after(&in_california(), &reserved());
        let confirmed = after(&reserved, &paid(1, [5998, 0, 0, 0, 0]));
        let sale = [
            ("customer_funds", 5998),
            ("revenue:goods", -4500),
            ("revenue:shipping", -540),
            ("tax:US", -458),
            ("tax:US-CA", -500),
        ];
        let sale = sale.map(|(account, amount)| (account.to_owned(), amount));
        assert_eq!(entries(&reserved, &confirmed), [("sale".to_owned(), BTreeMap::from(sale))]);
        let refunded = after(&confirmed, &paid(2, [5998, 1000, 0, 0, 0]));
        let reversal = [
            ("customer_funds", -1000),
            ("revenue:goods", 750),
            ("revenue:shipping", 90),
            ("tax:US", 76),
            ("tax:US-CA", 84),
        ];
        let reversal = reversal.map(|(account, amount)| (account.to_owned(), amount));
        let expected = [("sale_reversal".to_owned(), BTreeMap::from(reversal))];
        assert_eq!(entries(&confirmed, &refunded), expected);
    }

    #[test]
    fn order_without_a_market_records_its_total_as_goods() {
        let reserved = after(&placed(), &reserved());
        let confirmed = after(&reserved, &paid(1, [5998, 0, 0, 0, 0]));
        let sale = [("customer_funds".to_owned(), 5998), ("revenue:goods".to_owned(), -5998)];
        assert_eq!(entries(&reserved, &confirmed), [("sale".to_owned(), sale.into())]);
    }

    #[test]
    fn entries_follow_the_amount_that_is_returned() {
        let reserved = after(&in_california(), &reserved());
        let captured = paid(1, [5998, 0, 0, 0, 0]);
        let cases: [(&str, Vec<Event>, &[&str]); 8] = [
            ("paid", vec![captured.clone(), captured.clone()], &["sale"]),
            (
                "refunded in three parts",
                vec![
                    captured.clone(),
                    paid(2, [5998, 1, 0, 0, 0]),
                    paid(3, [5998, 3000, 0, 0, 0]),
                    paid(4, [5998, 5998, 0, 0, 0]),
                ],
                &["sale", "sale_reversal", "sale_reversal", "sale_reversal"],
            ),
            (
                "refund failed after it had succeeded, and succeeded then",
                vec![
                    captured.clone(),
                    paid(2, [5998, 1000, 0, 0, 0]),
                    paid(3, [5998, 1000, 1000, 0, 0]),
                    paid(4, [5998, 2000, 1000, 0, 0]),
                ],
                &["sale", "sale_reversal", "sale_reinstatement", "sale_reversal"],
            ),
            (
                "refund that failed is reported together with its failure",
                vec![captured.clone(), paid(3, [5998, 1000, 1000, 0, 0])],
                &["sale"],
            ),
            (
                "dispute won",
                vec![
                    captured.clone(),
                    paid(2, [5998, 0, 0, 5998, 0]),
                    paid(3, [5998, 0, 0, 5998, 5998]),
                ],
                &["sale", "sale_reversal", "sale_reinstatement"],
            ),
            (
                "refund of a disputed payment returns more than the total",
                vec![
                    captured.clone(),
                    paid(2, [5998, 4000, 0, 0, 0]),
                    paid(3, [5998, 4000, 0, 5998, 0]),
                    paid(4, [5998, 4000, 0, 5998, 1000]),
                    paid(5, [5998, 4000, 0, 5998, 5998]),
                ],
                &["sale", "sale_reversal", "sale_reversal", "sale_reinstatement"],
            ),
            (
                "partly refunded before the order knows the capture",
                vec![paid(2, [5998, 1000, 0, 0, 0])],
                &["sale", "sale_reversal"],
            ),
            (
                "older event arrives late",
                vec![paid(2, [5998, 1000, 0, 0, 0]), captured.clone()],
                &["sale", "sale_reversal"],
            ),
        ];
        for (name, changes, expected) in cases {
            assert_eq!(kinds(&reserved, &changes).0, expected, "{name}");
        }
    }

    #[test]
    fn cancellation_after_confirmation_is_reversed_by_its_refund() {
        let reserved = after(&in_california(), &reserved());
        let (captured, refunded) = (paid(1, [5998, 0, 0, 0, 0]), paid(2, [5998, 5998, 0, 0, 0]));
        let released = Event::StockReleased(StockUpdate { version: 99, out_of_stock: None });
        let changes = [captured, cancel(), released, refunded, paid(3, [5998, 5998, 5998, 0, 0])];
        let (kinds, order) = kinds(&reserved, &changes);
        assert_eq!(kinds, ["sale", "sale_reversal", "sale_reinstatement"]);
        assert_eq!(order.progress.status, Status::Cancelled);
    }

    #[test]
    fn order_that_was_never_confirmed_has_no_entry() {
        let reserved = after(&in_california(), &reserved());
        let late = paid(1, [5998, 0, 0, 0, 0]);
        let (refunded, disputed) =
            (paid(2, [5998, 5998, 0, 0, 0]), paid(3, [5998, 5998, 0, 5998, 0]));
        let (kinds, order) = kinds(&reserved, &[cancel(), late, refunded, disputed]);
        assert_eq!((kinds.len(), order.progress.refunded_total), (0, 5998));
    }

    #[test]
    fn every_change_records_the_difference_of_the_due_amounts() {
        let (mut found, mut ids) = (BTreeMap::new(), BTreeSet::new());
        for order in reachable().values() {
            for event in events() {
                for kind in kinds(order, std::slice::from_ref(&event)).0 {
                    *found.entry(kind).or_insert(0) += 1;
                }
                let messages = messages(Some(order), &after(order, &event)).unwrap();
                ids.clear();
                assert!(messages.iter().all(|message| ids.insert(message.id.clone())), "{event:?}");
            }
        }
        let is_covered = ["sale", "sale_reversal", "sale_reinstatement"]
            .map(|kind| found.get(kind).is_some_and(|count| *count > 5));
        assert_eq!(is_covered, [true; 3], "{found:?}");
    }

    #[test]
    fn free_order_has_no_entry() {
        for order in reachable_free().values() {
            for event in events() {
                let next = after(order, &event);
                // Events about money are impossible.
                if next.progress.captured_total == 0 {
                    assert_eq!(entries(order, &next), [], "{event:?}");
                }
            }
        }
    }

    /// A redriven change without its old image was already published with that image.
    #[test]
    fn change_without_an_old_image_publishes_no_entry() {
        for order in reachable().values() {
            let messages = super::super::messages(None, order).unwrap();
            assert!(messages.iter().all(|message| message.queue != "record-entry"));
        }
    }
}
