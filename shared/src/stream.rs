//! Publishers: functions that read a table's stream and turn every committed change into messages.
//!
//! Two kinds of errors are handled differently. A change that *cannot be turned into messages* (an
//! unreadable image, an unknown state, a panic) is moved to the publisher's dead-letter queue, and
//! the batch continues. A message that *cannot be sent* fails the invocation, and the stream
//! retries the batch. No change is skipped, and an unreadable image does not block the stream.

mod translation;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use aws_sdk_sqs::{Client, types::SendMessageBatchRequestEntry};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::Instrument;

use crate::{
    aws,
    clock::Clock,
    config,
    ids::{OrderId, PrefixedId},
    lambda::{self, Failure, Invocation, Lambda, OperationName},
    metrics::{self, Measurement},
    queue::Message,
    retry,
};

use translation::{Publication, Translate, translate};
pub use translation::{Translation, UnknownState};

/// Which items of a table are published.
#[derive(Clone, Copy, Debug)]
pub enum StreamFilter {
    /// Items whose partition key has this prefix.
    PartitionKeyPrefix(&'static str),
    /// Items whose partition key has one of these prefixes.
    PartitionKeyPrefixes(&'static [&'static str]),
    /// Items with this sort key.
    SortKey(&'static str),
    /// Items whose sort key has one of these prefixes.
    SortKeyPrefixes(&'static [&'static str]),
}

impl StreamFilter {
    fn matches(self, keys: &serde_dynamo::Item) -> bool {
        let text = |name: &str| match keys.get(name) {
            Some(serde_dynamo::AttributeValue::S(text)) => text.clone(),
            _ => String::new(),
        };
        match self {
            Self::PartitionKeyPrefix(prefix) => text("pk").starts_with(prefix),
            Self::PartitionKeyPrefixes(prefixes) => {
                prefixes.iter().any(|prefix| text("pk").starts_with(prefix))
            }
            Self::SortKey(key) => text("sk") == key,
            Self::SortKeyPrefixes(prefixes) => {
                prefixes.iter().any(|prefix| text("sk").starts_with(prefix))
            }
        }
    }
}

/// Publishes the changes of a table.
///
/// # Errors
/// If the Lambda runtime API fails.
///
/// # Panics
/// If the URL of one of `queues` is missing from the environment.
pub fn run<T>(
    operation: &str,
    filter: StreamFilter,
    queues: &'static [&'static str],
    translation: Translation<T>,
) -> Result<(), lambda_http::Error>
where
    T: DeserializeOwned + 'static,
{
    lambda::serve(lambda(operation, filter, translation, Arc::new(Sender::from_env(queues))))
}

/// The function that [`run`] serves.
pub fn lambda<T>(
    operation: &str,
    filter: StreamFilter,
    translation: Translation<T>,
    sender: Arc<Sender>,
) -> Lambda
where
    T: DeserializeOwned + 'static,
{
    let service = std::any::type_name::<T>().split("::").next().unwrap_or_default();
    let name = OperationName { service, operation: operation.to_owned() };
    let translate = translate(translation);
    Arc::new(move |invocation: Invocation| {
        let span = name.span(&invocation.request_id, "");
        let batch = publish(name.service, filter, translate.clone(), sender.clone(), invocation);
        Box::pin(lambda::counted(name.service, batch).instrument(span))
    })
}

/// A batch of a stream. Records are parsed one at a time, so that a malformed one does not affect
/// the others.
#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Value>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventName")]
    event: String,
    dynamodb: Change,
}

#[derive(Deserialize)]
struct Change {
    #[serde(rename = "Keys", default)]
    keys: serde_dynamo::Item,
    #[serde(rename = "OldImage", default)]
    old: Option<serde_dynamo::Item>,
    #[serde(rename = "NewImage", default)]
    new: Option<serde_dynamo::Item>,
}

async fn publish(
    service: &'static str,
    filter: StreamFilter,
    translate: Translate,
    sender: Arc<Sender>,
    invocation: Invocation,
) -> Result<Value, Failure> {
    let started = Clock::System.now();
    let batch: Batch = serde_json::from_value(invocation.event)
        .map_err(|error| Failure::from_error("MalformedBatch", &error))?;
    let (mut outgoing, mut measurements, mut dead) = (Vec::new(), Vec::new(), Vec::new());
    for raw in &batch.records {
        match publication_of(raw, filter, &translate) {
            Ok(publication) => {
                outgoing.extend(publication.messages);
                measurements.extend(publication.measurements);
            }
            Err(reason) => {
                tracing::error!(
                    error = reason,
                    "change not publishable, sending it to the dead-letter queue"
                );
                metrics::UNPUBLISHABLE_CHANGE.of(service).increment();
                dead.push(raw.to_string());
            }
        }
    }
    let sent = outgoing.len();
    // If a message cannot be sent, the stream delivers the whole batch again. Dead letters are sent
    // last, so that they are not duplicated.
    let result = match sender.send(outgoing).await {
        Ok(()) => sender.send_dead_letters(dead).await,
        failed => failed,
    };
    // The stream delivers a failed batch again, and its measurements count then.
    if result.is_ok() {
        measurements.iter().for_each(Measurement::record);
    }
    let duration_ms =
        u64::try_from(Clock::System.now().since(started).as_millis()).unwrap_or(u64::MAX);
    match &result {
        Ok(()) => tracing::info!(
            r#type = "stream",
            records = batch.records.len(),
            sent,
            duration_ms,
            "batch published"
        ),
        Err(failure) => tracing::error!(
            r#type = "stream",
            records = batch.records.len(),
            duration_ms,
            error = failure.message,
            "messages not sent, the stream delivers the batch again"
        ),
    }
    result.map(|()| Value::Null)
}

/// Attribute of an item while `localstack/restore.py` copies a restored table. The original change
/// was published already.
const RESTORING: &str = "restoring";

fn publication_of(
    raw: &Value,
    filter: StreamFilter,
    translate: &Translate,
) -> Result<Publication, String> {
    let record: Record =
        serde_json::from_value(raw.clone()).map_err(|_| "not a stream record".to_owned())?;
    match record.dynamodb.new {
        Some(new) if new.contains_key(RESTORING) => Ok(Publication::default()),
        Some(new) if filter.matches(&record.dynamodb.keys) && record.event != "REMOVE" => {
            translate(record.dynamodb.old, new)
        }
        _ => Ok(Publication::default()),
    }
}

/// Sends messages to queues.
pub struct Sender {
    client: Client,
    urls: HashMap<&'static str, String>,
    dead_letter_url: String,
}

/// Limits of `SendMessageBatch`: entries, and bytes of all entries together (262,144 in the
/// strictest regions, with a reserve).
const BATCH_ENTRIES: usize = 10;
const BATCH_BYTES: usize = 250_000;
const MAX_ATTEMPTS: u32 = 4;

impl Sender {
    /// Creates a sender for queues whose URLs are in the environment.
    fn from_env(queues: &[&'static str]) -> Self {
        let urls = queues.iter().map(|queue| (*queue, config::queue_url(queue))).collect();
        Self::new(Client::new(&aws::sdk_config()), urls, config::required("DEAD_LETTER_QUEUE_URL"))
    }

    /// Creates a sender for the queues at `urls`. Changes that cannot be turned into messages go to
    /// `dead_letter_url`.
    pub fn new(
        client: Client,
        urls: HashMap<&'static str, String>,
        dead_letter_url: String,
    ) -> Self {
        Self { client, urls, dead_letter_url }
    }

    async fn send(&self, messages: Vec<Message>) -> Result<(), Failure> {
        let mut by_queue: BTreeMap<&'static str, (Vec<Outgoing>, Vec<Message>)> = BTreeMap::new();
        for message in messages {
            let body = serde_json::to_string(&message)
                .map_err(|error| Failure::from_error("UnserializableMessage", &error))?;
            let delay_seconds =
                i32::try_from(message.delay.as_secs()).ok().filter(|seconds| *seconds > 0);
            let (outgoing, messages) = by_queue.entry(message.queue).or_default();
            outgoing.push(Outgoing { body: escape_noncharacters(body), delay_seconds });
            messages.push(message);
        }
        for (queue, (outgoing, messages)) in by_queue {
            let url = self.urls.get(queue).ok_or_else(|| {
                Failure::new("UnknownQueue", format!("no URL configured for the queue {queue}"))
            })?;
            self.send_all(url, outgoing).await?;
            messages.iter().for_each(log_sent);
        }
        Ok(())
    }

    async fn send_dead_letters(&self, records: Vec<String>) -> Result<(), Failure> {
        let letters = records
            .into_iter()
            .map(|record| Outgoing { body: escape_noncharacters(record), delay_seconds: None });
        self.send_all(&self.dead_letter_url, letters.collect()).await
    }

    async fn send_all(&self, url: &str, mut outgoing: Vec<Outgoing>) -> Result<(), Failure> {
        let mut attempt = 0;
        while !outgoing.is_empty() {
            let mut left = Vec::new();
            for batch in in_batches(outgoing) {
                left.extend(self.send_batch(url, batch).await?);
            }
            outgoing = left;
            attempt += 1;
            if !outgoing.is_empty() {
                if attempt == MAX_ATTEMPTS {
                    return Err(Failure::new(
                        "SendFailed",
                        format!("the queue rejected {} messages", outgoing.len()),
                    ));
                }
                tokio::time::sleep(retry::full_jitter(
                    attempt,
                    Duration::from_millis(50),
                    Duration::from_secs(1),
                ))
                .await;
            }
        }
        Ok(())
    }

    /// Sends up to ten messages. Returns those that the queue did not accept.
    async fn send_batch(&self, url: &str, batch: Vec<Outgoing>) -> Result<Vec<Outgoing>, Failure> {
        let entry = |(number, message): (usize, &Outgoing)| {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(number.to_string())
                .message_body(&message.body);
            entry.set_delay_seconds(message.delay_seconds).build()
        };
        let entries = batch.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>();
        let entries =
            entries.map_err(|error| Failure::from_error("UnserializableMessage", &error))?;
        let answer =
            self.client.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await;
        let answer = answer.map_err(|error| Failure::from_error("SendFailed", &error))?;
        let taken: BTreeSet<&str> = answer.successful().iter().map(|entry| entry.id()).collect();
        let left = batch
            .into_iter()
            .enumerate()
            .filter(|(number, _)| !taken.contains(number.to_string().as_str()));
        Ok(left.map(|(_, message)| message).collect())
    }
}

/// Logs a message that its queue has accepted, under the trace that it continues. The line names
/// its order, or its subject if it is about another record.
fn log_sent(message: &Message) {
    let (subject, trace_id) = (message.subject(), message.trace().id());
    let is_order = OrderId::parse(subject).is_some();
    tracing::info!(
        r#type = "sent",
        message_type = message.kind,
        queue = message.queue,
        order_id = is_order.then_some(subject),
        subject = (!is_order).then_some(subject),
        message_id = message.id,
        delay_seconds = Some(message.delay.as_secs()).filter(|seconds| *seconds > 0),
        trace_id,
        "message sent"
    );
}

/// A serialized message for a queue.
struct Outgoing {
    body: String,
    /// `None` means without delay.
    delay_seconds: Option<i32>,
}

/// Escapes U+FFFE and U+FFFF in JSON, where they occur only in texts and the escapes are
/// equivalent. SQS always rejects a message that contains them, which would block the stream.
fn escape_noncharacters(body: String) -> String {
    if body.contains(['\u{fffe}', '\u{ffff}']) {
        body.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
    } else {
        body
    }
}

fn in_batches(outgoing: Vec<Outgoing>) -> Vec<Vec<Outgoing>> {
    let mut batches: Vec<Vec<Outgoing>> = Vec::new();
    let mut bytes = 0;
    for message in outgoing {
        match batches.last_mut() {
            Some(batch)
                if batch.len() < BATCH_ENTRIES && bytes + message.body.len() <= BATCH_BYTES =>
            {
                bytes += message.body.len();
                batch.push(message);
            }
            _ => {
                bytes = message.body.len();
                batches.push(vec![message]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{clock::Timestamp, ids::Ids, queue::MessageContext, telemetry::Trace};

    #[test]
    fn batches_respect_entry_and_byte_limits() {
        let sizes = |bodies: Vec<String>| {
            let outgoing = bodies.into_iter().map(|body| Outgoing { body, delay_seconds: None });
            in_batches(outgoing.collect()).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(vec!["x".to_owned(); 23]), [10, 10, 3]);
        assert_eq!(sizes(vec!["x".repeat(100_000); 5]), [2, 2, 1]);
        assert!(sizes(vec![]).is_empty());
    }

    #[test]
    fn sent_message_is_logged_with_its_order_and_its_trace() {
        let trace = Trace::start(&Ids::seeded(1));
        let message = |id: &str| {
            let context = MessageContext {
                service: "orders",
                id: id.to_owned(),
                version: 1,
                time: Timestamp::from_milliseconds(0),
                trace: trace.clone(),
            };
            Message::new(
                "reserve-stock",
                "reserve_stock.v1",
                &context,
                &json!({ "email": "ada@example.com" }),
            )
        };
        let order = "ord_0199c2a8-0000-7000-8000-0000000000f1";
        let lines = crate::telemetry::captured(|| {
            // The span of the stream's batch has no trace: each message has its own.
            tracing::info_span!("invocation", trace_id = "").in_scope(|| {
                log_sent(&message(order));
                log_sent(&message("prd_1").delayed_by(Duration::from_secs(5)));
            });
        });
        let [about_order, about_product] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(about_order["order_id"], order);
        assert_eq!(about_order["message_type"], "reserve_stock.v1");
        assert_eq!(about_order["queue"], "reserve-stock");
        assert_eq!(about_order["trace_id"], trace.id());
        assert_eq!((about_order.get("subject"), about_order.get("delay_seconds")), (None, None));
        assert_eq!(about_product["subject"], "prd_1");
        assert_eq!(about_product["delay_seconds"], 5);
        assert_eq!(about_product.get("order_id"), None);
        assert!(!json!(lines).to_string().contains("ada@example.com"), "{lines:?}");
    }

    #[test]
    fn restored_item_publishes_nothing() {
        let translate: Translate = Arc::new(|_, _| Err("translated".to_owned()));
        let record = |new: Value| {
            let record = serde_json::json!({ "eventName": "INSERT", "dynamodb": { "Keys": { "pk": { "S": "ORDER#1" } }, "NewImage": new } });
            publication_of(&record, StreamFilter::PartitionKeyPrefix("ORDER#"), &translate)
                .map(|publication| publication.messages.len())
        };
        assert_eq!(
            record(serde_json::json!({ "pk": { "S": "ORDER#1" } })),
            Err("translated".to_owned())
        );
        assert_eq!(
            record(serde_json::json!({ "pk": { "S": "ORDER#1" }, "restoring": { "BOOL": true } })),
            Ok(0)
        );
    }
}
