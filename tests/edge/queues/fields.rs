//! Messages with one invalid field.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{CONSUMERS, dead_letters, envelope, other_forms, record, shop_for};
use crate::bodies::places;

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
    compile_market: "compile-market" 1 of 1,
    replicate_pricing: "replicate-pricing" 1 of 1,
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
