//! `POST /webhooks/payments/{provider}`: payments queries the provider about each event, in any
//! order and on repetition.

use payments::domain::{AttemptState, IntentState};
use serde_json::json;
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
        let till = Self::new();
        let secrets = json!({ "current": SECRET, "previous": BEFORE }).to_string();
        till.aws.secrets_manager().set("payment-webhook-secrets", &secrets);
        till
    }

    async fn hear(&self, provider: &str, signature: &str, body: &str) -> Called {
        self.call("receive-payment-webhook", events::webhook_request(provider, signature, body))
            .await
    }

    async fn is_told(&self, body: &str) -> Called {
        self.hear("simulated", &signature(SECRET, self.clock.now().seconds(), body), body).await
    }
}

#[tokio::test]
async fn repeated_webhook_settles_a_payment_once() {
    for (token, times) in [("tok_3ds", 1), ("tok_timeout_after_charge", 1), ("tok_late_webhook", 2)]
    {
        let till = PaymentsFixture::with_webhooks();
        let mut harness = till.stream();
        assert!(till.charge(token, 0).await);
        assert_ne!(till.attempt_state().await, AttemptState::Succeeded);
        for number in 0..times {
            assert_eq!(till.is_told(&of_payment(&format!("evt_{number}"))).await.status(), 200);
        }
        assert_eq!(
            (till.attempt_state().await, till.intent().await.state),
            (AttemptState::Succeeded, IntentState::Captured),
            "{token}"
        );
        assert_eq!(till.told(&mut harness).await.last().unwrap(), "payment_succeeded");
        let again = till.is_told(&of_payment("evt_0")).await;
        assert_eq!(
            (again.status(), again.operations_on("payments")),
            (200, vec!["GetItem"]),
            "it was heard before"
        );
        assert_eq!(till.is_told(&of_payment("evt_other")).await.status(), 200);
        assert!(till.told(&mut harness).await.is_empty());
        assert_eq!((till.books(), till.unsettled()), ((1, 0), 0));
    }
}

#[tokio::test]
async fn webhook_during_the_charge_call_records_a_success_and_nothing_else() {
    for (token, state) in [
        ("tok_declined", AttemptState::Sent),
        ("tok_3ds_abandoned", AttemptState::Sent),
        ("tok_ok", AttemptState::Succeeded),
    ] {
        let till = PaymentsFixture::with_webhooks();
        let mut harness = till.stream();
        // The provider has charged, and its response is not recorded yet.
        till.die_after(4);
        till.charge(token, 0).await;
        till.aws.heal();
        assert_eq!(till.attempt_state().await, AttemptState::Sent);
        till.told(&mut harness).await;
        assert_eq!(till.is_told(&of_payment("evt_1")).await.status(), 200);
        assert_eq!(till.attempt_state().await, state, "{token}");
        let told = till.told(&mut harness).await;
        assert!(!told.iter().any(|kind| kind == "payment_declined"), "{token}: {told:?}");
        till.reconcile_after(61).await;
        assert_ne!(
            till.attempt_state().await,
            AttemptState::Sent,
            "{token}: the outcome is found later"
        );
    }
}

#[tokio::test]
async fn repeated_webhook_publishes_nothing() {
    let till = PaymentsFixture::with_webhooks();
    assert!(till.charge("tok_duplicate_webhook", 0).await);
    let before = till.intent().await;
    let body = of_payment("evt_1");
    for _ in 0..2 {
        assert_eq!(till.is_told(&body).await.json(), json!({ "received": true }));
    }
    assert_eq!((till.intent().await, till.books()), (before, (1, 0)));
    let remembered =
        till.aws.items("payments").into_iter().find(|item| item["sk"]["S"] == "EVENT").unwrap();
    let month = 30 * 24 * 3600;
    assert_eq!(remembered["ttl"]["N"], (till.clock.now().seconds() + month).to_string());
}

#[tokio::test]
async fn dispute_is_published_once() {
    let till = PaymentsFixture::with_webhooks();
    let mut harness = till.stream();
    assert!(till.charge("tok_ok", 0).await);
    till.told(&mut harness).await;
    bank::dispute(&till.aws, "dp_1", &transaction(), "open");
    for id in ["evt_1", "evt_1", "evt_2"] {
        assert_eq!(till.is_told(&of_dispute(id)).await.status(), 200);
    }
    assert_eq!(till.intent().await.disputes.len(), 1);
    assert_eq!(till.told(&mut harness).await, ["payment_disputed"]);
}

#[tokio::test]
async fn interrupted_webhook_is_handled_on_redelivery() {
    for call in 0..CALLS {
        for fault in [Fault::LoseRequest, Fault::LoseResponse, Fault::Throttle] {
            for body in [of_payment("evt_1"), of_dispute("evt_2")] {
                let till = PaymentsFixture::with_webhooks();
                let disputes = body.contains("dispute");
                assert!(till.charge(if disputes { "tok_ok" } else { "tok_3ds" }, 0).await);
                if disputes {
                    bank::dispute(&till.aws, "dp_1", &transaction(), "open");
                }
                till.aws.fail(call, fault);
                let answer = till.is_told(&body).await;
                assert!(
                    [200, 503].contains(&answer.status()),
                    "{fault:?} at {call}: {:?}",
                    answer.answer
                );
                till.aws.heal();
                assert_eq!(till.is_told(&body).await.status(), 200, "{fault:?} at {call}");
                let intent = till.intent().await;
                assert_eq!(
                    (intent.state, !intent.disputes.is_empty(), till.books()),
                    (IntentState::Captured, disputes, (1, 0)),
                    "{fault:?} at {call}"
                );
            }
        }
    }
}

#[tokio::test]
async fn refund_webhook_settles_the_refund() {
    let till = PaymentsFixture::with_webhooks();
    assert!(till.charge("tok_ok", 0).await);
    // The refund is sent, and its response is lost.
    till.aws.fail(3, Fault::LoseResponse);
    till.ask_back("key", &automatic().to_string(), Some(1000)).await;
    let refund = till
        .aws
        .items("payments")
        .into_iter()
        .find_map(|item| item.get("refund_id")?["S"].as_str().map(str::to_owned))
        .unwrap();
    assert_eq!((till.books(), till.intent().await.refunded_total), ((1, 1000), 0));
    let object = json!({ "object": "refund", "id": "re_1", "metadata": { "payment_id": automatic(), "refund_id": refund } });
    assert_eq!(till.is_told(&event("evt_1", "refund.updated", &object)).await.status(), 200);
    assert_eq!((till.intent().await.refunded_total, till.unsettled()), (1000, 0));
}

#[tokio::test]
async fn a_refund_made_at_the_provider_survives_each_fault_and_is_recorded_once() {
    for_each_fault(0..CALLS, async |InjectedFault { call, fault }| {
        let till = PaymentsFixture::with_webhooks();
        assert!(till.charge("tok_ok", 0).await);
        let id = bank::refund_by_hand(&till.aws, &transaction(), "re_dashboard", 1000);
        let object = json!({ "object": "refund", "id": id, "payment_intent": transaction(), "metadata": {} });
        let body = event("evt_1", "refund.created", &object);
        till.aws.fail(call, fault);
        let answer = till.is_told(&body).await;
        assert!([200, 503].contains(&answer.status()), "{fault:?} at {call}: {:?}", answer.answer);
        till.aws.heal();
        assert_eq!(till.is_told(&body).await.status(), 200, "{fault:?} at {call}");
        let intent = till.intent().await;
        assert_eq!((intent.refunded_total, intent.refundable, till.unsettled()), (1000, PRICE - 1000, 0), "{fault:?} at {call}");
        let recorded = till.aws.items("payments").iter().filter(|item| item["initiated_by"]["S"] == "provider").count();
        assert_eq!(recorded, 1, "{fault:?} at {call}");
    })
    .await;
}

#[tokio::test]
async fn a_late_refund_failure_survives_each_fault_and_is_counted_once() {
    for_each_fault(0..CALLS, async |InjectedFault { call, fault }| {
        let till = PaymentsFixture::with_webhooks();
        assert!(till.charge("tok_ok", 0).await);
        let answer = till.ask_back("key", &automatic().to_string(), Some(1000)).await.json();
        let refund = answer["id"].as_str().unwrap();
        bank::fail_refund(&till.aws, refund);
        let provider_name = format!("re_{}", refund.strip_prefix("ref_").unwrap().replace('-', ""));
        let object = json!({ "object": "refund", "id": provider_name, "metadata": { "payment_id": automatic(), "refund_id": refund } });
        till.aws.fail(call, fault);
        till.is_told(&event("evt_1", "refund.failed", &object)).await;
        till.aws.heal();
        for id in ["evt_1", "evt_2"] {
            assert_eq!(till.is_told(&event(id, "refund.updated", &object)).await.status(), 200, "{fault:?} at {call}");
        }
        let intent = till.intent().await;
        let totals = (intent.refunded_total, intent.refunds_reversed_total, intent.refundable);
        assert_eq!((totals, till.unsettled()), ((1000, 1000, PRICE), 0), "{fault:?} at {call}");
    })
    .await;
}
