//! Everything except the body: headers, paths, queries and callers.

use serde_json::{Value, json};
use tests::events;

use crate::{
    fixture::{ApiFixture, ECHO, Expect, STRANGER, header},
    routes::{IfMatch, ROUTES, Who},
};

fn query(event: &mut Value, parameters: &[(&str, &str)]) {
    let mut several = json!({});
    for (name, value) in parameters {
        match several[*name].as_array_mut() {
            Some(values) => values.push(json!(value)),
            None => several[*name] = json!([value]),
        }
    }
    let single =
        several.as_object().unwrap().iter().map(|(name, values)| {
            (name.clone(), values.as_array().unwrap().last().unwrap().clone())
        });
    event["queryStringParameters"] = Value::Object(single.collect());
    event["multiValueQueryStringParameters"] = several;
}

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
        let is_patch = route.operation == "update-me";
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
        for text in invalid.iter().filter(|text| **text != id) {
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
async fn repeated_or_invalid_limit_and_cursor_are_rejected() {
    let long = "A".repeat(10_240);
    let mut edge = ApiFixture::new("queries").await;
    let order = edge.paid_order.clone();
    for route in ROUTES.iter().filter(|route| route.list) {
        let rows: Vec<(Vec<(&str, &str)>, u64, &str)> = [
            "0",
            "-1",
            "101",
            "1e9",
            "1000000000",
            "abc",
            "",
            "+5",
            " 5",
            "5 ",
            "5.0",
            "٥",
            "0x10",
            "99999999999999999999",
            "1\0",
            "null",
            ECHO,
        ]
        .into_iter()
        .map(|limit| (vec![("limit", limit)], 422, "out_of_range"))
        .chain([
            (vec![("limit", "1"), ("limit", "2")], 422, "repeated_parameter"),
            (vec![("limit", "1"), ("limit", "1")], 422, "repeated_parameter"),
            (vec![("cursor", "a"), ("cursor", "b")], 422, "repeated_parameter"),
        ])
        .chain(
            [
                "",
                "x",
                "eyJwayI6IngifQ",
                "eyJwayI6IngifQ==",
                "é",
                "..",
                "\0",
                &long,
                ECHO,
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "%00",
            ]
            .into_iter()
            .map(|cursor| (vec![("cursor", cursor)], 400, "invalid_cursor")),
        )
        .collect();
        for (parameters, status, code) in rows {
            let mut event = edge.valid(route.operation);
            let named = if route.operation == "list-payments" {
                vec![("order_id", order.as_str())]
            } else {
                vec![]
            };
            query(&mut event, &[named, parameters.clone()].concat());
            edge.check(
                &format!("{parameters:?}"),
                route.operation,
                event,
                Expect::Problem(status, code),
            )
            .await;
        }
        let mut event = edge.valid(route.operation);
        let named = if route.operation == "list-payments" {
            vec![("order_id", order.as_str())]
        } else {
            vec![]
        };
        query(
            &mut event,
            &[named, vec![("unknown", ECHO), ("limit", "100"), ("__proto__", "x")]].concat(),
        );
        edge.check("unknown parameters", route.operation, event, Expect::Fine).await;
    }
    let own: [(&str, &[(&str, &str)], u64, &str); 22] = [
        ("list-products", &[("category", "Upper")], 422, "invalid_category"),
        ("list-products", &[("category", "")], 422, "invalid_category"),
        ("list-products", &[("category", "a#0")], 422, "invalid_category"),
        ("list-products", &[("category", "a"), ("category", "b")], 422, "repeated_parameter"),
        ("list-orders", &[("status", "paid")], 422, "unknown_value"),
        ("list-orders", &[("status", "")], 422, "unknown_value"),
        ("list-orders", &[("status", "PENDING")], 422, "unknown_value"),
        ("list-orders", &[("status", "pending"), ("status", "failed")], 422, "repeated_parameter"),
        ("list-orders", &[("user_id", "x")], 422, "invalid_id"),
        ("list-orders", &[("user_id", "")], 422, "invalid_id"),
        ("list-orders", &[("user_id", STRANGER)], 403, "insufficient_permissions"),
        (
            "list-orders",
            &[("user_id", events::USER), ("user_id", STRANGER)],
            422,
            "repeated_parameter",
        ),
        ("list-orders", &[("needs_review", "")], 422, "unknown_value"),
        ("list-orders", &[("needs_review", "TRUE")], 422, "unknown_value"),
        ("list-orders", &[("stuck", "1")], 422, "unknown_value"),
        ("list-orders", &[("stuck", "true"), ("stuck", "false")], 422, "repeated_parameter"),
        ("list-orders", &[("stuck", "true")], 403, "insufficient_permissions"),
        (
            "list-orders",
            &[("needs_review", "true"), ("user_id", events::USER)],
            403,
            "insufficient_permissions",
        ),
        ("list-payments", &[], 422, "required"),
        ("list-payments", &[("order_id", "")], 404, "order_not_found"),
        ("list-payments", &[("order_id", "ord_x")], 404, "order_not_found"),
        ("list-payments", &[("order_id", "a"), ("order_id", "b")], 422, "repeated_parameter"),
    ];
    for (operation, parameters, status, code) in own {
        let mut event = edge.valid(operation);
        query(&mut event, parameters);
        edge.check(&format!("{parameters:?}"), operation, event, Expect::Problem(status, code))
            .await;
    }
    edge.done();
}

#[tokio::test]
async fn cursor_of_another_list_is_rejected() {
    let mut edge = ApiFixture::new("cursors").await;
    let list = |operation: &'static str, caller: &str, parameters: &[(&str, &str)]| {
        let mut event = events::get(&format!("/{}", operation.trim_start_matches("list-")))
            .caller(caller)
            .event();
        query(&mut event, parameters);
        event
    };
    let first = edge
        .shop
        .call("list-orders", list("list-orders", events::USER, &[("limit", "1")]))
        .await
        .json();
    let cursor = first["next_cursor"].as_str().expect("there are three orders").to_owned();
    let good = list("list-orders", events::USER, &[("limit", "1"), ("cursor", &cursor)]);
    edge.check("the next page", "list-orders", good, Expect::Fine).await;
    let filtered: [(&'static str, &str, &[(&str, &str)]); 10] = [
        ("list-orders", STRANGER, &[("limit", "1")]),
        ("list-orders", events::ADMIN, &[("limit", "1"), ("user_id", events::USER)]),
        ("list-orders", events::ADMIN, &[("limit", "1"), ("status", "pending")]),
        ("list-orders", events::USER, &[("limit", "2")]),
        ("list-orders", events::USER, &[]),
        ("list-orders", events::USER, &[("limit", "1"), ("status", "pending")]),
        ("list-notifications", events::USER, &[("limit", "1")]),
        ("list-products", events::USER, &[("limit", "1")]),
        ("list-users", events::ADMIN, &[("limit", "1")]),
        ("list-payments", events::USER, &[("limit", "1"), ("order_id", &edge.paid_order.clone())]),
    ];
    for (operation, caller, parameters) in filtered {
        let event = list(operation, caller, &[parameters, &[("cursor", &cursor)]].concat());
        edge.check(
            &format!("another list: {parameters:?} of {caller}"),
            operation,
            event,
            Expect::Problem(400, "invalid_cursor"),
        )
        .await;
    }
    for position in 0..cursor.len() {
        let mut forged = cursor.clone().into_bytes();
        forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        for text in [&*forged, &cursor[..position]] {
            let event = list("list-orders", events::USER, &[("limit", "1"), ("cursor", text)]);
            edge.check(
                "a forged cursor",
                "list-orders",
                event,
                Expect::Problem(400, "invalid_cursor"),
            )
            .await;
        }
    }
    for text in
        [format!("{cursor}="), format!("{cursor}A"), format!(" {cursor}"), cursor.to_uppercase()]
    {
        let event = list("list-orders", events::USER, &[("limit", "1"), ("cursor", &text)]);
        edge.check(
            "a stretched cursor",
            "list-orders",
            event,
            Expect::Problem(400, "invalid_cursor"),
        )
        .await;
    }
    edge.shop.clock.advance(std::time::Duration::from_secs(24 * 3600));
    let late = list("list-orders", events::USER, &[("limit", "1"), ("cursor", &cursor)]);
    edge.check("an old cursor", "list-orders", late, Expect::Problem(400, "invalid_cursor")).await;
    edge.done();
}

#[tokio::test]
async fn unauthenticated_is_401_and_unauthorized_is_403() {
    let mut edge = ApiFixture::new("callers").await;
    for route in ROUTES.iter() {
        let with = |edge: &ApiFixture, member: &str, value: Value| {
            let mut event = edge.valid(route.operation);
            event["requestContext"]["authorizer"] = json!({ "sub": events::ADMIN, "role": "admin", "name": "Grace", "email": "g@example.com", "tv": "1", "exp": "4102444800" });
            event["requestContext"]["authorizer"][member] = value;
            // The body is rejected last: a caller that gets this far was authorized.
            if route.body {
                event["body"] = "{".into();
            }
            event
        };
        let let_in = if route.body { Expect::Problem(400, "malformed_json") } else { Expect::Fine };
        let known = matches!(route.who, Who::User | Who::Admin);
        for context in [
            Value::Null,
            json!({}),
            json!({ "principalId": "anonymous" }),
            json!({ "role": "admin" }),
        ] {
            let mut event = with(&edge, "sub", Value::Null);
            event["requestContext"]["authorizer"] = context.clone();
            let expect = if known { Expect::Problem(401, "invalid_token") } else { let_in };
            edge.check(&format!("authorizer {context}"), route.operation, event, expect).await;
        }
        let mut event = with(&edge, "sub", Value::Null);
        event["requestContext"] = Value::Null;
        edge.check(
            "no context",
            route.operation,
            event,
            if known { Expect::Problem(401, "invalid_token") } else { let_in },
        )
        .await;
        for sub in [
            json!(null),
            json!(""),
            json!("x"),
            json!(1),
            json!([]),
            json!({}),
            json!(events::ADMIN.to_uppercase()),
            json!(events::ADMIN.replace("usr", "ord")),
            json!(format!("{} ", events::ADMIN)),
        ] {
            let event = with(&edge, "sub", sub.clone());
            edge.check(
                &format!("sub {sub}"),
                route.operation,
                event,
                if known { Expect::Problem(401, "invalid_token") } else { let_in },
            )
            .await;
        }
        let judged = known || route.who == Who::Visitor;
        for exp in [
            json!(null),
            json!(""),
            json!("abc"),
            json!("1000"),
            json!("0"),
            json!("-1"),
            json!("1e400"),
            json!("4102444800.5"),
            json!(" 4102444800"),
            json!(true),
            json!([]),
            json!({}),
            json!(1000),
            json!(-1),
            json!("99999999999999999999"),
        ] {
            let event = with(&edge, "exp", exp.clone());
            edge.check(
                &format!("exp {exp}"),
                route.operation,
                event,
                if judged { Expect::Problem(401, "invalid_token") } else { let_in },
            )
            .await;
        }
        for role in [
            json!(null),
            json!(""),
            json!("root"),
            json!("admin admin"),
            json!("ADMIN"),
            json!("admin,user"),
            json!(["admin"]),
            json!({ "admin": true }),
            json!(1),
            json!(" admin"),
        ] {
            let event = with(&edge, "role", role.clone());
            edge.check(
                &format!("role {role}"),
                route.operation,
                event,
                if judged { Expect::Problem(403, "insufficient_permissions") } else { let_in },
            )
            .await;
        }
        if route.who == Who::Admin {
            let mut event = with(&edge, "role", json!("user"));
            header(&mut event, "x-admin", &["true"]);
            event["requestContext"]["authorizer"]["is_admin"] = true.into();
            edge.check(
                "a customer",
                route.operation,
                event,
                Expect::Problem(403, "insufficient_permissions"),
            )
            .await;
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

/// A policy holds resources of at most 512 characters ("Output from an API Gateway Lambda
/// authorizer"): the gateway answers 500 above that. Method ARNs of up to 1,600 characters reach
/// the authorizer. A `${…}` in a policy is a variable, which matches nothing.
#[tokio::test]
async fn visitor_policy_is_independent_of_input() {
    let edge = ApiFixture::new("policies").await;
    for id in [
        "x".repeat(1400),
        "${aws:username}".to_owned(),
        "*".to_owned(),
        "a/b/../c".to_owned(),
        "é\"\\".to_owned(),
    ] {
        let arn =
            format!("arn:aws:execute-api:us-east-1:000000000000:ferrocart/v1/GET/inventory/{id}");
        let event =
            json!({ "type": "REQUEST", "methodArn": arn, "headers": {}, "multiValueHeaders": {} });
        let called = edge.shop.call("authorize-request", event).await;
        let resource =
            called.ok()["policyDocument"]["Statement"][0]["Resource"].as_str().unwrap_or_default();
        assert!(
            resource.len() <= 512 && !resource.contains("${"),
            "a resource of {} characters: {resource:.100}",
            resource.len()
        );
    }
    edge.done();
}

/// Every invalid token gets the same refusal, regardless of the event around it.
#[tokio::test]
async fn authorizer_rejects_bad_tokens_and_bad_events() {
    let mut edge = ApiFixture::new("tokens").await;
    let long = "a".repeat(100_000);
    let token = format!("{}.{}.x", "eyJhbGciOiJub25lIn0", "e30");
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer a",
        "Bearer a.b",
        "Bearer a.b.c.d",
        "Bearer ..",
        "Bearer \0",
        "bearer é.é.é",
        &format!("Bearer {long}"),
        &format!("Bearer {token}"),
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Bearer null",
    ] {
        let event = json!({ "type": "REQUEST", "methodArn": "arn:aws:execute-api:us-east-1:000000000000:f/v1/GET/orders", "headers": { "Authorization": value } });
        let called = edge.shop.call("authorize-request", event).await;
        if !called.answer.as_ref().is_err_and(|failure| failure.message == "Unauthorized")
            || !called.operations().is_empty()
        {
            edge.report(format!("{value:.60}: {:?} {:?}", called.answer, called.operations()));
        }
    }
    edge.done();
}
