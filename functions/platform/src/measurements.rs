//! Measurements that `check-health` takes from tables, queues and secrets.
//!
//! All measurements are taken concurrently, each within [`TIMEOUT`]. Only the ages of messages are
//! read after the queues. A measurement that fails is listed as unavailable; the others still
//! count.
//! Nothing is scanned: the cost does not grow with the data.

use std::{collections::BTreeMap, future::Future, time::Duration};

use serde::{Deserialize, Serialize};
use shared::{
    aws,
    clock::Timestamp,
    config,
    sweep::Backlog,
    table::{AttributeValue, Expression, Item, Key, Query, Table},
    telemetry,
};
use tokio::{task::JoinSet, time::timeout};
use tracing::Instrument;

use crate::queue_ages::QueueAges;

/// Time limit of one measurement. A table that takes longer counts as inactive.
pub const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct ServiceTable {
    pub service: &'static str,
    pub table: Table,
}

/// Records of one kind that a sweep checks when they are due.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Name of the measurement, such as `orders`.
    pub kind: &'static str,
    pub table: Table,
    /// Value of `check_shard` without the shard number.
    pub partition: &'static str,
}

/// Access to everything that the check reads.
#[derive(Clone, Debug)]
pub struct Sources {
    pub tables: Vec<ServiceTable>,
    pub sweeps: Vec<Sweep>,
    /// Number of shards of the sweeps' indexes.
    pub shards: u32,
    /// The table with the count of suppressed addresses.
    pub notifications: Table,
    /// The table with the circuit breaker of the provider.
    pub payments: Table,
    /// Name of the payment provider.
    pub provider: String,
    pub sqs: aws_sdk_sqs::Client,
    /// Names of all queues and dead-letter queues, without the shop.
    pub queues: Vec<String>,
    /// URL of a queue without its name.
    pub queue_url_prefix: String,
    /// `None` where no metrics of queues exist.
    pub queue_ages: Option<QueueAges>,
    pub secrets: aws_sdk_secretsmanager::Client,
    /// Full name of the secret that signs access tokens.
    pub signing_key: String,
}

/// The tables of all services besides the payment simulator, by service and name.
const TABLES: [(&str, &str); 11] = [
    ("users", "USERS"),
    ("users", "SESSIONS"),
    ("catalog", "PRODUCTS"),
    ("pricing", "PRICING"),
    ("inventory", "STOCK"),
    ("orders", "ORDERS"),
    ("orders", "ORDER_PRODUCTS"),
    ("orders", "ORDER_CARTS"),
    ("payments", "PAYMENTS"),
    ("notifications", "NOTIFICATIONS"),
    ("ledger", "LEDGER"),
];

impl Sources {
    /// The sources of a deployed shop.
    ///
    /// # Panics
    /// If the environment lacks a setting; see the template.
    pub fn from_env() -> Self {
        let config = aws::sdk_config();
        let client = aws_sdk_dynamodb::Client::new(&config);
        let table =
            |name: &str| Table::new(client.clone(), config::required(&format!("{name}_TABLE")));
        let provider = config::required("PAYMENT_PROVIDER");
        // With another provider the simulator's table does not exist.
        let simulator = (provider == "simulated").then_some(("payments", "PAYMENT_SIMULATOR"));
        let tables = TABLES.into_iter().chain(simulator);
        let sweep = |kind, name, partition| Sweep { kind, table: table(name), partition };
        let queues = config::required("QUEUES");
        Self {
            tables: tables
                .map(|(service, name)| ServiceTable { service, table: table(name) })
                .collect(),
            sweeps: vec![
                sweep("orders", "ORDERS", "due"),
                sweep("payments", "PAYMENTS", "due"),
                sweep("reservations", "STOCK", "held"),
            ],
            shards: config::parsed("INDEX_SHARDS"),
            notifications: table("NOTIFICATIONS"),
            payments: table("PAYMENTS"),
            provider,
            sqs: aws_sdk_sqs::Client::new(&config),
            queues: queues.split(',').map(str::to_owned).collect(),
            queue_url_prefix: config::required("QUEUE_URL_PREFIX"),
            queue_ages: QueueAges::from_env(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            signing_key: config::required("SIGNING_KEY_SECRET"),
        }
    }
}

/// A table that is not active or did not respond in time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InactiveTable {
    pub service: String,
    pub table: String,
}

/// Approximate number of messages in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDepth {
    /// Messages that a consumer can receive.
    pub visible: u64,
    /// Messages that a consumer has received and not deleted.
    pub in_flight: u64,
    /// Messages whose delay has not elapsed.
    pub delayed: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    pub inactive_tables: Vec<InactiveTable>,
    pub queues: BTreeMap<String, QueueDepth>,
    /// Seconds that the oldest message of a queue has waited. Only on AWS, and only of queues that
    /// are not empty.
    #[serde(default)]
    pub oldest_message_seconds: BTreeMap<String, u64>,
    /// Seconds by which the longest overdue record of each sweep is late. Zero if none is due.
    pub overdue_seconds: BTreeMap<String, u64>,
    /// State of the provider's circuit breaker.
    pub circuit_breaker: Option<String>,
    pub signing_key_age_days: Option<u64>,
    /// Number of addresses to which no mail is sent.
    pub suppressed_addresses: Option<u64>,
    /// Measurements that failed.
    pub unavailable: Vec<String>,
}

impl QueueDepth {
    fn messages(&self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

impl Measurements {
    /// Returns the number of messages in all dead-letter queues.
    pub fn dead_letters(&self) -> u64 {
        let dead_letters = self.queues.iter().filter(|(name, _)| is_dead_letter_queue(name));
        dead_letters.map(|(_, depth)| depth.messages()).sum()
    }

    /// Returns the names of the queues that are not empty.
    fn filled_queues(&self) -> Vec<String> {
        let filled = self.queues.iter().filter(|(_, depth)| depth.messages() > 0);
        filled.map(|(name, _)| name.clone()).collect()
    }
}

/// Returns whether a queue holds messages that are not retried.
fn is_dead_letter_queue(name: &str) -> bool {
    name.ends_with("-dead-letter") || name == "undelivered-events"
}

/// One measurement, or the name of one that failed.
enum Measurement {
    Table(Option<InactiveTable>),
    Queue(String, QueueDepth),
    OldestMessages(BTreeMap<String, u64>),
    Overdue(&'static str, Duration),
    Breaker(Option<String>),
    SigningKey(Duration),
    SuppressedAddresses(u64),
    Unavailable(String),
}

impl Sources {
    /// Takes all measurements concurrently, each with a time limit.
    pub async fn gather(&self, now: Timestamp) -> Measurements {
        let mut reads = JoinSet::new();
        for ServiceTable { service, table } in self.tables.clone() {
            reads.spawn(table_state(service, table).in_current_span());
        }
        for queue in &self.queues {
            let url = format!("{}{queue}", self.queue_url_prefix);
            let depth = queue_depth(self.sqs.clone(), url, queue.clone());
            reads.spawn(limited(format!("queue {queue}"), depth).in_current_span());
        }
        for sweep in &self.sweeps {
            let overdue = overdue(sweep.clone(), self.shards, now);
            reads.spawn(limited(format!("sweep {}", sweep.kind), overdue).in_current_span());
        }
        let breaker = circuit_breaker(self.payments.clone(), self.provider.clone());
        reads.spawn(limited("circuit breaker".to_owned(), breaker).in_current_span());
        let key = signing_key(self.secrets.clone(), self.signing_key.clone(), now);
        reads.spawn(limited("signing key".to_owned(), key).in_current_span());
        let suppressed = suppressed_addresses(self.notifications.clone(), now);
        reads.spawn(limited("suppressed addresses".to_owned(), suppressed).in_current_span());

        let mut measurements = Measurements::default();
        while let Some(read) = reads.join_next().await {
            match read {
                Ok(measurement) => measurements.add(measurement),
                Err(panic) => measurements.unavailable.push(panic.to_string()),
            }
        }
        let filled = measurements.filled_queues();
        if let Some(ages) = self.queue_ages.as_ref().filter(|_| !filled.is_empty()) {
            let ages = async { ages.read(filled, now).await.map(Measurement::OldestMessages) };
            measurements.add(limited("ages of messages".to_owned(), ages).await);
        }
        measurements.inactive_tables.sort();
        measurements.unavailable.sort();
        measurements
    }
}

impl Measurements {
    fn add(&mut self, measurement: Measurement) {
        match measurement {
            Measurement::Table(inactive) => self.inactive_tables.extend(inactive),
            Measurement::Queue(name, depth) => drop(self.queues.insert(name, depth)),
            Measurement::OldestMessages(ages) => self.oldest_message_seconds = ages,
            Measurement::Overdue(kind, late) => {
                self.overdue_seconds.insert(kind.to_owned(), late.as_secs());
            }
            Measurement::Breaker(state) => self.circuit_breaker = state,
            Measurement::SigningKey(age) => {
                self.signing_key_age_days = Some(age.as_secs() / 86_400);
            }
            Measurement::SuppressedAddresses(count) => self.suppressed_addresses = Some(count),
            Measurement::Unavailable(name) => self.unavailable.push(name),
        }
    }
}

async fn limited(
    name: String,
    read: impl Future<Output = Result<Measurement, String>>,
) -> Measurement {
    within_limit(&name, read).await.unwrap_or(Measurement::Unavailable(name))
}

/// Limits the time of a read to [`TIMEOUT`]. Logs its error once and returns `None`.
pub(crate) async fn within_limit<T>(
    name: &str,
    read: impl Future<Output = Result<T, String>>,
) -> Option<T> {
    let error = match timeout(TIMEOUT, read).await {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(error)) => error,
        Err(_) => "no response in time".to_owned(),
    };
    tracing::warn!(measurement = name, error, "measurement of the health check failed");
    None
}

async fn table_state(service: &'static str, table: Table) -> Measurement {
    let is_active = timeout(TIMEOUT, table.is_active()).await.unwrap_or(false);
    let inactive = || InactiveTable { service: service.to_owned(), table: table.name().to_owned() };
    Measurement::Table((!is_active).then(inactive))
}

async fn queue_depth(
    sqs: aws_sdk_sqs::Client,
    url: String,
    name: String,
) -> Result<Measurement, String> {
    use aws_sdk_sqs::types::QueueAttributeName::{
        ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesDelayed as Delayed,
        ApproximateNumberOfMessagesNotVisible as InFlight,
    };
    let attributes = [Visible, InFlight, Delayed];
    let call =
        sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(attributes.to_vec()));
    let answer = call.send().await.map_err(|error| telemetry::causes(&error))?;
    let [visible, in_flight, delayed] = attributes.map(|name| {
        let text = answer.attributes.as_ref().and_then(|attributes| attributes.get(&name));
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    });
    Ok(Measurement::Queue(name, QueueDepth { visible, in_flight, delayed }))
}

async fn overdue(sweep: Sweep, shards: u32, now: Timestamp) -> Result<Measurement, String> {
    let due = Expression::new("#next_check_at <= :now").value("now", now);
    let query = Query::new(Some("check-index"), "check_shard", sweep.partition, 1).sort(due);
    let mut backlog = Backlog::new(&sweep.table, &query, shards, "next_check_at");
    let first = backlog.next_item().await.map_err(|error| telemetry::causes(&error))?;
    let due_at = first.and_then(|item| text(&item, "next_check_at")?.parse().ok());
    Ok(Measurement::Overdue(sweep.kind, due_at.map_or(Duration::ZERO, |due_at| now.since(due_at))))
}

async fn circuit_breaker(payments: Table, provider: String) -> Result<Measurement, String> {
    let key = Key::composite(format!("BREAKER#{provider}"), "BREAKER");
    let item = payments.get(key).await.map_err(|error| telemetry::causes(&error))?;
    Ok(Measurement::Breaker(item.and_then(|item| text(&item, "state"))))
}

async fn signing_key(
    secrets: aws_sdk_secretsmanager::Client,
    name: String,
    now: Timestamp,
) -> Result<Measurement, String> {
    let answer = secrets.describe_secret().secret_id(name).send().await;
    let secret = answer.map_err(|error| telemetry::causes(&error))?;
    let changed = secret.last_changed_date().or(secret.created_date());
    let changed = changed.ok_or("the secret has no date")?.to_millis();
    let changed = changed.map_err(|error| error.to_string())?;
    Ok(Measurement::SigningKey(now.since(Timestamp::from_milliseconds(changed))))
}

/// Reads the number of suppressed addresses, which notifications counts by the day on which their
/// suppression ends: `day_20785` for day 20785 since 1970 (UTC). Past days do not count.
async fn suppressed_addresses(notifications: Table, now: Timestamp) -> Result<Measurement, String> {
    let key = Key::composite("SUPPRESSIONS", "COUNT");
    let item = notifications.get(key).await.map_err(|error| telemetry::causes(&error))?;
    let today = now.seconds().div_euclid(24 * 3600);
    let count = |(name, value): (String, AttributeValue)| {
        let day: i64 = name.strip_prefix("day_")?.parse().ok()?;
        let count: u64 = value.as_n().ok()?.parse().ok()?;
        (day >= today).then_some(count)
    };
    Ok(Measurement::SuppressedAddresses(item.into_iter().flatten().filter_map(count).sum()))
}

fn text(item: &Item, attribute: &str) -> Option<String> {
    item.get(attribute)?.as_s().ok().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_are_counted_in_dead_letter_queues_only() {
        let depth = |visible| QueueDepth { visible, in_flight: 1, delayed: 0 };
        let queues = [
            ("reserve-stock", depth(40)),
            ("reserve-stock-dead-letter", depth(2)),
            ("undelivered-events", depth(0)),
        ];
        let queues = queues.map(|(name, depth)| (name.to_owned(), depth)).into();
        assert_eq!(Measurements { queues, ..Measurements::default() }.dead_letters(), 4);
    }
}
