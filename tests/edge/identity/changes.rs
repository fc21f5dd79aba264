//! Changes of accounts by their users and by admins.

use std::time::Duration;

use serde_json::json;
use tests::events;

use crate::{
    fixture::{ApiFixture, ECHO, Expect, STRANGER, header, snapshot},
    routes::{IfMatch, ROUTES},
};

pub(super) const NEW_PASSWORD: &str = "four score and seven donkeys";

#[tokio::test]
async fn change_requires_the_current_if_match_version() {
    let mut edge = ApiFixture::new("versions").await;
    for route in ROUTES.iter().filter(|route| route.if_match != IfMatch::Ignored) {
        let etag = edge.etag_of(route.operation).to_owned();
        let digits = etag.trim_matches('"').to_owned();
        let with = |edge: &ApiFixture, values: &[&str]| {
            let mut event = edge.valid(route.operation);
            header(&mut event, "If-Match", values);
            event
        };
        if route.if_match == IfMatch::Needed {
            edge.check(
                "no version",
                route.operation,
                with(&edge, &[]),
                Expect::Problem(428, "precondition_required"),
            )
            .await;
        }
        let long = format!("\"{}\"", "1".repeat(10_000));
        let (weak, zero) = (format!("W/{etag}"), format!("\"0{digits}\""));
        let other = [
            "\"0\"",
            "\"1\"",
            "\"4\"",
            "\"999\"",
            "\"18446744073709551615\"",
            "\"18446744073709551616\"",
            &long,
            &weak,
            &zero,
            "W/\"abc\"",
            "\"abc\"",
            "\"*\"",
            "\"\"",
            "\"-1\"",
            "\"+3\"",
            "\"3.0\"",
            "\"3-gzip\"",
            "\"٣\"",
        ];
        for stale in other.into_iter().filter(|stale| *stale != etag) {
            edge.check(
                stale,
                route.operation,
                with(&edge, &[stale]),
                Expect::Problem(412, "precondition_failed"),
            )
            .await;
            let current =
                edge.shop.call(route.operation, with(&edge, &[stale])).await.header("etag");
            if current.as_ref() != Some(&etag) {
                edge.report(format!(
                    "{}: {stale}: the reported current version is {current:?}",
                    route.operation
                ));
            }
        }
        let (padded, list) = (format!("{etag} "), format!("{etag}, \"999\""));
        let invalid: [&[&str]; 13] = [
            &[""],
            &["*"],
            &[&digits],
            &[&padded],
            &[&list],
            &[&etag, &etag],
            &[&etag, "*"],
            &["", &etag],
            &["\""],
            &["w/\"1\""],
            &["\"3\r\nX: y\""],
            &["\"3\0\""],
            &[ECHO],
        ];
        for values in invalid {
            edge.check(
                &format!("{values:?}"),
                route.operation,
                with(&edge, values),
                Expect::Problem(400, "invalid_if_match"),
            )
            .await;
        }
        let mut event = with(&edge, &[]);
        event["multiValueHeaders"]["If-Match"] = json!([etag]);
        event["multiValueHeaders"]["IF-MATCH"] = json!(["\"999\""]);
        edge.check(
            "two spellings",
            route.operation,
            event,
            Expect::Problem(400, "invalid_if_match"),
        )
        .await;
    }
    edge.done();
}

#[tokio::test]
async fn empty_unknown_and_own_account_changes_are_rejected() {
    let mut edge = ApiFixture::new("changes of accounts").await;
    for operation in ["update-me", "update-user"] {
        edge.check(
            "nothing",
            operation,
            edge.with_body(operation, "{}"),
            Expect::Problem(422, "nothing_to_change"),
        )
        .await;
    }
    let mut unknown_user = edge.valid("update-user");
    unknown_user["pathParameters"]["user_id"] = "usr_0199c2a8-0000-7000-8000-00000000dead".into();
    edge.check(
        "an unknown user",
        "update-user",
        unknown_user,
        Expect::Problem(404, "user_not_found"),
    )
    .await;
    for rights in [
        json!({ "role": "admin" }),
        json!({ "is_active": false }),
        json!({ "role": "user", "is_active": false }),
    ] {
        let mut event = edge.with_body("update-user", &rights.to_string());
        event["requestContext"]["authorizer"]["sub"] = events::USER.into();
        edge.check(
            &format!("one's own {rights}"),
            "update-user",
            event,
            Expect::Problem(409, "own_account"),
        )
        .await;
    }
    for operation in ["update-user", "list-users"] {
        let mut event = edge.valid(operation);
        event["requestContext"]["authorizer"]["role"] = "user".into();
        edge.check(
            "by a customer",
            operation,
            event,
            Expect::Problem(403, "insufficient_permissions"),
        )
        .await;
    }
    // The user is deleted while the gateway still caches the token.
    for operation in ["get-me", "update-me", "delete-me", "change-password"] {
        let mut event = edge.valid(operation);
        event["requestContext"]["authorizer"]["sub"] = STRANGER.into();
        edge.check("a deleted user", operation, event, Expect::Problem(401, "invalid_token")).await;
    }
    // Invalid sessions, and a session of another user.
    for session in [
        json!(""),
        json!("x"),
        json!(ECHO),
        json!(5),
        json!({}),
        json!(null),
        json!("ses_0199c2a8-0000-7000-8000-00000000dead"),
    ] {
        let before = snapshot(&edge.shop.aws);
        let mut event = edge.valid("logout-user");
        event["requestContext"]["authorizer"]["sid"] = session.clone();
        edge.check(&format!("session {session}"), "logout-user", event, Expect::Fine).await;
        if snapshot(&edge.shop.aws) != before {
            edge.report(format!("to log out of {session} writes"));
        }
    }
    let before = snapshot(&edge.shop.aws);
    let mut event = edge.valid("logout-user");
    event["requestContext"]["authorizer"]["sub"] = STRANGER.into();
    edge.check("another's session", "logout-user", event, Expect::Fine).await;
    if snapshot(&edge.shop.aws) != before {
        edge.report("a user ends another user's session".to_owned());
    }
    let mut event = edge.valid("change-password");
    event["requestContext"]["authorizer"]["sid"] =
        "ses_0199c2a8-0000-7000-8000-00000000dead".into();
    edge.check(
        "the id of a session that does not exist",
        "change-password",
        event,
        Expect::Problem(401, "invalid_token"),
    )
    .await;
    edge.done();
}

#[tokio::test]
async fn user_list_cursor_of_another_admin_is_rejected() {
    let mut edge = ApiFixture::new("cursors of users").await;
    edge.check("a second user", "register-user", edge.valid("register-user"), Expect::Fine).await;
    let list = |operation: &str, caller: &str, query: &str| {
        events::get(&format!("/{}?{query}", operation.trim_start_matches("list-")))
            .caller(caller)
            .event()
    };
    let first =
        edge.shop.call("list-users", list("list-users", events::ADMIN, "limit=1")).await.json();
    let cursor = first["next_cursor"].as_str().expect("there are two users").to_owned();
    let page = list("list-users", events::ADMIN, &format!("limit=1&cursor={cursor}"));
    edge.check("the next page", "list-users", page.clone(), Expect::Fine).await;
    let mut others = page.clone();
    others["requestContext"]["authorizer"]["sub"] = STRANGER.into();
    edge.check("another admin", "list-users", others, Expect::Problem(400, "invalid_cursor")).await;
    let limit = list("list-users", events::ADMIN, &format!("limit=2&cursor={cursor}"));
    edge.check("another limit", "list-users", limit, Expect::Problem(400, "invalid_cursor")).await;
    for operation in ["list-orders", "list-notifications", "list-products"] {
        let event =
            list(operation, events::ADMIN, &format!("limit=1&cursor={cursor}&status=pending"));
        edge.check("another list", operation, event, Expect::Problem(400, "invalid_cursor")).await;
    }
    edge.shop.clock.advance(Duration::from_secs(24 * 3600));
    edge.check("an old cursor", "list-users", page, Expect::Problem(400, "invalid_cursor")).await;
    edge.done();
}
