//! What people do with an order: they give it up, send it and hand it over, each once, whatever happens to a call and whoever else does
//! something at the same time.

use super::*;

/// The legs of an order, and what it owes by them.
async fn legs(desk: &Desk, order: &str) -> (Goal, StockState, PaymentState) {
    let order = desk.order(order).await;
    (order.progress.goal, order.progress.stock, order.progress.payment)
}

/// What the history says last, however many lines.
async fn told(desk: &Desk, order: &str, lines: usize) -> Vec<String> {
    let history = desk.order(order).await.progress.history;
    history[history.len() - lines..].iter().map(|entry| entry.event.clone()).collect()
}

/// The code, the status that the order has, and the steps that it takes.
fn refusal(called: &Called) -> (u64, String, Value, Value) {
    let problem = called.json();
    (called.status(), called.code(), problem["current"].clone(), problem["allowed"].clone())
}

#[tokio::test]
async fn an_order_is_given_up_by_its_buyer_or_the_shop_and_by_nobody_else() {
    let desk = Desk::new().await;
    for (who, by) in [(USER, "customer"), (ADMIN, "admin")] {
        let order = desk.stored(by, &two_spoons()).await;
        let hidden = desk.step(STRANGER, "cancel", &order, &Value::Null).await;
        assert_eq!((hidden.status(), hidden.code().as_str(), hidden.operations()), (404, "order_not_found", vec!["GetItem"]));
        assert_eq!(hidden.json(), desk.step(STRANGER, "cancel", NOBODYS, &Value::Null).await.json());

        let given_up = desk.step(who, "cancel", &order, &json!({ "reason": "It is the wrong colour." })).await;
        assert_eq!((given_up.status(), given_up.operations()), (202, vec!["GetItem", "UpdateItem", "PutItem"]));
        let view = given_up.json();
        assert_eq!((&view["status"], &view["step"], &view["reason"]), (&json!("pending"), &json!("releasing"), &json!("cancelled")));
        assert_eq!(view["cancellation"], json!({ "by": by, "reason": "It is the wrong colour." }));
        assert_eq!((&view["history"][1]["event"], &view["history"][1]["by"]), (&json!("cancel_requested"), &json!(by)));
        assert_eq!(desk.read(&order, USER, None).await.body(), given_up.body());

        // Again, also by somebody else, and for another reason: the first one counts.
        for again in [USER, ADMIN] {
            let again = desk.step(again, "cancel", &order, &json!({ "reason": "Too late." })).await;
            assert_eq!((again.status(), again.operations(), again.body()), (202, vec!["GetItem"], given_up.body()));
        }
        desk.tell(&order, "stock_released.v1", &json!({ "version": 1 })).await;
        let over = desk.step(who, "cancel", &order, &Value::Null).await;
        assert_eq!((over.status(), over.operations(), &over.json()["status"]), (202, vec!["GetItem"], &json!("cancelled")));
    }
    let anonymous = events::http("POST", &format!("/orders/{NOBODYS}/cancel")).path_parameter("order_id", NOBODYS).event();
    for step in ["cancel", "ship", "deliver"] {
        let answer = desk.call(&format!("{step}-order"), anonymous.clone()).await;
        assert_eq!((answer.status(), answer.calls.len()), (401, 0), "{step}");
        assert_eq!(desk.step(ADMIN, step, "ord_x", &parcel()).await.code(), "order_not_found");
    }
}

#[tokio::test]
async fn a_cancellation_needs_no_words_but_takes_only_those_that_can_be_kept() {
    let desk = Desk::new().await;
    let order = desk.placed("k").await;
    let send = async |body: &str, form: &str| {
        let path = format!("/orders/{order}/cancel");
        let request = events::http("POST", &path).caller(USER).path_parameter("order_id", &order).header("content-type", form).body(body);
        desk.call("cancel-order", request.event()).await
    };
    let json_form = "application/json";
    let long = json!({ "reason": "x".repeat(201) }).to_string();
    for (body, form, status, refused) in [
        ("{", json_form, 400, "malformed_json"),
        ("reason", "text/plain", 415, "unsupported_media_type"),
        (r#"{"why":"?"}"#, json_form, 422, "unknown_field"),
        (r#"{"reason":" "}"#, json_form, 422, "blank"),
        (r#"{"reason":"a\u202eb"}"#, json_form, 422, "invalid_characters"),
        (r#"{"reason":7}"#, json_form, 422, "wrong_type"),
        (&*long, json_form, 422, "too_long"),
        (r#"{"reason":"charge 4242 4242 4242 4242 instead"}"#, json_form, 422, "card_number_refused"),
    ] {
        let answer = send(body, form).await;
        assert_eq!((answer.status(), answer.code().as_str(), answer.calls.len()), (status, refused, 0), "{body}");
    }
    assert_eq!(desk.order(&order).await.version, 1);
    for (number, body) in ["", " \n", "null", "{}", r#"{"reason":null}"#, r#"{"reason":""}"#].into_iter().enumerate() {
        let order = desk.stored(&format!("wordless-{number}"), &two_spoons()).await;
        let request = events::http("POST", "/").caller(USER).path_parameter("order_id", &order);
        let request = if body.trim().is_empty() { request.body(body) } else { request.header("content-type", json_form).body(body) };
        let given_up = desk.call("cancel-order", request.event()).await;
        assert_eq!((given_up.status(), &given_up.json()["cancellation"]["reason"]), (202, &Value::Null), "{body:?}");
    }
}

#[tokio::test]
async fn whatever_an_order_is_at_giving_it_up_undoes_what_was_begun_each_leg_on_its_own() {
    const RESERVED: (&str, i64) = ("stock_reserved.v1", 0);
    const STARTED: (&str, i64) = ("payment_started.v1", 0);
    const PAID: (&str, i64) = ("payment_succeeded.v1", 5998);
    let (release, close, refund) = ("release_stock.v1", "cancel_payment.v1", "refund_payment.v1");
    for (before, payment, commands) in [
        (&[][..], PaymentState::Closed, &[close, release][..]),
        (&[RESERVED], PaymentState::Closing, &[close, release]),
        (&[RESERVED, ("payment_declined.v1", 0)], PaymentState::Closing, &[close, release]),
        (&[RESERVED, STARTED], PaymentState::Closing, &[close, release]),
        (&[RESERVED, STARTED, ("payment_unknown.v1", 0)], PaymentState::Closing, &[close, release]),
        (&[PAID], PaymentState::Refunding, &[refund, release]),
        (&[RESERVED, PAID], PaymentState::Refunding, &[refund, release]),
        (&[RESERVED, STARTED, PAID, ("stock_committed.v1", 0)], PaymentState::Refunding, &[refund, release]),
    ] {
        for stock_first in [true, false] {
            let desk = Desk::new().await;
            let mut stream = desk.stream();
            let order = desk.placed("k").await;
            let more = |version: usize, captured: i64, refunded: i64| json!({ "version": version, "payment_id": "pay_1", "captured_total": captured, "refunded_total": refunded });
            for (number, (kind, captured)) in before.iter().enumerate() {
                assert!(desk.tell(&order, kind, &more(number + 1, *captured, 0)).await.is_done());
            }
            stream.publish().await;
            let sent = |queue: &str| desk.aws.queues().take(queue, 100).iter().map(|message| message.json()).collect::<Vec<_>>();
            for queue in QUEUES {
                sent(queue);
            }
            let given_up = desk.step(USER, "cancel", &order, &Value::Null).await;
            assert_eq!(given_up.status(), 202, "{before:?}");
            assert_eq!(legs(&desk, &order).await, (Goal::Cancel, StockState::Releasing, payment.clone()), "{before:?}");
            let status = desk.order(&order).await.progress.status;
            stream.publish().await;
            let mut asked: Vec<Value> = ["release-stock", "cancel-payment", "refund-payment"].into_iter().flat_map(sent).collect();
            asked.sort_by_key(|message| message["type"].to_string());
            assert_eq!(asked.iter().map(|message| &message["type"]).collect::<Vec<_>>(), commands, "{before:?}");

            let money = if payment == PaymentState::Refunding {
                ("payment_refunded.v1", more(9, 5998, 5998))
            } else {
                ("payment_closed.v1", more(9, 0, 0))
            };
            let stock = ("stock_released.v1", more(9, 0, 0));
            let (first, second) = if stock_first { (stock, money) } else { (money, stock) };
            desk.tell(&order, first.0, &first.1).await;
            let half = desk.order(&order).await;
            if payment != PaymentState::Closed {
                assert_eq!((&half.progress.status, half.schedule.check_at.is_some()), (&status, true), "{before:?}: half of it is done");
            }
            desk.tell(&order, second.0, &second.1).await;
            let end = desk.order(&order).await;
            assert_eq!((&end.progress.status, end.schedule.check_at), (&Status::Cancelled, None), "{before:?}");
            assert_eq!(told(&desk, &order, 1).await, ["cancelled"]);
        }
    }
}

#[tokio::test]
async fn a_refund_that_fails_keeps_the_order_in_sight_and_not_the_stock() {
    let desk = Desk::new().await;
    let order = desk.ready("k").await;
    desk.step(USER, "cancel", &order, &Value::Null).await;
    let failed = json!({ "version": 5, "payment_id": "pay_1", "captured_total": 5998, "failure_reason": "card_closed" });
    desk.tell(&order, "payment_refund_failed.v1", &failed).await;
    desk.tell(&order, "stock_released.v1", &json!({ "version": 5 })).await;
    assert_eq!(legs(&desk, &order).await, (Goal::Cancel, StockState::Released, PaymentState::Refunding));
    let shown = desk.read(&order, ADMIN, None).await.json();
    assert_eq!((&shown["needs_attention"], &shown["status"]), (&json!("refund_failed"), &json!("confirmed")));
    assert_eq!((&shown["payment_status"], &shown["step"]), (&json!("refunding"), &json!("refunding")));
    let line = shown["history"].as_array().unwrap().iter().find(|line| line["event"] == "refund_failed").unwrap();
    assert_eq!((&line["detail"], &line["payment_id"]), (&json!("card_closed"), &json!("pay_1")));
    let events = |view: &Value| view["history"].as_array().unwrap().iter().map(|line| line["event"].clone()).collect::<Vec<_>>();
    assert_eq!(events(&shown)[events(&shown).len() - 4..], ["cancel_requested", "refund_started", "refund_failed", "stock_released"]);
    assert_eq!(ids(&desk.page("attention=true", ADMIN).await), [&*order]);

    desk.tell(&order, "payment_refunded.v1", &json!({ "version": 6, "captured_total": 5998, "refunded_total": 5998 })).await;
    let shown = desk.read(&order, ADMIN, None).await.json();
    assert_eq!((&shown["needs_attention"], &shown["status"]), (&Value::Null, &json!("cancelled")));
    assert_eq!(ids(&desk.page("attention=true", ADMIN).await), [""; 0]);
}

#[tokio::test]
async fn goods_are_sent_by_the_shop_with_a_carrier_and_a_number_and_then_handed_over() {
    let desk = Desk::new().await;
    let order = desk.ready("k").await;
    for step in ["ship", "deliver"] {
        let refused = desk.step(USER, step, &order, &parcel()).await;
        assert_eq!((refused.status(), refused.code().as_str(), refused.calls.len()), (403, "insufficient_permissions", 0), "{step}");
        let unknown = desk.step(ADMIN, step, NOBODYS, &parcel()).await;
        assert_eq!((unknown.status(), unknown.code().as_str()), (404, "order_not_found"), "{step}");
    }
    for odd in [
        json!({ "carrier": "Royal Mail" }),
        json!({ "tracking": "1" }),
        json!({ "carrier": "", "tracking": "1" }),
        json!({ "carrier": "Royal Mail", "tracking": " " }),
        json!({ "carrier": "Royal Mail", "tracking": "x".repeat(101) }),
        json!({ "carrier": "Royal\u{202e}Mail", "tracking": "1" }),
        json!({ "carrier": "Royal Mail", "tracking": 1 }),
        json!({ "carrier": "Royal Mail", "tracking": "1", "weight": 7 }),
    ] {
        let refused = desk.step(ADMIN, "ship", &order, &odd).await;
        assert_eq!((refused.status(), refused.calls.len()), (422, 0), "{odd}");
    }
    assert_eq!(desk.step(ADMIN, "ship", &order, &Value::Null).await.calls.len(), 0);

    let shipped = desk.step(ADMIN, "ship", &order, &parcel()).await;
    assert_eq!((shipped.status(), shipped.operations()), (200, vec!["GetItem", "PutItem"]));
    assert_eq!((&shipped.json()["status"], &shipped.json()["shipment"]), (&json!("shipped"), &parcel()));
    let again = desk.step(ADMIN, "ship", &order, &parcel()).await;
    assert_eq!((again.status(), again.operations(), again.body()), (200, vec!["GetItem"], shipped.body()));
    let other = desk.step(ADMIN, "ship", &order, &json!({ "carrier": "Royal Mail", "tracking": "2" })).await;
    assert_eq!(refusal(&other), (409, "invalid_transition".to_owned(), json!("shipped"), json!(["deliver"])));

    let delivered = desk.step(ADMIN, "deliver", &order, &Value::Null).await;
    assert_eq!((delivered.status(), delivered.operations()), (200, vec!["GetItem", "PutItem"]));
    let again = desk.step(ADMIN, "deliver", &order, &Value::Null).await;
    assert_eq!((again.status(), again.operations(), again.body()), (200, vec!["GetItem"], delivered.body()));
    assert_eq!(told(&desk, &order, 2).await, ["shipped", "delivered"]);
    assert_eq!(desk.read(&order, USER, None).await.body(), delivered.body());
}

#[tokio::test]
async fn an_order_ships_as_soon_as_it_is_confirmed_and_its_commit_is_asked_for_until_it_comes() {
    let desk = Desk::new().await;
    let order = desk.stored("k", &addressed()).await;
    desk.confirm(&order).await;
    let shipped = desk.step(ADMIN, "ship", &order, &parcel()).await;
    assert_eq!((shipped.status(), &shipped.json()["status"]), (200, &json!("shipped")), "{:?}", shipped.answer);
    assert_eq!(legs(&desk, &order).await, (Goal::Fulfil, StockState::Committing, PaymentState::Paid));
    assert_eq!(desk.step(ADMIN, "deliver", &order, &Value::Null).await.status(), 200);

    // The commit was lost: the scheduled check sends it again.
    let mut stream = desk.stream();
    stream.publish().await;
    desk.aws.queues().take("commit-stock", usize::MAX);
    desk.clock.advance(NUDGE);
    assert_eq!(desk.resume().await, (1, 0, 0));
    stream.publish().await;
    let again = desk.aws.queues().take("commit-stock", usize::MAX);
    assert_eq!(again.iter().map(|message| message.json()["data"]["drive"].clone()).collect::<Vec<_>>(), [1]);
    assert!(desk.tell(&order, "stock_committed.v1", &json!({ "version": 2 })).await.is_done());
    let end = desk.order(&order).await;
    assert_eq!((end.progress.status, end.progress.stock, end.schedule.check_at), (Status::Delivered, StockState::Committed, None));
}

#[tokio::test]
async fn a_step_that_an_order_does_not_take_is_refused_with_those_that_it_takes_and_writes_nothing() {
    let desk = Desk::new().await;
    let pending = desk.stored("pending", &addressed()).await;
    let uncommitted = desk.stored("uncommitted", &addressed()).await;
    desk.confirm(&uncommitted).await;
    let ready = desk.ready("ready").await;
    let nowhere = desk.stored("nowhere", &two_spoons()).await;
    desk.settle(&nowhere).await;
    let given_up = desk.ready("given-up").await;
    desk.step(USER, "cancel", &given_up, &Value::Null).await;
    let (shipped, delivered) = (desk.ready("shipped").await, desk.ready("delivered").await);
    for order in [&shipped, &delivered] {
        desk.step(ADMIN, "ship", order, &parcel()).await;
    }
    desk.step(ADMIN, "deliver", &delivered, &Value::Null).await;
    let failed = desk.stored("failed", &addressed()).await;
    desk.tell(&failed, "stock_rejected.v1", &json!({ "version": 1 })).await;
    let refunded = desk.ready("refunded").await;
    desk.tell(&refunded, "payment_refunded.v1", &json!({ "version": 3, "captured_total": 5998, "refunded_total": 5998 })).await;

    let other = json!({ "carrier": "Post", "tracking": "2" });
    let stored = desk.aws.items("orders");
    for (step, order, refused, current, allowed) in [
        ("ship", &pending, "invalid_transition", "pending", &["cancel"][..]),
        ("deliver", &pending, "invalid_transition", "pending", &["cancel"]),
        ("deliver", &uncommitted, "invalid_transition", "confirmed", &["cancel", "ship"]),
        ("deliver", &ready, "invalid_transition", "confirmed", &["cancel", "ship"]),
        ("ship", &nowhere, "no_shipping_address", "confirmed", &["cancel"]),
        ("ship", &given_up, "invalid_transition", "confirmed", &[]),
        ("deliver", &given_up, "invalid_transition", "confirmed", &[]),
        ("cancel", &shipped, "not_cancellable", "shipped", &["deliver"]),
        ("ship", &shipped, "invalid_transition", "shipped", &["deliver"]),
        ("cancel", &delivered, "not_cancellable", "delivered", &[]),
        ("ship", &delivered, "invalid_transition", "delivered", &[]),
        ("cancel", &failed, "not_cancellable", "failed", &[]),
        ("ship", &failed, "invalid_transition", "failed", &[]),
        ("deliver", &failed, "invalid_transition", "failed", &[]),
        ("ship", &refunded, "invalid_transition", "confirmed", &["cancel"]),
    ] {
        let body = if step == "ship" { &other } else { &Value::Null };
        let answer = desk.step(ADMIN, step, order, body).await;
        assert_eq!(refusal(&answer), (409, refused.to_owned(), json!(current), json!(allowed)), "{step} {current}");
        assert_eq!(answer.operations(), ["GetItem"], "{step} {current}");
        if allowed.contains(&"ship") {
            assert_eq!(desk.order(order).await.progress.status, Status::Confirmed);
        }
    }
    assert_eq!(desk.aws.items("orders"), stored);

    desk.set(&pending, "stock", "parcelled").await;
    let odd = desk.step(USER, "cancel", &pending, &Value::Null).await;
    assert_eq!((odd.status(), odd.operations()), (503, vec!["GetItem"]), "what a later release has written is not touched");
}

#[tokio::test]
async fn whatever_happens_to_a_call_a_step_is_taken_once_and_can_be_asked_for_again() {
    for (step, answered, body) in [("cancel", 202, Value::Null), ("ship", 200, parcel()), ("deliver", 200, Value::Null)] {
        whatever_happens(0..CALLS, async |Mishap { call, fault }| {
            for retries in [false, true] {
                let desk = if retries { Desk::with_retries().await } else { Desk::new().await };
                let order = desk.ready("k").await;
                if step == "deliver" {
                    desk.step(ADMIN, "ship", &order, &parcel()).await;
                }
                let before = desk.order(&order).await;
                desk.aws.fail(call, fault);
                let first = desk.step(ADMIN, step, &order, &body).await;
                let spoiled = call == 1 || call == 0 && fault != Fault::Conflict;
                // The SDK takes a conflict between transactions for final.
                let is_retried = retries && fault != Fault::Conflict;
                let expected = if spoiled && !is_retried { 503 } else { answered };
                assert_eq!(first.status(), expected, "{step}: {fault:?} at {call}");
                desk.aws.heal();
                assert_eq!(desk.step(ADMIN, step, &order, &body).await.status(), answered, "{step}: {fault:?} at {call}");
                let after = desk.order(&order).await;
                assert_eq!(after.version, before.version + 1, "{step}: {fault:?} at {call}");
                let lines = if step == "cancel" { 2 } else { 1 };
                assert_eq!(after.progress.history.len(), before.progress.history.len() + lines, "{step}: {fault:?} at {call}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn of_two_people_who_do_different_things_at_the_same_time_one_is_refused() {
    let (mut sent, mut given_up, mut races) = (0, 0, 0);
    for seed in 0..20 {
        let desk = Desk::crowded(seed).await;
        let order = desk.ready("k").await;
        let cancel = ("cancel-order", wish(USER, "cancel", &order, &Value::Null));
        let ship = ("ship-order", wish(ADMIN, "ship", &order, &parcel()));
        let (one, other) = if seed % 2 == 0 { (cancel, ship) } else { (ship, cancel) };
        let called = desk.call_both(one, other).await;
        let statuses: Vec<_> = statuses(called.ok().as_array().unwrap()).into_keys().collect();
        let landed = desk.order(&order).await;
        match landed.progress.goal {
            Goal::Fulfil => {
                assert_eq!(
                    (statuses, &landed.progress.status, landed.progress.shipment.is_some()),
                    (vec![200, 409], &Status::Shipped, true)
                );
                sent += 1;
            }
            _ => {
                assert_eq!((statuses, &landed.progress.status, landed.progress.shipment), (vec![202, 409], &Status::Confirmed, None));
                given_up += 1;
            }
        }
        assert_eq!(landed.version, 5, "seed {seed}");
        races += called.operations().iter().filter(|operation| **operation == "PutItem").count() - 1;
    }
    assert!(sent > 0 && given_up > 0 && races > 0, "{sent} sent, {given_up} given up, {races} races");
}

#[tokio::test]
async fn an_order_that_is_given_up_while_it_is_paid_gives_the_money_back() {
    let mut races = 0;
    for seed in 0..20 {
        let desk = Desk::crowded(seed).await;
        let order = desk.placed("k").await;
        desk.tell(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
        let paid = fact(&order, "payment_succeeded.v1", &json!({ "version": 2, "payment_id": "pay_1", "captured_total": 5998 }));
        let cancel = ("cancel-order", wish(USER, "cancel", &order, &Value::Null));
        let called = desk.call_both(("advance-order", paid), cancel).await;
        assert_eq!(called.ok()[1]["statusCode"], 202, "seed {seed}");
        races += called.operations().iter().filter(|operation| **operation == "PutItem").count() - 2;
        let landed = desk.order(&order).await;
        assert_eq!((&landed.progress.goal, &landed.progress.stock), (&Goal::Cancel, &StockState::Releasing), "seed {seed}");
        assert_eq!((&landed.progress.payment, landed.progress.captured_total), (&PaymentState::Refunding, 5998), "seed {seed}");
    }
    assert!(races > 0, "no seed lets both read before one of them writes: this test shows nothing");
}

#[tokio::test]
async fn buyers_hear_of_everything_that_becomes_of_their_order() {
    let desk = Desk::new().await;
    let mut stream = desk.stream();
    let mails = async |stream: &mut Pump| {
        stream.publish().await;
        let sent = desk.aws.queues().take("send-notification", 100);
        let mut mails: Vec<Value> = sent.iter().map(|message| message.json()["data"].clone()).collect();
        mails.sort_by_key(|mail| mail["template"].to_string());
        mails.into_iter().map(|mail| (mail["template"].as_str().unwrap().to_owned(), mail["data"].clone())).collect::<Vec<_>>()
    };
    let templates = |mails: &[(String, Value)]| mails.iter().map(|mail| mail.0.clone()).collect::<Vec<_>>();
    let money = |version: u64, refunded: i64| json!({ "version": version, "payment_id": "pay_1", "captured_total": 5998, "refunded_total": refunded });

    let order = desk.stored("arrives", &addressed()).await;
    desk.tell(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    assert_eq!(templates(&mails(&mut stream).await), [""; 0]);
    let declined = json!({ "version": 2, "payment_id": "pay_0", "failure_reason": "card_declined" });
    for _ in 0..2 {
        desk.tell(&order, "payment_declined.v1", &declined).await;
    }
    let told = mails(&mut stream).await;
    assert_eq!((templates(&told), &told[0].1["reason"]), (vec!["payment_declined".to_owned()], &json!("card_declined")));
    desk.tell(&order, "payment_succeeded.v1", &money(3, 0)).await;
    assert_eq!(templates(&mails(&mut stream).await), ["order_confirmed"]);
    desk.tell(&order, "stock_committed.v1", &json!({ "version": 2 })).await;
    desk.step(ADMIN, "ship", &order, &parcel()).await;
    desk.step(ADMIN, "ship", &order, &parcel()).await;
    let told = mails(&mut stream).await;
    assert_eq!(templates(&told), ["order_shipped"]);
    assert_eq!((&told[0].1["carrier"], &told[0].1["tracking"]), (&json!("Royal Mail"), &json!("RM 1234 5678 9GB")));
    desk.tell(&order, "payment_succeeded.v1", &money(4, 1000)).await;
    desk.tell(&order, "payment_succeeded.v1", &money(4, 1000)).await;
    let told = mails(&mut stream).await;
    assert_eq!((templates(&told), &told[0].1["refunded"]["amount"]), (vec!["order_refunded".to_owned()], &json!(1000)));
    desk.step(ADMIN, "deliver", &order, &Value::Null).await;
    assert_eq!(templates(&mails(&mut stream).await), ["order_delivered"]);

    let order = desk.ready("given-up").await;
    assert_eq!(templates(&mails(&mut stream).await), ["order_confirmed"]);
    desk.step(USER, "cancel", &order, &Value::Null).await;
    desk.tell(&order, "stock_released.v1", &json!({ "version": 3 })).await;
    assert_eq!(templates(&mails(&mut stream).await), [""; 0], "not before it is over");
    desk.tell(&order, "payment_refunded.v1", &money(4, 5998)).await;
    let told = mails(&mut stream).await;
    assert_eq!(templates(&told), ["order_cancelled", "order_refunded"]);
    assert_eq!((&told[0].1["reason"], &told[1].1["refunded"]["amount"]), (&json!("cancelled"), &json!(5998)));

    let order = desk.stored("fails", &addressed()).await;
    desk.tell(&order, "stock_rejected.v1", &json!({ "version": 1, "product_id": SPOON })).await;
    let told = mails(&mut stream).await;
    assert_eq!((templates(&told), &told[0].1["reason"]), (vec!["order_failed".to_owned()], &json!("out_of_stock")));
    assert_eq!(told[0].1["unavailable"], "Oak spoon");
    assert_eq!(desk.aws.queues().waiting("publish-order-dead-letter").len(), 0);
}

#[tokio::test]
async fn the_history_tells_what_happened_in_every_service_and_why() {
    let desk = Desk::new().await;
    let order = desk.stored("k", &addressed()).await;
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
        ("payment_disputed.v1", json!({ "version": 6, "payment_id": "pay_1", "captured_total": 5998, "dispute": "open" })),
    ] {
        desk.clock.advance(Duration::from_secs(1));
        assert!(desk.tell(&order, kind, &more).await.is_done(), "{kind}");
    }
    desk.clock.advance(Duration::from_secs(1));
    desk.step(ADMIN, "cancel", &order, &json!({ "reason": "The bank wants it back." })).await;
    let view = desk.read(&order, USER, None).await.json();
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
    assert_eq!((&view["needs_attention"], &view["payment_id"]), (&json!("payment_disputed"), &json!("pay_1")));
}
