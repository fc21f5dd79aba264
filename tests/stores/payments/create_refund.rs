//! `POST /payments/{payment_id}/refunds`: refunds by the shop.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tests::{aws::Called, events::ADMIN, faults::FAULTS};

use super::{CALLS, LATER_FAULTS, PRICE, PaymentsFixture, USUAL_CALLS, automatic};

/// 60 % of the captured amount.
const MOST: i64 = PRICE * 60 / 100;

/// A shop with a paid order, and the id of its payment.
async fn paid() -> (PaymentsFixture, String) {
    let till = PaymentsFixture::new();
    assert!(till.charge("tok_ok", 0).await);
    (till, automatic().to_string())
}

fn told(answer: &Called) -> (u64, String) {
    let json = answer.json();
    (
        answer.status(),
        json["code"].as_str().or(json["status"].as_str()).unwrap_or_default().to_owned(),
    )
}

fn is(status: u64, code: &str) -> (u64, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn partial_and_final_refund_keep_their_answers() {
    let (till, payment) = paid().await;
    let mut harness = till.stream();
    till.told(&mut harness).await;
    let part = till.ask_back("part", &payment, Some(1000)).await;
    assert_eq!(
        part.operations_on("payments"),
        ["BatchGetItem", "TransactWriteItems", "PutItem", "TransactWriteItems"]
    );
    assert_eq!(told(&part), is(201, "completed"));
    assert_eq!(part.header("location"), Some(format!("../{payment}")));
    assert_eq!(
        (&part.json()["amount"], &part.json()["reason"]),
        (&json!({ "amount": 1000, "currency": "USD" }), &json!("The lid was broken"))
    );
    assert_eq!(
        till.told(&mut harness).await.last().unwrap(),
        "payment_succeeded",
        "the totals have changed"
    );
    assert_eq!(till.read(&payment, ADMIN).await.json()["refunded"]["amount"], 1000);

    let rest = till.ask_back("rest", &payment, None).await;
    assert_eq!(
        (told(&rest), &rest.json()["amount"]["amount"]),
        (is(201, "completed"), &json!(PRICE - 1000))
    );
    assert_eq!(till.told(&mut harness).await.last().unwrap(), "payment_refunded");
    till.clock.advance(Duration::from_secs(100_000));
    for (key, cents, first) in [("part", Some(1000), &part), ("rest", None, &rest)] {
        let again = till.ask_back(key, &payment, cents).await;
        assert_eq!((again.status(), &again.ok()["body"]), (201, &first.ok()["body"]));
        assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    }
    assert_eq!((till.books(), till.unsettled()), ((1, PRICE), 0));
}

#[tokio::test]
async fn unrefundable_amount_is_rejected_and_writes_nothing() {
    let till = PaymentsFixture::with_open_order().await;
    let declined = till.pay("declined", "tok_declined").await.json()["payment_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let payment = till.pay("paid", "tok_ok").await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(till.ask_back("half", &payment, Some(3000)).await.status(), 201);
    let before = till.aws.items("payments");
    let usd =
        |amount: i64| json!({ "amount": { "amount": amount, "currency": "USD" }, "reason": "why" });
    assert_eq!(told(&till.post_refund("key", &declined, &usd(1)).await), is(409, "not_refundable"));
    assert_eq!(
        till.post_refund("half", &payment, &usd(1)).await.json()["code"],
        "idempotency_key_reused"
    );
    assert_eq!(
        till.post_refund("half", &declined, &usd(3000)).await.json()["code"],
        "idempotency_key_reused"
    );
    assert_eq!(till.aws.items("payments"), before);

    assert_eq!(told(&till.ask_back("rest", &payment, None).await), is(201, "completed"));
    assert_eq!(told(&till.ask_back("more", &payment, None).await), is(409, "not_refundable"));
    assert_eq!(told(&till.ask_back("more", &payment, Some(1)).await), is(409, "not_refundable"));
    assert_eq!(till.books(), (1, PRICE));
}

#[tokio::test]
async fn of_fifty_at_once_that_ask_for_sixty_of_a_hundred_one_is_given() {
    for (seed, same_key) in (0..6).flat_map(|seed| [(seed, true), (seed, false)]) {
        let till = Arc::new(PaymentsFixture::crowded(seed));
        assert!(till.charge("tok_ok", 0).await);
        let payment = automatic().to_string();
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..50 {
            let (till, payment) = (till.clone(), payment.clone());
            let key = if same_key { "key".to_owned() } else { format!("key-{number}") };
            asked.spawn(async move { told(&till.ask_back(&key, &payment, Some(MOST)).await) });
        }
        let answers = asked.join_all().await;
        let refusals = if same_key {
            [is(409, "request_in_progress")].to_vec()
        } else {
            [is(409, "not_refundable"), is(422, "exceeds_refundable")].to_vec()
        };
        let given = answers.iter().filter(|answer| **answer == is(201, "completed")).count();
        assert!(
            answers.iter().all(|answer| refusals.contains(answer) || answer.0 == 201),
            "{answers:?}"
        );
        assert!(given == 1 || same_key && given > 1, "{answers:?}");
        assert_eq!(
            (till.books(), till.unsettled(), till.intent().await.refundable),
            ((1, MOST), 0, PRICE - MOST)
        );
    }
}

#[tokio::test]
async fn two_equal_parts_under_two_keys_both_go_back() {
    for seed in 0..20 {
        let till = Arc::new(PaymentsFixture::crowded(seed));
        assert!(till.charge("tok_ok", 0).await);
        let payment = automatic().to_string();
        let mut asked = tokio::task::JoinSet::new();
        for key in ["one", "other"] {
            let (till, payment) = (till.clone(), payment.clone());
            asked.spawn(async move { told(&till.ask_back(key, &payment, Some(PRICE / 2)).await) });
        }
        assert_eq!(asked.join_all().await, [is(201, "completed"), is(201, "completed")]);
        assert_eq!(
            (till.books(), till.unsettled(), till.intent().await.refunded_total),
            ((1, PRICE), 0, PRICE)
        );
    }
}

#[tokio::test]
async fn failed_refund_restores_the_refundable_amount() {
    let (till, payment) = paid().await;
    let mut harness = till.stream();
    till.may_give_back(0);
    let first = till.ask_back("key", &payment, Some(1000)).await;
    assert_eq!(told(&first), is(409, "refund_failed"));
    let again = till.ask_back("key", &payment, Some(1000)).await;
    assert_eq!(
        (&again.ok()["body"], again.header("idempotent-replayed").as_deref()),
        (&first.ok()["body"], Some("true"))
    );
    assert_eq!((till.intent().await.refundable, till.unsettled()), (PRICE, 0));
    // The order did not request this refund, so it only receives the new payment state.
    assert!(!till.told(&mut harness).await.contains(&"payment_refund_failed".to_owned()));
    till.may_give_back(PRICE);
    assert_eq!(told(&till.ask_back("another", &payment, Some(1000)).await), is(201, "completed"));
    assert_eq!(till.books(), (1, 1000));
}

#[tokio::test]
async fn refund_survives_each_pair_of_faults() {
    for first in 0..USUAL_CALLS {
        for second in first + 1..=USUAL_CALLS {
            for (fault, other) in FAULTS
                .iter()
                .flat_map(|fault| LATER_FAULTS.iter().map(move |other| (*fault, *other)))
            {
                let (till, payment) = paid().await;
                till.aws.fail(first, fault);
                till.aws.fail(second, other);
                let answer = till.ask_back("key", &payment, Some(1000)).await;
                assert!([201, 202, 409, 503].contains(&answer.status()), "{:?}", answer.answer);
                till.aws.heal();
                for _ in 0..3 {
                    till.clock.advance(Duration::from_secs(65));
                    till.ask_back("key", &payment, Some(1000)).await;
                    till.reconcile_after(1).await;
                }
                let at = format!("{fault:?} at {first}, {other:?} at {second}");
                assert_eq!(
                    told(&till.ask_back("key", &payment, Some(1000)).await),
                    is(201, "completed"),
                    "{at}"
                );
                assert_eq!(
                    (till.intent().await.refunded_total, till.books(), till.unsettled()),
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
        let (till, payment) = paid().await;
        let mut harness = till.stream();
        if let Some(calls) = dies_after {
            till.die_after(calls);
        }
        till.ask_back("part", &payment, Some(1000)).await;
        till.aws.heal();
        assert_eq!(till.intent().await.refundable, PRICE - 1000);
        assert!(till.refund(1).await);
        let told = till.told(&mut harness).await;
        assert_eq!(
            told.contains(&"payment_refunded".to_owned()),
            dies_after.is_none(),
            "only when everything is settled: {told:?}"
        );
        if fails {
            till.may_give_back(0);
            till.reconcile_after(65).await;
            assert_eq!(till.intent().await.refundable, 1000, "the part is to be given back again");
            till.may_give_back(1000);
        }
        for attempt in 2..4 {
            till.reconcile_after(65).await;
            till.refund(attempt).await;
        }
        assert_eq!(
            till.told(&mut harness).await.last().map(String::as_str),
            Some("payment_refunded")
        );
        assert_eq!((till.books(), till.unsettled()), ((1, PRICE), 0), "{dies_after:?} {fails}");
    }
}

#[tokio::test]
async fn unsent_refund_is_sent_by_the_sweep() {
    for calls in 0..CALLS {
        let (till, payment) = paid().await;
        till.die_after(calls);
        till.ask_back("key", &payment, Some(1000)).await;
        till.aws.heal();
        let recorded = till.intent().await.refundable < PRICE;
        for _ in 0..3 {
            till.reconcile_after(65).await;
        }
        assert_eq!(
            (till.books(), till.unsettled()),
            ((1, if recorded { 1000 } else { 0 }), 0),
            "died after {calls}"
        );
    }
}
