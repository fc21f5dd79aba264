//! The way of a change: from a table's stream through its publisher into queues, and from the
//! queues into their consumers.
//!
//! In this order, over and over until nothing moves: a whole order can be driven in one process,
//! step by step, without a clock. What is to be kept back for a while comes when nothing else moves
//! any more.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::lambda::Lambda;

use crate::{aws::Aws, events, sqs::QueuedMessage};

/// How often a message is given to its consumer before SQS moves it to the dead-letter queue. What
/// a consumer rejects it sends there itself.
const MOST_RECEIVES: u32 = 5;
/// More rounds than any order needs.
const MOST_ROUNDS: usize = 200;

/// The publishers and consumers of a world.
pub struct Harness {
    aws: Aws,
    publishers: Vec<Publisher>,
    consumers: BTreeMap<&'static str, Lambda>,
    /// Every message that a consumer was given, in order: the queue, and the envelope.
    pub delivered: Vec<(&'static str, Value)>,
}

struct Publisher {
    table: &'static str,
    lambda: Lambda,
    position: Option<String>,
}

impl Harness {
    /// A harness that moves nothing yet.
    pub fn new(aws: &Aws) -> Self {
        Self {
            aws: aws.clone(),
            publishers: Vec::new(),
            consumers: BTreeMap::new(),
            delivered: Vec::new(),
        }
    }

    /// Gives the changes of a table to `lambda`.
    #[must_use]
    pub fn publisher(mut self, table: &'static str, lambda: Lambda) -> Self {
        self.publishers.push(Publisher { table, lambda, position: None });
        self
    }

    /// Gives the messages of a queue to `lambda`.
    #[must_use]
    pub fn consumer(mut self, queue: &'static str, lambda: Lambda) -> Self {
        self.consumers.insert(queue, lambda);
        self
    }

    /// Stops the consumer of a queue; its messages wait until [`Harness::start`].
    ///
    /// # Panics
    /// When the queue has no consumer.
    pub fn stop(&mut self, queue: &str) -> Lambda {
        self.consumers.remove(queue).unwrap_or_else(|| panic!("{queue} has no consumer"))
    }

    /// Starts the consumer of a queue.
    pub fn start(&mut self, queue: &'static str, lambda: Lambda) {
        self.consumers.insert(queue, lambda);
    }

    /// Moves changes and messages until all are processed.
    ///
    /// # Panics
    /// When they never come to an end, or when a publisher fails.
    pub async fn drain_queues(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let published = self.publish().await;
            let consumed = self.consume().await;
            if !published && !consumed && !self.consume_within(u64::MAX).await {
                return;
            }
        }
        let last: Vec<_> = self
            .delivered
            .iter()
            .rev()
            .take(10)
            .map(|(queue, message)| format!("{queue}: {}", message["type"]))
            .collect();
        panic!(
            "after {MOST_ROUNDS} rounds there are still messages under way; the last ones: {last:#?}"
        );
    }

    /// Gives each publisher the changes of its table; whether there were any.
    ///
    /// # Panics
    /// When a publisher fails.
    pub async fn publish(&mut self) -> bool {
        let mut any = false;
        for publisher in &mut self.publishers {
            let table = format!("{}-{}", crate::template::STACK, publisher.table);
            let (records, position) =
                self.aws.database().changes(&table, publisher.position.take());
            publisher.position = Some(position);
            if !records.is_empty() {
                any = true;
                let called = self
                    .aws
                    .call(&publisher.lambda, serde_json::json!({ "Records": records }))
                    .await;
                assert!(
                    called.answer.is_ok(),
                    "the publisher of {} failed: {:?}",
                    publisher.table,
                    called.answer
                );
            }
        }
        any
    }

    /// Gives each consumer what waits in its queue and is not kept back; whether anything did. What
    /// fails comes back, and in the end goes to the dead letters.
    ///
    /// # Panics
    /// When a consumer does not answer its batch.
    pub async fn consume(&mut self) -> bool {
        self.consume_within(0).await
    }

    async fn consume_within(&mut self, delay_seconds: u64) -> bool {
        let mut any = false;
        for (queue, lambda) in &self.consumers {
            let messages = self.aws.queues().take_within(queue, 10, delay_seconds);
            if messages.is_empty() {
                continue;
            }
            any = true;
            self.delivered.extend(messages.iter().map(|message| (*queue, message.json())));
            let called = self.aws.call(lambda, events::sqs(queue, &messages)).await;
            let failed = called.ok()["batchItemFailures"].as_array().cloned().unwrap_or_default();
            let has_failed = |message: &QueuedMessage| {
                failed.iter().any(|failure| failure["itemIdentifier"] == message.id.as_str())
            };
            for message in messages.into_iter().filter(has_failed) {
                if message.receives + 1 < MOST_RECEIVES {
                    self.aws.queues().give_back(queue, message);
                } else {
                    self.aws.queues().send(&format!("{queue}-dead-letter"), &message.body);
                }
            }
        }
        any
    }

    /// The types of the messages that were delivered since the harness was made, each with its queue:
    /// `order-events stock_reserved.v1`.
    pub fn story(&self) -> Vec<String> {
        self.delivered
            .iter()
            .map(|(queue, message)| {
                format!("{queue} {}", message["type"].as_str().unwrap_or_default())
            })
            .collect()
    }
}
