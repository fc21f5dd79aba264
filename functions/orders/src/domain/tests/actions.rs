//! Cancellation, shipment and delivery: in every state, and with every event in between.

use super::*;

fn after_all<'a>(order: &Order, events: impl IntoIterator<Item = &'a Event>) -> Order {
    events.into_iter().fold(order.clone(), |order, event| after(&order, event))
}

/// A paid order whose stock is committed.
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

fn rejection(order: &Order, event: &Event) -> (&'static str, String, Vec<&'static str>) {
    match order.apply(event, LATER, TIMING) {
        Err(Rejection::InvalidTransition { current, allowed }) => {
            ("invalid_transition", current, allowed)
        }
        Err(Rejection::NotCancellable { current, allowed }) => {
            ("not_cancellable", current, allowed)
        }
        Err(Rejection::NoShippingAddress { current, allowed }) => {
            ("no_shipping_address", current, allowed)
        }
        other => panic!("{event:?} is accepted: {other:?}"),
    }
}

#[test]
fn order_can_be_cancelled_until_shipped_and_is_fully_compensated() {
    let (mut cancellable, mut rejected, mut paths) = (0, 0, 0);
    for order in reachable().values() {
        let cancelled = order.apply(&cancel(), LATER, TIMING);
        if matches!(order.progress.status, Status::Shipped | Status::Delivered | Status::Failed) {
            let allowed =
                if order.progress.status == Status::Shipped { vec!["deliver"] } else { vec![] };
            assert_eq!(
                rejection(order, &cancel()),
                ("not_cancellable", order.progress.status.name().to_owned(), allowed)
            );
            rejected += 1;
            continue;
        }
        let Ok(Some(cancelled)) = cancelled else {
            assert_ne!(order.progress.goal, Goal::Fulfil, "{}", state_key(order));
            assert_eq!(cancelled, Ok(None), "it is cancelled already: {}", state_key(order));
            continue;
        };
        cancellable += 1;
        assert_eq!(
            (&cancelled.progress.goal, cancelled.progress.reason.as_deref()),
            (&Goal::Cancel, Some("cancelled"))
        );
        assert_eq!(cancelled.apply(&cancel(), LATER, TIMING), Ok(None), "a repeat changes nothing");
        settle(&cancelled, 0, &mut |end| {
            paths += 1;
            assert_eq!(end.progress.status, Status::Cancelled);
            assert!(
                end.progress.captured_total <= end.progress.returned_total(),
                "{}",
                state_key(end)
            );
            assert!(
                matches!(end.progress.stock, StockState::Released | StockState::Rejected),
                "{}",
                state_key(end)
            );
            assert_eq!(end.apply(&cancel(), LATER, TIMING), Ok(None), "repeat after settlement");
        });
    }
    print_line(&format!(
        "order state machine: cancelled in {cancellable} states on {paths} paths, rejected in {rejected}"
    ));
    assert!(
        cancellable >= 9 && rejected >= 4 && paths > 30,
        "{cancellable} states, {rejected} rejected, {paths} paths"
    );
}

#[test]
fn cancelled_order_releases_stock_and_refunds_independently() {
    let cancelled = after(&confirmed(), &cancel());
    assert_eq!(
        (cancelled.progress.pending_commands(), &cancelled.progress.status),
        (vec![PendingCommand::ReleaseStock, PendingCommand::RefundPayment], &Status::Confirmed)
    );
    let failing = after(&cancelled, &Event::RefundFailed(money(TOTAL, 0)));
    let released = after(&failing, &Event::StockReleased(stock(99)));
    assert_eq!(
        (released.progress.pending_commands(), &released.progress.status),
        (vec![PendingCommand::RefundPayment], &Status::Confirmed)
    );
    assert_eq!(released.progress.needs_review.as_deref(), Some("refund_failed"));
    let end = after(
        &released,
        &Event::PaymentRefunded(PaymentUpdate { version: 99, ..money(TOTAL, TOTAL) }),
    );
    assert_eq!(
        (&end.progress.status, end.progress.needs_review.as_deref(), end.schedule.next_check_at),
        (&Status::Cancelled, None, None)
    );
}

#[test]
fn cancellation_records_actor_and_reason() {
    for by in [Actor::Customer, Actor::Admin] {
        let reason = Some("Wrong address".to_owned().try_into().unwrap());
        let cancelled = after(
            &placed(),
            &Event::Cancel(Cancellation { by: by.clone(), reason: reason.clone() }),
        );
        assert_eq!(cancelled.progress.cancellation, Some(Cancellation { by: by.clone(), reason }));
        assert_eq!(
            cancelled.progress.history.last().and_then(|entry| entry.by.clone()),
            Some(by.clone())
        );
        let rest = Progress { cancellation: None, ..cancelled.progress.clone() };
        let elsewhere = stored(&Order { progress: rest, ..cancelled.clone() });
        assert!(!elsewhere.contains("Wrong"), "the reason is stored only once: {elsewhere}");
        let again =
            after(&cancelled, &Event::Cancel(Cancellation { by: Actor::Admin, reason: None }));
        assert_eq!(again, cancelled, "a repeated cancellation changes nothing");

        let after_deletion = after(&cancelled, &Event::BuyerChanged(BuyerChange::Deleted));
        let settled = after_all(
            &after_deletion,
            &[Event::StockReleased(stock(99)), Event::PaymentClosed(money(0, 0))],
        );
        assert_eq!(
            (settled.customer.buyer.clone(), settled.progress.cancellation),
            (Buyer::Redacted, Some(Cancellation { by, reason: None }))
        );
    }
    assert_eq!(
        after(&placed(), &Event::Deadline).progress.cancellation,
        None,
        "no person cancelled it"
    );
}

#[test]
fn only_a_confirmed_paid_order_with_reserved_stock_ships() {
    let mut shipped = BTreeMap::from([("Committing".to_owned(), 0), ("Committed".to_owned(), 0)]);
    for order in reachable().values() {
        let next = after(order, &ship());
        if next.progress.status == Status::Shipped && order.progress.status != Status::Shipped {
            *shipped
                .get_mut(&format!("{:?}", order.progress.stock))
                .expect("the stock is committing or committed") += 1;
            assert_eq!(
                (&order.progress.status, &order.progress.payment),
                (&Status::Confirmed, &PaymentState::Paid)
            );
            assert!(
                order.progress.captured_total > order.progress.returned_total(),
                "{}",
                state_key(order)
            );
        } else if order.progress.status != Status::Shipped {
            let (code, current, allowed) = rejection(order, &ship());
            assert_eq!(
                (code, current.as_str()),
                ("invalid_transition", order.progress.status.name())
            );
            assert!(!allowed.contains(&"ship"), "{}", state_key(order));
        }
    }
    assert!(
        shipped.values().all(|states| *states >= 2),
        "fully paid, and partially refunded: {shipped:?}"
    );
}

#[test]
fn order_ships_and_is_delivered_while_its_stock_commits() {
    let confirmed = after_all(
        &placed(),
        &[Event::StockReserved(stock(9)), Event::PaymentSucceeded(money(TOTAL, 0))],
    );
    assert_eq!(confirmed.progress.stock, StockState::Committing);
    assert_eq!(
        rejection(&confirmed, &Event::Deliver),
        ("invalid_transition", "confirmed".to_owned(), vec!["cancel", "ship"])
    );
    let shipped = after(&confirmed, &ship());
    let delivered = after(&shipped, &Event::Deliver);
    for order in [&shipped, &delivered] {
        assert_eq!(
            (
                order.progress.pending_commands(),
                order.progress.is_settled(),
                order.schedule.next_check_at.is_some()
            ),
            (vec![PendingCommand::CommitStock], false, true)
        );
        // The commit or its answer is lost: each scheduled check sends the command again.
        let retried = order.apply(&Event::Retry, LATER, TIMING).unwrap().unwrap();
        assert_eq!(
            (retried.schedule.attempt, retried.progress.pending_commands()),
            (order.schedule.attempt + 1, vec![PendingCommand::CommitStock])
        );
        let settled = after(&retried, &Event::StockCommitted(stock(99)));
        assert_eq!(
            (
                &settled.progress.status,
                settled.progress.is_settled(),
                settled.schedule.next_check_at
            ),
            (&order.progress.status, true, None)
        );
    }
    assert_eq!(
        rejection(&shipped, &cancel()),
        ("not_cancellable", "shipped".to_owned(), vec!["deliver"])
    );
    let refunded = after(&shipped, &Event::PaymentRefunded(money(TOTAL, TOTAL)));
    assert_eq!(
        (refunded.progress.pending_commands(), &refunded.progress.status),
        (vec![PendingCommand::CommitStock], &Status::Shipped)
    );
}

#[test]
fn stock_of_a_shipped_order_is_never_released() {
    let (mut shipped, mut paths) = (0, 0);
    for order in reachable()
        .values()
        .filter(|order| matches!(order.progress.status, Status::Shipped | Status::Delivered))
    {
        shipped += 1;
        for event in events() {
            let next = after(order, &event);
            assert_eq!(next.progress.goal, Goal::Fulfil, "{event:?}: {}", state_key(order));
            assert!(
                matches!(next.progress.stock, StockState::Committing | StockState::Committed),
                "{event:?}: {}",
                state_key(order)
            );
            assert!(
                !next
                    .progress
                    .pending_commands()
                    .iter()
                    .any(|command| *command != PendingCommand::CommitStock),
                "{event:?}: {}",
                state_key(order)
            );
        }
        settle(order, 0, &mut |end| {
            paths += 1;
            assert_eq!(
                (&end.progress.status, &end.progress.stock),
                (&order.progress.status, &StockState::Committed)
            );
        });
    }
    assert!(shipped >= 8 && paths >= shipped, "{shipped} states, {paths} paths");
}

#[test]
fn repeated_shipment_changes_nothing_and_a_different_one_is_rejected() {
    let shipped = after(&confirmed(), &ship());
    assert_eq!(shipped.apply(&ship(), LATER, TIMING), Ok(None));
    let other = Event::Ship(shipment("2"));
    assert_eq!(
        rejection(&shipped, &other),
        ("invalid_transition", "shipped".to_owned(), vec!["deliver"])
    );
    let delivered = after(&shipped, &Event::Deliver);
    assert_eq!(
        (&delivered.progress.status, delivered.apply(&Event::Deliver, LATER, TIMING)),
        (&Status::Delivered, Ok(None))
    );
    assert_eq!(
        rejection(&delivered, &ship()),
        ("invalid_transition", "delivered".to_owned(), vec![])
    );
    assert_eq!(
        rejection(&confirmed(), &Event::Deliver),
        ("invalid_transition", "confirmed".to_owned(), vec!["cancel", "ship"])
    );
    assert_eq!(
        rejection(&placed(), &Event::Deliver),
        ("invalid_transition", "pending".to_owned(), vec!["cancel"])
    );
}

#[test]
fn order_without_an_address_cannot_ship() {
    let unaddressed = without_address(&confirmed());
    assert_eq!(
        rejection(&unaddressed, &ship()),
        ("no_shipping_address", "confirmed".to_owned(), vec!["cancel"])
    );
    let pending = without_address(&placed());
    assert_eq!(
        rejection(&pending, &ship()).0,
        "invalid_transition",
        "the status is checked before the address"
    );
}

#[test]
fn concurrent_actions_have_one_outcome() {
    let cancelled = after(&confirmed(), &cancel());
    assert_eq!(
        rejection(&cancelled, &ship()),
        ("invalid_transition", "confirmed".to_owned(), vec![])
    );
    let shipped = after(&confirmed(), &ship());
    assert_eq!(
        rejection(&shipped, &cancel()),
        ("not_cancellable", "shipped".to_owned(), vec!["deliver"])
    );
}
