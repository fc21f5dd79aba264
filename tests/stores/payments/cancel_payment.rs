//! Queue `cancel-payment`: once the payment lock is closed nothing is charged, and captures are
//! refunded.

use std::time::Duration;

use payments::domain::{AttemptState, IntentState};

use super::{PRICE, PaymentsFixture};

#[tokio::test]
async fn payment_lock_stops_unsent_and_late_charges() {
    let till = PaymentsFixture::new();
    assert!(till.cancel(0).await);
    assert_eq!(till.intent().await.state, IntentState::Closed, "a tombstone");
    assert!(till.charge("tok_ok", 1).await && till.open(2).await);
    assert_eq!(till.books(), (0, 0));

    let till = PaymentsFixture::new();
    till.die_after(2);
    till.charge("tok_ok", 0).await;
    till.aws.heal();
    assert_eq!(till.attempt_state().await, AttemptState::New);
    assert!(till.cancel(0).await);
    assert_eq!(
        (till.intent().await.state, till.attempt_state().await),
        (IntentState::Closed, AttemptState::Abandoned)
    );
    till.clock.advance(Duration::from_secs(60));
    assert!(till.charge("tok_ok", 1).await);
    assert_eq!((till.books(), till.unsettled()), ((0, 0), 0));
}

#[tokio::test]
async fn capture_after_a_cancel_is_refunded() {
    let till = PaymentsFixture::new();
    let mut harness = till.stream();
    assert!(till.charge("tok_timeout_after_charge", 0).await);
    assert_eq!(till.told(&mut harness).await, ["payment_started", "payment_unknown"]);
    assert!(till.cancel(1).await);
    assert_eq!(till.intent().await.state, IntentState::Closing);
    assert_eq!(till.told(&mut harness).await, ["payment_unknown"]);
    till.reconcile_after(61).await;
    assert_eq!(till.told(&mut harness).await, ["payment_succeeded"]);
    assert!(till.cancel(2).await, "the fence on a captured intent answers again");
    assert_eq!(till.told(&mut harness).await, ["payment_succeeded"]);
    assert!(till.refund(3).await);
    assert_eq!(till.told(&mut harness).await.last().unwrap(), "payment_refunded");
    assert!(till.refund(3).await && till.refund(4).await, "again");
    assert_eq!(till.told(&mut harness).await, ["payment_refunded"]);
    assert_eq!((till.books(), till.unsettled()), ((1, PRICE), 0));
    assert!(till.aws.queues().take("publish-payment-dead-letter", 10).is_empty());
}

#[tokio::test]
async fn cancelled_order_whose_charge_never_arrived_is_never_charged() {
    for token in ["tok_timeout_before_charge", "tok_5xx_then_ok"] {
        let till = PaymentsFixture::new();
        let mut harness = till.stream();
        assert!(till.charge(token, 0).await);
        assert!(till.cancel(1).await);
        assert_eq!(
            till.told(&mut harness).await,
            ["payment_started", "payment_unknown", "payment_unknown"]
        );
        till.reconcile_after(61).await;
        assert_eq!(
            till.books(),
            (0, 0),
            "{token}: the order was cancelled before the charge arrived"
        );
        assert_eq!(till.told(&mut harness).await, ["payment_closed"], "{token}");
        assert_eq!((till.attempt_state().await, till.unsettled()), (AttemptState::Abandoned, 0));
        till.reconcile_after(3600).await;
        assert_eq!(till.books(), (0, 0), "{token}");
    }
}

#[tokio::test]
async fn a_declined_attempt_under_a_cancelled_order_closes_it() {
    let till = PaymentsFixture::new();
    let mut harness = till.stream();
    // The function dies after marking the attempt as sent and before calling the provider.
    till.die_after(3);
    till.charge("tok_declined", 0).await;
    till.aws.heal();
    assert_eq!(till.attempt_state().await, AttemptState::Sent);
    assert!(till.cancel(1).await);
    till.reconcile_after(61).await;
    assert_eq!(
        till.told(&mut harness).await,
        ["payment_started", "payment_started", "payment_closed"]
    );
    assert_eq!((till.books(), till.unsettled()), ((0, 0), 0));
}
