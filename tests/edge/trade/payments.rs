//! Refunds and repeated declines.

use serde_json::{Value, json};
use tests::events;

use crate::fixture::{ApiFixture, Expect, header};

/// Rejects refunds above the capture, of an unpaid payment, and with a reused key. Of two refunds
/// that exceed the capture together, one succeeds.
#[tokio::test]
async fn refunds_never_exceed_the_capture() {
    let mut edge = ApiFixture::new("refunds").await;
    let refund = |edge: &ApiFixture, key: &str, amount: Value| {
        let mut event = edge
            .with_body("create-refund", &json!({ "amount": amount, "reason": "why" }).to_string());
        header(&mut event, "idempotency-key", &[key]);
        event
    };
    let usd = |amount: i64| json!({ "amount": amount, "currency": "USD" });
    let exceeds = Expect::Problem(422, "exceeds_refundable");
    for amount in [5999, 99_999_999] {
        edge.check("too much", "create-refund", refund(&edge, "much", usd(amount)), exceeds).await;
    }
    let euros = refund(&edge, "euros", json!({ "amount": 1, "currency": "EUR" }));
    edge.check(
        "another currency",
        "create-refund",
        euros,
        Expect::Problem(422, "currency_mismatch"),
    )
    .await;
    let list = events::get(&format!("/payments?order_id={}", edge.failed_order))
        .caller(events::USER)
        .event();
    let none = edge
        .check("payments of a failed order", "list-payments", list, Expect::Fine)
        .await
        .unwrap_or_default();
    assert_eq!(none["items"], json!([]));

    // Two concurrent refunds: each is allowed, both together are not.
    let (shop, first, second) =
        (edge.shop.clone(), refund(&edge, "first", usd(3500)), refund(&edge, "second", usd(3500)));
    let (first, second) =
        tokio::join!(shop.call("create-refund", first), shop.call("create-refund", second));
    let mut statuses = [first.status(), second.status()];
    statuses.sort_unstable();
    if statuses[0] != 201 || !matches!(statuses[1], 409 | 422) {
        edge.report(format!("two concurrent payments: {statuses:?}"));
    }
    let done = if first.status() == 201 { "first" } else { "second" };
    edge.check("again", "create-refund", refund(&edge, done, usd(3500)), Expect::Fine).await;
    let reused = Expect::Problem(422, "idempotency_key_reused");
    for amount in [usd(1), usd(3501), Value::Null] {
        edge.check("a used key", "create-refund", refund(&edge, done, amount), reused).await;
    }
    let mut elsewhere = refund(&edge, done, usd(3500));
    elsewhere["pathParameters"]["payment_id"] =
        edge.payment.replacen("pay_0", "pay_1", 1).replacen("pay_f", "pay_e", 1).into();
    if elsewhere["pathParameters"]["payment_id"] != edge.payment.as_str() {
        edge.check(
            "a used key, another payment",
            "create-refund",
            elsewhere,
            Expect::Problem(404, "payment_not_found"),
        )
        .await;
    }
    edge.check("more than is left", "create-refund", refund(&edge, "more", usd(2499)), exceeds)
        .await;
    edge.check(
        "all that is left",
        "create-refund",
        refund(&edge, "rest", Value::Null),
        Expect::Fine,
    )
    .await;
    for amount in [usd(1), Value::Null] {
        edge.check(
            "nothing is left",
            "create-refund",
            refund(&edge, "none", amount),
            Expect::Problem(409, "not_refundable"),
        )
        .await;
    }
    let refunded: i64 = shop
        .aws
        .items("payment-simulator")
        .iter()
        .filter(|item| item["pk"]["S"].as_str().is_some_and(|key| key.starts_with("REFUND#")))
        .map(|item| item["amount"]["N"].as_str().unwrap().parse::<i64>().unwrap())
        .sum();
    assert_eq!(refunded, 5998, "the refunds at the provider");
    edge.done();
}

/// An order that waits for its buyer sends no command again, so payments repeats no decline.
#[tokio::test]
async fn declined_order_sends_no_command_until_its_deadline() {
    let edge = ApiFixture::new("retried orders").await;
    let shop = &edge.shop;
    let (before, mut harness) = (shop.aws.mails().mails().len(), shop.harness());
    let order = shop.order("declined", &edge.product, 1, Some("tok_declined")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    harness.drain_queues().await;
    let mails = |shop: &tests::shop::Shop| shop.aws.mails().mails().len() - before;
    let declines = |order: &Value| {
        order["history"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["event"] == "payment_declined")
            .count()
    };
    assert_eq!((mails(shop), declines(&shop.read_order(&order).await)), (1, 1));
    let delivered = harness.delivered.len();
    for minutes in [1, 2, 4, 8] {
        shop.clock.advance(std::time::Duration::from_secs(60 * minutes + 1));
        assert!(shop.call("resume-orders", json!({})).await.answer.is_ok());
        harness.drain_queues().await;
    }
    assert_eq!((mails(shop), declines(&shop.read_order(&order).await)), (1, 1));
    let of_order = |message: &Value| message["subject"] == order.as_str();
    let later = harness.delivered[delivered..].iter().filter(|(_, message)| of_order(message));
    assert_eq!(later.count(), 0, "messages about the order");
    edge.done();
}
