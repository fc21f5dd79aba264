//! SQS in memory: queues by name, with the operations that Ferrocart uses.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use crate::template::ACCOUNT;

#[derive(Default)]
pub struct Sqs {
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    queues: BTreeMap<String, VecDeque<QueuedMessage>>,
    sent: usize,
}

impl Clone for Sqs {
    fn clone(&self) -> Self {
        Self { state: Mutex::new(self.lock().clone()) }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct QueuedMessage {
    /// Its id, unique across all queues.
    pub id: String,
    pub body: String,
    /// How often a consumer received it.
    pub receives: u32,
    /// The delay that its sender set. It does not elapse here: delayed messages are delivered after
    /// all others.
    pub delay_seconds: u64,
    /// The message attributes that its sender set.
    pub attributes: BTreeMap<String, String>,
}

impl QueuedMessage {
    /// The envelope.
    ///
    /// # Panics
    /// If the body is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a message is JSON")
    }
}

pub fn url(queue: &str) -> String {
    format!("http://aws.test/{ACCOUNT}/{}", full_name(queue))
}

pub fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:{}:{ACCOUNT}:{}", crate::template::REGION, full_name(queue))
}

fn full_name(queue: &str) -> String {
    format!("{}-{queue}", crate::template::STACK)
}

impl Sqs {
    pub(crate) fn call(&self, operation: &str, request: &Value) -> (u16, String) {
        let queue =
            request["QueueUrl"].as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
        let queue = queue.strip_prefix("ferrocart-").unwrap_or(queue);
        match operation {
            "SendMessageBatch" => {
                let entries = request["Entries"].as_array().cloned().unwrap_or_default();
                let sent = entries.iter().map(|entry| {
                    let delay_seconds = entry["DelaySeconds"].as_u64().unwrap_or_default();
                    let id = self.send_later(queue, entry["MessageBody"].as_str().unwrap_or_default(), delay_seconds);
                    json!({ "Id": entry["Id"], "MessageId": id, "MD5OfMessageBody": "" })
                });
                (200, json!({ "Successful": sent.collect::<Vec<_>>(), "Failed": [] }).to_string())
            }
            "SendMessage" => {
                let attributes = request["MessageAttributes"].as_object().into_iter().flatten();
                let text = |value: &Value| value["StringValue"].as_str().unwrap_or_default().to_owned();
                let attributes = attributes.map(|(name, value)| (name.clone(), text(value))).collect();
                let id = self.put(queue, request["MessageBody"].as_str().unwrap_or_default(), 0, attributes);
                (200, json!({ "MessageId": id, "MD5OfMessageBody": "" }).to_string())
            }
            "GetQueueAttributes" => {
                let attributes = json!({
                    "ApproximateNumberOfMessages": self.waiting(queue).len().to_string(),
                    "ApproximateNumberOfMessagesNotVisible": "0",
                    "ApproximateNumberOfMessagesDelayed": "0",
                });
                (200, json!({ "Attributes": attributes }).to_string())
            }
            "ChangeMessageVisibility" => (200, "{}".to_owned()),
            other => (400, json!({ "__type": "InvalidAction", "message": format!("{other} is not supported") }).to_string()),
        }
    }

    /// Sends a message to a queue (named without the stack name) and returns its id.
    pub fn send(&self, queue: &str, body: &str) -> String {
        self.send_later(queue, body, 0)
    }

    /// Like [`Sqs::send`], with a delay.
    pub fn send_later(&self, queue: &str, body: &str, delay_seconds: u64) -> String {
        self.put(queue, body, delay_seconds, BTreeMap::new())
    }

    fn put(
        &self,
        queue: &str,
        body: &str,
        delay_seconds: u64,
        attributes: BTreeMap<String, String>,
    ) -> String {
        let mut state = self.lock();
        state.sent += 1;
        let id = format!("message-{}", state.sent);
        let message =
            QueuedMessage { id, body: body.to_owned(), receives: 0, delay_seconds, attributes };
        let id = message.id.clone();
        state.queues.entry(queue.to_owned()).or_default().push_back(message);
        id
    }

    pub fn waiting(&self, queue: &str) -> Vec<QueuedMessage> {
        self.lock()
            .queues
            .get(queue)
            .map(|messages| messages.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// The number of messages in a queue.
    pub fn count(&self, queue: &str) -> usize {
        self.lock().queues.get(queue).map_or(0, VecDeque::len)
    }

    /// Takes one message from a queue.
    ///
    /// # Panics
    /// If the queue has no message with this number.
    pub fn take_one(&self, queue: &str, number: usize) -> QueuedMessage {
        let mut state = self.lock();
        let messages = state.queues.get_mut(queue);
        messages.and_then(|messages| messages.remove(number)).expect("a message with this number")
    }

    /// Takes up to `most` messages from a queue; delayed ones come last.
    pub fn take(&self, queue: &str, most: usize) -> Vec<QueuedMessage> {
        self.take_within(queue, most, u64::MAX)
    }

    /// Like [`Sqs::take`], but messages with a delay above `delay_seconds` stay.
    pub fn take_within(&self, queue: &str, most: usize, delay_seconds: u64) -> Vec<QueuedMessage> {
        let mut state = self.lock();
        let messages = state.queues.entry(queue.to_owned()).or_default();
        messages.make_contiguous().sort_by_key(|message| message.delay_seconds);
        let many = messages
            .iter()
            .take_while(|message| message.delay_seconds <= delay_seconds)
            .count()
            .min(most);
        messages.drain(..many).collect()
    }

    /// Ends the visibility timeout of a received message, which the queue then delivers again.
    pub fn make_visible(&self, queue: &str, mut message: QueuedMessage) {
        message.receives += 1;
        self.lock().queues.entry(queue.to_owned()).or_default().push_back(message);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
