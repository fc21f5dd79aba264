//! `POST /webhooks/payments/{provider}`: what the provider tells is asked about, once or often, in whatever order.

use payments::domain::{AttemptState, HeadState};
use serde_json::json;
use tests::{
    aws::{Called, Fault},
    bank,
    events::{self, provider_event as event, provider_signature as signature},
    faults::{Mishap, whatever_happens},
};

use super::{CALLS, ORDER, PRICE, Till, automatic, transaction};

const SECRET: &str = "whsec_0123456789abcdef";
const BEFORE: &str = "whsec_of_yesterday_000";

fn of_payment(id: &str) -> String {
    events::payment_event(id, &automatic().to_string())
}

fn of_dispute(id: &str) -> String {
    event(id, "charge.dispute.created", &json!({ "object": "dispute", "id": "dp_1", "payment_intent": transaction() }))
}

impl Till {
    fn with_webhooks() -> Self {
        let till = Self::new();
        let secrets = json!({ "current": SECRET, "previous": BEFORE }).to_string();
        till.aws.secrets_manager().set("payment-webhook-secrets", &secrets);
        till
    }

    async fn hear(&self, provider: &str, signature: &str, body: &str) -> Called {
        self.call("receive-payment-webhook", events::webhook_request(provider, signature, body)).await
    }

    async fn is_told(&self, body: &str) -> Called {
        self.hear("simulated", &signature(SECRET, self.clock.now().seconds(), body), body).await
    }
}

#[tokio::test]
async fn what_the_provider_tells_ends_a_payment_once_however_often_it_is_told() {
    for (token, times) in [("tok_3ds", 1), ("tok_timeout_after_charge", 1), ("tok_late_webhook", 2)] {
        let till = Till::with_webhooks();
        let mut pump = till.stream();
        assert!(till.charge(token, 0).await);
        assert_ne!(till.attempt_state().await, AttemptState::Succeeded);
        for number in 0..times {
            assert_eq!(till.is_told(&of_payment(&format!("evt_{number}"))).await.status(), 200);
        }
        assert_eq!((till.attempt_state().await, till.head().await.state), (AttemptState::Succeeded, HeadState::Captured), "{token}");
        assert_eq!(till.told(&mut pump).await.last().unwrap(), "payment_succeeded");
        let again = till.is_told(&of_payment("evt_0")).await;
        assert_eq!((again.status(), again.operations_on("payments")), (200, vec!["GetItem"]), "it was heard before");
        assert_eq!(till.is_told(&of_payment("evt_other")).await.status(), 200);
        assert!(till.told(&mut pump).await.is_empty());
        assert_eq!((till.books(), till.unsettled()), ((1, 0), 0));
    }
}

#[tokio::test]
async fn webhook_during_the_charge_call_records_a_success_and_nothing_else() {
    for (token, state) in
        [("tok_declined", AttemptState::Sent), ("tok_3ds_abandoned", AttemptState::Sent), ("tok_ok", AttemptState::Succeeded)]
    {
        let till = Till::with_webhooks();
        let mut pump = till.stream();
        // The provider has the charge, and its answer is not recorded yet.
        till.die_after(4);
        till.charge(token, 0).await;
        till.aws.heal();
        assert_eq!(till.attempt_state().await, AttemptState::Sent);
        till.told(&mut pump).await;
        assert_eq!(till.is_told(&of_payment("evt_1")).await.status(), 200);
        assert_eq!(till.attempt_state().await, state, "{token}");
        let told = till.told(&mut pump).await;
        assert!(!told.iter().any(|kind| kind == "payment_declined"), "{token}: {told:?}");
        till.reconcile_after(61).await;
        assert_ne!(till.attempt_state().await, AttemptState::Sent, "{token}: the outcome is found later");
    }
}

#[tokio::test]
async fn an_event_that_is_told_twice_tells_nothing_new() {
    let till = Till::with_webhooks();
    assert!(till.charge("tok_duplicate_webhook", 0).await);
    let before = till.head().await;
    let body = of_payment("evt_1");
    for _ in 0..2 {
        assert_eq!(till.is_told(&body).await.json(), json!({ "received": true }));
    }
    assert_eq!((till.head().await, till.books()), (before, (1, 0)));
    let remembered = till.aws.items("payments").into_iter().find(|item| item["sk"]["S"] == "EVENT").unwrap();
    let month = 30 * 24 * 3600;
    assert_eq!(remembered["ttl"]["N"], (till.clock.now().seconds() + month).to_string());
}

#[tokio::test]
async fn nobody_but_the_provider_is_heard() {
    let till = Till::with_webhooks();
    assert!(till.charge("tok_3ds", 0).await);
    let before = till.aws.items("payments");
    let (now, body) = (till.clock.now().seconds(), of_payment("evt_1"));
    for (signature, body) in [
        (String::new(), &*body),
        ("t=1,v1=00".to_owned(), &*body),
        (signature("another secret altogether", now, &body), &*body),
        (signature(SECRET, now - 301, &body), &*body),
        (signature(SECRET, now + 301, &body), &*body),
        (signature(SECRET, now, &body), &*of_dispute("evt_1")),
        (signature(SECRET, now, &body), &*format!("{body} ")),
    ] {
        let answer = till.hear("simulated", &signature, body).await;
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (400, Some("bad_signature")), "{signature}");
        assert!(answer.operations().is_empty(), "nothing is read for a stranger");
    }
    let elsewhere = till.hear("stripe", &signature(SECRET, now, &body), &body).await;
    assert_eq!((elsewhere.status(), elsewhere.json()["code"].as_str()), (404, Some("provider_not_found")));
    assert_eq!(till.aws.items("payments"), before);
    for unset in [json!({ "current": "" }), json!({ "current": "", "previous": "" })] {
        till.aws.secrets_manager().set("payment-webhook-secrets", &unset.to_string());
        till.clock.advance(std::time::Duration::from_secs(301));
        let signature = signature("", till.clock.now().seconds(), &body);
        assert_eq!(till.hear("simulated", &signature, &body).await.json()["code"], "bad_signature");
    }
    assert_eq!(till.aws.items("payments"), before);
}

#[tokio::test]
async fn the_secret_before_still_counts_and_what_is_not_ours_is_heard_and_left() {
    let till = Till::with_webhooks();
    let now = till.clock.now().seconds();
    let known = json!({ "payment_id": automatic(), "refund_id": "ref_0199c2a8-0000-7000-8000-0000000000c1" });
    for (number, (kind, object)) in [
        ("customer.created", json!({ "object": "customer", "id": "cus_1" })),
        ("payment_intent.succeeded", json!({ "object": "payment_intent", "id": "pi_1", "metadata": { "payment_id": automatic() } })),
        ("payment_intent.succeeded", json!({ "object": "payment_intent", "id": "pi_1", "metadata": {} })),
        ("refund.updated", json!({ "object": "refund", "id": "re_1", "metadata": known })),
        ("refund.updated", json!({ "object": "refund", "id": "re_1", "metadata": {} })),
        ("charge.dispute.created", json!({ "object": "dispute", "id": "dp_1", "payment_intent": "pi_1" })),
        ("charge.dispute.closed", json!({ "object": "dispute", "id": "dp_1", "payment_intent": "pi_1" })),
    ]
    .into_iter()
    .enumerate()
    {
        let body = event(&format!("evt_{number}"), kind, &object);
        assert_eq!(till.hear("simulated", &signature(BEFORE, now, &body), &body).await.status(), 200, "{body}");
    }
    assert!(till.aws.items("payments").iter().all(|item| item["sk"]["S"] == "EVENT"));
}

/// A provider repeats for days what is not answered with success: another shape is acknowledged, whatever it is.
#[tokio::test]
async fn signed_event_of_another_shape_is_acknowledged_and_changes_nothing() {
    let till = Till::with_webhooks();
    assert!(till.charge("tok_3ds", 0).await);
    let before = till.aws.items("payments");
    let intent = json!({ "object": "payment_intent", "id": transaction(), "metadata": { "payment_id": automatic() } });
    let thin = json!({
        "id": "evt_thin", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered", "livemode": false,
        "created": "2026-11-21T10:00:00.000Z", "context": null, "reason": null,
        "related_object": { "id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1" },
    });
    for body in [
        String::new(),
        "not json".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "null".to_owned(),
        "5".to_owned(),
        json!([{ "id": "evt_1", "type": "payment_intent.succeeded", "data": { "object": intent } }]).to_string(),
        thin.to_string(),
        json!({ "id": "evt_1" }).to_string(),
        json!({ "id": "evt_1", "data": { "object": intent } }).to_string(),
        json!({ "id": 5, "type": "payment_intent.succeeded", "data": { "object": intent } }).to_string(),
        json!({ "id": "evt_1", "type": 5, "data": { "object": intent } }).to_string(),
        json!({ "id": "evt_1", "type": "payment_intent.succeeded", "data": { "payment_intent": intent } }).to_string(),
        json!({ "id": "evt_1", "type": "payment_intent.succeeded", "data": [] }).to_string(),
        json!({ "id": "evt_1", "type": "payment_intent.succeeded", "data": "x" }).to_string(),
        json!({ "id": "", "type": "payment_intent.succeeded", "data": { "object": intent } }).to_string(),
    ] {
        let answer = till.is_told(&body).await;
        assert_eq!((answer.status(), answer.json()), (200, json!({ "received": true })), "{body}");
        assert!(answer.operations_on("payments").is_empty(), "{body}");
        // The signature comes first.
        let forged = till.hear("simulated", &signature("another secret altogether", till.clock.now().seconds(), &body), &body).await;
        assert_eq!((forged.status(), forged.json()["code"].as_str()), (400, Some("bad_signature")), "{body}");
    }
    assert_eq!(till.aws.items("payments"), before);
}

/// Members that are missing, of another type, or too many, in an event that is otherwise ours.
#[tokio::test]
async fn signed_event_with_odd_members_is_acknowledged() {
    let till = Till::with_webhooks();
    assert!(till.charge("tok_3ds_abandoned", 0).await);
    let before = till.head().await;
    for (number, object) in [
        json!(null),
        json!([]),
        json!("x"),
        json!({ "object": "tax.registration", "id": "taxreg_1" }),
        json!({ "object": 5, "id": 5 }),
        json!({ "object": "payment_intent", "id": 5, "metadata": { "payment_id": 5 } }),
        json!({ "object": "payment_intent", "id": "pi_1", "metadata": [automatic()] }),
        json!({ "object": "payment_intent", "id": "pi_1", "metadata": null }),
        json!({ "object": "refund", "id": "re_1", "payment_intent": { "id": "pi_1" }, "metadata": { "refund_id": 5 } }),
        json!({ "object": "dispute", "id": "dp_1", "payment_intent": 5 }),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({
            "id": format!("evt_{number}"), "object": "event", "type": "made.up", "data": { "object": object, "previous_attributes": 5 },
            "api_version": 5, "account": [], "unheard_of": { "id": 1 },
        });
        assert_eq!(till.is_told(&body.to_string()).await.status(), 200, "{body}");
    }
    assert_eq!(till.head().await, before);
}

#[tokio::test]
async fn a_dispute_is_told_to_the_order_once() {
    let till = Till::with_webhooks();
    let mut pump = till.stream();
    assert!(till.charge("tok_ok", 0).await);
    till.told(&mut pump).await;
    bank::dispute(&till.aws, "dp_1", &transaction(), "open");
    for id in ["evt_1", "evt_1", "evt_2"] {
        assert_eq!(till.is_told(&of_dispute(id)).await.status(), 200);
    }
    assert_eq!(till.head().await.disputes.len(), 1);
    assert_eq!(till.told(&mut pump).await, ["payment_disputed"]);
}

#[tokio::test]
async fn an_event_that_dies_anywhere_is_told_again_and_heard_then() {
    for call in 0..CALLS {
        for fault in [Fault::LoseRequest, Fault::LoseResponse, Fault::Throttle] {
            for body in [of_payment("evt_1"), of_dispute("evt_2")] {
                let till = Till::with_webhooks();
                let disputes = body.contains("dispute");
                assert!(till.charge(if disputes { "tok_ok" } else { "tok_3ds" }, 0).await);
                if disputes {
                    bank::dispute(&till.aws, "dp_1", &transaction(), "open");
                }
                till.aws.fail(call, fault);
                let answer = till.is_told(&body).await;
                assert!([200, 503].contains(&answer.status()), "{fault:?} at {call}: {:?}", answer.answer);
                till.aws.heal();
                assert_eq!(till.is_told(&body).await.status(), 200, "{fault:?} at {call}");
                let head = till.head().await;
                assert_eq!(
                    (head.state, !head.disputes.is_empty(), till.books()),
                    (HeadState::Captured, disputes, (1, 0)),
                    "{fault:?} at {call}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_refund_that_is_told_of_is_settled() {
    let till = Till::with_webhooks();
    assert!(till.charge("tok_ok", 0).await);
    // The refund is sent, and its answer is lost.
    till.aws.fail(3, Fault::LoseResponse);
    till.ask_back("key", &automatic().to_string(), Some(1000)).await;
    let refund = till.aws.items("payments").into_iter().find_map(|item| item.get("refund_id")?["S"].as_str().map(str::to_owned)).unwrap();
    assert_eq!((till.books(), till.head().await.refunded_total), ((1, 1000), 0));
    let object = json!({ "object": "refund", "id": "re_1", "metadata": { "payment_id": automatic(), "refund_id": refund } });
    assert_eq!(till.is_told(&event("evt_1", "refund.updated", &object)).await.status(), 200);
    assert_eq!((till.head().await.refunded_total, till.unsettled()), (1000, 0));
}

#[tokio::test]
async fn the_sample_is_heard_at_its_time() {
    let till = Till::with_webhooks();
    let secrets = json!({ "current": "whsec_sample_0123456789abcdef" }).to_string();
    till.aws.secrets_manager().set("payment-webhook-secrets", &secrets);
    let sample = events::sample("receive-payment-webhook");
    assert!(sample["body"].as_str().unwrap().contains(ORDER));
    assert_eq!(till.call("receive-payment-webhook", sample).await.status(), 200);
}

#[tokio::test]
async fn a_refund_made_at_the_provider_survives_each_fault_and_is_recorded_once() {
    whatever_happens(0..CALLS, async |Mishap { call, fault }| {
        let till = Till::with_webhooks();
        assert!(till.charge("tok_ok", 0).await);
        let id = bank::refund_by_hand(&till.aws, &transaction(), "re_dashboard", 1000);
        let object = json!({ "object": "refund", "id": id, "payment_intent": transaction(), "metadata": {} });
        let body = event("evt_1", "refund.created", &object);
        till.aws.fail(call, fault);
        let answer = till.is_told(&body).await;
        assert!([200, 503].contains(&answer.status()), "{fault:?} at {call}: {:?}", answer.answer);
        till.aws.heal();
        assert_eq!(till.is_told(&body).await.status(), 200, "{fault:?} at {call}");
        let head = till.head().await;
        assert_eq!((head.refunded_total, head.refundable, till.unsettled()), (1000, PRICE - 1000, 0), "{fault:?} at {call}");
        let recorded = till.aws.items("payments").iter().filter(|item| item["made_by"]["S"] == "provider").count();
        assert_eq!(recorded, 1, "{fault:?} at {call}");
    })
    .await;
}

#[tokio::test]
async fn a_late_refund_failure_survives_each_fault_and_is_counted_once() {
    whatever_happens(0..CALLS, async |Mishap { call, fault }| {
        let till = Till::with_webhooks();
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
        let head = till.head().await;
        let totals = (head.refunded_total, head.refunds_reversed_total, head.refundable);
        assert_eq!((totals, till.unsettled()), ((1000, 1000, PRICE), 0), "{fault:?} at {call}");
    })
    .await;
}
