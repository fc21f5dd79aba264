//! Queue `refund-payment`: a payment is refunded once, and never above the captured amount.

use std::time::Duration;

use tests::faults::FAULTS;

use super::{CALLS, LATER_FAULTS, PRICE, PaymentsFixture, USUAL_CALLS};

#[tokio::test]
async fn a_refund_that_dies_anywhere_refunds_once_in_the_end() {
    for calls in 0..CALLS {
        let till = PaymentsFixture::new();
        assert!(till.charge("tok_ok", 0).await);
        till.die_after(calls);
        till.refund(1).await;
        till.aws.heal();
        for attempt in 2..5 {
            till.clock.advance(Duration::from_secs(65));
            till.refund(attempt).await;
            till.reconcile_after(1).await;
        }
        let intent = till.intent().await;
        assert_eq!(
            (intent.refunded_total, intent.refundable, till.books(), till.unsettled()),
            (PRICE, 0, (1, PRICE), 0),
            "died after {calls}"
        );
    }
}

#[tokio::test]
async fn a_refund_survives_each_pair_of_faults() {
    for first in 0..USUAL_CALLS {
        for second in first + 1..=USUAL_CALLS {
            for (fault, other) in FAULTS
                .iter()
                .flat_map(|fault| LATER_FAULTS.iter().map(move |other| (*fault, *other)))
            {
                let till = PaymentsFixture::new();
                assert!(till.charge("tok_ok", 0).await);
                till.aws.fail(first, fault);
                till.aws.fail(second, other);
                till.refund(1).await;
                till.aws.heal();
                for attempt in 2..5 {
                    till.clock.advance(Duration::from_secs(65));
                    till.refund(attempt).await;
                    till.reconcile_after(1).await;
                }
                assert_eq!(
                    (till.intent().await.refunded_total, till.books(), till.unsettled()),
                    (PRICE, (1, PRICE), 0),
                    "{fault:?} at {first}, {other:?} at {second}"
                );
            }
        }
    }
}

#[tokio::test]
async fn failed_refund_is_published_and_the_next_has_another_id() {
    let till = PaymentsFixture::new();
    let mut harness = till.stream();
    assert!(till.charge("tok_ok", 0).await);
    till.may_give_back(0);
    till.told(&mut harness).await;
    assert!(till.refund(1).await);
    assert_eq!(till.told(&mut harness).await.last().unwrap(), "payment_refund_failed");
    let intent = till.intent().await;
    assert_eq!((intent.refundable, intent.refunded_total, till.unsettled()), (PRICE, 0, 0));

    till.may_give_back(PRICE);
    assert!(till.refund(2).await);
    assert_eq!(till.told(&mut harness).await.last().unwrap(), "payment_refunded");
    assert_eq!(till.books(), (1, PRICE));
}
