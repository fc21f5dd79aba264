//! Queue `record-entry`: records a movement of money or goods exactly once.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::{
    clock::Timestamp,
    ids::OrderId,
    queue::{FromMessage, InvalidMessage, Received, read_as},
};

use crate::{
    Ledger,
    domain::{Entry, EntryId, Kind, Line},
    error::LedgerError,
    metrics,
};

/// Message `record_entry.v1`: a valid entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RecordEntryMessage")]
pub struct RecordEntry(Entry);

/// The message as received. Its lines are not validated; [`RecordEntry`] is a valid entry.
#[derive(Deserialize)]
struct RecordEntryMessage {
    entry_id: EntryId,
    occurred_at: Timestamp,
    kind: Kind,
    #[serde(default)]
    order_id: Option<OrderId>,
    lines: Vec<Line>,
}

impl TryFrom<RecordEntryMessage> for RecordEntry {
    type Error = crate::domain::InvalidEntry;

    fn try_from(wire: RecordEntryMessage) -> Result<Self, Self::Error> {
        Entry::balanced(wire.entry_id, wire.occurred_at, wire.kind, wire.order_id, wire.lines)
            .map(Self)
    }
}

impl FromMessage for RecordEntry {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        read_as("record_entry.v1", kind, data)
    }
}

/// Writes the entry by one conditional put. A repeated message changes nothing.
///
/// # Errors
/// Rejects the message if another entry has its id. A failed table request retries it.
pub async fn record_entry(
    ledger: Arc<Ledger>,
    received: Received<RecordEntry>,
) -> Result<(), LedgerError> {
    let RecordEntry(entry) = received.message;
    match ledger.store.record(&entry, ledger.clock.now()).await {
        Ok(_) => Ok(()),
        Err(error) => {
            if let LedgerError::Mismatch(entry_id) = &error {
                tracing::error!(entry.id = %entry_id, "two messages with one id have different contents");
                metrics::LEDGER_MISMATCH.increment();
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";

    fn capture(debit: i64, credit: i64) -> Value {
        json!({
            "entry_id": "ent_0199c2a8-0000-8000-8000-0000000000b1",
            "occurred_at": "2026-11-21T09:48:49.123Z",
            "kind": "capture",
            "order_id": ORDER,
            "product_id": null,
            "lines": [
                { "account": "provider_clearing", "unit": "USD", "amount": debit },
                { "account": format!("customer_funds:{ORDER}"), "unit": "USD", "amount": credit },
            ],
        })
    }

    fn read(data: Value) -> Result<RecordEntry, String> {
        RecordEntry::from_message("record_entry.v1", data).map_err(|error| error.to_string())
    }

    #[test]
    fn unbalanced_message_is_rejected() {
        assert!(read(capture(5998, -5998)).is_ok());
        let error = read(capture(5998, -5997)).unwrap_err();
        assert_eq!(error, "the message cannot be read: record_entry.v1 is malformed at .");
        assert!(RecordEntry::from_message("record_entry.v2", capture(5998, -5998)).is_err());
    }

    #[test]
    fn malformed_message_is_rejected() {
        for (pointer, value) in [
            ("/entry_id", json!("ord_0199c2a8-0000-8000-8000-0000000000b1")),
            ("/occurred_at", json!("yesterday")),
            ("/kind", json!("Capture!")),
            ("/order_id", json!("ord_1")),
            ("/order_id", Value::Null),
            ("/lines", json!([])),
            ("/lines/0/account", json!("petty_cash")),
            ("/lines/0/unit", json!("usd")),
            ("/lines/0/unit", json!("EUR")),
            ("/lines/0/amount", json!(5998.5)),
            ("/lines/0/amount", json!("5998")),
        ] {
            let mut data = capture(5998, -5998);
            *data.pointer_mut(pointer).unwrap() = value;
            assert!(read(data.clone()).is_err(), "{data}");
        }
    }
}
