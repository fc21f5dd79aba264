//! Consumers of SQS, and the envelope of every message.
//!
//! A batch is worked off record by record. A record that fails, cannot be read or panics is reported by its id and comes back later;
//! the others are done. What comes back too often ends in the queue's dead-letter queue.

use std::{
    fmt::Debug,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_lambda_events::{
    event::sqs::{SqsEvent, SqsMessage},
    sqs::{BatchItemFailure, SqsBatchResponse},
};
use aws_sdk_sqs::Client;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::Instrument;

use crate::{
    BoxFuture, aws,
    clock::{Clock, Timestamp},
    config,
    ids::{self, Ids},
    lambda::{self, Failure, Invocation, Lambda, OperationName},
    retry,
    telemetry::{self, Trace},
};

/// A message on its way out: to which queue, and what.
///
/// On the wire it is a CloudEvents 1.0 document in JSON (<https://github.com/cloudevents/spec>, extension `traceparent`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// The queue: that of the operation that consumes it, or of an event stream.
    #[serde(skip)]
    pub queue: &'static str,
    /// How long the queue keeps it back; at most 15 minutes.
    #[serde(skip)]
    pub delay: Duration,
    specversion: &'static str,
    /// The same for every copy of this message: it follows from what it says, about what, in which version.
    pub id: String,
    source: String,
    /// What happened or is to be done, with the version of its form: `stock_reserved.v1`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    time: Timestamp,
    subject: String,
    dataschema: String,
    datacontenttype: &'static str,
    traceparent: Trace,
    /// The message itself.
    pub data: Value,
}

/// What a message is about: the record whose change it reports.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The service that owns the record: `orders`.
    pub service: &'static str,
    /// The record's id.
    pub id: String,
    /// Something that differs for each change of the record that sends messages.
    pub version: u64,
    /// When it changed.
    pub time: Timestamp,
    /// The trace that changed it.
    pub trace: Trace,
}

impl Message {
    /// The message of type `kind` about `subject` for `queue`.
    ///
    /// # Panics
    /// When `data` is not JSON: a mistake in the program.
    pub fn new(queue: &'static str, kind: &'static str, subject: &Subject, data: &impl Serialize) -> Self {
        let id = ids::derive_uuid(&[subject.service, &subject.id, &subject.version.to_string(), kind, queue]);
        Self {
            queue,
            delay: Duration::ZERO,
            specversion: "1.0",
            id: id.to_string(),
            source: format!("/ferrocart/{}", subject.service),
            kind,
            time: subject.time,
            subject: subject.id.clone(),
            dataschema: format!("https://ferrocart.dev/schemas/{kind}.json"),
            datacontenttype: "application/json",
            traceparent: subject.trace.clone(),
            data: serde_json::to_value(data).expect("a message is JSON"),
        }
    }
}

impl Message {
    /// The same once more, kept back by the queue for `delay`: for what may not be complete yet when it is told the first time.
    #[must_use]
    pub fn after(&self, delay: Duration) -> Self {
        let id = ids::derive_uuid(&[&self.id, &delay.as_secs().to_string()]).to_string();
        Self { id, delay, ..self.clone() }
    }
}

/// A message as it is consumed, with the trace that it goes on with.
#[derive(Clone, Debug)]
pub struct Delivery<M> {
    /// The message.
    pub message: M,
    /// The trace that led to it. What the consumer writes keeps it.
    pub trace: Trace,
    /// When the function is stopped, done or not.
    pub deadline: Timestamp,
}

/// What an operation consumes: a type that reads itself from an envelope's `type` and `data`.
pub trait Consumed: Sized + Send + 'static {
    /// The message.
    ///
    /// # Errors
    /// When the type is unknown here or the data is not of its form. Unknown *fields* are no error: a sender may add some.
    fn read(kind: &str, data: Value) -> Result<Self, Unreadable>;
}

/// A message that this consumer cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the message cannot be read: {0}")]
pub struct Unreadable(String);

impl Unreadable {
    /// A message of a type that the consumer does not know.
    pub fn unknown_type() -> Self {
        Self("its type is unknown here".to_owned())
    }
}

/// Reads data as `M`, if the message is of type `expected`.
///
/// # Errors
/// When it is of another type or form.
pub fn read_as<M: DeserializeOwned>(expected: &str, kind: &str, data: Value) -> Result<M, Unreadable> {
    if kind != expected {
        return Err(Unreadable::unknown_type());
    }
    // The error of serde names fields and types, and may repeat a value: only its class goes on.
    serde_path_to_error::deserialize(data).map_err(|error| Unreadable(format!("{kind} is malformed at {}", error.path())))
}

/// The parts of an envelope that consumers need.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    subject: String,
    data: Value,
    traceparent: Option<String>,
}

/// Serves batches of messages with `operation`. `Err` gives the message back.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn run<S, M, E, F, Fut>(service: fn() -> S, operation: F) -> Result<(), lambda_http::Error>
where
    S: Send + Sync + 'static,
    M: Consumed,
    E: std::error::Error + Send + Sync + 'static,
    F: Fn(Arc<S>, Delivery<M>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
{
    lambda::serve(lambda(Arc::new(service()), operation, Queue::from_env()))
}

/// The function that [`run`] serves.
pub fn lambda<S, M, E, F, Fut>(service: Arc<S>, operation: F, queue: Queue) -> Lambda
where
    S: Send + Sync + 'static,
    M: Consumed,
    E: std::error::Error + Send + Sync + 'static,
    F: Fn(Arc<S>, Delivery<M>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
{
    let name = OperationName::of(&operation);
    let consume: Consume = Arc::new(move |envelope: Envelope, trace: Trace, deadline: Timestamp| {
        let message = M::read(&envelope.kind, envelope.data);
        let (service, operation) = (service.clone(), operation.clone());
        Box::pin(async move {
            let delivery = Delivery { message: message.map_err(Trouble::Unreadable)?, trace, deadline };
            operation(service, delivery).await.map_err(|error| Trouble::GivenBack(telemetry::causes(&error)))
        })
    });
    let queue = Arc::new(queue);
    Arc::new(move |invocation| Box::pin(work_off(name.clone(), queue.clone(), consume.clone(), invocation)))
}

type Consume = Arc<dyn Fn(Envelope, Trace, Timestamp) -> BoxFuture<'static, Result<(), Trouble>> + Send + Sync>;

#[derive(Debug)]
enum Trouble {
    Unreadable(Unreadable),
    GivenBack(String),
    Panicked,
}

/// The queue that a consumer is fed from.
pub struct Queue {
    url: String,
    client: OnceLock<Client>,
}

impl Queue {
    /// The queue that `QUEUE_URL` names.
    pub fn from_env() -> Self {
        Self::new(config::required("QUEUE_URL"))
    }

    /// The queue at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), client: OnceLock::new() }
    }

    /// Whether a record says that it comes from this queue: account and name must agree.
    fn is_source_of(&self, record: &SqsMessage) -> bool {
        let arn = record.event_source_arn.as_deref().unwrap_or_default();
        let from_arn = arn.rsplitn(3, ':').take(2).collect::<Vec<_>>();
        let from_url = self.url.rsplitn(3, '/').take(2).collect::<Vec<_>>();
        from_arn == from_url
    }

    /// Lets a record come back after a random wait that grows with the number of its tries, instead of after the whole visibility
    /// timeout. If this fails it comes back all the same, later.
    async fn return_later(&self, record: &SqsMessage) {
        let Some(receipt) = &record.receipt_handle else { return };
        let receives: u32 = record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
        let wait = retry::full_jitter(receives, FIRST_RETURN, LATEST_RETURN);
        let client = self.client.get_or_init(|| Client::new(&aws::sdk_config()));
        let seconds = i32::try_from(wait.as_secs().max(1)).unwrap_or(900);
        let call = client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt).visibility_timeout(seconds);
        if let Err(error) = call.send().await {
            tracing::warn!(error = telemetry::causes(&error), "the message comes back only after its visibility timeout");
        }
    }
}

/// A record that is given back comes again after up to twice this, then up to twice as long each time: ten tries take about a quarter of
/// an hour, so that a short trouble with a table or the mail does not end among the dead letters.
const FIRST_RETURN: Duration = Duration::from_secs(2);
const LATEST_RETURN: Duration = Duration::from_secs(900);

/// What must be left of an invocation's time for another record to be begun.
const ENOUGH_TIME: Duration = Duration::from_millis(1500);

async fn work_off(name: OperationName, queue: Arc<Queue>, consume: Consume, invocation: Invocation) -> Result<Value, Failure> {
    let batch: SqsEvent = serde_json::from_value(invocation.event).map_err(|error| Failure::because("MalformedBatch", &error))?;
    // An empty or unknown identifier makes Lambda take the whole batch for done or failed: better to fail it here.
    let has_id = |record: &SqsMessage| record.message_id.as_deref().is_some_and(|id| !id.is_empty());
    if !batch.records.iter().all(has_id) {
        return Err(Failure::new("MalformedBatch", "a record has no messageId"));
    }
    if !batch.records.iter().all(|record| queue.is_source_of(record)) {
        return Err(Failure::new("ForeignQueue", "a record comes from another queue than this function's"));
    }
    let mut answer = SqsBatchResponse::default();
    for record in batch.records {
        let id = record.message_id.clone().unwrap_or_default();
        let time_left = invocation.deadline.since(Clock::System.now());
        if time_left < ENOUGH_TIME || !work_off_one(&name, &queue, &consume, record, invocation.deadline).await {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            answer.batch_item_failures.push(failure);
        }
    }
    serde_json::to_value(answer).map_err(|error| Failure::because("UnwritableAnswer", &error))
}

/// Works off one record; `false` if it has to come back.
async fn work_off_one(name: &OperationName, queue: &Queue, consume: &Consume, record: SqsMessage, deadline: Timestamp) -> bool {
    let started = Clock::System.now();
    let envelope = serde_json::from_str::<Envelope>(record.body.as_deref().unwrap_or_default());
    let trace = envelope.as_ref().ok().and_then(|envelope| Trace::parse(envelope.traceparent.as_deref()?));
    let trace = trace.unwrap_or_else(|| Trace::start(&Ids::System));
    let message_id = record.message_id.clone().unwrap_or_default();
    let span = name.span(&message_id, trace.id());
    let (kind, subject) = envelope.as_ref().map(|envelope| (envelope.kind.clone(), envelope.subject.clone())).unwrap_or_default();
    let outcome = match envelope {
        Err(_) => Err(Trouble::Unreadable(Unreadable("it is not an envelope".to_owned()))),
        // A task of its own, so that a panic ends this record and not the batch.
        Ok(envelope) => match tokio::spawn(consume(envelope, trace, deadline).instrument(span.clone())).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Trouble::Panicked),
        },
    };
    let duration_ms = u64::try_from(Clock::System.now().since(started).as_millis()).unwrap_or(u64::MAX);
    let logged = span.in_scope(|| match &outcome {
        Ok(()) => {
            tracing::info!(r#type = "message", message_type = kind, subject, duration_ms, "done");
            true
        }
        Err(Trouble::GivenBack(cause)) => {
            tracing::warn!(r#type = "message", message_type = kind, subject, duration_ms, error = cause, "given back");
            false
        }
        Err(trouble @ (Trouble::Unreadable(_) | Trouble::Panicked)) => {
            let error = match trouble {
                Trouble::Unreadable(reason) => reason.to_string(),
                _ => "the operation panicked".to_owned(),
            };
            tracing::error!(r#type = "message", message_type = kind, subject, duration_ms, error, "poison");
            telemetry::count("PoisonMessage", name.service, &Clock::System);
            false
        }
    });
    if !logged {
        queue.return_later(&record).instrument(span).await;
    }
    logged
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ARN: &str = "arn:aws:sqs:us-east-1:000000000000:ferrocart-count-words";

    #[derive(Deserialize)]
    struct CountWords {
        words: u32,
    }

    impl Consumed for CountWords {
        fn read(kind: &str, data: Value) -> Result<Self, Unreadable> {
            read_as("count_words.v1", kind, data)
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("not now")]
    struct NotNow;

    async fn count_words(_: Arc<()>, delivery: Delivery<CountWords>) -> Result<(), NotNow> {
        assert_ne!(delivery.message.words, 13, "thirteen is too much");
        if delivery.message.words == 7 { Err(NotNow) } else { Ok(()) }
    }

    fn consumer() -> Lambda {
        // Nothing listens here: the wait of a returned message cannot be changed, which must not matter.
        let config = aws_sdk_sqs::Config::builder().behavior_version_latest().build();
        let queue = Queue::new("http://127.0.0.1:9/000000000000/ferrocart-count-words");
        let _ = queue.client.set(Client::from_conf(config));
        lambda(Arc::new(()), count_words, queue)
    }

    fn record(id: &str, body: &str) -> Value {
        json!({ "messageId": id, "body": body, "eventSourceARN": ARN })
    }

    fn words(count: impl Serialize) -> String {
        json!({ "type": "count_words.v1", "data": { "words": count } }).to_string()
    }

    async fn failed_ids(records: Vec<Value>) -> Vec<String> {
        let answer = consumer()(Invocation::with_event(json!({ "Records": records }))).await.expect("the batch is answered");
        let failures = answer["batchItemFailures"].as_array().expect("a list").clone();
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().expect("an id").to_owned()).collect()
    }

    #[tokio::test]
    async fn one_bad_record_in_ten_delays_none_of_the_nine() {
        let too_big = "x".repeat(1 << 20);
        let bad_bodies = [
            String::new(),
            "not json".to_owned(),
            "[]".to_owned(),
            "\u{0}\u{1}".to_owned(),
            too_big,
            words("three"),
            json!({ "type": "count_words.v2", "data": { "words": 1 } }).to_string(),
            json!({ "type": "unknown.v1", "data": {} }).to_string(),
            words(7),
            words(13),
        ];
        for body in &bad_bodies {
            for position in 0..10 {
                let records =
                    (0..10).map(|i| record(&format!("m{i}"), if i == position { body } else { &*Box::leak(words(1).into_boxed_str()) }));
                assert_eq!(failed_ids(records.collect()).await, [format!("m{position}")], "{}", &body[..body.len().min(60)]);
            }
        }
    }

    #[tokio::test]
    async fn an_empty_batch_is_done_and_a_malformed_one_fails_whole() {
        assert!(failed_ids(vec![]).await.is_empty());
        let consumer = consumer();
        for event in [
            json!({}),
            json!({ "Records": [{ "body": words(1), "eventSourceARN": ARN }] }),
            json!({ "Records": [{ "messageId": "", "body": words(1), "eventSourceARN": ARN }] }),
            json!({ "Records": [{ "messageId": "m", "body": words(1), "eventSourceARN": format!("{ARN}-of-another") }] }),
        ] {
            assert!(consumer(Invocation::with_event(event)).await.is_err());
        }
    }

    #[tokio::test]
    async fn without_time_the_rest_of_the_batch_comes_back() {
        let mut invocation = Invocation::with_event(json!({ "Records": [record("a", &words(1)), record("b", &words(1))] }));
        invocation.deadline = Clock::System.now();
        let answer = consumer()(invocation).await.expect("the batch is answered");
        assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "a" }, { "itemIdentifier": "b" }] }));
    }
}
