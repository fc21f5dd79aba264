//! The whole state machine: each state with each event, each event twice, each ordered pair of
//! events, and the paths from each reachable state to settlement.

use super::*;

fn every_state() -> Vec<Order> {
    let goals = [Goal::Fulfil, Goal::Cancel, Goal::Fail];
    let stocks = [
        StockState::Reserving,
        StockState::Reserved,
        StockState::Committing,
        StockState::Committed,
        StockState::Rejected,
        StockState::Releasing,
        StockState::Released,
    ];
    let payments = [
        PaymentState::None,
        PaymentState::Open,
        PaymentState::Processing,
        PaymentState::Unknown,
        PaymentState::Paid,
        PaymentState::Closing,
        PaymentState::Closed,
        PaymentState::Refunding,
        PaymentState::Refunded,
        PaymentState::RefundRefused,
    ];
    let statuses = [
        Status::Pending,
        Status::Confirmed,
        Status::Shipped,
        Status::Delivered,
        Status::Cancelled,
        Status::Failed,
    ];
    let mut all = Vec::new();
    for goal in &goals {
        for stock in &stocks {
            for payment in &payments {
                for status in &statuses {
                    all.push(with_progress(Progress {
                        goal: goal.clone(),
                        stock: stock.clone(),
                        payment: payment.clone(),
                        status: status.clone(),
                        ..placed().progress
                    }));
                }
            }
        }
    }
    all
}

#[test]
fn every_event_applies_in_every_state_and_its_repeat_changes_nothing() {
    let (states, events) = (every_state(), events());
    let mut changes = 0;
    for state in &states {
        for event in &events {
            let once = after(state, event);
            changes += u32::from(once != *state);
            if *event != Event::Retry {
                let twice = after(&once, event);
                assert_eq!(
                    state_key(&once),
                    state_key(&twice),
                    "{event:?} twice from {}",
                    state_key(state)
                );
                assert_eq!(
                    once.progress.history,
                    twice.progress.history,
                    "{event:?} twice from {}",
                    state_key(state)
                );
            }
        }
    }
    print_line(&format!(
        "order state machine: {} states x {} events, each twice: {changes} changes",
        states.len(),
        events.len()
    ));
}

#[test]
fn every_ordered_pair_of_events_keeps_the_invariants() {
    let (reachable, events) = (reachable(), events());
    let mut pairs = 0;
    for state in reachable.values() {
        for first in &events {
            for second in &events {
                let one = after(state, first);
                let both = after(&one, second);
                check_step(state, first, &one);
                check_step(&one, second, &both);
                let other_way = after(&after(state, second), first);
                assert_eq!(sums(&both), sums(&other_way), "{first:?}, {second:?}");
                pairs += 1;
            }
        }
    }
    print_line(&format!(
        "order state machine: {} reachable states x {pairs} ordered pairs",
        reachable.len()
    ));
}

#[test]
fn every_reachable_state_settles_once_pending_commands_are_answered() {
    let reachable = reachable();
    let mut paths = 0;
    for order in reachable.values() {
        // The payment deadline has passed in this test: an order that waits for its buyer expires.
        settle(order, 0, &mut |_| paths += 1);
    }
    print_line(&format!(
        "order state machine: {} reachable states, {paths} paths to settlement, none stuck",
        reachable.len()
    ));
    assert!(reachable.len() > 30, "the exploration must find more than the happy path");
}

#[test]
fn confirmed_orders_have_a_capture_and_cancelled_ones_returned_it() {
    for order in reachable().values() {
        if order.progress.goal == Goal::Fulfil && order.progress.status == Status::Confirmed {
            assert!(order.progress.captured_total > 0, "{}", state_key(order));
        }
        if matches!(order.progress.status, Status::Cancelled | Status::Failed) {
            let is_refunding = matches!(
                order.progress.payment,
                PaymentState::Refunding | PaymentState::RefundRefused
            );
            assert!(
                order.progress.captured_total <= order.progress.returned_total() || is_refunding,
                "{}",
                state_key(order)
            );
        }
    }
}

#[test]
fn outdated_event_is_ignored_unless_it_reports_a_capture() {
    let reserved = after(&placed(), &Event::StockReserved(stock(9)));
    let declined = after(&reserved, &Event::PaymentDeclined(money(0, 0)));
    let late = PaymentUpdate { version: 3, ..money(0, 0) };
    assert_eq!(
        state_key(&after(&declined, &Event::PaymentStarted(late.clone()))),
        state_key(&declined)
    );
    assert_eq!(state_key(&after(&declined, &Event::PaymentClosed(late))), state_key(&declined));
    let capture = PaymentUpdate { version: 3, ..money(TOTAL, 0) };
    assert_eq!(
        after(&declined, &Event::PaymentSucceeded(capture)).progress.status,
        Status::Confirmed
    );
}

#[test]
fn outdated_stock_event_is_ignored() {
    let reserved = after(&placed(), &Event::StockReserved(stock(9)));
    for late in [Event::StockReleased(stock(8)), Event::StockRejected(stock(8))] {
        assert_eq!(after(&reserved, &late), reserved, "{late:?}");
    }
    let confirmed = after(&reserved, &Event::PaymentSucceeded(money(TOTAL, 0)));
    assert_eq!(after(&confirmed, &Event::StockCommitted(stock(8))), confirmed);
}

#[test]
fn outdated_opening_of_a_payment_is_ignored() {
    let reserved = after(&placed(), &Event::StockReserved(stock(9)));
    let started = after(&reserved, &Event::PaymentStarted(money(0, 0)));
    let outdated = PaymentUpdate { version: 8, ..money(0, 0) };
    assert_eq!(after(&started, &Event::PaymentOpened(outdated.clone())), started);
    let opened = after(&reserved, &Event::PaymentOpened(money(0, 0)));
    assert!(opened.progress.payment_opened);
    assert_eq!(after(&opened, &Event::PaymentStarted(outdated)), opened);
}

#[test]
fn payment_closed_before_its_stock_is_reserved_does_not_fail_the_order() {
    let closed = after(&placed(), &Event::PaymentClosed(money(0, 0)));
    assert_eq!(state_key(&closed), state_key(&placed()));
    assert_eq!(closed.progress.history, placed().progress.history);
}

#[test]
fn contradicting_event_raises_a_review_once() {
    let reserved = after(&placed(), &Event::StockReserved(stock(9)));
    let confirmed = after(&reserved, &Event::PaymentSucceeded(money(TOTAL, 0)));
    for (order, event, reason, recorded) in [
        (
            &confirmed,
            Event::PaymentClosed(money(0, 0)),
            "payment_closed_after_capture",
            "payment_closed",
        ),
        (
            &reserved,
            Event::StockReleased(stock(9)),
            "stock_released_unexpectedly",
            "stock_released",
        ),
    ] {
        let flagged = after(order, &event);
        assert_eq!(flagged.progress.needs_review.as_deref(), Some(reason));
        assert_eq!(state_key(&flagged), state_key(order), "{reason}");
        let last = flagged.progress.history.last().map(|entry| entry.event.as_str());
        assert_eq!(last, Some(recorded));
        assert_eq!(after(&flagged, &event), flagged, "{reason}, twice");
    }
}

#[test]
fn capture_after_cancellation_is_refunded_and_keeps_the_status() {
    let mut order = after(&placed(), &cancel());
    for event in [Event::StockReleased(stock(9)), Event::PaymentSucceeded(money(TOTAL, 0))] {
        order = after(&order, &event);
    }
    assert_eq!(
        (order.progress.status.clone(), order.progress.pending_commands()),
        (Status::Cancelled, vec![PendingCommand::RefundPayment])
    );
    let order = after(&order, &Event::PaymentRefunded(money(TOTAL, TOTAL)));
    assert_eq!(
        (order.progress.status.clone(), order.schedule.next_check_at),
        (Status::Cancelled, None)
    );
}

#[test]
fn refund_event_before_its_capture_settles_a_cancelled_order() {
    let mut order = after(&placed(), &Event::StockReserved(stock(9)));
    for event in
        [cancel(), Event::PaymentRefunded(money(TOTAL, TOTAL)), Event::StockReleased(stock(9))]
    {
        order = after(&order, &event);
    }
    assert_eq!(
        (
            order.progress.status.clone(),
            order.progress.payment.clone(),
            order.schedule.next_check_at
        ),
        (Status::Cancelled, PaymentState::Refunded, None)
    );
}

#[test]
fn state_of_a_later_release_is_preserved() {
    let unknown = with_progress(Progress {
        stock: StockState::Unknown("backordered".to_owned()),
        ..placed().progress
    });
    assert_eq!(unknown.apply(&cancel(), LATER, TIMING), Err(Rejection::UnknownState));
    let text = serde_json::to_string(&unknown).unwrap();
    assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), unknown);
}
