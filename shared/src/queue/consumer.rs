//! The loop of a consumer: processes a batch and returns the ids of the records to retry.

mod lanes;

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use aws_lambda_events::{
    event::sqs::{SqsEvent, SqsMessage},
    sqs::{BatchItemFailure, SqsBatchResponse},
};
use serde_json::Value;
use tokio::task::JoinSet;
use tracing::Instrument;

use self::lanes::{Record, in_lanes};
use super::{
    message::{Envelope, FromMessage, InvalidMessage, Received},
    source::{self, Queue},
};
use crate::{
    BoxFuture,
    clock::{Clock, Timestamp},
    ids::Ids,
    lambda::{self, Failure, Invocation, Lambda, OperationName},
    metrics,
    table::TableError,
    telemetry::{self, Trace},
};

/// An error of an operation that consumes messages.
pub trait Retryable: std::error::Error + Send + Sync + 'static {
    /// Returns whether a retry may succeed. If not, the message goes to the dead-letter queue at
    /// once.
    fn is_retryable(&self) -> bool {
        true
    }
}

impl Retryable for TableError {}

/// Serves batches of messages with `operation`. An `Err` retries or rejects the message; see
/// [`Retryable`].
///
/// # Errors
/// If the Lambda runtime API fails.
pub fn run<S, M, E, F, Fut>(service: fn() -> S, operation: F) -> Result<(), lambda_http::Error>
where
    S: Send + Sync + 'static,
    M: FromMessage,
    E: Retryable,
    F: Fn(Arc<S>, Received<M>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
{
    lambda::serve(lambda(Arc::new(service()), operation, Queue::from_env()))
}

/// The function that [`run`] serves.
pub fn lambda<S, M, E, F, Fut>(service: Arc<S>, operation: F, queue: Queue) -> Lambda
where
    S: Send + Sync + 'static,
    M: FromMessage,
    E: Retryable,
    F: Fn(Arc<S>, Received<M>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
{
    let name = OperationName::of(&operation);
    let consume: Consume =
        Arc::new(move |envelope: Envelope, trace: Trace, deadline: Timestamp| {
            let (service, operation) = (service.clone(), operation.clone());
            Box::pin(async move {
                let message = M::from_message(&envelope.kind, envelope.data)
                    .map_err(ConsumeError::unreadable)?;
                operation(service, Received { message, trace, deadline })
                    .await
                    .map_err(|error| ConsumeError::of(&error))
            })
        });
    let consumer = Arc::new(Consumer { name, queue, consume, contends_for: M::contends_for });
    Arc::new(move |invocation| {
        let (service, batch) = (consumer.name.service, consumer.clone().process_batch(invocation));
        Box::pin(lambda::counted(service, batch))
    })
}

/// An operation, its queue, and what its messages contend for.
struct Consumer {
    name: OperationName,
    queue: Queue,
    consume: Consume,
    contends_for: fn(&Value) -> Vec<String>,
}

type Consume = Arc<
    dyn Fn(Envelope, Trace, Timestamp) -> BoxFuture<'static, Result<(), ConsumeError>>
        + Send
        + Sync,
>;

/// Why a record failed, as it is logged.
#[derive(Debug)]
enum ConsumeError {
    /// A retry may succeed.
    Transient(String),
    /// No retry can succeed.
    Permanent(String),
    /// The operation panicked, either once or every time.
    Panicked,
}

impl ConsumeError {
    fn unreadable(reason: InvalidMessage) -> Self {
        Self::Permanent(reason.to_string())
    }

    fn of(error: &impl Retryable) -> Self {
        let text = telemetry::causes(error);
        if error.is_retryable() { Self::Transient(text) } else { Self::Permanent(text) }
    }

    /// Returns the reason. A panic's message can contain a value, so it is not included.
    fn reason(&self) -> &str {
        match self {
            Self::Transient(reason) | Self::Permanent(reason) => reason,
            Self::Panicked => "the operation panicked",
        }
    }

    /// Returns whether a record is rejected at this number of receptions.
    fn rejects(&self, receive_count: u32) -> bool {
        match self {
            Self::Transient(_) => false,
            Self::Permanent(_) => true,
            Self::Panicked => receive_count >= MAX_PANICS,
        }
    }
}

/// Number of receptions at which a panic rejects the message.
const MAX_PANICS: u32 = 3;

/// Minimum time left to start another record.
const MIN_TIME_LEFT: Duration = Duration::from_millis(1500);

/// Messages that are retried for longer are counted (`MessageDelayed`). SQS's own age metric
/// ignores messages that were received three times ("Available CloudWatch metrics for Amazon SQS",
/// note on `ApproximateAgeOfOldestMessage`).
const DELAYED_AFTER: Duration = Duration::from_secs(3600);

impl Consumer {
    /// Processes the lanes of a batch concurrently, and the records of a lane in sequence.
    async fn process_batch(self: Arc<Self>, invocation: Invocation) -> Result<Value, Failure> {
        let batch: SqsEvent = serde_json::from_value(invocation.event)
            .map_err(|error| Failure::from_error("MalformedBatch", &error))?;
        // An empty or unknown id makes Lambda treat the whole batch as done or as failed. Failing
        // the batch is safer.
        let has_id =
            |record: &SqsMessage| record.message_id.as_deref().is_some_and(|id| !id.is_empty());
        if !batch.records.iter().all(has_id) {
            return Err(Failure::new("MalformedBatch", "a record has no messageId"));
        }
        if !batch.records.iter().all(|record| self.queue.is_source_of(record)) {
            return Err(Failure::new("UnexpectedQueue", "record from another queue"));
        }
        let ids: Vec<String> =
            batch.records.iter().filter_map(|record| record.message_id.clone()).collect();
        let mut running = JoinSet::new();
        for lane in in_lanes(batch.records.into_iter().map(Record::parse), self.contends_for) {
            let processed = self.clone().process_lane(lane, invocation.deadline);
            running.spawn(processed.in_current_span());
        }
        let failed: BTreeSet<String> = running.join_all().await.into_iter().flatten().collect();
        let mut answer = SqsBatchResponse::default();
        for id in ids.into_iter().filter(|id| failed.contains(id)) {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            answer.batch_item_failures.push(failure);
        }
        serde_json::to_value(answer)
            .map_err(|error| Failure::from_error("UnserializableResponse", &error))
    }

    /// Processes records in sequence. Returns the ids of those that must be retried.
    async fn process_lane(self: Arc<Self>, lane: Vec<Record>, deadline: Timestamp) -> Vec<String> {
        let mut failed = Vec::new();
        for record in lane {
            let id = record.message.message_id.clone().unwrap_or_default();
            let time_left = deadline.since(Clock::System.now());
            if time_left < MIN_TIME_LEFT || !self.process_record(record, deadline).await {
                failed.push(id);
            }
        }
        failed
    }

    /// Processes one record. Returns `false` if it must be retried.
    async fn process_record(&self, record: Record, deadline: Timestamp) -> bool {
        let started = Clock::System.now();
        let Record { message, envelope } = record;
        let trace = envelope
            .as_ref()
            .ok()
            .and_then(|envelope| Trace::parse(envelope.traceparent.as_deref()?));
        let trace = trace.unwrap_or_else(|| Trace::start(&Ids::System));
        let message_id = message.message_id.clone().unwrap_or_default();
        let span = self.name.span(&message_id, trace.id());
        let (kind, subject) = envelope
            .as_ref()
            .map(|envelope| (envelope.kind.clone(), envelope.subject.clone()))
            .unwrap_or_default();
        let outcome = match envelope {
            Err(invalid) => Err(ConsumeError::unreadable(invalid)),
            Ok(envelope) => {
                // A separate task, so that a panic fails this record and not the batch.
                let mut task = JoinSet::new();
                task.spawn((self.consume)(envelope, trace, deadline).instrument(span.clone()));
                match task.join_next().await {
                    Some(Ok(outcome)) => outcome,
                    _ => Err(ConsumeError::Panicked),
                }
            }
        };
        let milliseconds =
            |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let duration_ms = milliseconds(Clock::System.now().since(started));
        // Time from the sender's call to this reception, with all earlier receptions.
        let queued_ms = milliseconds(source::age(&message, started));
        let reception = source::receive_count(&message);
        span.in_scope(|| match &outcome {
            Ok(()) => {
                tracing::info!(
                    r#type = "message",
                    message_type = kind,
                    subject,
                    reception,
                    queued_ms,
                    duration_ms,
                    "message processed"
                )
            }
            Err(ConsumeError::Transient(cause)) => {
                tracing::warn!(
                    r#type = "message",
                    message_type = kind,
                    subject,
                    reception,
                    queued_ms,
                    duration_ms,
                    error = cause,
                    "message returned to the queue for a retry"
                );
            }
            Err(error) => {
                tracing::error!(
                    r#type = "message",
                    message_type = kind,
                    subject,
                    reception,
                    queued_ms,
                    duration_ms,
                    error = error.reason(),
                    "message rejected, moved to the dead-letter queue"
                );
                metrics::POISON_MESSAGE.of(self.name.service).increment();
            }
        });
        match outcome {
            Ok(()) => true,
            Err(error) => self.reject_or_retry(&message, &error).instrument(span).await,
        }
    }

    /// Rejects a failed record, or delays its next attempt. Returns `false` if it must be retried.
    async fn reject_or_retry(&self, record: &SqsMessage, error: &ConsumeError) -> bool {
        if error.rejects(source::receive_count(record)) {
            match self.queue.reject(record, error.reason(), &self.name.operation).await {
                Ok(()) => {
                    tracing::info!("message sent to the dead-letter queue");
                    return true;
                }
                Err(failure) => tracing::error!(
                    error = failure.message,
                    "message not sent to the dead-letter queue, it is retried"
                ),
            }
        }
        if source::age(record, Clock::System.now()) > DELAYED_AFTER {
            metrics::MESSAGE_DELAYED.of(self.name.service).increment();
        }
        self.queue.retry_later(record).await;
        false
    }
}

#[cfg(test)]
mod tests;
