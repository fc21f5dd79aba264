//! Messages that contradict a record, and messages without an effect.

use serde_json::{Value, json};
use tests::shop::Shop;

use super::{dead_letters, envelope, envelopes, is_rejected, record, shop_for};
use crate::fixture::snapshot;

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
            ("/tax_class", json!("Reduced")),
            ("/weight_g", json!(-1)),
            ("/requires_shipping", json!("true")),
            ("/prices", json!({})),
            ("/prices/0/market", json!("DE")),
            ("/prices/0/currency", json!("eur")),
            ("/prices/0/compare_at_from", json!("tomorrow")),
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
        // The first sample is of a release without these fields.
        if part == &"product_changed" {
            message["data"]["max_per_order"] = Value::Null;
            message["data"]["tax_class"] = "standard".into();
            message["data"]["weight_g"] = 0.into();
            message["data"]["requires_shipping"] = true.into();
            message["data"]["prices"] = json!([{
                "market": "de", "currency": "EUR", "amount": 2599, "compare_at": 3299,
                "compare_at_from": "2026-11-21T00:00:00.000Z",
            }]);
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
    let records = async |message: &Value| {
        let called = shop
            .call(
                "record-entry",
                json!({ "Records": [record("record-entry", "m", &message.to_string())] }),
            )
            .await;
        assert_eq!(called.ok()["batchItemFailures"], json!([]), "{message}");
        dead_letters(&shop, "record-entry").is_empty()
    };
    assert!(records(&entry).await);
    let initial = snapshot(&shop.aws);
    let mut turned = entry.clone();
    turned["data"]["lines"].as_array_mut().unwrap().reverse();
    turned["id"] = "0199c2a8-0000-8000-8000-00000000dead".into();
    for same in [&entry, &turned] {
        assert!(records(same).await, "{same}");
    }
    let mut others = vec![entry.clone(); 3];
    others[0]["data"]["kind"] = "refund".into();
    others[1]["data"]["occurred_at"] = "2026-11-21T09:48:49.124Z".into();
    for (line, amount) in [(0, 1), (1, -1)] {
        others[2]["data"]["lines"][line]["amount"] = amount.into();
    }
    for other in &others {
        assert!(!records(other).await, "{other}");
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
