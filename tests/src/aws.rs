//! An in-memory AWS below the real SDK clients: one HTTP client that answers every request, records
//! every call and injects faults on request.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, identity::IdentityCache, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    ids::Ids,
    lambda::{Failure, Invocation, Lambda},
    queue::Queue,
    secret::Secrets,
    stream::Sender,
    table::Table,
};

use crate::{
    codedeploy::CodeDeploy,
    dynamodb::DynamoDb,
    partitions::{Limits, PartitionKey, Partitions, Refusal},
    secrets::SecretsManager,
    ses::Ses,
    sqs::{self, Sqs},
    template::{self, REGION, STACK, Template},
};

/// The in-memory AWS services, and the configuration with which SDK clients call DynamoDB. Clones
/// share their state.
#[derive(Clone)]
pub struct Aws(Arc<World>, Option<SdkConfig>);

struct World {
    dynamodb: DynamoDb,
    partitions: Mutex<Option<Partitions>>,
    sqs: Sqs,
    secrets: SecretsManager,
    ses: Ses,
    codedeploy: CodeDeploy,
    calls: Mutex<Vec<Call>>,
    next_call: AtomicUsize,
    writes: AtomicUsize,
    /// The number of [`Aws::copy`] calls that led to this instance.
    generation: u64,
    faults: Mutex<BTreeMap<usize, Fault>>,
    silent: AtomicBool,
    latency: Mutex<Duration>,
}

/// One AWS call that a function made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `dynamodb`, `sqs`, `secretsmanager` or `ses`.
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

/// What can go wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service throttles it.
    Throttle,
    /// The request never arrives. To the caller it looks like a lost response.
    LoseRequest,
    /// The request is executed, and its response never arrives.
    LoseResponse,
    /// A write fails with a transaction conflict on its item. Other calls are executed.
    Conflict,
}

/// The answer of a function, and the AWS calls it made.
#[derive(Clone, Debug)]
pub struct Called {
    /// The answer. For HTTP functions see also [`Called::status`] and [`Called::json`].
    pub answer: Result<Value, Failure>,
    pub calls: Vec<Call>,
}

impl Called {
    /// The HTTP status.
    ///
    /// # Panics
    /// If the answer is not an HTTP response.
    pub fn status(&self) -> u64 {
        self.ok()["statusCode"].as_u64().expect("an HTTP answer has a status")
    }

    /// The body as JSON; null if it is empty.
    pub fn json(&self) -> Value {
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

impl Default for Aws {
    fn default() -> Self {
        Self::new()
    }
}

impl Aws {
    /// AWS with the tables and secrets of the repository's template.
    pub fn new() -> Self {
        static EMPTY: OnceLock<Aws> = OnceLock::new();
        let empty = &EMPTY.get_or_init(|| Self::with_template(template::template())).0;
        Self::of(empty.dynamodb.copy(), Sqs::default(), empty.secrets.clone(), Ses::default(), 0)
    }

    /// AWS with the tables and secrets of `template`.
    pub fn with_template(template: &Template) -> Self {
        Self::of(
            DynamoDb::new(template),
            Sqs::default(),
            SecretsManager::new(template),
            Ses::default(),
            0,
        )
    }

    /// An independent copy of the state: items and streams, messages, secrets and mails. Recorded
    /// calls, faults and limits are not copied.
    #[must_use]
    pub fn copy(&self) -> Self {
        let world = &*self.0;
        Self::of(
            world.dynamodb.copy(),
            world.sqs.clone(),
            world.secrets.clone(),
            world.ses.clone(),
            world.generation + 1,
        )
    }

    fn of(
        dynamodb: DynamoDb,
        sqs: Sqs,
        secrets: SecretsManager,
        ses: Ses,
        generation: u64,
    ) -> Self {
        let world = World {
            dynamodb,
            partitions: Mutex::default(),
            sqs,
            secrets,
            ses,
            codedeploy: CodeDeploy::default(),
            calls: Mutex::default(),
            next_call: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            generation,
            faults: Mutex::default(),
            silent: AtomicBool::new(false),
            latency: Mutex::default(),
        };
        Self(Arc::new(world), None)
    }

    /// A reproducible sequence of ids that differs from the sequence of the instance this one was
    /// copied from.
    pub fn ids(&self, seed: u64) -> Ids {
        Ids::seeded(self.0.generation * 1_000_000 + seed)
    }

    /// Settings for SDK clients: `aws_sdk_sqs::Client::new(&aws.sdk_config())`. SDK retries are
    /// off, so every recorded call is a decision of our code. SDK timeouts are off too, for calls,
    /// streams and credentials, so a slow machine fails no test.
    pub fn sdk_config(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "test", "test", None, None, "tests",
            )))
            .retry_config(RetryConfig::disabled())
            .identity_cache(IdentityCache::no_cache())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .endpoint_url("http://aws.test")
            .http_client(self.clone())
            .build()
    }

    /// Like [`Aws::sdk_config`], for concurrent operations: before each call the task yields to the
    /// others, once or several times, depending on `seed`. Without it the test's single thread
    /// would run each operation from start to end.
    pub fn crowded_sdk_config(&self, seed: u64) -> SdkConfig {
        let next = Arc::new(AtomicU64::new(seed));
        self.sdk_config().to_builder().http_client(Crowd { aws: self.clone(), next }).build()
    }

    /// The same AWS for concurrent operations: its tables are called through
    /// [`Aws::crowded_sdk_config`].
    #[must_use]
    pub fn crowded(&self, seed: u64) -> Self {
        self.through(self.crowded_sdk_config(seed))
    }

    /// The same AWS, where the SDK retries a table call once after a lost response, as it does when
    /// deployed.
    #[must_use]
    pub fn retrying(&self) -> Self {
        let retry = RetryConfig::standard()
            .with_max_attempts(2)
            .with_initial_backoff(Duration::from_millis(1));
        self.through(self.sdk_config().to_builder().retry_config(retry).build())
    }

    /// The same AWS, whose tables are called by clients with this configuration.
    #[must_use]
    pub fn through(&self, config: SdkConfig) -> Self {
        Self(self.0.clone(), Some(config))
    }
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        self.1.as_ref().map_or_else(
            || aws_sdk_dynamodb::Client::new(&self.sdk_config()),
            aws_sdk_dynamodb::Client::new,
        )
    }

    /// A table of the stack: `table("orders")` is `ferrocart-orders`.
    pub fn table(&self, name: &str) -> Table {
        Table::new(self.dynamodb(), table_name(name))
    }

    /// The secrets reader of a service.
    pub fn secrets(&self) -> Secrets {
        self.secrets_at(Clock::System)
    }

    /// The secrets reader of a service, with this clock.
    pub fn secrets_at(&self, clock: Clock) -> Secrets {
        Secrets::new(
            aws_sdk_secretsmanager::Client::new(&self.sdk_config()),
            format!("{STACK}/"),
            clock,
        )
    }

    /// The sender of a publisher: to these queues, and to `dead_letter` for changes it cannot
    /// translate.
    pub fn sender(&self, queues: &[&'static str], dead_letter: &str) -> Arc<Sender> {
        let urls = queues.iter().map(|queue| (*queue, sqs::url(queue))).collect();
        Arc::new(Sender::new(
            aws_sdk_sqs::Client::new(&self.sdk_config()),
            urls,
            sqs::url(dead_letter),
        ))
    }

    /// The queue client of a consumer, with its dead-letter queue.
    pub fn queue(&self, name: &str) -> Queue {
        let dead_letter_url = sqs::url(&format!("{name}-dead-letter"));
        Queue::new(aws_sdk_sqs::Client::new(&self.sdk_config()), sqs::url(name), dead_letter_url)
    }
    pub fn database(&self) -> &DynamoDb {
        &self.0.dynamodb
    }

    pub fn queues(&self) -> &Sqs {
        &self.0.sqs
    }
    pub fn secrets_manager(&self) -> &SecretsManager {
        &self.0.secrets
    }

    /// Deployments of new versions.
    pub fn codedeploy(&self) -> &CodeDeploy {
        &self.0.codedeploy
    }

    pub fn mails(&self) -> &Ses {
        &self.0.ses
    }

    /// Every item of a table as DynamoDB JSON, without recording the call.
    ///
    /// # Panics
    /// If the table does not exist or has more than one page of items.
    pub fn items(&self, table: &str) -> Vec<Value> {
        let (status, body) =
            self.0.dynamodb.call("Scan", &json!({ "TableName": table_name(table) }).to_string());
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("an answer is JSON");
        assert!(
            answer.get("LastEvaluatedKey").is_none(),
            "the table {table} is larger than one page"
        );
        answer["Items"].as_array().cloned().unwrap_or_default()
    }

    /// One item by its key as DynamoDB JSON, without recording the call.
    ///
    /// # Panics
    /// If DynamoDB rejects the request.
    pub fn item(&self, table: &str, key: &Value) -> Option<Value> {
        let (status, body) = self
            .0
            .dynamodb
            .call("GetItem", &json!({ "TableName": table_name(table), "Key": key }).to_string());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).expect("an answer is JSON").get("Item").cloned()
    }

    /// Every order, without the unpaid-order lists in the same table.
    ///
    /// # Panics
    /// As [`Aws::items`].
    pub fn orders(&self) -> Vec<Value> {
        let is_order =
            |item: &Value| item["pk"]["S"].as_str().is_some_and(|key| key.starts_with("ORDER#"));
        self.items("orders").into_iter().filter(is_order).collect()
    }

    /// The number of requests so far that may have changed state: all except reads. While it is
    /// constant, so is the state.
    pub fn writes(&self) -> usize {
        self.0.writes.load(Ordering::SeqCst)
    }

    /// Puts an item in DynamoDB JSON and replaces an existing one, without recording the call.
    ///
    /// # Panics
    /// If DynamoDB rejects the item.
    pub fn put(&self, table: &str, item: &Value) {
        self.0.writes.fetch_add(1, Ordering::SeqCst);
        let request = json!({ "TableName": table_name(table), "Item": item });
        let (status, body) = self.0.dynamodb.call("PutItem", &request.to_string());
        assert_eq!(status, 200, "{item} cannot be put: {body}");
    }

    /// Deletes an item by its key, without recording the call.
    ///
    /// # Panics
    /// If DynamoDB rejects the request.
    pub fn delete(&self, table: &str, key: &Value) {
        self.0.writes.fetch_add(1, Ordering::SeqCst);
        let (status, body) = self
            .0
            .dynamodb
            .call("DeleteItem", &json!({ "TableName": table_name(table), "Key": key }).to_string());
        assert_eq!(status, 200, "{key} cannot be deleted: {body}");
    }

    /// Injects a fault into a later call: 0 is the next one.
    pub fn fail(&self, call: usize, fault: Fault) {
        lock(&self.0.faults).insert(self.0.next_call.load(Ordering::SeqCst) + call, fault);
    }

    /// From now on every call times out: it ends after the attempt timeout without a response.
    /// Tests of this run with time paused.
    pub fn fall_silent(&self) {
        self.0.silent.store(true, Ordering::SeqCst);
    }

    /// From now on every call takes `latency`. Tests of this run with time paused. The elapsed time
    /// divided by `latency` is the number of sequential calls.
    pub fn take_time(&self, latency: Duration) {
        *lock(&self.0.latency) = latency;
    }

    /// From now on the read units, and the write units of each partition key, are counted. With `limits`, writes above
    /// them are throttled and transactions conflict. Tests of limits run with time paused.
    pub fn count_write_units(&self, limits: Option<Limits>) {
        *lock(&self.0.partitions) = Some(Partitions::new(template::template(), limits));
    }

    /// The write units charged to each partition key since [`Aws::count_write_units`].
    pub fn write_units(&self) -> BTreeMap<PartitionKey, u64> {
        lock(&self.0.partitions)
            .as_ref()
            .map(|partitions| partitions.units().clone())
            .unwrap_or_default()
    }

    /// The read units of all keys together since [`Aws::count_write_units`].
    pub fn read_units(&self) -> f64 {
        lock(&self.0.partitions).as_ref().map(Partitions::read_units).unwrap_or_default()
    }

    /// The numbers of throttled requests and of conflicts since [`Aws::count_write_units`].
    pub fn refusals(&self) -> (u64, u64) {
        lock(&self.0.partitions).as_ref().map(Partitions::refusals).unwrap_or_default()
    }

    /// Removes the faults that are still pending.
    pub fn heal(&self) {
        lock(&self.0.faults).clear();
        self.0.silent.store(false, Ordering::SeqCst);
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
        let answer = lambda(invocation).await;
        let calls = lock(&self.0.calls)[before..].to_vec();
        Called { answer, calls }
    }

    /// Executes a DynamoDB request, subject to the limits of its partitions.
    fn carry_out(&self, operation: &str, request: &Value, body: &str) -> (u16, String) {
        let mut partitions = lock(&self.0.partitions);
        let Some(partitions) = partitions.as_mut() else {
            return self.0.dynamodb.call(operation, body);
        };
        partitions.carry_out(&self.0.dynamodb, operation, request, body).unwrap_or_else(|refusal| {
            match refusal {
                Refusal::Throttled => refused(
                    "dynamodb",
                    operation,
                    request,
                    "ThrottlingException",
                    "ThrottlingError",
                ),
                Refusal::Conflict => refused(
                    "dynamodb",
                    operation,
                    request,
                    "TransactionConflictException",
                    "TransactionConflict",
                ),
            }
        })
    }

    /// Answers one request, or injects the pending fault.
    ///
    /// # Errors
    /// If a fault loses the request or its response.
    pub fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let body = request.body().bytes().unwrap_or_default();
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let is_invocation = request.uri().contains("/functions/");
        let other = if is_invocation { ("Lambda", "InvokeFunction") } else { ("SES", "SendEmail") };
        let (api, operation) = target.split_once('.').unwrap_or(other);
        let service = match api {
            "CodeDeploy_20141006" => "codedeploy",
            "Lambda" => "lambda",
            "DynamoDB_20120810" => "dynamodb",
            "AmazonSQS" => "sqs",
            "secretsmanager" => "secretsmanager",
            _ => "ses",
        };
        let number = self.0.next_call.fetch_add(1, Ordering::SeqCst);
        if !READS.contains(&operation) {
            self.0.writes.fetch_add(1, Ordering::SeqCst);
        }
        let actions = actions_of(service, operation, &json);
        lock(&self.0.calls).push(Call {
            service,
            operation: operation.to_owned(),
            tables: tables_of(&json),
            actions,
        });
        let fault = lock(&self.0.faults).remove(&number);
        let carry_out = || match service {
            "dynamodb" => self.carry_out(operation, &json, &String::from_utf8_lossy(body)),
            "sqs" => self.0.sqs.call(operation, &json),
            "secretsmanager" => self.0.secrets.call(operation, &json),
            "codedeploy" => self.0.codedeploy.call(operation, &json),
            "lambda" => self.0.codedeploy.invoke(request.uri(), &json),
            _ => self.0.ses.call(&json),
        };
        match fault {
            None => Ok(response(carry_out())),
            Some(Fault::LoseRequest) => Err(ConnectorError::io("the request was lost".into())),
            Some(Fault::LoseResponse) => {
                carry_out();
                Err(ConnectorError::io("the response was lost".into()))
            }
            Some(Fault::Throttle) => Ok(response(refused(
                service,
                operation,
                &json,
                "ThrottlingException",
                "ThrottlingError",
            ))),
            Some(Fault::Conflict)
                if matches!(
                    operation,
                    "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems"
                ) =>
            {
                Ok(response(refused(
                    service,
                    operation,
                    &json,
                    "TransactionConflictException",
                    "TransactionConflict",
                )))
            }
            Some(Fault::Conflict) => Ok(response(carry_out())),
        }
    }
}
const READS: [&str; 9] = [
    "GetItem",
    "BatchGetItem",
    "Query",
    "Scan",
    "TransactGetItems",
    "GetSecretValue",
    "DescribeTable",
    "GetDeployment",
    "GetApplicationRevision",
];

/// An error response: with a reason for each write of a transaction, otherwise with the error's
/// name.
fn refused(
    service: &str,
    operation: &str,
    request: &Value,
    error: &str,
    reason: &str,
) -> (u16, String) {
    if operation == "TransactWriteItems" {
        let writes = request["TransactItems"].as_array().map_or(1, Vec::len);
        let reasons =
            (0..writes).map(|write| json!({ "Code": if write == 0 { reason } else { "None" } }));
        let body = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "Transaction cancelled",
            "CancellationReasons": reasons.collect::<Vec<_>>(),
        });
        return (400, body.to_string());
    }
    let error = if service == "ses" { "TooManyRequestsException" } else { error };
    (400, json!({ "__type": error, "message": "fault injected by the test" }).to_string())
}

fn table_name(name: &str) -> String {
    format!("{STACK}-{name}")
}

/// The tables in a DynamoDB request.
fn tables_of(request: &Value) -> BTreeSet<String> {
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
fn actions_of(service: &str, operation: &str, request: &Value) -> BTreeSet<(String, String)> {
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

fn response((status, body): (u16, String)) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("a status is between 100 and 999");
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Aws {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Aws")
    }
}

impl HttpClient for Aws {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if self.0.silent.load(Ordering::SeqCst) {
            return HttpConnectorFuture::new(async {
                tokio::time::sleep(
                    shared::aws::timeouts().operation_attempt_timeout().unwrap_or_default(),
                )
                .await;
                Err(ConnectorError::timeout("nobody answered".into()))
            });
        }
        let latency = *lock(&self.0.latency);
        if latency.is_zero() {
            return HttpConnectorFuture::ready(self.answer(&request));
        }
        let aws = self.clone();
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(latency).await;
            aws.answer(&request)
        })
    }
}

/// An HTTP client that makes concurrent operations interleave.
#[derive(Clone, Debug)]
struct Crowd {
    aws: Aws,
    next: Arc<AtomicU64>,
}

impl HttpClient for Crowd {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Crowd {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let crowd = self.clone();
        HttpConnectorFuture::new(async move {
            // Knuth's linear congruential generator; the quality of the distribution does not
            // matter.
            let random = crowd
                .next
                .fetch_add(1, Ordering::SeqCst)
                .wrapping_add(1)
                .wrapping_mul(6_364_136_223_846_793_005)
                >> 61;
            for _ in 0..=random {
                tokio::task::yield_now().await;
            }
            HttpConnector::call(&crowd.aws, request).await
        })
    }
}
