//! The loop of a consumer: processes a batch and returns the ids of the records to retry.

use std::{future::Future, sync::Arc, time::Duration};

use aws_lambda_events::{
    event::sqs::{SqsEvent, SqsMessage},
    sqs::{BatchItemFailure, SqsBatchResponse},
};
use serde_json::Value;
use tracing::Instrument;

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
    let queue = Arc::new(queue);
    Arc::new(move |invocation| {
        let batch = process_batch(name.clone(), queue.clone(), consume.clone(), invocation);
        Box::pin(lambda::counted(name.service, batch))
    })
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

async fn process_batch(
    name: OperationName,
    queue: Arc<Queue>,
    consume: Consume,
    invocation: Invocation,
) -> Result<Value, Failure> {
    let batch: SqsEvent = serde_json::from_value(invocation.event)
        .map_err(|error| Failure::from_error("MalformedBatch", &error))?;
    // An empty or unknown id makes Lambda treat the whole batch as done or as failed. Failing the
    // batch is safer.
    let has_id =
        |record: &SqsMessage| record.message_id.as_deref().is_some_and(|id| !id.is_empty());
    if !batch.records.iter().all(has_id) {
        return Err(Failure::new("MalformedBatch", "a record has no messageId"));
    }
    if !batch.records.iter().all(|record| queue.is_source_of(record)) {
        return Err(Failure::new("UnexpectedQueue", "record from another queue"));
    }
    let mut answer = SqsBatchResponse::default();
    for record in batch.records {
        let id = record.message_id.clone().unwrap_or_default();
        let time_left = invocation.deadline.since(Clock::System.now());
        if time_left < MIN_TIME_LEFT
            || !process_record(&name, &queue, &consume, record, invocation.deadline).await
        {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            answer.batch_item_failures.push(failure);
        }
    }
    serde_json::to_value(answer)
        .map_err(|error| Failure::from_error("UnserializableResponse", &error))
}

/// Processes one record. Returns `false` if it must be retried.
async fn process_record(
    name: &OperationName,
    queue: &Queue,
    consume: &Consume,
    record: SqsMessage,
    deadline: Timestamp,
) -> bool {
    let started = Clock::System.now();
    let envelope = serde_json::from_str::<Envelope>(record.body.as_deref().unwrap_or_default());
    let trace =
        envelope.as_ref().ok().and_then(|envelope| Trace::parse(envelope.traceparent.as_deref()?));
    let trace = trace.unwrap_or_else(|| Trace::start(&Ids::System));
    let message_id = record.message_id.clone().unwrap_or_default();
    let span = name.span(&message_id, trace.id());
    let (kind, subject) = envelope
        .as_ref()
        .map(|envelope| (envelope.kind.clone(), envelope.subject.clone()))
        .unwrap_or_default();
    let outcome = match envelope {
        Err(_) => Err(ConsumeError::unreadable(InvalidMessage::not_an_envelope())),
        // A separate task, so that a panic fails this record and not the batch.
        Ok(envelope) => {
            match tokio::spawn(consume(envelope, trace, deadline).instrument(span.clone())).await {
                Ok(outcome) => outcome,
                Err(_) => Err(ConsumeError::Panicked),
            }
        }
    };
    let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let duration_ms = milliseconds(Clock::System.now().since(started));
    // Time from the sender's call to this reception, with all earlier receptions.
    let queued_ms = milliseconds(source::age(&record, started));
    let reception = source::receive_count(&record);
    span.in_scope(|| match &outcome {
        Ok(()) => {
            tracing::info!(
                r#type = "message",
                message_type = kind,
                subject,
                reception,
                queued_ms,
                duration_ms,
                "done"
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
                "poison"
            );
            metrics::POISON_MESSAGE.of(name.service).increment();
        }
    });
    match outcome {
        Ok(()) => true,
        Err(error) => reject_or_retry(name, queue, &record, &error).instrument(span).await,
    }
}

/// Rejects a failed record, or delays its next attempt. Returns `false` if it must be retried.
async fn reject_or_retry(
    name: &OperationName,
    queue: &Queue,
    record: &SqsMessage,
    error: &ConsumeError,
) -> bool {
    if error.rejects(source::receive_count(record)) {
        match queue.reject(record, error.reason(), &name.operation).await {
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
        metrics::MESSAGE_DELAYED.of(name.service).increment();
    }
    queue.retry_later(record).await;
    false
}

#[cfg(test)]
mod tests;
