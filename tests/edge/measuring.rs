//! The metrics that several services share: each service moves its own.

use std::collections::BTreeSet;

use serde_json::json;
use shared::{
    metrics::{self, Capture},
    operation::{Operation, Trigger},
};
use tests::{
    aws::Fault,
    events,
    shop::{self, Shop},
};

/// More calls than any consumer makes.
const CALLS: usize = 40;

fn services() -> BTreeSet<&'static str> {
    shop::operations().map(|operation| operation.service).collect()
}

fn consumers() -> impl Iterator<Item = (&'static Operation, &'static str)> {
    shop::operations().filter_map(|operation| match operation.trigger {
        Trigger::Queue(queue) => Some((operation, queue)),
        _ => None,
    })
}

#[tokio::test]
async fn server_errors_count_failed_invocations_of_each_service() {
    for service in services() {
        let shop = Shop::new();
        let capture = Capture::start();
        let mut operations = shop::operations().filter(|operation| operation.service == service);
        let reads_batches = |operation: &&Operation| {
            matches!(operation.trigger, Trigger::Queue(_) | Trigger::Stream { .. })
        };
        match operations.find(reads_batches) {
            Some(operation) => {
                let called = shop.call(&operation.name(), json!({ "Records": 5 })).await;
                assert!(called.answer.is_err(), "{service}");
            }
            None => {
                assert_eq!(service, "platform", "no operation of {service} reads batches");
                shop.aws.fail(0, Fault::LoseRequest);
                let called = shop.call("get-health", events::get("/health").event()).await;
                assert_eq!(called.status(), 503);
            }
        }
        assert_eq!(capture.total(&metrics::SERVER_ERRORS.of(service)), 1, "{service}");
    }
}

#[tokio::test]
async fn poison_message_counts_for_the_service_of_its_consumer() {
    for (operation, queue) in consumers() {
        let shop = Shop::new();
        let capture = Capture::start();
        let event = events::message(queue, "unknown.v9", &json!({}));
        assert_eq!(shop.call(&operation.name(), event).await.rejected(), 1, "{queue}");
        assert_eq!(capture.total(&metrics::POISON_MESSAGE.of(operation.service)), 1, "{queue}");
    }
}

#[tokio::test]
async fn message_that_fails_after_an_hour_counts_as_delayed() {
    for (operation, queue) in consumers() {
        let shop = Shop::new();
        let mut event = events::sample(&operation.name());
        let capture = Capture::start();
        for (sent, delayed) in [("9999999999999", 0), ("1000", 1)] {
            event["Records"][0]["attributes"]["SentTimestamp"] = json!(sent);
            for call in 0..CALLS {
                shop.aws.fail(call, Fault::LoseRequest);
            }
            let called = shop.call(&operation.name(), event.clone()).await;
            shop.aws.heal();
            let failures = called.ok()["batchItemFailures"].as_array().unwrap().len();
            assert_eq!(failures, 1, "{queue}");
            let total = capture.total(&metrics::MESSAGE_DELAYED.of(operation.service));
            assert_eq!(total, delayed, "{queue}");
        }
    }
}

#[tokio::test]
async fn unreadable_change_counts_for_the_service_of_its_publisher() {
    let is_publisher = |operation: &&Operation| matches!(operation.trigger, Trigger::Stream { .. });
    for operation in shop::operations().filter(is_publisher) {
        let shop = Shop::new();
        let capture = Capture::start();
        let event = json!({ "Records": [{ "eventName": "INSERT", "dynamodb": "unreadable" }] });
        assert!(shop.call(&operation.name(), event).await.answer.is_ok());
        let total = capture.total(&metrics::UNPUBLISHABLE_CHANGE.of(operation.service));
        assert_eq!(total, 1, "{}", operation.name());
    }
}
