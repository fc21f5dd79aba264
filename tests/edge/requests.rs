//! Everything except the fields of a body: content types, ids in paths, and events that no gateway
//! sends; `headers`, `lists` and `callers` have the rest.

mod callers;
mod headers;
mod lists;

use serde_json::{Value, json};
use shared::market::MarketId;

use crate::{
    fixture::{ApiFixture, ECHO, Expect, header},
    routes::ROUTES,
};

#[tokio::test]
async fn body_must_be_json_without_content_encoding() {
    let mut edge = ApiFixture::new("content types").await;
    let types: [&[&str]; 16] = [
        &[],
        &[""],
        &["text/plain"],
        &["application/xml"],
        &["application/json; charset=utf-16"],
        &["application/json; charset=\"latin1\""],
        &["application/json", "application/json"],
        &["application/json, text/plain"],
        &["application/jsonx"],
        &["application/x-www-form-urlencoded"],
        &["multipart/form-data; boundary=x"],
        &["application/json; charset"],
        &["text/json"],
        &["application/json\r\nX: y"],
        &["application/json-patch+json"],
        &["application/json; charset=iso-8859-1"],
    ];
    let good = [
        "application/json; charset=utf8",
        "application/json;charset=US-ASCII",
        "Application/Json; Charset=\"UTF-8\"",
    ];
    let encodings: [&[&str]; 7] =
        [&["gzip"], &["br"], &["deflate, gzip"], &["identity", "gzip"], &[""], &["x"], &["GZIP"]];
    for route in ROUTES.iter().filter(|route| route.body) {
        for values in types {
            let mut event = edge.valid(route.operation);
            header(&mut event, "content-type", values);
            edge.check(
                &format!("type {values:?}"),
                route.operation,
                event,
                Expect::Problem(415, "unsupported_media_type"),
            )
            .await;
        }
        let is_patch = route.operation.starts_with("update-")
            && !matches!(route.operation, "update-user" | "update-product");
        for value in good.into_iter().chain(is_patch.then_some("application/merge-patch+json")) {
            let mut event = edge.with_body(route.operation, "{");
            header(&mut event, "content-type", &[value]);
            edge.check(value, route.operation, event, Expect::Problem(400, "malformed_json")).await;
        }
        if !is_patch {
            let mut event = edge.valid(route.operation);
            header(&mut event, "content-type", &["application/merge-patch+json"]);
            edge.check(
                "a merge patch",
                route.operation,
                event,
                Expect::Problem(415, "unsupported_media_type"),
            )
            .await;
        }
        for values in encodings {
            let mut event = edge.valid(route.operation);
            header(&mut event, "content-encoding", values);
            edge.check(
                &format!("encoding {values:?}"),
                route.operation,
                event,
                Expect::Problem(415, "unsupported_media_type"),
            )
            .await;
        }
    }
    edge.done();
}

#[tokio::test]
async fn malformed_id_is_404_without_a_read() {
    let long = "x".repeat(10_000);
    let mut edge = ApiFixture::new("paths").await;
    for route in ROUTES.iter() {
        let Some((parameter, code)) = route.path else { continue };
        let id =
            edge.valid(route.operation)["pathParameters"][parameter].as_str().unwrap().to_owned();
        let (prefix, uuid) = id.split_once('_').unwrap_or((&id, ""));
        let invalid = [
            String::new(),
            "x".to_owned(),
            "..".to_owned(),
            "%2e%2e%2f".to_owned(),
            "%00".to_owned(),
            "\0".to_owned(),
            long.clone(),
            id.to_uppercase(),
            format!("{id}/"),
            format!(" {id}"),
            format!("{id}\0"),
            format!("{id}%00"),
            format!("{id}\r\nX: y"),
            format!("{{{id}}}"),
            format!("{prefix}__{uuid}"),
            format!("{prefix}_{}", uuid.replace('-', "")),
            format!("zzz_{uuid}"),
            uuid.to_owned(),
            format!("{prefix}_9f8b3c1e-2d4a-4f6b-8c7d-1234567890ab"),
            format!("{prefix}_00000000-0000-0000-0000-000000000000"),
            "4242424242424242".to_owned(),
            format!("{id}#0"),
            format!("{prefix}_*"),
            "null".to_owned(),
            ECHO.to_owned(),
            "𝟘".repeat(50),
            "__proto__".to_owned(),
        ];
        // A market is named by a word.
        let is_market = |text: &str| parameter == "market" && MarketId::parse(text).is_ok();
        for text in invalid.iter().filter(|text| **text != id && !is_market(text)) {
            let mut event = edge.valid(route.operation);
            event["pathParameters"][parameter] = text.as_str().into();
            event["path"] = format!("/x/{text}").into();
            edge.check(text, route.operation, event.clone(), Expect::Problem(404, code)).await;
            let calls = edge.shop.call(route.operation, event).await.calls;
            if !calls.is_empty() {
                edge.report(format!("{}: {text}: it asks {calls:?}", route.operation));
            }
        }
        for none in [Value::Null, json!({}), json!({ "other": id })] {
            let mut event = edge.valid(route.operation);
            event["pathParameters"] = none;
            let expect = if route.operation == "get-health" {
                Expect::Fine
            } else {
                Expect::Problem(404, code)
            };
            edge.check("no parameter", route.operation, event, expect).await;
        }
    }
    edge.done();
}

#[tokio::test]
async fn event_that_no_gateway_sends_is_400() {
    let mut edge = ApiFixture::new("invalid events").await;
    for route in ROUTES.iter() {
        for event in [
            json!(null),
            json!([]),
            json!({}),
            json!("x"),
            json!({ "httpMethod": 5 }),
            json!({ "httpMethod": "GET" }),
            json!({ "Records": [] }),
            json!({ "httpMethod": "GET", "path": null }),
        ] {
            edge.check(
                &event.to_string(),
                route.operation,
                event,
                Expect::Problem(400, "malformed_request"),
            )
            .await;
        }
        for member in [
            "headers",
            "multiValueHeaders",
            "queryStringParameters",
            "multiValueQueryStringParameters",
            "pathParameters",
            "requestContext",
        ] {
            for invalid in [json!(5), json!("x"), json!([1])] {
                let mut event = edge.valid(route.operation);
                event[member] = invalid.clone();
                edge.check(
                    &format!("{member} = {invalid}"),
                    route.operation,
                    event,
                    Expect::Problem(400, "malformed_request"),
                )
                .await;
            }
        }
    }
    edge.done();
}
