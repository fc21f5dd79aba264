//! A consumer processes the messages of a batch concurrently, unless they contend for something.

use std::collections::BTreeSet;

use shared::lambda::Invocation;
use tests::{
    cost::{self, Cost, Scenario, is_processed},
    shop::{consumer_of, queues},
    template::template,
};

use super::*;

/// Messages in a batch: `BatchSize` of a queue in the templates.
const BATCH: usize = 10;

/// The consumers of batches, and whether they process ten messages in the time of one.
const CONSUMERS: [(&str, bool); 11] = [
    ("advance-order", true),
    ("open-payment", true),
    ("record-entry", true),
    ("replicate-pricing", true),
    ("replicate-product", true),
    // Orders of one product: concurrent transactions on its stock conflict.
    ("reserve-stock", false),
    // These messages do not name their products.
    ("commit-stock", false),
    ("release-stock", false),
    // The sending rate of SES.
    ("send-account-notification", false),
    ("send-notification", false),
    // The count of suppressed addresses.
    ("record-mail-feedback", false),
];

/// One event with the records of all these.
fn batch(events: &[Value]) -> Value {
    let records = events.iter().flat_map(|event| event["Records"].as_array().into_iter().flatten());
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// The sequential steps of an event.
async fn steps(shop: &Shop, consumer: &str, event: &Value) -> f64 {
    let (called, cost) = Cost::of(shop, consumer, Invocation::with_event(event.clone())).await;
    assert!(is_processed(called.ok()) && called.rejected() == 0, "{consumer}: {called:?}");
    cost.steps
}

#[tokio::test(start_paused = true)]
async fn ten_independent_messages_take_the_steps_of_one() {
    let mut wrong = Vec::new();
    for (consumer, is_concurrent) in CONSUMERS {
        let Scenario { shop, events, .. } =
            Scenario::prepare(consumer, Shop::new(), BATCH + 2).await;
        cost::count(&shop);
        // The first one reads the secrets.
        steps(&shop, consumer, &events[0]).await;
        let one = steps(&shop, consumer, &events[1]).await;
        let ten = steps(&shop, consumer, &batch(&events[2..])).await;
        let expected = if is_concurrent { one } else { BATCH as f64 * one };
        if ten != expected {
            wrong.push(format!("{consumer}: {ten} steps for ten messages, {one} for one"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn orders_of_different_products_are_reserved_concurrently() {
    let (shop, mut products) = (Shop::new(), Vec::new());
    for number in 0..BATCH {
        products.push(shop.product(&format!("spoon-{number}"), 2999, 50).await);
    }
    shop.harness().drain_queues().await;
    for (number, product) in products.iter().enumerate() {
        let order = events::post("/orders", &events::order_request(product, 1, None))
            .caller(&format!("usr_0199c2a8-0000-7000-8001-{number:012x}"))
            .header("idempotency-key", "first");
        assert_eq!(shop.call("create-order", order.event()).await.status(), 201);
    }
    shop.publisher("orders").publish().await;
    let waiting = shop.aws.queues().take("reserve-stock", BATCH);
    assert_eq!(waiting.len(), BATCH);
    cost::count(&shop);
    assert_eq!(steps(&shop, "reserve-stock", &events::sqs("reserve-stock", &waiting)).await, 1.0);
}

/// Two events of one order are applied one after the other: applied concurrently, one write would
/// conflict and be retried.
#[tokio::test(start_paused = true)]
async fn messages_of_one_order_are_processed_in_sequence() {
    let Scenario { shop, events, .. } = Scenario::prepare("advance-order", Shop::new(), 2).await;
    let repeated = batch(&[events[1].clone(), events[1].clone()]);
    cost::count(&shop);
    let (called, cost) = Cost::of(&shop, "advance-order", Invocation::with_event(repeated)).await;
    assert_eq!(called.operations(), ["GetItem", "PutItem", "GetItem"]);
    assert_eq!(cost.steps, 3.0);
}

#[test]
fn every_consumer_of_batches_is_measured() {
    let has_batches = |queue: &&str| template().batch_size(queue) > 1;
    let consumers: BTreeSet<String> = queues().filter(has_batches).map(consumer_of).collect();
    let measured: BTreeSet<String> = CONSUMERS.map(|(consumer, _)| consumer.to_owned()).into();
    assert_eq!(measured, consumers);
}
