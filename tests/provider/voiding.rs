//! Charges whose order is cancelled or expires before their outcome is known: those that never
//! arrived are voided, the others are recorded.

use std::time::Duration;

use payments::domain::{AttemptState, IntentState};
use provider::PaymentId;

use crate::{
    charging::{PaymentsFixture, order},
    contract::PRICE,
    double::Loss,
};

const HOUR: u64 = 60;

/// A shop whose charge suffers this loss, and whose order is cancelled.
async fn cancelled_after(loss: Loss) -> PaymentsFixture {
    let fixture = PaymentsFixture::new();
    fixture.double.lose(&[Some(loss)]);
    fixture.charge(0).await;
    fixture.cancel(1).await;
    assert_eq!(fixture.state().await, IntentState::Closing);
    fixture
}

async fn outcome(fixture: &PaymentsFixture) -> (IntentState, AttemptState, usize, usize) {
    (fixture.state().await, fixture.attempt().await.state, fixture.charges(), fixture.unsettled())
}

const NOT_CHARGED: (IntentState, AttemptState, usize, usize) =
    (IntentState::Closed, AttemptState::Abandoned, 0, 0);

#[tokio::test]
async fn charge_arriving_after_its_void_is_not_captured() {
    let fixture = cancelled_after(Loss::Late).await;
    fixture.reconcile_after(2).await;
    assert_eq!(outcome(&fixture).await, NOT_CHARGED);
    fixture.double.deliver_late();
    fixture.reconcile_after(HOUR).await;
    assert_eq!(outcome(&fixture).await, NOT_CHARGED);
}

#[tokio::test]
async fn charge_that_arrives_before_it_is_voided_is_recorded_and_refunded() {
    let fixture = cancelled_after(Loss::Late).await;
    // The search does not find the charge yet, but the key does.
    fixture.double.records().search_lags = true;
    fixture.double.deliver_late();
    fixture.reconcile_after(2).await;
    assert_eq!((fixture.attempt().await.state, fixture.charges()), (AttemptState::Voiding, 1));
    fixture.reconcile_after(1).await;
    assert_eq!(outcome(&fixture).await, (IntentState::Captured, AttemptState::Succeeded, 1, 0));
    fixture.refund(2).await;
    assert_eq!((fixture.double.refunded_total(), fixture.charges()), (PRICE, 1));
}

#[tokio::test]
async fn charge_of_an_expired_order_is_voided_even_without_a_cancel() {
    let fixture = PaymentsFixture::new();
    fixture.double.lose(&[Some(Loss::Request)]);
    fixture.charge(0).await;
    fixture.reconcile_after(31).await;
    assert_eq!(outcome(&fixture).await, NOT_CHARGED);
    assert_eq!(fixture.attempt().await.failure_reason.as_deref(), Some("order_closed"));
}

#[tokio::test]
async fn lost_charge_of_a_payable_order_is_sent_again() {
    let fixture = PaymentsFixture::new();
    fixture.double.lose(&[Some(Loss::Request)]);
    fixture.charge(0).await;
    fixture.reconcile_after(29).await;
    assert_eq!(outcome(&fixture).await, (IntentState::Captured, AttemptState::Succeeded, 1, 0));
}

#[tokio::test]
async fn lost_answers_while_voiding_leave_the_charge_voided_once() {
    // The faults of the search, and of the first and second request that claims the key.
    for losses in [
        [None, Some(Loss::Answer), None],
        [None, Some(Loss::Request), Some(Loss::Answer)],
        [Some(Loss::Answer), None, None],
    ] {
        let fixture = cancelled_after(Loss::Late).await;
        fixture.double.lose(&losses);
        for _ in 0..4 {
            fixture.reconcile_after(5).await;
        }
        fixture.double.deliver_late();
        assert_eq!(outcome(&fixture).await, NOT_CHARGED, "{losses:?}");
    }
}

#[tokio::test]
async fn charge_in_progress_is_queried_again_after_a_minute() {
    let fixture = cancelled_after(Loss::Late).await;
    fixture.double.records().running = Some(PaymentId::automatic(order()).to_string());
    fixture.reconcile_after(2).await;
    let attempt = fixture.attempt().await;
    assert_eq!(
        (attempt.state, attempt.dispatch.next_check_at),
        (AttemptState::Voiding, Some(fixture.clock.now().plus(Duration::from_secs(60))))
    );
    fixture.double.records().running = None;
    fixture.double.deliver_late();
    fixture.reconcile_after(1).await;
    assert_eq!(outcome(&fixture).await, (IntentState::Captured, AttemptState::Succeeded, 1, 0));
}

#[tokio::test]
async fn charge_with_a_stored_server_error_ends_after_two_lists() {
    let fixture = cancelled_after(Loss::ServerError).await;
    for (minutes, state) in [
        (2, AttemptState::Voiding),
        (1, AttemptState::Voiding),
        (1, AttemptState::Voiding),
        (10, AttemptState::Abandoned),
    ] {
        fixture.reconcile_after(minutes).await;
        assert_eq!(fixture.attempt().await.state, state);
    }
    assert_eq!(outcome(&fixture).await, NOT_CHARGED);
    assert_eq!(fixture.attempt().await.failure_reason.as_deref(), Some("never_charged"));
}

#[tokio::test]
async fn charge_with_an_old_key_is_found_in_the_list() {
    for (loss, end) in [
        (Loss::Request, NOT_CHARGED),
        (Loss::Answer, (IntentState::Captured, AttemptState::Succeeded, 1, 0)),
    ] {
        let fixture = cancelled_after(loss).await;
        fixture.double.records().search_lags = true;
        fixture.reconcile_after(23 * HOUR).await;
        assert_eq!(fixture.attempt().await.missing_since.is_some(), loss == Loss::Request);
        fixture.reconcile_after(10).await;
        assert_eq!(outcome(&fixture).await, end, "{loss:?}");
        assert!(fixture.double.records().probes == 0, "{loss:?}");
    }
}

#[tokio::test]
async fn order_that_expires_while_the_breaker_is_open_is_not_charged_afterwards() {
    let fixture = PaymentsFixture::new();
    fixture.double.fall_silent(true);
    for number in 0..5 {
        fixture.charge_for(shared::ids::derive(&["other", &number.to_string()]), 0).await;
    }
    fixture.charge(0).await;
    assert_eq!(
        (fixture.attempt().await.state, fixture.double.records().calls),
        (AttemptState::New, 5),
        "it waits for the provider"
    );
    fixture.clock.advance(Duration::from_secs(31 * 60));
    fixture.double.fall_silent(false);
    for _ in 0..3 {
        fixture.reconcile_after(2).await;
    }
    assert_eq!(outcome(&fixture).await, NOT_CHARGED);
}

#[tokio::test]
async fn rejected_credentials_fail_the_attempt_until_the_key_is_corrected() {
    let fixture = PaymentsFixture::new();
    fixture.double.reject_credentials(true);
    for number in 0..4 {
        fixture.charge(number).await;
        let refused = fixture.pay(&format!("wrong-key-{number}")).await;
        assert_eq!(
            (refused.status(), refused.json()["failure_reason"].as_str()),
            (402, Some("not_sent"))
        );
        assert_eq!(
            (fixture.state().await, fixture.unsettled()),
            (IntentState::Open, 0),
            "no attempt is used up"
        );
    }
    fixture.double.reject_credentials(false);
    assert_eq!(fixture.pay("right-key").await.status(), 201);
    assert_eq!(fixture.state().await, IntentState::Captured);
}

#[tokio::test]
async fn rejected_credentials_leave_an_earlier_charge_unknown() {
    let fixture = PaymentsFixture::new();
    fixture.double.lose(&[Some(Loss::Late)]);
    fixture.charge(0).await;
    fixture.double.reject_credentials(true);
    fixture.reconcile_after(2).await;
    assert_eq!(fixture.attempt().await.state, AttemptState::OutcomeUnknown);
    fixture.double.reject_credentials(false);
    fixture.double.deliver_late();
    fixture.reconcile_after(5).await;
    assert_eq!(outcome(&fixture).await, (IntentState::Captured, AttemptState::Succeeded, 1, 0));
}

#[tokio::test]
async fn rate_limited_provider_is_retried_and_the_breaker_stays_closed() {
    let fixture = PaymentsFixture::new();
    fixture.double.records().overloaded = true;
    for number in 0..8 {
        fixture.charge_for(shared::ids::derive(&["other", &number.to_string()]), 0).await;
    }
    fixture.charge(0).await;
    assert_eq!(
        (fixture.attempt().await.state, fixture.double.records().calls),
        (AttemptState::OutcomeUnknown, 9),
        "each call is made"
    );
    assert!(
        !fixture.payments.store().breaker().await.unwrap().is_some_and(|breaker| breaker.is_open())
    );
    fixture.double.records().overloaded = false;
    fixture.reconcile_after(2).await;
    assert_eq!((fixture.state().await, fixture.charges()), (IntentState::Captured, 1));
}
