//! Queue `charge-payment`: one automatic attempt per order, wherever its function crashes.

use std::time::Duration;

use payments::domain::{AttemptState, IntentState};
use serde_json::json;
use tests::{events, faults::FAULTS};

use super::{CALLS, LATER_FAULTS, PaymentsFixture, USUAL_CALLS, costs};

/// Redelivers the command, retries it and runs the schedule until the order settles.
async fn until_settled(fixture: &PaymentsFixture, token: &str) {
    fixture.aws.heal();
    for attempt in 1..5 {
        fixture.clock.advance(Duration::from_secs(70));
        fixture.charge(token, attempt).await;
        fixture.reconcile_after(1).await;
    }
}

#[tokio::test]
async fn interrupted_charge_charges_exactly_once() {
    for token in
        ["tok_ok", "tok_timeout_after_charge", "tok_timeout_before_charge", "tok_5xx_then_ok"]
    {
        for calls in 0..CALLS {
            let fixture = PaymentsFixture::new();
            fixture.crash_after(calls);
            fixture.charge(token, 0).await;
            assert!(fixture.provider_totals().0 <= 1);
            until_settled(&fixture, token).await;
            assert_eq!(
                (fixture.intent().await.state, fixture.provider_totals(), fixture.unsettled()),
                (IntentState::Captured, (1, 0), 0),
                "{token} crashed after {calls}"
            );
        }
    }
}

#[tokio::test]
async fn charge_survives_each_fault_and_each_pair_of_faults() {
    for token in ["tok_ok", "tok_timeout_before_charge"] {
        for first in 0..USUAL_CALLS {
            for second in first + 1..=USUAL_CALLS {
                for (fault, other) in FAULTS
                    .iter()
                    .flat_map(|fault| LATER_FAULTS.iter().map(move |other| (*fault, *other)))
                {
                    let fixture = PaymentsFixture::new();
                    fixture.aws.fail(first, fault);
                    fixture.aws.fail(second, other);
                    fixture.charge(token, 0).await;
                    until_settled(&fixture, token).await;
                    let end = (IntentState::Captured, (1, 0), 0);
                    assert_eq!(
                        (
                            fixture.intent().await.state,
                            fixture.provider_totals(),
                            fixture.unsettled()
                        ),
                        end,
                        "{token}: {fault:?} at {first}, {other:?} at {second}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn repeated_command_is_answered_once_per_attempt() {
    let fixture = PaymentsFixture::new();
    let mut harness = fixture.stream();
    assert!(fixture.charge("tok_ok", 0).await);
    assert_eq!(
        fixture.message_types(&mut harness).await,
        ["payment_succeeded"],
        "the outcome follows within seconds of the start, which is not published"
    );
    for _ in 0..3 {
        assert!(fixture.charge("tok_ok", 1).await);
    }
    assert_eq!(fixture.message_types(&mut harness).await, ["payment_succeeded"]);
    assert!(fixture.charge("tok_ok", 0).await);
    assert!(fixture.message_types(&mut harness).await.is_empty());

    let fixture = PaymentsFixture::with_open_order().await;
    let mut harness = fixture.stream();
    assert!(fixture.open(1).await);
    assert_eq!(
        fixture.message_types(&mut harness).await,
        ["payment_opened", "payment_opened"],
        "the order is notified that it can be paid"
    );
    assert!(fixture.cancel(2).await && fixture.cancel(3).await && fixture.open(4).await);
    assert_eq!(
        fixture.message_types(&mut harness).await,
        ["payment_closed", "payment_closed", "payment_closed"]
    );
}

/// The first attempt is in no index, so that a payment without faults writes none.
#[tokio::test]
async fn charge_takes_two_writes_and_an_interrupted_one_is_reconciled() {
    let fixture = PaymentsFixture::new();
    let data = json!({ "type": "card", "token": "tok_ok" });
    let mut command = costs(0);
    command["payment_method"] = data;
    let message = events::message("charge-payment", "charge_payment.v1", &command);
    let called = fixture.call("charge-payment", message).await;
    assert_eq!(
        called.operations_on("payments"),
        ["BatchGetItem", "TransactWriteItems", "TransactWriteItems"]
    );
    for item in fixture.aws.items("payments") {
        assert_eq!((item.get("check_shard"), item.get("next_check_at")), (None, None), "{item}");
    }

    // The function crashes before and after the provider is called.
    for calls in [2, 3] {
        let fixture = PaymentsFixture::new();
        let mut harness = fixture.stream();
        fixture.crash_after(calls);
        fixture.charge("tok_ok", 0).await;
        fixture.aws.heal();
        assert_eq!((fixture.attempt_state().await, fixture.unsettled()), (AttemptState::Sent, 0));
        assert!(fixture.charge("tok_ok", 1).await);
        assert_eq!(
            fixture.message_types(&mut harness).await,
            ["payment_started"],
            "the call may be running"
        );
        fixture.clock.advance(Duration::from_secs(60));
        assert!(fixture.charge("tok_ok", 2).await);
        assert_eq!(fixture.message_types(&mut harness).await, ["payment_unknown"]);
        assert_eq!(fixture.reconcile().await["settled"], 1, "crashed after {calls}");
        assert_eq!(fixture.message_types(&mut harness).await, ["payment_succeeded"]);
        assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((1, 0), 0));
    }
}

#[tokio::test]
async fn charge_command_after_the_deadline_charges_nothing() {
    let fixture = PaymentsFixture::new();
    let mut harness = fixture.stream();
    fixture.clock.advance(Duration::from_secs(1800));
    assert!(fixture.charge("tok_ok", 0).await);
    assert_eq!(fixture.message_types(&mut harness).await, ["payment_closed"]);
    assert_eq!(fixture.provider_totals(), (0, 0));
}

#[tokio::test]
async fn possibly_expired_provider_key_is_never_sent_again() {
    let fixture = PaymentsFixture::new();
    // The function crashes after recording the attempt and before calling the provider. The order's
    // next command arrives when the idempotency key may have expired.
    fixture.crash_after(2);
    fixture.charge("tok_ok", 0).await;
    fixture.aws.heal();
    assert_eq!(fixture.attempt_state().await, AttemptState::Sent);
    fixture.clock.advance(Duration::from_secs(23 * 3600 + 60));
    assert!(fixture.charge("tok_ok", 1).await);
    fixture.reconcile().await;
    assert_eq!(
        (fixture.attempt_state().await, fixture.provider_totals().0),
        (AttemptState::OutcomeUnknown, 0),
        "the provider's list is read twice"
    );
    fixture.reconcile_after(599).await;
    assert_eq!(fixture.attempt_state().await, AttemptState::OutcomeUnknown);
    fixture.reconcile_after(1).await;
    assert_eq!(
        (fixture.attempt_state().await, fixture.intent().await.state),
        (AttemptState::Abandoned, IntentState::Closed)
    );
    assert!(fixture.charge("tok_ok", 2).await);
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((0, 0), 0));
}
