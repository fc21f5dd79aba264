//! Queue `refund-payment`: a payment is refunded once, and never above the captured amount.

use std::time::Duration;

use tests::faults::FAULTS;

use super::{CALLS, LATER_FAULTS, PRICE, PaymentsFixture, USUAL_CALLS};

#[tokio::test]
async fn interrupted_refund_refunds_exactly_once() {
    for calls in 0..CALLS {
        let fixture = PaymentsFixture::new();
        assert!(fixture.charge("tok_ok", 0).await);
        fixture.crash_after(calls);
        fixture.refund(1).await;
        fixture.aws.heal();
        for attempt in 2..5 {
            fixture.clock.advance(Duration::from_secs(65));
            fixture.refund(attempt).await;
            fixture.reconcile_after(1).await;
        }
        let intent = fixture.intent().await;
        assert_eq!(
            (
                intent.refunded_total,
                intent.refundable,
                fixture.provider_totals(),
                fixture.unsettled()
            ),
            (PRICE, 0, (1, PRICE), 0),
            "crashed after {calls}"
        );
    }
}

#[tokio::test]
async fn refund_command_survives_each_pair_of_faults() {
    for first in 0..USUAL_CALLS {
        for second in first + 1..=USUAL_CALLS {
            for (fault, other) in FAULTS
                .iter()
                .flat_map(|fault| LATER_FAULTS.iter().map(move |other| (*fault, *other)))
            {
                let fixture = PaymentsFixture::new();
                assert!(fixture.charge("tok_ok", 0).await);
                fixture.aws.fail(first, fault);
                fixture.aws.fail(second, other);
                fixture.refund(1).await;
                fixture.aws.heal();
                for attempt in 2..5 {
                    fixture.clock.advance(Duration::from_secs(65));
                    fixture.refund(attempt).await;
                    fixture.reconcile_after(1).await;
                }
                assert_eq!(
                    (
                        fixture.intent().await.refunded_total,
                        fixture.provider_totals(),
                        fixture.unsettled()
                    ),
                    (PRICE, (1, PRICE), 0),
                    "{fault:?} at {first}, {other:?} at {second}"
                );
            }
        }
    }
}

#[tokio::test]
async fn failed_refund_is_published_and_the_next_has_another_id() {
    let fixture = PaymentsFixture::new();
    let mut harness = fixture.stream();
    assert!(fixture.charge("tok_ok", 0).await);
    fixture.set_refundable(0);
    fixture.message_types(&mut harness).await;
    assert!(fixture.refund(1).await);
    assert_eq!(fixture.message_types(&mut harness).await.last().unwrap(), "payment_refund_failed");
    let intent = fixture.intent().await;
    assert_eq!((intent.refundable, intent.refunded_total, fixture.unsettled()), (PRICE, 0, 0));

    fixture.set_refundable(PRICE);
    assert!(fixture.refund(2).await);
    assert_eq!(fixture.message_types(&mut harness).await.last().unwrap(), "payment_refunded");
    assert_eq!(fixture.provider_totals(), (1, PRICE));
}
