//! Commands without an answer: when they are sent again, and when their order becomes stuck and
//! stops being stuck.

use super::*;

/// Checks without progress after which an order is stuck, although payments answers.
const CHECKS: u64 = 5;

#[test]
fn retries_back_off_and_never_pass_the_deadline() {
    let mut order = placed();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let now = order.schedule.next_check_at.unwrap();
        order = order.apply(&Event::Retry, now, TIMING).unwrap().unwrap();
        waits.push(order.schedule.next_check_at.unwrap().since(now).as_secs() / 60);
    }
    assert_eq!(waits, [2, 4, 8, 15, 32], "1 + 2 + 4 + 8 + 15 minutes reach the deadline of 30");
    assert_eq!(order.schedule.attempt, 5);
}

/// The order after its next scheduled check, as `resume-orders` performs it.
fn after_check(order: &Order) -> Order {
    let now = order.schedule.next_check_at.expect("a check is scheduled");
    let expired = order.apply(&Event::Deadline, now, TIMING).unwrap();
    expired
        .or_else(|| order.apply(&Event::Retry, now, TIMING).unwrap())
        .expect("a check is counted")
}

/// The order after an event one second after its last change.
fn after_one_second(order: &Order, event: &Event) -> Order {
    let now = order.updated_at.plus(Duration::from_secs(1));
    order.apply(event, now, TIMING).unwrap().unwrap_or_else(|| order.clone())
}

fn after_events(order: Order, events: &[Event]) -> Order {
    events.iter().fold(order, |order, event| after_one_second(&order, event))
}

/// An order without a card: the buyer pays with `POST /payments`.
fn placed_without_card() -> Order {
    Order::place(placement(), order_request(json!({})), &[product()], &[]).unwrap()
}

fn reserved() -> Event {
    Event::StockReserved(stock(1))
}

/// The data of an event of payments at this version.
fn version(version: u64, captured: i64, refunded: i64) -> PaymentUpdate {
    PaymentUpdate { version, ..money(captured, refunded) }
}

fn overdue(order: &Order) -> Vec<&'static str> {
    order
        .overdue_commands()
        .map(|(command, _)| command.name(order.customer.payment_method.is_some()))
        .collect()
}

/// The waits in the history, each with its command and whether it was answered.
fn waits(order: &Order) -> Vec<(&str, bool)> {
    let waiting = order.progress.history.iter().filter(|entry| entry.event == "waiting");
    waiting
        .map(|entry| (entry.pending_command.as_deref().unwrap(), entry.answered_at.is_some()))
        .collect()
}

#[test]
fn unanswered_command_is_overdue_from_its_second_check_until_answered() {
    let paid = Event::PaymentSucceeded(version(2, TOTAL, 0));
    let committed = [reserved(), paid.clone(), Event::StockCommitted(stock(2))];
    let released = Event::StockReleased(stock(3));
    for (name, order, answer) in [
        ("reserve_stock", placed(), reserved()),
        ("reserve_stock", placed(), Event::StockRejected(stock(1))),
        (
            "open_payment",
            after_events(placed_without_card(), &[reserved()]),
            Event::PaymentOpened(version(1, 0, 0)),
        ),
        (
            "charge_payment",
            after_events(placed(), &[reserved()]),
            Event::PaymentStarted(version(1, 0, 0)),
        ),
        (
            "charge_payment",
            after_events(placed(), &[reserved()]),
            Event::PaymentDeclined(version(1, 0, 0)),
        ),
        (
            "commit_stock",
            after_events(placed(), &[reserved(), paid.clone()]),
            Event::StockCommitted(stock(2)),
        ),
        (
            "release_stock",
            after_events(placed(), &[reserved(), cancel(), Event::PaymentClosed(version(2, 0, 0))]),
            released.clone(),
        ),
        (
            "cancel_payment",
            after_events(placed(), &[reserved(), cancel(), released.clone()]),
            Event::PaymentClosed(version(2, 0, 0)),
        ),
        (
            "refund_payment",
            after_events(after_events(placed(), &committed), &[cancel(), released.clone()]),
            Event::PaymentRefunded(version(3, TOTAL, TOTAL)),
        ),
    ] {
        let once = after_check(&order);
        assert!(
            !once.is_stuck() && waits(&once).is_empty() && overdue(&once).is_empty(),
            "{name} after one check"
        );
        let since =
            order.schedule.stock_unanswered.or(order.schedule.payment_unanswered).unwrap().since;
        let mut order = after_check(&once);
        assert!(
            order.updated_at.since(since) < Duration::from_secs(240),
            "{name}: within four minutes, and a minute of the schedule"
        );
        let lines = order.progress.history.len();
        for check in 2..4 {
            assert_eq!(
                (order.is_stuck(), overdue(&order), waits(&order)),
                (true, vec![name], vec![(name, false)]),
                "check {check}"
            );
            assert_eq!(
                order.overdue_commands().next().unwrap().1,
                since,
                "{name} at check {check}"
            );
            assert_eq!(
                order.progress.history.len(),
                lines,
                "{name}: one entry per wait at check {check}"
            );
            order = after_check(&order);
        }
        let answered = after_one_second(&order, &answer);
        assert_eq!(
            (answered.is_stuck(), overdue(&answered)),
            (false, vec![]),
            "{name} after {answer:?}"
        );
        assert_eq!(waits(&answered), [(name, true)], "{name} after {answer:?}");
        let entry =
            answered.progress.history.iter().find(|entry| entry.event == "waiting").unwrap();
        assert_eq!(
            (entry.since, entry.answered_at),
            (Some(since), Some(answered.updated_at)),
            "{name}"
        );
    }
}

#[test]
fn expiry_and_cancellation_do_not_hide_a_service_that_does_not_answer() {
    for (order, before, after) in [
        (placed(), "reserve_stock", "release_stock"),
        (after_events(placed(), &[reserved()]), "charge_payment", "cancel_payment"),
        (after_events(placed_without_card(), &[reserved()]), "open_payment", "cancel_payment"),
    ] {
        let since = order.updated_at;
        let stuck = after_check(&after_check(&order));
        assert_eq!((overdue(&stuck), stuck.progress.goal.clone()), (vec![before], Goal::Fulfil));
        let cancelled = after_one_second(&stuck, &cancel());
        assert_eq!(
            (overdue(&cancelled), cancelled.is_stuck()),
            (vec![after], true),
            "{before}, cancelled"
        );

        let mut expiring = stuck;
        while expiring.progress.goal == Goal::Fulfil {
            assert!(expiring.is_stuck(), "{before}");
            expiring = after_check(&expiring);
        }
        assert_eq!(expiring.progress.reason.as_deref(), Some("not_paid_in_time"));
        for _ in 0..4 {
            assert!(
                expiring.is_stuck() && overdue(&expiring).contains(&after),
                "{before}, expired"
            );
            assert!(
                expiring.overdue_commands().any(|(_, began)| began == since),
                "{before}, expired"
            );
            expiring = after_check(&expiring);
        }
        assert_eq!(waits(&expiring)[0], (after, false), "the same wait: {:?}", waits(&expiring));
    }
}

#[test]
fn order_that_waits_for_its_buyer_is_never_stuck() {
    let opened = Event::PaymentOpened(version(1, 0, 0));
    let awaiting_bank =
        Event::PaymentStarted(PaymentUpdate { requires_action: true, ..version(2, 0, 0) });
    for events in [
        vec![reserved(), opened.clone()],
        vec![reserved(), opened.clone(), awaiting_bank],
        vec![
            reserved(),
            opened,
            Event::PaymentStarted(version(2, 0, 0)),
            Event::PaymentDeclined(version(3, 0, 0)),
        ],
    ] {
        let order = after_events(placed_without_card(), &events);
        assert!(!order.is_stuck() && waits(&order).is_empty(), "{}", state_key(&order));
        assert_eq!(
            order.schedule.next_check_at,
            Some(order.placed.expires_at),
            "only its deadline"
        );
        let expired = after_check(&order);
        assert_eq!(
            (expired.progress.goal.clone(), expired.schedule.attempt),
            (Goal::Cancel, 0),
            "no command was sent again: {}",
            state_key(&expired)
        );
        assert!(!expired.is_stuck(), "its payment deadline has passed: {}", state_key(&expired));
    }
}

#[test]
fn check_moves_only_if_it_must() {
    let check_of = |order: &Order| order.schedule.next_check_at;
    let first = Some(START.plus(TIMING.first_retry));
    let mut order = placed();
    assert_eq!(check_of(&order), first);
    let paid = Event::PaymentSucceeded(version(2, TOTAL, 0));
    for event in [reserved(), Event::PaymentUnknown(version(1, 0, 0)), paid.clone()] {
        order = after_one_second(&order, &event);
        assert_eq!(check_of(&order), first, "{event:?}: early enough for the next command");
    }
    assert_eq!(check_of(&after_one_second(&order, &Event::StockCommitted(stock(2)))), None);

    // The answer of a service that was checked before restarts the delays.
    let checked = after_check(&after_check(&order));
    assert_eq!(check_of(&checked), first.map(|at| at.plus(6 * TIMING.first_retry)));
    let cancelled = after_one_second(&checked, &cancel());
    let now = checked.updated_at.plus(Duration::from_secs(1));
    assert_eq!(check_of(&cancelled), Some(now.plus(TIMING.first_retry)));

    // The payment deadline is later than the first check of commit_stock.
    let waiting =
        after_events(placed_without_card(), &[reserved(), Event::PaymentOpened(version(1, 0, 0))]);
    let late = START.plus(Duration::from_secs(600));
    let confirmed = waiting.apply(&paid, late, TIMING).unwrap().unwrap();
    assert_eq!(check_of(&confirmed), Some(late.plus(TIMING.first_retry)));
}

#[test]
fn expired_order_stays_due_until_the_next_sweep() {
    let order = after_events(placed(), &[reserved()]);
    let expired = order.apply(&Event::Deadline, order.placed.expires_at, TIMING).unwrap().unwrap();
    assert_eq!(expired.schedule.next_check_at, order.schedule.next_check_at);
    let sent_again = after_check(&expired);
    assert_eq!((sent_again.schedule.attempt, sent_again.schedule.retries), (1, 1));
    assert!(sent_again.schedule.next_check_at > expired.schedule.next_check_at);
}

#[test]
fn answered_payment_without_an_outcome_is_stuck_after_five_checks() {
    let terms = Terms { pay_within: Duration::from_secs(24 * 3600), ..TERMS };
    let order = placed();
    let order = Order {
        placed: PlacedOrder { expires_at: START.plus(terms.pay_within), ..order.placed },
        ..order
    };
    let unknown = |order: &Order, number: u64| {
        after_one_second(order, &Event::PaymentUnknown(version(number, 0, 0)))
    };
    let mut answered = unknown(&after_one_second(&order, &reserved()), 1);
    let unanswered = after_check(&after_check(&answered));
    assert_eq!(
        (unanswered.is_stuck(), overdue(&unanswered)),
        (true, vec!["charge_payment"]),
        "payments no longer answers"
    );
    for check in 1..=CHECKS {
        assert!(!answered.is_stuck(), "check {check}");
        answered = unknown(&after_check(&answered), 1 + check);
    }
    assert_eq!(
        (answered.is_stuck(), overdue(&answered)),
        (true, vec![]),
        "nothing has moved for half an hour"
    );
    assert!(
        !after_one_second(&answered, &Event::PaymentSucceeded(version(99, TOTAL, 0))).is_stuck()
    );
}

#[test]
fn late_answer_to_an_earlier_command_does_not_answer_the_pending_one() {
    let cancelled = after_one_second(&placed(), &cancel());
    let late = after_one_second(&cancelled, &reserved());
    let order = after_check(&after_check(&late));
    assert_eq!(overdue(&order), ["release_stock"]);
}

#[test]
fn buyer_changes_and_repeated_events_do_not_answer_a_command() {
    let stuck = after_check(&after_check(&after_events(placed(), &[reserved()])));
    for event in
        [Event::BuyerChanged(BuyerChange::Changed(contact(9))), reserved(), Event::Deadline]
    {
        let same = after_one_second(&stuck, &event);
        let counted =
            |order: &Order| (order.schedule.stock_unanswered, order.schedule.payment_unanswered);
        assert_eq!((counted(&same), waits(&same)), (counted(&stuck), waits(&stuck)), "{event:?}");
    }
    let unanswered = stuck.schedule.payment_unanswered.unwrap();
    assert_eq!(
        (unanswered, stuck.schedule.stock_unanswered),
        (Unanswered { since: unanswered.since, checks: 2 }, None)
    );
}

#[test]
fn repeated_checks_of_a_cancelled_order_do_not_grow_its_history() {
    let mut order = after_check(&after_check(&after_one_second(&placed(), &cancel())));
    for _ in 0..500 {
        order = after_check(&order);
    }
    assert_eq!(waits(&order), [("release_stock", false)]);
    assert!(order.progress.history.len() < 6, "{}", order.progress.history.len());
}

#[test]
fn check_of_an_order_that_cannot_expire_may_pass_its_payment_deadline() {
    let paid = Event::PaymentSucceeded(version(2, TOTAL, 0));
    for event in [cancel(), paid] {
        let order = after_one_second(&placed(), &event);
        let late = START.plus(Duration::from_secs(1770));
        let checked = order.apply(&Event::Retry, late, TIMING).unwrap().unwrap();
        assert_eq!(
            checked.schedule.next_check_at,
            Some(late.plus(2 * TIMING.first_retry)),
            "{event:?}: the deadline is 30 seconds after the check"
        );
    }
}

#[test]
fn paid_order_that_waits_for_its_stock_does_not_expire() {
    let paid = after_one_second(&placed(), &Event::PaymentSucceeded(version(2, TOTAL, 0)));
    assert_eq!(paid.apply(&Event::Deadline, paid.placed.expires_at, TIMING), Ok(None));
}

#[test]
fn wait_begins_with_the_last_progress_of_the_order() {
    let placed = placed();
    assert_eq!(placed.waits_since(), Some(START));
    let overdue = after_check(&after_check(&placed));
    assert_eq!(waits(&overdue).len(), 1);
    assert_eq!(overdue.waits_since(), Some(START), "a recorded wait is not progress");
    let reserved = after_events(placed_without_card(), &[reserved()]);
    assert_eq!(reserved.waits_since(), Some(reserved.updated_at));
    let payable = after_events(reserved, &[Event::PaymentOpened(version(1, 0, 0))]);
    assert_eq!(payable.waits_since(), None, "the order waits for its buyer");
    let paid = Event::PaymentSucceeded(version(2, TOTAL, 0));
    let settled = after_events(payable, &[paid, Event::StockCommitted(stock(2))]);
    assert_eq!(settled.waits_since(), None, "no command is pending");
}
