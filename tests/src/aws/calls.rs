//! The recorded calls: their IAM permissions, and the answer of a function with the calls it made.

use std::{collections::BTreeSet, pin::pin, sync::atomic::Ordering};

use serde_json::{Value, json};
use shared::lambda::{Failure, Invocation, Lambda};

use super::{Aws, lock};

/// One AWS call that a function made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `dynamodb`, `sqs`, `secretsmanager`, `ses`, `cloudwatch`, `codedeploy` or `lambda`.
    pub service: &'static str,
    /// `PutItem`, `SendMessageBatch`, ...
    pub operation: String,
    /// The tables in the request, without the stack name.
    pub tables: BTreeSet<String>,
    /// The IAM permissions that the call needs: each action (`dynamodb:PutItem`) with its resource
    /// (`orders`, `orders/index/check-index`, a queue, a secret). A transaction needs the actions
    /// of its writes.
    pub actions: BTreeSet<(String, String)>,
}

impl Call {
    /// Whether the call changes no state.
    pub fn is_read(&self) -> bool {
        READS.contains(&self.operation.as_str())
    }
}

/// The operations that change no state.
pub(super) const READS: [&str; 8] = [
    "GetItem",
    "BatchGetItem",
    "Query",
    "GetSecretValue",
    "DescribeTable",
    "GetDeployment",
    "GetApplicationRevision",
    "GetMetricData",
];

/// The answer of a function, and the AWS calls it made.
#[derive(Clone, Debug)]
pub struct Called {
    /// The answer. For HTTP functions see also [`Called::status`] and [`Called::json`].
    pub answer: Result<Value, Failure>,
    pub calls: Vec<Call>,
}

impl Called {
    /// Whether the function crashed: see [`super::Fault::CrashBefore`].
    pub fn has_crashed(&self) -> bool {
        self.answer.as_ref().is_err_and(|failure| failure.kind == CRASHED)
    }

    /// The HTTP status. API Gateway answers 502 for a function that crashed.
    ///
    /// # Panics
    /// If the answer is not an HTTP response.
    pub fn status(&self) -> u64 {
        if self.has_crashed() {
            return 502;
        }
        self.ok()["statusCode"].as_u64().expect("an HTTP answer has a status")
    }

    /// The body as JSON; null if it is empty.
    pub fn json(&self) -> Value {
        if self.has_crashed() {
            return Value::Null;
        }
        self.ok()["body"]
            .as_str()
            .and_then(|body| serde_json::from_str(body).ok())
            .unwrap_or_default()
    }

    /// The body as text.
    ///
    /// # Panics
    /// If the answer is not an HTTP response.
    pub fn body(&self) -> &str {
        self.ok()["body"].as_str().expect("an HTTP answer has a body")
    }

    /// The problem's `code`; empty for other answers.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A response header. `name` is lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        self.ok()["headers"][name].as_str().map(str::to_owned)
    }

    /// The answer of an invocation that succeeded.
    ///
    /// # Panics
    /// If the invocation failed.
    pub fn ok(&self) -> &Value {
        self.answer.as_ref().expect("the invocation succeeds")
    }

    /// Whether a consumer processed its whole batch: no message is redelivered or rejected. Panics
    /// like [`Called::ok`].
    pub fn is_done(&self) -> bool {
        self.ok()["batchItemFailures"] == json!([]) && self.rejected() == 0
    }

    /// The number of messages that a consumer rejected to its dead-letter queue.
    pub fn rejected(&self) -> usize {
        self.calls
            .iter()
            .filter(|call| call.service == "sqs" && call.operation == "SendMessage")
            .count()
    }

    /// The names of the DynamoDB calls.
    pub fn operations(&self) -> Vec<&str> {
        self.calls
            .iter()
            .filter(|call| call.service == "dynamodb")
            .map(|call| call.operation.as_str())
            .collect()
    }

    /// The names of the DynamoDB calls on this table.
    pub fn operations_on(&self, table: &str) -> Vec<&str> {
        self.calls
            .iter()
            .filter(|call| call.tables.contains(table))
            .map(|call| call.operation.as_str())
            .collect()
    }
}

impl Aws {
    /// Records the calls again, after [`Aws::lean`].
    pub fn record_calls(&self) {
        self.0.is_recording.store(true, Ordering::SeqCst);
    }

    pub fn calls(&self) -> Vec<Call> {
        lock(&self.0.calls).clone()
    }

    /// Invokes a function with an event and records its AWS calls. Run one invocation at a time:
    /// the calls of concurrent ones would be mixed up.
    pub async fn call(&self, lambda: &Lambda, event: Value) -> Called {
        self.invoke(lambda, Invocation::with_event(event)).await
    }

    /// Invokes two functions concurrently and returns both answers and the calls of both. Clients
    /// of [`Aws::crowded_sdk_config`] make them race.
    pub async fn call_both(&self, one: (Lambda, Value), other: (Lambda, Value)) -> Called {
        let before = lock(&self.0.calls).len();
        let run = |(lambda, event): (Lambda, Value)| lambda(Invocation::with_event(event));
        let (one, other) = tokio::join!(run(one), run(other));
        let calls = lock(&self.0.calls)[before..].to_vec();
        Called { answer: one.and_then(|one| Ok(json!([one, other?]))), calls }
    }

    /// Like [`Aws::call`], with the caller's deadline.
    pub async fn invoke(&self, lambda: &Lambda, invocation: Invocation) -> Called {
        let before = lock(&self.0.calls).len();
        let answer = self.unless_it_dies(lambda(invocation)).await;
        let answer = answer.unwrap_or_else(|| Err(Failure::new(CRASHED, "the function crashed")));
        let calls = lock(&self.0.calls)[before..].to_vec();
        Called { answer, calls }
    }
}

impl Aws {
    /// Runs `work` until it ends, or until a fault kills it: see [`super::Fault::CrashBefore`].
    pub async fn unless_it_dies<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        // An earlier function may have answered although one of its tasks crashed.
        pin!(self.0.crash.notified()).as_mut().enable();
        tokio::select! {
            biased;
            result = work => Some(result),
            () = self.0.crash.notified() => None,
        }
    }
}

/// The kind of the failure of a function that crashed.
const CRASHED: &str = "Died";

/// The tables in a DynamoDB request.
pub(super) fn tables_of(request: &Value) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    let mut add = |name: &str| tables.insert(without_stack(name));
    if let Some(name) = request["TableName"].as_str() {
        add(name);
    }
    for name in request["RequestItems"].as_object().into_iter().flat_map(|tables| tables.keys()) {
        add(name);
    }
    let writes = request["TransactItems"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(|write| write.values());
    for name in writes.filter_map(|write| write["TableName"].as_str()) {
        add(name);
    }
    tables
}

/// The IAM permissions that a request needs.
pub(super) fn actions_of(
    service: &str,
    operation: &str,
    request: &Value,
) -> BTreeSet<(String, String)> {
    let name = |value: &Value| {
        value.as_str().unwrap_or_default().rsplit('/').next().map(without_stack).unwrap_or_default()
    };
    let one = |action: &str, resource: String| BTreeSet::from([(action.to_owned(), resource)]);
    match (service, operation) {
        ("dynamodb", "TransactWriteItems") => {
            let writes = request["TransactItems"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_object)
                .flatten();
            let action = |kind: &str| {
                if kind == "ConditionCheck" {
                    "ConditionCheckItem".to_owned()
                } else {
                    format!("{kind}Item")
                }
            };
            writes
                .map(|(kind, write)| {
                    (format!("dynamodb:{}", action(kind)), name(&write["TableName"]))
                })
                .collect()
        }
        ("dynamodb", _) => {
            let index = request["IndexName"]
                .as_str()
                .map(|index| format!("/index/{index}"))
                .unwrap_or_default();
            let resource =
                |table: String| (format!("dynamodb:{operation}"), format!("{table}{index}"));
            tables_of(request).into_iter().map(resource).collect()
        }
        // A batch needs the permission of a single message.
        ("sqs", "SendMessageBatch") => one("sqs:SendMessage", name(&request["QueueUrl"])),
        ("sqs", _) => one(&format!("sqs:{operation}"), name(&request["QueueUrl"])),
        ("secretsmanager", _) => {
            one(&format!("secretsmanager:{operation}"), name(&request["SecretId"]))
        }
        ("cloudwatch", _) => one(&format!("cloudwatch:{operation}"), "*".to_owned()),
        ("codedeploy", _) => one(&format!("codedeploy:{operation}"), "a deployment".to_owned()),
        ("lambda", _) => one(&format!("lambda:{operation}"), "a function".to_owned()),
        _ => one(
            &format!("ses:{operation}"),
            request["FromEmailAddress"].as_str().unwrap_or_default().to_owned(),
        ),
    }
}

fn without_stack(name: &str) -> String {
    name.strip_prefix("ferrocart-").unwrap_or(name).to_owned()
}
