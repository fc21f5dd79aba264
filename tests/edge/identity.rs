//! Authentication: invalid tokens and links, and too many attempts. `changes` has outdated
//! versions.

mod changes;

use std::time::Duration;

use serde_json::{Value, json};
use tests::events;

use self::changes::NEW_PASSWORD;
use crate::fixture::{ApiFixture, ECHO, Expect, STRANGER, header, snapshot};

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
        edge.check("its session has ended", "refresh-token", refresh(&edge, &good), REFUSED).await,
    );
    expect_one_answer(&mut edge, &answers);
    edge.done();

    for what in [
        "it is too old",
        "its user is disabled",
        "its user is deleted",
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
            "its user is deleted" => {
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
        let ends = ["it is too old", "its user is deleted", "its user is disabled"];
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
        "another user",
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
