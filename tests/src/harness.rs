//! Delivers changes and messages: from a table's stream through its publisher into queues, and from
//! the queues to their consumers.
//!
//! It repeats these two steps until nothing moves, so a whole order runs in one process, step by
//! step and without a clock. Delayed messages are delivered when nothing else is left.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::lambda::Lambda;

use crate::{aws::Aws, events, sqs::QueuedMessage};

/// Receives of a message before SQS moves it to the dead-letter queue. Consumers send rejected
/// messages there themselves.
const MOST_RECEIVES: u32 = 5;
/// Maximum number of rounds, more than any order needs.
const MOST_ROUNDS: usize = 200;

/// The publishers and consumers of an [`Aws`].
pub struct Harness {
    aws: Aws,
    publishers: Vec<Publisher>,
    consumers: BTreeMap<&'static str, Lambda>,
    /// Every message delivered to a consumer, in order: the queue and the envelope.
    pub delivered: Vec<(&'static str, Value)>,
}

struct Publisher {
    table: &'static str,
    lambda: Lambda,
    position: Option<usize>,
}

impl Harness {
    /// A harness without publishers and consumers.
    pub fn new(aws: &Aws) -> Self {
        Self {
            aws: aws.clone(),
            publishers: Vec::new(),
            consumers: BTreeMap::new(),
            delivered: Vec::new(),
        }
    }

    /// Sends the changes of a table to `lambda`.
    #[must_use]
    pub fn publisher(mut self, table: &'static str, lambda: Lambda) -> Self {
        self.publishers.push(Publisher { table, lambda, position: None });
        self
    }

    /// Sends the messages of a queue to `lambda`.
    #[must_use]
    pub fn consumer(mut self, queue: &'static str, lambda: Lambda) -> Self {
        self.consumers.insert(queue, lambda);
        self
    }

    /// Regards every change so far as published.
    pub fn skip_changes(&mut self) {
        for publisher in &mut self.publishers {
            let table = format!("{}-{}", crate::template::STACK, publisher.table);
            publisher.position = Some(self.aws.database().latest_change(&table));
        }
    }

    /// The position after the latest change of each table with a publisher.
    pub fn latest(&self) -> BTreeMap<&'static str, usize> {
        let latest = |table| self.aws.database().latest_change(&full_name(table));
        self.publishers.iter().map(|publisher| (publisher.table, latest(publisher.table))).collect()
    }

    /// Publishes only the changes after these positions.
    #[must_use]
    pub fn after(mut self, positions: &BTreeMap<&'static str, usize>) -> Self {
        for publisher in &mut self.publishers {
            publisher.position = positions.get(publisher.table).copied();
        }
        self
    }

    /// Stops the consumer of a queue. Its messages wait until [`Harness::start`].
    ///
    /// # Panics
    /// If the queue has no consumer.
    pub fn stop(&mut self, queue: &str) -> Lambda {
        self.consumers.remove(queue).unwrap_or_else(|| panic!("{queue} has no consumer"))
    }

    pub fn start(&mut self, queue: &'static str, lambda: Lambda) {
        self.consumers.insert(queue, lambda);
    }

    /// Delivers changes and messages until all are processed.
    ///
    /// # Panics
    /// If the messages do not come to an end, or a publisher fails.
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
        panic!("after {MOST_ROUNDS} rounds messages are still pending; the last ones: {last:#?}");
    }

    /// Sends each publisher the changes of its table. Returns whether there were any.
    ///
    /// # Panics
    /// If a publisher fails.
    pub async fn publish(&mut self) -> bool {
        let mut any = false;
        for publisher in &mut self.publishers {
            let table = full_name(publisher.table);
            let (records, position) = self.aws.database().changes(&table, publisher.position);
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

    /// Sends each consumer the undelayed messages of its queue. Returns whether there were any.
    /// Failed messages are redelivered, and finally moved to the dead-letter queue.
    ///
    /// # Panics
    /// If a consumer does not answer its batch.
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
                    self.aws.queues().make_visible(queue, message);
                } else {
                    self.aws.queues().send(&format!("{queue}-dead-letter"), &message.body);
                }
            }
        }
        any
    }

    /// The types of the messages delivered so far, each with its queue: `order-events
    /// stock_reserved.v1`.
    pub fn story(&self) -> Vec<String> {
        self.delivered
            .iter()
            .map(|(queue, message)| {
                format!("{queue} {}", message["type"].as_str().unwrap_or_default())
            })
            .collect()
    }
}

fn full_name(table: &str) -> String {
    format!("{}-{table}", crate::template::STACK)
}
