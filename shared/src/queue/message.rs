//! The envelope of every message, as it is sent and received.

use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{clock::Timestamp, ids, telemetry::Trace};

/// A message to send, with its queue.
///
/// On the wire it is a CloudEvents 1.0 document in JSON (<https://github.com/cloudevents/spec>,
/// extension `traceparent`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// Queue of the consuming operation, or of an event stream.
    #[serde(skip)]
    pub queue: &'static str,
    /// Delivery delay of the queue, at most 15 minutes.
    #[serde(skip)]
    pub delay: Duration,
    specversion: &'static str,
    /// Derived from service, subject, version, type and queue, so that a redelivery has the same
    /// id. A delayed copy has another one.
    pub id: String,
    source: String,
    /// Event or command, with the version of its schema: `stock_reserved.v1`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    time: Timestamp,
    subject: String,
    dataschema: String,
    datacontenttype: &'static str,
    traceparent: Trace,
    pub data: Value,
}

/// The record whose change a message reports.
#[derive(Clone, Debug)]
pub struct MessageContext {
    /// Service that owns the record, such as `orders`.
    pub service: &'static str,
    pub id: String,
    /// A number that differs for each change of the record that is published.
    pub version: u64,
    /// When the record changed.
    pub time: Timestamp,
    /// Trace of the request or message that changed it.
    pub trace: Trace,
}

impl Message {
    /// Creates the message of type `kind` about `context` for `queue`.
    ///
    /// # Panics
    /// If `data` cannot be serialized: a programming error.
    pub fn new(
        queue: &'static str,
        kind: &'static str,
        context: &MessageContext,
        data: &impl Serialize,
    ) -> Self {
        let id = ids::derive_uuid(&[
            context.service,
            &context.id,
            &context.version.to_string(),
            kind,
            queue,
        ]);
        Self {
            queue,
            delay: Duration::ZERO,
            specversion: "1.0",
            id: id.to_string(),
            source: format!("/ferrocart/{}", context.service),
            kind,
            time: context.time,
            subject: context.id.clone(),
            dataschema: format!("https://ferrocart.dev/schemas/{kind}.json"),
            datacontenttype: "application/json",
            traceparent: context.trace.clone(),
            data: serde_json::to_value(data).expect("a message is JSON"),
        }
    }
}

impl Message {
    /// Returns the id of the record whose change the message reports.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the trace that the message continues.
    pub fn trace(&self) -> &Trace {
        &self.traceparent
    }

    /// Copies the message with a delivery delay, for a recipient that may not yet have the data
    /// that it needs at the first delivery.
    #[must_use]
    pub fn delayed_by(&self, delay: Duration) -> Self {
        let id = ids::derive_uuid(&[&self.id, &delay.as_secs().to_string()]).to_string();
        Self { id, delay, ..self.clone() }
    }
}

/// A received message, with the trace that it continues.
#[derive(Clone, Debug)]
pub struct Received<M> {
    pub message: M,
    /// Trace of the sender. The consumer stores it in the records that it writes.
    pub trace: Trace,
    /// Time at which Lambda stops the function.
    pub deadline: Timestamp,
}

/// A type that a consumer parses from an envelope's `type` and `data`.
pub trait FromMessage: Sized + Send + 'static {
    /// Parses the message.
    ///
    /// # Errors
    /// If the type is unknown to this consumer or `data` does not match its schema. Unknown
    /// *fields* are accepted, because senders may add some.
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage>;

    /// Names what a message with this `data` contends for, besides its subject: items that other
    /// messages write as well, or a rate limit. Messages of a batch with a common name are
    /// processed in sequence, all others concurrently.
    fn contends_for(_data: &Value) -> Vec<String> {
        Vec::new()
    }
}

/// A message that this consumer cannot parse.
#[derive(Debug, thiserror::Error)]
#[error("the message cannot be read: {0}")]
pub struct InvalidMessage(String);

impl InvalidMessage {
    /// The consumer does not know the message type.
    pub fn unknown_type() -> Self {
        Self("its type is unknown here".to_owned())
    }

    /// The body is not an envelope.
    pub(super) fn not_an_envelope() -> Self {
        Self("it is not an envelope".to_owned())
    }
}

/// Parses `data` as `M` if the message is of type `expected`.
///
/// # Errors
/// If the type differs or `data` does not match it.
pub fn read_as<M: DeserializeOwned>(
    expected: &str,
    kind: &str,
    data: Value,
) -> Result<M, InvalidMessage> {
    if kind != expected {
        return Err(InvalidMessage::unknown_type());
    }
    // serde's message can contain a value, so only its path is kept.
    serde_path_to_error::deserialize(data)
        .map_err(|error| InvalidMessage(format!("{kind} is malformed at {}", error.path())))
}

/// The fields of an envelope that consumers need.
#[derive(Deserialize)]
pub(super) struct Envelope {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub subject: String,
    pub data: Value,
    pub traceparent: Option<String>,
}
