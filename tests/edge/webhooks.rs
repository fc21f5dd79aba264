//! Requests that claim to be webhooks of the payment provider, and signed webhooks that are
//! invalid.

mod signatures;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tests::{events::provider_signature as signature, shop::Shop};

use crate::fixture::{ApiFixture, ECHO, Expect, WEBHOOK_SECRET, header, snapshot};

const RECEIVE: &str = "receive-payment-webhook";
const REFUSED: Expect = Expect::Problem(400, "bad_signature");

/// A webhook request with this body and these signatures.
fn call(edge: &ApiFixture, body: &str, signatures: &[&str]) -> Value {
    let mut event = edge.webhook(body);
    header(&mut event, "stripe-signature", signatures);
    event
}

fn seconds(edge: &ApiFixture) -> i64 {
    edge.shop.clock.now().seconds()
}

#[tokio::test]
async fn webhook_of_another_provider_is_404() {
    let mut edge = ApiFixture::new("unknown providers").await;
    let long = "x".repeat(10_000);
    for provider in [
        "stripe",
        "Simulated",
        "simulated ",
        "simulated/",
        "",
        "..",
        "%00",
        "\0",
        "*",
        "null",
        ECHO,
        &long,
    ] {
        let mut event = edge.valid(RECEIVE);
        event["pathParameters"]["provider"] = provider.into();
        let expect = Expect::Problem(404, "provider_not_found");
        edge.check(provider, RECEIVE, event.clone(), expect).await;
        if !edge.shop.call(RECEIVE, event).await.calls.is_empty() {
            edge.report(format!("{provider:.20}: a secret or the table is read"));
        }
    }
    edge.done();
}

/// The provider signs all of these, and repeats for days until it receives a success.
#[tokio::test]
async fn signed_body_of_another_shape_is_acknowledged_and_writes_nothing() {
    let mut edge = ApiFixture::new("signed bodies").await;
    let event = edge.webhook_body("evt_1");
    let with = |place: &str, value: Value| {
        let mut event: Value = serde_json::from_str(&event).unwrap();
        *event.pointer_mut(place).unwrap() = value;
        event.to_string()
    };
    let long = "e".repeat(256);
    let thin = json!({
        "id": "evt_thin", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered", "livemode": false,
        "created": "2026-11-21T10:00:00.000Z", "context": null, "reason": null,
        "related_object": { "id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1" },
    });
    let before = snapshot(&edge.shop.aws);
    for body in [
        String::new(),
        " ".to_owned(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\"x\"".to_owned(),
        "{}".to_owned(),
        "NaN".to_owned(),
        ECHO.to_owned(),
        format!("[{event}]"),
        thin.to_string(),
        format!("{event} x"),
        format!("{event}{event}"),
        format!("\u{feff}{event}"),
        event.replacen('{', "{\"id\":\"evt_0\",", 1),
        event.replacen("\"data\":{", "\"data\":{\"object\":{},", 1),
        "[".repeat(100_000),
        "{\"data\":".repeat(30_000),
        with("/id", Value::Null),
        with("/id", json!(5)),
        with("/id", json!("")),
        with("/id", json!("evt 1")),
        with("/id", json!("evt_\u{0}")),
        with("/id", json!("é")),
        with("/id", json!(long)),
        with("/id", json!(["evt_1"])),
        with("/type", Value::Null),
        with("/type", json!(5)),
        with("/data", Value::Null),
        with("/data", json!([])),
        with("/data", json!({})),
        with("/data", json!("x")),
    ] {
        edge.check(&body, RECEIVE, edge.webhook(&body), Expect::Fine).await;
    }
    if snapshot(&edge.shop.aws) != before {
        edge.report("it writes".to_owned());
    }
    // A body that the gateway base64-encodes: the signature covers the decoded bytes.
    let latin1 = [b"{\"id\":\"".as_slice(), &[0xe9, 0xff, 0xc0, 0x80], b"\"}"].concat();
    let utf16: Vec<u8> = event.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [
        latin1,
        utf16,
        vec![0xff; 300],
        vec![0x1f, 0x8b, 8, 0],
        vec![0],
        [event.as_bytes(), &[0xf0, 0x9f]].concat(),
    ] {
        let mut call = edge.webhook(&BASE64_STANDARD.encode(&bytes));
        call["isBase64Encoded"] = true.into();
        header(
            &mut call,
            "stripe-signature",
            &[&signature(WEBHOOK_SECRET, seconds(&edge), &bytes)],
        );
        edge.check("not UTF-8", RECEIVE, call, Expect::Fine).await;
    }
    for text in ["!!!", "e30", "====", &event, ECHO] {
        let mut call = edge.webhook(text);
        call["isBase64Encoded"] = true.into();
        edge.check(text, RECEIVE, call, Expect::Problem(400, "malformed_body")).await;
    }
    // Larger than any event: rejected before the signature is checked.
    let large = Expect::Problem(413, "payload_too_large");
    for body in [
        format!("{event}{}", " ".repeat(256 * 1024)),
        "x".repeat(6_000_000),
        "[".repeat(10_000_000),
        ECHO.repeat(1_000_000),
    ] {
        edge.check("large and signed", RECEIVE, edge.webhook(&body), large).await;
        edge.check("large", RECEIVE, call(&edge, &body, &["t=1,v1=00"]), large).await;
    }
    edge.done();
}

/// Signed and well formed, but about unknown objects or in an unknown format.
#[tokio::test]
async fn webhook_about_unknown_objects_is_acknowledged() {
    let mut edge = ApiFixture::new("foreign events").await;
    let payment = edge.payment.clone();
    let unknown_payment =
        "pay_0199c2a8-0000-7000-8000-00000000dead_0199c2a8-0000-7000-8000-00000000dead";
    let refund = "ref_0199c2a8-0000-7000-8000-00000000dead";
    let long = "x".repeat(100_000);
    let mut objects = vec![
        Value::Null,
        json!([]),
        json!("x"),
        json!(5),
        json!({}),
        json!({ "object": 5 }),
        json!({ "object": ECHO }),
        json!({ "object": "customer", "id": "cus_1", "metadata": { "payment_id": payment } }),
        json!({ "object": "payment_intent" }),
        json!({ "object": "payment_intent", "metadata": [] }),
        json!({ "object": "payment_intent", "id": "pi_1", "metadata": [payment] }),
        json!({ "object": "payment_intent", "metadata": { "payment_id": 5 } }),
        json!({ "object": "payment_intent", "metadata": { "payment_id": format!("{payment} ") } }),
        json!({ "object": "payment_intent", "metadata": { "payment_id": payment.to_uppercase() } }),
        json!({ "object": "payment_intent", "id": "pi_1", "metadata": { "payment_id": unknown_payment } }),
        json!({ "object": "payment_intent", "id": ["pi_1"], "metadata": { "payment_id": unknown_payment } }),
        // The status that the event claims is not trusted.
        json!({ "object": "payment_intent", "id": "pi_1", "status": "canceled", "amount": 1, "metadata": { "payment_id": payment } }),
        json!({ "object": "payment_intent", "id": "../refunds", "currency": "eur", "metadata": { "payment_id": payment } }),
        json!({ "object": "payment_intent", "id": long, "metadata": { "payment_id": payment } }),
        json!({ "object": "refund", "id": "re_1", "metadata": {} }),
        json!({ "object": "refund", "id": "re_1", "payment_intent": "pi_1", "metadata": {} }),
        json!({ "object": "refund", "id": "re_1", "payment_intent": { "id": "pi_1" }, "metadata": { "refund_id": 5 } }),
        json!({ "object": "refund", "id": "../re_1", "payment_intent": "pi_1", "metadata": {} }),
        json!({ "object": "refund", "id": "re_1", "amount": 999, "metadata": { "payment_id": payment, "refund_id": refund } }),
        json!({ "object": "refund", "id": "re_1", "metadata": { "payment_id": unknown_payment, "refund_id": refund } }),
        json!({ "object": "refund", "id": long, "metadata": { "payment_id": payment, "refund_id": "x" } }),
    ];
    for id in [
        json!(null),
        json!(""),
        json!(5),
        json!("pi_1"),
        json!("../../CHARGE#1"),
        json!("pi_\0"),
        json!("\u{ffff}"),
        json!(long),
    ] {
        objects.push(json!({ "object": "dispute", "id": "dp_1", "payment_intent": id }));
    }
    let types = [
        "payment_intent.succeeded",
        "charge.dispute.created",
        "refund.updated",
        "",
        "made.up",
        "\u{202e}",
        ECHO,
    ];
    // All records of the shop, without those of processed webhooks.
    let records = |shop: &Shop| {
        let text =
            |item: &Value, name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
        let mut tables = snapshot(&shop.aws);
        let lists = tables.iter_mut().filter_map(Value::as_array_mut);
        lists.for_each(|items| {
            items.retain(|item| {
                text(item, "sk") != "EVENT" && !text(item, "pk").starts_with("BREAKER")
            })
        });
        tables
    };
    let before = records(&edge.shop);
    for (o, object) in objects.iter().enumerate() {
        for (k, kind) in types.iter().enumerate() {
            let body = json!({ "id": format!("evt_{o}_{k}"), "type": kind, "data": { "object": object }, "api_version": ECHO }).to_string();
            let what: String = format!("{kind} {object}").chars().take(120).collect();
            for time in ["once", "twice"] {
                let answer = edge
                    .check(&format!("{what} {time}"), RECEIVE, edge.webhook(&body), Expect::Fine)
                    .await;
                if answer != Some(json!({ "received": true })) {
                    edge.report(format!("{what}: {answer:?}"));
                }
            }
            if records(&edge.shop) != before {
                edge.report(format!("{what}: something has changed"));
                break;
            }
        }
    }
    edge.done();
}

/// One payment that waits for its buyer, and its final event: late, out of order, a hundred times,
/// concurrently.
#[tokio::test]
async fn webhooks_apply_once_in_any_order_and_number() {
    let mut edge = ApiFixture::new("repeated events").await;
    let shop = edge.shop.clone();
    let mut harness = shop.harness();
    let order = shop.order("waiting", &edge.product, 1, Some("tok_3ds")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    harness.drain_queues().await;
    let list = tests::events::get(&format!("/payments?order_id={order}"))
        .caller(tests::events::USER)
        .event();
    let payment = shop.call("list-payments", list).await.json()["items"][0].clone();
    assert_eq!(payment["status"], "requires_action", "{payment}");
    let transaction = payment["transaction_id"].as_str().unwrap();
    let of_payment = |id: &str, kind: &str| {
        let object = json!({ "object": "payment_intent", "id": transaction, "metadata": { "payment_id": payment["id"] } });
        json!({ "id": id, "type": kind, "data": { "object": object } }).to_string()
    };
    let of_dispute = |id: &str| {
        let object = json!({ "object": "dispute", "id": "dp_1", "payment_intent": transaction });
        json!({ "id": id, "type": "charge.dispute.created", "data": { "object": object } })
            .to_string()
    };
    // The first webhook that queries the provider finds the charge. A dispute that arrives earlier
    // has no charge to refer to.
    let mut bodies =
        vec![of_dispute("evt_early"), of_payment("evt_created", "payment_intent.created")];
    bodies.extend((0..50).map(|_| of_payment("evt_same", "payment_intent.succeeded")));
    bodies.extend(
        (0..50).map(|number| of_payment(&format!("evt_{number}"), "payment_intent.succeeded")),
    );
    for body in &bodies[..2] {
        edge.check("in its time", RECEIVE, edge.webhook(body), Expect::Fine).await;
    }
    let mut calls = tokio::task::JoinSet::new();
    for body in &bodies {
        let (shop, event) = (shop.clone(), edge.webhook(body));
        calls.spawn(async move { shop.call(RECEIVE, event).await.status() });
    }
    let statuses = calls.join_all().await;
    if statuses.iter().any(|status| *status != 200) {
        edge.report(format!("at the same time: {statuses:?}"));
    }
    harness.drain_queues().await;
    let paid = shop.read_order(&order).await;
    assert_eq!(paid["status"], "confirmed", "{paid}");
    let captures = |kind: &str| {
        harness
            .delivered
            .iter()
            .filter(|(_, message)| {
                message["data"]["kind"] == kind && message.to_string().contains(&order)
            })
            .count()
    };
    assert_eq!((captures("capture"), captures("duplicate_capture")), (1, 0));
    let charges = shop
        .aws
        .items("payment-simulator")
        .iter()
        .filter(|item| item["pk"]["S"] == format!("CHARGE#{transaction}"))
        .count();
    assert_eq!(charges, 1);
    tests::bank::dispute(&shop.aws, "dp_1", transaction, "open");
    for id in ["evt_late", "evt_late", "evt_later"] {
        edge.check("a dispute", RECEIVE, edge.webhook(&of_dispute(id)), Expect::Fine).await;
    }
    harness.drain_queues().await;
    assert_eq!(
        shop.read_order(&order).await["history"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["event"] == "payment_disputed")
            .count(),
        1
    );
    edge.done();
}
