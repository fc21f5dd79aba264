//! The check of a new version before it gets traffic.
//!
//! `check-release` invokes a new version with `{"check": "release"}`. The runtime loop answers that
//! event itself, before any operation runs. It reads each secret of the function, and one absent
//! key of each table that the function may read, so it changes nothing. A response shows that the
//! configuration is complete: a function with a missing variable does not start.
//!
//! No caller of the API can send the event: a request always has `httpMethod`, and a batch of a
//! queue or stream has `Records`. A direct invocation needs the IAM permission to invoke.

use std::{collections::HashMap, future::Future, sync::Arc};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::ProvideErrorMetadata,
    types::{AttributeValue, KeysAndAttributes},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    BoxFuture, aws,
    clock::Clock,
    config,
    lambda::{Failure, Lambda},
    secret::Secrets,
    telemetry,
};

/// Lists the secrets and tables of a function as JSON. `localstack/templates.py` derives it from
/// the function's policy at each deployment.
const VARIABLE: &str = "RELEASE_CHECKS";

/// Value of every key attribute that is read. No item has it: stored keys begin with other words.
const ABSENT: &str = "release-check";

/// What a function needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dependency {
    /// A secret, by its name.
    Secret(String),
    Table(TableAccess),
}

/// A table, or one index of it, with a call that the function's policy allows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableAccess {
    name: String,
    index: Option<String>,
    /// `None` if the function may write to the table but not read it.
    read: Option<Read>,
    /// Names of the key attributes, which are texts.
    #[serde(default)]
    key: Vec<String>,
}

/// A call that reads a table. The names are those of DynamoDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Read {
    GetItem,
    BatchGetItem,
    Query,
    DescribeTable,
}

/// What a check of a new version returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether nothing is missing.
    pub ready: bool,
    /// The secrets and tables that were read.
    pub checked: Vec<String>,
    /// The tables that the function may write but not read.
    pub not_checked: Vec<String>,
    /// The secrets and tables that could not be read, each with the reason.
    pub missing: Vec<String>,
}

impl Report {
    /// Creates the result of a check that failed for this reason.
    pub fn not_ready(reason: &str) -> Self {
        Self { missing: vec![reason.to_owned()], ..Self::default() }
    }
}

/// Returns whether the event requests the check. It has this one member and no other.
pub fn is_check(event: &Value) -> bool {
    event.as_object().is_some_and(|members| members.len() == 1 && event["check"] == "release")
}

/// Answers the event of the check with `check`, and every other event with `lambda`.
pub fn answering_checks<C, Fut>(lambda: Lambda, check: C) -> Lambda
where
    C: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Report> + Send + 'static,
{
    Arc::new(move |invocation| {
        if !is_check(&invocation.event) {
            return lambda(invocation);
        }
        let report = check();
        Box::pin(async move {
            let report = report.await;
            let missing = report.missing.join("; ");
            if report.ready {
                tracing::info!(r#type = "release_check", "release check passed");
            } else {
                tracing::error!(r#type = "release_check", missing, "release check failed");
            }
            serde_json::to_value(report)
                .map_err(|error| Failure::from_error("UnserializableResponse", &error))
        })
    })
}

/// Checks what the environment lists for this function.
pub fn check_from_env() -> BoxFuture<'static, Report> {
    Box::pin(async {
        let Some(listed) = config::optional(VARIABLE) else {
            return Report::not_ready(
                "RELEASE_CHECKS is not set: make deploy writes it into each function's environment",
            );
        };
        match serde_json::from_str(&listed) {
            Ok(dependencies) => check(&aws::sdk_config(), dependencies).await,
            Err(_) => Report::not_ready("RELEASE_CHECKS is not a list of secrets and tables"),
        }
    })
}

/// Reads each of the dependencies, all at the same time.
pub fn check(config: &SdkConfig, dependencies: Vec<Dependency>) -> BoxFuture<'static, Report> {
    let dynamodb = Client::new(config);
    let secrets = aws_sdk_secretsmanager::Client::new(config);
    let secrets = Arc::new(Secrets::new(secrets, "", Clock::System));
    Box::pin(async move {
        let (mut report, mut reads) = (Report::default(), JoinSet::new());
        for (position, dependency) in dependencies.into_iter().enumerate() {
            let (dynamodb, secrets) = (dynamodb.clone(), secrets.clone());
            match dependency {
                Dependency::Secret(name) => {
                    let read = async move {
                        let read = secrets.reload(&name).await.map(|_| ());
                        let result = read.map_err(|error| telemetry::causes(&error));
                        (position, format!("secret {name}"), result)
                    };
                    reads.spawn(read.in_current_span());
                }
                Dependency::Table(table) => match table.read {
                    None => report.not_checked.push(table.to_string()),
                    Some(read) => {
                        let read = async move {
                            let result = read_absent_key(&dynamodb, &table, read).await;
                            (position, table.to_string(), result)
                        };
                        reads.spawn(read.in_current_span());
                    }
                },
            }
        }
        let mut results = reads.join_all().await;
        results.sort();
        for (_, what, result) in results {
            match result {
                Ok(()) => report.checked.push(what),
                Err(reason) => report.missing.push(format!("{what}: {reason}")),
            }
        }
        report.ready = report.missing.is_empty();
        report
    })
}

impl std::fmt::Display for TableAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "table {}", self.name)?;
        self.index.iter().try_for_each(|index| write!(f, ", {index}"))
    }
}

/// Reads an absent key of a table. An error is DynamoDB's code, such as `AccessDeniedException`.
async fn read_absent_key(client: &Client, table: &TableAccess, read: Read) -> Result<(), String> {
    let absent = || AttributeValue::S(ABSENT.to_owned());
    let key = || -> HashMap<String, AttributeValue> {
        table.key.iter().map(|name| (name.clone(), absent())).collect()
    };
    match read {
        Read::GetItem => {
            let call = client.get_item().table_name(&table.name).set_key(Some(key()));
            call.send().await.map(|_| ()).map_err(|error| reason(&error))
        }
        Read::BatchGetItem => {
            let keys = KeysAndAttributes::builder().keys(key()).build();
            let keys = keys.map_err(|error| telemetry::causes(&error))?;
            let call = client.batch_get_item().request_items(&table.name, keys);
            call.send().await.map(|_| ()).map_err(|error| reason(&error))
        }
        Read::Query => {
            let partition_key = table.key.first().cloned().unwrap_or_default();
            let call = client
                .query()
                .table_name(&table.name)
                .set_index_name(table.index.clone())
                .key_condition_expression("#key = :absent")
                .expression_attribute_names("#key", partition_key)
                .expression_attribute_values(":absent", absent())
                .limit(1);
            call.send().await.map(|_| ()).map_err(|error| reason(&error))
        }
        Read::DescribeTable => {
            let call = client.describe_table().table_name(&table.name);
            call.send().await.map(|_| ()).map_err(|error| reason(&error))
        }
    }
}

fn reason<E: ProvideErrorMetadata + std::error::Error>(error: &E) -> String {
    error.code().map_or_else(|| telemetry::causes(error), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::lambda::Invocation;

    /// A function that counts its events, behind a check that is always ready.
    fn counting() -> (Lambda, Arc<AtomicUsize>) {
        let events = Arc::new(AtomicUsize::new(0));
        let counted = events.clone();
        let operation: Lambda = Arc::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(json!("answered by the operation")) })
        });
        let ready = || async { Report { ready: true, ..Report::default() } };
        (answering_checks(operation, ready), events)
    }

    #[tokio::test]
    async fn check_is_answered_without_the_operation() {
        let (lambda, events) = counting();
        let answer = lambda(Invocation::with_event(json!({ "check": "release" }))).await;
        let expected = json!({ "ready": true, "checked": [], "not_checked": [], "missing": [] });
        assert_eq!((answer, events.load(Ordering::Relaxed)), (Ok(expected), 0));
    }

    #[tokio::test]
    async fn every_other_event_reaches_the_operation() {
        let text = r#"{"check": "release"}"#;
        let other = [
            Value::Null,
            json!("release"),
            json!(["check", "release"]),
            json!({ "check": "Release" }),
            json!({ "check": ["release"] }),
            json!({ "check": "release", "httpMethod": "GET", "path": "/" }),
            json!({ "check": "release", "Records": [] }),
            json!({ "httpMethod": "POST", "path": text, "body": text, "headers": { "check": "release" },
                "queryStringParameters": { "check": "release" }, "pathParameters": { "check": "release" } }),
            json!({ "Records": [{ "messageId": "1", "body": text, "check": "release" }] }),
        ];
        let (lambda, events) = counting();
        for (number, event) in other.into_iter().enumerate() {
            let answer = lambda(Invocation::with_event(event.clone())).await;
            assert_eq!(answer, Ok(json!("answered by the operation")), "{event}");
            assert_eq!(events.load(Ordering::Relaxed), number + 1, "{event}");
        }
    }

    #[test]
    fn dependencies_are_read_from_the_list_that_a_deployment_writes() {
        let listed = json!([
            { "secret": "shop/orders-key" },
            { "table": { "name": "shop-orders", "read": "BatchGetItem", "key": ["pk"] } },
            { "table": { "name": "shop-orders", "index": "user-index", "read": "Query", "key": ["user_id", "sk"] } },
            { "table": { "name": "shop-sessions" } },
        ]);
        let read: Vec<Dependency> = serde_json::from_value(listed).expect("a list");
        let names: Vec<String> = read
            .iter()
            .map(|dependency| match dependency {
                Dependency::Secret(name) => format!("secret {name}"),
                Dependency::Table(table) => table.to_string(),
            })
            .collect();
        let expected = [
            "secret shop/orders-key",
            "table shop-orders",
            "table shop-orders, user-index",
            "table shop-sessions",
        ];
        assert_eq!(names, expected);
    }
}
