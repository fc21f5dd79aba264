//! Orders of total 0: they have no payment, and settle with the answers of inventory alone.

use super::*;

/// Whether payments publishes the event.
pub(super) fn is_of_payments(event: &Event) -> bool {
    matches!(
        event,
        Event::PaymentOpened(_)
            | Event::PaymentStarted(_)
            | Event::PaymentUnknown(_)
            | Event::PaymentDeclined(_)
            | Event::PaymentSucceeded(_)
            | Event::PaymentClosed(_)
            | Event::PaymentRefunded(_)
            | Event::RefundFailed(_)
            | Event::PaymentDisputed(_)
    )
}

/// A free order whose stock is reserved.
fn confirmed() -> Order {
    after(&placed_free(), &Event::StockReserved(stock(9)))
}

/// Checks that the order has no payment.
fn check_unpaid(order: &Order, context: &str) {
    let Progress { status, goal, payment, .. } = &order.progress;
    let context = format!("{context}: {}", state_key(order));
    assert_eq!(sums(order), [0; 5], "{context}");
    assert_eq!(order.customer.payment_method, None, "{context}");
    let commands = order.progress.pending_commands();
    assert!(commands.into_iter().all(PendingCommand::is_for_stock), "{context}");
    assert!(!order.is_payable(START) && !order.is_charged_automatically(), "{context}");
    assert!(!order.progress.awaits_buyer(), "{context}");
    let is_confirmed = *goal == Goal::Fulfil && *status != Status::Pending;
    let expected = match (goal, is_confirmed) {
        (Goal::Fulfil, false) => PaymentState::None,
        (Goal::Fulfil, true) => PaymentState::Paid,
        _ => PaymentState::Closed,
    };
    assert_eq!(*payment, expected, "{context}");
}

/// Applies every sequence of inventory's answers, and returns the number of sequences.
fn settle_by_inventory(order: &Order, depth: u32) -> u32 {
    if order.progress.is_settled() {
        return 1;
    }
    assert!(depth < 4, "no settlement after 4 answers: {}", state_key(order));
    let mut paths = 0;
    for command in order.progress.pending_commands() {
        for answer in answers(order, command) {
            let next = after(order, &answer);
            assert!(!has_same_state(&next, order), "{answer:?}: {}", state_key(order));
            paths += settle_by_inventory(&next, depth + 1);
        }
    }
    assert!(paths > 0, "unsettled, but no command is pending: {}", state_key(order));
    paths
}

#[test]
fn free_order_is_confirmed_once_its_stock_is_reserved() {
    let order = confirmed();
    assert_eq!(
        (&order.progress.status, &order.progress.stock, &order.progress.payment),
        (&Status::Confirmed, &StockState::Committing, &PaymentState::Paid)
    );
    assert_eq!(order.progress.pending_commands(), [PendingCommand::CommitStock]);
    assert_eq!(order.progress.payment_status(), "paid");
    let events: Vec<_> = order.progress.history.iter().map(|entry| entry.event.as_str()).collect();
    assert_eq!(events, ["placed", "stock_reserved", "confirmed"]);
    let settled = after(&order, &Event::StockCommitted(stock(9)));
    assert!(settled.progress.is_settled() && settled.schedule.next_check_at.is_none());
    let delivered = after(&after(&settled, &ship()), &Event::Deliver);
    assert_eq!(delivered.progress.status, Status::Delivered);
}

#[test]
fn free_order_never_has_a_payment() {
    let states = reachable_free();
    for order in states.values() {
        check_unpaid(order, "reachable");
    }
    print_line(&format!("free orders: {} reachable states", states.len()));
    assert_eq!(states.len(), 11, "{:?}", states.keys());
}

#[test]
fn every_ordered_pair_of_events_leaves_a_free_order_without_a_payment() {
    let events = events();
    let mut pairs = 0;
    for state in reachable_free().values() {
        for first in events.iter().filter(|event| is_possible(state, event)) {
            let one = after(state, first);
            check_step(state, first, &one);
            for second in events.iter().filter(|event| is_possible(&one, event)) {
                let both = after(&one, second);
                check_step(&one, second, &both);
                check_unpaid(&both, &format!("{first:?}, {second:?}"));
                pairs += 1;
            }
        }
    }
    assert!(pairs > 1500, "{pairs}");
}

#[test]
fn free_order_settles_without_events_of_payments() {
    let states = reachable_free();
    let paths: u32 = states.values().map(|order| settle_by_inventory(order, 0)).sum();
    print_line(&format!("free orders: {paths} paths to settlement, none needs payments"));
    assert!(paths >= 11, "{paths}");
}

#[test]
fn event_of_payments_without_money_changes_nothing_in_a_free_order() {
    for order in reachable_free().values() {
        for event in [
            Event::PaymentClosed(money(0, 0)),
            Event::PaymentOpened(money(0, 0)),
            Event::PaymentStarted(money(0, 0)),
            Event::PaymentUnknown(money(0, 0)),
            Event::PaymentDeclined(money(0, 0)),
        ] {
            let next = after(order, &event);
            let seen = |order: &Order| {
                (state_key(order), order.progress.history.clone(), order.progress.reason.clone())
            };
            assert_eq!(seen(&next), seen(order), "{event:?}");
            assert!(next.progress.review_reasons().eq(order.progress.review_reasons()));
            assert!(!next.progress.awaits_buyer(), "{event:?}");
        }
    }
}

#[test]
fn cancelled_free_order_closes_its_payment_and_refunds_nothing() {
    for order in [confirmed(), after(&confirmed(), &Event::StockCommitted(stock(9)))] {
        let cancelled = after(&order, &cancel());
        assert_eq!(cancelled.progress.payment, PaymentState::Closed);
        assert_eq!(cancelled.progress.pending_commands(), [PendingCommand::ReleaseStock]);
        let end = after(&cancelled, &Event::StockReleased(stock(10)));
        assert_eq!((&end.progress.status, end.schedule.next_check_at), (&Status::Cancelled, None));
        assert!(end.progress.history.iter().all(|entry| entry.event != "refund_started"));
        assert_eq!(end.progress.payment_status(), "unpaid");
    }
    let early = after(&placed_free(), &cancel());
    assert_eq!(early.progress.payment, PaymentState::Closed);
    let rejected = after(&placed_free(), &Event::StockRejected(stock(9)));
    assert_eq!(
        (&rejected.progress.status, &rejected.progress.payment),
        (&Status::Failed, &PaymentState::Closed)
    );
}

#[test]
fn free_order_expires_only_while_it_waits_for_its_stock() {
    let expired = after(&placed_free(), &Event::Deadline);
    assert_eq!(
        (&expired.progress.goal, expired.progress.reason.as_deref()),
        (&Goal::Cancel, Some("not_reserved_in_time"))
    );
    assert_eq!(after(&confirmed(), &Event::Deadline), confirmed());
}

#[test]
fn free_order_stays_charged_to_its_network() {
    let (placed, confirmed) = (placed_free(), confirmed());
    assert!(placed.counts_as_unpaid(START) && placed.customer.network.is_some());
    assert!(!confirmed.is_unpaid() && confirmed.customer.network.is_none());
    assert_eq!(placed.refunded_network(&confirmed), None);
}

#[test]
fn payment_method_is_kept_only_if_the_order_is_charged() {
    assert!(placed().customer.payment_method.is_some() && !placed().placed.is_free());
    assert!(placed_free().customer.payment_method.is_none() && placed_free().placed.is_free());
}
