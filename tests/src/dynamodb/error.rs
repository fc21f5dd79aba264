//! The errors of DynamoDB, with its names and messages.

use std::sync::Arc;

use serde_json::{Value, json};

use super::value::Item;

/// Why a request is rejected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Error {
    /// The request contradicts itself or the table.
    Validation(String),
    /// The key has an empty text. A transaction is rejected as a whole.
    EmptyKey(String),
    /// The body of the request is not the operation's JSON.
    Serialization(String),
    TableNotFound,
    /// The condition does not hold. Contains the existing item if the request asks for it.
    ConditionFailed(Option<Arc<Item>>),
    /// A write of the transaction failed. Contains one reason per write.
    Cancelled(Vec<Reason>),
    /// Another transaction had the same token.
    TokenReused,
}

/// Why a write cancels its transaction; `None` if it would have succeeded.
pub(super) type Reason = Option<Box<Error>>;

impl Error {
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::Validation(message.into())
    }

    /// The body of the response.
    pub(super) fn body(&self) -> Value {
        const COMMON: &str = "com.amazonaws.dynamodb.v20120810";
        match self {
            Self::Validation(message) | Self::EmptyKey(message) => {
                json!({ "__type": "com.amazon.coral.validate#ValidationException", "message": message })
            }
            Self::Serialization(message) => {
                json!({ "__type": "com.amazon.coral.service#SerializationException", "Message": message })
            }
            Self::TableNotFound => json!({
                "__type": format!("{COMMON}#ResourceNotFoundException"),
                "message": "Requested resource not found",
            }),
            Self::ConditionFailed(item) => {
                let mut body = json!({
                    "__type": format!("{COMMON}#ConditionalCheckFailedException"),
                    "message": CONDITION_FAILED,
                });
                if let Some(item) = item {
                    body["Item"] = json!(**item);
                }
                body
            }
            Self::Cancelled(reasons) => {
                let codes: Vec<&str> = reasons.iter().map(code).collect();
                json!({
                    "__type": format!("{COMMON}#TransactionCanceledException"),
                    "Message": format!(
                        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
                        codes.join(", "),
                    ),
                    "CancellationReasons": reasons.iter().map(reason_body).collect::<Vec<_>>(),
                })
            }
            Self::TokenReused => json!({
                "__type": format!("{COMMON}#IdempotentParameterMismatchException"),
                "message": "An error occurred (IdempotentParameterMismatchException)",
            }),
        }
    }
}

const CONDITION_FAILED: &str = "The conditional request failed";

fn code(reason: &Reason) -> &'static str {
    match reason.as_deref() {
        None => "None",
        Some(Error::ConditionFailed(_)) => "ConditionalCheckFailed",
        Some(_) => "ValidationError",
    }
}

fn reason_body(reason: &Reason) -> Value {
    let mut body = json!({ "Code": code(reason) });
    match reason.as_deref() {
        None => {}
        Some(Error::ConditionFailed(item)) => {
            body["Message"] = CONDITION_FAILED.into();
            if let Some(item) = item {
                body["Item"] = json!(**item);
            }
        }
        Some(other) => body["Message"] = other.body()["message"].clone(),
    }
    body
}
