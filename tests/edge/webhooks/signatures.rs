//! Signatures of webhooks: invalid and replayed ones, and the rotation of the secret.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use tests::events::provider_signature as signature;

use super::{RECEIVE, REFUSED, call, seconds};
use crate::fixture::{
    ApiFixture, ECHO, Expect, WEBHOOK_SECRET, WEBHOOK_SECRET_BEFORE, header, snapshot,
};

#[tokio::test]
async fn unsigned_webhooks_are_rejected_without_a_reason() {
    let mut edge = ApiFixture::new("forged events").await;
    let (now, body) = (seconds(&edge), edge.webhook_body("evt_1"));
    let good = signature(WEBHOOK_SECRET, now, &body);
    let tag = good.split_once("v1=").unwrap().1;
    let signed = |seconds: i64| signature(WEBHOOK_SECRET, seconds, &body);
    let headers: Vec<Vec<String>> = vec![
        vec![],
        vec![String::new()],
        vec![" ".to_owned()],
        vec!["t".to_owned()],
        vec![format!("t={now}")],
        vec![format!("v1={tag}")],
        vec![format!("t={now},v0={tag}")],
        vec![format!("t={now},V1={tag}")],
        vec![format!("t={now};v1={tag}")],
        vec![format!("t={now},v1=")],
        vec![format!("t={now},v1={}", &tag[1..])],
        vec![format!("t={now},v1={tag}0")],
        vec![format!("t={now},v1=+{}", &tag[1..])],
        vec![format!("t={now},v1={}", tag.replace(['a', 'b', 'c', '0', '1', '2'], "é"))],
        vec![format!("t={now},v1={}", "0".repeat(64))],
        vec![format!("t={now},v1={}", "zz".repeat(32))],
        vec![format!("t={now},v1={ECHO}")],
        vec![ECHO.to_owned()],
        vec![format!("Bearer {tag}")],
        vec![format!("t={now},v1={tag}\0")],
        vec![format!("t={now}\r\nX: {ECHO},v1={tag}")],
        vec![format!("t={},v1={tag}", now + 1)],
        vec![format!("t=+{now},v1={tag}")],
        vec![format!("t=0{now},v1={tag}")],
        vec![format!("t=-{now},v1={tag}")],
        vec![format!("t={now}.0,v1={tag}")],
        vec![format!("t= {now},v1={tag}")],
        vec![format!("t=,v1={tag}")],
        vec![format!("t=٥,v1={tag}")],
        vec![format!("t={},v1={tag}", i64::MAX)],
        vec![format!("t={},v1={tag}", u64::MAX)],
        vec![format!("t={},v1={tag}", "9".repeat(400))],
        vec![format!("t=0,t={now},v1={tag}")],
        vec![format!("t={now},t=0,v1={tag}")],
        vec![format!("t={now},t={now},v1={tag}")],
        vec![format!("{good},{}", "v0=0,".repeat(2048))],
        vec![format!("t={now}{},v1={tag}", ",v1=00".repeat(10_000))],
        vec![format!("t={now},{}v1={tag}", format!("v1={},", "0".repeat(64)).repeat(8))],
        vec![",".repeat(10_000)],
        vec![format!("t={now},v1={}", "0".repeat(64)), good.clone()],
        vec![signed(now - 301)],
        vec![signed(now + 301)],
        vec![signed(now - 86_400)],
        vec![signed(0)],
        vec![signed(i64::MAX)],
        vec![signed(i64::MIN)],
        vec![signature("", now, &body)],
        vec![signature("whsec_", now, &body)],
        vec![signature(&WEBHOOK_SECRET.to_uppercase(), now, &body)],
        vec![signature(&format!("{WEBHOOK_SECRET}\n"), now, &body)],
        vec![signature("another secret altogether", now, &body)],
    ];
    let mut answers = Vec::new();
    for values in &headers {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let event = call(&edge, &body, &values);
        answers.push(edge.check(&format!("{values:?}"), RECEIVE, event.clone(), REFUSED).await);
        if !edge.shop.call(RECEIVE, event).await.operations().is_empty() {
            edge.report(format!("{values:?}: the table is read"));
        }
    }
    let mut event = edge.webhook(&body);
    header(&mut event, "stripe-signature", &[]);
    event["headers"]["X-Stripe-Signature"] = good.clone().into();
    event["queryStringParameters"] = json!({ "stripe-signature": good });
    answers.push(edge.check("a signature elsewhere", RECEIVE, event, REFUSED).await);

    // The signature covers every byte of the body.
    let altered = [
        String::new(),
        format!("{body} "),
        format!(" {body}"),
        format!("{body}\n"),
        format!("\u{feff}{body}"),
        body.replace("\":", "\": "),
        body.replace("evt_1", "evt_2"),
        body.replace("succeeded", "canceled"),
        body[..body.len() - 1].to_owned(),
        body.repeat(2),
        BASE64_STANDARD.encode(&body),
        edge.webhook_body("evt_2"),
        "{}".to_owned(),
    ];
    for other in &altered {
        answers.push(edge.check(other, RECEIVE, call(&edge, other, &[&good]), REFUSED).await);
    }
    // Declared as base64, and decodable to other bytes.
    let mut event = call(&edge, &BASE64_STANDARD.encode(format!("{body} ")), &[&good]);
    event["isBase64Encoded"] = true.into();
    answers.push(edge.check("other bytes in base64", RECEIVE, event, REFUSED).await);
    if let Some(other) = answers.iter().find(|answer| **answer != answers[0]) {
        edge.report(format!("the answers differ: {:?} {other:?}", answers[0]));
    }
    edge.check("the event itself", RECEIVE, call(&edge, &body, &[&good]), Expect::Fine).await;
    edge.done();
}

/// A repeated event, or one with a valid but expired signature, has no effect.
#[tokio::test]
async fn replayed_webhook_is_rejected() {
    let mut edge = ApiFixture::new("replayed events").await;
    let recorded = edge.webhook(&edge.webhook_body("evt_recorded"));
    edge.check("in its time", RECEIVE, recorded.clone(), Expect::Fine).await;
    let initial = snapshot(&edge.shop.aws);
    edge.shop.clock.advance(Duration::from_secs(300));
    edge.check("at the last moment", RECEIVE, recorded.clone(), Expect::Fine).await;
    if snapshot(&edge.shop.aws) != initial {
        edge.report("a replay writes".to_owned());
    }
    edge.shop.clock.advance(Duration::from_secs(1));
    edge.check("a second too late", RECEIVE, recorded, REFUSED).await;
    edge.done();
}

/// The secret changes while the function is warm. The new one is valid within five minutes, and the
/// previous one as long as it is configured.
#[tokio::test]
async fn webhook_secret_rotation_has_no_gap_and_retires_the_old_secret() {
    const NEXT: &str = "whsec_zqxEchoxqz_of_tomorrow";
    let mut edge = ApiFixture::new("rotated secrets").await;
    let mut number = 0;
    let mut with = |edge: &ApiFixture, secret: &str| {
        number += 1;
        let body = edge.webhook_body(&format!("evt_{number}"));
        let signed = signature(secret, seconds(edge), &body);
        call(edge, &body, &[&signed])
    };
    for (secret, expect) in
        [(WEBHOOK_SECRET, Expect::Fine), (WEBHOOK_SECRET_BEFORE, Expect::Fine), (NEXT, REFUSED)]
    {
        let event = with(&edge, secret);
        edge.check("before", RECEIVE, event, expect).await;
    }
    let secrets = json!({ "current": NEXT, "previous": WEBHOOK_SECRET });
    edge.shop.aws.secrets_manager().set("payment-webhook-secrets", &secrets.to_string());
    edge.shop.clock.advance(Duration::from_secs(301));
    for (secret, expect) in
        [(NEXT, Expect::Fine), (WEBHOOK_SECRET, Expect::Fine), (WEBHOOK_SECRET_BEFORE, REFUSED)]
    {
        let event = with(&edge, secret);
        edge.check("rotated", RECEIVE, event, expect).await;
    }
    edge.shop
        .aws
        .secrets_manager()
        .set("payment-webhook-secrets", &json!({ "current": NEXT, "previous": "" }).to_string());
    edge.shop.clock.advance(Duration::from_secs(301));
    for (secret, expect) in [(NEXT, Expect::Fine), (WEBHOOK_SECRET, REFUSED), ("", REFUSED)] {
        let event = with(&edge, secret);
        edge.check("the old secret is retired", RECEIVE, event, expect).await;
    }
    edge.done();
}

/// A misconfigured secret is answered with 503, so that the provider repeats the webhook. The
/// response does not contain it.
#[tokio::test]
async fn misconfigured_webhook_secret_is_503_and_not_echoed() {
    let mut violations = Vec::new();
    for secret in [
        String::new(),
        "{".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        WEBHOOK_SECRET.to_owned(),
        json!(WEBHOOK_SECRET).to_string(),
        json!({ WEBHOOK_SECRET: WEBHOOK_SECRET }).to_string(),
        json!({ "current": [WEBHOOK_SECRET] }).to_string(),
        json!({ "current": null, "previous": WEBHOOK_SECRET }).to_string(),
    ] {
        let edge = ApiFixture::new("unusable secrets").await;
        edge.shop.aws.secrets_manager().set("payment-webhook-secrets", &secret);
        let before = snapshot(&edge.shop.aws);
        for event in [edge.valid(RECEIVE), call(&edge, "{}", &["t=1,v1=00"])] {
            let called = edge.shop.call(RECEIVE, event).await;
            let text = called.ok().to_string();
            if called.status() != 503
                || called.json()["code"] != "temporarily_unavailable"
                || text.contains(ECHO)
            {
                violations.push(format!("{secret}: {text}"));
            }
        }
        if snapshot(&edge.shop.aws) != before {
            violations.push(format!("{secret}: it writes"));
        }
    }
    // A missing or too short secret: no signature is valid.
    for secret in [json!({ "current": "" }), json!({ "current": "short", "previous": "short" })] {
        let mut edge = ApiFixture::new("empty and short secrets").await;
        edge.shop.aws.secrets_manager().set("payment-webhook-secrets", &secret.to_string());
        for made_with in ["", "short", WEBHOOK_SECRET] {
            let body = edge.webhook_body("evt_1");
            let signed = signature(made_with, seconds(&edge), &body);
            edge.check(made_with, RECEIVE, call(&edge, &body, &[&signed]), REFUSED).await;
        }
        edge.done();
    }
    assert!(violations.is_empty(), "{violations:#?}");
}
