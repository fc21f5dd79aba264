//! Bodies of queue messages: the queue, then the body.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{events::sample, shop, template};

use crate::{
    fixture::FuzzFixture,
    input::{choose, first_line, input, shape},
};

pub fn run(fixture: &mut FuzzFixture, input: &[u8]) {
    let (name, body) = first_line(input);
    let queues: Vec<&str> = shop::queues().collect();
    let queue = choose(&queues, name);
    let Ok(body) = str::from_utf8(body) else { return };
    let called = fixture.deliver(queue, body);
    let Ok(answer) = &called.answer else { panic!("{queue}: the batch fails: {called:?}") };
    let failures = &answer["batchItemFailures"];
    assert!(
        *failures == json!([]) || *failures == json!([{ "itemIdentifier": "m" }]),
        "{queue}: {answer}"
    );
    let letters = fixture.api.shop.aws.queues().waiting(&format!("{queue}-dead-letter"));
    if !letters.is_empty() {
        assert!(*failures == json!([]), "{queue}: a rejected message is redelivered");
        assert!(letters.iter().all(|letter| letter.body == body), "{queue}: {letters:?}");
        assert!(!fixture.has_changed(), "{queue}: a rejected message writes");
    } else if *failures == json!([]) {
        let written = fixture.state();
        let again = fixture.deliver(queue, body);
        assert!(again.is_done(), "{queue}: the second delivery is not done: {again:?}");
        assert!(fixture.state() == written, "{queue}: the second delivery writes");
    }
}

pub fn seeds(fixture: &mut FuzzFixture) -> Vec<Vec<u8>> {
    // The messages of the shop's history refer to its records.
    for (operation, table) in super::changes::publishers() {
        let records = fixture.changes(table);
        assert!(fixture.call(&operation, json!({ "Records": records })).answer.is_ok());
    }
    let mut seeds = Vec::new();
    for queue in shop::queues() {
        let sent = fixture.api.shop.aws.queues().waiting(queue);
        let sent = sent.into_iter().map(|message| message.body);
        let bodies = samples(queue).chain(from_events(queue)).chain(sent);
        let mut seen = BTreeSet::new();
        let is_new = |body: &String| {
            let envelope: Value = serde_json::from_str(body).unwrap_or_default();
            let data = &envelope["data"];
            seen.insert((envelope["type"].to_string(), data["template"].to_string(), shape(data)))
        };
        seeds.extend(bodies.filter(is_new).map(|body| input(queue, body)));
    }
    seeds
}

/// The committed samples of a queue.
fn samples(queue: &str) -> impl Iterator<Item = String> {
    let folder = template::root().join("tests/messages/samples").join(queue);
    let files = std::fs::read_dir(folder).expect("every queue has samples");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.into_iter().map(|file| {
        let text = std::fs::read_to_string(file).expect("a sample");
        serde_json::from_str::<Value>(&text).expect("a sample is JSON").to_string()
    })
}

/// The sample event of the consumer of a queue.
fn from_events(queue: &str) -> impl Iterator<Item = String> {
    let event = sample(&shop::consumer_of(queue));
    let records = event["Records"].as_array().cloned().unwrap_or_default();
    records.into_iter().filter_map(|record| record["body"].as_str().map(str::to_owned))
}
