//! DynamoDB in memory: dynoxide, called through the operations of its HTTP server.

use std::sync::atomic::{AtomicU64, Ordering};

use dynoxide::{
    Database, DynoxideError, actions::get_shard_iterator::encode_shard_iterator, streams,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::template::Template;
pub struct DynamoDb(Database);

impl DynamoDb {
    /// Creates the tables of `template`.
    ///
    /// # Panics
    /// If DynamoDB would reject one of them.
    pub fn new(template: &Template) -> Self {
        let database = Self(Database::memory().expect("memory is enough"));
        for (name, request) in template.tables() {
            let (status, body) = database.call("CreateTable", &request.to_string());
            assert_eq!(status, 200, "the table {name} cannot be created: {body}");
        }
        database
    }

    /// An independent copy of all items and streams.
    ///
    /// # Panics
    /// If the temporary file, through which dynoxide copies, cannot be written.
    #[must_use]
    pub fn copy(&self) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "ferrocart-tests-{}-{}.db",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        let file = path.to_str().expect("the folder of temporary files has a plain name");
        self.0.vacuum_into(file).expect("a database can be written to a file");
        let copy = Database::memory().expect("memory is enough");
        copy.restore_from(file).expect("a database can be read from its file");
        std::fs::remove_file(&path).expect("a file can be removed");
        Self(copy)
    }

    /// Answers one request with a status and a JSON body.
    pub fn call(&self, operation: &str, body: &str) -> (u16, String) {
        let answer = match operation {
            "CreateTable" => answered(body, |request| self.0.create_table(request)),
            "DescribeTable" => answered(body, |request| self.0.describe_table(request)),
            "GetItem" => answered(body, |request| self.0.get_item(request)),
            "PutItem" => answered(body, |request| self.0.put_item(request)),
            "UpdateItem" => answered(body, |request| self.0.update_item(request)),
            "DeleteItem" => answered(body, |request| self.0.delete_item(request)),
            "Query" => answered(body, |request| self.0.query(request)),
            "Scan" => answered(body, |request| self.0.scan(request)),
            "BatchGetItem" => answered(body, |request| self.0.batch_get_item(request)),
            "BatchWriteItem" => answered(body, |request| self.0.batch_write_item(request)),
            "TransactWriteItems" => answered(body, |request| self.0.transact_write_items(request)),
            "TransactGetItems" => answered(body, |request| self.0.transact_get_items(request)),
            other => Err(DynoxideError::ValidationException(format!(
                "{other} is not among the calls that Ferrocart makes"
            ))),
        };
        answer.map_or_else(|error| (error.status_code(), error.to_json()), |body| (200, body))
    }

    /// The changes of a table after `position` (`None`: from the beginning) as stream records, and
    /// the position after them.
    ///
    /// # Panics
    /// If the table does not exist.
    pub fn changes(&self, table: &str, position: Option<String>) -> (Vec<Value>, String) {
        let start = || encode_shard_iterator(table, &streams::shard_id(table), 0);
        let request = dynoxide::actions::get_records::GetRecordsRequest {
            shard_iterator: position.unwrap_or_else(start),
            limit: None,
        };
        let answer = self.0.get_records(request).expect("a table that has a stream");
        let record = |record| serde_json::to_value(record).expect("a record is JSON");
        let records = answer.records.iter().map(record).collect();
        (records, answer.next_shard_iterator.expect("a stream does not end"))
    }
}

fn answered<Q: DeserializeOwned, A: Serialize>(
    body: &str,
    action: impl Fn(Q) -> dynoxide::Result<A>,
) -> dynoxide::Result<String> {
    let malformed =
        |error: serde_json::Error| DynoxideError::SerializationException(error.to_string());
    let answer = action(serde_json::from_str(body).map_err(malformed)?)?;
    serde_json::to_string(&answer).map_err(malformed)
}
