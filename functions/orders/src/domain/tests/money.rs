//! Money that moves without a command of the order: refunds by an operator, failed refunds,
//! disputes.

use super::*;

fn after_all<'a>(order: &Order, events: impl IntoIterator<Item = &'a Event>) -> Order {
    events.into_iter().fold(order.clone(), |order, event| after(&order, event))
}

fn reserved() -> Order {
    after(&placed(), &Event::StockReserved(stock(9)))
}

fn confirmed() -> Order {
    after_all(
        &reserved(),
        &[Event::PaymentSucceeded(money(TOTAL, 0)), Event::StockCommitted(stock(9))],
    )
}

/// The events of payments about a captured payment, for any command.
fn updates(captured: i64, refunded: i64) -> [Event; 4] {
    [Event::PaymentSucceeded, Event::PaymentRefunded, Event::RefundFailed, Event::PaymentDisputed]
        .map(|update| update(money(captured, refunded)))
}

#[test]
fn order_refunded_before_confirmation_is_cancelled() {
    let mut pending = 0;
    let is_plain = |order: &Order| {
        order.progress.refunds_reversed_total == 0 && order.progress.dispute_reinstated_total == 0
    };
    let pending_orders = reachable();
    let is_pending = |order: &&Order| {
        order.progress.goal == Goal::Fulfil
            && order.progress.status == Status::Pending
            && is_plain(order)
    };
    for order in pending_orders.values().filter(is_pending) {
        for update in updates(TOTAL, TOTAL) {
            if !is_possible(order, &update) {
                continue;
            }
            pending += 1;
            let cancelled = after(order, &update);
            assert_eq!(
                (&cancelled.progress.goal, cancelled.progress.reason.as_deref()),
                (&Goal::Cancel, Some("refunded")),
                "{update:?}: {}",
                state_key(order)
            );
            assert_eq!(
                (&cancelled.progress.payment, cancelled.progress.pending_commands()),
                (&PaymentState::Refunded, vec![PendingCommand::ReleaseStock]),
                "{}",
                state_key(order)
            );
            let end = after(&cancelled, &Event::StockReleased(stock(99)));
            assert_eq!(
                (&end.progress.status, end.schedule.next_check_at),
                (&Status::Cancelled, None)
            );
            // Events that were in flight arrive late.
            for late in updates(TOTAL, 0)
                .iter()
                .chain(&[Event::StockReserved(stock(9)), Event::PaymentStarted(money(0, 0))])
            {
                assert_eq!(state_key(&after(&end, late)), state_key(&end), "{late:?}");
                assert_eq!(
                    state_key(&after(&after(&cancelled, late), &Event::StockReleased(stock(99)))),
                    state_key(&end),
                    "{late:?}"
                );
            }
        }
    }
    assert!(pending >= 20, "{pending}");
}

#[test]
fn refunded_confirmed_order_keeps_its_status_and_is_not_shipped() {
    let part = after(&confirmed(), &Event::PaymentSucceeded(money(TOTAL, PARTIAL_REFUND)));
    assert_eq!(
        (&part.progress.status, &part.progress.payment, part.progress.refunded_total),
        (&Status::Confirmed, &PaymentState::Paid, PARTIAL_REFUND)
    );
    assert_eq!(after(&part, &ship()).progress.status, Status::Shipped);
    for stage in [
        confirmed(),
        after(&confirmed(), &ship()),
        after_all(&confirmed(), &[ship(), Event::Deliver]),
    ] {
        let back = after(&stage, &Event::PaymentRefunded(money(TOTAL, TOTAL)));
        assert_eq!(
            (&back.progress.status, &back.progress.payment, back.schedule.next_check_at),
            (&stage.progress.status, &PaymentState::Refunded, None)
        );
    }
    let back = after(&confirmed(), &Event::PaymentRefunded(money(TOTAL, TOTAL)));
    assert_eq!(after(&back, &ship()), back);
    let cancelled = after(&back, &cancel());
    assert_eq!(
        cancelled.progress.pending_commands(),
        [PendingCommand::ReleaseStock],
        "there is no money left to refund"
    );
    assert_eq!(
        after(&cancelled, &Event::StockReleased(stock(99))).progress.status,
        Status::Cancelled
    );
}

#[test]
fn every_event_that_reports_a_capture_marks_the_order_paid() {
    for update in updates(TOTAL, 0).into_iter().chain(updates(TOTAL, PARTIAL_REFUND)) {
        let paid = after(&reserved(), &update);
        assert_eq!(
            (&paid.progress.status, &paid.progress.payment),
            (&Status::Confirmed, &PaymentState::Paid),
            "{update:?}"
        );
        let closing = after_all(&reserved(), &[cancel(), update.clone()]);
        assert_eq!(closing.progress.payment, PaymentState::Refunding, "{update:?}");
    }
    // An event without a capture does not pay the order.
    for update in updates(0, 0) {
        assert_eq!(state_key(&after(&reserved(), &update)), state_key(&reserved()), "{update:?}");
    }
}

#[test]
fn failed_refund_raises_a_review_and_is_retried_until_it_succeeds() {
    let mut order = after(&confirmed(), &cancel());
    let failed = Event::RefundFailed(PaymentUpdate {
        reason: Some("card_closed".to_owned()),
        ..money(TOTAL, 0)
    });
    for event in [&Event::StockReleased(stock(9)), &failed] {
        order = after(&order, event);
    }
    let recorded = order.progress.history.len();
    for attempt in 1..=6 {
        order = order
            .apply(&Event::Retry, order.schedule.next_check_at.unwrap(), TIMING)
            .unwrap()
            .unwrap();
        assert_eq!((order.schedule.attempt, order.is_stuck()), (attempt, attempt >= 5));
        // Payments retries the refund, fails again, and answers each time.
        let answer = PaymentUpdate {
            version: 9 + attempt,
            reason: Some("card_closed".to_owned()),
            ..money(TOTAL, 0)
        };
        for update in [Event::PaymentSucceeded(answer.clone()), Event::RefundFailed(answer)] {
            order = after(&order, &update);
        }
        assert_eq!(
            (order.progress.needs_review.as_deref(), order.progress.history.len()),
            (Some("refund_failed"), recorded),
            "recorded once"
        );
    }
    let part = after(&order, &Event::PaymentSucceeded(money(TOTAL, PARTIAL_REFUND)));
    assert_eq!(
        (
            part.progress.needs_review.as_deref(),
            part.progress.pending_commands().contains(&PendingCommand::RefundPayment)
        ),
        (None, true)
    );
    let done = after(&order, &Event::PaymentRefunded(money(TOTAL, TOTAL)));
    assert_eq!(
        (done.progress.needs_review.as_deref(), &done.progress.payment),
        (None, &PaymentState::Refunded)
    );
    // An operator's refund of an order that is not cancelled fails.
    let flagged = after(&confirmed(), &failed);
    assert_eq!(
        (
            flagged.progress.needs_review.as_deref(),
            flagged.progress.is_settled(),
            flagged.is_stuck()
        ),
        (Some("refund_failed"), true, false)
    );
    assert_eq!(
        after(&flagged, &Event::PaymentSucceeded(money(TOTAL, PARTIAL_REFUND)))
            .progress
            .needs_review,
        None
    );
    // An outdated event raises no review.
    let newer = after(
        &confirmed(),
        &Event::PaymentSucceeded(PaymentUpdate { version: 50, ..money(TOTAL, 0) }),
    );
    assert_eq!(after(&newer, &failed).progress.needs_review, None);
}

#[test]
fn open_dispute_stays_flagged_beside_other_reviews() {
    let open = Event::PaymentDisputed(disputed(DisputeStatus::Open, 0, 0));
    let flagged = after(&confirmed(), &open);
    assert_eq!(
        (flagged.progress.needs_review.as_deref(), &flagged.progress.status),
        (Some("payment_disputed"), &Status::Confirmed)
    );
    assert_eq!(after(&flagged, &open), flagged);
    let as_another_event = Event::PaymentSucceeded(disputed(DisputeStatus::Open, 0, 0));
    assert_eq!(
        after(&confirmed(), &as_another_event).progress.needs_review.as_deref(),
        Some("payment_disputed")
    );

    for order in [
        after_all(&flagged, &[cancel(), Event::RefundFailed(money(TOTAL, 0))]),
        after_all(&confirmed(), &[cancel(), Event::RefundFailed(money(TOTAL, 0)), open]),
    ] {
        let both: std::collections::BTreeSet<_> = order.progress.review_reasons().collect();
        assert_eq!(both, ["payment_disputed", "refund_failed"].into());
        let done = after_all(
            &order,
            &[Event::PaymentRefunded(money(TOTAL, TOTAL)), Event::StockReleased(stock(99))],
        );
        assert_eq!(
            (&done.progress.status, done.progress.review_reasons().collect::<Vec<_>>()),
            (&Status::Cancelled, vec!["payment_disputed"])
        );
    }
}
