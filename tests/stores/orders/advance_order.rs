//! Order events: each is applied once, under concurrent writes.

use super::*;

#[tokio::test]
async fn event_takes_one_read_and_one_write_and_repeats_write_nothing() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let called = fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    assert_eq!((called.is_done(), called.operations()), (true, vec!["GetItem", "PutItem"]));
    let moved = fixture.order(&order).await;
    assert_eq!(
        (&moved.progress.stock, &moved.progress.payment, moved.version),
        (&StockState::Reserved, &PaymentState::Open, 2)
    );
    assert_eq!(serde_json::to_value(&moved.traceparent).unwrap(), trace);
    let again = fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    assert_eq!((again.is_done(), again.operations()), (true, vec!["GetItem"]));
    assert_eq!(fixture.order(&order).await, moved);
}

#[tokio::test]
async fn concurrent_events_both_apply() {
    let mut conflicts = 0;
    for seed in 0..10 {
        let fixture = OrdersFixture::crowded(seed).await;
        let order = fixture.placed("k").await;
        let reserved = event_message(&order, "stock_reserved.v1", &json!({ "version": 1 }));
        let paid = event_message(
            &order,
            "payment_succeeded.v1",
            &json!({ "version": 2, "payment_id": "pay_1", "captured_total": 5998 }),
        );
        let called = fixture.call_both(("advance-order", reserved), ("advance-order", paid)).await;
        assert_eq!(
            *called.ok(),
            json!([{ "batchItemFailures": [] }, { "batchItemFailures": [] }]),
            "seed {seed}"
        );
        // A lost race costs one more write and no read.
        let count =
            |operation: &str| called.operations().iter().filter(|made| **made == operation).count();
        let writes = count("PutItem");
        assert_eq!(count("GetItem"), 2, "seed {seed}");
        conflicts += writes - 2;
        let moved = fixture.order(&order).await;
        let landed = (
            moved.progress.status,
            moved.progress.stock,
            moved.progress.payment,
            moved.progress.captured_total,
            moved.version,
        );
        assert_eq!(
            landed,
            (Status::Confirmed, StockState::Committing, PaymentState::Paid, 5998, 3),
            "seed {seed}"
        );
        let history: Vec<_> =
            moved.progress.history.iter().map(|entry| entry.event.as_str()).collect();
        assert_eq!(history.len(), 4, "{history:?}");
    }
    assert!(conflicts > 0, "no seed lets both read before one of them writes: the test is vacuous");
}

#[tokio::test]
async fn outdated_decision_is_not_written_and_own_write_is_recognised() {
    let fixture = OrdersFixture::new().await;
    let seen = fixture.seen(&fixture.placed("k").await).await;
    let order = seen.order.clone();
    let (now, timing) = (fixture.clock.now(), fixture.orders.timing);
    let cancelled = order.apply(&cancel(), now, timing).unwrap().unwrap();
    let retried = order.apply(&Event::Retry, now, timing).unwrap().unwrap();
    assert!(matches!(
        fixture.orders.store.replace(&seen, &cancelled).await.unwrap(),
        WriteOutcome::Written
    ));
    assert!(
        matches!(
            fixture.orders.store.replace(&seen, &cancelled).await.unwrap(),
            WriteOutcome::Written
        ),
        "the answer to the first write was lost"
    );
    match fixture.orders.store.replace(&seen, &retried).await.unwrap() {
        WriteOutcome::VersionConflict(current) => assert_eq!(current.order, cancelled),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.order(&order.placed.order_id.to_string()).await, cancelled);
    let gone = PlacedOrder {
        order_id: OrderId::parse(UNKNOWN_ORDER).unwrap(),
        ..cancelled.placed.clone()
    };
    let gone = Order { placed: gone, ..cancelled };
    assert!(
        fixture.orders.store.replace(&seen, &gone).await.is_err(),
        "unknown orders are not created"
    );
    assert_eq!(fixture.count(), 1);
}

#[tokio::test]
async fn event_is_applied_once_under_any_fault() {
    for_each_fault(0..CALLS, async |InjectedFault { call, fault }| {
        for retries in [false, true] {
            let fixture = if retries {
                OrdersFixture::with_retries().await
            } else {
                OrdersFixture::new().await
            };
            let order = fixture.placed("k").await;
            fixture.aws.fail(call, fault);
            let first =
                fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
            let fails = call == 1 || call == 0 && fault != Fault::Conflict;
            // The SDK does not retry transaction conflicts.
            let is_retried = retries && fault != Fault::Conflict;
            assert_eq!(first.is_done(), !fails || is_retried, "{fault:?} at {call}");
            fixture.aws.heal();
            assert!(
                fixture
                    .send_event(&order, "stock_reserved.v1", &json!({ "version": 1 }))
                    .await
                    .is_done()
            );
            let moved = fixture.order(&order).await;
            assert_eq!(
                (moved.progress.stock, moved.version, moved.progress.history.len()),
                (StockState::Reserved, 2, 2),
                "{fault:?} at {call}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn event_for_an_unknown_order_is_redelivered() {
    let fixture = OrdersFixture::new().await;
    let called =
        fixture.send_event(UNKNOWN_ORDER, "stock_reserved.v1", &json!({ "version": 1 })).await;
    assert_eq!(
        (called.is_done(), called.operations(), fixture.count()),
        (false, vec!["GetItem"], 0)
    );
}

#[tokio::test]
async fn unreadable_events_are_rejected_and_change_nothing() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    for (kind, more) in [
        ("stock_reserved.v2", json!({ "version": 1 })),
        ("stock_vanished.v1", json!({ "version": 1 })),
        ("stock_reserved.v1", json!({})),
        ("stock_reserved.v1", json!({ "version": -1 })),
        ("payment_succeeded.v1", json!({ "version": 1, "captured_total": "5998" })),
    ] {
        let called = fixture.send_event(&order, kind, &more).await;
        assert_eq!((called.rejected(), called.calls.len()), (1, 1), "{kind} {more}");
    }
    assert_eq!(fixture.order(&order).await.version, 1);
}

#[tokio::test]
async fn event_of_a_later_releases_order_is_returned_to_the_queue() {
    for attribute in ["stock", "payment", "goal", "status"] {
        let fixture = OrdersFixture::new().await;
        let order = fixture.placed("k").await;
        fixture.set(&order, attribute, "parcelled").await;
        let before = fixture.item(&order);
        for kind in [
            "stock_reserved.v1",
            "stock_rejected.v1",
            "payment_succeeded.v1",
            "payment_closed.v1",
            "payment_refunded.v1",
        ] {
            let called = fixture
                .send_event(
                    &order,
                    kind,
                    &json!({ "version": 7, "captured_total": 5998, "refunded_total": 5998 }),
                )
                .await;
            assert_eq!(
                (called.is_done(), called.operations()),
                (false, vec!["GetItem"]),
                "{attribute}: {kind}"
            );
        }
        let cancelled = fixture.step(USER, "cancel", &order, &Value::Null).await;
        assert_eq!(
            (cancelled.status(), cancelled.operations()),
            (503, vec!["GetItem"]),
            "{attribute}"
        );
        fixture.clock.advance(PAY_WITHIN);
        assert_eq!(fixture.resume().await, (0, 0, 1), "{attribute}");
        assert_eq!(fixture.item(&order), before, "{attribute}");
        let read = fixture.read(&order, USER, None).await;
        assert_eq!(read.status(), 200, "it can still be read: {:?}", read.answer);
    }
}
