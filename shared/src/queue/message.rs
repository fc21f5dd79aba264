//! The envelope of every message, as it is sent and as it is read.

use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{clock::Timestamp, ids, telemetry::Trace};

/// A message on its way out: to which queue, and what.
///
/// On the wire it is a CloudEvents 1.0 document in JSON (<https://github.com/cloudevents/spec>,
/// extension `traceparent`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// The queue: that of the operation that consumes it, or of an event stream.
    #[serde(skip)]
    pub queue: &'static str,
    /// How long the queue keeps it back; at most 15 minutes.
    #[serde(skip)]
    pub delay: Duration,
    specversion: &'static str,
    /// The same for every copy of this message: it follows from what it says, about what, in which
    /// version.
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
pub struct MessageContext {
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
    /// The message of type `kind` about `context` for `queue`.
    ///
    /// # Panics
    /// When `data` is not JSON: a mistake in the program.
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
    /// The same once more, kept back by the queue for `delay`: for a recipient that may not have
    /// everything yet at the first delivery.
    #[must_use]
    pub fn delayed_by(&self, delay: Duration) -> Self {
        let id = ids::derive_uuid(&[&self.id, &delay.as_secs().to_string()]).to_string();
        Self { id, delay, ..self.clone() }
    }
}

/// A message as it is consumed, with the trace that it continues.
#[derive(Clone, Debug)]
pub struct Received<M> {
    pub message: M,
    /// The trace that led to it. What the consumer writes keeps it.
    pub trace: Trace,
    /// When the function is stopped, done or not.
    pub deadline: Timestamp,
}

/// What an operation consumes: a type that reads itself from an envelope's `type` and `data`.
pub trait FromMessage: Sized + Send + 'static {
    /// The message.
    ///
    /// # Errors
    /// When the type is unknown here or the data is not of its form. Unknown *fields* are no error:
    /// a sender may add some.
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage>;
}

/// A message that this consumer cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the message cannot be read: {0}")]
pub struct InvalidMessage(String);

impl InvalidMessage {
    /// A message of a type that the consumer does not know.
    pub fn unknown_type() -> Self {
        Self("its type is unknown here".to_owned())
    }

    /// A body that is not an envelope.
    pub(super) fn not_an_envelope() -> Self {
        Self("it is not an envelope".to_owned())
    }
}

/// Reads data as `M`, if the message is of type `expected`.
///
/// # Errors
/// When it is of another type or form.
pub fn read_as<M: DeserializeOwned>(
    expected: &str,
    kind: &str,
    data: Value,
) -> Result<M, InvalidMessage> {
    if kind != expected {
        return Err(InvalidMessage::unknown_type());
    }
    // The error of serde names fields and types, and may repeat a value: only its path is kept.
    serde_path_to_error::deserialize(data)
        .map_err(|error| InvalidMessage(format!("{kind} is malformed at {}", error.path())))
}

/// The parts of an envelope that consumers need.
#[derive(Deserialize)]
pub(super) struct Envelope {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub subject: String,
    pub data: Value,
    pub traceparent: Option<String>,
}
