//! Payments that require a customer action: they wait, expire and are cancelled.

use std::time::Duration;

use payments::domain::{AttemptState, IntentState};
use provider::{ChargeRequest, PaymentProvider};
use serde_json::json;
use tests::faults::{InjectedFault, for_each_fault};

use super::{CALLS, PRICE, PaymentsFixture, automatic};

#[tokio::test]
async fn payment_continues_after_the_customers_action() {
    let fixture = PaymentsFixture::with_open_order().await;
    let mut harness = fixture.stream();
    let first = fixture.pay("key", "tok_3ds").await;
    assert_eq!((first.status(), first.json()["status"].as_str()), (202, Some("requires_action")));
    assert_eq!(first.json()["next_action"]["type"], "redirect");
    assert!(
        first.json()["next_action"]["url"].as_str().is_some_and(|url| url.starts_with("https://"))
    );
    assert_eq!(
        first.operations_on("payments"),
        ["BatchGetItem", "TransactWriteItems", "TransactWriteItems"]
    );
    let message_types = fixture.message_data(&mut harness).await;
    let waits: Vec<_> = message_types[1..]
        .iter()
        .map(|data| data["requires_action"].as_bool().unwrap_or_default())
        .collect();
    assert_eq!(waits, [true], "the buyer's turn: {message_types:?}");
    let again = fixture.pay("key", "tok_3ds").await;
    assert_eq!((again.status(), &again.ok()["body"]), (202, &first.ok()["body"]));
    assert_eq!(fixture.pay("another", "tok_ok").await.json()["code"], "payment_in_progress");
    assert_eq!(fixture.provider_totals(), (0, 0));

    fixture.reconcile_after(61).await;
    let done = fixture.pay("key", "tok_3ds").await;
    assert_eq!((done.status(), &done.json()["next_action"]), (201, &json!(null)));
    assert_eq!(fixture.message_types(&mut harness).await, ["payment_succeeded"]);
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((1, 0), 0));
}

#[tokio::test]
async fn failed_3d_secure_may_be_retried_and_an_abandoned_one_is_cancelled() {
    let fixture = PaymentsFixture::with_open_order().await;
    let mut harness = fixture.stream();
    assert_eq!(fixture.pay("failing", "tok_3ds_declined").await.status(), 202);
    fixture.reconcile_after(61).await;
    assert_eq!(
        fixture.pay("failing", "tok_3ds_declined").await.json()["failure_reason"],
        "authentication_failed"
    );
    assert_eq!(
        fixture.message_types(&mut harness).await,
        ["payment_opened", "payment_started", "payment_declined"]
    );

    assert_eq!(fixture.pay("idle", "tok_3ds_abandoned").await.status(), 202);
    for _ in 0..9 {
        fixture.reconcile_after(60).await;
        assert_eq!(fixture.intent().await.state, IntentState::Processing);
    }
    fixture.reconcile_after(61).await;
    assert_eq!(fixture.intent().await.state, IntentState::Open);
    assert_eq!(
        fixture.pay("idle", "tok_3ds_abandoned").await.json()["failure_reason"],
        "action_not_taken"
    );
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((0, 0), 0));
    assert_eq!(fixture.pay("third", "tok_ok").await.status(), 201);
}

#[tokio::test]
async fn cancelled_order_voids_its_payment_before_acknowledgement() {
    for token in ["tok_3ds", "tok_3ds_declined", "tok_3ds_abandoned"] {
        let fixture = PaymentsFixture::new();
        let mut harness = fixture.stream();
        assert!(fixture.charge(token, 0).await);
        assert_eq!(fixture.attempt_state().await, AttemptState::RequiresAction);
        assert!(fixture.cancel(1).await);
        assert_eq!(
            (fixture.attempt_state().await, fixture.intent().await.state),
            (AttemptState::Abandoned, IntentState::Closed),
            "{token}"
        );
        assert_eq!(fixture.message_types(&mut harness).await.last().unwrap(), "payment_closed");
        // The customer's later action charges nothing.
        fixture.reconcile_after(3600).await;
        assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((0, 0), 0), "{token}");
    }
    let fixture = PaymentsFixture::with_open_order().await;
    fixture.pay("key", "tok_3ds").await;
    assert!(fixture.cancel(1).await);
    assert_eq!(fixture.pay("key", "tok_3ds").await.json()["code"], "order_closed");
}

#[tokio::test]
async fn cancellation_survives_any_fault() {
    for_each_fault(0..CALLS, async |InjectedFault { call, fault }| {
        let fixture = PaymentsFixture::new();
        assert!(fixture.charge("tok_3ds_abandoned", 0).await);
        fixture.aws.fail(call, fault);
        fixture.cancel(1).await;
        fixture.aws.heal();
        for attempt in 2..6 {
            fixture.clock.advance(Duration::from_secs(65));
            fixture.cancel(attempt).await;
            fixture.reconcile_after(1).await;
        }
        assert_eq!(
            (fixture.intent().await.state, fixture.provider_totals(), fixture.unsettled()),
            (IntentState::Closed, (0, 0), 0),
            "{fault:?} at {call}"
        );
    })
    .await;
}

#[tokio::test]
async fn capture_before_a_cancel_is_refunded() {
    let fixture = PaymentsFixture::new();
    let mut harness = fixture.stream();
    assert!(fixture.charge("tok_3ds", 0).await);
    // The customer has acted and the provider knows it, but payments does not yet.
    let stale = fixture.payments.store().attempt(automatic()).await.unwrap().unwrap();
    fixture.provider.retrieve(&ChargeRequest::from(&stale)).await.unwrap();
    assert_eq!(fixture.provider_totals(), (1, 0));
    assert!(fixture.cancel(1).await);
    assert_eq!(fixture.intent().await.state, IntentState::Captured);
    assert_eq!(
        fixture.message_types(&mut harness).await.last().unwrap(),
        "payment_succeeded",
        "and the order requests the refund"
    );
    assert!(fixture.refund(2).await);
    assert_eq!(fixture.provider_totals(), (1, PRICE));
}
