//! Stock adjustments by admins: each is applied once.

use super::*;

#[tokio::test]
async fn received_stock_takes_one_call_and_is_visible() {
    let warehouse = InventoryFixture::new();
    let get = || events::get(&format!("/inventory/{SPOON}")).path_parameter("product_id", SPOON);
    let before = warehouse.call("get-stock", get().event()).await;
    assert_eq!((before.status(), before.operations()), (200, vec!["GetItem"]));
    assert_eq!(before.json(), json!({ "product_id": SPOON, "in_stock": false }));

    let moved = warehouse.adjust("k", SPOON, 10).await;
    assert_eq!((moved.status(), moved.operations()), (201, vec!["TransactWriteItems"]));
    assert_eq!(moved.header("location"), Some(format!("../{SPOON}")));
    let at = "2026-11-21T09:48:49.123Z";
    let id = moved.json()["id"].clone();
    let expected = json!({ "id": id, "product_id": SPOON, "delta": 10, "reason": "Delivery", "created_at": at, "updated_at": at });
    assert_eq!(moved.json(), expected);

    for caller in [None, Some(events::USER)] {
        let request = caller.map_or(get(), |caller| get().caller(caller)).event();
        assert_eq!(
            warehouse.call("get-stock", request).await.json(),
            json!({ "product_id": SPOON, "in_stock": true })
        );
    }
    let admin = warehouse.call("get-stock", get().caller(events::ADMIN).event()).await;
    assert_eq!(
        admin.json(),
        json!({ "product_id": SPOON, "in_stock": true, "on_hand": 10, "available": 10, "held": 0, "low_stock_threshold": 10, "shard_count": 1 })
    );
}

#[tokio::test]
async fn repeated_adjustment_changes_nothing_and_returns_the_same_answer() {
    let warehouse = InventoryFixture::with(5, 0).await;
    let first = warehouse.adjust("k", SPOON, -5).await;
    assert_eq!(first.status(), 201);
    // No stock is left to remove, but this is a retry of the same adjustment.
    let again = warehouse.adjust("k", SPOON, -5).await;
    assert_eq!((again.status(), again.body()), (201, first.body()));
    assert_eq!(again.operations(), ["TransactWriteItems"]);
    assert_eq!(again.header("idempotent-replayed"), Some("true".to_owned()));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(warehouse.figures(SPOON).await, (0, 0));
    for other in [warehouse.adjust("k", SPOON, -4).await, warehouse.adjust("k", BOWL, -5).await] {
        assert_eq!((other.status(), other.code().as_str()), (422, "idempotency_key_reused"));
    }
}

#[tokio::test]
async fn held_stock_cannot_be_removed() {
    let warehouse = InventoryFixture::with(5, 5).await;
    assert!(warehouse.send_command(RESERVE, ORDER, 0).await.is_done());
    let refused = warehouse.adjust("k", SPOON, -4).await;
    assert_eq!(
        (refused.status(), refused.code().as_str(), refused.json()["available"].clone()),
        (409, "insufficient_stock", json!(3))
    );
    assert_eq!(warehouse.figures(SPOON).await, (3, 5));
    // A rejection is not stored: the same request may succeed later.
    assert!(warehouse.send_command(RELEASE, ORDER, 1).await.is_done());
    assert_eq!(warehouse.adjust("k", SPOON, -4).await.status(), 201);
    assert_eq!(warehouse.figures(SPOON).await, (1, 1));
    let unknown = warehouse.adjust("u", "prd_0199c2a8-0000-7000-8000-0000000000cc", -1).await;
    assert_eq!(unknown.code(), "insufficient_stock");
}

#[tokio::test]
async fn on_hand_stock_has_a_limit() {
    let warehouse = InventoryFixture::with(1_000_000, 0).await;
    let change =
        Expression::new("SET #on_hand = :most, #available = :most").value("most", 999_999_999);
    let spoons = Key::new(format!("STOCK#{SPOON}"));
    warehouse.aws.table("stock").update(spoons, change, Expression::exists()).await.unwrap();
    assert_eq!(warehouse.adjust("two", SPOON, 2).await.code(), "stock_limit_exceeded");
    assert_eq!(warehouse.adjust("one", SPOON, 1).await.status(), 201);
}

#[tokio::test]
async fn invalid_adjustments_are_rejected_and_write_nothing() {
    let warehouse = InventoryFixture::new();
    let good = json!({ "delta": 1, "reason": "Delivery" });
    for (field, value, refused) in [
        ("delta", json!(0), "out_of_range"),
        ("delta", json!(1_000_001), "out_of_range"),
        ("delta", json!(-1_000_001), "out_of_range"),
        ("delta", json!(1.0), "wrong_type"),
        ("delta", json!("1"), "wrong_type"),
        ("delta", Value::Null, "wrong_type"),
        ("shard_count", json!(0), "out_of_range"),
        ("shard_count", json!(17), "out_of_range"),
        ("shard_count", json!("4"), "wrong_type"),
        ("shard_count", Value::Null, "wrong_type"),
        ("low_stock_threshold", json!(-1), "out_of_range"),
        ("low_stock_threshold", json!(1_000_001), "out_of_range"),
        ("reason", json!(""), "blank"),
        ("reason", json!("4242 4242 4242 4242"), "card_number_rejected"),
        ("on_hand", json!(7), "unknown_field"),
    ] {
        let mut invalid = good.clone();
        invalid[field] = value;
        let answer = warehouse.call("adjust-stock", adjustment("k", SPOON, &invalid)).await;
        assert_eq!(
            (answer.status(), answer.code().as_str(), answer.calls.len()),
            (422, refused, 0),
            "{invalid}"
        );
    }
    let nothing = warehouse
        .call("adjust-stock", adjustment("k", SPOON, &json!({ "reason": "Nothing" })))
        .await;
    assert_eq!(
        (nothing.status(), nothing.code().as_str(), nothing.calls.len()),
        (422, "nothing_to_change", 0)
    );
    let post = || {
        let request = events::post(&format!("/inventory/{SPOON}/adjustments"), &good)
            .header("idempotency-key", "k");
        request.path_parameter("product_id", SPOON)
    };
    assert_eq!(warehouse.call("adjust-stock", post().event()).await.status(), 401);
    assert_eq!(
        warehouse.call("adjust-stock", post().caller(events::USER).event()).await.status(),
        403
    );
    assert_eq!(warehouse.call("adjust-stock", adjustment("k", "spoon", &good)).await.status(), 404);
    assert!(warehouse.aws.items("stock").is_empty());
}

#[tokio::test]
async fn adjustment_applies_once_under_any_fault() {
    for_each_fault(0..2, async |InjectedFault { call, fault }| {
        let warehouse = InventoryFixture::with(7, 0).await;
        warehouse.aws.fail(call, fault);
        let first = warehouse.adjust("k", SPOON, -5).await;
        assert!(matches!(first.status(), 201 | 503), "{fault:?}: {}", first.status());
        let second = warehouse.adjust("k", SPOON, -5).await;
        let third = warehouse.adjust("k", SPOON, -5).await;
        assert_eq!(third.status(), 201, "{fault:?}");
        assert!(second.status() != 201 || second.body() == third.body());
        assert_eq!(warehouse.figures(SPOON).await, (2, 2), "{fault:?}");
    })
    .await;
}

#[tokio::test]
async fn concurrent_copies_of_an_adjustment_get_one_answer() {
    let warehouse = InventoryFixture::with(5, 0).await;
    let event = adjustment("k", SPOON, &json!({ "delta": -5, "reason": "Broken" }));
    let copies: Vec<_> = (0..16)
        .map(|_| {
            tokio::spawn(warehouse.lambda("adjust-stock")(Invocation::with_event(event.clone())))
        })
        .collect();
    let mut bodies = BTreeSet::new();
    for copy in copies {
        let answer = copy.await.unwrap().unwrap();
        assert_eq!(answer["statusCode"], 201);
        bodies.insert(answer["body"].as_str().unwrap().to_owned());
    }
    assert_eq!(bodies.len(), 1);
    assert_eq!(warehouse.figures(SPOON).await, (0, 0));
}
