//! Backfill runs: every product is published again, under any fault and time limit.

use std::collections::BTreeMap;

use shared::{clock::Clock, metrics::Capture};

use super::*;

impl CatalogFixture {
    /// Creates products and archives every third. Returns the version of each.
    async fn stocked(&self, many: usize) -> BTreeMap<String, u64> {
        let mut versions = BTreeMap::new();
        for number in 0..many {
            let id = self
                .created(
                    &number.to_string(),
                    &product(&format!("Spoon {number:03}"), &format!("S-{number}"), "kitchen"),
                )
                .await;
            if number % 3 == 0 {
                assert_eq!(self.archive(&id, 1).await.status(), 204);
            }
            versions.insert(id, if number % 3 == 0 { 2 } else { 1 });
        }
        versions
    }

    /// An invocation with no time left for a second page.
    async fn resync_without_time(&self) -> Called {
        let invocation =
            Invocation { deadline: Clock::System.now(), ..Invocation::with_event(json!({})) };
        self.aws.invoke(&self.lambda("resync-products"), invocation).await
    }

    /// The published versions of each product, in order.
    fn published(&self) -> BTreeMap<String, Vec<u64>> {
        let mut published: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for message in self.aws.queues().take("product-changes", 10_000) {
            let message = message.json();
            ids.insert(message["id"].as_str().unwrap().to_owned());
            let data = &message["data"];
            published
                .entry(data["product_id"].as_str().unwrap().to_owned())
                .or_default()
                .push(data["version"].as_u64().unwrap());
        }
        assert_eq!(
            ids.len(),
            published.values().map(Vec::len).sum::<usize>(),
            "each message has its own id"
        );
        published
    }
}

fn once(versions: &BTreeMap<String, u64>) -> BTreeMap<String, Vec<u64>> {
    versions.iter().map(|(id, version)| (id.clone(), vec![*version])).collect()
}

#[tokio::test]
async fn each_run_publishes_every_product_once() {
    let shop = CatalogFixture::new();
    let mut harness = shop.publisher("products");
    let versions = shop.stocked(30).await;
    harness.drain_queues().await;
    let published = shop.published();
    assert_eq!(published.len(), 30);
    for _ in 0..2 {
        let called = shop.call("resync-products", json!({})).await;
        assert_eq!(
            called.ok(),
            &json!({ "resynced": 30, "failed": 0, "finished": true, "already_running": false })
        );
        harness.drain_queues().await;
        assert_eq!(shop.published(), once(&versions), "in the stored version");
        shop.clock.advance(std::time::Duration::from_secs(24 * 3600));
    }
    let id = versions.iter().find(|(_, version)| **version == 1).unwrap().0;
    assert_eq!(
        shop.get(id, None).await.header("etag"),
        Some("\"1\"".to_owned()),
        "nothing has changed"
    );
}

#[tokio::test]
async fn run_continues_after_its_time_limit() {
    let shop = CatalogFixture::new();
    let versions = shop.stocked(240).await;
    let mut harness = shop.publisher("products");
    harness.drain_queues().await;
    shop.published();
    let (mut calls, mut resynced) = (0, 0);
    loop {
        let called = shop.resync_without_time().await;
        calls += 1;
        resynced += called.ok()["resynced"].as_u64().unwrap();
        assert!(calls < 40, "the run finishes");
        if called.ok()["finished"] == true {
            break;
        }
    }
    assert!(calls > 2, "{calls}");
    assert_eq!(resynced, 240);
    harness.drain_queues().await;
    assert_eq!(shop.published(), once(&versions));
    assert_eq!(
        shop.resync_without_time().await.ok()["finished"],
        false,
        "the next call starts a new run"
    );
}

#[tokio::test]
async fn product_archived_during_a_run_is_published_as_archived() {
    let shop = CatalogFixture::new();
    let mut versions = shop.stocked(60).await;
    let mut harness = shop.publisher("products");
    harness.drain_queues().await;
    shop.published();
    shop.resync_without_time().await.ok();
    for (id, version) in versions.iter_mut().filter(|(_, version)| **version == 1) {
        assert_eq!(shop.archive(id, 1).await.status(), 204);
        *version = 2;
    }
    while shop.resync_without_time().await.ok()["finished"] == false {}
    harness.drain_queues().await;
    let published = shop.published();
    for (id, version) in versions {
        assert_eq!(published[&id].iter().max(), Some(&version));
    }
}

#[tokio::test]
async fn run_publishes_every_product_under_any_fault() {
    let model = CatalogFixture::new();
    let versions = model.stocked(12).await;
    for_each_fault([0, 1, 2, 5, 10, 15, 20, 25, 30], async |InjectedFault { call, fault }| {
        let shop = model.copy();
        let mut harness = shop.publisher("products");
        harness.drain_queues().await;
        shop.published();
        shop.aws.fail(call, fault);
        let mut tries = 0;
        while shop.call("resync-products", json!({})).await.answer.is_err() {
            tries += 1;
            assert!(tries < 3, "{fault:?} at {call}");
        }
        shop.aws.heal();
        harness.drain_queues().await;
        assert_eq!(shop.published(), once(&versions), "{fault:?} at {call}");
    })
    .await;
}

#[tokio::test]
async fn schedule_starts_one_run_a_day_and_an_operator_starts_one_at_once() {
    let shop = CatalogFixture::new();
    shop.stocked(3).await;
    let tick = || {
        shop.call(
            "resync-products",
            json!({ "source": "aws.events", "detail-type": "Scheduled Event" }),
        )
    };
    let quarter = Duration::from_secs(15 * 60);
    let mut published = Vec::new();
    for _ in 0..2 * 96 {
        published.push(tick().await.ok()["resynced"].as_u64().unwrap());
        shop.clock.advance(quarter);
    }
    assert_eq!(published.iter().filter(|products| **products > 0).count(), 2, "{published:?}");
    assert_eq!((published[0], published[96]), (3, 3));
    assert_eq!(shop.call("resync-products", json!({})).await.ok()["resynced"], 3);
}

#[tokio::test]
async fn concurrent_runs_publish_nothing_twice() {
    let model = CatalogFixture::new();
    let versions = model.stocked(20).await;
    for seed in 0..10 {
        let shop = CatalogFixture::over(model.aws.copy().crowded(seed));
        let mut harness = shop.publisher("products");
        harness.drain_queues().await;
        shop.published();
        let call = || shop.lambda("resync-products")(Invocation::with_event(json!({})));
        let (one, other) = tokio::join!(call(), call());
        let (one, other) = (one.unwrap(), other.unwrap());
        let ends = [&one, &other]
            .map(|report| (report["finished"] == true, report["already_running"] == true));
        assert!(
            ends.contains(&(true, false)) && ends.contains(&(false, true)),
            "seed {seed}: {one} {other}"
        );
        harness.drain_queues().await;
        let published = shop.published();
        for (id, version) in &versions {
            assert!(published[id].iter().all(|published| published == version), "seed {seed}");
        }
    }
}

#[tokio::test]
async fn unreadable_products_do_not_stop_a_run() {
    let shop = CatalogFixture::new();
    let versions = shop.stocked(120).await;
    let mut harness = shop.publisher("products");
    harness.drain_queues().await;
    shop.published();
    // These items sort before all others in every shard of the index.
    for shard in 0..LIST_SHARDS {
        for number in 0..240 / LIST_SHARDS {
            let key = format!("BROKEN#{shard}#{number}");
            let item = json!({ "pk": { "S": key }, "active_shard": { "S": format!("active#{shard}") }, "name_sort": { "S": format!("!{key}") } });
            shop.aws.put("products", &item);
        }
    }
    let capture = Capture::start();
    let called = shop.call("resync-products", json!({})).await;
    assert_eq!(capture.total(&catalog::metrics::SWEEP_FAILED), 1);
    assert_eq!(
        called.ok(),
        &json!({ "resynced": 120, "failed": 240, "finished": true, "already_running": false })
    );
    harness.drain_queues().await;
    assert_eq!(shop.published(), once(&versions));
}
