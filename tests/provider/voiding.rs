//! Charges whose order is cancelled or expires before their outcome is known: those that never
//! arrived are voided, the others are recorded.

use std::time::Duration;

use payments::domain::{AttemptState, IntentState};
use provider::PaymentId;

use crate::{
    contract::PRICE,
    double::Loss,
    till::{PaymentsFixture, order},
};

const HOUR: u64 = 60;

/// A shop whose charge suffers this loss, and whose order is cancelled.
async fn cancelled_after(loss: Loss) -> PaymentsFixture {
    let till = PaymentsFixture::new();
    till.double.lose(&[Some(loss)]);
    till.charge(0).await;
    till.cancel(1).await;
    assert_eq!(till.state().await, IntentState::Closing);
    till
}

async fn ended(till: &PaymentsFixture) -> (IntentState, AttemptState, usize, usize) {
    (till.state().await, till.attempt().await.state, till.charges(), till.unsettled())
}

const NOT_CHARGED: (IntentState, AttemptState, usize, usize) =
    (IntentState::Closed, AttemptState::Abandoned, 0, 0);

#[tokio::test]
async fn charge_arriving_after_its_void_is_not_captured() {
    let till = cancelled_after(Loss::Late).await;
    till.reconcile_after(2).await;
    assert_eq!(ended(&till).await, NOT_CHARGED);
    till.double.deliver_late();
    till.reconcile_after(HOUR).await;
    assert_eq!(ended(&till).await, NOT_CHARGED);
}

#[tokio::test]
async fn charge_that_arrives_before_it_is_voided_is_recorded_and_refunded() {
    let till = cancelled_after(Loss::Late).await;
    // The search does not find the charge yet, but the key does.
    till.double.books().search_lags = true;
    till.double.deliver_late();
    till.reconcile_after(2).await;
    assert_eq!((till.attempt().await.state, till.charges()), (AttemptState::Voiding, 1));
    till.reconcile_after(1).await;
    assert_eq!(ended(&till).await, (IntentState::Captured, AttemptState::Succeeded, 1, 0));
    till.refund(2).await;
    assert_eq!((till.double.given_back(), till.charges()), (PRICE, 1));
}

#[tokio::test]
async fn charge_of_an_expired_order_is_voided_even_without_a_cancel() {
    let till = PaymentsFixture::new();
    till.double.lose(&[Some(Loss::Request)]);
    till.charge(0).await;
    till.reconcile_after(31).await;
    assert_eq!(ended(&till).await, NOT_CHARGED);
    assert_eq!(till.attempt().await.failure_reason.as_deref(), Some("order_closed"));
}

#[tokio::test]
async fn charge_of_an_order_that_is_still_wanted_is_sent_again() {
    let till = PaymentsFixture::new();
    till.double.lose(&[Some(Loss::Request)]);
    till.charge(0).await;
    till.reconcile_after(29).await;
    assert_eq!(ended(&till).await, (IntentState::Captured, AttemptState::Succeeded, 1, 0));
}

#[tokio::test]
async fn lost_answers_while_voiding_leave_the_charge_voided_once() {
    // The faults of the search, and of the first and second request that claims the key.
    for losses in [
        [None, Some(Loss::Answer), None],
        [None, Some(Loss::Request), Some(Loss::Answer)],
        [Some(Loss::Answer), None, None],
    ] {
        let till = cancelled_after(Loss::Late).await;
        till.double.lose(&losses);
        for _ in 0..4 {
            till.reconcile_after(5).await;
        }
        till.double.deliver_late();
        assert_eq!(ended(&till).await, NOT_CHARGED, "{losses:?}");
    }
}

#[tokio::test]
async fn charge_that_is_running_is_asked_about_again_after_a_minute() {
    let till = cancelled_after(Loss::Late).await;
    till.double.books().running = Some(PaymentId::automatic(order()).to_string());
    till.reconcile_after(2).await;
    let attempt = till.attempt().await;
    assert_eq!(
        (attempt.state, attempt.dispatch.next_check_at),
        (AttemptState::Voiding, Some(till.clock.now().plus(Duration::from_secs(60))))
    );
    till.double.books().running = None;
    till.double.deliver_late();
    till.reconcile_after(1).await;
    assert_eq!(ended(&till).await, (IntentState::Captured, AttemptState::Succeeded, 1, 0));
}

#[tokio::test]
async fn charge_with_a_stored_server_error_ends_after_two_lists() {
    let till = cancelled_after(Loss::ServerError).await;
    for (minutes, state) in [
        (2, AttemptState::Voiding),
        (1, AttemptState::Voiding),
        (1, AttemptState::Voiding),
        (10, AttemptState::Abandoned),
    ] {
        till.reconcile_after(minutes).await;
        assert_eq!(till.attempt().await.state, state);
    }
    assert_eq!(ended(&till).await, NOT_CHARGED);
    assert_eq!(till.attempt().await.failure_reason.as_deref(), Some("never_charged"));
}

#[tokio::test]
async fn charge_with_an_old_key_is_found_in_the_list() {
    for (loss, end) in [
        (Loss::Request, NOT_CHARGED),
        (Loss::Answer, (IntentState::Captured, AttemptState::Succeeded, 1, 0)),
    ] {
        let till = cancelled_after(loss).await;
        till.double.books().search_lags = true;
        till.reconcile_after(23 * HOUR).await;
        assert_eq!(till.attempt().await.missing_since.is_some(), loss == Loss::Request);
        till.reconcile_after(10).await;
        assert_eq!(ended(&till).await, end, "{loss:?}");
        assert!(till.double.books().probes == 0, "{loss:?}");
    }
}

#[tokio::test]
async fn order_that_expires_while_the_breaker_is_open_is_not_charged_afterwards() {
    let till = PaymentsFixture::new();
    till.double.fall_silent(true);
    for number in 0..5 {
        till.charge_for(shared::ids::derive(&["other", &number.to_string()]), 0).await;
    }
    till.charge(0).await;
    assert_eq!(
        (till.attempt().await.state, till.double.books().calls),
        (AttemptState::New, 5),
        "it waits for the provider"
    );
    till.clock.advance(Duration::from_secs(31 * 60));
    till.double.fall_silent(false);
    for _ in 0..3 {
        till.reconcile_after(2).await;
    }
    assert_eq!(ended(&till).await, NOT_CHARGED);
}

#[tokio::test]
async fn rejected_credentials_fail_the_attempt_until_the_key_is_corrected() {
    let till = PaymentsFixture::new();
    till.double.reject_credentials(true);
    for number in 0..4 {
        till.charge(number).await;
        let refused = till.pay(&format!("wrong-key-{number}")).await;
        assert_eq!(
            (refused.status(), refused.json()["failure_reason"].as_str()),
            (402, Some("not_sent"))
        );
        assert_eq!(
            (till.state().await, till.unsettled()),
            (IntentState::Open, 0),
            "no try is used up"
        );
    }
    till.double.reject_credentials(false);
    assert_eq!(till.pay("right-key").await.status(), 201);
    assert_eq!(till.state().await, IntentState::Captured);
}

#[tokio::test]
async fn rejected_credentials_say_nothing_of_a_charge_that_was_sent_before() {
    let till = PaymentsFixture::new();
    till.double.lose(&[Some(Loss::Late)]);
    till.charge(0).await;
    till.double.reject_credentials(true);
    till.reconcile_after(2).await;
    assert_eq!(till.attempt().await.state, AttemptState::OutcomeUnknown);
    till.double.reject_credentials(false);
    till.double.deliver_late();
    till.reconcile_after(5).await;
    assert_eq!(ended(&till).await, (IntentState::Captured, AttemptState::Succeeded, 1, 0));
}

#[tokio::test]
async fn provider_with_too_many_requests_is_asked_later_and_the_breaker_stays_closed() {
    let till = PaymentsFixture::new();
    till.double.books().overloaded = true;
    for number in 0..8 {
        till.charge_for(shared::ids::derive(&["other", &number.to_string()]), 0).await;
    }
    till.charge(0).await;
    assert_eq!(
        (till.attempt().await.state, till.double.books().calls),
        (AttemptState::OutcomeUnknown, 9),
        "each call is made"
    );
    assert!(
        !till.payments.store().breaker().await.unwrap().is_some_and(|breaker| breaker.is_open())
    );
    till.double.books().overloaded = false;
    till.reconcile_after(2).await;
    assert_eq!((till.state().await, till.charges()), (IntentState::Captured, 1));
}
