//! Stock events: movements for the ledger, low-stock mails for the operator, and reservations that
//! are held too long.

use std::time::Duration;

use super::*;

/// A publisher with an operator who is notified of low stock.
fn publisher(warehouse: &InventoryFixture) -> Harness {
    Harness::new(&warehouse.aws).publisher("stock", warehouse.stock_publisher_with_operator())
}

/// The low-stock mails since the last call: available quantity and threshold.
async fn low_stock_mails(warehouse: &InventoryFixture, harness: &mut Harness) -> Vec<(i64, i64)> {
    harness.drain_queues().await;
    let messages = warehouse.aws.queues().take("send-notification", 100);
    let figures = messages.iter().map(|message| {
        let message = message.json();
        assert_eq!(
            (&message["type"], &message["data"]["template"]),
            (&json!("send_notification.v1"), &json!("low_stock"))
        );
        let data = &message["data"]["data"];
        assert_eq!(data["product_id"], SPOON);
        (data["available"].as_i64().unwrap(), data["threshold"].as_i64().unwrap())
    });
    figures.collect()
}

#[tokio::test]
async fn operator_is_notified_once_per_low_stock_crossing() {
    for shards in [1, 4] {
        let warehouse = InventoryFixture::with(20, 0).await;
        let mut harness = publisher(&warehouse);
        if shards > 1 {
            warehouse.reshard("on", shards).await;
        }
        for (number, expected) in
            [(1, vec![]), (2, vec![]), (3, vec![(8, 10)]), (4, vec![]), (5, vec![])]
        {
            assert!(warehouse.order(RESERVE, number, 4).await.is_done());
            assert_eq!(
                low_stock_mails(&warehouse, &mut harness).await,
                expected,
                "order {number}, {shards} shards"
            );
        }
        // The stock rises above the threshold and falls below it again: a second crossing.
        assert!(warehouse.order(RELEASE, 1, 0).await.is_done());
        assert!(warehouse.order(RELEASE, 2, 0).await.is_done());
        assert!(warehouse.order(RELEASE, 3, 0).await.is_done());
        assert_eq!(low_stock_mails(&warehouse, &mut harness).await, []);
        assert_eq!(warehouse.adjust("broken", SPOON, -2).await.status(), 201);
        assert_eq!(low_stock_mails(&warehouse, &mut harness).await, [(10, 10)], "{shards} shards");
        assert_eq!(warehouse.adjust("delivery", SPOON, 5).await.status(), 201);
        assert_eq!(low_stock_mails(&warehouse, &mut harness).await, []);
        assert!(warehouse.aws.queues().waiting("publish-stock-dead-letter").is_empty());
    }
}

#[tokio::test]
async fn low_stock_threshold_is_set_per_product() {
    for shards in [None, Some(3)] {
        let warehouse = InventoryFixture::with(20, 0).await;
        let mut harness = publisher(&warehouse);
        let mut wanted = json!({ "reason": "Hard to get", "low_stock_threshold": 15 });
        if let Some(shards) = shards {
            wanted["shard_count"] = json!(shards);
        }
        let settled = warehouse.settle("settle", &wanted).await;
        assert_eq!(
            (
                settled.status(),
                settled.json()["low_stock_threshold"].clone(),
                settled.json().get("delta")
            ),
            (201, json!(15), None)
        );
        assert_eq!(warehouse.settle("settle", &wanted).await.body(), settled.body());
        let request =
            events::get("/inventory").path_parameter("product_id", SPOON).caller(events::ADMIN);
        let view = warehouse.call("get-stock", request.event()).await.json();
        assert_eq!(
            (&view["low_stock_threshold"], &view["shard_count"]),
            (&json!(15), &json!(shards.unwrap_or(1)))
        );
        assert!(warehouse.order(RESERVE, 1, 4).await.is_done());
        assert_eq!(low_stock_mails(&warehouse, &mut harness).await, []);
        assert!(warehouse.order(RESERVE, 2, 4).await.is_done());
        assert_eq!(low_stock_mails(&warehouse, &mut harness).await, [(12, 15)]);
        // Only removed stock sends a mail; a changed threshold does not.
        assert_eq!(
            warehouse
                .settle("less", &json!({ "reason": "Easy to get", "low_stock_threshold": 5 }))
                .await
                .status(),
            201
        );
        assert_eq!(
            warehouse
                .settle("more", &json!({ "reason": "Hard to get", "low_stock_threshold": 13 }))
                .await
                .status(),
            201
        );
        assert_eq!(low_stock_mails(&warehouse, &mut harness).await, [], "{shards:?}");
        assert!(warehouse.order(RESERVE, 3, 1).await.is_done());
        assert_eq!(low_stock_mails(&warehouse, &mut harness).await, []);
    }
}

#[tokio::test]
async fn resharding_publishes_nothing() {
    let warehouse = InventoryFixture::with(20, 0).await;
    let mut harness = publisher(&warehouse);
    for (key, shards) in [("on", 8), ("off", 1), ("again", 2)] {
        warehouse.reshard(key, shards).await;
        assert_eq!(low_stock_mails(&warehouse, &mut harness).await, [], "{shards}");
    }
    // Merged into one shard, it still triggers the low-stock mail.
    warehouse.reshard("last", 1).await;
    assert!(warehouse.order(RESERVE, 1, 12).await.is_done());
    assert_eq!(low_stock_mails(&warehouse, &mut harness).await, [(8, 10)]);
}

#[tokio::test]
async fn every_movement_is_published_to_the_ledger_once_and_balances() {
    let warehouse = InventoryFixture::with(10, 0).await;
    warehouse.reshard("on", 3).await;
    for (asked, number) in [
        (RESERVE, 1),
        (RESERVE, 2),
        (COMMIT, 1),
        (COMMIT, 1),
        (RELEASE, 2),
        (RELEASE, 1),
        (RESERVE, 3),
    ] {
        assert!(warehouse.order(asked, number, 5).await.is_done());
    }
    assert_eq!(warehouse.adjust("lost", SPOON, -1).await.status(), 201);
    let mut harness = publisher(&warehouse);
    harness.drain_queues().await;
    let entries: Vec<Value> = warehouse
        .aws
        .queues()
        .take("record-entry", 100)
        .iter()
        .map(|message| message.json()["data"].clone())
        .collect();
    let kinds: Vec<&str> = entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["adjustment", "commit", "restock", "adjustment"]);
    let ids: BTreeSet<&str> =
        entries.iter().map(|entry| entry["entry_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), entries.len());
    let mut balances: BTreeMap<String, i64> = BTreeMap::new();
    for line in entries.iter().flat_map(|entry| entry["lines"].as_array().unwrap()) {
        assert_eq!(line["unit"], format!("pcs:{SPOON}"));
        *balances.entry(line["account"].as_str().unwrap().to_owned()).or_default() +=
            line["amount"].as_i64().unwrap();
    }
    let expected = [("on_hand", 9), ("outside", -9), ("shipped_out", 0)];
    assert_eq!(
        balances,
        expected.map(|(bucket, sum)| (format!("stock:{SPOON}:{bucket}"), sum)).into()
    );
    assert_eq!(warehouse.seen().await, (4, 9, 5), "the ledger matches the stock");
}

#[tokio::test]
async fn long_held_reservation_is_reported_until_it_ends() {
    let warehouse = InventoryFixture::new();
    assert_eq!(warehouse.adjust("first", SPOON, 20).await.status(), 201);
    for number in 1..=5 {
        assert!(warehouse.order(RESERVE, number, 2).await.is_done());
    }
    assert!(warehouse.order(RESERVE, 6, 100).await.is_done(), "rejected");
    assert!(warehouse.order(COMMIT, 1, 0).await.is_done());
    assert!(warehouse.order(RELEASE, 2, 0).await.is_done());
    let check = async || {
        warehouse.call("check-reservations", json!({})).await.ok()["held_too_long"].clone()
    };
    let capture = Capture::start();
    for (hours, held) in [(0, 0), (47, 0), (1, 3), (24, 3)] {
        warehouse.clock.advance(Duration::from_secs(hours * 3600));
        assert_eq!(check().await, held, "after {hours} more");
    }
    assert_eq!(capture.total(&inventory::metrics::RESERVATION_HELD_TOO_LONG), 6);
    assert!(warehouse.order(RESERVE, 7, 2).await.is_done());
    assert_eq!(check().await, 3, "the last one is new");
    for (asked, number, held) in [(RELEASE, 3, 2), (COMMIT, 4, 1), (RELEASE, 5, 0)] {
        assert!(warehouse.order(asked, number, 0).await.is_done());
        assert_eq!(check().await, held);
    }
    let is_watched = |item: &Value| {
        item["check_shard"]["S"].as_str().is_some_and(|shard| shard.starts_with("held#"))
    };
    let left: Vec<Value> = warehouse.aws.items("stock").into_iter().filter(is_watched).collect();
    assert_eq!(left.len(), 1, "only held reservations stay in the index: {left:?}");
}

#[tokio::test]
async fn stale_index_entries_are_verified() {
    let warehouse = InventoryFixture::new();
    assert_eq!(warehouse.adjust("first", SPOON, 20).await.status(), 201);
    assert!(warehouse.order(RESERVE, 1, 2).await.is_done());
    warehouse.clock.advance(Duration::from_secs(72 * 3600));
    let key = Key::new(format!("RESERVATION#{}", super::shards::order_id(1)));
    let late = Expression::new("SET #state = :released").value("released", "released");
    warehouse.aws.table("stock").update(key, late, Expression::exists()).await.unwrap();
    let checked = warehouse.call("check-reservations", json!({})).await;
    assert_eq!(
        checked.ok(),
        &json!({ "held_too_long": 0, "failed": 0, "remaining": 0, "already_running": false })
    );
    assert_eq!(checked.operations().iter().filter(|name| **name == "Query").count(), 8);
}

#[tokio::test]
async fn reservations_behind_250_unreadable_ones_are_reported_in_one_run() {
    let warehouse = InventoryFixture::new();
    assert_eq!(warehouse.adjust("first", SPOON, 20).await.status(), 201);
    for number in 1..=5 {
        assert!(warehouse.order(RESERVE, number, 2).await.is_done());
    }
    for number in 0..250 {
        let item = json!({
            "pk": { "S": format!("RESERVATION#ord_0199c2a8-0000-7000-9000-{number:012x}") },
            "check_shard": { "S": "held#3" },
            "next_check_at": { "S": "2026-11-01T00:00:00.000Z" },
        });
        warehouse.aws.put("stock", &item);
    }
    warehouse.clock.advance(Duration::from_secs(48 * 3600));
    let capture = Capture::start();
    let checked = warehouse.call("check-reservations", json!({})).await;
    assert_eq!(
        checked.ok(),
        &json!({ "held_too_long": 5, "failed": 250, "remaining": 0, "already_running": false })
    );
    assert_eq!(capture.total(&inventory::metrics::SWEEP_FAILED), 1);
}
