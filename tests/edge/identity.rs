//! Authentication: invalid tokens and links, outdated versions and too many attempts.

use std::time::Duration;

use serde_json::{Value, json};
use tests::events;

use crate::{
    fixture::{ApiFixture, ECHO, Expect, STRANGER, header, snapshot},
    routes::{IfMatch, ROUTES},
};

const NEW_PASSWORD: &str = "four score and seven donkeys";

/// Texts that are not tokens, and damaged copies of `good`. A changed lower-case letter still gives
/// a well-formed token.
fn damaged_tokens(good: &str) -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        ".",
        "..",
        "...",
        "x",
        "null",
        "é.é.é.é",
        "\0",
        "\u{ffff}",
        "' OR 1=1 --",
        "../..",
        "e30.e30.e30",
        ECHO,
    ]
    .map(str::to_owned)
    .into();
    for damaged in [
        format!("{good}A"),
        format!("{good}="),
        format!("{good}."),
        format!(" {good}"),
        format!("{good}\0"),
        format!("{good}\r\nX: y"),
    ] {
        texts.push(damaged);
    }
    texts.extend([
        good.to_uppercase(),
        good.repeat(2),
        ".".repeat(100_000),
        "A".repeat(100_000),
        good.replace('.', ""),
        good.replace("_", ""),
    ]);
    texts.extend(good.split('.').map(str::to_owned));
    for position in (0..good.len()).step_by(3) {
        let mut forged = good.as_bytes().to_vec();
        forged[position] = if forged[position] == b'b' { b'c' } else { b'b' };
        texts.extend([String::from_utf8(forged).unwrap(), good[..position].to_owned()]);
    }
    texts
}

/// Records a violation if the responses differ.
fn expect_one_answer(edge: &mut ApiFixture, answers: &[Option<Value>]) {
    if let Some(other) = answers.iter().find(|answer| **answer != answers[0]) {
        edge.report(format!("the answers differ: {:?} {other:?}", answers[0]));
    }
}

fn refresh(edge: &ApiFixture, token: &str) -> Value {
    edge.with_body("refresh-token", &json!({ "refresh_token": token }).to_string())
}

#[tokio::test]
async fn invalid_refresh_token_is_401_without_a_reason() {
    const REFUSED: Expect = Expect::Problem(401, "invalid_token");
    let mut edge = ApiFixture::new("refresh tokens").await;
    let good = edge.refresh_token.clone();
    let mut answers = Vec::new();
    let tokens = edge
        .check("a login", "login-user", edge.valid("login-user"), Expect::Fine)
        .await
        .unwrap_or_default();
    let access_token = tokens["access_token"].as_str().unwrap_or_default().to_owned();
    let others = [
        access_token,
        edge.reset_token.clone(),
        edge.session().to_owned(),
        good.replace(".1.", ".2."),
        good.replace(".1.", ".0."),
    ];
    for text in damaged_tokens(&good).into_iter().chain(others) {
        answers.push(edge.check(&text, "refresh-token", refresh(&edge, &text), REFUSED).await);
    }
    edge.check("the token that was damaged", "refresh-token", refresh(&edge, &good), Expect::Fine)
        .await;
    edge.check("logged out", "logout-user", edge.valid("logout-user"), Expect::Fine).await;
    answers.push(
        edge.check("its session is over", "refresh-token", refresh(&edge, &good), REFUSED).await,
    );
    expect_one_answer(&mut edge, &answers);
    edge.done();

    for what in [
        "it is too old",
        "its user is disabled",
        "its user is gone",
        "its user has another password",
    ] {
        let mut edge = ApiFixture::new("refresh tokens of sessions that are over").await;
        match what {
            "it is too old" => edge.shop.clock.advance(Duration::from_secs(30 * 24 * 3600)),
            "its user is disabled" => {
                let event =
                    edge.with_body("update-user", &json!({ "is_active": false }).to_string());
                edge.check(what, "update-user", event, Expect::Fine).await;
            }
            "its user is gone" => {
                drop(edge.check(what, "delete-me", edge.valid("delete-me"), Expect::Fine).await)
            }
            _ => drop(
                edge.check(
                    what,
                    "confirm-password-reset",
                    edge.valid("confirm-password-reset"),
                    Expect::Fine,
                )
                .await,
            ),
        }
        answers.push(edge.check(what, "refresh-token", edge.valid("refresh-token"), REFUSED).await);
        expect_one_answer(&mut edge, &answers);
        edge.done();
    }
}

#[tokio::test]
async fn invalid_link_is_400_without_a_reason() {
    const REFUSED: Expect = Expect::Problem(400, "invalid_one_time_token");
    for operation in ["verify-email", "confirm-password-reset", "withdraw-email-change"] {
        let mut edge = ApiFixture::new("links").await;
        let with = |edge: &ApiFixture, token: &str| {
            let mut body = edge.body(operation).unwrap();
            body["token"] = token.into();
            edge.with_body(operation, &body.to_string())
        };
        let (verification, reset) = (edge.verification_token.clone(), edge.reset_token.clone());
        let (good, other) = match operation {
            "verify-email" => (verification, reset),
            "confirm-password-reset" => (reset, verification),
            _ => (edge.withdraw_token.clone(), verification),
        };
        let strangers = good.replace(events::USER, STRANGER);
        let mut answers = Vec::new();
        for text in
            damaged_tokens(&good).into_iter().chain([other, strangers, edge.refresh_token.clone()])
        {
            answers.push(edge.check(&text, operation, with(&edge, &text), REFUSED).await);
        }
        edge.check("the link that was damaged", operation, with(&edge, &good), Expect::Fine).await;
        answers.push(edge.check("the link again", operation, with(&edge, &good), REFUSED).await);
        expect_one_answer(&mut edge, &answers);
        edge.done();

        // A withdrawal also works for a disabled account.
        let ends = ["it is too old", "its user is gone", "its user is disabled"];
        for what in &ends[..if operation == "withdraw-email-change" { 2 } else { 3 }] {
            let mut edge = ApiFixture::new("links that have ended").await;
            match *what {
                "it is too old" => edge.shop.clock.advance(Duration::from_secs(48 * 3600)),
                "its user is disabled" => {
                    let event =
                        edge.with_body("update-user", &json!({ "is_active": false }).to_string());
                    edge.check(what, "update-user", event, Expect::Fine).await;
                }
                _ => {
                    drop(edge.check(what, "delete-me", edge.valid("delete-me"), Expect::Fine).await)
                }
            }
            answers.push(edge.check(what, operation, edge.valid(operation), REFUSED).await);
            expect_one_answer(&mut edge, &answers);
            edge.done();
        }
    }
}

#[tokio::test]
async fn taken_address_is_409() {
    let mut edge = ApiFixture::new("taken addresses").await;
    let mut body = edge.body("register-user").unwrap();
    body["email"] = "ada.king@example.com".into();
    edge.check(
        "somebody else",
        "register-user",
        edge.with_body("register-user", &body.to_string()),
        Expect::Fine,
    )
    .await;
    for _ in 0..2 {
        edge.check(
            "taken",
            "verify-email",
            edge.valid("verify-email"),
            Expect::Problem(409, "email_taken"),
        )
        .await;
    }
    edge.done();
}

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
    let mut nobody = edge.valid("update-user");
    nobody["pathParameters"]["user_id"] = "usr_0199c2a8-0000-7000-8000-00000000dead".into();
    edge.check("an unknown user", "update-user", nobody, Expect::Problem(404, "user_not_found"))
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
        "a session that is none",
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

/// Responses do not reveal whether an address is registered.
#[tokio::test]
async fn reset_request_is_202_for_every_address() {
    let mut edge = ApiFixture::new("links for unknown addresses").await;
    let long = "x".repeat(200_000);
    let known = edge
        .check(
            "somebody",
            "request-password-reset",
            edge.valid("request-password-reset"),
            Expect::Fine,
        )
        .await;
    let before = snapshot(&edge.shop.aws);
    for email in [
        "nobody@example.com",
        "ada.king@example.com",
        "",
        " ",
        "a@",
        "Name <ada@example.com>",
        "ada@example.com, eve@example.com",
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@example.com\0",
        "\u{ffff}",
        "' OR 1=1 --",
        "EMAIL#x",
        events::USER,
        "$ne",
        ECHO,
        &long,
    ] {
        let event =
            edge.with_body("request-password-reset", &json!({ "email": email }).to_string());
        let answer = edge.check(email, "request-password-reset", event, Expect::Fine).await;
        if answer != known {
            edge.report(format!(
                "{email:.60} is distinguishable from a registered address: {answer:?}"
            ));
        }
    }
    if snapshot(&edge.shop.aws) != before {
        edge.report("a request for an unknown address writes".to_owned());
    }
    edge.done();
}

/// A device token only selects the bucket of attempts: an invalid one changes nothing.
#[tokio::test]
async fn invalid_device_token_is_ignored() {
    let mut edge = ApiFixture::new("device tokens").await;
    let good = edge
        .shop
        .call("login-user", edge.valid("login-user"))
        .await
        .header("x-device-token")
        .expect("a login earns one");
    edge.check("another login", "login-user", edge.valid("login-user"), Expect::Fine).await;
    let mut refused = edge.with_body(
        "login-user",
        &json!({ "email": "nobody@example.com", "password": "x" }).to_string(),
    );
    // A token of Ada's, and malformed ones: those attempts count in the shared bucket, whose tenth
    // is the last.
    for text in [
        &*good,
        "",
        "..",
        "x",
        "\0",
        "é",
        ECHO,
        &"a.".repeat(50_000),
        &format!("{good}A"),
        &good.to_uppercase(),
    ] {
        header(&mut refused, "X-Device-Token", &[text]);
        edge.check(
            &format!("device {text}"),
            "login-user",
            refused.clone(),
            Expect::Problem(401, "invalid_credentials"),
        )
        .await;
    }
    header(&mut refused, "X-Device-Token", &[&good]);
    edge.check(
        "device of another",
        "login-user",
        refused,
        Expect::Problem(429, "too_many_requests"),
    )
    .await;
    edge.done();
}

/// One attempt above the limit: status and headers are the same for registered and unregistered
/// addresses. No client input moves an attempt to another bucket.
#[tokio::test]
async fn attempt_above_the_limit_is_429_with_retry_after() {
    let login = |email: &str| json!({ "email": email, "password": "wrong password" });
    let rows: [(&str, usize, Value, Expect); 5] = [
        ("login-user", 10, login("ada@example.com"), Expect::Problem(401, "invalid_credentials")),
        (
            "login-user",
            10,
            login("nobody@example.com"),
            Expect::Problem(401, "invalid_credentials"),
        ),
        ("request-password-reset", 4, json!({ "email": "ada@example.com" }), Expect::Fine),
        ("request-password-reset", 5, json!({ "email": "nobody@example.com" }), Expect::Fine),
        (
            "change-password",
            10,
            json!({ "current_password": "wrong password", "new_password": NEW_PASSWORD }),
            Expect::Problem(422, "wrong_password"),
        ),
    ];
    let mut edge = ApiFixture::new("too many attempts").await;
    let mut answers = Vec::new();
    for (operation, tries, body, until_then) in rows {
        let event = edge.with_body(operation, &body.to_string());
        for number in 1..=tries {
            edge.check(&format!("try {number}"), operation, event.clone(), until_then).await;
        }
        for (name, value) in [
            ("x-forwarded-for", "198.51.100.1"),
            ("forwarded", "for=198.51.100.1"),
            ("x-real-ip", "198.51.100.1"),
        ] {
            let mut event = event.clone();
            header(&mut event, name, &[value]);
            answers.push(
                edge.check(name, operation, event, Expect::Problem(429, "too_many_requests")).await,
            );
        }
        let called = edge.shop.call(operation, event).await;
        let wait = called.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
        if called.status() != 429 || wait.is_none_or(|seconds| !(1..=900).contains(&seconds)) {
            edge.report(format!(
                "{operation}: {} to be tried again after {wait:?}",
                called.status()
            ));
        }
    }
    // The problem documents are equal: the request id is the sample's.
    expect_one_answer(&mut edge, &answers);
    edge.check(
        "the right password",
        "change-password",
        edge.valid("change-password"),
        Expect::Problem(429, "too_many_requests"),
    )
    .await;
    edge.done();
}
