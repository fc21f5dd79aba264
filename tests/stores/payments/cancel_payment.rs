//! Queue `cancel-payment`: once the payment lock is closed nothing is charged, and captures are
//! refunded.

use payments::domain::{AttemptState, IntentState};

use super::{PRICE, PaymentsFixture};

#[tokio::test]
async fn payment_lock_stops_unsent_and_late_charges() {
    let fixture = PaymentsFixture::new();
    assert!(fixture.cancel(0).await);
    assert_eq!(fixture.intent().await.state, IntentState::Closed, "a tombstone");
    assert!(fixture.charge("tok_ok", 1).await && fixture.open(2).await);
    assert_eq!(fixture.provider_totals(), (0, 0));

    let fixture = PaymentsFixture::new();
    fixture.crash_after(2);
    fixture.charge("tok_ok", 0).await;
    fixture.aws.heal();
    assert_eq!((fixture.attempt_state().await, fixture.unsettled()), (AttemptState::Sent, 0));
    assert!(fixture.cancel(0).await);
    assert_eq!(
        (fixture.intent().await.state, fixture.unsettled()),
        (IntentState::Closing, 1),
        "checked when the call has ended"
    );
    fixture.reconcile_after(60).await;
    assert_eq!(
        (fixture.intent().await.state, fixture.attempt_state().await),
        (IntentState::Closed, AttemptState::Abandoned)
    );
    assert!(fixture.charge("tok_ok", 1).await);
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((0, 0), 0));
}

#[tokio::test]
async fn capture_after_a_cancel_is_refunded() {
    let fixture = PaymentsFixture::new();
    let mut harness = fixture.stream();
    assert!(fixture.charge("tok_timeout_after_charge", 0).await);
    assert_eq!(fixture.message_types(&mut harness).await, ["payment_unknown"]);
    assert!(fixture.cancel(1).await);
    assert_eq!(fixture.intent().await.state, IntentState::Closing);
    assert_eq!(fixture.message_types(&mut harness).await, ["payment_unknown"]);
    fixture.reconcile_after(61).await;
    assert_eq!(fixture.message_types(&mut harness).await, ["payment_succeeded"]);
    assert!(
        fixture.cancel(2).await,
        "a repeated cancellation of a captured intent is answered again"
    );
    assert_eq!(fixture.message_types(&mut harness).await, ["payment_succeeded"]);
    assert!(fixture.refund(3).await);
    assert_eq!(fixture.message_types(&mut harness).await.last().unwrap(), "payment_refunded");
    assert!(fixture.refund(3).await && fixture.refund(4).await, "again");
    assert_eq!(fixture.message_types(&mut harness).await, ["payment_refunded"]);
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((1, PRICE), 0));
    assert!(fixture.aws.queues().take("publish-payment-dead-letter", 10).is_empty());
}

#[tokio::test]
async fn cancelled_order_whose_charge_never_arrived_is_never_charged() {
    for token in ["tok_timeout_before_charge", "tok_5xx_then_ok"] {
        let fixture = PaymentsFixture::new();
        let mut harness = fixture.stream();
        assert!(fixture.charge(token, 0).await);
        assert!(fixture.cancel(1).await);
        assert_eq!(
            fixture.message_types(&mut harness).await,
            ["payment_unknown", "payment_unknown"]
        );
        fixture.reconcile_after(61).await;
        assert_eq!(
            fixture.provider_totals(),
            (0, 0),
            "{token}: the order was cancelled before the charge arrived"
        );
        assert_eq!(fixture.message_types(&mut harness).await, ["payment_closed"], "{token}");
        assert_eq!(
            (fixture.attempt_state().await, fixture.unsettled()),
            (AttemptState::Abandoned, 0)
        );
        fixture.reconcile_after(3600).await;
        assert_eq!(fixture.provider_totals(), (0, 0), "{token}");
    }
}

#[tokio::test]
async fn declined_attempt_of_a_cancelled_order_closes_the_payment() {
    let fixture = PaymentsFixture::new();
    let mut harness = fixture.stream();
    // The function crashes after recording the attempt and before calling the provider.
    fixture.crash_after(2);
    fixture.charge("tok_declined", 0).await;
    fixture.aws.heal();
    assert_eq!(fixture.attempt_state().await, AttemptState::Sent);
    assert!(fixture.cancel(1).await);
    fixture.reconcile_after(61).await;
    assert_eq!(fixture.message_types(&mut harness).await, ["payment_started", "payment_closed"]);
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((0, 0), 0));
}
