//! Reversals days after the payment: refunds that fail after they succeeded, refused refunds, and
//! disputes with each outcome.

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

/// A cancelled order: its stock is released and its payment refunded.
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
fn cancelled_order_requests_its_refund_again_when_it_fails_later() {
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
    assert!(open.schedule.next_check_at.is_some(), "the refund is requested again");
    let recorded = [
        ("refund_reversed", Some(TOTAL)),
        ("refund_failed", None),
        ("refund_started", Some(TOTAL)),
    ];
    assert_eq!(events_of(&open, order.progress.history.len()), recorded);
    assert_eq!(after(&open, &failed), open, "a repeat changes nothing");
    // Earlier events arrive again.
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
fn order_is_paid_again_when_its_refund_fails_later() {
    let refunded = after(&confirmed(), &Event::PaymentRefunded(money(TOTAL, TOTAL)));
    assert_eq!(refunded.progress.payment, PaymentState::Refunded);
    let again = after(&refunded, &Event::RefundFailed(reversed()));
    assert_eq!(
        (&again.progress.payment, &again.progress.status, again.progress.needs_review.as_deref()),
        (&PaymentState::Paid, &Status::Confirmed, Some("refund_failed"))
    );
}

#[test]
fn refused_refund_waits_for_an_operator_and_is_not_retried() {
    let cancelled = after_all(&confirmed(), &[cancel(), Event::StockReleased(stock(99))]);
    let refused =
        Event::RefundFailed(PaymentUpdate { version: 20, refund_refused: true, ..money(TOTAL, 0) });
    let waiting = after(&cancelled, &refused);
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
        "the money was not refunded"
    );
    assert_eq!((after(&waiting, &Event::Retry), waiting.is_stuck()), (waiting.clone(), false));
    // An event from before payments stopped automatic refunds arrives late.
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
    // Cancelled after payments stopped automatic refunds.
    let later = after_all(&confirmed(), &[refused, cancel()]);
    assert_eq!(
        (&later.progress.payment, later.progress.pending_commands()),
        (&PaymentState::RefundRefused, vec![PendingCommand::ReleaseStock])
    );
}

#[test]
fn won_dispute_marks_the_order_paid_again_and_a_lost_one_refunded() {
    let dispute = |version, status, withdrawn, reinstated| {
        Event::PaymentDisputed(PaymentUpdate { version, ..disputed(status, withdrawn, reinstated) })
    };
    let before = confirmed().progress.history.len();
    let open = after(&confirmed(), &dispute(20, DisputeStatus::Open, 0, 0));
    assert_eq!(open.progress.needs_review.as_deref(), Some("payment_disputed"));
    let withdrawn = after(&open, &dispute(21, DisputeStatus::Open, TOTAL, 0));
    assert_eq!(
        (&withdrawn.progress.payment, withdrawn.progress.needs_review.as_deref()),
        (&PaymentState::Refunded, Some("payment_disputed")),
        "an unpaid order must not ship"
    );
    let won = after(&withdrawn, &dispute(22, DisputeStatus::Won, TOTAL, TOTAL));
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
    let lost = after(&withdrawn, &dispute(22, DisputeStatus::Lost, TOTAL, 0));
    assert_eq!(
        (
            &lost.progress.payment,
            lost.progress.needs_review.as_deref(),
            lost.progress.returned_total()
        ),
        (&PaymentState::Refunded, Some("dispute_lost"), TOTAL)
    );
    // An outdated event does not reopen the dispute.
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
    // A cancelled order whose dispute is lost has nothing left to refund.
    let cancelled = after_all(&withdrawn, &[cancel(), Event::StockReleased(stock(99))]);
    assert_eq!(
        (&cancelled.progress.status, cancelled.schedule.next_check_at),
        (&Status::Cancelled, None)
    );
    let won = after(&cancelled, &dispute(22, DisputeStatus::Won, TOTAL, TOTAL));
    assert_eq!(
        (&won.progress.payment, won.progress.pending_commands()),
        (&PaymentState::Refunding, vec![PendingCommand::RefundPayment]),
        "the money of a won dispute is refunded to the buyer"
    );
}

/// The events of payments about one payment, in order: it is refunded, the refund is reversed, it
/// is disputed, a second refund is refused, and an operator refunds it.
fn payment_events() -> Vec<Event> {
    let mut latest = PaymentUpdate { version: 10, ..money(TOTAL, 0) };
    let mut next = |change: &dyn Fn(&mut PaymentUpdate), event: fn(PaymentUpdate) -> Event| {
        latest.version += 1;
        change(&mut latest);
        event(latest.clone())
    };
    vec![
        next(&|_| {}, Event::PaymentSucceeded),
        next(&|latest| latest.refunded_total = TOTAL, Event::PaymentRefunded),
        next(&|latest| latest.refunds_reversed_total = TOTAL, Event::RefundFailed),
        next(
            &|latest| {
                (latest.dispute, latest.dispute_withdrawn_total) =
                    (Some(DisputeStatus::Open), TOTAL)
            },
            Event::PaymentDisputed,
        ),
        next(
            &|latest| {
                (latest.dispute, latest.dispute_reinstated_total) =
                    (Some(DisputeStatus::Won), TOTAL)
            },
            Event::PaymentDisputed,
        ),
        next(&|latest| latest.refund_refused = true, Event::RefundFailed),
        next(&|latest| latest.refunded_total = 2 * TOTAL, Event::PaymentRefunded),
    ]
}

fn permutations(all: &[Event]) -> Vec<Vec<Event>> {
    if all.is_empty() {
        return vec![Vec::new()];
    }
    let rest = |at: usize| [&all[..at], &all[at + 1..]].concat();
    (0..all.len())
        .flat_map(|at| permutations(&rest(at)).into_iter().map(move |tail| (at, tail)))
        .map(|(at, tail)| [vec![all[at].clone()], tail].concat())
        .collect()
}

#[test]
fn payment_totals_are_independent_of_event_order() {
    const WINDOW: usize = 4;
    for (from, updates) in payment_events().windows(WINDOW).enumerate() {
        for start in
            [confirmed(), after(&confirmed(), &cancel()), cancelled_before_any_payment_event()]
        {
            let start = after_all(&start, &payment_events()[..from]);
            let expected = after_all(&start, updates);
            for arrival in permutations(updates) {
                let end = after_all(&start, &arrival);
                let twice = after_all(&end, &arrival);
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
                assert_eq!(state(&end), state(&expected), "{arrival:?}");
                assert_eq!(state(&twice), state(&expected), "{arrival:?}, twice");
            }
        }
    }
}

/// A cancelled order whose stock was released before any event about money arrived.
fn cancelled_before_any_payment_event() -> Order {
    after_all(
        &placed(),
        &[Event::StockReserved(stock(9)), cancel(), Event::StockReleased(stock(99))],
    )
}
