//! `POST /payments/{payment_id}/refunds`: refunds by the shop.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tests::{aws::Called, events::ADMIN, faults::FAULTS};

use super::{CALLS, LATER_FAULTS, PRICE, PaymentsFixture, USUAL_CALLS, automatic};

/// 60 % of the captured amount.
const MOST: i64 = PRICE * 60 / 100;

/// A shop with a paid order, and the id of its payment.
async fn paid() -> (PaymentsFixture, String) {
    let fixture = PaymentsFixture::new();
    assert!(fixture.charge("tok_ok", 0).await);
    (fixture, automatic().to_string())
}

fn status_and_code(answer: &Called) -> (u64, String) {
    let json = answer.json();
    (
        answer.status(),
        json["code"].as_str().or(json["status"].as_str()).unwrap_or_default().to_owned(),
    )
}

fn answered(status: u64, code: &str) -> (u64, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn partial_and_final_refund_keep_their_answers() {
    let (fixture, payment) = paid().await;
    let mut harness = fixture.stream();
    fixture.message_types(&mut harness).await;
    let part = fixture.request_refund("part", &payment, Some(1000)).await;
    assert_eq!(
        part.operations_on("payments"),
        ["BatchGetItem", "TransactWriteItems", "UpdateItem", "TransactWriteItems"]
    );
    assert_eq!(status_and_code(&part), answered(201, "completed"));
    assert_eq!(part.header("location"), Some(format!("../{payment}")));
    assert_eq!(
        (&part.json()["amount"], &part.json()["reason"]),
        (&json!({ "amount": 1000, "currency": "USD" }), &json!("The lid was broken"))
    );
    assert_eq!(
        fixture.message_types(&mut harness).await.last().unwrap(),
        "payment_succeeded",
        "the totals have changed"
    );
    assert_eq!(fixture.read(&payment, ADMIN).await.json()["refunded"]["amount"], 1000);

    let rest = fixture.request_refund("rest", &payment, None).await;
    assert_eq!(
        (status_and_code(&rest), &rest.json()["amount"]["amount"]),
        (answered(201, "completed"), &json!(PRICE - 1000))
    );
    assert_eq!(fixture.message_types(&mut harness).await.last().unwrap(), "payment_refunded");
    fixture.clock.advance(Duration::from_secs(100_000));
    for (key, cents, first) in [("part", Some(1000), &part), ("rest", None, &rest)] {
        let again = fixture.request_refund(key, &payment, cents).await;
        assert_eq!((again.status(), &again.ok()["body"]), (201, &first.ok()["body"]));
        assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    }
    assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((1, PRICE), 0));
}

#[tokio::test]
async fn unrefundable_amount_is_rejected_and_writes_nothing() {
    let fixture = PaymentsFixture::with_open_order().await;
    let declined = fixture.pay("declined", "tok_declined").await.json()["payment_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let payment = fixture.pay("paid", "tok_ok").await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(fixture.request_refund("half", &payment, Some(3000)).await.status(), 201);
    let before = fixture.aws.items("payments");
    let usd =
        |amount: i64| json!({ "amount": { "amount": amount, "currency": "USD" }, "reason": "why" });
    assert_eq!(
        status_and_code(&fixture.post_refund("key", &declined, &usd(1)).await),
        answered(409, "not_refundable")
    );
    assert_eq!(
        fixture.post_refund("half", &payment, &usd(1)).await.json()["code"],
        "idempotency_key_reused"
    );
    assert_eq!(
        fixture.post_refund("half", &declined, &usd(3000)).await.json()["code"],
        "idempotency_key_reused"
    );
    assert_eq!(fixture.aws.items("payments"), before);

    assert_eq!(
        status_and_code(&fixture.request_refund("rest", &payment, None).await),
        answered(201, "completed")
    );
    assert_eq!(
        status_and_code(&fixture.request_refund("more", &payment, None).await),
        answered(409, "not_refundable")
    );
    assert_eq!(
        status_and_code(&fixture.request_refund("more", &payment, Some(1)).await),
        answered(409, "not_refundable")
    );
    assert_eq!(fixture.provider_totals(), (1, PRICE));
}

#[tokio::test]
async fn only_one_of_fifty_concurrent_refunds_of_60_percent_succeeds() {
    for (seed, same_key) in (0..6).flat_map(|seed| [(seed, true), (seed, false)]) {
        let fixture = Arc::new(PaymentsFixture::crowded(seed));
        assert!(fixture.charge("tok_ok", 0).await);
        let payment = automatic().to_string();
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..50 {
            let (fixture, payment) = (fixture.clone(), payment.clone());
            let key = if same_key { "key".to_owned() } else { format!("key-{number}") };
            asked.spawn(async move {
                status_and_code(&fixture.request_refund(&key, &payment, Some(MOST)).await)
            });
        }
        let answers = asked.join_all().await;
        let refusals = if same_key {
            [answered(409, "request_in_progress")].to_vec()
        } else {
            [answered(409, "not_refundable"), answered(422, "exceeds_refundable")].to_vec()
        };
        let given = answers.iter().filter(|answer| **answer == answered(201, "completed")).count();
        assert!(
            answers.iter().all(|answer| refusals.contains(answer) || answer.0 == 201),
            "{answers:?}"
        );
        assert!(given == 1 || same_key && given > 1, "{answers:?}");
        assert_eq!(
            (fixture.provider_totals(), fixture.unsettled(), fixture.intent().await.refundable),
            ((1, MOST), 0, PRICE - MOST)
        );
    }
}

#[tokio::test]
async fn equal_partial_refunds_under_two_keys_both_succeed() {
    for seed in 0..20 {
        let fixture = Arc::new(PaymentsFixture::crowded(seed));
        assert!(fixture.charge("tok_ok", 0).await);
        let payment = automatic().to_string();
        let mut asked = tokio::task::JoinSet::new();
        for key in ["one", "other"] {
            let (fixture, payment) = (fixture.clone(), payment.clone());
            asked.spawn(async move {
                status_and_code(&fixture.request_refund(key, &payment, Some(PRICE / 2)).await)
            });
        }
        assert_eq!(
            asked.join_all().await,
            [answered(201, "completed"), answered(201, "completed")]
        );
        assert_eq!(
            (fixture.provider_totals(), fixture.unsettled(), fixture.intent().await.refunded_total),
            ((1, PRICE), 0, PRICE)
        );
    }
}

#[tokio::test]
async fn failed_refund_restores_the_refundable_amount() {
    let (fixture, payment) = paid().await;
    let mut harness = fixture.stream();
    fixture.set_refundable(0);
    let first = fixture.request_refund("key", &payment, Some(1000)).await;
    assert_eq!(status_and_code(&first), answered(409, "refund_failed"));
    let again = fixture.request_refund("key", &payment, Some(1000)).await;
    assert_eq!(
        (&again.ok()["body"], again.header("idempotent-replayed").as_deref()),
        (&first.ok()["body"], Some("true"))
    );
    assert_eq!((fixture.intent().await.refundable, fixture.unsettled()), (PRICE, 0));
    // The order did not request this refund, so it only receives the new payment state.
    assert!(
        !fixture.message_types(&mut harness).await.contains(&"payment_refund_failed".to_owned())
    );
    fixture.set_refundable(PRICE);
    assert_eq!(
        status_and_code(&fixture.request_refund("another", &payment, Some(1000)).await),
        answered(201, "completed")
    );
    assert_eq!(fixture.provider_totals(), (1, 1000));
}

#[tokio::test]
async fn refund_survives_each_pair_of_faults() {
    for first in 0..USUAL_CALLS {
        for second in first + 1..=USUAL_CALLS {
            for (fault, other) in FAULTS
                .iter()
                .flat_map(|fault| LATER_FAULTS.iter().map(move |other| (*fault, *other)))
            {
                let (fixture, payment) = paid().await;
                fixture.aws.fail(first, fault);
                fixture.aws.fail(second, other);
                let answer = fixture.request_refund("key", &payment, Some(1000)).await;
                assert!([201, 202, 409, 503].contains(&answer.status()), "{:?}", answer.answer);
                fixture.aws.heal();
                for _ in 0..3 {
                    fixture.clock.advance(Duration::from_secs(65));
                    fixture.request_refund("key", &payment, Some(1000)).await;
                    fixture.reconcile_after(1).await;
                }
                let at = format!("{fault:?} at {first}, {other:?} at {second}");
                assert_eq!(
                    status_and_code(&fixture.request_refund("key", &payment, Some(1000)).await),
                    answered(201, "completed"),
                    "{at}"
                );
                assert_eq!(
                    (
                        fixture.intent().await.refunded_total,
                        fixture.provider_totals(),
                        fixture.unsettled()
                    ),
                    (1000, (1, 1000), 0),
                    "{at}"
                );
            }
        }
    }
}

#[tokio::test]
async fn cancellation_refunds_the_remaining_amount() {
    // The partial refund succeeded; it is in progress; it is in progress and fails.
    for (dies_after, fails) in [(None, false), (Some(2), false), (Some(2), true)] {
        let (fixture, payment) = paid().await;
        let mut harness = fixture.stream();
        if let Some(calls) = dies_after {
            fixture.crash_after(calls);
        }
        fixture.request_refund("part", &payment, Some(1000)).await;
        fixture.aws.heal();
        assert_eq!(fixture.intent().await.refundable, PRICE - 1000);
        assert!(fixture.refund(1).await);
        let message_types = fixture.message_types(&mut harness).await;
        assert_eq!(
            message_types.contains(&"payment_refunded".to_owned()),
            dies_after.is_none(),
            "only after all refunds have settled: {message_types:?}"
        );
        if fails {
            fixture.set_refundable(0);
            fixture.reconcile_after(65).await;
            assert_eq!(
                fixture.intent().await.refundable,
                1000,
                "the failed part is refundable again"
            );
            fixture.set_refundable(1000);
        }
        for attempt in 2..4 {
            fixture.reconcile_after(65).await;
            fixture.refund(attempt).await;
        }
        assert_eq!(
            fixture.message_types(&mut harness).await.last().map(String::as_str),
            Some("payment_refunded")
        );
        assert_eq!(
            (fixture.provider_totals(), fixture.unsettled()),
            ((1, PRICE), 0),
            "{dies_after:?} {fails}"
        );
    }
}

#[tokio::test]
async fn unsent_refund_is_sent_by_the_sweep() {
    for calls in 0..CALLS {
        let (fixture, payment) = paid().await;
        fixture.crash_after(calls);
        fixture.request_refund("key", &payment, Some(1000)).await;
        fixture.aws.heal();
        let recorded = fixture.intent().await.refundable < PRICE;
        for _ in 0..3 {
            fixture.reconcile_after(65).await;
        }
        assert_eq!(
            (fixture.provider_totals(), fixture.unsettled()),
            ((1, if recorded { 1000 } else { 0 }), 0),
            "crashed after {calls}"
        );
    }
}
