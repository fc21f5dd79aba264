//! Published changes of a payment move its metrics once, and faults move those of operators.

use payments::metrics::{PaymentOutcome, RefundOutcome};
use shared::money::Currency;
use tests::provider::Network;

use super::*;

fn dollars() -> Currency {
    Currency::parse("USD").unwrap()
}

#[tokio::test]
async fn capture_and_refund_count_once_with_their_amounts() {
    let fixture = PaymentsFixture::new();
    let (mut harness, capture) = (fixture.stream(), Capture::start());
    assert!(fixture.charge("tok_ok", 0).await && fixture.charge("tok_ok", 1).await);
    harness.publish().await;
    assert_eq!(capture.total_of(&payments::metrics::REVENUE, dollars()), PRICE);
    let captured = PaymentOutcome::Captured;
    assert_eq!(capture.total_of(&payments::metrics::PAYMENT_OUTCOMES, captured), 1);
    assert_eq!(capture.total(&payments::metrics::REFUNDED_AMOUNT.metric), 0);

    assert!(fixture.refund(2).await && fixture.refund(3).await);
    harness.publish().await;
    assert_eq!(capture.total_of(&payments::metrics::REVENUE, dollars()), PRICE);
    assert_eq!(capture.total_of(&payments::metrics::REFUNDED_AMOUNT, dollars()), PRICE);
    assert_eq!(capture.total_of(&payments::metrics::REFUNDS, RefundOutcome::Completed), 1);
}

#[tokio::test]
async fn declined_and_abandoned_attempts_count_by_outcome() {
    let fixture = PaymentsFixture::with_open_order().await;
    let (mut harness, capture) = (fixture.stream(), Capture::start());
    assert_eq!(fixture.pay("key", "tok_declined").await.status(), 402);
    assert_eq!(fixture.pay("key", "tok_declined").await.status(), 402);
    // The function stops before it sends the second attempt.
    fixture.crash_after(2);
    fixture.charge("tok_ok", 1).await;
    fixture.aws.heal();
    assert!(fixture.cancel(2).await);
    fixture.reconcile_after(60).await;
    harness.publish().await;
    let outcomes = |outcome| capture.total_of(&payments::metrics::PAYMENT_OUTCOMES, outcome);
    assert_eq!((outcomes(PaymentOutcome::Declined), outcomes(PaymentOutcome::Abandoned)), (1, 1));
    assert_eq!(capture.total(&payments::metrics::PAYMENT_OUTCOMES.metric), 2);
    assert_eq!(capture.total(&payments::metrics::REVENUE.metric), 0);
}

#[tokio::test]
async fn rejected_refund_counts_as_failed() {
    let fixture = PaymentsFixture::new();
    let (mut harness, capture) = (fixture.stream(), Capture::start());
    assert!(fixture.charge("tok_ok", 0).await);
    fixture.set_refundable(0);
    assert!(fixture.refund(1).await);
    harness.publish().await;
    assert_eq!(capture.total_of(&payments::metrics::REFUNDS, RefundOutcome::Failed), 1);
    assert_eq!(capture.total(&payments::metrics::REFUNDED_AMOUNT.metric), 0);
}

#[tokio::test]
async fn oldest_unsettled_payment_ages_until_it_settles() {
    let fixture = PaymentsFixture::new();
    fixture.stuck(1, "tok_timeout_after_charge").await;
    let capture = Capture::start();
    assert_eq!(fixture.reconcile().await["settled"], 1);
    fixture.reconcile_after(3600).await;
    let oldest = capture.values(&payments::metrics::OLDEST_UNSETTLED_PAYMENT_SECONDS);
    assert_eq!(oldest, [61.0, 0.0]);
}

#[tokio::test]
async fn payment_without_an_outcome_exhausts_its_retries() {
    let fixture = PaymentsFixture::with_open_order().await;
    fixture.provider.set_network(Network::RequestsLost);
    assert!(fixture.charge("tok_ok", 1).await);
    let capture = Capture::start();
    for _ in 0..2 {
        fixture.reconcile_after(3600).await;
    }
    assert_eq!(capture.total(&payments::metrics::RETRIES_EXHAUSTED), 0);
    for _ in 0..6 {
        fixture.reconcile_after(3600).await;
    }
    assert!(capture.total(&payments::metrics::RETRIES_EXHAUSTED) > 0);
}

#[tokio::test]
async fn rejected_credentials_count() {
    let fixture = PaymentsFixture::with_open_order().await;
    fixture.provider.set_network(Network::Unauthorized);
    let capture = Capture::start();
    fixture.charge("tok_ok", 1).await;
    assert!(capture.total(&payments::metrics::PROVIDER_REQUEST_REJECTED) > 0);
}
