//! Lists over any number of shards: each item once and in order, on any page, while other items
//! come and go.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use shared::table::{List, ListPage, Table, TableError};
use tests::aws::{Aws, Fault};

/// The part of an item that these tests read. The index of the template projects it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Entry {
    name_sort: String,
    updated_at: u32,
}

#[derive(Clone, Debug)]
struct Stored {
    name_sort: String,
    shard: u32,
    is_kept: bool,
}

impl Stored {
    fn put(&self, aws: &Aws) {
        aws.put(
            "products",
            &json!({
                "pk": { "S": self.name_sort },
                "active_shard": { "S": format!("active#{}", self.shard) },
                "name_sort": { "S": self.name_sort },
                "updated_at": { "N": u32::from(self.is_kept).to_string() },
            }),
        );
    }

    fn delete(&self, aws: &Aws) {
        aws.delete("products", &json!({ "pk": { "S": self.name_sort } }));
    }
}

async fn page(
    table: &Table,
    shards: u32,
    descending: bool,
    after: Option<String>,
    limit: u32,
) -> Result<ListPage<Entry>, TableError> {
    let list = List::sharded("active-index", "active_shard", "active", shards, "name_sort");
    let list = if descending { list.descending() } else { list };
    table.list(list.after(after), limit, |entry: &Entry| entry.updated_at == 1).await
}

/// A list, and the items that are added and removed after each of its pages.
#[derive(Clone, Debug)]
struct Scene {
    shards: u32,
    descending: bool,
    limit: u32,
    items: Vec<Stored>,
    added: Vec<Stored>,
    removed: Vec<prop::sample::Index>,
}

fn stored(prefix: &'static str, shards: u32, most: usize) -> impl Strategy<Value = Vec<Stored>> {
    prop::collection::vec((0..500_u32, 0..shards, prop::bool::weighted(0.7)), 0..most).prop_map(
        move |items| {
            let stored = |(number, (name, shard, is_kept))| Stored {
                name_sort: format!("{name:03}#{prefix}{number}"),
                shard,
                is_kept,
            };
            items.into_iter().enumerate().map(stored).collect()
        },
    )
}

fn scenes() -> impl Strategy<Value = Scene> {
    // All items may be in a few of the shards.
    (1..=9_u32).prop_flat_map(|shards| (Just(shards), 1..=shards)).prop_flat_map(
        |(shards, used)| {
            (
                any::<bool>(),
                1..=12_u32,
                stored("a", used, 90),
                stored("b", used, 12),
                prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            )
                .prop_map(move |(descending, limit, items, added, removed)| Scene {
                    shards,
                    descending,
                    limit,
                    items,
                    added,
                    removed,
                })
        },
    )
}

/// Reads all pages. Returns the sort keys in the order of the pages.
async fn read(scene: &Scene) -> Vec<String> {
    let aws = Aws::new();
    let table = aws.table("products");
    for item in &scene.items {
        item.put(&aws);
    }
    let (mut seen, mut after) = (Vec::new(), None);
    let mut changes = scene.added.iter().zip(&scene.removed);
    loop {
        let page = page(&table, scene.shards, scene.descending, after, scene.limit).await.unwrap();
        assert!(page.items.len() <= scene.limit as usize);
        assert!(page.next.is_none() || page.items.len() == scene.limit as usize, "page is full");
        seen.extend(page.items.into_iter().map(|entry| entry.name_sort));
        after = page.next;
        if after.is_none() {
            return seen;
        }
        if let Some((added, removed)) = changes.next() {
            added.put(&aws);
            if !scene.items.is_empty() {
                removed.get(&scene.items).delete(&aws);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn item_that_stays_is_returned_once_and_in_order(scene in scenes()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let seen = runtime.block_on(read(&scene));
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        if scene.descending {
            sorted.reverse();
        }
        prop_assert_eq!(&seen, &sorted, "in order, and none twice");
        let kept = |items: &[Stored]| -> BTreeSet<String> {
            let kept = items.iter().filter(|item| item.is_kept);
            kept.map(|item| item.name_sort.clone()).collect()
        };
        let seen: BTreeSet<String> = seen.into_iter().collect();
        let mut stayed = kept(&scene.items);
        for removed in scene.removed.iter().filter(|_| !scene.items.is_empty()) {
            stayed.remove(&removed.get(&scene.items).name_sort);
        }
        prop_assert!(seen.is_superset(&stayed), "lost: {:?}", stayed.difference(&seen));
        let all = kept(&scene.items).union(&kept(&scene.added)).cloned().collect();
        prop_assert!(seen.is_subset(&all), "{:?} is not in the list", seen.difference(&all));
    }
}

fn entries(count: u32, shard: impl Fn(u32) -> u32, is_kept: impl Fn(u32) -> bool) -> Aws {
    let aws = Aws::new();
    for number in 0..count {
        let (shard, is_kept) = (shard(number), is_kept(number));
        Stored { name_sort: format!("{number:05}"), shard, is_kept }.put(&aws);
    }
    aws
}

#[tokio::test]
async fn list_in_one_of_eight_shards_takes_few_rounds() {
    let aws = entries(300, |_| 3, |_| true);
    let found = page(&aws.table("products"), 8, false, None, 100).await.unwrap();
    assert_eq!((found.items.len(), found.next.as_deref()), (100, Some("00099")));
    // Eight shards, and the one with all rows four more times.
    assert_eq!(aws.calls().len(), 12);
}

#[tokio::test]
async fn filtered_page_examines_at_most_500_rows() {
    let aws = entries(1_200, |_| 0, |number| number == 7 || number == 1_199);
    let table = aws.table("products");
    let (mut after, mut found) = (None, Vec::new());
    for expected in [Some("00499"), Some("00999"), None] {
        let before = aws.calls().len();
        let page = page(&table, 1, false, after, 20).await.unwrap();
        assert!(aws.calls().len() - before <= 6, "{}", aws.calls().len() - before);
        assert_eq!(page.next.as_deref(), expected);
        found.extend(page.items.into_iter().map(|entry| entry.name_sort));
        after = page.next;
    }
    assert_eq!(found, ["00007", "01199"]);
}

#[tokio::test]
async fn page_of_more_than_a_megabyte_is_complete() {
    let aws = Aws::new();
    for number in 0..12 {
        aws.put(
            "products",
            &json!({
                "pk": { "S": format!("{number:02}") },
                "active_shard": { "S": "active#0" },
                "name_sort": { "S": format!("{number:02}") },
                "updated_at": { "N": "1" },
                "details": { "S": "long".repeat(30_000) },
            }),
        );
    }
    let found = page(&aws.table("products"), 1, false, None, 12).await.unwrap();
    assert_eq!((found.items.len(), found.next), (12, None));
    assert_eq!(aws.calls().len(), 2);
}

#[tokio::test]
async fn faults_and_unreadable_items_are_errors() {
    let aws = entries(9, |number| number % 3, |_| true);
    let table = aws.table("products");
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        for call in 0..3 {
            aws.fail(call, fault);
            let failed = page(&table, 3, false, None, 9).await;
            assert!(failed.is_err_and(|error| error.is_transient()), "{fault:?} at {call}");
            aws.heal();
        }
    }
    // The SDK retries an attempt without a response, and then reads the response of the second one.
    let retrying = aws.retrying().table("products");
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        aws.fail(1, fault);
        let found = page(&retrying, 3, false, None, 9).await.unwrap();
        assert_eq!((found.items.len(), found.next), (9, None), "{fault:?}");
    }
    let unknown = Table::new(aws.dynamodb(), "ferrocart-no-such-table");
    let rejected = page(&unknown, 1, false, None, 9).await;
    assert!(matches!(rejected, Err(TableError::Rejected { call: "Query", .. })), "{rejected:?}");

    aws.put(
        "products",
        &json!({
            "pk": { "S": "unreadable" },
            "active_shard": { "S": "active#1" },
            "name_sort": { "S": "00004a" },
            "updated_at": { "S": "yesterday" },
        }),
    );
    let unreadable = page(&table, 3, false, None, 9).await;
    assert!(matches!(unreadable, Err(TableError::Unreadable { .. })), "{unreadable:?}");
}
