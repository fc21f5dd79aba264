//! Reservations: reserve, commit and release apply once each, in any order of arrival.

use inventory::{
    domain::reservation::{
        Decision, Reservation, ReservationChange, ReservationCommand, ReservationRequest, State,
        decide,
    },
    store::{SaveOutcome, Store},
};
use shared::{
    ids::{Ids, OrderId, PrefixedId},
    telemetry::Trace,
};

use super::*;

#[tokio::test]
async fn reservation_takes_one_call_and_its_end_two() {
    let warehouse = InventoryFixture::with(10, 10).await;
    assert_eq!(
        warehouse.send_command(RESERVE, ORDER, 0).await.operations(),
        ["TransactWriteItems"]
    );
    warehouse.check(10, 10).await;
    assert_eq!(
        warehouse.send_command(COMMIT, ORDER, 0).await.operations(),
        ["GetItem", "TransactWriteItems"]
    );
    warehouse.check(10, 10).await;
    assert_eq!(
        warehouse.send_command(RELEASE, ORDER, 0).await.operations(),
        ["GetItem", "TransactWriteItems"]
    );
    warehouse.check(10, 10).await;
    assert_eq!(warehouse.send_command(RELEASE, ORDER, 0).await.operations(), ["GetItem"]);
    assert_eq!(
        warehouse.send_command(RELEASE, ORDER, 1).await.operations(),
        ["GetItem", "UpdateItem"]
    );
    let lines = json!({ (SPOON): 2, (BOWL): 3 });
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let expected = json!({
        "pk": format!("RESERVATION#{ORDER}"), "state": "released", "lines": lines, "version": 4, "answered_attempt": 1,
        "created_at": "2026-11-21T09:48:49.123Z", "updated_at": "2026-11-21T09:48:49.123Z", "traceparent": trace,
    });
    assert_eq!(warehouse.reservation().await, Some(expected));
}

#[tokio::test]
async fn reservation_is_all_or_nothing_and_names_the_missing_product() {
    for (spoons, bowls, short) in [(10, 2, BOWL), (1, 10, SPOON), (1, 2, SPOON), (10, 0, BOWL)] {
        let warehouse = InventoryFixture::with(spoons, bowls).await;
        let asked = warehouse.send_command(RESERVE, ORDER, 0).await;
        // A read confirms that the stock item does not exist.
        let looked: &[&str] = if bowls == 0 { &["GetItem"] } else { &[] };
        assert_eq!(asked.operations(), [&["TransactWriteItems"], looked, &["PutItem"]].concat());
        assert!(asked.is_done());
        assert_eq!(warehouse.state().await.as_deref(), Some("rejected"));
        assert_eq!(warehouse.reservation().await.unwrap()["rejected_product"], short);
        warehouse.check(spoons, bowls).await;
        let capture = Capture::start();
        assert!(warehouse.send_command(RESERVE, ORDER, 1).await.is_done());
        warehouse.publisher("stock").publish().await;
        assert_eq!(capture.total(&inventory::metrics::STOCK_OUTS), 1, "despite the repetition");
    }
}

#[tokio::test]
async fn every_sequence_of_three_commands_keeps_the_stock_consistent() {
    for one in [RESERVE, RELEASE, COMMIT] {
        for two in [RESERVE, RELEASE, COMMIT] {
            for three in [RESERVE, RELEASE, COMMIT] {
                let warehouse = InventoryFixture::with(5, 5).await;
                for (asked, attempt) in [one, two, three, one, two, three].into_iter().zip(0..) {
                    warehouse.send_command(asked, ORDER, attempt).await;
                    warehouse.check(5, 5).await;
                }
                if [one, two, three].contains(&RELEASE) {
                    assert_eq!(warehouse.state().await.as_deref(), Some("released"));
                }
            }
        }
    }
}

#[tokio::test]
async fn stock_commands_apply_once_under_any_fault() {
    let sequences = [
        (5, vec![RESERVE, COMMIT, RELEASE]),
        (5, vec![RESERVE, RELEASE]),
        (5, vec![RELEASE, RESERVE]),
        (1, vec![RESERVE, RELEASE]),
    ];
    for (spoons, sequence) in sequences {
        for faulty in 0..sequence.len() {
            for_each_fault(0..2, async |InjectedFault { call, fault }| {
                let warehouse = InventoryFixture::with(spoons, 5).await;
                for (number, asked) in sequence.iter().enumerate() {
                    if number == faulty {
                        warehouse.aws.fail(call, fault);
                    }
                    assert!(
                        warehouse.send_until_done(asked, 0).await,
                        "{sequence:?}, {fault:?} at {call} of {faulty}"
                    );
                    warehouse.aws.heal();
                    warehouse.check(spoons, 5).await;
                }
                assert_eq!(
                    warehouse.state().await.as_deref(),
                    Some("released"),
                    "{sequence:?}, {fault:?} at {call} of {faulty}"
                );
            })
            .await;
        }
    }
}

/// The decision on a command, based on the reservation that was read.
fn decided(seen: Option<&Reservation>, command: ReservationCommand) -> ReservationChange {
    let (order_id, at) =
        (OrderId::parse(ORDER).unwrap(), Timestamp::from_milliseconds(1_795_254_529_123));
    let request = ReservationRequest {
        order_id,
        attempt: 9,
        command,
        at,
        trace: Trace::start(&Ids::seeded(1)),
    };
    match decide(seen, &request, None) {
        Ok(Decision::Write(change)) => change,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn decision_on_an_outdated_reservation_is_not_written() {
    let warehouse = InventoryFixture::with(5, 5).await;
    let store = Store { stock: warehouse.aws.table("stock"), shards: 8 };
    let stored = || async { store.reservation_of(OrderId::parse(ORDER).unwrap()).await.unwrap() };

    let tombstone = decided(None, ReservationCommand::Release);
    warehouse.send_command(RESERVE, ORDER, 0).await;
    let held = stored().await.unwrap();
    let sale = decided(Some(&held), ReservationCommand::Commit);
    let release = decided(Some(&held), ReservationCommand::Release);
    warehouse.send_command(RELEASE, ORDER, 0).await;
    let released = stored().await.unwrap();
    let answer = decided(Some(&released), ReservationCommand::Release);
    warehouse.send_command(RELEASE, ORDER, 1).await;

    let last = stored().await.unwrap();
    assert_eq!((last.state.clone(), last.version, last.answered_attempt), (State::Released, 3, 1));
    for change in [tombstone, sale, release, answer] {
        match store.save(&change).await.unwrap() {
            SaveOutcome::VersionConflict(Some(current)) => assert_eq!(*current, last),
            other => panic!("{change:?}: {other:?}"),
        }
        warehouse.check(5, 5).await;
    }
    assert_eq!(stored().await, Some(last));
}

#[tokio::test]
async fn concurrent_orders_beyond_the_stock_are_served_up_to_the_stock() {
    let warehouse = InventoryFixture::with(10, 100).await;
    let lines = json!([{ "product_id": SPOON, "quantity": 2 }]);
    let asking: Vec<_> = (0..40)
        .map(|number| {
            let order = format!("ord_0199c2a8-0000-7000-8000-0000000001{number:02}");
            let data = json!({ "order_id": order, "attempt": 0, "lines": lines });
            tokio::spawn(warehouse.lambda("reserve-stock")(Invocation::with_event(
                events::message("reserve-stock", "reserve_stock.v1", &data),
            )))
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap().unwrap()["batchItemFailures"], json!([]));
    }
    let state = |name: &str| {
        warehouse.aws.items("stock").iter().filter(|item| item["state"]["S"] == name).count()
    };
    assert_eq!((state("held"), state("rejected")), (5, 35));
    assert_eq!(warehouse.figures(SPOON).await, (0, 10));
}

#[tokio::test]
async fn commit_before_its_reserve_is_redelivered() {
    let warehouse = InventoryFixture::with(5, 5).await;
    assert!(!warehouse.send_command(COMMIT, ORDER, 0).await.is_done());
    assert_eq!(warehouse.reservation().await, None);
    warehouse.send_command(RESERVE, ORDER, 0).await;
    assert!(warehouse.send_command(COMMIT, ORDER, 0).await.is_done());
    assert_eq!(warehouse.state().await.as_deref(), Some("committed"));
}

#[tokio::test]
async fn reservation_of_a_later_release_is_not_changed() {
    let warehouse = InventoryFixture::with(5, 5).await;
    warehouse.send_command(RESERVE, ORDER, 0).await;
    let key = || Key::new(format!("RESERVATION#{ORDER}"));
    let table = warehouse.aws.table("stock");
    table
        .update(
            key(),
            Expression::new("SET #parcel = :new").value("new", "p-1"),
            Expression::exists(),
        )
        .await
        .unwrap();
    assert!(warehouse.send_command(COMMIT, ORDER, 1).await.is_done());
    assert_eq!(warehouse.reservation().await.unwrap()["parcel"], "p-1");
    table
        .update(
            key(),
            Expression::new("SET #state = :new").value("new", "parcelled"),
            Expression::exists(),
        )
        .await
        .unwrap();
    for asked in [RESERVE, RELEASE, COMMIT] {
        assert!(!warehouse.send_command(asked, ORDER, 2).await.is_done(), "{asked:?}");
    }
    assert_eq!(warehouse.state().await.as_deref(), Some("parcelled"));
    assert_eq!(warehouse.figures(SPOON).await, (3, 3));
}

#[tokio::test]
async fn unreadable_commands_are_rejected() {
    let warehouse = InventoryFixture::with(5, 5).await;
    let line = |quantity: i64| json!({ "product_id": SPOON, "quantity": quantity });
    for lines in [
        json!([]),
        json!([line(0)]),
        json!([line(-1)]),
        json!([line(4_294_967_296)]),
        json!("all"),
        json!([{ "quantity": 1 }]),
    ] {
        let data = json!({ "order_id": ORDER, "attempt": 0, "lines": lines });
        let asked = warehouse
            .call("reserve-stock", events::message("reserve-stock", "reserve_stock.v1", &data))
            .await;
        assert_eq!((asked.rejected(), asked.calls.len()), (1, 1), "{lines}");
    }
    let foreign = events::message(
        "reserve-stock",
        "release_stock.v1",
        &json!({ "order_id": ORDER, "attempt": 0 }),
    );
    assert_eq!(warehouse.call("reserve-stock", foreign).await.rejected(), 1);
    warehouse.check(5, 5).await;
}

#[tokio::test]
async fn reservation_changes_are_published_once_and_on_repetition() {
    let warehouse = InventoryFixture::with(5, 5).await;
    let mut harness = warehouse.publisher("stock");
    for (asked, attempt, published) in [
        (RESERVE, 0, Some("stock_reserved.v1")),
        (RESERVE, 0, None),
        (RESERVE, 1, Some("stock_reserved.v1")),
        (COMMIT, 1, Some("stock_committed.v1")),
        (COMMIT, 1, None),
        (COMMIT, 2, Some("stock_committed.v1")),
        (RELEASE, 2, Some("stock_released.v1")),
        (COMMIT, 2, None),
        (RESERVE, 3, Some("stock_released.v1")),
    ] {
        warehouse.send_command(asked, ORDER, attempt).await;
        harness.drain_queues().await;
        let messages = warehouse.aws.queues().take("order-events", 10);
        let kinds: Vec<Value> =
            messages.iter().map(|message| message.json()["type"].clone()).collect();
        assert_eq!(
            kinds,
            published.map(Value::from).into_iter().collect::<Vec<_>>(),
            "{asked:?} {attempt}"
        );
        for message in messages {
            assert_eq!(
                message.json()["traceparent"],
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            );
            assert_eq!(
                message.json()["data"]["version"],
                warehouse.reservation().await.unwrap()["version"]
            );
        }
    }
    assert!(warehouse.aws.queues().waiting("publish-stock-dead-letter").is_empty());
}
