//! The provider's circuit breaker: all instances share it, no call waits for an unavailable
//! provider, and no command is lost.

use std::{sync::Arc, time::Duration};

use payments::domain::{AttemptState, IntentState, PaymentStatus};
use serde_json::json;
use shared::metrics::Capture;

use super::{PRICE, PaymentsFixture, order};

/// A shop whose circuit breaker opened after five timeouts.
async fn with_open_breaker() -> PaymentsFixture {
    let fixture = PaymentsFixture::with_open_order().await;
    record_timeouts(&fixture, 5).await;
    fixture
}

/// Records consecutive timeouts in the breaker.
async fn record_timeouts(fixture: &PaymentsFixture, calls: usize) {
    let now = fixture.clock.now();
    for _ in 0..calls {
        let store = fixture.payments.store();
        let breaker = store
            .breaker()
            .await
            .unwrap()
            .unwrap_or_else(|| payments::domain::Breaker::new("simulated", now));
        store.write_breaker(&breaker.after_timeout("", now).unwrap()).await.unwrap().unwrap();
    }
}

async fn is_open(fixture: &PaymentsFixture) -> bool {
    fixture.payments.store().breaker().await.unwrap().is_some_and(|breaker| breaker.is_open())
}

#[tokio::test]
async fn five_timeouts_open_the_breaker_for_all_instances() {
    let fixture = PaymentsFixture::with_open_order().await;
    fixture.pay("first", "tok_timeout_before_charge").await;
    assert_eq!(fixture.payments.store().breaker().await.unwrap().unwrap().failures, 1);
    record_timeouts(&fixture, 3).await;
    assert!(!is_open(&fixture).await);
    // Any response resets the failure count.
    fixture.reconcile_after(55).await;
    fixture.reconcile_after(5).await;
    assert_eq!(fixture.payments.store().breaker().await.unwrap().unwrap().failures, 0);
    record_timeouts(&fixture, 5).await;
    assert!(is_open(&fixture).await);
}

#[tokio::test]
async fn timeout_that_opens_the_breaker_counts_once() {
    let fixture = PaymentsFixture::with_open_order().await;
    record_timeouts(&fixture, 4).await;
    let capture = Capture::start();
    fixture.pay("first", "tok_timeout_before_charge").await;
    assert!(is_open(&fixture).await);
    assert_eq!(capture.total(&payments::metrics::CIRCUIT_BREAKER_OPENED), 1);
}

/// Each AWS call takes nine seconds, including those to the simulated provider's table, so the
/// provider's response exceeds the call timeout.
#[tokio::test(start_paused = true)]
async fn call_cut_short_by_our_own_deadline_does_not_count_as_a_failure() {
    for (seconds, failures) in [(5, None), (28, Some(1))] {
        let fixture = PaymentsFixture::with_open_order().await;
        fixture.aws.take_time(Duration::from_secs(9));
        assert_eq!(fixture.pay_within(seconds, "key", "tok_ok").await.status(), 202, "{seconds}");
        fixture.aws.take_time(Duration::ZERO);
        let breaker = fixture.payments.store().breaker().await.unwrap();
        assert_eq!(breaker.map(|breaker| breaker.failures), failures, "{seconds}");
    }
}

#[tokio::test]
async fn open_breaker_rejects_requests_with_retry_after() {
    let fixture = with_open_breaker().await;
    let before = fixture.aws.items("payments");
    let answer = fixture.pay("key", "tok_ok").await;
    assert_eq!(
        (answer.status(), answer.json()["code"].as_str()),
        (503, Some("provider_unavailable"))
    );
    assert_eq!(answer.header("retry-after").as_deref(), Some("30"));
    assert!(answer.operations_on("payment-simulator").is_empty());
    assert_eq!(fixture.aws.items("payments"), before);

    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(fixture.pay("key", "tok_ok").await.status(), 201, "the probe");
    assert!(!is_open(&fixture).await);
    let payment = fixture.pay("key", "tok_ok").await.json()["id"].as_str().unwrap().to_owned();
    record_timeouts(&fixture, 5).await;
    let before = fixture.aws.items("payments");
    assert_eq!(
        fixture.request_refund("refund", &payment, None).await.json()["code"],
        "provider_unavailable"
    );
    assert_eq!(fixture.aws.items("payments"), before);
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(fixture.request_refund("refund", &payment, None).await.status(), 201);
    assert_eq!(fixture.provider_totals(), (1, PRICE));
}

#[tokio::test]
async fn commands_during_an_outage_are_executed_afterwards() {
    let fixture = with_open_breaker().await;
    assert!(fixture.charge("tok_ok", 1).await, "the message is acknowledged, the schedule retries");
    let attempts = fixture.payments.store().intent_and_attempts(order()).await.unwrap().1;
    assert_eq!(
        (attempts[0].state.clone(), attempts[0].status()),
        (AttemptState::New, PaymentStatus::Pending)
    );
    assert_eq!(fixture.reconcile_after(10).await["examined"], 0, "not yet");
    assert!(fixture.charge("tok_ok", 2).await);
    assert_eq!(
        (fixture.provider_totals(), fixture.attempt_state().await),
        ((0, 0), AttemptState::New)
    );
    fixture.reconcile_after(20).await;
    assert_eq!(
        (fixture.provider_totals(), fixture.intent().await.state),
        ((1, 0), IntentState::Captured)
    );

    record_timeouts(&fixture, 5).await;
    assert!(fixture.refund(3).await);
    assert_eq!((fixture.provider_totals(), fixture.intent().await.refundable), ((1, 0), 0));
    fixture.reconcile_after(31).await;
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((1, PRICE), 0));
}

#[tokio::test]
async fn delayed_attempt_is_kept_and_can_be_cancelled() {
    let fixture = with_open_breaker().await;
    let store = fixture.payments.store();
    assert!(fixture.charge("tok_ok", 1).await);
    for _ in 0..20 {
        fixture.reconcile_after(30 - 1).await;
        // Another instance's probe times out, too.
        fixture.clock.advance(Duration::from_secs(1));
        let now = fixture.clock.now();
        let probed = store.breaker().await.unwrap().unwrap().start_probe("somebody", now);
        store.write_breaker(&probed).await.unwrap().unwrap();
        store
            .write_breaker(&probed.after_timeout("somebody", now).unwrap())
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(fixture.attempt_state().await, AttemptState::New, "ten minutes have passed");
    assert!(fixture.cancel(2).await);
    assert_eq!(
        (fixture.attempt_state().await, fixture.intent().await.state),
        (AttemptState::Abandoned, IntentState::Closed)
    );
    fixture.reconcile_after(3600).await;
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((0, 0), 0));
}

#[tokio::test]
async fn half_open_breaker_allows_one_probe() {
    for seed in 0..10 {
        let fixture = Arc::new(PaymentsFixture::crowded(seed));
        fixture.open(0).await;
        record_timeouts(&fixture, 5).await;
        fixture.clock.advance(Duration::from_secs(30));
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..10 {
            let fixture = fixture.clone();
            asked.spawn(async move { fixture.pay(&format!("key-{number}"), "tok_ok").await });
        }
        let answers = asked.join_all().await;
        let with = |status: u64| answers.iter().filter(|answer| answer.status() == status).count();
        assert_eq!((with(201), with(201) + with(503) + with(409)), (1, 10));
        assert_eq!(fixture.provider_totals(), (1, 0));
    }
}

#[tokio::test]
async fn failing_breaker_write_blocks_no_payment() {
    let fixture = PaymentsFixture::with_open_order().await;
    record_timeouts(&fixture, 1).await;
    // The call after the charge records the provider's response in the breaker.
    fixture.aws.fail(3, tests::aws::Fault::LoseRequest);
    assert_eq!(fixture.pay("key", "tok_ok").await.status(), 201);
    assert_eq!(fixture.post("key", &json!({})).await.status(), 422);
    assert_eq!(fixture.provider_totals(), (1, 0));
}
