//! Actions of people on an order: cancel, ship and deliver, each applied once under any fault and
//! concurrency.

use super::*;

/// The last `lines` history entries.
async fn last_events(fixture: &OrdersFixture, order: &str, lines: usize) -> Vec<String> {
    let history = fixture.order(order).await.progress.history;
    history[history.len() - lines..].iter().map(|entry| entry.event.clone()).collect()
}

/// The status and code of a rejection, the order's current status and the allowed transitions.
fn refusal(called: &Called) -> (u64, String, Value, Value) {
    let problem = called.json();
    (called.status(), called.code(), problem["current"].clone(), problem["allowed"].clone())
}

#[tokio::test]
async fn only_buyer_and_shop_cancel_an_order() {
    let fixture = OrdersFixture::new().await;
    for (who, by) in [(USER, "customer"), (ADMIN, "admin")] {
        let order = fixture.stored(by, &two_spoons()).await;
        let hidden = fixture.step(STRANGER, "cancel", &order, &Value::Null).await;
        assert_eq!(
            (hidden.status(), hidden.code().as_str(), hidden.operations()),
            (404, "order_not_found", vec!["GetItem"])
        );
        assert_eq!(
            hidden.json(),
            fixture.step(STRANGER, "cancel", UNKNOWN_ORDER, &Value::Null).await.json()
        );

        let cancelled = fixture
            .step(who, "cancel", &order, &json!({ "reason": "It is the wrong colour." }))
            .await;
        assert_eq!((cancelled.status(), cancelled.operations()), (202, vec!["GetItem", "PutItem"]));
        let view = cancelled.json();
        assert_eq!(
            (&view["status"], &view["step"], &view["reason"]),
            (&json!("pending"), &json!("releasing"), &json!("cancelled"))
        );
        assert_eq!(view["cancellation"], json!({ "by": by, "reason": "It is the wrong colour." }));
        assert_eq!(
            (&view["history"][1]["event"], &view["history"][1]["by"]),
            (&json!("cancel_requested"), &json!(by))
        );
        assert_eq!(fixture.read(&order, USER, None).await.body(), cancelled.body());

        // A repeated cancellation by another person or with another reason keeps the first one.
        for again in [USER, ADMIN] {
            let again =
                fixture.step(again, "cancel", &order, &json!({ "reason": "Too late." })).await;
            assert_eq!(
                (again.status(), again.operations(), again.body()),
                (202, vec!["GetItem"], cancelled.body())
            );
        }
        fixture.send_event(&order, "stock_released.v1", &json!({ "version": 1 })).await;
        let over = fixture.step(who, "cancel", &order, &Value::Null).await;
        assert_eq!(
            (over.status(), over.operations(), &over.json()["status"]),
            (202, vec!["GetItem"], &json!("cancelled"))
        );
    }
}

#[tokio::test]
async fn cancellation_needs_no_body() {
    let fixture = OrdersFixture::new().await;
    for (number, body) in
        ["", " \n", "null", "{}", r#"{"reason":null}"#, r#"{"reason":""}"#].into_iter().enumerate()
    {
        let order = fixture.stored(&format!("wordless-{number}"), &two_spoons()).await;
        let request = events::http("POST", "/").caller(USER).path_parameter("order_id", &order);
        let request = if body.trim().is_empty() {
            request.body(body)
        } else {
            request.header("content-type", "application/json").body(body)
        };
        let cancelled = fixture.call("cancel-order", request.event()).await;
        assert_eq!(
            (cancelled.status(), &cancelled.json()["cancellation"]["reason"]),
            (202, &Value::Null),
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn cancelled_order_sends_compensating_commands() {
    const RESERVED: (&str, i64) = ("stock_reserved.v1", 0);
    const STARTED: (&str, i64) = ("payment_started.v1", 0);
    const PAID: (&str, i64) = ("payment_succeeded.v1", 5998);
    let (release, close, refund) = ("release_stock.v1", "cancel_payment.v1", "refund_payment.v1");
    for (before, money) in [
        (&[][..], close),
        (&[RESERVED], close),
        (&[RESERVED, ("payment_declined.v1", 0)], close),
        (&[RESERVED, STARTED], close),
        (&[RESERVED, STARTED, ("payment_unknown.v1", 0)], close),
        (&[PAID], refund),
        (&[RESERVED, PAID], refund),
        (&[RESERVED, STARTED, PAID, ("stock_committed.v1", 0)], refund),
    ] {
        let fixture = OrdersFixture::new().await;
        let mut stream = fixture.stream();
        let order = fixture.placed("k").await;
        for (number, (kind, captured)) in before.iter().enumerate() {
            let more =
                json!({ "version": number + 1, "payment_id": "pay_1", "captured_total": captured });
            assert!(fixture.send_event(&order, kind, &more).await.is_done());
        }
        assert_eq!(
            fixture.step(USER, "cancel", &order, &Value::Null).await.status(),
            202,
            "{before:?}"
        );
        stream.publish().await;
        let queues = ["cancel-payment", "refund-payment", "release-stock"];
        let asked: Vec<_> =
            queues.into_iter().flat_map(|queue| fixture.aws.queues().take(queue, 100)).collect();
        assert_eq!(
            asked.iter().map(|message| message.json()["type"].clone()).collect::<Vec<_>>(),
            [money, release],
            "{before:?}"
        );
    }
}

#[tokio::test]
async fn admin_ships_with_carrier_and_tracking_then_delivers() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.ready("k").await;
    assert_eq!(fixture.step(ADMIN, "ship", &order, &Value::Null).await.calls.len(), 0);

    let shipped = fixture.step(ADMIN, "ship", &order, &parcel()).await;
    assert_eq!((shipped.status(), shipped.operations()), (200, vec!["GetItem", "PutItem"]));
    assert_eq!(
        (&shipped.json()["status"], &shipped.json()["shipment"]),
        (&json!("shipped"), &parcel())
    );
    let again = fixture.step(ADMIN, "ship", &order, &parcel()).await;
    assert_eq!(
        (again.status(), again.operations(), again.body()),
        (200, vec!["GetItem"], shipped.body())
    );
    let other = fixture
        .step(ADMIN, "ship", &order, &json!({ "carrier": "Royal Mail", "tracking": "2" }))
        .await;
    assert_eq!(
        refusal(&other),
        (409, "invalid_transition".to_owned(), json!("shipped"), json!(["deliver"]))
    );

    let delivered = fixture.step(ADMIN, "deliver", &order, &Value::Null).await;
    assert_eq!((delivered.status(), delivered.operations()), (200, vec!["GetItem", "PutItem"]));
    let again = fixture.step(ADMIN, "deliver", &order, &Value::Null).await;
    assert_eq!(
        (again.status(), again.operations(), again.body()),
        (200, vec!["GetItem"], delivered.body())
    );
    assert_eq!(last_events(&fixture, &order, 2).await, ["shipped", "delivered"]);
    assert_eq!(fixture.read(&order, USER, None).await.body(), delivered.body());
}

#[tokio::test]
async fn action_applies_once_under_any_fault() {
    for (step, answered, body) in
        [("cancel", 202, Value::Null), ("ship", 200, parcel()), ("deliver", 200, Value::Null)]
    {
        for_each_fault(0..CALLS, async |InjectedFault { call, fault }| {
            for retries in [false, true] {
                let fixture = if retries {
                    OrdersFixture::with_retries().await
                } else {
                    OrdersFixture::new().await
                };
                let order = fixture.ready("k").await;
                if step == "deliver" {
                    fixture.step(ADMIN, "ship", &order, &parcel()).await;
                }
                let before = fixture.order(&order).await;
                fixture.aws.fail(call, fault);
                let first = fixture.step(ADMIN, step, &order, &body).await;
                let fails = call == 1 || call == 0 && fault != Fault::Conflict;
                // The SDK does not retry transaction conflicts.
                let is_retried = retries && fault != Fault::Conflict;
                let expected = if fails && !is_retried { 503 } else { answered };
                assert_eq!(first.status(), expected, "{step}: {fault:?} at {call}");
                fixture.aws.heal();
                assert_eq!(
                    fixture.step(ADMIN, step, &order, &body).await.status(),
                    answered,
                    "{step}: {fault:?} at {call}"
                );
                let after = fixture.order(&order).await;
                assert_eq!(after.version, before.version + 1, "{step}: {fault:?} at {call}");
                let lines = if step == "cancel" { 2 } else { 1 };
                assert_eq!(
                    after.progress.history.len(),
                    before.progress.history.len() + lines,
                    "{step}: {fault:?} at {call}"
                );
            }
        })
        .await;
    }
}

#[tokio::test]
async fn concurrent_conflicting_actions_reject_one() {
    let (mut sent, mut cancelled, mut races) = (0, 0, 0);
    for seed in 0..20 {
        let fixture = OrdersFixture::crowded(seed).await;
        let order = fixture.ready("k").await;
        let cancel = ("cancel-order", action_request(USER, "cancel", &order, &Value::Null));
        let ship = ("ship-order", action_request(ADMIN, "ship", &order, &parcel()));
        let (one, other) = if seed % 2 == 0 { (cancel, ship) } else { (ship, cancel) };
        let called = fixture.call_both(one, other).await;
        let statuses: Vec<_> = statuses(called.ok().as_array().unwrap()).into_keys().collect();
        let landed = fixture.order(&order).await;
        match landed.progress.goal {
            Goal::Fulfil => {
                assert_eq!(
                    (statuses, &landed.progress.status, landed.progress.shipment.is_some()),
                    (vec![200, 409], &Status::Shipped, true)
                );
                sent += 1;
            }
            _ => {
                assert_eq!(
                    (statuses, &landed.progress.status, landed.progress.shipment),
                    (vec![202, 409], &Status::Confirmed, None)
                );
                cancelled += 1;
            }
        }
        assert_eq!(landed.version, 5, "seed {seed}");
        races +=
            called.operations().iter().filter(|operation| **operation == "PutItem").count() - 1;
    }
    assert!(
        sent > 0 && cancelled > 0 && races > 0,
        "{sent} sent, {cancelled} cancelled, {races} races"
    );
}

#[tokio::test]
async fn order_cancelled_during_payment_is_refunded() {
    let mut races = 0;
    for seed in 0..20 {
        let fixture = OrdersFixture::crowded(seed).await;
        let order = fixture.placed("k").await;
        fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
        let paid = event_message(
            &order,
            "payment_succeeded.v1",
            &json!({ "version": 2, "payment_id": "pay_1", "captured_total": 5998 }),
        );
        let cancel = ("cancel-order", action_request(USER, "cancel", &order, &Value::Null));
        let called = fixture.call_both(("advance-order", paid), cancel).await;
        assert_eq!(called.ok()[1]["statusCode"], 202, "seed {seed}");
        races +=
            called.operations().iter().filter(|operation| **operation == "PutItem").count() - 2;
        let landed = fixture.order(&order).await;
        assert_eq!(
            (&landed.progress.goal, &landed.progress.stock),
            (&Goal::Cancel, &StockState::Releasing),
            "seed {seed}"
        );
        assert_eq!(
            (&landed.progress.payment, landed.progress.captured_total),
            (&PaymentState::Refunding, 5998),
            "seed {seed}"
        );
    }
    assert!(races > 0, "no seed lets both read before one of them writes: the test is vacuous");
}

#[tokio::test]
async fn buyers_are_notified_of_every_outcome() {
    let fixture = OrdersFixture::new().await;
    let mut stream = fixture.stream();
    let mails = async |stream: &mut Harness| {
        stream.publish().await;
        let sent = fixture.aws.queues().take("send-notification", 100);
        let mut mails: Vec<Value> =
            sent.iter().map(|message| message.json()["data"].clone()).collect();
        mails.sort_by_key(|mail| mail["template"].to_string());
        mails
            .into_iter()
            .map(|mail| (mail["template"].as_str().unwrap().to_owned(), mail["data"].clone()))
            .collect::<Vec<_>>()
    };
    let templates =
        |mails: &[(String, Value)]| mails.iter().map(|mail| mail.0.clone()).collect::<Vec<_>>();
    let money = |version: u64, refunded: i64| json!({ "version": version, "payment_id": "pay_1", "captured_total": 5998, "refunded_total": refunded });

    let order = fixture.stored("arrives", &addressed()).await;
    fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    assert_eq!(templates(&mails(&mut stream).await), [""; 0]);
    let declined =
        json!({ "version": 2, "payment_id": "pay_0", "failure_reason": "card_declined" });
    for _ in 0..2 {
        fixture.send_event(&order, "payment_declined.v1", &declined).await;
    }
    let sent_mails = mails(&mut stream).await;
    assert_eq!(
        (templates(&sent_mails), &sent_mails[0].1["reason"]),
        (vec!["payment_declined".to_owned()], &json!("card_declined"))
    );
    fixture.send_event(&order, "payment_succeeded.v1", &money(3, 0)).await;
    assert_eq!(templates(&mails(&mut stream).await), ["order_confirmed"]);
    fixture.send_event(&order, "stock_committed.v1", &json!({ "version": 2 })).await;
    fixture.step(ADMIN, "ship", &order, &parcel()).await;
    fixture.step(ADMIN, "ship", &order, &parcel()).await;
    let sent_mails = mails(&mut stream).await;
    assert_eq!(templates(&sent_mails), ["order_shipped"]);
    assert_eq!(
        (&sent_mails[0].1["carrier"], &sent_mails[0].1["tracking"]),
        (&json!("Royal Mail"), &json!("RM 1234 5678 9GB"))
    );
    fixture.send_event(&order, "payment_succeeded.v1", &money(4, 1000)).await;
    fixture.send_event(&order, "payment_succeeded.v1", &money(4, 1000)).await;
    let sent_mails = mails(&mut stream).await;
    assert_eq!(
        (templates(&sent_mails), &sent_mails[0].1["refunded"]["amount"]),
        (vec!["order_refunded".to_owned()], &json!(1000))
    );
    fixture.step(ADMIN, "deliver", &order, &Value::Null).await;
    assert_eq!(templates(&mails(&mut stream).await), ["order_delivered"]);

    let order = fixture.ready("given-up").await;
    assert_eq!(templates(&mails(&mut stream).await), ["order_confirmed"]);
    fixture.step(USER, "cancel", &order, &Value::Null).await;
    fixture.send_event(&order, "stock_released.v1", &json!({ "version": 3 })).await;
    assert_eq!(templates(&mails(&mut stream).await), [""; 0], "not before the order has settled");
    fixture.send_event(&order, "payment_refunded.v1", &money(4, 5998)).await;
    let sent_mails = mails(&mut stream).await;
    assert_eq!(templates(&sent_mails), ["order_cancelled", "order_refunded"]);
    assert_eq!(
        (&sent_mails[0].1["reason"], &sent_mails[1].1["refunded"]["amount"]),
        (&json!("cancelled"), &json!(5998))
    );

    let order = fixture.stored("fails", &addressed()).await;
    fixture
        .send_event(&order, "stock_rejected.v1", &json!({ "version": 1, "product_id": SPOON }))
        .await;
    let sent_mails = mails(&mut stream).await;
    assert_eq!(
        (templates(&sent_mails), &sent_mails[0].1["reason"]),
        (vec!["order_failed".to_owned()], &json!("out_of_stock"))
    );
    assert_eq!(sent_mails[0].1["unavailable"], "Oak spoon");
    assert_eq!(fixture.aws.queues().waiting("publish-order-dead-letter").len(), 0);
}

#[tokio::test]
async fn history_records_every_services_events() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.stored("k", &addressed()).await;
    let pay = |payment: &str, version: u64, captured: i64, refunded: i64, reason: Value| {
        json!({
            "version": version, "payment_id": payment, "captured_total": captured, "refunded_total": refunded, "failure_reason": reason,
        })
    };
    for (kind, more) in [
        ("stock_reserved.v1", json!({ "version": 1 })),
        ("payment_started.v1", pay("pay_0", 2, 0, 0, Value::Null)),
        ("payment_declined.v1", pay("pay_0", 3, 0, 0, json!("insufficient_funds"))),
        ("payment_started.v1", pay("pay_1", 4, 0, 0, Value::Null)),
        ("payment_succeeded.v1", pay("pay_1", 5, 5998, 0, Value::Null)),
        ("stock_committed.v1", json!({ "version": 2 })),
        (
            "payment_disputed.v1",
            json!({ "version": 6, "payment_id": "pay_1", "captured_total": 5998, "dispute": "open" }),
        ),
    ] {
        fixture.clock.advance(Duration::from_secs(1));
        assert!(fixture.send_event(&order, kind, &more).await.is_done(), "{kind}");
    }
    fixture.clock.advance(Duration::from_secs(1));
    fixture.step(ADMIN, "cancel", &order, &json!({ "reason": "The bank wants it back." })).await;
    let view = fixture.read(&order, USER, None).await.json();
    let usd = |amount: i64| json!({ "amount": amount, "currency": "USD" });
    let at = |seconds: u32| format!("2026-11-21T10:00:0{seconds}.000Z");
    assert_eq!(
        view["history"],
        json!([
            { "at": at(0), "event": "placed", "status": "pending" },
            { "at": at(1), "event": "stock_reserved", "status": "pending" },
            { "at": at(2), "event": "payment_started", "status": "pending", "payment_id": "pay_0" },
            { "at": at(3), "event": "payment_declined", "status": "pending", "payment_id": "pay_0", "detail": "insufficient_funds" },
            { "at": at(4), "event": "payment_started", "status": "pending", "payment_id": "pay_1" },
            { "at": at(5), "event": "payment_succeeded", "status": "confirmed", "payment_id": "pay_1", "amount": usd(5998) },
            { "at": at(5), "event": "confirmed", "status": "confirmed" },
            { "at": at(6), "event": "stock_committed", "status": "confirmed" },
            { "at": at(7), "event": "payment_disputed", "status": "confirmed", "payment_id": "pay_1" },
            { "at": at(8), "event": "cancel_requested", "status": "confirmed", "by": "admin" },
            { "at": at(8), "event": "refund_started", "status": "confirmed", "payment_id": "pay_1", "amount": usd(5998) },
        ])
    );
    assert_eq!(
        (&view["needs_review"], &view["payment_id"]),
        (&json!("payment_disputed"), &json!("pay_1"))
    );
}
