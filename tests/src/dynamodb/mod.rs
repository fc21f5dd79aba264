//! DynamoDB in memory: the operations that the shop uses, with the rules and the errors of
//! DynamoDB.
//!
//! - `request` reads and checks a request; `expression`, `condition`, `update` and
//!   `key_condition` parse its expressions.
//! - `schema` knows keys and indexes; `table` has items, index entries and a stream; `entries` are
//!   those of one table or index.
//! - `operations` carries out a request. `defect` makes a defect in it on request.
//!
//! Parameters, types and functions that no call of the shop uses are rejected: sets of
//! numbers, binary values, document paths, filters, projections and returned values.
//! `tests/stores/dynamodb` compares the answers and streams with those of dynoxide.

mod condition;
mod defect;
mod entries;
mod error;
mod expression;
mod key_condition;
mod number;
mod operations;
mod request;
mod schema;
mod table;
mod update;
mod value;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use self::{defect::Defects, error::Error, schema::Schema, table::Table};
pub use self::{
    defect::{Change, Defect, WriteRequest},
    number::Number,
    value::{Attribute, Item, number, text},
};
use crate::template::Template;

pub struct DynamoDb(Mutex<State>);

/// Copies share tables until one of them writes.
#[derive(Clone, Default)]
struct State {
    tables: BTreeMap<String, Arc<Table>>,
    /// The bodies of committed transactions by their tokens. DynamoDB forgets them after ten
    /// minutes.
    transactions: Arc<BTreeMap<String, String>>,
    defects: Defects,
    /// The tables and keys of items of which a later version was overwritten.
    lost_updates: Vec<(String, String)>,
}

impl DynamoDb {
    /// Creates the tables of `template`.
    ///
    /// # Panics
    /// If a key is not a text.
    pub fn new(template: &Template) -> Self {
        let tables = template.tables().into_iter();
        let tables =
            tables.map(|(name, request)| (name, Arc::new(Table::new(Schema::new(request)))));
        Self(Mutex::new(State { tables: tables.collect(), ..State::default() }))
    }

    /// An independent copy of all items and streams, without the defect.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Mutex::new(State { defects: Defects::default(), ..self.lock().clone() }))
    }

    /// Updates the tables as CloudFormation does: creates and deletes indexes, and fills new ones
    /// from the items. `tables` are `CreateTable` requests by table name.
    ///
    /// # Panics
    /// If a key is not a text.
    pub fn deploy(&self, tables: &BTreeMap<String, Value>) {
        let mut state = self.lock();
        for (name, request) in tables {
            let schema = Schema::new(request.clone());
            let table = match state.tables.get(name) {
                Some(table) => table.with_schema(schema),
                None => Table::new(schema),
            };
            state.tables.insert(name.clone(), Arc::new(table));
        }
    }

    /// Stores copies of an item in a table, without records in its stream. They share the
    /// attributes of the item; `rename` makes the keys of each copy, by its number, from those of
    /// the item.
    ///
    /// # Panics
    /// If the table does not exist.
    pub fn store_copies(
        &self,
        table: &str,
        item: &Arc<Item>,
        count: usize,
        rename: impl Fn(&str, usize) -> Arc<str>,
    ) {
        self.lock().table_mut(table).store_copies(item, count, rename);
    }

    /// Makes all items of a table shared, so that other databases can have them at no cost.
    ///
    /// # Panics
    /// If the table does not exist, or its items are shared already.
    pub fn share(&self, table: &str) {
        self.lock().table_mut(table).share();
    }

    /// The number of items of a table.
    ///
    /// # Panics
    /// If the table does not exist.
    pub fn count(&self, table: &str) -> usize {
        self.lock().tables[table].len()
    }

    /// Adds the shared items of `other`, which has the same tables. Items of this one come first.
    pub fn add_shared(&self, other: &Self) {
        let other = other.lock();
        for (name, table) in &mut self.lock().tables {
            Arc::make_mut(table).add_shared(&other.tables[name]);
        }
    }

    /// Makes a defect in all writes of a kind from now on.
    pub fn make(&self, defect: Defect) {
        self.lock().defects.defect = Some(defect);
    }

    /// The number of writes that the defect has changed so far.
    pub fn effects(&self) -> u64 {
        self.lock().defects.effects
    }

    /// Records the requests with writes from now on.
    pub fn record_writes(&self) {
        self.lock().defects.requests = Some(Vec::new());
    }

    /// The recorded requests with writes.
    pub fn recorded_writes(&self) -> Vec<WriteRequest> {
        self.lock().defects.requests.clone().unwrap_or_default()
    }

    /// Executes the AWS call with this number, or writes of a test. Only those of calls have
    /// defects and are recorded.
    pub(crate) fn set_call(&self, number: Option<usize>) {
        self.lock().defects.call = number;
    }

    /// The tables and keys of items whose version a write did not increase. Such a write overwrites
    /// a version that its writer has not read.
    pub fn lost_updates(&self) -> Vec<(String, String)> {
        self.lock().lost_updates.clone()
    }

    /// Answers one request with a status and a JSON body.
    pub fn call(&self, operation: &str, body: &str) -> (u16, String) {
        match self.lock().call(operation, body) {
            Ok(answer) => (200, answer),
            Err(error) => (400, error.body().to_string()),
        }
    }

    /// All items of a table, in the order of their keys.
    ///
    /// # Panics
    /// If the table does not exist.
    pub fn items(&self, table: &str) -> Vec<Arc<Item>> {
        self.lock().tables[table].items().cloned().collect()
    }

    /// The changes of a table after `position` (`None`: from the beginning) as stream records, and
    /// the position after them.
    ///
    /// # Panics
    /// If the table does not exist.
    pub fn changes(&self, table: &str, position: Option<usize>) -> (Vec<Value>, usize) {
        let table = self.lock().tables[table].clone();
        table.changes(position.unwrap_or_default())
    }

    /// The position after the latest change of a table.
    ///
    /// # Panics
    /// If the table does not exist.
    pub fn latest_change(&self, table: &str) -> usize {
        self.lock().tables[table].next_change()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn table(&self, name: &str) -> Result<&Table, Error> {
        self.tables.get(name).map(|table| &**table).ok_or(Error::TableNotFound)
    }

    fn table_mut(&mut self, name: &str) -> &mut Table {
        Arc::make_mut(self.tables.get_mut(name).expect("the table was read before"))
    }

    fn call(&mut self, operation: &str, body: &str) -> Result<String, Error> {
        use request::{Kind, read};
        match operation {
            "DescribeTable" => self.describe_table(&read(body)?),
            "GetItem" => self.get_item(&read(body)?),
            "BatchGetItem" => self.batch_get_item(&read(body)?),
            "Query" => self.query(&read(body)?),
            "PutItem" => self.write(read(body)?, Kind::Put),
            "UpdateItem" => self.write(read(body)?, Kind::Update),
            "DeleteItem" => self.write(read(body)?, Kind::Delete),
            "TransactWriteItems" => self.transact_write_items(read(body)?, body),
            other => Err(Error::Validation(format!(
                "{other} is not among the calls that Ferrocart makes"
            ))),
        }
    }

    fn describe_table(&self, request: &request::DescribeTable) -> Result<String, Error> {
        let table = self.table(&request.table_name).map_err(|_| Error::TableNotFound)?;
        let mut description = table.schema.request.clone();
        description["TableStatus"] = "ACTIVE".into();
        description["ItemCount"] = table.len().into();
        Ok(json!({ "Table": description }).to_string())
    }
}
