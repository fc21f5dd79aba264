//! An in-memory AWS below the real SDK clients: one HTTP client that answers every request, records
//! every call and injects faults on request.
//!
//! `calls` records the calls, `faults` injects faults, `http` answers the requests, and `clients`
//! builds SDK clients.

mod calls;
mod clients;
mod faults;
mod http;

use std::{
    collections::BTreeMap,
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
use serde_json::{Value, json};
use shared::{clock::Clock, ids::Ids, queue::Queue, secret::Secrets, stream::Sender, table::Table};
use tokio::sync::Notify;

pub use self::{
    calls::{Call, Called},
    faults::Fault,
};
use self::{clients::Clients, http::Crowd};
#[cfg(feature = "shop")]
use crate::release::Connection;
use crate::{
    cloudwatch::CloudWatch,
    codedeploy::CodeDeploy,
    dynamodb::{DynamoDb, Item},
    partitions::Partitions,
    rng::Rng,
    secrets::SecretsManager,
    ses::Ses,
    sqs::{self, Sqs},
    template::{self, REGION, STACK, Template},
};

/// The in-memory AWS services, the configuration with which SDK clients call DynamoDB, and clients
/// that are built already. Clones share their state.
#[derive(Clone)]
pub struct Aws(Arc<Services>, Option<SdkConfig>, Option<Arc<Clients>>);

/// Checks the tables after a write. Returns the violation.
pub type Check = fn(&DynamoDb) -> Result<(), String>;

struct Services {
    dynamodb: DynamoDb,
    partitions: Mutex<Option<Partitions>>,
    sqs: Sqs,
    secrets: SecretsManager,
    ses: Ses,
    cloudwatch: CloudWatch,
    codedeploy: CodeDeploy,
    calls: Mutex<Vec<Call>>,
    is_recording: AtomicBool,
    next_call: AtomicUsize,
    writes: AtomicUsize,
    /// The number of [`Aws::copy`] calls that led to this instance.
    generation: u64,
    /// The process that has the services, if it is not this one.
    #[cfg(feature = "shop")]
    remote: Option<Arc<Connection>>,
    faults: Mutex<BTreeMap<usize, Fault>>,
    hits: Mutex<Vec<String>>,
    /// Whether the function crashes at its present call.
    is_crashing: AtomicBool,
    /// Wakes the caller of a function that crashed.
    crash: Notify,
    watch: Mutex<Option<Check>>,
    violation: Mutex<Option<String>>,
    /// The service that does not answer, and the number of its first call without an answer.
    hanging: Mutex<Option<(&'static str, usize)>>,
    /// Whether SDK clients have the timeouts and retries of deployed functions.
    is_deployed: AtomicBool,
    latency: Mutex<Duration>,
    random_times: Mutex<Option<Rng>>,
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
        let services = &*self.0;
        Self::of(
            services.dynamodb.copy(),
            services.sqs.clone(),
            services.secrets.clone(),
            services.ses.clone(),
            services.generation + 1,
        )
    }

    /// The AWS of the process on the other side of `connection`. It has no state here.
    #[cfg(feature = "shop")]
    pub(crate) fn remote(connection: Arc<Connection>) -> Self {
        // No other instance has this generation, so no other one makes the same ids.
        const GENERATION: u64 = 1000;
        let empty = Self::new().0;
        let mut aws = Self::of(
            empty.dynamodb.copy(),
            Sqs::default(),
            empty.secrets.clone(),
            Ses::default(),
            GENERATION,
        );
        Arc::get_mut(&mut aws.0).expect("it is not shared yet").remote = Some(connection);
        aws
    }

    fn of(
        dynamodb: DynamoDb,
        sqs: Sqs,
        secrets: SecretsManager,
        ses: Ses,
        generation: u64,
    ) -> Self {
        let services = Services {
            dynamodb,
            partitions: Mutex::default(),
            sqs,
            secrets,
            ses,
            cloudwatch: CloudWatch::default(),
            codedeploy: CodeDeploy::default(),
            calls: Mutex::default(),
            is_recording: AtomicBool::new(true),
            next_call: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            generation,
            #[cfg(feature = "shop")]
            remote: None,
            faults: Mutex::default(),
            hits: Mutex::default(),
            is_crashing: AtomicBool::new(false),
            crash: Notify::new(),
            watch: Mutex::default(),
            violation: Mutex::default(),
            hanging: Mutex::default(),
            is_deployed: AtomicBool::new(false),
            latency: Mutex::default(),
            random_times: Mutex::default(),
        };
        Self(Arc::new(services), None, None)
    }

    /// A reproducible sequence of ids that differs from the sequence of the instance this one was
    /// copied from.
    pub fn ids(&self, seed: u64) -> Ids {
        Ids::seeded(self.0.generation * 1_000_000 + seed)
    }

    /// Settings for SDK clients: `aws_sdk_sqs::Client::new(&aws.sdk_config())`. SDK retries are
    /// off, so every recorded call is a decision of our code. SDK timeouts are off too, for calls,
    /// streams and credentials, so a slow machine fails no test. [`Aws::call_as_deployed`] turns
    /// both on.
    pub fn sdk_config(&self) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "tests");
        self.unsigned_sdk_config()
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build()
    }

    /// [`Aws::sdk_config`] without credentials.
    fn unsigned_sdk_config(&self) -> SdkConfig {
        let mut builder = SdkConfig::builder();
        if self.0.is_deployed.load(Ordering::SeqCst) {
            builder.set_timeout_config(Some(shared::aws::timeouts()));
            builder.set_retry_config(Some(shared::aws::retries()));
        } else {
            builder.set_retry_config(Some(RetryConfig::disabled()));
        }
        builder
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .identity_cache(IdentityCache::no_cache())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .endpoint_url("http://aws.test")
            .http_client(Self(self.0.clone(), None, None))
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
        Self(self.0.clone(), Some(config), None)
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
        Secrets::new(self.secrets_client(), format!("{STACK}/"), clock)
    }

    /// The sender of a publisher: to these queues, and to `dead_letter` for changes it cannot
    /// translate.
    pub fn sender(&self, queues: &[&'static str], dead_letter: &str) -> Arc<Sender> {
        let urls = queues.iter().map(|queue| (*queue, sqs::url(queue))).collect();
        Arc::new(Sender::new(self.sqs_client(), urls, sqs::url(dead_letter)))
    }

    /// The queue client of a consumer, with its dead-letter queue.
    pub fn queue(&self, name: &str) -> Queue {
        let dead_letter_url = sqs::url(&format!("{name}-dead-letter"));
        Queue::new(self.sqs_client(), sqs::url(name), dead_letter_url)
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

    /// Ages of the oldest messages in queues.
    pub fn cloudwatch(&self) -> &CloudWatch {
        &self.0.cloudwatch
    }

    /// Deployments of new versions.
    pub fn codedeploy(&self) -> &CodeDeploy {
        &self.0.codedeploy
    }

    pub fn mails(&self) -> &Ses {
        &self.0.ses
    }

    /// Every item of a table as DynamoDB JSON, in the order of the keys, without recording the
    /// call.
    ///
    /// # Panics
    /// If the table does not exist.
    pub fn items(&self, table: &str) -> Vec<Value> {
        #[cfg(feature = "shop")]
        if let Some(remote) = &self.0.remote {
            return remote.items(table);
        }
        let items = self.0.dynamodb.items(&table_name(table));
        items.iter().map(|item| json!(**item)).collect()
    }

    /// Every item of a table, in the order of the keys, without recording the call.
    ///
    /// # Panics
    /// If the table does not exist.
    pub fn stored(&self, table: &str) -> Vec<Arc<Item>> {
        self.0.dynamodb.items(&table_name(table))
    }

    /// One item by its key as DynamoDB JSON, without recording the call.
    ///
    /// # Panics
    /// If DynamoDB rejects the request.
    pub fn item(&self, table: &str, key: &Value) -> Option<Value> {
        #[cfg(feature = "shop")]
        if let Some(remote) = &self.0.remote {
            return remote.item(table, key);
        }
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

    /// The number of requests so far.
    pub fn requests(&self) -> usize {
        self.0.next_call.load(Ordering::SeqCst)
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
}

fn table_name(name: &str) -> String {
    format!("{STACK}-{name}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Aws {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Aws")
    }
}
