//! DynamoDB: tables whose every write carries a condition.
//!
//! A failed condition is an outcome, not an error: it carries the conflicting item
//! (`ReturnValuesOnConditionCheckFailure`), so a lost race costs no further read.
//!
//! Expressions name attributes as `#state`; the `#` is needed throughout, because half of all good
//! names are reserved words.

mod expression;
mod outcome;
mod read;
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
pub use outcome::{Conflict, Outcome, TableError, TransactionOutcome};
pub use write::Write;

/// One table.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: Arc<str>,
}

impl Table {
    /// The table called `name`.
    pub fn new(client: Client, name: impl Into<Arc<str>>) -> Self {
        Self { client, name: name.into() }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the table is there and takes calls.
    pub fn is_active(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let answer = self.client.describe_table().table_name(&*self.name).send().await;
            let status =
                answer.ok().and_then(|answer| answer.table).and_then(|table| table.table_status);
            use aws_sdk_dynamodb::types::TableStatus::{Active, Updating};
            matches!(status, Some(Active | Updating))
        })
    }

    /// The response of a call, or its error.
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
        // Not the error's debug form: that holds the whole answer, with everything in it.
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

/// How often a transaction, or a batch with keys left over, is tried in all.
const MAX_ATTEMPTS: u32 = 5;

/// Error codes of DynamoDB after which the same call may succeed.
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

/// The item that stores `value`: `None` is left out.
///
/// # Panics
/// When the value cannot be stored: a mistake in the program.
pub fn to_item<T: Serialize>(value: &T) -> Item {
    let mut item: Item = serde_dynamo::to_item(value).expect("the value can be stored");
    // An index key must not be NULL, and an attribute that is NULL says nothing that its absence
    // does not.
    item.retain(|_, value| !value.is_null());
    item
}

/// The value that an item stores.
///
/// # Errors
/// [`TableError::Unreadable`] when the item is not of that shape.
pub fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, TableError> {
    serde_dynamo::from_item(item)
        .map_err(|_| TableError::Unreadable { expected: std::any::type_name::<T>() })
}
