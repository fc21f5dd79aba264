//! `POST /payments`: one charge per key, and an accurate answer on every repetition.

use std::time::Duration;

use payments::domain::IntentState;
use serde_json::json;
use tests::{
    aws::{Aws, Fault},
    faults::{InjectedFault, for_each_fault},
};

use super::{CALLS, ORDER, PRICE, PaymentsFixture, USER};

#[tokio::test]
async fn payment_takes_three_round_trips_and_repeats_its_answer() {
    let fixture = PaymentsFixture::with_open_order().await;
    let first = fixture.pay("key", "tok_ok").await;
    assert_eq!(first.status(), 201);
    assert_eq!(
        first.operations_on("payments"),
        ["BatchGetItem", "TransactWriteItems", "TransactWriteItems"]
    );
    assert_eq!(first.json()["status"], "completed");
    assert_eq!(first.json()["amount"], json!({ "amount": PRICE, "currency": "USD" }));
    assert_eq!(
        first.header("location"),
        Some(format!("payments/{}", first.json()["id"].as_str().unwrap()))
    );

    // Later events change the payment, not the stored answer.
    fixture.clock.advance(Duration::from_secs(100_000));
    assert!(fixture.refund(1).await);
    let again = fixture.pay("key", "tok_ok").await;
    assert_eq!(again.ok()["body"], first.ok()["body"]);
    assert_eq!(
        (again.status(), again.header("idempotent-replayed").as_deref()),
        (201, Some("true"))
    );
    assert_eq!(fixture.pay("key", "tok_declined").await.json()["code"], "idempotency_key_reused");
    let other = json!({ "order_id": "ord_0199c2a8-0000-7000-8000-0000000000f2", "payment_method": { "type": "card", "token": "tok_ok" } });
    assert_eq!(fixture.post("key", &other).await.json()["code"], "idempotency_key_reused");
    assert_eq!(fixture.pay("another", "tok_ok").await.json()["code"], "already_paid");
    assert_eq!(fixture.provider_totals(), (1, PRICE));
}

/// Payments knows a free order only if it was cancelled before its stock was reserved.
#[tokio::test]
async fn payment_of_a_free_order_is_rejected_like_an_unknown_order() {
    let fixture = PaymentsFixture::new();
    let unknown = fixture.pay("key", "tok_ok").await;
    assert_eq!((unknown.status(), unknown.code().as_str()), (404, "order_not_found"));
    let data = json!({ "order_id": ORDER, "user_id": USER, "amount": { "amount": 0, "currency": "USD" }, "attempt": 0 });
    assert!(fixture.command("cancel-payment", &data).await);
    assert_eq!(fixture.intent().await.state, IntentState::Closed);
    let closed = fixture.pay("key", "tok_ok").await;
    assert_eq!((closed.status(), closed.code()), (unknown.status(), unknown.code()));
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((0, 0), 0));
}

#[tokio::test]
async fn decline_repeats_its_402_and_the_last_decline_closes_the_order() {
    let fixture = PaymentsFixture::with_open_order().await;
    for (number, (token, reason)) in [
        ("tok_declined", "card_declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("nonsense", "invalid_payment_method"),
    ]
    .iter()
    .enumerate()
    {
        let key = format!("key-{number}");
        let first = fixture.pay(&key, token).await;
        assert_eq!((first.status(), first.json()["failure_reason"].as_str()), (402, Some(*reason)));
        let again = fixture.pay(&key, token).await;
        assert_eq!((again.status(), &again.ok()["body"]), (402, &first.ok()["body"]));
        assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    }
    assert_eq!(fixture.intent().await.state, IntentState::Closed);
    assert_eq!(fixture.pay("key-4", "tok_ok").await.json()["code"], "order_closed");
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((0, 0), 0));
}

#[tokio::test]
async fn unknown_outcome_is_202_and_settled_by_a_query() {
    for token in ["tok_timeout_after_charge", "tok_timeout_before_charge", "tok_5xx_then_ok"] {
        let fixture = PaymentsFixture::with_open_order().await;
        let first = fixture.pay("key", token).await;
        assert_eq!(
            (first.status(), first.json()["status"].as_str()),
            (202, Some("unknown")),
            "{token}"
        );
        assert_eq!(fixture.pay("key", token).await.status(), 202);
        assert_eq!(fixture.pay("another", "tok_ok").await.json()["code"], "payment_in_progress");
        assert_eq!(fixture.reconcile_after(10).await["examined"], 0, "not yet");
        assert_eq!(fixture.reconcile_after(60).await["settled"], 1, "{token}");
        assert_eq!(fixture.pay("key", token).await.status(), 201);
        assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((1, 0), 0), "{token}");
        assert_eq!(fixture.reconcile_after(3600).await["examined"], 0);
    }
}

#[tokio::test]
async fn order_past_its_payment_deadline_is_not_charged() {
    let fixture = PaymentsFixture::with_open_order().await;
    let before = fixture.aws.items("payments");
    fixture.clock.advance(Duration::from_secs(1800));
    assert_eq!(fixture.pay("key", "tok_ok").await.code(), "order_closed");
    assert_eq!((fixture.provider_totals(), fixture.aws.items("payments")), ((0, 0), before));
}

#[tokio::test]
async fn payment_survives_each_fault_and_repetition_is_accurate() {
    for_each_fault(0..CALLS, async |InjectedFault { call, fault }| {
        let fixture = PaymentsFixture::with_open_order().await;
        fixture.aws.fail(call, fault);
        let first = fixture.pay("key", "tok_ok").await;
        assert!(
            [201, 202, 409, 503].contains(&first.status()),
            "{fault:?} at {call}: {:?}",
            first.answer
        );
        fixture.aws.heal();
        fixture.clock.advance(Duration::from_secs(31));
        fixture.pay("key", "tok_ok").await;
        fixture.reconcile_after(60).await;
        assert_eq!(fixture.pay("key", "tok_ok").await.status(), 201, "{fault:?} at {call}");
        assert_eq!(
            (fixture.intent().await.state, fixture.provider_totals(), fixture.unsettled()),
            (IntentState::Captured, (1, 0), 0),
            "{fault:?} at {call}"
        );
    })
    .await;
}

#[tokio::test]
async fn repeated_request_waits_until_a_killed_function_cannot_charge() {
    let fixture = PaymentsFixture::with_open_order().await;
    fixture.crash_after(2);
    assert_eq!(fixture.pay("key", "tok_ok").await.status(), 503);
    fixture.aws.heal();
    assert_eq!(fixture.pay("key", "tok_ok").await.json()["code"], "request_in_progress");
    fixture.clock.advance(Duration::from_secs(12));
    assert_eq!(fixture.pay("key", "tok_ok").await.status(), 202, "it may have charged");
    assert_eq!(fixture.reconcile().await["settled"], 1);
    assert_eq!(fixture.pay("key", "tok_ok").await.status(), 201);
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((1, 0), 0));
}

/// A function killed during the provider call leaves the attempt locked for the maximum duration of
/// that call.
#[tokio::test]
async fn killed_payment_is_settled_after_its_maximum_call_time() {
    for (calls, token) in [(2, "tok_ok"), (3, "tok_ok"), (3, "tok_declined")] {
        let fixture = PaymentsFixture::with_open_order().await;
        fixture.crash_after(calls);
        fixture.pay("killed", token).await;
        fixture.aws.heal();
        assert_eq!(
            fixture.pay("another", "tok_ok").await.json()["code"],
            "payment_in_progress",
            "{calls}"
        );
        assert_eq!(
            fixture.reconcile_after(8).await["examined"],
            0,
            "{calls}: the call may be running"
        );
        assert_eq!(fixture.reconcile_after(4).await["settled"], 1, "{calls} {token}");
        let expected =
            if token == "tok_ok" { (409, json!("already_paid")) } else { (201, json!(null)) };
        let again = fixture.pay("another", "tok_ok").await;
        assert_eq!((again.status(), again.json()["code"].clone()), expected, "{calls} {token}");
        assert_eq!(
            (fixture.provider_totals(), fixture.unsettled()),
            ((1, 0), 0),
            "{calls} {token}"
        );
    }
}

/// A function with less time left than the provider's timeout holds the lock only until its own
/// deadline.
#[tokio::test]
async fn lock_of_an_attempt_ends_with_the_time_limit_of_its_function() {
    let fixture = PaymentsFixture::with_open_order().await;
    fixture.crash_after(2);
    fixture.pay_within(4, "killed", "tok_ok").await;
    fixture.aws.heal();
    assert_eq!(fixture.reconcile_after(2).await["examined"], 0, "the function may be running");
    assert_eq!(fixture.reconcile_after(5).await["settled"], 1);
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((1, 0), 0));
}

#[tokio::test]
async fn sdk_retry_after_a_lost_response_changes_nothing() {
    for call in 0..4 {
        let aws = Aws::new();
        let fixture = PaymentsFixture::over(aws.retrying());
        fixture.open(0).await;
        aws.fail(call, Fault::LoseResponse);
        assert_eq!(
            fixture.pay("key", "tok_ok").await.status(),
            201,
            "the answer to call {call} was lost"
        );
        assert_eq!(
            (fixture.intent().await.state, fixture.provider_totals(), fixture.unsettled()),
            (IntentState::Captured, (1, 0), 0)
        );
    }
}
