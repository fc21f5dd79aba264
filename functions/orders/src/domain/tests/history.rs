//! The history of an order: its events in order, each with its reason.

use super::*;
use crate::domain::history::MAX_HISTORY;

type Line<'a> = (&'a str, &'a str, Option<&'a str>, Option<&'a str>, Option<i64>);

/// The event, the status after it, the reason or the actor, the payment, and the amount.
fn lines(order: &Order) -> Vec<Line<'_>> {
    let line = |entry: &'_ HistoryEntry| -> Line<'_> {
        let by = entry.by.as_ref().map(|by| if *by == Actor::Admin { "admin" } else { "customer" });
        // Borrowed from the order, not from the closure's argument.
        let entry = order.progress.history.iter().find(|one| std::ptr::eq(*one, entry)).unwrap();
        (
            &entry.event,
            entry.status.name(),
            entry.detail.as_deref().or(by),
            entry.payment_id.as_deref(),
            entry.amount,
        )
    };
    order.progress.history.iter().map(line).collect()
}

fn after_events(events: &[Event]) -> Order {
    events.iter().fold(placed(), |order, event| after(&order, event))
}

fn with_reason(update: PaymentUpdate, reason: &str) -> PaymentUpdate {
    PaymentUpdate { reason: Some(reason.to_owned()), ..update }
}

const PAY_1: Option<&str> = Some("pay_1");

#[test]
fn history_of_a_delivered_order() {
    let first = PaymentUpdate {
        payment_id: Some("pay_0".to_owned()),
        ..with_reason(money(0, 0), "card_declined")
    };
    let order = after_events(&[
        Event::StockReserved(stock(9)),
        Event::PaymentStarted(PaymentUpdate {
            payment_id: Some("pay_0".to_owned()),
            ..money(0, 0)
        }),
        Event::PaymentDeclined(first),
        Event::PaymentStarted(money(0, 0)),
        Event::PaymentUnknown(money(0, 0)),
        Event::PaymentSucceeded(money(TOTAL, 0)),
        Event::StockCommitted(stock(9)),
        ship(),
        Event::PaymentSucceeded(money(TOTAL, PARTIAL_REFUND)),
        Event::PaymentDisputed(PaymentUpdate {
            dispute: Some(DisputeStatus::Open),
            ..money(TOTAL, PARTIAL_REFUND)
        }),
        Event::Deliver,
    ]);
    assert_eq!(
        lines(&order),
        [
            ("placed", "pending", None, None, None),
            ("stock_reserved", "pending", None, None, None),
            ("payment_started", "pending", None, Some("pay_0"), None),
            ("payment_declined", "pending", Some("card_declined"), Some("pay_0"), None),
            ("payment_started", "pending", None, PAY_1, None),
            ("payment_unknown", "pending", None, PAY_1, None),
            ("payment_succeeded", "confirmed", None, PAY_1, Some(TOTAL)),
            ("confirmed", "confirmed", None, None, None),
            ("stock_committed", "confirmed", None, None, None),
            ("shipped", "shipped", Some("Post"), None, None),
            ("payment_refunded", "shipped", None, PAY_1, Some(PARTIAL_REFUND)),
            ("payment_disputed", "shipped", None, PAY_1, None),
            ("delivered", "delivered", None, None, None),
        ]
    );
}

#[test]
fn history_of_an_order_cancelled_after_payment() {
    let order = after_events(&[
        Event::StockReserved(stock(9)),
        Event::PaymentSucceeded(money(TOTAL, 0)),
        Event::PaymentSucceeded(money(TOTAL, PARTIAL_REFUND)),
        cancel(),
        Event::RefundFailed(with_reason(money(TOTAL, PARTIAL_REFUND), "card_closed")),
        Event::StockReleased(stock(9)),
        Event::PaymentRefunded(money(TOTAL, TOTAL)),
    ]);
    assert_eq!(
        lines(&order)[3..],
        [
            ("confirmed", "confirmed", None, None, None),
            ("payment_refunded", "confirmed", None, PAY_1, Some(PARTIAL_REFUND)),
            ("cancel_requested", "confirmed", Some("customer"), None, None),
            ("refund_started", "confirmed", None, PAY_1, Some(TOTAL - PARTIAL_REFUND)),
            ("refund_failed", "confirmed", Some("card_closed"), PAY_1, None),
            ("stock_released", "confirmed", None, None, None),
            ("payment_refunded", "cancelled", None, PAY_1, Some(TOTAL - PARTIAL_REFUND)),
            ("cancelled", "cancelled", Some("cancelled"), None, None),
        ]
    );
}

#[test]
fn history_of_failed_and_expired_orders() {
    let out_of_stock = product().product_id;
    let order = after_events(&[Event::StockRejected(StockUpdate {
        out_of_stock: Some(out_of_stock),
        ..stock(9)
    })]);
    let out_of_stock = out_of_stock.to_string();
    assert_eq!(
        lines(&order)[1..],
        [
            ("stock_rejected", "failed", Some(&*out_of_stock), None, None),
            ("failed", "failed", Some("out_of_stock"), None, None)
        ]
    );
    let order = after_events(&[
        Event::StockReserved(stock(9)),
        Event::PaymentClosed(with_reason(money(0, 0), "insufficient_funds")),
        Event::StockReleased(stock(9)),
    ]);
    assert_eq!(
        lines(&order)[2..],
        [
            ("payment_closed", "pending", Some("insufficient_funds"), PAY_1, None),
            ("stock_released", "failed", None, None, None),
            ("failed", "failed", Some("payment_failed"), None, None),
        ]
    );
    let order = after_events(&[Event::Deadline, Event::StockReleased(stock(9))]);
    assert_eq!(
        lines(&order)[1..],
        [
            ("expired", "pending", None, None, None),
            ("stock_released", "cancelled", None, None, None),
            ("cancelled", "cancelled", Some("not_paid_in_time"), None, None),
        ]
    );
}

#[test]
fn history_records_state_changes_reviews_declines_and_addresses() {
    for order in reachable().values() {
        for event in events() {
            let next = after(order, &event);
            let (recorded, moved) = (
                next.progress.history.len() > order.progress.history.len(),
                state_key(&next) != state_key(order),
            );
            assert!(!moved || recorded, "{event:?}: {} -> {}", state_key(order), state_key(&next));
            let flagged =
                next.progress.review_reasons().count() != order.progress.review_reasons().count();
            assert!(
                !recorded
                    || moved
                    || flagged
                    || matches!(event, Event::PaymentDeclined(_) | Event::ChangeAddress(_)),
                "{event:?}: {}",
                state_key(order)
            );
        }
    }
}

#[test]
fn long_history_keeps_its_first_and_last_entries() {
    let mut order = after_events(&[
        Event::StockReserved(stock(9)),
        Event::PaymentDeclined(money(0, 0)),
        Event::PaymentSucceeded(money(TOTAL, 0)),
    ]);
    let beginning = order.progress.history.clone();
    for refunded in 1..=500 {
        order = after(&order, &Event::PaymentSucceeded(money(TOTAL, refunded)));
        let entries =
            order.progress.history.len() + usize::try_from(order.progress.history_omitted).unwrap();
        assert_eq!(entries, beginning.len() + usize::try_from(refunded).unwrap());
        assert!(order.progress.history.len() <= MAX_HISTORY);
    }
    assert_eq!(order.progress.history[..beginning.len()], beginning);
    assert_eq!((order.progress.history.len(), order.progress.history_omitted), (MAX_HISTORY, 305));
    order = after(&order, &Event::StockCommitted(stock(9)));
    assert_eq!(
        order.progress.history.last().map(|entry| entry.event.as_str()),
        Some("stock_committed")
    );
    assert_eq!(
        (
            order.as_placed(TIMING).progress.history.len(),
            order.as_placed(TIMING).progress.history_omitted
        ),
        (1, 0)
    );
}
