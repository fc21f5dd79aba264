//! Consumers and publishers: bad records among good ones.

use serde_json::{Value, json};
use tests::{
    events::{self, sample},
    shop::Shop,
    sqs,
};

use crate::{bodies::places, stage::world};

/// Every consumer: its operation, its queue, what has to be done before its sample is acknowledged, and whether it ever gives back what it
/// can read but cannot do yet.
const CONSUMERS: [(&str, &str, &[&str]); 12] = [
    ("reserve-stock", "reserve-stock", &[]),
    ("release-stock", "release-stock", &["reserve-stock"]),
    ("commit-stock", "commit-stock", &["reserve-stock"]),
    ("replicate-product", "product-changes", &[]),
    ("advance-order", "order-events", &[]),
    ("open-payment", "open-payment", &[]),
    ("charge-payment", "charge-payment", &[]),
    ("cancel-payment", "cancel-payment", &["open-payment"]),
    ("refund-payment", "refund-payment", &["charge-payment"]),
    ("send-notification", "send-notification", &[]),
    ("update-buyer", "update-buyer", &[]),
    ("forget-recipient", "forget-recipient", &["send-notification"]),
];

const PUBLISHERS: [(&str, &str); 5] = [
    ("publish-user-events", "publish-user-dead-letter"),
    ("publish-product-events", "publish-product-dead-letter"),
    ("publish-stock-events", "publish-stock-dead-letter"),
    ("publish-order-events", "publish-order-dead-letter"),
    ("publish-payment-events", "publish-payment-dead-letter"),
];

/// The envelope of a consumer's sample.
fn envelope(operation: &str) -> Value {
    serde_json::from_str(sample(operation)["Records"][0]["body"].as_str().unwrap()).unwrap()
}

fn record(queue: &str, id: &str, body: &str) -> Value {
    json!({ "messageId": id, "body": body, "eventSource": "aws:sqs", "eventSourceARN": sqs::arn(queue), "awsRegion": "us-east-1", "attributes": {}, "messageAttributes": {} })
}

async fn shop_for(operation: &str, before: &[&str]) -> Shop {
    let shop = Shop::new();
    if operation.ends_with("-stock") {
        for product in ["prd_0199c2a8-0000-7000-8000-00000000000a", "prd_0199c2a8-0000-7000-8000-00000000000b"] {
            let request = events::post("/inventory", &json!({ "delta": 100, "reason": "sample" })).caller(events::ADMIN);
            let request = request.header("idempotency-key", product).path_parameter("product_id", product);
            assert_eq!(shop.call("adjust-stock", request.event()).await.status(), 201);
        }
    }
    if matches!(operation, "advance-order" | "update-buyer") {
        shop.aws.put("orders", &sample("publish-order-events")["Records"][0]["dynamodb"]["NewImage"]);
    }
    for step in before {
        let queue = CONSUMERS.iter().find(|row| row.0 == *step).unwrap().1;
        let done = shop.call(step, json!({ "Records": [record(queue, "before", &envelope(step).to_string())] })).await;
        assert_eq!(done.ok()["batchItemFailures"], json!([]), "{step}");
    }
    shop
}

/// Bodies that no consumer can read.
fn unreadable(operation: &str) -> Vec<(String, String)> {
    let good = envelope(operation);
    let with = |place: &str, value: Value| {
        let mut odd = good.clone();
        *odd.pointer_mut(place).unwrap() = value;
        odd.to_string()
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
        with("/traceparent", json!(5)),
    ]
    .into_iter()
    .map(|body| (body.chars().take(80).collect(), body))
    .collect();
    // What names the subject must be read by every consumer.
    let is_subject = |name: &str| match name {
        "product_id" => !good["data"]["order_id"].is_string(),
        "user_id" => kind.starts_with("user_"),
        _ => true,
    };
    for name in ["order_id", "product_id", "notification_id", "user_id"] {
        if good["data"][name].is_string() && is_subject(name) {
            for odd in [
                json!(null),
                json!(1),
                json!(""),
                json!("x"),
                json!("usr_0199c2a8-0000-7000-8000-0000000000f1x"),
                json!({ "$ne": 1 }),
                json!([]),
            ] {
                bodies.push((format!("data/{name} = {odd}"), with(&format!("/data/{name}"), odd)));
            }
        }
    }
    bodies
}

#[tokio::test]
async fn a_record_that_cannot_be_read_comes_back_alone() {
    let (mut checked, mut odd) = (0, Vec::new());
    for (operation, queue, before) in CONSUMERS {
        let shop = shop_for(operation, before).await;
        let good = envelope(operation).to_string();
        // Done once, the good record changes nothing more.
        shop.call(operation, json!({ "Records": [record(queue, "first", &good)] })).await;
        let standing = world(&shop.aws);
        for (what, bad) in unreadable(operation) {
            for position in 0..3 {
                checked += 1;
                let records: Vec<Value> =
                    (0..3).map(|i| record(queue, &format!("m{i}"), if i == position { &bad } else { &good })).collect();
                let called = shop.call(operation, json!({ "Records": records })).await;
                let failures = json!({ "batchItemFailures": [{ "itemIdentifier": format!("m{position}") }] });
                if called.answer.as_ref().ok() != Some(&failures) {
                    odd.push(format!("{operation}: {what} at {position}: {:?}", called.answer));
                }
            }
        }
        if world(&shop.aws) != standing {
            odd.push(format!("{operation}: unreadable records change something"));
        }
    }
    eprintln!("edge: unreadable messages: {checked} batches, {} odd", odd.len());
    assert!(odd.is_empty(), "{odd:#?}");
}

#[tokio::test]
async fn a_message_of_which_one_field_is_odd_delays_no_other() {
    let wrong = [
        json!(null),
        json!(""),
        json!("x"),
        json!("\u{ffff}"),
        json!(-1),
        json!(1.5),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(true),
        json!([]),
        json!([[]]),
        json!({}),
        json!("9999-12-31T23:59:59.999Z"),
        json!("-009999-01-01T00:00:00Z"),
    ];
    let (mut checked, mut odd) = (0, Vec::new());
    for (operation, queue, before) in CONSUMERS {
        let good = envelope(operation);
        for place in places(&good).into_iter().filter(|place| !place.is_empty()) {
            let shop = shop_for(operation, before).await;
            for value in &wrong {
                checked += 1;
                let mut bad = good.clone();
                *bad.pointer_mut(&place).unwrap() = value.clone();
                let bodies = [good.to_string(), bad.to_string(), good.to_string()];
                let records: Vec<Value> = bodies.iter().enumerate().map(|(i, body)| record(queue, &format!("m{i}"), body)).collect();
                let called = shop.call(operation, json!({ "Records": records })).await;
                // Some fields are not read, and some values are fine: but nothing except this record may come back.
                let one = json!([{ "itemIdentifier": "m1" }]);
                match &called.answer {
                    Ok(answer) if answer["batchItemFailures"] == json!([]) || answer["batchItemFailures"] == one => {}
                    other => odd.push(format!("{operation}: {place} = {value}: {other:?}")),
                }
            }
        }
    }
    eprintln!("edge: odd fields of messages: {checked} batches, {} odd", odd.len());
    assert!(odd.is_empty(), "{} odd: {:#?}", odd.len(), &odd[..odd.len().min(20)]);
}

#[tokio::test]
async fn a_batch_that_is_none_fails_whole_and_writes_nothing() {
    let mut odd = Vec::new();
    for (operation, queue, before) in CONSUMERS {
        let shop = shop_for(operation, before).await;
        let standing = world(&shop.aws);
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
                odd.push(format!("{operation}: {batch}: {answer}"));
            }
        }
        let empty = shop.call(operation, json!({ "Records": [] })).await;
        if empty.answer.as_ref().ok() != Some(&json!({ "batchItemFailures": [] })) {
            odd.push(format!("{operation}: an empty batch: {:?}", empty.answer));
        }
        if world(&shop.aws) != standing {
            odd.push(format!("{operation}: it writes"));
        }
    }
    assert!(odd.is_empty(), "{odd:#?}");
}

/// What comes before the record that it follows from, or for one that is not there.
#[tokio::test]
async fn a_message_about_nothing_comes_back_or_leaves_its_mark() {
    for (operation, queue, _) in CONSUMERS {
        let shop = Shop::new();
        let called = shop.call(operation, json!({ "Records": [record(queue, "m", &envelope(operation).to_string())] })).await;
        let comes_back = matches!(operation, "commit-stock" | "advance-order" | "refund-payment");
        let failures = if comes_back { json!([{ "itemIdentifier": "m" }]) } else { json!([]) };
        assert_eq!(called.ok()["batchItemFailures"], failures, "{operation}");
    }
}

/// The characters that SQS takes: see "SendMessage", Amazon SQS API Reference. One other is enough, and the whole message is refused.
fn is_taken_by_sqs(body: &str) -> bool {
    body.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}'))
        && body.len() <= 1 << 20
        && !body.is_empty()
}

const QUEUES: [&str; 12] = [
    "product-changes",
    "order-events",
    "reserve-stock",
    "release-stock",
    "commit-stock",
    "open-payment",
    "charge-payment",
    "cancel-payment",
    "refund-payment",
    "send-notification",
    "update-buyer",
    "forget-recipient",
];

/// A user who is sent both links, and has changed the password.
fn change_with_links() -> Value {
    let mut record = sample("publish-user-events")["Records"][0].clone();
    let link = json!({ "M": {
        "hash": { "S": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" },
        "sealed": { "S": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" },
        "expires_at": { "S": "2026-11-21T10:32:30.789Z" },
        "sent": { "N": "1" },
    } });
    let image = &mut record["dynamodb"]["NewImage"];
    image["verification"] = json!({ "M": { "email": { "S": "countess@example.com" }, "link": link } });
    image["reset"] = link;
    image["password_changed_at"] = json!({ "S": "2026-11-21T10:02:30.789Z" });
    record
}

/// The changes that publishers' samples hold, and [`change_with_links`].
fn sample_changes() -> impl Iterator<Item = (&'static str, &'static str, Value)> {
    PUBLISHERS.into_iter().flat_map(|(operation, dead_letter)| {
        let records = sample(operation)["Records"].as_array().unwrap().clone();
        let links = (operation == "publish-user-events").then(change_with_links);
        records.into_iter().chain(links).map(move |record| (operation, dead_letter, record))
    })
}

#[tokio::test]
async fn a_publisher_never_stops_and_loses_no_change_that_it_cannot_read() {
    let wrong = [
        json!(null),
        json!({}),
        json!([]),
        json!(5),
        json!("x"),
        json!({ "S": "" }),
        json!({ "S": "x" }),
        json!({ "N": "-1" }),
        json!({ "N": "x" }),
        json!({ "N": "1e400" }),
        json!({ "NULL": true }),
        json!({ "M": {} }),
        json!({ "L": [] }),
        json!({ "BOOL": true }),
        json!({ "S": 5 }),
        json!({ "B": "!!" }),
        json!({ "S": "+010000-01-01T00:00:00Z" }),
    ];
    let (mut checked, mut dead, mut odd) = (0, 0, Vec::new());
    for (operation, dead_letter, good) in sample_changes() {
        let image = |name: &str| good["dynamodb"][name].as_object().cloned().unwrap_or_default();
        let mut bad: Vec<(String, Value)> = Vec::new();
        for name in image("NewImage").keys() {
            for value in wrong.iter().map(Some).chain([None]) {
                for old_too in [false, true] {
                    let mut record = good.clone();
                    for which in if old_too { &["NewImage", "OldImage"][..] } else { &["NewImage"] } {
                        let mut item = image("NewImage");
                        match value {
                            Some(value) => drop(item.insert(name.clone(), value.clone())),
                            None => drop(item.remove(name)),
                        }
                        record["dynamodb"][which] = item.into();
                    }
                    bad.push((format!("{name} = {value:?}"), record));
                }
            }
        }
        for raw in [
            json!(null),
            json!(5),
            json!("x"),
            json!([]),
            json!({}),
            json!({ "eventName": "MODIFY" }),
            json!({ "eventName": 5, "dynamodb": {} }),
            json!({ "eventName": "INSERT", "dynamodb": { "NewImage": 5 } }),
        ] {
            bad.push((raw.to_string(), raw));
        }
        for (what, bad) in bad {
            checked += 1;
            let shop = Shop::new();
            let count = |shop: &Shop| QUEUES.iter().map(|queue| shop.aws.queues().waiting(queue).len()).sum::<usize>();
            shop.call(operation, json!({ "Records": [good] })).await;
            let alone = count(&shop);
            let called = shop.call(operation, json!({ "Records": [good, bad, good] })).await;
            let dead_now = shop.aws.queues().waiting(dead_letter).len();
            dead += dead_now;
            if called.answer.is_err() || count(&shop) < 3 * alone || dead_now > 1 {
                odd.push(format!("{operation}: {what}: {:?}, {} of {alone} twice, {dead_now} dead", called.answer, count(&shop) - alone));
            }
            let read = bad["dynamodb"]["NewImage"].is_object() && count(&shop) >= 3 * alone;
            if dead_now == 0 && !read {
                odd.push(format!("{operation}: {what}: neither published nor dead"));
            }
        }
        for event in [json!(null), json!({}), json!({ "Records": 5 }), json!([])] {
            assert!(Shop::new().call(operation, event).await.answer.is_err(), "{operation}");
        }
    }
    eprintln!("edge: odd changes: {checked} batches, {dead} changes dead, {} odd", odd.len());
    assert!(odd.is_empty(), "{} odd: {:#?}", odd.len(), &odd[..odd.len().min(20)]);
}

/// A text that DynamoDB took must not make a message that SQS refuses: the stream would stand still behind it for a day.
#[tokio::test]
async fn whatever_stands_in_an_image_its_messages_can_be_sent() {
    let mut odd = Vec::new();
    let mut checked = 0;
    for (operation, dead_letter, good) in sample_changes() {
        let image = good["dynamodb"]["NewImage"].clone();
        for place in places(&image).into_iter().filter(|place| place.ends_with("/S")) {
            for c in ['\u{ffff}', '\u{fffe}', '\u{0}', '\u{1b}', '\u{7f}', '\u{85}', '\u{fdd0}', '\u{1ffff}', '\u{2028}'] {
                checked += 1;
                let shop = Shop::new();
                let mut record = good.clone();
                let text = image.pointer(&place).unwrap().as_str().unwrap().to_owned();
                *record["dynamodb"]["NewImage"].pointer_mut(&place).unwrap() = format!("{text}{c}").into();
                let called = shop.call(operation, json!({ "Records": [record] })).await;
                let bodies = QUEUES.iter().chain([&dead_letter]).flat_map(|queue| shop.aws.queues().waiting(queue));
                let refused: Vec<String> = bodies.map(|message| message.body).filter(|body| !is_taken_by_sqs(body)).collect();
                if called.answer.is_err() || !refused.is_empty() {
                    odd.push(format!("{operation}: {place} with {c:?}: SQS refuses {} messages", refused.len()));
                }
            }
        }
    }
    // The way that an outsider has: a name at registration, which an order's mails repeat.
    let shop = Shop::new();
    let product = shop.product("Teapot", 2999, 50).await;
    let mut pump = shop.pump();
    pump.settle().await;
    let mut request = events::post(
        "/orders",
        &json!({ "items": [{ "product_id": product, "quantity": 1 }], "payment_method": { "type": "card", "token": "tok_ok" } }),
    );
    request = request.caller(events::USER).header("idempotency-key", "k");
    let mut event = request.event();
    event["requestContext"]["authorizer"]["name"] = "Ada\u{ffff}".into();
    assert_eq!(shop.call("create-order", event).await.status(), 201);
    pump.settle().await;
    let sent = pump.delivered.iter().filter(|(_, message)| message.to_string().contains('\u{ffff}')).count();
    eprintln!("edge: odd texts in images: {checked} changes, {} odd; {sent} messages repeat the name", odd.len());
    assert!(odd.is_empty(), "{} odd: {:#?}", odd.len(), &odd[..odd.len().min(20)]);
}
