//! Two buckets in one attempt: the one of the account and the one of its network.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use shared::{clock::Timestamp, ids::Ids};
use tests::{
    aws::{Aws, Fault},
    shop::users_store as store,
};
use tokio::task::JoinSet;
use users::throttle::{Bucket, Buckets, RateLimitDecision};

use super::{BURST, START, calls, refused};

/// The bucket of a network with this burst, and the bucket of the account with this address.
fn pair(burst: u32, source: &str, address: &str) -> [Bucket; 2] {
    let buckets = Buckets::new([7; 32], burst);
    [buckets.login_network(source), buckets.login_unknown_device(address)]
}

/// All buckets with their arrival times.
fn arrivals(aws: &Aws) -> BTreeMap<String, i64> {
    let of = |item: &Value| {
        (
            item["pk"]["S"].as_str().unwrap().to_owned(),
            item["tat"]["N"].as_str().unwrap().parse().unwrap(),
        )
    };
    aws.items("sessions").iter().map(of).collect()
}

#[tokio::test]
async fn attempt_refused_by_the_network_charges_no_account_and_costs_one_call() {
    let aws = Aws::new();
    let store = store(&aws.sdk_config());
    for _ in 0..3 {
        assert_eq!(
            store
                .consume_attempts(&pair(3, "203.0.113.7", "ada@example.com"), START)
                .await
                .unwrap(),
            RateLimitDecision::Allowed
        );
    }
    let (before, cost) = (arrivals(&aws), calls(&aws));
    assert_eq!((before.len(), cost), (2, 1 + 1 + 2 * 2 + 2 * 2));
    for stranger in 0..20 {
        let refused = store
            .consume_attempts(&pair(3, "203.0.113.7", &format!("{stranger}@example.com")), START)
            .await
            .unwrap();
        assert_eq!(refused, RateLimitDecision::Throttled { retry_after: Duration::from_secs(300) });
    }
    assert_eq!((arrivals(&aws), calls(&aws) - cost), (before, 20));
}

#[tokio::test]
async fn attempt_refused_by_the_account_is_refunded_to_the_network() {
    let aws = Aws::new();
    let store = store(&aws.sdk_config());
    for source in ["203.0.113.7", "203.0.113.8"] {
        for _ in 0..5 {
            assert_eq!(
                store.consume_attempts(&pair(300, source, "ada@example.com"), START).await.unwrap(),
                RateLimitDecision::Allowed
            );
        }
    }
    let (before, cost) = (arrivals(&aws), calls(&aws));
    for _ in 0..20 {
        assert_eq!(
            store
                .consume_attempts(&pair(300, "203.0.113.7", "ada@example.com"), START)
                .await
                .unwrap(),
            refused(900_000)
        );
    }
    assert_eq!(arrivals(&aws), before);
    assert_eq!(
        calls(&aws) - cost,
        20 * (2 + 1 + 1),
        "two for the busy network, one for the account, one for the refund"
    );
    // A failed refund changes no answer. It only costs the network one attempt.
    aws.fail(3, Fault::LoseRequest);
    assert_eq!(
        store.consume_attempts(&pair(300, "203.0.113.7", "ada@example.com"), START).await.unwrap(),
        refused(900_000)
    );
    aws.heal();
    let [network, account] =
        pair(300, "203.0.113.7", "ada@example.com").map(|bucket| name(&bucket));
    let after = arrivals(&aws);
    assert_eq!((after[&account], after[&network]), (before[&account], before[&network] + 3_000));
}

fn name(bucket: &Bucket) -> String {
    let shown = format!("{bucket:?}");
    format!("BUCKET#{}", shown.split('"').nth(1).unwrap())
}

#[tokio::test]
async fn combined_buckets_decide_like_the_domain_rule() {
    for seed in 0..8_u64 {
        let chance = Ids::seeded(seed * 1_000);
        let below = |limit: u64| u64::from_be_bytes(chance.bytes::<8>()) % limit;
        let aws = Aws::new();
        let store = store(&aws.sdk_config());
        let burst = u32::try_from(2 + below(20)).unwrap();
        let (mut now, mut expected) = (START, BTreeMap::<String, Timestamp>::new());
        for step in 0..60 {
            now = now.plus(Duration::from_millis(
                [0, 0, 0, below(60_000), below(900_000)][usize::try_from(below(5)).unwrap()],
            ));
            let buckets = pair(
                burst,
                &format!("203.0.113.{}", below(3)),
                &format!("{}@example.com", below(3)),
            );
            let names = buckets.each_ref().map(name);
            let checked =
                [0, 1].map(|at| buckets[at].limit().check(expected.get(&names[at]).copied(), now));
            let decision = match checked {
                [Ok(network), Ok(account)] => {
                    expected.extend([(names[0].clone(), network), (names[1].clone(), account)]);
                    RateLimitDecision::Allowed
                }
                // The network's bucket is checked first.
                [Err(retry_after), _] | [Ok(_), Err(retry_after)] => {
                    RateLimitDecision::Throttled { retry_after }
                }
            };
            assert_eq!(
                store.consume_attempts(&buckets, now).await.unwrap(),
                decision,
                "seed {seed}, step {step}"
            );
            // A refunded bucket equals an unused one.
            let seen = |at: Timestamp| at.max(now);
            let stored = arrivals(&aws)
                .into_iter()
                .map(|(name, at)| (name, seen(Timestamp::from_milliseconds(at))));
            let stored: BTreeMap<_, _> = stored.filter(|(_, at)| *at > now).collect();
            let rule: BTreeMap<_, _> = expected
                .iter()
                .map(|(name, at)| (name.clone(), seen(*at)))
                .filter(|(_, at)| *at > now)
                .collect();
            assert_eq!(stored, rule, "seed {seed}, step {step}");
        }
    }
}

#[tokio::test]
async fn concurrent_attempts_charge_both_buckets_or_none() {
    for seed in 0..20 {
        let aws = Aws::new();
        let store = Arc::new(store(&aws.crowded_sdk_config(seed)));
        let mut attempts = JoinSet::new();
        for attempt in 0..40 {
            let store = store.clone();
            let buckets =
                pair(15, "203.0.113.7", ["ada@example.com", "bob@example.com"][attempt % 2]);
            attempts.spawn(async move { store.consume_attempts(&buckets, START).await.unwrap() });
        }
        let outcomes = attempts.join_all().await;
        let admitted =
            outcomes.iter().filter(|outcome| **outcome == RateLimitDecision::Allowed).count();
        let charged = |address: &str, at: usize| {
            let bucket = &pair(15, "203.0.113.7", address)[at];
            let arrival =
                arrivals(&aws).get(&name(bucket)).map_or(0, |at| at - START.milliseconds());
            usize::try_from(arrival.max(0)).unwrap()
                / usize::try_from(bucket.limit().interval().as_millis()).unwrap()
        };
        // A network whose last attempts are not yet refunded may reject one that it would allow
        // later.
        assert!((5..=15).contains(&admitted), "seed {seed}: {admitted}");
        assert_eq!(charged("ada@example.com", 0), admitted, "seed {seed}: the network");
        let accounts = ["ada@example.com", "bob@example.com"].map(|address| charged(address, 1));
        assert_eq!(accounts.iter().sum::<usize>(), admitted, "seed {seed}: the accounts");
        assert!(accounts.iter().all(|charged| *charged <= 10), "seed {seed}");
    }
}

#[tokio::test]
async fn lost_answer_of_combined_buckets_allows_no_extra_attempt() {
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        for call in 0..24 {
            let aws = Aws::new();
            let store = store(&aws.sdk_config());
            aws.fail(call, fault);
            let mut count = 0;
            for _ in 0..14 {
                let decision = store
                    .consume_attempts(&pair(12, "203.0.113.7", "ada@example.com"), START)
                    .await;
                count += u32::from(matches!(decision, Ok(RateLimitDecision::Allowed)));
            }
            assert!((BURST - 1..=BURST).contains(&count), "{fault:?} at {call}: {count}");
        }
    }
}
