//! Callers without a token, without a role, and with an invalid token.

use serde_json::{Value, json};
use tests::events;

use crate::{
    fixture::{ApiFixture, Expect, header},
    routes::{ROUTES, Who},
};

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
        let is_read = known || route.who == Who::Visitor;
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
                if is_read { Expect::Problem(401, "invalid_token") } else { let_in },
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
                if is_read { Expect::Problem(403, "insufficient_permissions") } else { let_in },
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
        let arn = format!(
            "arn:aws:execute-api:us-east-1:000000000000:ferrocart/v1/POST/carts/{id}/changes"
        );
        let event =
            json!({ "type": "REQUEST", "methodArn": arn, "headers": {}, "multiValueHeaders": {} });
        let called = edge.shop.call("authorize-request", event).await;
        let resources = &called.ok()["policyDocument"]["Statement"][0]["Resource"];
        let expected = ["", "/*"].map(|below| {
            format!("arn:aws:execute-api:us-east-1:000000000000:ferrocart/v1/POST/carts{below}")
        });
        assert_eq!(*resources, json!(expected), "{id:.100}");
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
