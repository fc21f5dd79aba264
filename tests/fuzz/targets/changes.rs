//! Stream records of tables: the table, then the record.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::operation::{Operation, Trigger};
use tests::{events::sample, shop, sqs::QueuedMessage};

use crate::{
    fixture::FuzzFixture,
    input::{choose, first_line, input, shape},
};

/// Every publisher, with its table.
pub fn publishers() -> Vec<(String, &'static str)> {
    let of = |operation: &Operation| match operation.trigger {
        Trigger::Stream { table, .. } => Some((operation.name(), table)),
        _ => None,
    };
    shop::operations().filter_map(of).collect()
}

pub fn run(fixture: &mut FuzzFixture, input: &[u8]) {
    let (name, record) = first_line(input);
    let publishers = publishers();
    let tables: Vec<&str> = publishers.iter().map(|(_, table)| *table).collect();
    let table = choose(&tables, name);
    // The runtime parses the event: a publisher receives only JSON.
    let Ok(record) = serde_json::from_slice::<Value>(record) else { return };
    let publisher = shop::publisher_of(table);
    let called = fixture.call(&publisher, json!({ "Records": [record] }));
    assert!(called.answer.is_ok(), "{publisher} stops: {:?}", called.answer);
    assert!(!fixture.has_changed(), "{publisher} writes");
    let operation = shop::operations().find(|operation| operation.name() == publisher);
    let dead_letter = operation.and_then(|operation| operation.dead_letter_queue());
    let letters = take(fixture, &dead_letter.expect("a publisher has a dead-letter queue"));
    // SQS rejects some characters, which are then escaped: it is the same document.
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    let is_record = |body: &String| parsed(body) == parsed(&record.to_string());
    assert!(letters.iter().all(is_record), "{publisher}: {letters:?}");
    assert!(letters.iter().all(|body| is_accepted_by_sqs(body)), "{publisher}: {letters:?}");
    for queue in shop::queues() {
        for body in take(fixture, queue) {
            assert!(letters.is_empty(), "{publisher}: published, and a dead letter");
            assert!(is_accepted_by_sqs(&body), "{publisher}: {queue}: {body}");
            read(fixture, queue, &body);
        }
    }
}

/// Takes the bodies of all messages out of a queue.
fn take(fixture: &FuzzFixture, queue: &str) -> Vec<String> {
    let messages = fixture.api.shop.aws.queues().take(queue, usize::MAX);
    messages.into_iter().map(|message| message.body).collect()
}

/// Checks that the consumer of the queue can read a published message.
fn read(fixture: &mut FuzzFixture, queue: &str, body: &str) {
    let called = fixture.deliver(queue, body);
    assert!(called.answer.is_ok(), "{queue}: {body}: {called:?}");
    let letters = fixture.api.shop.aws.queues().waiting(&format!("{queue}-dead-letter"));
    let is_unreadable = |letter: &QueuedMessage| {
        letter
            .attributes
            .get("reason")
            .is_some_and(|reason| reason.starts_with("the message cannot be read"))
    };
    assert!(!letters.iter().any(is_unreadable), "{queue} cannot read {body}: {letters:?}");
}

/// See "SendMessage", Amazon SQS API Reference: another character makes SQS reject the message.
fn is_accepted_by_sqs(body: &str) -> bool {
    let is_accepted = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    !body.is_empty() && body.len() <= 1 << 20 && body.chars().all(is_accepted)
}

pub fn seeds(fixture: &mut FuzzFixture) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (operation, table) in publishers() {
        let sample = sample(&operation)["Records"].as_array().cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        let is_new = |record: &Value| {
            seen.insert((record["eventName"].to_string(), shape(&record["dynamodb"])))
        };
        let records = sample.into_iter().chain(fixture.changes(table)).filter(is_new);
        seeds.extend(records.map(|record| input(table, record.to_string())));
    }
    seeds
}
