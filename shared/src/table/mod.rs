//! DynamoDB tables with conditional writes only.
//!
//! A failed condition is an outcome, not an error. It contains the conflicting item
//! (`ReturnValuesOnConditionCheckFailure`), so a write conflict needs no further read.
//!
//! Expressions name attributes as `#state`. The `#` is always required, because many common names
//! are reserved words.

mod attribute;
mod expression;
mod list;
mod names;
mod outcome;
mod read;
mod typed;
mod write;

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{BoxFuture, retry, telemetry};

pub(crate) use expression::key_text;
pub use expression::{AttributeValue, Expression, Item, Key, Query};
pub use list::{List, ListPage};
pub use names::attribute_names;
pub use outcome::{Conflict, Outcome, TableError, TransactionOutcome};
pub use write::Write;

#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: Arc<str>,
}

impl Table {
    /// Creates a table with this name.
    pub fn new(client: Client, name: impl Into<Arc<str>>) -> Self {
        Self { client, name: name.into() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the table exists and is active.
    pub fn is_active(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let answer = self.client.describe_table().table_name(&*self.name).send().await;
            let status =
                answer.ok().and_then(|answer| answer.table).and_then(|table| table.table_status);
            use aws_sdk_dynamodb::types::TableStatus::{Active, Updating};
            matches!(status, Some(Active | Updating))
        })
    }

    /// Returns the response of a call, or classifies its error.
    fn response_or_error<T, E>(
        &self,
        call: &'static str,
        answer: Result<T, SdkError<E>>,
    ) -> Result<T, TableError>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        answer.map_err(|error| self.call_error(call, &error))
    }

    fn call_error<E, R>(&self, call: &'static str, error: &SdkError<E, R>) -> TableError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        R: std::fmt::Debug,
    {
        let table = self.name.to_string();
        // Not the error's debug form, which contains the whole response with all values.
        let cause = telemetry::causes(error);
        let busy = match error {
            SdkError::ServiceError(service) => {
                service.err().code().is_none_or(|code| TRANSIENT_CODES.contains(&code))
            }
            SdkError::ConstructionFailure(_) => false,
            _ => true,
        };
        if busy {
            TableError::Unavailable { table, call, cause }
        } else {
            TableError::Rejected { table, call, cause }
        }
    }

    fn unavailable(&self, call: &'static str, cause: &str) -> TableError {
        TableError::Unavailable { table: self.name.to_string(), call, cause: cause.to_owned() }
    }

    pub(crate) fn rejected(&self, call: &'static str, error: &dyn std::error::Error) -> TableError {
        TableError::Rejected { table: self.name.to_string(), call, cause: error.to_string() }
    }
}

/// Maximum number of attempts of a transaction, or of a batch with unprocessed keys.
const MAX_ATTEMPTS: u32 = 5;

/// Error codes of DynamoDB that justify a retry of the same call.
const TRANSIENT_CODES: [&str; 8] = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "InternalServerError",
    "ServiceUnavailable",
    "TransactionConflictException",
    "TransactionInProgressException",
    "LimitExceededException",
];

async fn backoff(attempt: u32) {
    tokio::time::sleep(retry::full_jitter(
        attempt,
        Duration::from_millis(25),
        Duration::from_millis(400),
    ))
    .await;
}

/// Serializes `value` as an item. `None` is omitted.
///
/// # Panics
/// If the value cannot be stored: a programming error.
pub fn to_item<T: Serialize>(value: &T) -> Item {
    let mut item = to_patch(value);
    // An index key must not be NULL. For other attributes NULL and absence mean the same.
    item.retain(|_, value| !value.is_null());
    item
}

/// Serializes `value` as a patch for [`Table::merge`]: as [`to_item`], but `None` is NULL.
///
/// # Panics
/// If the value cannot be stored: a programming error.
pub fn to_patch<T: Serialize>(value: &T) -> Item {
    serde_dynamo::to_item(value).expect("the value can be stored")
}

/// Deserializes an item.
///
/// # Errors
/// [`TableError::Unreadable`] if the item does not match the type.
pub fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, TableError> {
    serde_dynamo::from_item(item)
        .map_err(|_| TableError::Unreadable { expected: std::any::type_name::<T>() })
}
