//! Queue `charge-payment`: one automatic attempt per order, wherever its function dies.

use std::time::Duration;

use payments::domain::{AttemptState, IntentState};
use tests::faults::FAULTS;

use super::{CALLS, LATER_FAULTS, PaymentsFixture, USUAL_CALLS};

/// Redelivers the command, retries it and runs the schedule until the order settles.
async fn until_settled(till: &PaymentsFixture, token: &str) {
    till.aws.heal();
    for attempt in 1..5 {
        till.clock.advance(Duration::from_secs(70));
        till.charge(token, attempt).await;
        till.reconcile_after(1).await;
    }
}

#[tokio::test]
async fn a_charge_that_dies_anywhere_charges_once_in_the_end() {
    for token in
        ["tok_ok", "tok_timeout_after_charge", "tok_timeout_before_charge", "tok_5xx_then_ok"]
    {
        for calls in 0..CALLS {
            let till = PaymentsFixture::new();
            till.die_after(calls);
            till.charge(token, 0).await;
            assert!(till.books().0 <= 1);
            until_settled(&till, token).await;
            assert_eq!(
                (till.intent().await.state, till.books(), till.unsettled()),
                (IntentState::Captured, (1, 0), 0),
                "{token} died after {calls}"
            );
        }
    }
}

#[tokio::test]
async fn a_charge_survives_each_fault_and_each_pair_of_faults() {
    for token in ["tok_ok", "tok_timeout_before_charge"] {
        for first in 0..USUAL_CALLS {
            for second in first + 1..=USUAL_CALLS {
                for (fault, other) in FAULTS
                    .iter()
                    .flat_map(|fault| LATER_FAULTS.iter().map(move |other| (*fault, *other)))
                {
                    let till = PaymentsFixture::new();
                    till.aws.fail(first, fault);
                    till.aws.fail(second, other);
                    till.charge(token, 0).await;
                    until_settled(&till, token).await;
                    let end = (IntentState::Captured, (1, 0), 0);
                    assert_eq!(
                        (till.intent().await.state, till.books(), till.unsettled()),
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
    let till = PaymentsFixture::new();
    let mut harness = till.stream();
    assert!(till.charge("tok_ok", 0).await);
    assert_eq!(till.told(&mut harness).await, ["payment_started", "payment_succeeded"]);
    for _ in 0..3 {
        assert!(till.charge("tok_ok", 1).await);
    }
    assert_eq!(till.told(&mut harness).await, ["payment_succeeded"]);
    assert!(till.charge("tok_ok", 0).await);
    assert!(till.told(&mut harness).await.is_empty());

    let till = PaymentsFixture::with_open_order().await;
    let mut harness = till.stream();
    assert!(till.open(1).await);
    assert_eq!(
        till.told(&mut harness).await,
        ["payment_opened", "payment_opened"],
        "the order hears that it can be paid"
    );
    assert!(till.cancel(2).await && till.cancel(3).await && till.open(4).await);
    assert_eq!(
        till.told(&mut harness).await,
        ["payment_closed", "payment_closed", "payment_closed"]
    );
}

#[tokio::test]
async fn charge_command_after_the_deadline_charges_nothing() {
    let till = PaymentsFixture::new();
    let mut harness = till.stream();
    till.clock.advance(Duration::from_secs(1800));
    assert!(till.charge("tok_ok", 0).await);
    assert_eq!(till.told(&mut harness).await, ["payment_closed"]);
    assert_eq!(till.books(), (0, 0));
}

#[tokio::test]
async fn a_key_that_the_provider_may_have_forgotten_is_never_sent_again() {
    let till = PaymentsFixture::new();
    // The function dies after marking the attempt as sent and before calling the provider. The
    // provider stays unreachable until the idempotency key may have expired.
    till.die_after(3);
    till.charge("tok_ok", 0).await;
    till.aws.heal();
    assert_eq!(till.attempt_state().await, AttemptState::Sent);
    let hours = |hours: u64| hours * 3600;
    till.reconcile_after(hours(23) + 60).await;
    assert_eq!(
        (till.attempt_state().await, till.books().0),
        (AttemptState::Sent, 0),
        "the provider's list is read twice"
    );
    till.reconcile_after(599).await;
    assert_eq!(till.attempt_state().await, AttemptState::Sent);
    till.reconcile_after(1).await;
    assert_eq!(
        (till.attempt_state().await, till.intent().await.state),
        (AttemptState::Abandoned, IntentState::Closed)
    );
    assert!(till.charge("tok_ok", 1).await);
    assert_eq!((till.books(), till.unsettled()), ((0, 0), 0));
}
