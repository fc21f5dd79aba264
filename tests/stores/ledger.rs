//! Ledger: an entry is written exactly once, and the audit reports every mismatch.

mod audit_runs;
mod corruptions;
mod fixture;
mod lease;
mod posting;
mod reconcile_ledger;
mod repair;
mod stripe;
mod stripe_statement;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

use ledger::{
    operations::record_entry::{RecordEntry, record_entry},
    store::DAY_SHARDS,
};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    ids::Ids,
    lambda::Invocation,
    metrics::Capture,
    queue::{FromMessage, Received},
    telemetry::Trace,
};
use tests::{
    aws::{Aws, Called, Fault},
    events,
    faults::{InjectedFault, for_each_fault},
    shop::{Shop, clock},
};

const SPOON: &str = "prd_0199c2a8-0000-7000-8000-00000000000a";
const BOWL: &str = "prd_0199c2a8-0000-7000-8000-00000000000b";
const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";

/// A shop whose ledger entries are tested.
struct EntryFixture(Shop);

impl Deref for EntryFixture {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.0
    }
}

impl EntryFixture {
    fn new() -> Self {
        Self(Shop::new())
    }

    async fn record(&self, data: &Value) -> Called {
        self.call("record-entry", message(data)).await
    }

    fn entries(&self) -> Vec<Value> {
        self.aws.items("ledger").into_iter().filter(is_entry).collect()
    }
}

fn is_entry(item: &Value) -> bool {
    item["lines"]["M"].is_object()
}

fn message(data: &Value) -> Value {
    events::command("record-entry", data)
}

/// The event of the schedule.
fn tick() -> Value {
    json!({ "source": "aws.events", "detail-type": "Scheduled Event", "time": "2026-11-21T03:00:00Z", "detail": {} })
}

fn line(account: &str, unit: &str, amount: i64) -> Value {
    json!({ "account": account, "unit": unit, "amount": amount })
}

fn entry(id: u8, kind: &str, lines: &[Value]) -> Value {
    let entry_id = format!("ent_0199c2a8-0000-8000-8000-0000000000{id:02x}");
    json!({ "entry_id": entry_id, "occurred_at": "2026-11-21T09:48:49.123Z", "kind": kind, "order_id": ORDER, "lines": lines })
}

fn capture(id: u8, amount: i64) -> Value {
    entry(
        id,
        "capture",
        &[
            line("provider_clearing", "USD", amount),
            line(&format!("customer_funds:{ORDER}"), "USD", -amount),
        ],
    )
}

/// The two lines that move a quantity of a product.
fn moved(product: &str, from: &str, to: &str, quantity: i64) -> [Value; 2] {
    let unit = format!("pcs:{product}");
    [
        line(&format!("stock:{product}:{to}"), &unit, quantity),
        line(&format!("stock:{product}:{from}"), &unit, -quantity),
    ]
}

/// A `commit` entry of two spoons and a bowl.
fn commit(id: u8) -> Value {
    let sold = |product, quantity| moved(product, "on_hand", "shipped_out", quantity);
    entry(id, "commit", &[sold(SPOON, 2), sold(BOWL, 1)].concat())
}

/// An `adjustment` entry of spoons, which belongs to no order.
fn adjustment(id: u8, quantity: i64) -> Value {
    without_order(entry(id, "adjustment", &moved(SPOON, "outside", "on_hand", quantity)))
}

fn without_order(mut entry: Value) -> Value {
    entry.as_object_mut().unwrap().remove("order_id");
    entry
}

#[tokio::test]
async fn entry_is_one_item_of_its_order_or_product() {
    let fixture = EntryFixture::new();
    let recorded = fixture.record(&commit(0xb1)).await;
    assert!(recorded.is_done());
    assert_eq!(
        recorded.operations(),
        ["PutItem", "PutItem"],
        "the first entry of an instance ensures that the progress of posting exists"
    );
    assert_eq!(fixture.record(&capture(0xb2, 500)).await.operations(), ["PutItem"]);
    assert_eq!(fixture.record(&adjustment(0xb3, 7)).await.operations(), ["PutItem"]);
    let number = |amount: i64| json!({ "N": amount.to_string() });
    let map = |members: Value| json!({ "M": members });
    let sold =
        |pieces: i64| map(json!({ "on_hand": number(-pieces), "shipped_out": number(pieces) }));
    let money = json!({ "provider_clearing": number(500), "customer_funds": number(-500) });
    let adjusted = json!({ "on_hand": number(7), "outside": number(-7) });
    let expected = [
        (format!("ORDER#{ORDER}"), 0xb1, map(json!({ (SPOON): sold(2), (BOWL): sold(1) }))),
        (format!("ORDER#{ORDER}"), 0xb2, map(json!({ "USD": map(money) }))),
        (format!("PRODUCT#{SPOON}"), 0xb3, map(json!({ (SPOON): map(adjusted) }))),
    ];
    let mut found: Vec<_> = fixture
        .entries()
        .into_iter()
        .map(|item| (item["pk"]["S"].clone(), item["sk"]["S"].clone(), item["lines"].clone()))
        .collect();
    found.sort_by_key(|(_, sk, _)| sk.to_string());
    let expected = expected.map(|(pk, id, lines)| {
        (json!(pk), json!(format!("ent_0199c2a8-0000-8000-8000-0000000000{id:02x}")), lines)
    });
    assert_eq!(found, expected);
    // A cold instance ensures it again.
    let cold =
        Shop::over(fixture.aws.clone(), clock()).call("record-entry", message(&commit(0xb4))).await;
    assert_eq!((cold.is_done(), cold.operations()), (true, vec!["PutItem", "PutItem"]));
    let others = fixture.aws.items("ledger").iter().filter(|item| !is_entry(item)).count();
    assert_eq!(others, 1);
}

#[tokio::test]
async fn entries_of_one_day_are_spread_over_all_shards() {
    let fixture = EntryFixture::new();
    for id in 0..=255 {
        assert!(fixture.record(&commit(id)).await.is_done());
    }
    let shards: BTreeSet<String> =
        fixture.entries().iter().map(|item| item["day_shard"]["S"].to_string()).collect();
    assert_eq!(shards.len(), DAY_SHARDS as usize);
}

#[tokio::test]
async fn repeated_entry_is_acknowledged_and_changes_nothing() {
    let fixture = EntryFixture::new();
    assert!(fixture.record(&commit(0xb1)).await.is_done());
    let before = fixture.aws.items("ledger");
    let mut turned = commit(0xb1);
    turned["lines"].as_array_mut().unwrap().reverse();
    turned["a_field_of_a_later_release"] = json!(true);
    for again in [commit(0xb1), turned] {
        let called = fixture.record(&again).await;
        assert_eq!((called.is_done(), called.operations()), (true, vec!["PutItem"]));
    }
    assert_eq!(fixture.aws.items("ledger"), before);
}

#[tokio::test]
async fn different_content_under_the_same_id_is_rejected() {
    let fixture = EntryFixture::new();
    assert!(fixture.record(&capture(0xb1, 500)).await.is_done());
    let before = fixture.aws.items("ledger");
    let mut later = capture(0xb1, 500);
    later["occurred_at"] = json!("2026-11-21T09:48:49.124Z");
    let mut renamed = capture(0xb1, 500);
    renamed["kind"] = json!("refund");
    let measured = Capture::start();
    for other in [capture(0xb1, 501), later, renamed, commit(0xb1)] {
        assert!(!fixture.record(&other).await.is_done(), "{other}");
        assert_eq!(fixture.aws.items("ledger"), before);
    }
    assert_eq!(measured.total(&ledger::metrics::LEDGER_MISMATCH), 4);
}

#[tokio::test]
async fn unbalanced_entry_is_rejected_and_writes_nothing() {
    let fixture = EntryFixture::new();
    let clearing = line("provider_clearing", "USD", 500);
    let funds = |amount| line(&format!("customer_funds:{ORDER}"), "USD", amount);
    let mut foreign = capture(0xb1, 500);
    foreign["order_id"] = json!("ord_0199c2a8-0000-7000-8000-0000000000f2");
    let poison = [
        entry(0xb1, "capture", &[]),
        entry(0xb1, "capture", std::slice::from_ref(&clearing)),
        entry(0xb1, "capture", &[clearing.clone(), funds(-499)]),
        entry(
            0xb1,
            "capture",
            &[clearing.clone(), line(&format!("customer_funds:{ORDER}"), "EUR", -500)],
        ),
        entry(0xb1, "capture", &[clearing.clone(), line("cash", "USD", -500)]),
        entry(
            0xb1,
            "capture",
            &(0..51).flat_map(|_| [clearing.clone(), funds(-500)]).collect::<Vec<_>>(),
        ),
        foreign,
        entry(0xb1, "commit", &[0, 0].map(|_| moved(SPOON, "on_hand", "shipped_out", 1)).concat()),
        without_order(commit(0xb1)),
        without_order(entry(
            0xb1,
            "capture",
            &[clearing.clone(), line("provider_clearing", "USD", -500)],
        )),
        json!({}),
    ];
    for data in poison {
        let called = fixture.record(&data).await;
        assert!(!called.is_done(), "{data}");
        assert!(called.operations().is_empty());
    }
    assert!(fixture.aws.items("ledger").is_empty());
    // An entry with the maximum number of lines is also one item.
    let product = |number| format!("prd_0199c2a8-0000-7000-8000-0000000001{number:02}");
    let lines: Vec<Value> =
        (0..50).flat_map(|number| moved(&product(number), "on_hand", "shipped_out", 1)).collect();
    assert!(fixture.record(&entry(0xb1, "commit", &lines)).await.is_done());
    assert_eq!(fixture.entries().len(), 1);
}

#[tokio::test]
async fn entry_is_recorded_once_under_any_fault() {
    let clean = EntryFixture::new();
    assert!(clean.record(&commit(0xb1)).await.is_done());
    let clean = clean.aws.items("ledger");
    for_each_fault(0..2, async |InjectedFault { call, fault }| {
        let fixture = EntryFixture::new();
        fixture.aws.fail(call, fault);
        let first = fixture.record(&commit(0xb1)).await.is_done();
        assert!(!first || fixture.entries().len() == 1, "call {call} {fault:?}");
        // A new instance starts from the beginning, as after a crash.
        let next = Shop::over(fixture.aws.clone(), clock());
        for _ in 0..2 {
            assert!(
                next.call("record-entry", message(&commit(0xb1))).await.is_done(),
                "call {call} {fault:?}"
            );
        }
        assert_eq!(fixture.aws.items("ledger"), clean, "call {call} {fault:?}");
    })
    .await;
}

#[tokio::test]
async fn entry_of_a_killed_function_is_recorded_by_the_next() {
    for calls in 0..3 {
        let fixture = EntryFixture::new();
        let service = Shop::over(fixture.aws.crowded(0), clock()).ledger;
        let message = RecordEntry::from_message("record_entry.v1", commit(0xb1)).unwrap();
        let dying = record_entry(
            service,
            Received {
                message,
                trace: Trace::start(&Ids::seeded(1)),
                deadline: Clock::System.now(),
            },
        );
        // The task yields before each call, so the function can be stopped after this number of
        // calls.
        let enough = async {
            while fixture.aws.calls().len() < calls {
                tokio::task::yield_now().await;
            }
        };
        let crashed = tokio::select! {
            biased;
            () = enough => true,
            _ = dying => false,
        };
        // The last call may complete before the select sees the count.
        assert!(crashed == (calls < 2) || calls == 2, "{calls} calls");
        assert_eq!(fixture.aws.calls().len(), calls, "two calls make an entry");
        assert_eq!(fixture.entries().len(), usize::from(calls == 2), "{calls} calls");
        assert!(fixture.record(&commit(0xb1)).await.is_done());
        assert_eq!(fixture.entries().len(), 1);
    }
}

#[tokio::test]
async fn concurrent_copies_write_one_entry() {
    for seed in 0..20 {
        let aws = Aws::new();
        let record = Shop::over(aws.crowded(seed), clock()).lambda("record-entry");
        let copies: Vec<_> = (0..8)
            .map(|_| tokio::spawn(record(Invocation::with_event(message(&commit(0xb1))))))
            .collect();
        let others: Vec<_> = (0..4)
            .map(|_| tokio::spawn(record(Invocation::with_event(message(&capture(0xb1, 500))))))
            .collect();
        for copy in copies.into_iter().chain(others) {
            assert_eq!(copy.await.unwrap().unwrap()["batchItemFailures"], json!([]), "seed {seed}");
        }
        let rejected = aws.queues().waiting("record-entry-dead-letter");
        let captures =
            rejected.iter().filter(|message| message.json()["data"]["kind"] == "capture").count();
        let rejected = (rejected.len() - captures, captures);
        assert!(
            rejected == (0, 4) || rejected == (8, 0),
            "seed {seed}: two contents under one id were both accepted: {rejected:?}"
        );
        assert_eq!(aws.items("ledger").iter().filter(|item| is_entry(item)).count(), 1);
    }
}
