//! Rate limits: exactly the allowed number of attempts, under concurrency and any fault.

mod combined;

use std::{sync::Arc, time::Duration};

use aws_config::retry::RetryConfig;
use serde_json::{Value, json};
use shared::{
    clock::Timestamp,
    ids::{Ids, derive},
    table::{Expression, Key, TransactionOutcome, to_item},
};
use tests::{
    aws::{Aws, Fault},
    faults::{InjectedFault, for_each_fault},
    shop::users_store as store,
};
use tokio::task::JoinSet;
use users::{
    store::Store,
    throttle::{Bucket, Buckets, LOGIN_UNKNOWN_DEVICE, Limit, RateLimitDecision},
    tokens::device::DeviceToken,
};

const START: Timestamp = Timestamp::from_milliseconds(1_795_255_200_000);
const MILLISECOND: Duration = Duration::from_millis(1);
const BURST: u32 = 10;

fn buckets() -> Buckets {
    Buckets::new([7; 32], 300)
}

/// A burst of ten, then one attempt every 15 minutes.
fn strangers() -> Bucket {
    buckets().login_unknown_device("ada@example.com")
}

async fn fill(store: &Store, bucket: &Bucket, now: Timestamp) {
    for _ in 0..bucket.limit().burst() {
        assert_eq!(store.consume_attempt(bucket, now).await.unwrap(), RateLimitDecision::Allowed);
    }
}

/// The number of concurrent attempts that are allowed. An attempt without a decision does not
/// count.
async fn admitted(store: &Store, bucket: &Bucket, now: Timestamp, tries: u32) -> u32 {
    let mut count = 0;
    for _ in 0..tries {
        count += u32::from(matches!(
            store.consume_attempt(bucket, now).await,
            Ok(RateLimitDecision::Allowed)
        ));
    }
    count
}

/// The arrival time of the only bucket.
fn arrival(aws: &Aws) -> Option<Timestamp> {
    let items = aws.items("sessions");
    assert!(items.len() <= 1);
    items.first().map(|item| {
        Timestamp::from_milliseconds(item["tat"]["N"].as_str().unwrap().parse().unwrap())
    })
}

fn refused(milliseconds: u64) -> RateLimitDecision {
    RateLimitDecision::Throttled { retry_after: Duration::from_millis(milliseconds) }
}

fn calls(aws: &Aws) -> usize {
    aws.calls().len()
}

#[tokio::test]
async fn attempt_takes_one_call_when_idle_or_rejected_and_two_when_busy() {
    let aws = Aws::new();
    let (store, bucket) = (store(&aws.sdk_config()), strangers());
    for cost in [1].into_iter().chain([2; 9]) {
        let before = calls(&aws);
        assert_eq!(
            store.consume_attempt(&bucket, START).await.unwrap(),
            RateLimitDecision::Allowed
        );
        assert_eq!(calls(&aws) - before, cost);
    }
    let (before, items) = (calls(&aws), aws.items("sessions"));
    for _ in 0..5 {
        assert_eq!(store.consume_attempt(&bucket, START).await.unwrap(), refused(900_000));
    }
    assert_eq!((calls(&aws) - before, aws.items("sessions")), (5, items), "nothing is changed");
    let rested = arrival(&aws).unwrap();
    assert_eq!(store.consume_attempt(&bucket, rested).await.unwrap(), RateLimitDecision::Allowed);
    assert_eq!(calls(&aws) - before, 6);
    assert!(aws.calls().iter().all(|call| call.operation == "UpdateItem"));
}

#[tokio::test]
async fn reported_wait_is_exact() {
    let aws = Aws::new();
    let (store, bucket) = (store(&aws.sdk_config()), strangers());
    fill(&store, &bucket, START).await;
    let later = START.plus(Duration::from_millis(123_456));
    assert_eq!(store.consume_attempt(&bucket, later).await.unwrap(), refused(900_000 - 123_456));
    let due = START.plus(LOGIN_UNKNOWN_DEVICE.interval());
    assert_eq!(
        store
            .consume_attempt(&bucket, START.plus(LOGIN_UNKNOWN_DEVICE.interval() - MILLISECOND))
            .await
            .unwrap(),
        refused(1)
    );
    assert_eq!(store.consume_attempt(&bucket, due).await.unwrap(), RateLimitDecision::Allowed);
    assert_eq!(store.consume_attempt(&bucket, due).await.unwrap(), refused(900_000));
}

#[tokio::test]
async fn stored_bucket_decides_like_the_domain_rule() {
    for seed in 0..12_u64 {
        let chance = Ids::seeded(seed * 1_000);
        let below = |limit: u64| u64::from_be_bytes(chance.bytes::<8>()) % limit;
        let aws = Aws::new();
        let store = store(&aws.sdk_config());
        let bucket = Buckets::new([7; 32], u32::try_from(1 + below(6)).unwrap())
            .login_network("203.0.113.7");
        let limit = bucket.limit();
        let interval = u64::try_from(limit.interval().as_millis()).unwrap();
        let (mut now, mut expected) = (START, None::<Timestamp>);
        for step in 0..60 {
            now = now.plus(Duration::from_millis(
                [0, 0, below(interval), below(interval * 4)][usize::try_from(below(4)).unwrap()],
            ));
            let checked = limit.check(expected, now);
            let decision = store.consume_attempt(&bucket, now).await.unwrap();
            match checked {
                Ok(next) => {
                    assert_eq!(decision, RateLimitDecision::Allowed, "seed {seed}, step {step}");
                    expected = Some(next);
                    if below(3) == 0 {
                        store.refund_attempt(&bucket, now).await.unwrap();
                        expected = Some(Timestamp::from_milliseconds(
                            next.milliseconds() - i64::try_from(interval).unwrap(),
                        ));
                    }
                }
                Err(retry_after) => assert_eq!(
                    decision,
                    RateLimitDecision::Throttled { retry_after },
                    "seed {seed}, step {step}"
                ),
            }
            assert_eq!(arrival(&aws), expected, "seed {seed}, step {step}");
        }
    }
}

#[tokio::test]
async fn concurrent_attempts_share_the_burst() {
    for seed in 0..20 {
        let aws = Aws::new();
        let (store, bucket) =
            (Arc::new(store(&aws.crowded_sdk_config(seed))), Arc::new(strangers()));
        let mut tries = JoinSet::new();
        for _ in 0..4 * BURST {
            let (store, bucket) = (store.clone(), bucket.clone());
            tries.spawn(async move { store.consume_attempt(&bucket, START).await.unwrap() });
        }
        let outcomes = tries.join_all().await;
        assert_eq!(
            outcomes.iter().filter(|outcome| **outcome == RateLimitDecision::Allowed).count(),
            10,
            "seed {seed}"
        );
        assert_eq!(
            arrival(&aws),
            Some(START.plus(LOGIN_UNKNOWN_DEVICE.interval() * BURST)),
            "seed {seed}"
        );
        assert!(calls(&aws) <= 80, "seed {seed}: at most two calls each");
    }
}

#[tokio::test]
async fn lost_answer_allows_no_extra_attempt() {
    // Ten attempts make nineteen calls.
    for_each_fault((0..19).step_by(3), async |InjectedFault { call, fault }| {
        let aws = Aws::new();
        let (store, bucket) = (store(&aws.sdk_config()), strangers());
        aws.fail(call, fault);
        let count = admitted(&store, &bucket, START, BURST + 2).await;
        // A lost response may still have been charged: then one attempt fewer is allowed, never one
        // more.
        let is_paid = fault == Fault::LoseResponse && (call == 0 || call % 2 == 0);
        assert_eq!(count, BURST - u32::from(is_paid), "{fault:?} at {call}");
    })
    .await;
    // With SDK retries the same holds.
    let retry = RetryConfig::standard().with_max_attempts(2).with_initial_backoff(MILLISECOND);
    for call in (0..19).step_by(3) {
        let aws = Aws::new();
        let config = aws.sdk_config().to_builder().retry_config(retry.clone()).build();
        aws.fail(call, Fault::LoseResponse);
        let count = admitted(&store(&config), &strangers(), START, BURST + 2).await;
        assert!((BURST - 1..=BURST).contains(&count), "{count} at {call}");
    }
}

#[tokio::test]
async fn refunded_attempt_is_available_again_at_most_twice() {
    let retry = RetryConfig::standard().with_max_attempts(2).with_initial_backoff(MILLISECOND);
    for (fault, extra) in [(None, 0), (Some(Fault::LoseRequest), 0), (Some(Fault::LoseResponse), 1)]
    {
        let aws = Aws::new();
        let config = aws.sdk_config().to_builder().retry_config(retry.clone()).build();
        let (store, bucket) = (store(&config), strangers());
        fill(&store, &bucket, START).await;
        if let Some(fault) = fault {
            aws.fail(0, fault);
        }
        store.refund_attempt(&bucket, START).await.unwrap();
        assert_eq!(admitted(&store, &bucket, START, BURST).await, 1 + extra, "{fault:?}");
    }
    // Any number of successful logins is refunded completely, and no bucket exceeds its burst.
    let aws = Aws::new();
    let (store, bucket) = (store(&aws.sdk_config()), strangers());
    for _ in 0..3 * BURST {
        assert_eq!(
            store.consume_attempt(&bucket, START).await.unwrap(),
            RateLimitDecision::Allowed
        );
        store.refund_attempt(&bucket, START).await.unwrap();
    }
    assert_eq!(admitted(&store, &bucket, START, 3 * BURST).await, BURST);
}

#[tokio::test]
async fn refunds_never_exceed_the_burst() {
    let aws = Aws::new();
    let (store, bucket) = (store(&aws.sdk_config()), strangers());
    for _ in 0..3 {
        store.refund_attempt(&bucket, START).await.unwrap();
    }
    assert_eq!(admitted(&store, &bucket, START, 3 * BURST).await, BURST);
    let rested = arrival(&aws).unwrap();
    store.refund_attempt(&bucket, rested).await.unwrap();
    assert_eq!(admitted(&store, &bucket, rested, 3 * BURST).await, BURST);
}

#[tokio::test]
async fn refund_and_clear_join_other_transactions_without_failing_them() {
    let aws = Aws::new();
    let (store, bucket) = (store(&aws.sdk_config()), strangers());
    let other = |name: &str| {
        store.sessions.transact_put(to_item(&json!({ "pk": name })), Expression::not_exists())
    };
    let remove = async |name: &str| {
        store.sessions.delete(Key::new(name), Expression::exists()).await.unwrap()
    };

    // The bucket is idle: both statements are part of the transaction all the same.
    let written = store
        .sessions
        .transact(vec![other("one"), store.transact_clear_bucket(&bucket)])
        .await
        .unwrap();
    assert_eq!((written, aws.items("sessions").len()), (TransactionOutcome::Written, 1));
    let written = store
        .sessions
        .transact(vec![other("two"), store.transact_refund_attempt(&bucket, START)])
        .await
        .unwrap();
    assert_eq!((written, aws.items("sessions").len()), (TransactionOutcome::Written, 3));
    assert!(
        aws.items("sessions")
            .iter()
            .all(|item| item.get("tat").is_some() == item.get("ttl").is_some()),
        "the item expires"
    );

    fill(&store, &bucket, START).await;
    let written = store
        .sessions
        .transact(vec![other("three"), store.transact_refund_attempt(&bucket, START)])
        .await
        .unwrap();
    assert_eq!(written, TransactionOutcome::Written);
    assert_eq!(admitted(&store, &bucket, START, BURST).await, 1);
    // The transaction is all or nothing.
    let refused = store
        .sessions
        .transact(vec![other("three"), store.transact_refund_attempt(&bucket, START)])
        .await
        .unwrap();
    assert!(
        matches!(refused, TransactionOutcome::Cancelled(conflicts) if conflicts[0].is_some() && conflicts[1].is_none())
    );
    assert_eq!(admitted(&store, &bucket, START, BURST).await, 0);

    let written = store
        .sessions
        .transact(vec![other("four"), store.transact_clear_bucket(&bucket)])
        .await
        .unwrap();
    assert_eq!(written, TransactionOutcome::Written);
    for name in ["one", "two", "three", "four"] {
        remove(name).await;
    }
    assert_eq!(aws.items("sessions"), Vec::<Value>::new());
    assert_eq!(admitted(&store, &bucket, START, 3 * BURST).await, BURST);
}

#[tokio::test]
async fn other_items_are_not_changed_as_buckets() {
    let aws = Aws::new();
    let (store, bucket) = (store(&aws.sdk_config()), strangers());
    assert_eq!(store.consume_attempt(&bucket, START).await.unwrap(), RateLimitDecision::Allowed);
    let other_item = json!({ "pk": aws.items("sessions")[0]["pk"], "something": { "S": "else" } });
    aws.put("sessions", &other_item);
    store.refund_attempt(&bucket, START).await.unwrap();
    for write in
        [store.transact_clear_bucket(&bucket), store.transact_refund_attempt(&bucket, START)]
    {
        assert!(matches!(
            store.sessions.transact(vec![write]).await.unwrap(),
            TransactionOutcome::Cancelled(_)
        ));
    }
    assert_eq!(aws.items("sessions"), [other_item]);
}

#[tokio::test]
async fn attempt_concurrent_with_a_refund_is_charged_fully() {
    let mut met = 0;
    for seed in 0..40 {
        let aws = Aws::new();
        let bucket = strangers();
        assert_eq!(
            store(&aws.sdk_config()).consume_attempt(&bucket, START).await.unwrap(),
            RateLimitDecision::Allowed
        );
        let before = calls(&aws);
        let crowded = store(&aws.crowded_sdk_config(seed));
        let now = START.plus(LOGIN_UNKNOWN_DEVICE.interval() - MILLISECOND);
        let (decision, refunded) = tokio::join!(
            crowded.consume_attempt(&bucket, now),
            crowded.refund_attempt(&bucket, START)
        );
        refunded.unwrap();
        assert_eq!(decision.unwrap(), RateLimitDecision::Allowed);
        // Between its first and second update the bucket moved into the past.
        if calls(&aws) - before == 4 {
            met += 1;
            assert_eq!(
                arrival(&aws),
                Some(now.plus(LOGIN_UNKNOWN_DEVICE.interval())),
                "seed {seed}"
            );
        }
    }
    assert!(met > 0, "no seed makes them overlap: the test is vacuous");
}

#[tokio::test]
async fn buckets_are_anonymous_and_expire() {
    let aws = Aws::new();
    let (store, buckets) = (store(&aws.sdk_config()), buckets());
    let device = DeviceToken::issue("ada@example.com", derive(&["ada"]), 1, &Ids::seeded(1), START);
    let all = [
        buckets.login_unknown_device("ada@example.com"),
        buckets.login_known_device(&device),
        buckets.login_network("203.0.113.7"),
        buckets.register_network("203.0.113.7"),
        buckets.link_network("203.0.113.7"),
        buckets.reset_account("ada@example.com"),
        buckets.reset_network("203.0.113.7"),
        buckets.password_confirmation(derive(&["ada"])),
        buckets.verification_mails(derive(&["ada"])),
    ];
    for bucket in &all {
        fill(&store, bucket, START).await;
        assert!(matches!(
            store.consume_attempt(bucket, START).await.unwrap(),
            RateLimitDecision::Throttled { .. }
        ));
    }
    let items = aws.items("sessions");
    assert_eq!(items.len(), all.len(), "one each");
    for item in &items {
        let names: Vec<&String> = item.as_object().unwrap().keys().collect();
        assert_eq!(names, ["pk", "tat", "ttl"]);
        let number = |name: &str| item[name]["N"].as_str().unwrap().parse::<i64>().unwrap();
        let empty = number("tat") / 1000;
        assert!((empty + 1..=empty + 2 * 3600).contains(&number("ttl")), "{item}");
        let pk = item["pk"]["S"].as_str().unwrap();
        assert!(pk.strip_prefix("BUCKET#").is_some_and(|mac| mac.len() == 43), "{pk}");
        for clear in ["ada", "203.0", &device.device_id()] {
            assert!(!item.to_string().contains(clear));
        }
    }
}

#[tokio::test]
async fn network_burst_follows_the_setting() {
    let aws = Aws::new();
    let store = store(&aws.sdk_config());
    for burst in [1, 3, 50] {
        let bucket =
            Buckets::new([8; 32], burst).login_network(&format!("2001:db8::{burst}:0:0:0:1"));
        assert_eq!(bucket.limit(), Limit::network(burst));
        assert_eq!(admitted(&store, &bucket, START, burst + 5).await, burst);
        // The same customer from another of their addresses.
        let same =
            Buckets::new([8; 32], burst).login_network(&format!("2001:db8::{burst}:ffff:1:2:3"));
        assert_eq!(admitted(&store, &same, START, 5).await, 0);
        let rested = START.plus(Duration::from_secs(15 * 60) + MILLISECOND * burst);
        assert_eq!(admitted(&store, &bucket, rested, burst + 5).await, burst);
    }
}
