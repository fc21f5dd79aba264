//! `POST /webhooks/payments/{provider}`: payments queries the provider about each event, in any
//! order and on repetition.

use std::time::Duration;

use payments::{
    domain::{AttemptState, IntentState},
    metrics::{PaymentOutcome, RefundOutcome},
};
use serde_json::json;
use shared::metrics::Capture;
use tests::{
    aws::{Called, Fault},
    bank,
    events::{self, provider_event as event, provider_signature as signature},
    faults::{InjectedFault, for_each_fault},
};

use super::{CALLS, PRICE, PaymentsFixture, automatic, transaction};

const SECRET: &str = "whsec_0123456789abcdef";
const BEFORE: &str = "whsec_of_yesterday_000";

fn of_payment(id: &str) -> String {
    events::payment_event(id, &automatic().to_string())
}

fn of_dispute(id: &str) -> String {
    event(
        id,
        "charge.dispute.created",
        &json!({ "object": "dispute", "id": "dp_1", "payment_intent": transaction() }),
    )
}

impl PaymentsFixture {
    fn with_webhooks() -> Self {
        let fixture = Self::new();
        let secrets = json!({ "current": SECRET, "previous": BEFORE }).to_string();
        fixture.aws.secrets_manager().set("payment-webhook-secrets", &secrets);
        fixture
    }

    async fn post_webhook(&self, provider: &str, signature: &str, body: &str) -> Called {
        self.call("receive-payment-webhook", events::webhook_request(provider, signature, body))
            .await
    }

    async fn post_signed(&self, body: &str) -> Called {
        self.post_webhook("simulated", &signature(SECRET, self.clock.now().seconds(), body), body)
            .await
    }
}

#[tokio::test]
async fn repeated_webhook_settles_a_payment_once() {
    for (token, times) in [("tok_3ds", 1), ("tok_timeout_after_charge", 1), ("tok_late_webhook", 2)]
    {
        let fixture = PaymentsFixture::with_webhooks();
        let mut harness = fixture.stream();
        assert!(fixture.charge(token, 0).await);
        assert_ne!(fixture.attempt_state().await, AttemptState::Succeeded);
        for number in 0..times {
            assert_eq!(
                fixture.post_signed(&of_payment(&format!("evt_{number}"))).await.status(),
                200
            );
        }
        assert_eq!(
            (fixture.attempt_state().await, fixture.intent().await.state),
            (AttemptState::Succeeded, IntentState::Captured),
            "{token}"
        );
        assert_eq!(fixture.message_types(&mut harness).await.last().unwrap(), "payment_succeeded");
        let again = fixture.post_signed(&of_payment("evt_0")).await;
        assert_eq!(
            (again.status(), again.operations_on("payments")),
            (200, vec!["GetItem"]),
            "it was processed before"
        );
        assert_eq!(fixture.post_signed(&of_payment("evt_other")).await.status(), 200);
        assert!(fixture.message_types(&mut harness).await.is_empty());
        assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((1, 0), 0));
    }
}

#[tokio::test]
async fn webhook_during_the_charge_call_records_a_success_and_nothing_else() {
    for (token, state) in [
        ("tok_declined", AttemptState::Sent),
        ("tok_3ds_abandoned", AttemptState::Sent),
        ("tok_ok", AttemptState::Succeeded),
    ] {
        let fixture = PaymentsFixture::with_webhooks();
        let mut harness = fixture.stream();
        // The provider has charged, and its response is not recorded yet.
        fixture.crash_after(3);
        fixture.charge(token, 0).await;
        fixture.aws.heal();
        assert_eq!(fixture.attempt_state().await, AttemptState::Sent);
        fixture.message_types(&mut harness).await;
        assert_eq!(fixture.post_signed(&of_payment("evt_1")).await.status(), 200);
        assert_eq!(fixture.attempt_state().await, state, "{token}");
        let message_types = fixture.message_types(&mut harness).await;
        assert!(
            !message_types.iter().any(|kind| kind == "payment_declined"),
            "{token}: {message_types:?}"
        );
        fixture.clock.advance(Duration::from_secs(60));
        assert!(fixture.charge(token, 1).await, "the order sends its command again");
        fixture.reconcile().await;
        assert!(
            !matches!(
                fixture.attempt_state().await,
                AttemptState::Sent | AttemptState::OutcomeUnknown
            ),
            "{token}: the outcome is found later"
        );
    }
}

#[tokio::test]
async fn repeated_webhook_publishes_nothing() {
    let fixture = PaymentsFixture::with_webhooks();
    assert!(fixture.charge("tok_duplicate_webhook", 0).await);
    let before = fixture.intent().await;
    let body = of_payment("evt_1");
    for _ in 0..2 {
        assert_eq!(fixture.post_signed(&body).await.json(), json!({ "received": true }));
    }
    assert_eq!((fixture.intent().await, fixture.provider_totals()), (before, (1, 0)));
    let remembered =
        fixture.aws.items("payments").into_iter().find(|item| item["sk"]["S"] == "EVENT").unwrap();
    let month = 30 * 24 * 3600;
    assert_eq!(remembered["ttl"]["N"], (fixture.clock.now().seconds() + month).to_string());
}

#[tokio::test]
async fn dispute_is_published_once() {
    let fixture = PaymentsFixture::with_webhooks();
    let mut harness = fixture.stream();
    assert!(fixture.charge("tok_ok", 0).await);
    fixture.message_types(&mut harness).await;
    bank::dispute(&fixture.aws, "dp_1", &transaction(), "open");
    let capture = Capture::start();
    for id in ["evt_1", "evt_1", "evt_2"] {
        assert_eq!(fixture.post_signed(&of_dispute(id)).await.status(), 200);
    }
    assert_eq!(capture.total(&payments::metrics::PAYMENT_DISPUTED), 1);
    assert_eq!(fixture.intent().await.disputes.len(), 1);
    assert_eq!(fixture.message_types(&mut harness).await, ["payment_disputed"]);
}

#[tokio::test]
async fn interrupted_webhook_is_handled_on_redelivery() {
    for call in 0..CALLS {
        for fault in [Fault::LoseRequest, Fault::LoseResponse, Fault::Throttle] {
            for body in [of_payment("evt_1"), of_dispute("evt_2")] {
                let fixture = PaymentsFixture::with_webhooks();
                let disputes = body.contains("dispute");
                assert!(fixture.charge(if disputes { "tok_ok" } else { "tok_3ds" }, 0).await);
                if disputes {
                    bank::dispute(&fixture.aws, "dp_1", &transaction(), "open");
                }
                fixture.aws.fail(call, fault);
                let answer = fixture.post_signed(&body).await;
                assert!(
                    [200, 503].contains(&answer.status()),
                    "{fault:?} at {call}: {:?}",
                    answer.answer
                );
                fixture.aws.heal();
                assert_eq!(fixture.post_signed(&body).await.status(), 200, "{fault:?} at {call}");
                let intent = fixture.intent().await;
                assert_eq!(
                    (intent.state, !intent.disputes.is_empty(), fixture.provider_totals()),
                    (IntentState::Captured, disputes, (1, 0)),
                    "{fault:?} at {call}"
                );
            }
        }
    }
}

#[tokio::test]
async fn refund_webhook_settles_the_refund() {
    let fixture = PaymentsFixture::with_webhooks();
    assert!(fixture.charge("tok_ok", 0).await);
    // The refund is sent, and its response is lost.
    fixture.aws.fail(3, Fault::LoseResponse);
    fixture.request_refund("key", &automatic().to_string(), Some(1000)).await;
    let refund = fixture
        .aws
        .items("payments")
        .into_iter()
        .find_map(|item| item.get("refund_id")?["S"].as_str().map(str::to_owned))
        .unwrap();
    assert_eq!((fixture.provider_totals(), fixture.intent().await.refunded_total), ((1, 1000), 0));
    let object = json!({ "object": "refund", "id": "re_1", "metadata": { "payment_id": automatic(), "refund_id": refund } });
    assert_eq!(fixture.post_signed(&event("evt_1", "refund.updated", &object)).await.status(), 200);
    assert_eq!((fixture.intent().await.refunded_total, fixture.unsettled()), (1000, 0));
}

#[tokio::test]
async fn dashboard_refund_is_recorded_once_under_any_fault() {
    for_each_fault(0..CALLS, async |InjectedFault { call, fault }| {
        let fixture = PaymentsFixture::with_webhooks();
        assert!(fixture.charge("tok_ok", 0).await);
        let id = bank::refund_by_hand(&fixture.aws, &transaction(), "re_dashboard", 1000);
        let object = json!({ "object": "refund", "id": id, "payment_intent": transaction(), "metadata": {} });
        let body = event("evt_1", "refund.created", &object);
        fixture.aws.fail(call, fault);
        let answer = fixture.post_signed(&body).await;
        assert!([200, 503].contains(&answer.status()), "{fault:?} at {call}: {:?}", answer.answer);
        fixture.aws.heal();
        assert_eq!(fixture.post_signed(&body).await.status(), 200, "{fault:?} at {call}");
        let intent = fixture.intent().await;
        assert_eq!((intent.refunded_total, intent.refundable, fixture.unsettled()), (1000, PRICE - 1000, 0), "{fault:?} at {call}");
        let recorded = fixture.aws.items("payments").iter().filter(|item| item["initiated_by"]["S"] == "provider").count();
        assert_eq!(recorded, 1, "{fault:?} at {call}");
    })
    .await;
}

#[tokio::test]
async fn refund_that_fails_later_counts_as_reversed() {
    let fixture = PaymentsFixture::with_webhooks();
    let (mut harness, capture) = (fixture.stream(), Capture::start());
    assert!(fixture.charge("tok_ok", 0).await);
    let answer = fixture.request_refund("key", &automatic().to_string(), Some(1000)).await.json();
    let refund = answer["id"].as_str().unwrap();
    bank::fail_refund(&fixture.aws, refund);
    let provider_name = format!("re_{}", refund.strip_prefix("ref_").unwrap().replace('-', ""));
    let object = json!({ "object": "refund", "id": provider_name, "metadata": { "payment_id": automatic(), "refund_id": refund } });
    for id in ["evt_1", "evt_2"] {
        let body = event(id, "refund.failed", &object);
        assert_eq!(fixture.post_signed(&body).await.status(), 200);
    }
    harness.publish().await;
    let refunds = |outcome| capture.total_of(&payments::metrics::REFUNDS, outcome);
    assert_eq!((refunds(RefundOutcome::Completed), refunds(RefundOutcome::Reversed)), (1, 1));
    assert_eq!(capture.total(&payments::metrics::REFUNDS.metric), 2);
    assert_eq!(capture.total(&payments::metrics::NEEDS_REVIEW), 1);
}

#[tokio::test]
async fn late_capture_of_a_paid_order_counts_as_duplicate() {
    let fixture = PaymentsFixture::with_webhooks();
    fixture.open(0).await;
    let first = fixture.pay("first", "tok_timeout_after_charge").await;
    assert_eq!(first.status(), 202);
    let first = first.json()["id"].as_str().unwrap().to_owned();
    // The attempt was abandoned although the provider has captured it.
    for mut item in fixture.aws.items("payments") {
        let sort_key = item["sk"]["S"].as_str().unwrap().to_owned();
        let members = item.as_object_mut().unwrap();
        if sort_key == "INTENT" {
            members.remove("active_attempt");
            members.insert("state".to_owned(), json!({ "S": "open" }));
        } else if sort_key.starts_with("ATTEMPT#") {
            members.remove("check_shard");
            members.remove("next_check_at");
            members.insert("state".to_owned(), json!({ "S": "abandoned" }));
        } else {
            continue;
        }
        fixture.aws.put("payments", &item);
    }
    assert_eq!(fixture.pay("second", "tok_ok").await.status(), 201);
    let (mut harness, capture) = (fixture.stream(), Capture::start());
    for id in ["evt_1", "evt_2"] {
        let body = events::payment_event(id, &first);
        assert_eq!(fixture.post_signed(&body).await.status(), 200);
    }
    assert_eq!(capture.total(&payments::metrics::DUPLICATE_CAPTURE), 1);
    harness.publish().await;
    let outcomes = |outcome| capture.total_of(&payments::metrics::PAYMENT_OUTCOMES, outcome);
    assert_eq!(outcomes(PaymentOutcome::Captured), 1);
    assert_eq!(outcomes(PaymentOutcome::DuplicateCapture), 1);
    assert_eq!(capture.total(&payments::metrics::REVENUE.metric), PRICE);
}

#[tokio::test]
async fn webhook_about_an_unrelated_object_counts_as_ignored() {
    let fixture = PaymentsFixture::with_webhooks();
    let capture = Capture::start();
    let body = event("evt_1", "customer.created", &json!({ "object": "customer", "id": "cus_1" }));
    for _ in 0..2 {
        assert_eq!(fixture.post_signed(&body).await.status(), 200);
    }
    assert_eq!(capture.total(&payments::metrics::WEBHOOK_IGNORED), 1);
}

#[tokio::test]
async fn late_refund_failure_is_counted_once_under_any_fault() {
    for_each_fault(0..CALLS, async |InjectedFault { call, fault }| {
        let fixture = PaymentsFixture::with_webhooks();
        assert!(fixture.charge("tok_ok", 0).await);
        let answer = fixture.request_refund("key", &automatic().to_string(), Some(1000)).await.json();
        let refund = answer["id"].as_str().unwrap();
        bank::fail_refund(&fixture.aws, refund);
        let provider_name = format!("re_{}", refund.strip_prefix("ref_").unwrap().replace('-', ""));
        let object = json!({ "object": "refund", "id": provider_name, "metadata": { "payment_id": automatic(), "refund_id": refund } });
        fixture.aws.fail(call, fault);
        fixture.post_signed(&event("evt_1", "refund.failed", &object)).await;
        fixture.aws.heal();
        for id in ["evt_1", "evt_2"] {
            assert_eq!(fixture.post_signed(&event(id, "refund.updated", &object)).await.status(), 200, "{fault:?} at {call}");
        }
        let intent = fixture.intent().await;
        let totals = (intent.refunded_total, intent.refunds_reversed_total, intent.refundable);
        assert_eq!((totals, fixture.unsettled()), ((1000, 1000, PRICE), 0), "{fault:?} at {call}");
    })
    .await;
}
