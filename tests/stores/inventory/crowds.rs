//! Many concurrent buyers of one product: it is never oversold, and all available stock is sold.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{
    shards::{order_id, spoons},
    *,
};

const BUYERS: u32 = 200;
const SPOONS: i64 = 50;

impl InventoryFixture {
    /// Concurrent operations interleave between AWS calls, depending on `seed`. They share one
    /// cache of the shard layout.
    fn crowded(seed: u64) -> Arc<Self> {
        Arc::new(Self::with_own_cache(&Aws::new(), seed))
    }

    /// Another instance over the same table, with its own cache of the shard layout.
    fn with_own_cache(aws: &Aws, seed: u64) -> Self {
        Self::over(&aws.crowded(seed))
    }

    /// Delivers a command like SQS: again until it is acknowledged.
    async fn deliver_until_done(&self, command: &str, number: u32, quantity: u32) {
        for _ in 0..20 {
            let answer =
                self.lambda(command)(Invocation::with_event(spoons(command, number, quantity)))
                    .await
                    .unwrap();
            if answer["batchItemFailures"] == json!([]) {
                return;
            }
        }
        panic!("order {number} failed twenty times");
    }

    /// Adjusts the stock under load, retrying while the answer is 503.
    async fn adjust_until_done(&self, key: &str, body: &Value) {
        for _ in 0..20 {
            let answer =
                self.lambda("adjust-stock")(Invocation::with_event(adjustment(key, SPOON, body)))
                    .await
                    .unwrap();
            match answer["statusCode"].as_u64() {
                Some(201) => return,
                Some(503) => {}
                other => panic!("{other:?}: {answer}"),
            }
        }
        panic!("the adjustment failed twenty times");
    }
}

/// Lets 200 buyers order a spoon each through two instances, while `switches` reshard the stock.
async fn rush(
    warehouse: &Arc<InventoryFixture>,
    seed: u64,
    switches: &'static [(&'static str, u32)],
) {
    let other = Arc::new(InventoryFixture::with_own_cache(&warehouse.aws, seed + 1));
    let mut crowd = JoinSet::new();
    for number in 0..BUYERS {
        let warehouse = if number % 2 == 0 { warehouse.clone() } else { other.clone() };
        crowd.spawn(async move {
            for _ in 0..number / 8 {
                tokio::task::yield_now().await;
            }
            warehouse.deliver_until_done(RESERVE, number, 1).await;
        });
    }
    let switching = warehouse.clone();
    crowd.spawn(async move {
        for (key, shards) in switches {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            switching
                .adjust_until_done(key, &json!({ "reason": "Sells fast", "shard_count": shards }))
                .await;
        }
    });
    let reading = other.clone();
    crowd.spawn(async move {
        for _ in 0..40 {
            tokio::task::yield_now().await;
            let (available, on_hand, held) = reading.seen().await;
            assert_eq!(
                (on_hand, available + held),
                (SPOONS, SPOONS),
                "every concurrent read sees the whole stock"
            );
        }
    });
    crowd.join_all().await;
}

async fn exactly_fifty_are_held(warehouse: &InventoryFixture, context: &str) {
    let states = warehouse.states();
    assert_eq!((states["held"], states["rejected"]), (50, 150), "{context}");
    assert_eq!(warehouse.seen().await, (0, SPOONS, SPOONS), "{context}");
    assert!(warehouse.shards().iter().all(|(_, available)| *available == 0), "{context}");
}

#[tokio::test]
async fn two_hundred_buyers_of_fifty_pieces_get_exactly_fifty() {
    for seed in 0..2 {
        let warehouse = InventoryFixture::crowded(seed * 1000);
        assert_eq!(warehouse.adjust("first", SPOON, SPOONS).await.status(), 201);
        rush(&warehouse, seed * 1000, &[]).await;
        exactly_fifty_are_held(&warehouse, "one place").await;
    }
}

#[tokio::test]
async fn two_hundred_buyers_of_fifty_pieces_in_eight_shards_get_exactly_fifty() {
    for seed in 0..2 {
        let warehouse = InventoryFixture::crowded(seed * 1000);
        assert_eq!(warehouse.adjust("first", SPOON, SPOONS).await.status(), 201);
        warehouse.reshard("on", 8).await;
        rush(&warehouse, seed * 1000, &[]).await;
        exactly_fifty_are_held(&warehouse, "eight parts").await;
    }
}

#[tokio::test]
async fn resharding_during_peak_load_sells_exactly_fifty() {
    for seed in 0..2 {
        for switches in [
            &[("on", 8)][..],
            &[("on", 8), ("off", 1)],
            &[("on", 4), ("more", 16), ("off", 1), ("again", 3)],
        ] {
            let warehouse = InventoryFixture::crowded(seed * 1000);
            assert_eq!(warehouse.adjust("first", SPOON, SPOONS).await.status(), 201);
            rush(&warehouse, seed * 1000, switches).await;
            exactly_fifty_are_held(&warehouse, &format!("seed {seed}, {switches:?}")).await;
        }
    }
    for seed in 0..2 {
        let warehouse = InventoryFixture::crowded(seed * 1000);
        let divided = json!({ "reason": "First delivery", "delta": SPOONS, "shard_count": 8 });
        assert_eq!(warehouse.settle("first", &divided).await.status(), 201);
        rush(&warehouse, seed * 1000, &[("off", 1)]).await;
        exactly_fifty_are_held(&warehouse, &format!("seed {seed}, merged")).await;
    }
}

#[tokio::test]
async fn resharding_under_load_keeps_the_total() {
    for seed in 0..4 {
        let warehouse = InventoryFixture::crowded(seed * 1000);
        assert_eq!(warehouse.adjust("first", SPOON, 100).await.status(), 201);
        let mut crowd = JoinSet::new();
        for number in 0..60 {
            let warehouse = warehouse.clone();
            crowd.spawn(async move {
                for _ in 0..number {
                    tokio::task::yield_now().await;
                }
                warehouse.deliver_until_done(RESERVE, number, 1 + number % 5).await;
                let is_held = warehouse
                    .item(format!("RESERVATION#{}", order_id(number)))
                    .await
                    .unwrap()["state"]
                    == "held";
                if is_held && number % 3 > 0 {
                    warehouse.deliver_until_done(COMMIT, number, 0).await;
                }
                if number % 3 < 2 {
                    warehouse.deliver_until_done(RELEASE, number, 0).await;
                }
            });
        }
        let switching = warehouse.clone();
        crowd.spawn(async move {
            for (round, shards) in [8, 1, 3, 16, 1].into_iter().enumerate() {
                let body = json!({ "reason": "Sells fast", "delta": 2, "shard_count": shards });
                switching.adjust_until_done(&format!("switch-{round}"), &body).await;
            }
        });
        crowd.join_all().await;
        let sum = |state: &str| -> i64 {
            let items = warehouse.aws.items("stock");
            let lines = items
                .iter()
                .filter(|item| item["state"]["S"] == state)
                .flat_map(|item| item["lines"]["M"].as_object().unwrap().values());
            lines.map(|quantity| quantity["N"].as_str().unwrap().parse::<i64>().unwrap()).sum()
        };
        let (held, sold) = (sum("held"), sum("committed"));
        assert_eq!(held, 0, "seed {seed}: every third order was committed, the others released");
        assert!(sold > 0);
        assert_eq!(warehouse.seen().await, (110 - sold, 110 - sold, 0), "seed {seed}");
    }
}

#[tokio::test]
async fn concurrent_resharding_is_serialized() {
    for (seed, came_in) in (0..6).flat_map(|seed| [(seed, 0), (seed, 40)]) {
        let warehouse = InventoryFixture::crowded(seed * 1000);
        let other = Arc::new(InventoryFixture::with_own_cache(&warehouse.aws, seed));
        if came_in > 0 {
            assert_eq!(warehouse.adjust("first", SPOON, came_in).await.status(), 201);
        }
        let mut crowd = JoinSet::new();
        for (number, shards) in [16, 3, 8, 1, 5, 2].into_iter().enumerate() {
            let warehouse = if number % 2 == 0 { warehouse.clone() } else { other.clone() };
            crowd.spawn(async move {
                let body = json!({ "reason": "Sells fast", "delta": 5, "shard_count": shards });
                warehouse.adjust_until_done(&format!("switch-{number}"), &body).await;
            });
        }
        crowd.join_all().await;
        assert_eq!(
            warehouse.seen().await,
            (came_in + 30, came_in + 30, 0),
            "seed {seed}: {:?}",
            warehouse.shards()
        );
        let first = warehouse.item(format!("STOCK#{SPOON}")).await.unwrap();
        assert_eq!(
            (&first["last_shard"], &first["revision"]),
            (&json!(16), &json!(6)),
            "seed {seed}"
        );
    }
}
