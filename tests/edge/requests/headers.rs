//! Idempotency keys, request ids and headers without a meaning.

use serde_json::json;
use tests::events;

use crate::{
    fixture::{ApiFixture, ECHO, Expect, header},
    routes::{IfMatch, ROUTES},
};

#[tokio::test]
async fn idempotency_key_must_be_one_value_of_visible_ascii() {
    let long = "k".repeat(256);
    let mut edge = ApiFixture::new("idempotency keys").await;
    for route in ROUTES.iter().filter(|route| route.key) {
        let mut event = edge.valid(route.operation);
        header(&mut event, "idempotency-key", &[]);
        edge.check(
            "no key",
            route.operation,
            event,
            Expect::Problem(400, "idempotency_key_required"),
        )
        .await;
        let invalid: [&[&str]; 12] = [
            &[""],
            &[&long],
            &["a b"],
            &[" a"],
            &["a\t"],
            &["é"],
            &["a\0b"],
            &["a\r\nb"],
            &["a", "a"],
            &["a", "b"],
            &["\u{7f}"],
            &["", "a"],
        ];
        for values in invalid {
            let mut event = edge.valid(route.operation);
            header(&mut event, "idempotency-key", values);
            edge.check(
                &format!("{values:?}"),
                route.operation,
                event,
                Expect::Problem(400, "idempotency_key_invalid"),
            )
            .await;
        }
        let mut event = edge.valid(route.operation);
        header(&mut event, "idempotency-key", &[]);
        event["multiValueHeaders"]["Idempotency-Key"] = json!(["a"]);
        event["multiValueHeaders"]["IDEMPOTENCY-KEY"] = json!(["b"]);
        edge.check(
            "two spellings",
            route.operation,
            event,
            Expect::Problem(400, "idempotency_key_invalid"),
        )
        .await;
    }
    edge.done();
}

/// Irrelevant headers do not change the response. Reads still succeed; a body of `{` is still
/// malformed. `If-Match` matters only to operations that read it.
#[tokio::test]
async fn irrelevant_headers_are_ignored() {
    let huge = ECHO.repeat(1000);
    let irrelevant: Vec<(&str, &str)> = vec![
        ("x-request-id", &huge),
        ("x-request-id", "a\r\nSet-Cookie: zqxEchoxqz=1"),
        ("x-request-id", "zqxEchoxqz zqx"),
        ("x-request-id", "é"),
        ("x-request-id", ""),
        ("x-request-id", "<zqxEchoxqz>"),
        ("traceparent", &huge),
        ("traceparent", "00-zqxEchoxqz-b7ad6b7169203331-01"),
        ("traceparent", "00-00000000000000000000000000000000-0000000000000000-00"),
        ("traceparent", "\0"),
        ("host", "zqxEchoxqz.evil.example"),
        ("x-forwarded-host", "zqxEchoxqz.evil.example"),
        ("x-forwarded-for", "zqxEchoxqz, 1.2.3.4"),
        ("x-forwarded-proto", "zqxEchoxqz"),
        ("forwarded", "for=zqxEchoxqz"),
        ("origin", "https://zqxEchoxqz.evil.example"),
        ("referer", "https://zqxEchoxqz.evil.example"),
        ("x-http-method-override", "DELETE"),
        ("x-method-override", "zqxEchoxqz"),
        ("x-admin", "true"),
        ("x-user-id", events::ADMIN),
        ("authorization", "Bearer zqxEchoxqz"),
        ("cookie", &huge),
        ("accept", "text/html"),
        ("accept-encoding", "zqxEchoxqz"),
        ("expect", "100-continue"),
        ("if-none-match", "\"zqxEchoxqz\""),
        ("if-none-match", "W/\"0\", \"999999\""),
        ("if-match", "*"),
        ("x-device-token", &huge),
        ("range", "bytes=0-1"),
        ("content-length", "-1"),
        ("transfer-encoding", "chunked"),
        ("\r\nx-injected", "zqxEchoxqz"),
        ("", "zqxEchoxqz"),
    ];
    let mut edge = ApiFixture::new("headers").await;
    for route in ROUTES.iter() {
        for (name, value) in &irrelevant {
            let (mut event, mut expect) = edge.harmless(route);
            header(&mut event, name, &[value]);
            if *name == "if-match" && route.if_match != IfMatch::Ignored {
                expect = Expect::Problem(400, "invalid_if_match");
            }
            edge.check(&format!("{name}: {value}"), route.operation, event, expect).await;
        }
        let (mut event, expect) = edge.harmless(route);
        for i in 0..200 {
            header(&mut event, &format!("x-many-{i}"), &[&"v".repeat(64)]);
        }
        edge.check("200 headers", route.operation, event, expect).await;
    }
    edge.done();
}

#[tokio::test]
async fn valid_request_id_is_echoed_and_an_invalid_one_is_not() {
    let mut edge = ApiFixture::new("request ids").await;
    for (given, taken) in [
        ("abc-DEF_1.2", true),
        (&*"a".repeat(128), true),
        (&*"a".repeat(129), false),
        ("a b", false),
        ("a/b", false),
    ] {
        let mut event = edge.valid("get-order");
        header(&mut event, "X-Request-Id", &[given]);
        let called = edge.shop.call("get-order", event).await;
        if (called.header("x-request-id").as_deref() == Some(given)) != taken {
            edge.report(format!("{given} is taken: {:?}", called.header("x-request-id")));
        }
    }
    edge.done();
}
