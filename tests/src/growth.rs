//! A shop with many stored records, and the cost of each operation in it.
//!
//! [`Stored`] has any number of paid orders, each of another product. They are a year old and
//! belong to the customer of the samples, so the lists that an operation reads are those that grow.
//! Copies of a record share its attributes and differ in their keys, because a million complete
//! orders would not fit into memory.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use shared::{
    clock::{Clock, Timestamp},
    lambda::Invocation,
};

use crate::{
    aws::Aws,
    cost::{Cost, Scenario, count, is_processed},
    dynamodb::{DynamoDb, Item, text},
    events::{self, STRANGER, USER, sample},
    metering::thread_cpu,
    samples,
    shop::{SHARDS, Shop, clock},
    template::{STACK, template},
};

/// The age of the stored orders.
const AGE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Tables whose records grow with orders, products and users.
const TABLES: [&str; 8] = [
    "users",
    "products",
    "order-products",
    "stock",
    "orders",
    "payments",
    "notifications",
    "ledger",
];

/// Operations that process all records of one user, who has none of the stored ones.
const OF_ONE_USER: [&str; 2] = ["forget-recipient", "update-buyer"];

/// Operations whose cost grows with the stored records, with the reason.
pub const GROWING: [(&str, &str); 1] =
    [("resync-products", "publishes every product, in runs with a time limit")];

/// Sweeps, which process due records.
pub const SWEEPS: [&str; 3] = ["check-reservations", "reconcile-payments", "resume-orders"];

/// When every record of a sweep is due.
const OVERDUE: Duration = Duration::from_secs(49 * 3600);

/// Records that every shop of a comparison has in its tables.
pub struct Stored {
    database: DynamoDb,
    buyer: &'static str,
}

impl Stored {
    /// This number of paid orders of the customer of the samples, with their products,
    /// payments, reservations, mails and ledger entries, and this number of users.
    ///
    /// # Panics
    /// If an order is not accepted.
    pub async fn of_customer(count: usize) -> Self {
        Self { database: copies(&confirmed(USER).await, count, USER), buyer: USER }
    }

    /// As [`Stored::of_customer`], but the orders are those of another customer.
    ///
    /// # Panics
    /// If an order is not accepted.
    pub async fn of_others(count: usize) -> Self {
        Self { database: copies(&confirmed(STRANGER).await, count, STRANGER), buyer: STRANGER }
    }

    /// This number of orders that wait for their buyer, and as many whose charge has no outcome.
    ///
    /// # Panics
    /// If the shop does not accept them.
    pub async fn due(count: usize) -> Self {
        Self { database: copies(&unsettled().await, count, USER), buyer: USER }
    }

    /// Whether an operation is compared among these records.
    pub fn is_for(&self, operation: &str) -> bool {
        OF_ONE_USER.contains(&operation) == (self.buyer == STRANGER)
    }

    /// The number of items in all tables.
    pub fn items(&self) -> usize {
        TABLES.iter().map(|table| self.database.count(&full(table))).sum()
    }
}

/// A paid order of `buyer`, and everything that was stored for it.
async fn confirmed(buyer: &str) -> Shop {
    let begun = clock().now().milliseconds() - i64::try_from(AGE.as_millis()).unwrap_or(i64::MAX);
    let begun = Clock::manual(Timestamp::from_milliseconds(begun));
    let shop = Shop::over(Aws::new(), begun);
    shop.ada().await;
    let product = shop.product("oak-spoon", 2999, 50).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let order = events::post("/orders", &events::order_request(&product, 1, Some("tok_ok")));
    let order = order.caller(buyer).header("idempotency-key", "stored").event();
    let placed = shop.call("create-order", order).await;
    assert_eq!(placed.status(), 201, "{:?}", placed.answer);
    harness.drain_queues().await;
    shop
}

/// An order that waits for its buyer, and one whose charge has no outcome.
async fn unsettled() -> Shop {
    let shop = Shop::new();
    let product = shop.product("oak-spoon", 2999, 50).await;
    shop.harness().drain_queues().await;
    for (key, token) in [("unpaid", None), ("unknown", Some("tok_timeout_after_charge"))] {
        let placed = shop.order(key, &product, 1, token).await;
        assert_eq!(placed.status(), 201, "{:?}", placed.answer);
    }
    shop.harness().drain_queues().await;
    shop
}

/// Copies of all records of a shop, except those of `buyer` as a whole.
fn copies(shop: &Shop, count: usize, buyer: &str) -> DynamoDb {
    let stored = DynamoDb::new(template());
    for table in TABLES {
        // A user is another one in each copy. All other records belong to one buyer.
        let kept = if table == "users" { "" } else { &buyer["usr_".len()..] };
        let shards = if ["users", "products"].contains(&table) { 1 } else { SHARDS as usize };
        // Keys without a number are few: their copies share them.
        let shared = RefCell::new(BTreeMap::<String, Arc<str>>::new());
        let rename = |key: &str, number: usize| match renamed(key, number, kept, shards) {
            name if is_numbered(key, kept) => name.into(),
            name => shared.borrow_mut().entry(name.clone()).or_insert(name.into()).clone(),
        };
        for item in shop.aws.stored(table).iter().filter(|item| has_own_key(item, kept)) {
            stored.store_copies(&full(table), item, count, rename);
        }
        stored.share(&full(table));
    }
    stored
}

/// A shop with this number of copies of the records of [`Stored::due`], which sweeps can process.
///
/// # Panics
/// If the shop does not accept them.
pub async fn overdue(count: usize) -> Shop {
    let shop = unsettled().await;
    let kept = &USER["usr_".len()..];
    for table in TABLES.into_iter().chain(["payment-simulator"]) {
        for item in shop.aws.stored(table).iter().filter(|item| has_own_key(item, kept)) {
            for number in 1..count {
                let mut copy = json!(**item);
                rename_all(&mut copy, number, kept);
                shop.aws.put(table, &copy);
            }
        }
    }
    shop.clock.advance(OVERDUE);
    shop
}

/// Renames every text in an item.
fn rename_all(value: &mut Value, number: usize, kept: &str) {
    match value {
        Value::String(text) => *text = renamed(text, number, kept, SHARDS as usize),
        Value::Array(values) => values.iter_mut().for_each(|each| rename_all(each, number, kept)),
        Value::Object(members) => {
            members.values_mut().for_each(|each| rename_all(each, number, kept));
        }
        _ => {}
    }
}

/// The cost of a run of a sweep that has no time for a record: it reads a page of each shard.
/// Needs paused time.
///
/// # Panics
/// If the run fails, or finds no record.
pub async fn page_of_sweep(operation: &str, due: &Stored) -> Figures {
    let shop = Shop::over(Aws::new(), clock());
    shop.aws.database().add_shared(&due.database);
    shop.clock.advance(OVERDUE);
    count(&shop);
    let mut invocation = Invocation::with_event(json!({}));
    invocation.deadline = Clock::System.now();
    let (called, cost) = Cost::of(&shop, operation, invocation).await;
    assert!(called.ok()["remaining"].as_u64() > Some(0), "{operation}: {:?}", called.answer);
    Figures { cost, rows: shop.aws.rows_read() }
}

/// Whether copies of an item have keys of their own.
fn has_own_key(item: &Item, kept: &str) -> bool {
    let keys = ["pk", "sk"].map(|name| text(item, name));
    keys.iter().any(|key| is_numbered(key, kept))
}

/// Whether a copy of this key contains the number of the copy.
fn is_numbered(key: &str, kept: &str) -> bool {
    key.split(|c| !is_part_of_id(c)).any(|run| is_id(run, kept))
}

fn full(table: &str) -> String {
    format!("{STACK}-{table}")
}

/// A key in copy `number`: the last digits of each id and hash in it, except `kept`, are the
/// number. The shard at its end is spread over `shards`.
pub fn renamed(key: &str, number: usize, kept: &str, shards: usize) -> String {
    let mut renamed = String::with_capacity(key.len());
    let mut rest = key;
    while !rest.is_empty() {
        let run = rest.find(|c| !is_part_of_id(c)).unwrap_or(rest.len());
        let (id, after) = rest.split_at(run);
        if is_id(id, kept) {
            renamed.push_str(&id[..id.len() - 12]);
            renamed.push_str(&format!("{number:012x}"));
        } else {
            renamed.push_str(id);
        }
        let next = after.chars().next().map_or(0, char::len_utf8);
        renamed.push_str(&after[..next]);
        rest = &after[next..];
    }
    match renamed.rsplit_once('#') {
        Some((value, shard)) if shard.len() <= 2 && shard.parse::<usize>().is_ok() => {
            format!("{value}#{}", number % shards)
        }
        _ => renamed,
    }
}

/// Whether a character may be in an id or a hash.
fn is_part_of_id(c: char) -> bool {
    c.is_ascii_digit() || ('a'..='f').contains(&c) || c == '-'
}

/// Whether a run of such characters is an id or a hash, and not `kept`.
fn is_id(run: &str, kept: &str) -> bool {
    run.len() >= 32 && run != kept
}

/// An operation with its events, and the shop before them.
pub struct Invocations {
    pub operation: String,
    shop: Shop,
    events: Vec<Value>,
}

/// What an invocation costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    pub cost: Cost,
    /// Items that DynamoDB has read for it.
    pub rows: u64,
}

impl Invocations {
    /// The scenario of an operation with two events, or its sample in `events/`.
    ///
    /// # Panics
    /// If the shop cannot be prepared.
    pub async fn of(operation: &str) -> Self {
        let (shop, events) = if Scenario::exists(operation) {
            let scenario = Scenario::prepare(operation, Shop::new(), 2).await;
            (scenario.shop, scenario.events)
        } else {
            let shop = Shop::new();
            samples::prepare(operation, &shop).await;
            // The period that the reconciliation checks excludes its end.
            shop.clock.advance(Duration::from_secs(1));
            (shop, vec![sample(operation)])
        };
        Self { operation: operation.to_owned(), shop, events }
    }

    /// The figures of each event in a shop that has these records as well. Needs paused time.
    ///
    /// # Errors
    /// The answer of an event that was not processed.
    pub async fn among(&self, stored: &Stored) -> Result<Vec<Figures>, String> {
        let shop = self.shop_with(stored);
        count(&shop);
        let mut figures = Vec::new();
        for event in &self.events {
            let rows = shop.aws.rows_read();
            let invocation = Invocation::with_event(event.clone());
            let (called, cost) = Cost::of(&shop, &self.operation, invocation).await;
            let is_processed = called.answer.as_ref().is_ok_and(is_processed);
            if !is_processed {
                return Err(format!("{}: {:?}", self.operation, called.answer));
            }
            figures.push(Figures { cost, rows: shop.aws.rows_read() - rows });
        }
        Ok(figures)
    }

    /// Microseconds of CPU time of the last event in such a shop, with the in-memory AWS: the
    /// shortest of several runs.
    pub async fn microseconds_among(&self, stored: &Stored, runs: usize) -> u64 {
        let mut shortest = u64::MAX;
        for _ in 0..runs {
            let shop = self.shop_with(stored);
            for event in &self.events {
                let before = thread_cpu();
                let called = shop.call(&self.operation, event.clone()).await;
                let after = thread_cpu();
                assert!(called.answer.is_ok(), "{}: {:?}", self.operation, called.answer);
                if std::ptr::eq(event, &self.events[self.events.len() - 1]) {
                    shortest = shortest.min((after - before) / 1000);
                }
            }
        }
        shortest
    }

    fn shop_with(&self, stored: &Stored) -> Shop {
        let shop = self.shop.copy();
        shop.aws.database().add_shared(&stored.database);
        shop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbered_and_shards_are_spread() {
        let order = "ORDER#ord_0199c2a8-0000-7000-8000-0000000000f1";
        let copy = "ORDER#ord_0199c2a8-0000-7000-8000-00000000000b";
        assert_eq!(renamed(order, 11, "", 8), copy);
        assert_eq!(renamed(order, 11, &order["ORDER#ord_".len()..], 8), order);
        assert_eq!(renamed("confirmed#3", 11, "", 8), "confirmed#3");
        assert_eq!(renamed("confirmed#3", 12, "", 8), "confirmed#4");
        assert_eq!(renamed("2026-11-21T10:00:00.000Z", 11, "", 8), "2026-11-21T10:00:00.000Z");
        let hash = "EMAIL#".to_owned() + &"ab".repeat(32);
        assert_eq!(
            renamed(&hash, 1, "", 1),
            "EMAIL#".to_owned() + &"ab".repeat(26) + "000000000001"
        );
    }

    #[tokio::test]
    async fn each_copy_of_an_order_has_all_of_its_records() {
        let (one, ten) = (Stored::of_customer(1).await, Stored::of_customer(10).await);
        let count = |stored: &Stored, table: &str| stored.database.count(&full(table));
        for table in TABLES {
            assert!(count(&one, table) > 0, "{table} has no record");
            assert_eq!(count(&ten, table), 10 * count(&one, table), "{table}");
        }
    }
}
