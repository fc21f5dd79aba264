//! Consumers: bad records among good ones.

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
const CONSUMERS: [(&str, &str, &[&str]); 15] = [
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
        let queue = CONSUMERS.iter().find(|row| row.0 == *step).unwrap().1;
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

/// Sends a consumer messages with one invalid field, each next to a good one. The messages are
/// divided into `parts`; this runs one of them.
async fn check_invalid_fields(operation: &str, part: usize, parts: usize) {
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
    let (mut checked, mut violations) = (0, Vec::new());
    let (_, queue, before) =
        CONSUMERS.into_iter().find(|row| row.0 == operation).expect("a consumer");
    let sample = envelope(operation);
    let mut damaged: Vec<(Value, String)> = places(&sample)
        .into_iter()
        .filter(|place| !place.is_empty())
        .map(|place| (sample.clone(), place))
        .collect();
    for other in other_forms(queue, &sample) {
        let within = places(&other).into_iter().filter(|place| place.starts_with("/data/"));
        damaged.extend(within.map(|place| (other.clone(), place)));
    }
    let model = shop_for(operation, before).await;
    for (good, place) in damaged.into_iter().skip(part).step_by(parts) {
        let shop = model.copy();
        let good_body = good.to_string();
        let mut records = Vec::new();
        let mut bad_bodies = BTreeSet::new();
        for (number, value) in wrong.iter().enumerate() {
            checked += 1;
            let mut bad = good.clone();
            *bad.pointer_mut(&place).unwrap() = value.clone();
            let bad = bad.to_string();
            // Every bad record is next to a good one: good, bad, bad, good, bad, bad, ...
            if number % 2 == 0 {
                records.push(record(queue, &format!("good-{number}"), &good_body));
            }
            records.push(record(queue, &format!("bad-{number}"), &bad));
            bad_bodies.insert(bad);
        }
        records.push(record(queue, "good-last", &good_body));
        let called = shop.call(operation, json!({ "Records": records })).await;
        // Some fields are not read, and some of these values are valid. Only these records may be
        // retried or rejected.
        let is_bad = |failure: &Value| {
            failure["itemIdentifier"].as_str().is_some_and(|id| id.starts_with("bad-"))
        };
        let failures =
            called.answer.as_ref().ok().and_then(|answer| answer["batchItemFailures"].as_array());
        let are_bad =
            dead_letters(&shop, queue).iter().all(|letter| bad_bodies.contains(&letter.body));
        if !failures.is_some_and(|failures| failures.iter().all(is_bad)) || !are_bad {
            violations.push(format!("{} {place}: {:?}", good["type"], called.answer));
        }
    }
    eprintln!(
        "edge: invalid fields of messages for {operation}: {checked} records, {} violations",
        violations.len()
    );
    assert!(
        checked > 0 && violations.is_empty(),
        "{} violations: {:#?}",
        violations.len(),
        &violations[..violations.len().min(20)]
    );
}

/// One test per consumer, so that they run concurrently; several for consumers with many messages.
macro_rules! invalid_field_tests {
    ($($test:ident: $operation:literal $part:literal of $parts:literal,)*) => {
        mod message_with_an_invalid_field_delays_no_other {
            $(
                #[tokio::test]
                async fn $test() {
                    super::check_invalid_fields($operation, $part - 1, $parts).await;
                }
            )*

            #[test]
            fn of_every_consumer() {
                let tried = [$(($operation, $part, $parts)),*];
                let all = super::CONSUMERS.iter().flat_map(|(operation, ..)| {
                    let parts = tried.iter().find(|row| row.0 == *operation).map_or(1, |row| row.2);
                    (1..=parts).map(move |part| (*operation, part, parts))
                });
                assert_eq!(tried.to_vec(), all.collect::<Vec<_>>());
            }
        }
    };
}

invalid_field_tests! {
    reserve_stock: "reserve-stock" 1 of 1,
    release_stock: "release-stock" 1 of 1,
    commit_stock: "commit-stock" 1 of 1,
    replicate_product: "replicate-product" 1 of 1,
    advance_order_1: "advance-order" 1 of 2,
    advance_order_2: "advance-order" 2 of 2,
    open_payment: "open-payment" 1 of 1,
    charge_payment: "charge-payment" 1 of 1,
    cancel_payment: "cancel-payment" 1 of 1,
    refund_payment: "refund-payment" 1 of 1,
    send_notification_1: "send-notification" 1 of 3,
    send_notification_2: "send-notification" 2 of 3,
    send_notification_3: "send-notification" 3 of 3,
    send_account_notification: "send-account-notification" 1 of 1,
    update_buyer: "update-buyer" 1 of 1,
    forget_recipient: "forget-recipient" 1 of 1,
    record_entry: "record-entry" 1 of 1,
    record_mail_feedback: "record-mail-feedback" 1 of 1,
}

/// Contradictory messages are rejected and write nothing.
#[tokio::test]
async fn contradictory_message_is_rejected_and_writes_nothing() {
    let account = |order: &str| {
        json!(format!("customer_funds:ord_0199c2a8-0000-7000-8000-0000000000{order}"))
    };
    let line =
        |account: &str, amount: i64| json!({ "account": account, "unit": "USD", "amount": amount });
    let many: Vec<Value> = (0..102)
        .map(|number| line("provider_clearing", if number % 2 == 0 { 1 } else { -1 }))
        .collect();
    let overflow = json!([
        line("provider_clearing", i64::MAX),
        line("provider_clearing", i64::MAX),
        line("provider_clearing", 2)
    ]);
    let own = "customer_funds:ord_0199c2a8-0000-7000-8000-0000000000f1";
    // The message of the queue (by a part of it), a JSON pointer, and the value to put there.
    let rows: Vec<(&str, &str, &str, &str, Value)> = [
        ("/lines", json!([])),
        ("/lines", json!([line("provider_clearing", 5998)])),
        ("/lines", json!([line("provider_clearing", 5998), line(own, -5997)])),
        ("/lines", json!([line("provider_clearing", 0), line(own, 0)])),
        ("/lines", json!([line("provider_clearing", i64::MAX), line(own, -i64::MAX)])),
        ("/lines", json!([line("provider_clearing", i64::MIN), line(own, i64::MIN)])),
        (
            "/lines",
            json!([line("provider_clearing", 1_000_000_000_001), line(own, -1_000_000_000_001)]),
        ),
        ("/lines", overflow),
        ("/lines", json!(many)),
        ("/lines/0/unit", json!("EUR")),
        ("/lines/0/unit", json!("usd")),
        ("/lines/0/unit", json!("pcs:prd_0199c2a8-0000-7000-8000-00000000000a")),
        ("/lines/0/account", json!("petty_cash")),
        ("/lines/0/account", json!("stock:prd_0199c2a8-0000-7000-8000-00000000000a:on_hand")),
        ("/lines/1/account", account("f2")),
        ("/lines/1/account", json!("customer_funds:")),
        ("/lines/0/amount", json!(5998.0)),
        ("/lines/0/amount", json!("5998")),
        ("/lines/1", Value::Null),
        ("/order_id", Value::Null),
        ("/order_id", json!("ord_0199c2a8-0000-7000-8000-0000000000f2")),
        ("/kind", json!("")),
        ("/kind", json!("Capture")),
        ("/kind", json!("x".repeat(41))),
        ("/kind", json!("capture#1")),
        ("/entry_id", json!("ord_0199c2a8-0000-8000-8000-0000000000b1")),
        ("/occurred_at", json!("2026-02-30T00:00:00Z")),
    ]
    .into_iter()
    .map(|(place, value)| ("record-entry", "record-entry", "\"capture\"", place, value))
    .chain(
        [
            (
                "adjustment",
                "/lines/0/account",
                json!("stock:prd_0199c2a8-0000-7000-8000-00000000000b:on_hand"),
            ),
            (
                "adjustment",
                "/lines/0/account",
                json!("stock:prd_0199c2a8-0000-7000-8000-00000000000a:lost"),
            ),
            ("adjustment", "/lines/0/unit", json!("USD")),
            ("adjustment", "/lines/0/amount", json!(-4)),
            ("restock", "/lines/2/amount", json!(2)),
        ]
        .map(|(part, place, value)| ("record-entry", "record-entry", part, place, value)),
    )
    .chain(
        [
            ("mail_bounced", "/destination", Value::Null),
            ("mail_bounced", "/destination", json!("ada@example.com")),
            ("mail_bounced", "/destination", json!([5])),
            ("mail_bounced", "/destination", json!([["ada@example.com"]])),
            ("mail_bounced", "/bounce", Value::Null),
            ("mail_bounced", "/bounce", json!([])),
            ("mail_bounced", "/bounce/bounceType", Value::Null),
            ("mail_bounced", "/bounce/bounceType", json!({ "Permanent": null })),
        ]
        .map(|(part, place, value)| {
            ("record-mail-feedback", "record-mail-feedback", part, place, value)
        }),
    )
    .chain(
        [
            ("order_refunded", "/data/refunded", Value::Null),
            ("order_refunded", "/data/refunded", json!(1000)),
            ("order_refunded", "/data/refunded/currency", json!("usd")),
            ("order_refunded", "/data/order_id", json!("ord_1")),
            ("order_shipped", "/data/carrier", json!(["Royal Mail"])),
            ("order_shipped", "/data/items", Value::Null),
            ("low_stock", "/data/available", json!("3")),
            ("low_stock", "/data/available", json!(1.5)),
            ("low_stock", "/data/threshold", Value::Null),
            ("low_stock", "/data/product_id", json!("prd_1")),
            ("low_stock", "/template", json!("out_of_stock")),
            ("low_stock", "/template", json!("order_refunded")),
        ]
        .map(|(part, place, value)| ("send-notification", "send-notification", part, place, value)),
    )
    .chain(
        [
            ("payment_disputed", "/dispute", json!(true)),
            ("payment_disputed", "/version", json!(-1)),
            ("payment_refunded", "/refunded_total", json!("5998")),
            ("payment_refunded", "/captured_total", json!(1.5)),
            ("payment_refunded", "/refunded_total", json!(u64::MAX)),
        ]
        .map(|(part, place, value)| ("advance-order", "order-events", part, place, value)),
    )
    .chain(
        [
            ("/max_per_order", json!(-1)),
            ("/max_per_order", json!("9")),
            ("/max_per_order", json!(4_294_967_296_u64)),
            ("/price", json!(2999)),
        ]
        .map(|(place, value)| {
            ("replicate-product", "product-changes", "product_changed", place, value)
        }),
    )
    .collect();
    let mut violations = Vec::new();
    for (operation, queue, part, place, value) in &rows {
        let shop = shop_for(operation, &[]).await;
        let initial = snapshot(&shop.aws);
        let found =
            envelopes(queue).into_iter().find(|envelope| envelope.to_string().contains(part));
        let mut message = found.unwrap_or_else(|| panic!("{queue} has no {part}"));
        let what = format!("{queue}: {part}: {place} = {value:.80}");
        // No sample has this optional field.
        if place == &"/max_per_order" {
            message["data"]["max_per_order"] = Value::Null;
        }
        let Some(field) = message.pointer_mut(&format!("/data{place}")) else {
            panic!("{what}: the pointer does not exist")
        };
        *field = value.clone();
        let called = shop
            .call(operation, json!({ "Records": [record(queue, "m", &message.to_string())] }))
            .await;
        let is_acknowledged =
            called.answer.as_ref().ok() == Some(&json!({ "batchItemFailures": [] }));
        if !is_acknowledged
            || !is_rejected(&dead_letters(&shop, queue), operation, &message.to_string())
        {
            violations.push(format!("{what}: {:?}", called.answer));
        }
        if snapshot(&shop.aws) != initial {
            violations.push(format!("{what}: it writes"));
        }
    }
    eprintln!(
        "edge: contradictory messages: {} records, {} violations",
        rows.len(),
        violations.len()
    );
    assert!(violations.is_empty(), "{violations:#?}");
}

/// Two different entries with one id: the first is kept, the other rejected. The order of the lines
/// does not matter.
#[tokio::test]
async fn entry_is_written_once_and_never_overwritten() {
    let shop = Shop::new();
    let entry = envelope("record-entry");
    let tell = async |message: &Value| {
        let called = shop
            .call(
                "record-entry",
                json!({ "Records": [record("record-entry", "m", &message.to_string())] }),
            )
            .await;
        assert_eq!(called.ok()["batchItemFailures"], json!([]), "{message}");
        dead_letters(&shop, "record-entry").is_empty()
    };
    assert!(tell(&entry).await);
    let initial = snapshot(&shop.aws);
    let mut turned = entry.clone();
    turned["data"]["lines"].as_array_mut().unwrap().reverse();
    turned["id"] = "0199c2a8-0000-8000-8000-00000000dead".into();
    for same in [&entry, &turned] {
        assert!(tell(same).await, "{same}");
    }
    let mut others = vec![entry.clone(); 4];
    others[0]["data"]["kind"] = "refund".into();
    others[1]["data"]["occurred_at"] = "2026-11-21T09:48:49.124Z".into();
    for (line, amount) in [(0, 1), (1, -1)] {
        others[2]["data"]["lines"][line]["amount"] = amount.into();
    }
    let (from, to) = ("0000000000f1", "0000000000f2");
    others[3]["data"] = serde_json::from_str(&entry["data"].to_string().replace(from, to)).unwrap();
    for other in &others {
        assert!(!tell(other).await, "{other}");
    }
    assert_eq!(snapshot(&shop.aws), initial);
}

/// No address is suppressed for a transient bounce, for another sender's mail, or for a malformed
/// address.
#[tokio::test]
async fn transient_feedback_suppresses_no_address() {
    let shop = Shop::new();
    let initial = snapshot(&shop.aws);
    let long = "x".repeat(100_000);
    let bounced = |destination: Value, kind: &str| {
        ("mail_bounced.v1", json!({ "destination": destination, "bounce": { "bounceType": kind } }))
    };
    let mut rows = vec![
        (
            "mail_complained.v1",
            json!({ "destination": ["ada@example.com"], "complaint": { "complaintFeedbackType": "not-spam" } }),
        ),
        ("mail_complained.v1", json!({ "destination": [], "complaint": {} })),
        bounced(json!([]), "Permanent"),
        bounced(json!(["ada@example.com", "bob@example.com"]), "Permanent"),
        bounced(json!(vec!["ada@example.com"; 1000]), "Permanent"),
    ];
    for kind in
        ["Transient", "Undetermined", "permanent", "PERMANENT", "", "Permanent ", "\u{202e}", &long]
    {
        rows.push(bounced(json!(["ada@example.com"]), kind));
    }
    let mut message = envelope("record-mail-feedback");
    for (kind, data) in &rows {
        (message["type"], message["data"]) = (json!(kind), data.clone());
        let called = shop
            .call(
                "record-mail-feedback",
                json!({ "Records": [record("record-mail-feedback", "m", &message.to_string())] }),
            )
            .await;
        assert_eq!(called.ok()["batchItemFailures"], json!([]), "{data:.200}");
    }
    assert_eq!(snapshot(&shop.aws), initial);
    // The reason never contains the address.
    for invalid in [
        "",
        "x",
        "ada@example.com",
        "Ada <ADA@example.com>",
        "a@b.cd\r\nBcc: x@y.zz",
        "\u{ffff}",
        &long,
    ] {
        (message["type"], message["data"]) =
            (json!("mail_bounced.v1"), bounced(json!([invalid]), "Permanent").1);
        let called = shop
            .call(
                "record-mail-feedback",
                json!({ "Records": [record("record-mail-feedback", "m", &message.to_string())] }),
            )
            .await;
        assert_eq!(called.ok()["batchItemFailures"], json!([]), "{invalid:.80}");
        let kept = json!(snapshot(&shop.aws)).to_string();
        assert!(invalid.len() < 5 || !kept.contains(invalid), "{invalid:.80} is kept");
    }
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
