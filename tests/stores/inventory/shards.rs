//! The stock of a fast-selling product is sharded: callers notice no difference, and the shards add
//! up to the total.

use super::*;

impl InventoryFixture {
    pub(super) async fn settle(&self, key: &str, body: &Value) -> Called {
        self.call("adjust-stock", adjustment(key, SPOON, body)).await
    }

    /// Changes the number of shards of the spoons.
    pub(super) async fn reshard(&self, key: &str, shards: u32) {
        let divided =
            self.settle(key, &json!({ "reason": "Sells fast", "shard_count": shards })).await;
        assert_eq!(divided.status(), 201, "{:?}", divided.answer);
        assert_eq!(divided.json()["shard_count"], shards);
    }

    /// The stock of spoons as an admin sees it: (available, on hand, held).
    pub(super) async fn seen(&self) -> (i64, i64, i64) {
        let request = events::get(&format!("/inventory/{SPOON}"))
            .path_parameter("product_id", SPOON)
            .caller(events::ADMIN);
        let view = self.call("get-stock", request.event()).await.json();
        let figure = |name: &str| view[name].as_i64().unwrap();
        (figure("available"), figure("on_hand"), figure("held"))
    }

    /// The available quantity of each shard.
    pub(super) fn shards(&self) -> Vec<(i64, i64)> {
        let number = |item: &Value, name: &str| {
            item[name]["N"].as_str().map_or(0, |text| text.parse::<i64>().unwrap())
        };
        let items = self.aws.items("stock");
        let shards = items.iter().filter(|item| {
            item["pk"]["S"].as_str().unwrap().starts_with(&format!("STOCK#{SPOON}"))
        });
        let mut shards: Vec<(i64, i64)> =
            shards.map(|item| (number(item, "shard"), number(item, "available"))).collect();
        shards.sort_unstable();
        shards
    }

    /// Sends the command of order `number` for a quantity of spoons.
    pub(super) async fn order(&self, command: &str, number: u32, quantity: u32) -> Called {
        self.call(command, spoons(command, number, quantity)).await
    }

    pub(super) fn states(&self) -> BTreeMap<String, usize> {
        let mut states = BTreeMap::new();
        for state in self.aws.items("stock").iter().filter_map(|item| item["state"]["S"].as_str()) {
            *states.entry(state.to_owned()).or_default() += 1;
        }
        states
    }
}

pub(super) fn order_id(number: u32) -> String {
    format!("ord_0199c2a8-0000-7000-8000-000000{number:06}")
}

pub(super) fn spoons(command: &str, number: u32, quantity: u32) -> Value {
    let lines = json!([{ "product_id": SPOON, "quantity": quantity }]);
    events::command(command, &json!({ "order_id": order_id(number), "attempt": 0, "lines": lines }))
}

#[tokio::test]
async fn sharding_and_merging_keep_the_total() {
    let warehouse = InventoryFixture::with(50, 0).await;
    warehouse.reshard("on", 4).await;
    assert_eq!(warehouse.shards(), [(0, 0), (1, 13), (2, 13), (3, 12), (4, 12)]);
    assert_eq!(warehouse.seen().await, (50, 50, 0));
    let more = warehouse
        .settle("more", &json!({ "reason": "Delivery", "delta": 10, "shard_count": 8 }))
        .await;
    assert_eq!((more.status(), more.json()["delta"].clone()), (201, json!(10)));
    assert_eq!(warehouse.seen().await, (60, 60, 0));
    assert!(
        warehouse.shards()[1..].iter().all(|(_, available)| (7..=8).contains(available)),
        "{:?}",
        warehouse.shards()
    );
    // An order that was placed before the resharding continues unchanged.
    assert!(warehouse.order(RESERVE, 1, 5).await.is_done());
    warehouse.reshard("off", 1).await;
    assert_eq!(warehouse.seen().await, (55, 60, 5));
    assert_eq!(warehouse.shards()[0], (0, 55), "the rest is in one shard again");
    assert!(warehouse.order(RELEASE, 1, 5).await.is_done());
    assert_eq!(warehouse.seen().await, (60, 60, 0), "released stock counts in any shard");
    // An order may take the whole stock from all shards.
    assert!(warehouse.order(RESERVE, 2, 60).await.is_done());
    assert_eq!((warehouse.seen().await, warehouse.states()["held"]), ((0, 60, 60), 1));
    assert!(warehouse.order(COMMIT, 2, 60).await.is_done());
    assert_eq!(warehouse.seen().await, (0, 0, 0));
    assert!(warehouse.order(RELEASE, 2, 60).await.is_done(), "cancelled before it was sent");
    assert_eq!(warehouse.seen().await, (60, 60, 0));
    // The next adjustment merges the shards.
    assert_eq!(
        warehouse.settle("last", &json!({ "reason": "Broken", "delta": -1 })).await.status(),
        201
    );
    assert_eq!((warehouse.shards()[0], warehouse.seen().await), ((0, 59), (59, 59, 0)));
}

#[tokio::test]
async fn sharded_layout_is_discovered_once() {
    let warehouse = InventoryFixture::with(50, 0).await;
    assert_eq!(warehouse.order(RESERVE, 1, 1).await.operations(), ["TransactWriteItems"]);
    InventoryFixture::over(&warehouse.aws).reshard("on", 4).await;
    assert_eq!(
        warehouse.order(RESERVE, 2, 1).await.operations()[..2],
        ["TransactWriteItems", "TransactWriteItems"]
    );
    for number in 3..20 {
        let writes = warehouse
            .order(RESERVE, number, 1)
            .await
            .operations()
            .iter()
            .filter(|name| **name == "TransactWriteItems")
            .count();
        assert_eq!(writes, 1, "the layout is cached");
    }
    let in_shards = warehouse.shards();
    assert!(
        in_shards[1..].iter().all(|(_, available)| *available < 12),
        "orders use all shards: {in_shards:?}"
    );
    assert_eq!(warehouse.seen().await, (31, 50, 19));
    // The cached layout expires.
    warehouse.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(
        warehouse.order(RESERVE, 20, 1).await.operations()[..2],
        ["TransactWriteItems", "TransactWriteItems"]
    );
}

#[tokio::test]
async fn order_is_served_from_any_shard() {
    let warehouse = InventoryFixture::with(9, 0).await;
    warehouse.reshard("on", 3).await;
    assert!(warehouse.order(RESERVE, 1, 3).await.is_done(), "one shard is enough");
    assert!(warehouse.order(RESERVE, 2, 5).await.is_done(), "no single shard is enough");
    assert_eq!((warehouse.seen().await, warehouse.states()["held"]), ((1, 9, 8), 2));
    let reservation = warehouse.item(format!("RESERVATION#{}", order_id(2))).await.unwrap();
    let lines = reservation["lines"].as_object().unwrap();
    assert_eq!(
        (lines.len(), lines.values().map(|quantity| quantity.as_i64().unwrap()).sum::<i64>()),
        (2, 5)
    );
    assert!(warehouse.order(RESERVE, 3, 2).await.is_done());
    assert_eq!(warehouse.states()["rejected"], 1, "only one is left");
    assert!(warehouse.order(COMMIT, 2, 5).await.is_done());
    assert_eq!(warehouse.seen().await, (1, 4, 3));
    for number in [1, 2] {
        assert!(warehouse.order(RELEASE, number, 0).await.is_done());
    }
    assert_eq!(warehouse.seen().await, (9, 9, 0));
}

#[tokio::test]
async fn adjustment_removes_from_any_shard() {
    let warehouse = InventoryFixture::with(10, 0).await;
    warehouse.reshard("on", 3).await;
    assert!(warehouse.order(RESERVE, 1, 2).await.is_done());
    let stranger = InventoryFixture::over(&warehouse.aws);
    let refused = stranger.adjust("too-many", SPOON, -9).await;
    assert_eq!(
        (refused.status(), refused.code(), refused.json()["available"].clone()),
        (409, "insufficient_stock".to_owned(), json!(8))
    );
    let taken = stranger.adjust("all", SPOON, -8).await;
    assert_eq!(taken.status(), 201);
    assert_eq!(warehouse.seen().await, (0, 2, 2));
    let again = warehouse.adjust("all", SPOON, -8).await;
    assert_eq!(
        (again.status(), again.body(), again.header("idempotent-replayed")),
        (201, taken.body(), Some("true".to_owned()))
    );
    let other = warehouse
        .settle("all", &json!({ "delta": -8, "reason": "Delivery", "shard_count": 2 }))
        .await;
    assert_eq!(other.code(), "idempotency_key_reused");
    assert_eq!(warehouse.seen().await, (0, 2, 2));
}

#[tokio::test]
async fn on_hand_stock_has_a_limit_over_all_shards() {
    let warehouse = InventoryFixture::with(1_000_000, 0).await;
    warehouse.reshard("on", 2).await;
    let change = Expression::new("SET #on_hand = :most").value("most", 999_000_000);
    warehouse
        .aws
        .table("stock")
        .update(Key::new(format!("STOCK#{SPOON}#2")), change, Expression::exists())
        .await
        .unwrap();
    assert_eq!(warehouse.adjust("two", SPOON, 500_001).await.code(), "stock_limit_exceeded");
    assert_eq!(warehouse.adjust("one", SPOON, 500_000).await.status(), 201);
}

#[tokio::test]
async fn resharding_applies_once_under_any_fault() {
    for_each_fault(0..6, async |InjectedFault { call, fault }| {
        for shards in [4, 1] {
            let warehouse = InventoryFixture::with(50, 0).await;
            warehouse.reshard("before", 3).await;
            assert!(warehouse.order(RESERVE, 1, 4).await.is_done());
            let wanted = json!({ "reason": "Sells fast", "delta": 7, "shard_count": shards });
            warehouse.aws.fail(call, fault);
            let first = warehouse.settle("k", &wanted).await;
            assert!(matches!(first.status(), 201 | 503), "{fault:?} at {call}: {}", first.status());
            warehouse.aws.heal();
            assert_eq!(warehouse.settle("k", &wanted).await.status(), 201);
            assert_eq!(warehouse.seen().await, (53, 57, 4), "{fault:?} at {call}");
            let in_use = if shards == 1 { 0..=0 } else { 1..=4 };
            assert!(
                warehouse
                    .shards()
                    .iter()
                    .all(|(shard, available)| in_use.contains(shard) || *available == 0)
            );
        }
    })
    .await;
}

#[tokio::test]
async fn sharded_order_is_served_once_under_any_fault() {
    for_each_fault(0..8, async |InjectedFault { call, fault }| {
        for (asked, quantity) in
            [(RESERVE, 2), (RESERVE, 7), (RESERVE, 11), (COMMIT, 7), (RELEASE, 7)]
        {
            let warehouse = InventoryFixture::with(10, 0).await;
            warehouse.reshard("on", 3).await;
            if asked != RESERVE {
                assert!(warehouse.order(RESERVE, 1, quantity).await.is_done());
            }
            warehouse.aws.fail(call, fault);
            let mut tries = 0;
            while !warehouse.order(asked, 1, quantity).await.is_done() {
                tries += 1;
                assert!(tries < 3, "{asked:?} {quantity}, {fault:?} at {call}");
            }
            warehouse.aws.heal();
            let quantity = i64::from(quantity);
            let expected = match asked {
                RESERVE if quantity <= 10 => (10 - quantity, 10, quantity),
                COMMIT => (10 - quantity, 10 - quantity, 0),
                _ => (10, 10, 0),
            };
            assert_eq!(
                warehouse.seen().await,
                expected,
                "{asked:?} {quantity}, {fault:?} at {call}"
            );
        }
    })
    .await;
}
