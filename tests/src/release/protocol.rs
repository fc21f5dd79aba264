//! The messages between this process and a release. Each is one line of JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The first line of a release.
#[derive(Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) tables: BTreeMap<String, Value>,
    pub(super) operations: Vec<String>,
}

/// What a release is to do.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question {
    /// Forget everything. It has no answer.
    Begin,
    /// Invoke an operation. Times are milliseconds since the Unix epoch.
    Invoke {
        operation: String,
        event: Value,
        now: i64,
        network: String,
    },
    DeliverLateCharges {
        now: i64,
    },
}

/// The calls that a release needs to answer a question, and finally its outcome.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// An AWS call. It is answered with an [`AwsAnswer`].
    Call(AwsCall),
    /// All items of a table, for the provider's double. It is answered with a list.
    Items {
        table: String,
    },
    /// One item, for the provider's double. It is answered with the item or null.
    Item {
        table: String,
        key: Value,
    },
    Done(Outcome),
}

#[derive(Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) answer: Result<Value, FailureMessage>,
    /// Charges that were sent after their order was cancelled.
    pub(super) unwanted_charges: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct FailureMessage {
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) is_expected: bool,
}

/// A request of an SDK client.
#[derive(Serialize, Deserialize)]
pub(crate) struct AwsCall {
    pub(crate) uri: String,
    pub(crate) target: Option<String>,
    pub(crate) body: String,
}

/// The answer to an [`AwsCall`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AwsAnswer {
    Response {
        status: u16,
        body: String,
    },
    /// The request or its response was lost.
    Lost,
    Died,
}
