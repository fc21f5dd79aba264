//! Consumers: bad records among good ones.

mod contradictions;
mod fields;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{
    events::{self, sample},
    shop::Shop,
    sqs::{self, QueuedMessage},
    template,
};

use crate::{bodies::places, fixture::snapshot};

/// Every consumer: its operation, its queue, and the operations that its sample depends on.
const CONSUMERS: [(&str, &str, &[&str]); 17] = [
    ("reserve-stock", "reserve-stock", &[]),
    ("release-stock", "release-stock", &["reserve-stock"]),
    ("commit-stock", "commit-stock", &["reserve-stock"]),
    ("replicate-product", "product-changes", &[]),
    ("compile-market", "compile-market", &["create-market"]),
    ("replicate-pricing", "replicate-pricing", &[]),
    ("advance-order", "order-events", &[]),
    ("open-payment", "open-payment", &[]),
    ("charge-payment", "charge-payment", &[]),
    ("cancel-payment", "cancel-payment", &["open-payment"]),
    ("refund-payment", "refund-payment", &["charge-payment"]),
    ("send-notification", "send-notification", &[]),
    ("send-account-notification", "send-account-notification", &[]),
    ("update-buyer", "update-buyer", &[]),
    ("forget-recipient", "forget-recipient", &["send-notification"]),
    ("record-entry", "record-entry", &[]),
    ("record-mail-feedback", "record-mail-feedback", &[]),
];

/// The envelope of a consumer's sample.
fn envelope(operation: &str) -> Value {
    serde_json::from_str(sample(operation)["Records"][0]["body"].as_str().unwrap()).unwrap()
}

/// The sample messages of a queue.
fn envelopes(queue: &str) -> Vec<Value> {
    let folder = template::root().join("tests/messages/samples").join(queue);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("every queue has samples")
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
        .collect()
}

/// One message of each shape that the sample does not have. Excludes messages with a link, which
/// only their sender can seal.
fn other_forms(queue: &str, sample: &Value) -> Vec<Value> {
    let form = |envelope: &Value| {
        json!([&envelope["type"], &envelope["data"]["template"], &json!(places(&envelope["data"]))])
            .to_string()
    };
    let mut seen = BTreeSet::from([form(sample)]);
    let is_new = |envelope: &Value| {
        !envelope["data"]["data"]["sealed_token"].is_string() && seen.insert(form(envelope))
    };
    let mut envelopes = envelopes(queue);
    envelopes.retain(is_new);
    envelopes
}

fn record(queue: &str, id: &str, body: &str) -> Value {
    json!({ "messageId": id, "body": body, "eventSource": "aws:sqs", "eventSourceARN": sqs::arn(queue), "awsRegion": "us-east-1", "attributes": {}, "messageAttributes": {} })
}

async fn shop_for(operation: &str, before: &[&str]) -> Shop {
    let shop = Shop::new();
    if operation.ends_with("-stock") {
        for product in
            ["prd_0199c2a8-0000-7000-8000-00000000000a", "prd_0199c2a8-0000-7000-8000-00000000000b"]
        {
            let request = events::post("/inventory", &json!({ "delta": 100, "reason": "sample" }))
                .caller(events::ADMIN);
            let request =
                request.header("idempotency-key", product).path_parameter("product_id", product);
            assert_eq!(shop.call("adjust-stock", request.event()).await.status(), 201);
        }
    }
    if matches!(operation, "advance-order" | "update-buyer") {
        shop.aws
            .put("orders", &sample("publish-order-events")["Records"][0]["dynamodb"]["NewImage"]);
    }
    for step in before {
        let Some((_, queue, _)) = CONSUMERS.iter().find(|row| row.0 == *step) else {
            assert_eq!(shop.call(step, sample(step)).await.status(), 201, "{step}");
            continue;
        };
        let done = shop
            .call(
                step,
                json!({ "Records": [record(queue, "before", &envelope(step).to_string())] }),
            )
            .await;
        assert_eq!(done.ok()["batchItemFailures"], json!([]), "{step}");
    }
    shop
}

/// Removes and returns the dead letters of a queue.
fn dead_letters(shop: &Shop, queue: &str) -> Vec<QueuedMessage> {
    shop.aws.queues().take(&format!("{queue}-dead-letter"), usize::MAX)
}

/// Whether this body is the only dead letter, unchanged, with the rejection reason of its consumer.
fn is_rejected(letters: &[QueuedMessage], operation: &str, body: &str) -> bool {
    let [letter] = letters else { return false };
    let says_why =
        letter.attributes.get("reason").is_some_and(|reason| (1..=200).contains(&reason.len()));
    says_why
        && letter.body == body
        && letter.attributes.get("consumer").is_some_and(|consumer| consumer == operation)
}

/// Bodies that no consumer can read.
fn unreadable(operation: &str) -> Vec<(String, String)> {
    let good = envelope(operation);
    let with = |place: &str, value: Value| {
        let mut invalid = good.clone();
        *invalid.pointer_mut(place).unwrap() = value;
        invalid.to_string()
    };
    let kind = good["type"].as_str().unwrap();
    let mut bodies: Vec<(String, String)> = [
        String::new(),
        " ".to_owned(),
        "not json".to_owned(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "5".to_owned(),
        "\"x\"".to_owned(),
        "{}".to_owned(),
        "\u{0}\u{1}\u{7f}".to_owned(),
        "\u{feff}{}".to_owned(),
        "x".repeat(1 << 20),
        "[".repeat(100_000),
        format!("{good} x"),
        format!("{good}{good}"),
        with("/type", json!("unknown.v1")),
        with("/type", json!(kind.replace(".v1", ".v2"))),
        with("/type", json!(kind.to_uppercase())),
        with("/type", json!("")),
        with("/type", json!(5)),
        with("/type", Value::Null),
        with("/data", Value::Null),
        with("/data", json!([])),
        with("/data", json!("x")),
        with("/data", json!({})),
        with("/data", json!({ "order_id": "x" })),
        {
            let mut invalid = good.clone();
            invalid["traceparent"] = json!(5);
            invalid.to_string()
        },
    ]
    .into_iter()
    .map(|body| (body.chars().take(80).collect(), body))
    .collect();
    // Every consumer must read the fields that identify the subject.
    let is_subject = |name: &str| match name {
        "product_id" => !good["data"]["order_id"].is_string(),
        "user_id" => kind.starts_with("user_"),
        _ => true,
    };
    for name in ["order_id", "product_id", "notification_id", "user_id", "entry_id"] {
        if good["data"][name].is_string() && is_subject(name) {
            for invalid in [
                json!(null),
                json!(1),
                json!(""),
                json!("x"),
                json!("usr_0199c2a8-0000-7000-8000-0000000000f1x"),
                json!({ "$ne": 1 }),
                json!([]),
            ] {
                bodies.push((
                    format!("data/{name} = {invalid}"),
                    with(&format!("/data/{name}"), invalid),
                ));
            }
        }
    }
    bodies
}

#[tokio::test]
async fn unreadable_record_is_rejected_alone() {
    let (mut checked, mut violations) = (0, Vec::new());
    for (operation, queue, before) in CONSUMERS {
        let shop = shop_for(operation, before).await;
        let good = envelope(operation).to_string();
        // Processed once already, so the good record changes nothing more.
        shop.call(operation, json!({ "Records": [record(queue, "first", &good)] })).await;
        let initial = snapshot(&shop.aws);
        for (what, bad) in unreadable(operation) {
            for position in 0..3 {
                checked += 1;
                let records: Vec<Value> = (0..3)
                    .map(|i| {
                        record(queue, &format!("m{i}"), if i == position { &bad } else { &good })
                    })
                    .collect();
                let called = shop.call(operation, json!({ "Records": records })).await;
                let is_acknowledged =
                    called.answer.as_ref().ok() == Some(&json!({ "batchItemFailures": [] }));
                if !is_acknowledged || !is_rejected(&dead_letters(&shop, queue), operation, &bad) {
                    violations
                        .push(format!("{operation}: {what} at {position}: {:?}", called.answer));
                }
            }
        }
        if snapshot(&shop.aws) != initial {
            violations.push(format!("{operation}: unreadable records change something"));
        }
    }
    eprintln!("edge: unreadable messages: {checked} batches, {} violations", violations.len());
    assert!(violations.is_empty(), "{violations:#?}");
}

#[tokio::test]
async fn malformed_batch_fails_and_writes_nothing() {
    let mut violations = Vec::new();
    for (operation, queue, before) in CONSUMERS {
        let shop = shop_for(operation, before).await;
        let initial = snapshot(&shop.aws);
        let good = envelope(operation).to_string();
        let with = |member: &str, value: Value| {
            let mut record = record(queue, "m", &good);
            record[member] = value;
            json!({ "Records": [record] })
        };
        let arn = sqs::arn(queue);
        let two = json!({ "Records": [record(queue, "m0", &good), record("another-queue", "m1", &good)] });
        let batches = [
            json!(null),
            json!({}),
            json!([]),
            json!("x"),
            json!({ "Records": {} }),
            json!({ "Records": "x" }),
            json!({ "Records": [5] }),
            json!({ "Records": [[]] }),
            with("messageId", json!(null)),
            with("messageId", json!("")),
            with("eventSourceARN", json!(null)),
            with("eventSourceARN", json!("")),
            with("eventSourceARN", json!(sqs::arn("another-queue"))),
            with("eventSourceARN", json!(format!("{arn}-dead-letter"))),
            with("eventSourceARN", json!(arn.replace("000000000000", "111111111111"))),
            with("eventSourceARN", json!(format!("{arn}:x"))),
            two,
        ];
        for batch in batches {
            if let Ok(answer) = shop.call(operation, batch.clone()).await.answer {
                violations.push(format!("{operation}: {batch}: {answer}"));
            }
        }
        let empty = shop.call(operation, json!({ "Records": [] })).await;
        if empty.answer.as_ref().ok() != Some(&json!({ "batchItemFailures": [] })) {
            violations.push(format!("{operation}: an empty batch: {:?}", empty.answer));
        }
        if snapshot(&shop.aws) != initial {
            violations.push(format!("{operation}: it writes"));
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

/// Messages that arrive before their predecessor, or refer to a missing record.
#[tokio::test]
async fn message_without_its_record_is_retried_or_recorded() {
    for (operation, queue, _) in CONSUMERS {
        let shop = Shop::new();
        let called = shop
            .call(
                operation,
                json!({ "Records": [record(queue, "m", &envelope(operation).to_string())] }),
            )
            .await;
        let comes_back = matches!(operation, "commit-stock" | "advance-order" | "refund-payment");
        let failures = if comes_back { json!([{ "itemIdentifier": "m" }]) } else { json!([]) };
        assert_eq!(called.ok()["batchItemFailures"], failures, "{operation}");
    }
}
