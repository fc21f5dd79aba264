//! Inventory: movements, reservations, and that the figures add up whatever happens to a call.

mod crowds;
mod parts;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use inventory::{
    Inventory,
    domain::reservation::{Change, Command, Decision, Reservation, State, Wish, decide},
    operations::{
        adjust_stock::adjust_stock,
        check_reservations::check_reservations,
        commit_stock::commit_stock,
        get_stock::get_stock,
        publish_stock_events::{PUBLISHED, QUEUES},
        release_stock::release_stock,
        reserve_stock::reserve_stock,
    },
    publish,
    store::{Saved, Store},
};
use serde_json::{Value, json};
use shared::{
    clock::{Clock, Timestamp},
    http,
    ids::{Ids, OrderId, PrefixedId},
    invoke,
    lambda::{Invocation, Lambda},
    queue, stream,
    table::{Expression, Key, Table, from_item},
    telemetry::Trace,
};
use tests::{
    aws::{Aws, Called},
    events,
    faults::{Mishap, whatever_happens},
    pump::Pump,
};

const SPOON: &str = "prd_0199c2a8-0000-7000-8000-00000000000a";
const BOWL: &str = "prd_0199c2a8-0000-7000-8000-00000000000b";
const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";
/// So many there should be of each product.
const LOW: i64 = 10;

struct Warehouse {
    aws: Aws,
    clock: Clock,
    adjust: Lambda,
    get: Lambda,
    reserve: Lambda,
    release: Lambda,
    commit: Lambda,
    check: Lambda,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Reserve,
    Release,
    Commit,
}
use Asked::{Commit, Release, Reserve};

impl Warehouse {
    fn new() -> Self {
        let aws = Aws::new();
        let stock = aws.table("stock");
        Self::over(aws, stock)
    }

    fn over(aws: Aws, stock: Table) -> Self {
        let clock = Clock::manual(Timestamp::from_milliseconds(1_795_254_529_123));
        let inventory = Arc::new(Inventory::new(Store { stock, shards: 8 }, clock.clone(), LOW));
        let queue = |name: &str| aws.queue(name);
        let [reserve, release, commit] = ["reserve-stock", "release-stock", "commit-stock"].map(queue);
        Self {
            aws,
            clock,
            adjust: http::lambda(inventory.clone(), adjust_stock),
            get: http::lambda(inventory.clone(), get_stock),
            reserve: queue::lambda(inventory.clone(), reserve_stock, reserve),
            release: queue::lambda(inventory.clone(), release_stock, release),
            commit: queue::lambda(inventory.clone(), commit_stock, commit),
            check: invoke::lambda(inventory, check_reservations),
        }
    }

    /// With so many spoons and bowls.
    async fn with(spoons: i64, bowls: i64) -> Self {
        let warehouse = Self::new();
        for (product, count) in [(SPOON, spoons), (BOWL, bowls)] {
            if count > 0 {
                assert_eq!(warehouse.adjust(&format!("first {product}").replace(' ', "-"), product, count).await.status(), 201);
            }
        }
        warehouse
    }

    async fn adjust(&self, key: &str, product: &str, delta: i64) -> Called {
        self.aws.call(&self.adjust, adjustment(key, product, &json!({ "delta": delta, "reason": "Delivery" }))).await
    }

    /// Two spoons and three bowls.
    async fn ask(&self, asked: Asked, order: &str, drive: u64) -> Called {
        let lines = json!([{ "product_id": SPOON, "quantity": 2 }, { "product_id": BOWL, "quantity": 3 }]);
        let (lambda, queue, kind) = match asked {
            Reserve => (&self.reserve, "reserve-stock", "reserve_stock.v1"),
            Release => (&self.release, "release-stock", "release_stock.v1"),
            Commit => (&self.commit, "commit-stock", "commit_stock.v1"),
        };
        let mut data = json!({ "order_id": order, "drive": drive });
        if asked == Reserve {
            data["lines"] = lines;
        }
        self.aws.call(lambda, events::message(queue, kind, &data)).await
    }

    /// Asks until it is done, as the queue does; `false` if it is not done after five times.
    async fn ask_until_done(&self, asked: Asked, drive: u64) -> bool {
        for _ in 0..5 {
            if is_done(&self.ask(asked, ORDER, drive).await) {
                return true;
            }
        }
        false
    }

    async fn item(&self, pk: String) -> Option<Value> {
        self.aws.table("stock").get(Key::new(pk)).await.unwrap().map(|item| from_item(item).unwrap())
    }

    /// (available, on hand)
    async fn figures(&self, product: &str) -> (i64, i64) {
        let Some(stock) = self.item(format!("STOCK#{product}")).await else { return (0, 0) };
        (stock["available"].as_i64().unwrap(), stock["on_hand"].as_i64().unwrap())
    }

    async fn reservation(&self) -> Option<Value> {
        self.item(format!("RESERVATION#{ORDER}")).await
    }

    async fn state(&self) -> Option<String> {
        self.reservation().await.map(|reservation| reservation["state"].as_str().unwrap().to_owned())
    }

    /// That available and held are what the one reservation says, if so many came in.
    async fn check(&self, spoons: i64, bowls: i64) {
        let state = self.state().await;
        for (product, came_in, quantity) in [(SPOON, spoons, 2), (BOWL, bowls, 3)] {
            let expected = match state.as_deref() {
                Some("held") => (came_in - quantity, came_in),
                Some("committed") => (came_in - quantity, came_in - quantity),
                _ => (came_in, came_in),
            };
            assert_eq!(self.figures(product).await, expected, "{state:?}");
        }
    }
}

fn adjustment(key: &str, product: &str, body: &Value) -> Value {
    let request = events::post(&format!("/inventory/{product}/adjustments"), body);
    request.path_parameter("product_id", product).caller(events::ADMIN).header("idempotency-key", key).event()
}

fn is_done(called: &Called) -> bool {
    called.is_done()
}

fn code(called: &Called) -> String {
    called.json()["code"].as_str().unwrap_or_default().to_owned()
}

fn body(called: &Called) -> &str {
    called.ok()["body"].as_str().unwrap()
}

#[tokio::test]
async fn goods_come_in_with_one_call_and_everybody_learns_that_there_are_some() {
    let warehouse = Warehouse::new();
    let get = || events::get(&format!("/inventory/{SPOON}")).path_parameter("product_id", SPOON);
    let before = warehouse.aws.call(&warehouse.get, get().event()).await;
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
        assert_eq!(warehouse.aws.call(&warehouse.get, request).await.json(), json!({ "product_id": SPOON, "in_stock": true }));
    }
    let admin = warehouse.aws.call(&warehouse.get, get().caller(events::ADMIN).event()).await;
    assert_eq!(
        admin.json(),
        json!({ "product_id": SPOON, "in_stock": true, "on_hand": 10, "available": 10, "held": 0, "low_stock_threshold": 10, "shards": 1 })
    );
}

#[tokio::test]
async fn a_repeated_movement_moves_nothing_and_answers_the_same() {
    let warehouse = Warehouse::with(5, 0).await;
    let first = warehouse.adjust("k", SPOON, -5).await;
    assert_eq!(first.status(), 201);
    // There is nothing left to take away, and yet this is the same movement.
    let again = warehouse.adjust("k", SPOON, -5).await;
    assert_eq!((again.status(), body(&again)), (201, body(&first)));
    assert_eq!(again.operations(), ["TransactWriteItems"]);
    assert_eq!(again.header("idempotent-replayed"), Some("true".to_owned()));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(warehouse.figures(SPOON).await, (0, 0));
    for other in [warehouse.adjust("k", SPOON, -4).await, warehouse.adjust("k", BOWL, -5).await] {
        assert_eq!((other.status(), code(&other).as_str()), (422, "idempotency_key_reused"));
    }
}

#[tokio::test]
async fn what_is_held_cannot_be_taken_away() {
    let warehouse = Warehouse::with(5, 5).await;
    assert!(is_done(&warehouse.ask(Reserve, ORDER, 0).await));
    let refused = warehouse.adjust("k", SPOON, -4).await;
    assert_eq!((refused.status(), code(&refused).as_str(), refused.json()["available"].clone()), (409, "below_reserved", json!(3)));
    assert_eq!(warehouse.figures(SPOON).await, (3, 5));
    // A refusal is not remembered: the same request may be carried out later.
    assert!(is_done(&warehouse.ask(Release, ORDER, 1).await));
    assert_eq!(warehouse.adjust("k", SPOON, -4).await.status(), 201);
    assert_eq!(warehouse.figures(SPOON).await, (1, 1));
    let unknown = warehouse.adjust("u", "prd_0199c2a8-0000-7000-8000-0000000000cc", -1).await;
    assert_eq!(code(&unknown), "below_reserved");
}

#[tokio::test]
async fn there_is_a_limit_to_what_can_be_on_hand() {
    let warehouse = Warehouse::with(1_000_000, 0).await;
    let change = Expression::new("SET #on_hand = :most, #available = :most").value("most", 999_999_999);
    let spoons = Key::new(format!("STOCK#{SPOON}"));
    warehouse.aws.table("stock").update(spoons, change, Expression::present()).await.unwrap();
    assert_eq!(code(&warehouse.adjust("two", SPOON, 2).await), "above_limit");
    assert_eq!(warehouse.adjust("one", SPOON, 1).await.status(), 201);
}

#[tokio::test]
async fn movements_that_are_none_are_refused_and_write_nothing() {
    let warehouse = Warehouse::new();
    let good = json!({ "delta": 1, "reason": "Delivery" });
    for (field, value, refused) in [
        ("delta", json!(0), "out_of_range"),
        ("delta", json!(1_000_001), "out_of_range"),
        ("delta", json!(-1_000_001), "out_of_range"),
        ("delta", json!(1.0), "wrong_type"),
        ("delta", json!("1"), "wrong_type"),
        ("delta", Value::Null, "wrong_type"),
        ("shards", json!(0), "out_of_range"),
        ("shards", json!(17), "out_of_range"),
        ("shards", json!("4"), "wrong_type"),
        ("shards", Value::Null, "wrong_type"),
        ("low_stock_threshold", json!(-1), "out_of_range"),
        ("low_stock_threshold", json!(1_000_001), "out_of_range"),
        ("reason", json!(""), "blank"),
        ("reason", json!("4242 4242 4242 4242"), "card_number_refused"),
        ("on_hand", json!(7), "unknown_field"),
    ] {
        let mut odd = good.clone();
        odd[field] = value;
        let answer = warehouse.aws.call(&warehouse.adjust, adjustment("k", SPOON, &odd)).await;
        assert_eq!((answer.status(), code(&answer).as_str(), answer.calls.len()), (422, refused, 0), "{odd}");
    }
    let nothing = warehouse.aws.call(&warehouse.adjust, adjustment("k", SPOON, &json!({ "reason": "Nothing" }))).await;
    assert_eq!((nothing.status(), code(&nothing).as_str(), nothing.calls.len()), (422, "nothing_to_change", 0));
    let post = || {
        let request = events::post(&format!("/inventory/{SPOON}/adjustments"), &good).header("idempotency-key", "k");
        request.path_parameter("product_id", SPOON)
    };
    assert_eq!(warehouse.aws.call(&warehouse.adjust, post().event()).await.status(), 401);
    assert_eq!(warehouse.aws.call(&warehouse.adjust, post().caller(events::USER).event()).await.status(), 403);
    assert_eq!(warehouse.aws.call(&warehouse.adjust, adjustment("k", "spoon", &good)).await.status(), 404);
    assert!(warehouse.aws.items("stock").is_empty());
}

#[tokio::test]
async fn whatever_happens_to_a_call_a_movement_is_made_once() {
    whatever_happens(0..2, async |Mishap { call, fault }| {
        let warehouse = Warehouse::with(7, 0).await;
        warehouse.aws.fail(call, fault);
        let first = warehouse.adjust("k", SPOON, -5).await;
        assert!(matches!(first.status(), 201 | 503), "{fault:?}: {}", first.status());
        let second = warehouse.adjust("k", SPOON, -5).await;
        let third = warehouse.adjust("k", SPOON, -5).await;
        assert_eq!(third.status(), 201, "{fault:?}");
        assert!(second.status() != 201 || body(&second) == body(&third));
        assert_eq!(warehouse.figures(SPOON).await, (2, 2), "{fault:?}");
    })
    .await;
}

#[tokio::test]
async fn copies_of_a_movement_that_come_at_once_get_one_answer() {
    let warehouse = Warehouse::with(5, 0).await;
    let event = adjustment("k", SPOON, &json!({ "delta": -5, "reason": "Broken" }));
    let copies: Vec<_> = (0..16).map(|_| tokio::spawn((warehouse.adjust)(Invocation::with_event(event.clone())))).collect();
    let mut bodies = BTreeSet::new();
    for copy in copies {
        let answer = copy.await.unwrap().unwrap();
        assert_eq!(answer["statusCode"], 201);
        bodies.insert(answer["body"].as_str().unwrap().to_owned());
    }
    assert_eq!(bodies.len(), 1);
    assert_eq!(warehouse.figures(SPOON).await, (0, 0));
}

#[tokio::test]
async fn a_reservation_is_one_call_and_its_end_is_two() {
    let warehouse = Warehouse::with(10, 10).await;
    assert_eq!(warehouse.ask(Reserve, ORDER, 0).await.operations(), ["TransactWriteItems"]);
    warehouse.check(10, 10).await;
    assert_eq!(warehouse.ask(Commit, ORDER, 0).await.operations(), ["GetItem", "TransactWriteItems"]);
    warehouse.check(10, 10).await;
    assert_eq!(warehouse.ask(Release, ORDER, 0).await.operations(), ["GetItem", "TransactWriteItems"]);
    warehouse.check(10, 10).await;
    assert_eq!(warehouse.ask(Release, ORDER, 0).await.operations(), ["GetItem"]);
    assert_eq!(warehouse.ask(Release, ORDER, 1).await.operations(), ["GetItem", "UpdateItem"]);
    let lines = json!([{ "product_id": SPOON, "quantity": 2, "shard": 0 }, { "product_id": BOWL, "quantity": 3, "shard": 0 }]);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let expected = json!({
        "pk": format!("RESERVATION#{ORDER}"), "order_id": ORDER, "state": "released", "lines": lines, "version": 4, "answered_drive": 1,
        "created_at": "2026-11-21T09:48:49.123Z", "updated_at": "2026-11-21T09:48:49.123Z", "traceparent": trace,
    });
    assert_eq!(warehouse.reservation().await, Some(expected));
}

#[tokio::test]
async fn all_is_held_or_nothing_and_the_one_that_was_short_is_named() {
    for (spoons, bowls, short) in [(10, 2, BOWL), (1, 10, SPOON), (1, 2, SPOON), (10, 0, BOWL)] {
        let warehouse = Warehouse::with(spoons, bowls).await;
        let asked = warehouse.ask(Reserve, ORDER, 0).await;
        // Where nothing stands, it is looked whether that is so.
        let looked: &[&str] = if bowls == 0 { &["GetItem"] } else { &[] };
        assert_eq!(asked.operations(), [&["TransactWriteItems"], looked, &["PutItem"]].concat());
        assert!(is_done(&asked));
        assert_eq!(warehouse.state().await.as_deref(), Some("rejected"));
        assert_eq!(warehouse.reservation().await.unwrap()["rejected_product"], short);
        warehouse.check(spoons, bowls).await;
    }
}

#[tokio::test]
async fn every_sequence_of_three_commands_adds_up_in_the_table_too() {
    for one in [Reserve, Release, Commit] {
        for two in [Reserve, Release, Commit] {
            for three in [Reserve, Release, Commit] {
                let warehouse = Warehouse::with(5, 5).await;
                for (asked, drive) in [one, two, three, one, two, three].into_iter().zip(0..) {
                    warehouse.ask(asked, ORDER, drive).await;
                    warehouse.check(5, 5).await;
                }
                if [one, two, three].contains(&Release) {
                    assert_eq!(warehouse.state().await.as_deref(), Some("released"));
                }
            }
        }
    }
}

#[tokio::test]
async fn whatever_happens_to_a_call_every_command_is_carried_out_once() {
    let stories =
        [(5, vec![Reserve, Commit, Release]), (5, vec![Reserve, Release]), (5, vec![Release, Reserve]), (1, vec![Reserve, Release])];
    for (spoons, story) in stories {
        for spoiled in 0..story.len() {
            whatever_happens(0..2, async |Mishap { call, fault }| {
                let warehouse = Warehouse::with(spoons, 5).await;
                for (number, asked) in story.iter().enumerate() {
                    if number == spoiled {
                        warehouse.aws.fail(call, fault);
                    }
                    assert!(warehouse.ask_until_done(*asked, 0).await, "{story:?}, {fault:?} at {call} of {spoiled}");
                    warehouse.aws.heal();
                    warehouse.check(spoons, 5).await;
                }
                assert_eq!(warehouse.state().await.as_deref(), Some("released"), "{story:?}, {fault:?} at {call} of {spoiled}");
            })
            .await;
        }
    }
}

/// What follows from a command, as far as the one who decides it knows.
fn decided(seen: Option<&Reservation>, wish: Wish) -> Change {
    let (order_id, at) = (OrderId::parse(ORDER).unwrap(), Timestamp::from_milliseconds(1_795_254_529_123));
    let command = Command { order_id, drive: 9, wish, at, trace: Trace::start(&Ids::seeded(1)) };
    match decide(seen, &command, None) {
        Ok(Decision::Write(change)) => change,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_decided_upon_an_old_state_is_not_written() {
    let warehouse = Warehouse::with(5, 5).await;
    let store = Store { stock: warehouse.aws.table("stock"), shards: 8 };
    let stands = || async { store.reservation_of(OrderId::parse(ORDER).unwrap()).await.unwrap() };

    let tombstone = decided(None, Wish::Release);
    warehouse.ask(Reserve, ORDER, 0).await;
    let held = stands().await.unwrap();
    let sale = decided(Some(&held), Wish::Commit);
    let giving_back = decided(Some(&held), Wish::Release);
    warehouse.ask(Release, ORDER, 0).await;
    let released = stands().await.unwrap();
    let answer = decided(Some(&released), Wish::Release);
    warehouse.ask(Release, ORDER, 1).await;

    let last = stands().await.unwrap();
    assert_eq!((last.state.clone(), last.version, last.answered_drive), (State::Released, 3, 1));
    for change in [tombstone, sale, giving_back, answer] {
        match store.save(&change).await.unwrap() {
            Saved::Overtaken(Some(standing)) => assert_eq!(*standing, last),
            other => panic!("{change:?}: {other:?}"),
        }
        warehouse.check(5, 5).await;
    }
    assert_eq!(stands().await, Some(last));
}

#[tokio::test]
async fn many_orders_for_few_goods_are_served_exactly_as_far_as_they_go() {
    let warehouse = Warehouse::with(10, 100).await;
    let lines = json!([{ "product_id": SPOON, "quantity": 2 }]);
    let asking: Vec<_> = (0..40)
        .map(|number| {
            let order = format!("ord_0199c2a8-0000-7000-8000-0000000001{number:02}");
            let data = json!({ "order_id": order, "drive": 0, "lines": lines });
            tokio::spawn((warehouse.reserve)(Invocation::with_event(events::message("reserve-stock", "reserve_stock.v1", &data))))
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap().unwrap()["batchItemFailures"], json!([]));
    }
    let state = |name: &str| warehouse.aws.items("stock").iter().filter(|item| item["state"]["S"] == name).count();
    assert_eq!((state("held"), state("rejected")), (5, 35));
    assert_eq!(warehouse.figures(SPOON).await, (0, 10));
}

#[tokio::test]
async fn a_commit_that_overtakes_its_reserve_comes_back() {
    let warehouse = Warehouse::with(5, 5).await;
    assert!(!is_done(&warehouse.ask(Commit, ORDER, 0).await));
    assert_eq!(warehouse.reservation().await, None);
    warehouse.ask(Reserve, ORDER, 0).await;
    assert!(is_done(&warehouse.ask(Commit, ORDER, 0).await));
    assert_eq!(warehouse.state().await.as_deref(), Some("committed"));
}

#[tokio::test]
async fn what_a_later_release_has_written_is_left_as_it_is() {
    let warehouse = Warehouse::with(5, 5).await;
    warehouse.ask(Reserve, ORDER, 0).await;
    let key = || Key::new(format!("RESERVATION#{ORDER}"));
    let table = warehouse.aws.table("stock");
    table.update(key(), Expression::new("SET #parcel = :new").value("new", "p-1"), Expression::present()).await.unwrap();
    assert!(is_done(&warehouse.ask(Commit, ORDER, 1).await));
    assert_eq!(warehouse.reservation().await.unwrap()["parcel"], "p-1");
    table.update(key(), Expression::new("SET #state = :new").value("new", "parcelled"), Expression::present()).await.unwrap();
    for asked in [Reserve, Release, Commit] {
        assert!(!is_done(&warehouse.ask(asked, ORDER, 2).await), "{asked:?}");
    }
    assert_eq!(warehouse.state().await.as_deref(), Some("parcelled"));
    assert_eq!(warehouse.figures(SPOON).await, (3, 3));
}

#[tokio::test]
async fn commands_that_cannot_be_read_are_rejected() {
    let warehouse = Warehouse::with(5, 5).await;
    let line = |quantity: i64| json!({ "product_id": SPOON, "quantity": quantity });
    for lines in [json!([]), json!([line(0)]), json!([line(-1)]), json!([line(4_294_967_296)]), json!("all"), json!([{ "quantity": 1 }])] {
        let data = json!({ "order_id": ORDER, "drive": 0, "lines": lines });
        let asked = warehouse.aws.call(&warehouse.reserve, events::message("reserve-stock", "reserve_stock.v1", &data)).await;
        assert_eq!((asked.rejected(), asked.calls.len()), (1, 1), "{lines}");
    }
    let foreign = events::message("reserve-stock", "release_stock.v1", &json!({ "order_id": ORDER, "drive": 0 }));
    assert_eq!(warehouse.aws.call(&warehouse.reserve, foreign).await.rejected(), 1);
    warehouse.check(5, 5).await;
}

#[tokio::test]
async fn an_order_is_told_each_change_once_and_each_time_that_it_asks_again() {
    let warehouse = Warehouse::with(5, 5).await;
    let sender = warehouse.aws.sender(QUEUES, "publish-stock-dead-letter");
    let publisher = stream::lambda("publish-stock-events", PUBLISHED, publish::messages, sender);
    let mut pump = Pump::new(&warehouse.aws).publisher("stock", publisher);
    for (asked, drive, told) in [
        (Reserve, 0, Some("stock_reserved.v1")),
        (Reserve, 0, None),
        (Reserve, 1, Some("stock_reserved.v1")),
        (Commit, 1, Some("stock_committed.v1")),
        (Commit, 1, None),
        (Commit, 2, Some("stock_committed.v1")),
        (Release, 2, Some("stock_released.v1")),
        (Commit, 2, None),
        (Reserve, 3, Some("stock_released.v1")),
    ] {
        warehouse.ask(asked, ORDER, drive).await;
        pump.settle().await;
        let messages = warehouse.aws.queues().take("order-events", 10);
        let kinds: Vec<Value> = messages.iter().map(|message| message.json()["type"].clone()).collect();
        assert_eq!(kinds, told.map(Value::from).into_iter().collect::<Vec<_>>(), "{asked:?} {drive}");
        for message in messages {
            assert_eq!(message.json()["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
            assert_eq!(message.json()["data"]["version"], warehouse.reservation().await.unwrap()["version"]);
        }
    }
    assert!(warehouse.aws.queues().waiting("publish-stock-dead-letter").is_empty());
}

#[tokio::test]
async fn the_samples_are_taken() {
    let warehouse = Warehouse::with(0, 10).await;
    assert_eq!(warehouse.aws.call(&warehouse.adjust, events::sample("adjust-stock")).await.status(), 201);
    let stock = warehouse.aws.call(&warehouse.get, events::sample("get-stock")).await;
    assert_eq!(
        stock.json(),
        json!({ "product_id": SPOON, "in_stock": true, "on_hand": 100, "available": 100, "held": 0, "low_stock_threshold": 10, "shards": 1 })
    );
    for (lambda, sample, state) in [
        (&warehouse.reserve, "reserve-stock", "held"),
        (&warehouse.commit, "commit-stock", "committed"),
        (&warehouse.release, "release-stock", "released"),
    ] {
        assert!(is_done(&warehouse.aws.call(lambda, events::sample(sample)).await), "{sample}");
        assert_eq!(warehouse.state().await.as_deref(), Some(state));
    }
    let sender = warehouse.aws.sender(QUEUES, "publish-stock-dead-letter");
    let publisher = stream::lambda("publish-stock-events", PUBLISHED, publish::messages, sender);
    warehouse.aws.call(&publisher, events::sample("publish-stock-events")).await.ok();
    let told: Vec<Value> = warehouse.aws.queues().waiting("order-events").iter().map(|message| message.json()["type"].clone()).collect();
    assert_eq!(told, ["stock_reserved.v1", "stock_committed.v1"]);
    let checked = warehouse.aws.call(&warehouse.check, events::sample("check-reservations")).await;
    assert_eq!(checked.ok(), &json!({ "held_too_long": 0, "failed": 0, "left": 0, "already_running": false }));
}
