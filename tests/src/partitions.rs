//! The throughput limits of DynamoDB partitions: counts the write units of each partition key, and
//! throttles writes above a limit. It also counts the read units and rows of all keys together.
//!
//! No emulator limits partitions or detects transaction conflicts. The figures come from the Amazon
//! DynamoDB Developer Guide:
//!
//! - A write costs one unit per started KB of the larger of the item before and after it, twice as
//!   much in a transaction ("Read/write capacity mode"). A write whose condition fails costs the
//!   size of the existing item. A throttled write costs nothing.
//! - An index costs one unit for each entry that is put, deleted or changed, and nothing if no
//!   projected attribute changes ("Using Global Secondary Indexes", write capacity).
//! - A partition key accepts 1,000 units per second ("Service, account, and table quotas"). An
//!   exhausted index key throttles the writes to the table.
//! - A transaction conflicts with any other concurrent write of the same item ("Transaction
//!   conflict handling").

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{dynamodb::DynamoDb, reads, template::Template};

/// A partition key of a table or of an index: `stock STOCK#prd_…`, `orders/status-index pending#3`.
pub type PartitionKey = String;

/// The throughput limits of a partition key.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Write units per second. An idle key accumulates one second's worth, and at least the cost of
    /// one transaction.
    pub units_per_second: f64,
    /// How long a transaction blocks other writes of its items.
    pub conflict_window: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A partition key has no units left.
    Throttled,
    /// Another transaction is writing the item.
    Conflict,
}

#[derive(Debug)]
pub struct Partitions {
    tables: BTreeMap<String, Table>,
    limits: Option<Limits>,
    units: BTreeMap<PartitionKey, u64>,
    read_units: f64,
    rows: u64,
    stores: BTreeMap<PartitionKey, Store>,
    in_transaction: BTreeMap<String, Instant>,
    refusals: (u64, u64),
}

/// The key attributes of a table and of its indexes.
#[derive(Debug)]
struct Table {
    /// The name without the stack name.
    name: String,
    keys: Vec<String>,
    indexes: Vec<Index>,
}

#[derive(Debug)]
struct Index {
    name: String,
    keys: Vec<String>,
    /// The projected attributes; `None` means all.
    projected: Option<BTreeSet<String>>,
}

/// The remaining units of a key at a point in time.
#[derive(Clone, Copy, Debug)]
struct Store {
    left: f64,
    at: Instant,
}

#[derive(Debug)]
struct Write {
    table: String,
    key: Value,
    /// The item that the request puts, if any.
    put: Option<Value>,
    before: Option<Value>,
    is_transactional: bool,
}

/// The cost of one transactional write of up to 1 KB. With a smaller capacity no transaction could
/// ever start.
const LEAST_STORE: f64 = 2.0;

impl Partitions {
    /// The partitions of the tables of `template`. Without `limits` they only count.
    pub fn new(template: &Template, limits: Option<Limits>) -> Self {
        let tables = template
            .tables()
            .into_iter()
            .map(|(name, request)| (name, Table::of(&request)))
            .collect();
        Self {
            tables,
            limits,
            units: BTreeMap::new(),
            read_units: 0.0,
            rows: 0,
            stores: BTreeMap::new(),
            in_transaction: BTreeMap::new(),
            refusals: (0, 0),
        }
    }

    /// The write units charged to each partition key.
    pub fn units(&self) -> &BTreeMap<PartitionKey, u64> {
        &self.units
    }

    /// The read units of all keys together.
    pub fn read_units(&self) -> f64 {
        self.read_units
    }

    /// The items that reads of all keys together have returned.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The numbers of throttled requests and of conflicts.
    pub fn refusals(&self) -> (u64, u64) {
        self.refusals
    }

    /// Executes a request, unless a partition rejects it.
    pub(crate) fn carry_out(
        &mut self,
        database: &DynamoDb,
        operation: &str,
        request: &Value,
        body: &str,
    ) -> Result<(u16, String), Refusal> {
        let mut writes = self.writes_of(operation, request);
        if writes.is_empty() {
            let answer = database.call(operation, body);
            let (rows, units) = reads::rows_and_units(operation, request, &answer);
            self.rows += rows;
            self.read_units += units;
            return Ok(answer);
        }
        for write in &mut writes {
            write.before = write.read(database);
        }
        if let Some(limits) = self.limits {
            self.admit(&writes, limits)?;
        }
        let answer = database.call(operation, body);
        for write in &writes {
            let after = if answer.0 == 200 { write.read(database) } else { write.before.clone() };
            self.charge(write, after.as_ref());
        }
        Ok(answer)
    }

    fn writes_of(&self, operation: &str, request: &Value) -> Vec<Write> {
        let write = |write: &Value, is_transactional: bool| {
            let table = write["TableName"].as_str().unwrap_or_default().to_owned();
            let put = write.get("Item").cloned();
            let key = write
                .get("Key")
                .cloned()
                .unwrap_or_else(|| self.tables[&table].key_of(&write["Item"]));
            Write { table, key, put, before: None, is_transactional }
        };
        match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" => vec![write(request, false)],
            "TransactWriteItems" => {
                let writes = request["TransactItems"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_object);
                writes.flat_map(|kinds| kinds.values()).map(|one| write(one, true)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Rejects a write that conflicts with a transaction or whose key has no units left.
    fn admit(&mut self, writes: &[Write], limits: Limits) -> Result<(), Refusal> {
        let now = Instant::now();
        let items: Vec<String> =
            writes.iter().map(|write| format!("{} {}", write.table, write.key)).collect();
        if items.iter().any(|item| self.in_transaction.get(item).is_some_and(|until| *until > now))
        {
            self.refusals.1 += 1;
            return Err(Refusal::Conflict);
        }
        let keys: BTreeSet<PartitionKey> =
            writes.iter().flat_map(|write| self.keys_of(write)).collect();
        if keys.iter().any(|key| self.left(key, now, limits) <= 0.0) {
            self.refusals.0 += 1;
            return Err(Refusal::Throttled);
        }
        for (write, item) in writes.iter().zip(items) {
            if write.is_transactional {
                self.in_transaction.insert(item, now + limits.conflict_window);
            }
        }
        Ok(())
    }

    /// The keys that a write is known to touch before it is executed: those of the existing item
    /// and of the item it puts.
    fn keys_of(&self, write: &Write) -> Vec<PartitionKey> {
        let table = &self.tables[&write.table];
        let images = || write.before.iter().chain(&write.put);
        let indexes = table
            .indexes
            .iter()
            .flat_map(|index| images().filter_map(|image| table.index_key(index, image)));
        indexes.chain([table.partition_key(&write.key)]).collect()
    }

    fn left(&mut self, key: &str, now: Instant, limits: Limits) -> f64 {
        let most = limits.units_per_second.max(LEAST_STORE);
        let store = self.stores.entry(key.to_owned()).or_insert(Store { left: most, at: now });
        store.left =
            (store.left + (now - store.at).as_secs_f64() * limits.units_per_second).min(most);
        store.at = now;
        store.left
    }

    /// Charges the keys of an executed write; `after` is the resulting item.
    fn charge(&mut self, write: &Write, after: Option<&Value>) {
        let table = &self.tables[&write.table];
        let (before, factor) = (write.before.as_ref(), if write.is_transactional { 2 } else { 1 });
        let mut charges =
            vec![(table.partition_key(&write.key), factor * units(size(before).max(size(after))))];
        for index in &table.indexes {
            charges.extend(table.index_charges(index, before, after));
        }
        for (key, units) in charges {
            if let (Some(store), Ok(units)) = (self.stores.get_mut(&key), u32::try_from(units)) {
                store.left -= f64::from(units);
            }
            *self.units.entry(key).or_default() += units;
        }
    }
}

impl Table {
    /// Parses a `CreateTable` request.
    fn of(request: &Value) -> Self {
        let keys = keys_of_schema(request);
        let indexes =
            request["GlobalSecondaryIndexes"].as_array().into_iter().flatten().map(|index| {
                let (index_keys, projection) = (keys_of_schema(index), &index["Projection"]);
                let more = projection["NonKeyAttributes"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned);
                let projected = keys.iter().chain(&index_keys).cloned().chain(more).collect();
                Index {
                    name: index["IndexName"].as_str().unwrap_or_default().to_owned(),
                    keys: index_keys,
                    projected: (projection["ProjectionType"] != "ALL").then_some(projected),
                }
            });
        let name = request["TableName"].as_str().unwrap_or_default();
        Self {
            name: name.split_once('-').map_or(name, |(_, name)| name).to_owned(),
            indexes: indexes.collect(),
            keys: keys.clone(),
        }
    }

    fn key_of(&self, item: &Value) -> Value {
        self.keys
            .iter()
            .map(|name| (name.clone(), item[name].clone()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn partition_key(&self, key: &Value) -> PartitionKey {
        format!("{} {}", self.name, text_of(&key[&self.keys[0]]))
    }

    /// The partition key of an item in an index; `None` if the index does not contain the item.
    fn index_key(&self, index: &Index, item: &Value) -> Option<PartitionKey> {
        let has_all = index.keys.iter().all(|key| item.get(key).is_some());
        has_all.then(|| format!("{}/{} {}", self.name, index.name, text_of(&item[&index.keys[0]])))
    }

    fn index_charges(
        &self,
        index: &Index,
        before: Option<&Value>,
        after: Option<&Value>,
    ) -> Vec<(PartitionKey, u64)> {
        let entry = |item: Option<&Value>| {
            let item = item?;
            let partition = self.index_key(index, item)?;
            let keys: Vec<&Value> = index.keys.iter().map(|key| &item[key]).collect();
            let attributes = item.as_object().into_iter().flatten();
            let is_projected = |name: &String| {
                index.projected.as_ref().is_none_or(|projected| projected.contains(name))
            };
            let projection: Value = attributes
                .filter(|(name, _)| is_projected(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            Some((partition, keys.into_iter().cloned().collect::<Vec<_>>(), projection))
        };
        match (entry(before), entry(after)) {
            (None, None) => vec![],
            (Some((key, _, image)), None) | (None, Some((key, _, image))) => {
                vec![(key, units(size(Some(&image))))]
            }
            (Some((_, _, old)), Some((_, _, new))) if old == new => vec![],
            (Some((key, old_keys, old)), Some((_, new_keys, new))) if old_keys == new_keys => {
                vec![(key, units(size(Some(&old)).max(size(Some(&new)))))]
            }
            (Some((old_key, _, old)), Some((new_key, _, new))) => {
                vec![(old_key, units(size(Some(&old)))), (new_key, units(size(Some(&new))))]
            }
        }
    }
}

impl Write {
    fn read(&self, database: &DynamoDb) -> Option<Value> {
        let request = json!({ "TableName": self.table, "Key": self.key, "ConsistentRead": true });
        let (_, body) = database.call("GetItem", &request.to_string());
        serde_json::from_str::<Value>(&body).ok()?.get("Item").cloned()
    }
}

fn keys_of_schema(schema: &Value) -> Vec<String> {
    let mut keys: Vec<&Value> = schema["KeySchema"].as_array().into_iter().flatten().collect();
    keys.sort_by_key(|key| key["KeyType"] != "HASH");
    keys.into_iter().filter_map(|key| key["AttributeName"].as_str()).map(str::to_owned).collect()
}

fn text_of(attribute: &Value) -> &str {
    attribute
        .as_object()
        .and_then(|value| value.values().next())
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn units(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u64::MAX)
}

/// The size of an item in bytes ("DynamoDB item sizes and formats", Amazon DynamoDB Developer
/// Guide).
pub(crate) fn size(item: Option<&Value>) -> usize {
    let attributes = item.and_then(Value::as_object).into_iter().flatten();
    attributes.map(|(name, value)| name.len() + size_of_value(value)).sum()
}

fn size_of_value(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else {
        return 0;
    };
    match (kind.as_str(), value) {
        ("S" | "B", Value::String(text)) => text.len(),
        ("N", Value::String(digits)) => digits.len().div_ceil(2) + 1,
        ("M", map) => {
            3 + map
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| 1 + name.len() + size_of_value(value))
                .sum::<usize>()
        }
        ("L", list) => {
            3 + list
                .as_array()
                .into_iter()
                .flatten()
                .map(|value| 1 + size_of_value(value))
                .sum::<usize>()
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charged(
        database: &DynamoDb,
        partitions: &mut Partitions,
        operation: &str,
        request: &Value,
    ) -> Vec<(PartitionKey, u64)> {
        partitions.units.clear();
        partitions
            .carry_out(database, operation, request, &request.to_string())
            .expect("nothing is limited");
        partitions.units.clone().into_iter().collect()
    }

    #[test]
    fn writes_are_charged_to_the_keys_of_table_and_indexes() {
        let template = crate::template::template();
        let (database, mut partitions) = (DynamoDb::new(template), Partitions::new(template, None));
        let item = |at: &str, text: &str| json!({ "pk": { "S": "RESERVATION#1" }, "check_shard": { "S": "held#1" }, "next_check_at": { "S": at }, "text": { "S": text } });
        let put = |item: Value| json!({ "TableName": "ferrocart-stock", "Item": item });
        let (table, index) =
            ("stock RESERVATION#1".to_owned(), "stock/check-index held#1".to_owned());
        let mut charged = |operation: &str, request: &Value| {
            charged(&database, &mut partitions, operation, request)
        };

        assert_eq!(
            charged("PutItem", &put(item("2026", "short"))),
            [(table.clone(), 1), (index.clone(), 1)]
        );
        assert_eq!(
            charged("PutItem", &put(item("2026", &"long".repeat(300)))),
            [(table.clone(), 2)],
            "the index does not show the text"
        );
        let transaction = json!({ "TransactItems": [{ "Put": put(item("2027", "short")) }] });
        assert_eq!(
            charged("TransactWriteItems", &transaction),
            [(table.clone(), 4), (index.clone(), 2)],
            "the larger image, twice"
        );
        let mut refused = put(item("2028", "short"));
        refused["ConditionExpression"] = "attribute_not_exists(pk)".into();
        assert_eq!(
            charged("PutItem", &refused),
            [(table.clone(), 1)],
            "a condition that does not hold is charged"
        );
        let delete =
            json!({ "TableName": "ferrocart-stock", "Key": { "pk": { "S": "RESERVATION#1" } } });
        assert_eq!(charged("DeleteItem", &delete), [(table, 1), (index, 1)]);
        assert_eq!(charged("GetItem", &delete), []);
    }

    #[tokio::test(start_paused = true)]
    async fn used_up_keys_throttle_and_transactions_conflict() {
        let template = crate::template::template();
        let limits = Limits { units_per_second: 4.0, conflict_window: Duration::from_millis(5) };
        let (database, mut partitions) =
            (DynamoDb::new(template), Partitions::new(template, Some(limits)));
        let put =
            |key: &str| json!({ "TableName": "ferrocart-stock", "Item": { "pk": { "S": key } } });
        let transaction = |key: &str| json!({ "TransactItems": [{ "Put": put(key) }] });
        let mut call = |operation: &str, request: &Value| {
            partitions
                .carry_out(&database, operation, request, &request.to_string())
                .map(|(status, _)| status)
        };

        assert_eq!(call("TransactWriteItems", &transaction("a")), Ok(200));
        assert_eq!(call("TransactWriteItems", &transaction("a")), Err(Refusal::Conflict));
        assert_eq!(call("PutItem", &put("a")), Err(Refusal::Conflict));
        assert_eq!(call("PutItem", &put("b")), Ok(200), "another item");
        tokio::time::advance(Duration::from_millis(6)).await;
        assert_eq!(call("TransactWriteItems", &transaction("a")), Ok(200));
        tokio::time::advance(Duration::from_millis(6)).await;
        assert_eq!(call("TransactWriteItems", &transaction("a")), Ok(200), "0.05 units were left");
        tokio::time::advance(Duration::from_millis(6)).await;
        assert_eq!(call("TransactWriteItems", &transaction("a")), Err(Refusal::Throttled));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(call("TransactWriteItems", &transaction("a")), Ok(200));
    }
}
