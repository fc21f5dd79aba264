//! Money that comes back days later: refunds that fail after they succeeded, refusals for good,
//! disputes and how they end.

use super::*;

fn after_all<'a>(order: &Order, events: impl IntoIterator<Item = &'a Event>) -> Order {
    events.into_iter().fold(order.clone(), |order, event| after(&order, event))
}

fn confirmed() -> Order {
    after_all(
        &placed(),
        &[
            Event::StockReserved(stock(9)),
            Event::PaymentSucceeded(money(TOTAL, 0)),
            Event::StockCommitted(stock(9)),
        ],
    )
}

/// Given up, its goods and its money back.
fn cancelled() -> Order {
    let settling =
        [cancel(), Event::StockReleased(stock(99)), Event::PaymentRefunded(money(TOTAL, TOTAL))];
    let order = after_all(&confirmed(), &settling);
    assert_eq!((&order.progress.status, order.schedule.next_check_at), (&Status::Cancelled, None));
    order
}

fn events_of(order: &Order, from: usize) -> Vec<(&str, Option<i64>)> {
    order.progress.history[from..]
        .iter()
        .map(|entry| (entry.event.as_str(), entry.amount))
        .collect()
}

#[test]
fn a_cancelled_order_whose_refund_fails_later_asks_for_it_again() {
    let order = cancelled();
    let failed = Event::RefundFailed(PaymentUpdate {
        version: 20,
        reason: Some("closed".to_owned()),
        ..reversed()
    });
    let open = after(&order, &failed);
    assert_eq!(
        (&open.progress.status, &open.progress.payment, open.progress.pending_commands()),
        (&Status::Cancelled, &PaymentState::Refunding, vec![PendingCommand::RefundPayment])
    );
    assert_eq!(
        (open.progress.needs_review.as_deref(), open.progress.refunded_net()),
        (Some("refund_failed"), 0)
    );
    assert!(open.schedule.next_check_at.is_some(), "it is asked for");
    let recorded = [
        ("refund_reversed", Some(TOTAL)),
        ("refund_failed", None),
        ("refund_started", Some(TOTAL)),
    ];
    assert_eq!(events_of(&open, order.progress.history.len()), recorded);
    assert_eq!(after(&open, &failed), open, "twice");
    // What was heard before comes once more.
    for late in
        [Event::PaymentRefunded(money(TOTAL, TOTAL)), Event::PaymentSucceeded(money(TOTAL, 0))]
    {
        assert_eq!(state_key(&after(&open, &late)), state_key(&open), "{late:?}");
    }
    let again = PaymentUpdate { version: 21, refunded_total: 2 * TOTAL, ..reversed() };
    let done = after(&open, &Event::PaymentRefunded(again));
    assert_eq!(
        (
            &done.progress.payment,
            done.progress.needs_review.as_deref(),
            done.schedule.next_check_at
        ),
        (&PaymentState::Refunded, None, None)
    );
}

#[test]
fn an_order_that_goes_on_is_paid_again_when_its_refund_fails_later() {
    let refunded = after(&confirmed(), &Event::PaymentRefunded(money(TOTAL, TOTAL)));
    assert_eq!(refunded.progress.payment, PaymentState::Refunded);
    let again = after(&refunded, &Event::RefundFailed(reversed()));
    assert_eq!(
        (&again.progress.payment, &again.progress.status, again.progress.needs_review.as_deref()),
        (&PaymentState::Paid, &Status::Confirmed, Some("refund_failed"))
    );
}

#[test]
fn a_refund_that_is_refused_for_good_waits_for_a_person_and_is_not_asked_for_again() {
    let given_up = after_all(&confirmed(), &[cancel(), Event::StockReleased(stock(99))]);
    let refused =
        Event::RefundFailed(PaymentUpdate { version: 20, refund_refused: true, ..money(TOTAL, 0) });
    let waiting = after(&given_up, &refused);
    assert_eq!(
        (
            &waiting.progress.payment,
            waiting.progress.pending_commands(),
            waiting.schedule.next_check_at
        ),
        (&PaymentState::RefundRefused, vec![], None)
    );
    assert_eq!(
        (&waiting.progress.status, waiting.progress.needs_review.as_deref()),
        (&Status::Confirmed, Some("refund_failed")),
        "the money is still here"
    );
    assert_eq!((after(&waiting, &Event::Retry), waiting.is_stuck()), (waiting.clone(), false));
    // What payments said while it still tried comes late.
    assert_eq!(
        state_key(&after(&waiting, &Event::RefundFailed(money(TOTAL, 0)))),
        state_key(&waiting)
    );
    let back = Event::PaymentRefunded(PaymentUpdate {
        version: 21,
        refund_refused: true,
        ..money(TOTAL, TOTAL)
    });
    let done = after(&waiting, &back);
    assert_eq!(
        (&done.progress.status, done.progress.needs_review.as_deref(), done.schedule.next_check_at),
        (&Status::Cancelled, None, None)
    );
    // Given up after payments has stopped trying.
    let later = after_all(&confirmed(), &[refused, cancel()]);
    assert_eq!(
        (&later.progress.payment, later.progress.pending_commands()),
        (&PaymentState::RefundRefused, vec![PendingCommand::ReleaseStock])
    );
}

#[test]
fn a_dispute_that_is_won_clears_its_flag_and_one_that_is_lost_takes_the_money() {
    let dispute = |version, status, taken, back| {
        Event::PaymentDisputed(PaymentUpdate { version, ..disputed(status, taken, back) })
    };
    let before = confirmed().progress.history.len();
    let open = after(&confirmed(), &dispute(20, DisputeStatus::Open, 0, 0));
    assert_eq!(open.progress.needs_review.as_deref(), Some("payment_disputed"));
    let taken = after(&open, &dispute(21, DisputeStatus::Open, TOTAL, 0));
    assert_eq!(
        (&taken.progress.payment, taken.progress.needs_review.as_deref()),
        (&PaymentState::Refunded, Some("payment_disputed")),
        "nothing is sent unpaid"
    );
    let won = after(&taken, &dispute(22, DisputeStatus::Won, TOTAL, TOTAL));
    assert_eq!(
        (&won.progress.payment, won.progress.needs_review.as_deref()),
        (&PaymentState::Paid, None)
    );
    let recorded = [
        ("payment_disputed", None),
        ("dispute_withdrawn", Some(TOTAL)),
        ("dispute_reinstated", Some(TOTAL)),
        ("dispute_won", None),
    ];
    assert_eq!(events_of(&won, before), recorded);
    let lost = after(&taken, &dispute(22, DisputeStatus::Lost, TOTAL, 0));
    assert_eq!(
        (
            &lost.progress.payment,
            lost.progress.needs_review.as_deref(),
            lost.progress.returned_total()
        ),
        (&PaymentState::Refunded, Some("dispute_lost"), TOTAL)
    );
    // An older fact does not open the dispute again.
    for order in [&won, &lost] {
        for late in
            [dispute(20, DisputeStatus::Open, 0, 0), dispute(21, DisputeStatus::Open, TOTAL, 0)]
        {
            let after = after(order, &late);
            assert_eq!(
                (after.progress.needs_review.as_deref(), sums(&after)),
                (order.progress.needs_review.as_deref(), sums(order)),
                "{late:?}"
            );
        }
    }
    // A given-up order whose dispute is lost has nothing left to give back.
    let given_up = after_all(&taken, &[cancel(), Event::StockReleased(stock(99))]);
    assert_eq!(
        (&given_up.progress.status, given_up.schedule.next_check_at),
        (&Status::Cancelled, None)
    );
    let won = after(&given_up, &dispute(22, DisputeStatus::Won, TOTAL, TOTAL));
    assert_eq!(
        (&won.progress.payment, won.progress.pending_commands()),
        (&PaymentState::Refunding, vec![PendingCommand::RefundPayment]),
        "won, it goes back to the buyer"
    );
}

/// What payments tells, one head after the other: a payment that is refunded, reversed, disputed,
/// refused and refunded by a person.
fn recorded() -> Vec<Event> {
    let mut head = PaymentUpdate { version: 10, ..money(TOTAL, 0) };
    let mut next = |change: &dyn Fn(&mut PaymentUpdate), event: fn(PaymentUpdate) -> Event| {
        head.version += 1;
        change(&mut head);
        event(head.clone())
    };
    vec![
        next(&|_| {}, Event::PaymentSucceeded),
        next(&|head| head.refunded_total = TOTAL, Event::PaymentRefunded),
        next(&|head| head.refunds_reversed_total = TOTAL, Event::RefundFailed),
        next(
            &|head| {
                (head.dispute, head.dispute_withdrawn_total) = (Some(DisputeStatus::Open), TOTAL)
            },
            Event::PaymentDisputed,
        ),
        next(
            &|head| {
                (head.dispute, head.dispute_reinstated_total) = (Some(DisputeStatus::Won), TOTAL)
            },
            Event::PaymentDisputed,
        ),
        next(&|head| head.refund_refused = true, Event::RefundFailed),
        next(&|head| head.refunded_total = 2 * TOTAL, Event::PaymentRefunded),
    ]
}

/// All orders in which these can come.
fn orders_of(all: &[Event]) -> Vec<Vec<Event>> {
    if all.is_empty() {
        return vec![Vec::new()];
    }
    let rest = |at: usize| [&all[..at], &all[at + 1..]].concat();
    (0..all.len())
        .flat_map(|at| orders_of(&rest(at)).into_iter().map(move |tail| (at, tail)))
        .map(|(at, tail)| [vec![all[at].clone()], tail].concat())
        .collect()
}

#[test]
fn whatever_order_the_facts_come_in_the_money_ends_the_same() {
    const TOGETHER: usize = 4;
    for (from, updates) in recorded().windows(TOGETHER).enumerate() {
        for start in [confirmed(), after(&confirmed(), &cancel()), cancelled_before_any_fact()] {
            let start = after_all(&start, &recorded()[..from]);
            let expected = after_all(&start, updates);
            for way in orders_of(updates) {
                let end = after_all(&start, &way);
                let twice = after_all(&end, &way);
                let state = |order: &Order| {
                    let disputes: Vec<String> = order
                        .progress
                        .review_reasons()
                        .filter(|what| what.contains("dispute"))
                        .map(str::to_owned)
                        .collect();
                    (
                        sums(order),
                        order.progress.payment.clone(),
                        order.progress.refund_refused,
                        disputes,
                    )
                };
                assert_eq!(state(&end), state(&expected), "{way:?}");
                assert_eq!(state(&twice), state(&expected), "{way:?}, twice");
            }
        }
    }
}

/// Given up and released before anything was heard of the money.
fn cancelled_before_any_fact() -> Order {
    after_all(
        &placed(),
        &[Event::StockReserved(stock(9)), cancel(), Event::StockReleased(stock(99))],
    )
}
