//! Queue `charge-payment`: one automatic attempt per order, wherever its function dies.

use std::time::Duration;

use payments::domain::{AttemptState, IntentState};
use tests::faults::FAULTS;

use super::{CALLS, LATER_FAULTS, PaymentsFixture, USUAL_CALLS};

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
            fixture.die_after(calls);
            fixture.charge(token, 0).await;
            assert!(fixture.provider_totals().0 <= 1);
            until_settled(&fixture, token).await;
            assert_eq!(
                (fixture.intent().await.state, fixture.provider_totals(), fixture.unsettled()),
                (IntentState::Captured, (1, 0), 0),
                "{token} died after {calls}"
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
    assert_eq!(fixture.message_types(&mut harness).await, ["payment_started", "payment_succeeded"]);
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
    // The function dies after marking the attempt as sent and before calling the provider. The
    // provider stays unreachable until the idempotency key may have expired.
    fixture.die_after(3);
    fixture.charge("tok_ok", 0).await;
    fixture.aws.heal();
    assert_eq!(fixture.attempt_state().await, AttemptState::Sent);
    let hours = |hours: u64| hours * 3600;
    fixture.reconcile_after(hours(23) + 60).await;
    assert_eq!(
        (fixture.attempt_state().await, fixture.provider_totals().0),
        (AttemptState::Sent, 0),
        "the provider's list is read twice"
    );
    fixture.reconcile_after(599).await;
    assert_eq!(fixture.attempt_state().await, AttemptState::Sent);
    fixture.reconcile_after(1).await;
    assert_eq!(
        (fixture.attempt_state().await, fixture.intent().await.state),
        (AttemptState::Abandoned, IntentState::Closed)
    );
    assert!(fixture.charge("tok_ok", 1).await);
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((0, 0), 0));
}
