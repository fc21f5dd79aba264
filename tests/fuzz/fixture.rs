//! The shop that receives the inputs, in the same state for each of them.

use std::{cell::Cell, collections::BTreeMap, panic, sync::Once};

use serde_json::{Value, json};
use tests::{
    api::fixture::{ApiFixture, snapshot},
    aws::Called,
    harness::Harness,
    shop,
    template::STACK,
};
use tokio::runtime::{Builder, Runtime};

/// AWS calls after which even an unchanged shop is replaced, because it records its calls.
const MOST_CALLS: usize = 2_000;

thread_local! {
    /// Panics of this thread, also those that a handler catches.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

pub struct FuzzFixture {
    runtime: Runtime,
    /// The shop, and a valid request for each route.
    pub api: ApiFixture,
    before: Vec<Value>,
    positions: BTreeMap<&'static str, usize>,
    /// Whether an input has replaced an item.
    is_damaged: bool,
}

impl FuzzFixture {
    pub fn new() -> Self {
        count_panics();
        // Retries and timeouts take no time.
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime can be made");
        let api = runtime.block_on(ApiFixture::new("fuzz"));
        let before = snapshot(&api.shop.aws);
        let positions = api.shop.harness().latest();
        Self { runtime, api, before, positions, is_damaged: false }
    }

    /// Prepares the shop for the next input.
    pub fn reset(&mut self) {
        let aws = &self.api.shop.aws;
        if aws.writes() > 0 || aws.requests() > MOST_CALLS || self.is_damaged {
            self.is_damaged = false;
            self.api = self.runtime.block_on(ApiFixture::new("fuzz"));
        }
    }

    /// Invokes an operation.
    ///
    /// # Panics
    /// If the operation panics, even if it catches the panic.
    pub fn call(&mut self, operation: &str, event: Value) -> Called {
        let before = PANICS.get();
        let called = self.runtime.block_on(self.api.shop.call(operation, event));
        assert_eq!(PANICS.get(), before, "{operation} panics");
        called
    }

    /// Delivers one message to the consumer of its queue.
    pub fn deliver(&mut self, queue: &str, body: &str) -> Called {
        let record = json!({
            "messageId": "m", "body": body, "eventSource": "aws:sqs",
            "eventSourceARN": tests::sqs::arn(queue), "awsRegion": "us-east-1",
            "attributes": {}, "messageAttributes": {},
        });
        self.call(&shop::consumer_of(queue), json!({ "Records": [record] }))
    }

    /// Replaces an item. Returns whether DynamoDB accepts it.
    pub fn replace(&mut self, table: &str, item: &Value) -> bool {
        self.is_damaged = true;
        let put = json!({ "TableName": format!("{STACK}-{table}"), "Item": item });
        self.api.shop.aws.database().call("PutItem", &put.to_string()).0 == 200
    }

    /// Whether an item or the number of mails differs from the initial state.
    pub fn has_changed(&self) -> bool {
        self.api.shop.aws.writes() > 0 && self.state() != self.before
    }

    /// The items of all tables and the number of mails.
    pub fn state(&self) -> Vec<Value> {
        snapshot(&self.api.shop.aws)
    }

    /// Publishes and consumes what this input has changed.
    ///
    /// # Panics
    /// If a message or a change becomes a dead letter, or a function panics.
    pub fn drain_queues(&mut self) {
        let before = PANICS.get();
        let mut harness = self.harness();
        self.runtime.block_on(harness.drain_queues());
        assert_eq!(PANICS.get(), before, "a publisher or a consumer panics");
        for queue in dead_letter_queues() {
            let letters = self.api.shop.aws.queues().waiting(&queue);
            assert!(letters.is_empty(), "{queue} receives {letters:?}");
        }
    }

    fn harness(&self) -> Harness {
        self.api.shop.harness().after(&self.positions)
    }

    /// The changes that led to the initial state of a table, as stream records.
    pub fn changes(&self, table: &str) -> Vec<Value> {
        self.api.shop.aws.database().changes(&format!("{STACK}-{table}"), None).0
    }

    /// The key for a purpose, from the active server key in a secret.
    ///
    /// # Panics
    /// If the secret has no keys.
    pub fn derive(&self, secret: &str, purpose: &str) -> [u8; 32] {
        let secrets = self.api.shop.aws.secrets_at(self.api.shop.clock.clone());
        let keys = self.runtime.block_on(secrets.keys(secret)).expect("the secret has keys");
        keys.active().derive(purpose)
    }
}

/// The dead-letter queues of all consumers and publishers.
fn dead_letter_queues() -> impl Iterator<Item = String> {
    let of_consumers = shop::queues().map(|queue| format!("{queue}-dead-letter"));
    of_consumers.chain(shop::operations().filter_map(|operation| operation.dead_letter_queue()))
}

/// Counts panics, before another hook ends the process or prints them.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            next(info);
        }));
    });
}
