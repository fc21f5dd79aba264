//! Concurrency: amounts are correct for any order of writes and any stale read.

use std::{sync::Arc, time::Duration};

use payments::{
    domain::{Change, IntentState, PaymentIntent},
    store::WriteOutcome,
};

use super::{PRICE, PaymentsFixture, order};

#[tokio::test]
async fn fifty_concurrent_payments_charge_once() {
    for (seed, same_key) in (0..6).flat_map(|seed| [(seed, true), (seed, false)]) {
        let fixture = Arc::new(PaymentsFixture::crowded(seed));
        fixture.open(0).await;
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..50 {
            let fixture = fixture.clone();
            let key = if same_key { "key".to_owned() } else { format!("key-{number}") };
            asked.spawn(async move {
                let answer = fixture.pay(&key, "tok_ok").await;
                (answer.status(), answer.json()["code"].as_str().unwrap_or_default().to_owned())
            });
        }
        let answers = asked.join_all().await;
        let refusals = if same_key {
            ["request_in_progress", "request_in_progress"]
        } else {
            ["payment_in_progress", "already_paid"]
        };
        let allowed = |(status, code): &(u64, String)| {
            *status == 201 || *status == 409 && refusals.contains(&code.as_str())
        };
        assert!(answers.iter().all(allowed), "{answers:?}");
        let completed = answers.iter().filter(|(status, _)| *status == 201).count();
        assert!(completed == 1 || same_key && completed > 1, "{answers:?}");
        assert_eq!((fixture.provider_totals(), fixture.unsettled()), ((1, 0), 0));
        let attempts = fixture.payments.store().intent_and_attempts(order()).await.unwrap().1;
        assert_eq!(attempts.len(), 1);
    }
}

#[tokio::test]
async fn cancelled_order_keeps_no_money_in_any_race() {
    let tokens = [
        "tok_ok",
        "tok_declined",
        "tok_timeout_after_charge",
        "tok_timeout_before_charge",
        "tok_5xx_then_ok",
    ];
    for seed in 0..60 {
        let fixture = Arc::new(PaymentsFixture::crowded(seed * 1000));
        let token = tokens[usize::try_from(seed).unwrap() % tokens.len()];
        let mut crowd = tokio::task::JoinSet::new();
        for round in 0..2_u64 {
            for role in 0..9_u64 {
                let fixture = fixture.clone();
                crowd.spawn(async move {
                    for _ in 0..(seed * 7 + role * 5 + round * 23) % 41 {
                        tokio::task::yield_now().await;
                    }
                    match role {
                        0 | 1 => drop(fixture.charge(token, round).await),
                        2 => drop(fixture.cancel(round).await),
                        3 => drop(fixture.refund(round).await),
                        4 => drop(fixture.reconcile_after(7).await),
                        5 => drop(fixture.reconcile_after(40).await),
                        6 => drop(fixture.pay("a key", "tok_ok").await),
                        7 => drop(fixture.pay(&format!("key {round}"), token).await),
                        _ => drop(fixture.open(round).await),
                    }
                });
            }
        }
        crowd.join_all().await;
        for attempt in 2..6 {
            fixture.cancel(attempt).await;
            fixture.reconcile_after(300).await;
            fixture.refund(attempt).await;
            fixture.reconcile_after(300).await;
        }
        let (charges, refunded) = fixture.provider_totals();
        let intent = fixture.intent().await;
        let charged = i64::try_from(charges).unwrap() * PRICE;
        assert!(charges <= 1, "{token}, seed {seed}: {charges} charges");
        assert_eq!(
            (refunded, intent.captured_total, intent.refunded_total, fixture.unsettled()),
            (charged, charged, charged, 0),
            "{token}, seed {seed}"
        );
        assert_eq!(
            intent.state,
            if charges == 1 { IntentState::Captured } else { IntentState::Closed },
            "{token}, seed {seed}"
        );
    }
}

#[tokio::test]
async fn writes_on_outdated_records_are_rejected() {
    let fixture = PaymentsFixture::with_open_order().await;
    let store = fixture.payments.store();
    let read = fixture.intent().await;
    assert!(fixture.open(1).await, "another instance records the outcome meanwhile");
    let now = fixture.clock.now();
    let stale = read.close(None, 2, now, Duration::from_secs(60), &read.traceparent);
    let WriteOutcome::Conflict(records) = store.write(&stale, None).await.unwrap() else {
        panic!("a stale write is rejected")
    };
    assert_eq!(records.intent, Some(fixture.intent().await), "the stored record is returned");
    assert_eq!(fixture.intent().await.state, IntentState::Open);

    assert_eq!(fixture.pay("key", "tok_ok").await.status(), 201);
    let (intent, attempts) = store.intent_and_attempts(order()).await.unwrap();
    let (intent, attempt) = (intent.unwrap(), &attempts[0]);
    let outdated = Change {
        intent: Some(PaymentIntent { version: intent.version + 1, ..intent.clone() }),
        attempt: Some(attempt.clone()),
        ..Change::default()
    };
    assert!(
        matches!(store.write(&outdated, None).await.unwrap(), WriteOutcome::Conflict(_)),
        "an outdated attempt blocks the write of its intent"
    );
    assert_eq!(fixture.intent().await, intent);
}
