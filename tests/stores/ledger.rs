//! Ledger: an entry is written under all its keys or not at all, exactly once, and the audit
//! reports every mismatch.

mod audit_runs;
mod corruptions;
mod fixture;
mod lease;
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
    store::{DAY_SHARDS, PRODUCT_SHARDS},
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

    /// The items of the table: the keys of each, and its lines.
    fn items(&self) -> BTreeMap<(String, String), Value> {
        let key = |item: &Value, name: &str| item[name]["S"].as_str().unwrap().to_owned();
        self.aws
            .items("ledger")
            .into_iter()
            .map(|item| ((key(&item, "pk"), key(&item, "sk")), item["lines"].clone()))
            .collect()
    }

    fn partitions(&self) -> Vec<String> {
        self.items().into_keys().map(|(pk, _)| pk).collect()
    }
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

/// A `hold` entry for two spoons and a bowl.
fn hold(id: u8) -> Value {
    let moved = |product: &str, quantity: i64| {
        let unit = format!("pcs:{product}");
        [
            line(&format!("stock:{product}:held"), &unit, quantity),
            line(&format!("stock:{product}:available"), &unit, -quantity),
        ]
    };
    entry(id, "hold", &[moved(SPOON, 2), moved(BOWL, 1)].concat())
}

#[tokio::test]
async fn entry_is_stored_by_id_order_day_and_product() {
    let fixture = EntryFixture::new();
    let recorded = fixture.record(&hold(0xb1)).await;
    assert!(recorded.is_done());
    assert_eq!(
        recorded.operations(),
        ["PutItem", "PutItem", "TransactWriteItems"],
        "two products are listed, once"
    );
    let partitions = fixture.partitions();
    for expected in [
        "DAY#2026-11-21#",
        "ENTRY#ent_",
        &format!("ORDER#{ORDER}"),
        &format!("PRODUCT#{BOWL}"),
        &format!("PRODUCT#{SPOON}"),
    ] {
        assert_eq!(
            partitions.iter().filter(|pk| pk.starts_with(expected)).count(),
            1,
            "{expected}: {partitions:?}"
        );
    }
    assert_eq!(partitions.iter().filter(|pk| pk.starts_with("PRODUCTS#")).count(), 2);
    assert_eq!(partitions.len(), 7);
    let of_spoons = fixture
        .items()
        .into_iter()
        .find(|((pk, _), _)| pk.starts_with(&format!("PRODUCT#{SPOON}#")))
        .unwrap();
    assert_eq!(of_spoons.0.1, "2026-11-21T09:48:49.123Z#ent_0199c2a8-0000-8000-8000-0000000000b1");
    assert_eq!(
        of_spoons.1["L"].as_array().unwrap().len(),
        2,
        "a product's item has only its own lines"
    );

    // A warm instance knows its products and needs one call.
    assert_eq!(fixture.record(&hold(0xb2)).await.operations(), ["TransactWriteItems"]);
    // Entries of money concern no product.
    assert_eq!(fixture.record(&capture(0xb3, 500)).await.operations(), ["TransactWriteItems"]);
    assert_eq!(fixture.partitions().iter().filter(|pk| pk.starts_with("ORDER#")).count(), 3);
    // A cold instance lists its products again: both are already listed.
    let cold =
        Shop::over(fixture.aws.clone(), clock()).call("record-entry", message(&hold(0xb4))).await;
    assert_eq!(
        (cold.is_done(), cold.operations()),
        (true, vec!["PutItem", "PutItem", "TransactWriteItems"])
    );
    assert_eq!(fixture.partitions().iter().filter(|pk| pk.starts_with("PRODUCTS#")).count(), 2);
}

#[tokio::test]
async fn entries_of_one_product_and_day_are_spread_over_all_shards() {
    let fixture = EntryFixture::new();
    for id in 0..=255 {
        assert!(fixture.record(&hold(id)).await.is_done());
    }
    let keys = |prefix: &str| {
        fixture
            .partitions()
            .into_iter()
            .filter(|pk| pk.starts_with(prefix))
            .collect::<BTreeSet<_>>()
            .len()
    };
    assert_eq!(keys(&format!("PRODUCT#{SPOON}#")), PRODUCT_SHARDS as usize);
    assert_eq!(keys("DAY#2026-11-21#"), DAY_SHARDS as usize);
}

#[tokio::test]
async fn repeated_entry_is_acknowledged_and_changes_nothing() {
    let fixture = EntryFixture::new();
    assert!(fixture.record(&hold(0xb1)).await.is_done());
    let before = fixture.aws.items("ledger");
    let mut turned = hold(0xb1);
    turned["lines"].as_array_mut().unwrap().reverse();
    turned["a_field_of_a_later_release"] = json!(true);
    for again in [hold(0xb1), turned] {
        let called = fixture.record(&again).await;
        assert_eq!((called.is_done(), called.operations()), (true, vec!["TransactWriteItems"]));
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
    for other in [capture(0xb1, 501), later, renamed, hold(0xb1)] {
        assert!(!fixture.record(&other).await.is_done(), "{other}");
        let known: Vec<Value> = fixture
            .aws
            .items("ledger")
            .into_iter()
            .filter(|item| !item["pk"]["S"].as_str().unwrap().starts_with("PRODUCTS#"))
            .collect();
        assert_eq!(known, before);
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
        json!({}),
    ];
    for data in poison {
        let called = fixture.record(&data).await;
        assert!(!called.is_done(), "{data}");
        assert!(called.operations().is_empty());
    }
    assert!(fixture.aws.items("ledger").is_empty());
    // The maximum number of lines, of the maximum number of products in an order, fits in one
    // transaction.
    let lines: Vec<Value> = (0..50)
        .flat_map(|number| {
            let product = format!("prd_0199c2a8-0000-7000-8000-0000000001{number:02}");
            let unit = format!("pcs:{product}");
            [
                line(&format!("stock:{product}:held"), &unit, 1),
                line(&format!("stock:{product}:available"), &unit, -1),
            ]
        })
        .collect();
    assert!(fixture.record(&entry(0xb1, "hold", &lines)).await.is_done());
    assert_eq!(fixture.aws.items("ledger").len(), 53 + 50);
}

#[tokio::test]
async fn entry_is_recorded_once_under_any_fault() {
    let clean = EntryFixture::new();
    assert!(clean.record(&hold(0xb1)).await.is_done());
    let clean = clean.aws.items("ledger");
    for_each_fault(0..3, async |InjectedFault { call, fault }| {
        let fixture = EntryFixture::new();
        fixture.aws.fail(call, fault);
        let first = fixture.record(&hold(0xb1)).await.is_done();
        // The transaction is all or nothing: the header never exists without the other items.
        let entries = fixture.partitions().iter().filter(|pk| !pk.starts_with("PRODUCTS#")).count();
        assert!(entries == 0 || entries == 5, "call {call} {fault:?}: {entries}");
        assert!(!first || entries == 5);
        // A new instance starts from the beginning, as after a crash.
        let next = Shop::over(fixture.aws.clone(), clock());
        for _ in 0..2 {
            assert!(
                next.call("record-entry", message(&hold(0xb1))).await.is_done(),
                "call {call} {fault:?}"
            );
        }
        assert_eq!(fixture.aws.items("ledger"), clean, "call {call} {fault:?}");
    })
    .await;
}

#[tokio::test]
async fn function_killed_between_any_two_calls_leaves_no_partial_entry() {
    for calls in 0..4 {
        let fixture = EntryFixture::new();
        let service = Shop::over(fixture.aws.crowded(0), clock()).ledger;
        let message = RecordEntry::from_message("record_entry.v1", hold(0xb1)).unwrap();
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
        let died = tokio::select! {
            biased;
            () = enough => true,
            _ = dying => false,
        };
        // The last call may complete before the select sees the count.
        assert!(died == (calls < 3) || calls == 3, "{calls} calls");
        assert_eq!(fixture.aws.calls().len(), calls.min(3), "three calls make an entry");
        let entries = fixture.partitions().iter().filter(|pk| !pk.starts_with("PRODUCTS#")).count();
        assert_eq!(entries, if calls < 3 { 0 } else { 5 }, "{calls} calls");
        assert!(fixture.record(&hold(0xb1)).await.is_done());
        assert_eq!(fixture.items().len(), 7);
    }
}

#[tokio::test]
async fn concurrent_copies_write_one_entry() {
    for seed in 0..20 {
        let aws = Aws::new();
        let record = Shop::over(aws.crowded(seed), clock()).lambda("record-entry");
        let copies: Vec<_> = (0..8)
            .map(|_| tokio::spawn(record(Invocation::with_event(message(&hold(0xb1))))))
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
        let headers =
            aws.items("ledger").into_iter().filter(|item| item["sk"]["S"] == "ENTRY").count();
        assert_eq!(headers, 1);
    }
}
