//! dynoxide, called through the operations of its HTTP server.

use dynoxide::{
    Database, DynoxideError, actions::get_shard_iterator::encode_shard_iterator, streams,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tests::template::Template;

pub struct Dynoxide(Database);

impl Dynoxide {
    /// Creates the tables of `template`.
    pub fn new(template: &Template) -> Self {
        let database = Self(Database::memory().unwrap());
        for (name, request) in template.tables() {
            let (status, body) = database.call("CreateTable", &request.to_string());
            assert_eq!(status, 200, "the table {name} cannot be created: {body}");
        }
        database
    }

    /// Answers one request with a status and a JSON body.
    pub fn call(&self, operation: &str, body: &str) -> (u16, String) {
        let answer = match operation {
            "CreateTable" => answered(body, |request| self.0.create_table(request)),
            "GetItem" => answered(body, |request| self.0.get_item(request)),
            "PutItem" => answered(body, |request| self.0.put_item(request)),
            "UpdateItem" => answered(body, |request| self.0.update_item(request)),
            "DeleteItem" => answered(body, |request| self.0.delete_item(request)),
            "Query" => answered(body, |request| self.0.query(request)),
            "BatchGetItem" => answered(body, |request| self.0.batch_get_item(request)),
            "TransactWriteItems" => answered(body, |request| self.0.transact_write_items(request)),
            other => panic!("{other} is not compared"),
        };
        answer.map_or_else(|error| (error.status_code(), error.to_json()), |body| (200, body))
    }

    /// All changes of a table, as stream records.
    pub fn changes(&self, table: &str) -> Vec<Value> {
        let mut position = encode_shard_iterator(table, &streams::shard_id(table), 0);
        let mut changes = Vec::new();
        loop {
            let request = dynoxide::actions::get_records::GetRecordsRequest {
                shard_iterator: position,
                limit: None,
            };
            let answer = self.0.get_records(request).unwrap();
            if answer.records.is_empty() {
                return changes;
            }
            changes
                .extend(answer.records.iter().map(|record| serde_json::to_value(record).unwrap()));
            position = answer.next_shard_iterator.unwrap();
        }
    }
}

/// Like the HTTP server: a request that cannot be read is malformed or invalid.
fn answered<Q: DeserializeOwned, A: Serialize>(
    body: &str,
    action: impl Fn(Q) -> dynoxide::Result<A>,
) -> dynoxide::Result<String> {
    let malformed = |error: serde_json::Error| {
        let message = error.to_string();
        let text = message.rsplit_once(" at line").map_or(message.as_str(), |(text, _)| text);
        let invalid = |text: &str| DynoxideError::ValidationException(text.to_owned());
        match text.split_once(':') {
            Some(("VALIDATION", text)) => invalid(text),
            Some(("VALIDATION_REQUEST", text)) => {
                invalid(&format!("1 validation error detected: {text}"))
            }
            _ => DynoxideError::SerializationException(text.to_owned()),
        }
    };
    let answer = action(serde_json::from_str(body).map_err(malformed)?)?;
    serde_json::to_string(&answer).map_err(malformed)
}
