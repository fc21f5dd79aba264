//! Sessions: refresh tokens work once, and certain events end a session.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use shared::{lambda::Failure, metrics::Capture};
use tests::{
    aws::{Called, Fault},
    shop::{
        SESSION_MAX, Shop,
        accounts::{ADA, PASSWORD, Session, code, kind, request, seen},
    },
};
use users::{
    domain::{ROTATION_GRACE, SESSION_LIFETIME},
    tokens::{refresh::RefreshToken, signing_keys::RELOAD_LIMIT},
};

const NEW_PASSWORD: &str = "another horse, another battery";

/// Refreshes a session that is still valid.
async fn refreshed(shop: &Shop, session: &Session) -> Session {
    let called = shop.refresh(&session.refresh_token).await;
    Session::of(&called).unwrap_or_else(|| panic!("{:?}", called.answer))
}

/// Whether the authorizer accepts the session's access token.
async fn is_accepted(shop: &Shop, session: &Session) -> bool {
    let called = shop.authorize(&session.access_token).await;
    assert!(["", "Unauthorized"].contains(&kind(&called)), "{:?}", called.answer);
    called.answer.is_ok()
}

#[tokio::test]
async fn refresh_takes_one_transaction_and_no_read() {
    let shop = Shop::open();
    shop.enrol(ADA).await;
    let session = shop.log_in(ADA).await;
    let first = shop.refresh(&session.refresh_token).await;
    assert_eq!(
        (first.status(), first.operations(), first.calls.len()),
        (200, vec!["TransactWriteItems"], 1)
    );
    assert_eq!(
        (&first.json()["token_type"], &first.json()["expires_in"]),
        (&json!("Bearer"), &json!(900))
    );
    let mut last = Session::of(&first).unwrap();
    assert!(is_accepted(&shop, &last).await && is_accepted(&shop, &session).await);
    for _ in 0..5 {
        shop.clock.advance(Duration::from_secs(900));
        let called = shop.refresh(&last.refresh_token).await;
        assert_eq!(called.operations(), ["TransactWriteItems"]);
        let next = Session::of(&called).unwrap();
        assert_ne!(next, last);
        assert_eq!((next.id(), next.user_id()), (session.id(), session.user_id()));
        last = next;
    }
}

#[tokio::test]
async fn session_ends_180_days_after_its_login_however_often_it_is_used() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let start = shop.clock.now();
    let mut session = shop.enter(user.id).await;
    let stored = || {
        let item = shop.aws.items("sessions").remove(0);
        (
            item["expires_at"]["S"].as_str().unwrap().to_owned(),
            item["ttl"]["N"].as_str().unwrap().parse::<i64>().unwrap(),
        )
    };
    for days in (20..180).step_by(20) {
        shop.clock.advance(Duration::from_secs(20 * 24 * 3600));
        session = refreshed(&shop, &session).await;
        let end = shop.clock.now().plus(SESSION_LIFETIME).min(start.plus(SESSION_MAX));
        assert_eq!(stored(), (end.to_string(), end.seconds()), "day {days}");
    }
    shop.clock.advance(Duration::from_secs(20 * 24 * 3600) - Duration::from_millis(1));
    let last = refreshed(&shop, &session).await;
    assert!(is_accepted(&shop, &last).await);
    shop.clock.advance(Duration::from_millis(1));
    assert!(!is_accepted(&shop, &last).await);
    for token in [&last, &session] {
        let called = shop.refresh(&token.refresh_token).await;
        assert_eq!(
            (called.status(), code(&called).as_str(), called.operations().len()),
            (401, "invalid_token", 0)
        );
    }
    assert_eq!(
        shop.user(user.id).await.token_version,
        1,
        "an expired token is not treated as reused"
    );
    assert!(is_accepted(&shop, &shop.enter(user.id).await).await, "a login starts another session");
}

#[tokio::test]
async fn lost_refresh_answer_is_repeated_for_ten_seconds() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    shop.refresh(&shop.enter(user.id).await.refresh_token).await;
    shop.aws.fail(0, Fault::LoseResponse);
    assert_eq!(shop.refresh(&session.refresh_token).await.status(), 503);
    let again = refreshed(&shop, &session).await;
    shop.clock.advance(ROTATION_GRACE);
    let late = refreshed(&shop, &session).await;
    assert_eq!(again.refresh_token, late.refresh_token);
    assert!(is_accepted(&shop, &late).await);
    let version = shop.user(user.id).await.token_version;
    shop.clock.advance(Duration::from_millis(1));
    let capture = Capture::start();
    let too_late = shop.refresh(&session.refresh_token).await;
    assert_eq!((too_late.status(), code(&too_late).as_str()), (401, "invalid_token"));
    assert_eq!(shop.user(user.id).await.token_version, version + 1);
    assert_eq!(capture.total(&users::metrics::REFRESH_TOKEN_REUSED), 1);
    for dead in [&session, &again] {
        assert_eq!(shop.refresh(&dead.refresh_token).await.status(), 401);
        assert!(!is_accepted(&shop, dead).await);
    }
    let other = shop.enter(user.id).await;
    assert!(is_accepted(&shop, &other).await, "other sessions continue with new access tokens");
}

#[tokio::test]
async fn every_invalid_refresh_token_gets_the_same_answer() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let anonymous = shop.send("get-me", &Value::Null).await;
    assert_eq!(
        (anonymous.status(), anonymous.header("www-authenticate").as_deref()),
        (401, Some("Bearer error=\"invalid_token\""))
    );
    let expected = seen(&anonymous);
    let check = |called: &Called, what: &str| assert_eq!(seen(called), expected, "{what}");

    let (session, other) = (shop.enter(user.id).await, shop.enter(user.id).await);
    let before = (shop.aws.items("users"), shop.aws.items("sessions"));
    let (mine, theirs): (Vec<&str>, Vec<&str>) =
        (session.refresh_token.split('.').collect(), other.refresh_token.split('.').collect());
    let mac = mine[3];
    let changed_mac = format!("{}{}", if mac.starts_with('A') { 'B' } else { 'A' }, &mac[1..]);
    let padded = BASE64_URL_SAFE_NO_PAD
        .decode(mac)
        .map(|bytes| base64::prelude::BASE64_URL_SAFE.encode(bytes))
        .unwrap();
    for (what, token) in [
        ("none", String::new()),
        ("an access token", session.access_token.clone()),
        ("another session's secret", [mine[0], mine[1], theirs[2], mine[3]].join(".")),
        ("another family", [theirs[0], mine[1], mine[2], mine[3]].join(".")),
        ("another sequence", [mine[0], "2", mine[2], mine[3]].join(".")),
        ("another MAC", [mine[0], mine[1], mine[2], &changed_mac].join(".")),
        ("a padded MAC", [mine[0], mine[1], mine[2], &padded].join(".")),
        ("no MAC", mine[..3].join(".")),
        ("white space", format!("{} ", session.refresh_token)),
        ("100 KB", "a".repeat(100_000)),
    ] {
        let called = shop.refresh(&token).await;
        check(&called, what);
        assert!(called.operations().is_empty(), "{what} costs no call");
    }
    // A token under our key, but of a session that never existed.
    let unknown_token = {
        let text = RefreshToken::open(&session.refresh_token, &shop.refresh_key().await).unwrap();
        let token = RefreshToken::first(text.subject, &shared::ids::Ids::System, shop.clock.now());
        token.text(&shop.refresh_key().await)
    };
    check(&shop.refresh(&unknown_token).await, "unknown");
    assert_eq!(
        (shop.aws.items("users"), shop.aws.items("sessions")),
        before,
        "rejected tokens change nothing"
    );

    let revoked = shop.enter(user.id).await;
    shop.logout(&revoked).await;
    check(&shop.refresh(&revoked.refresh_token).await, "revoked");
    shop.clock.advance(SESSION_LIFETIME - Duration::from_millis(1));
    let last = refreshed(&shop, &session).await;
    shop.clock.advance(Duration::from_millis(1));
    check(&shop.refresh(&other.refresh_token).await, "expired");
    assert_eq!(
        shop.user(user.id).await.token_version,
        1,
        "an expired token is not treated as reused"
    );
    shop.clock.advance(SESSION_LIFETIME - Duration::from_millis(2));
    assert_eq!(
        shop.refresh(&last.refresh_token).await.status(),
        200,
        "thirty days from the last exchange"
    );
}

#[tokio::test]
async fn refresh_accepts_only_refresh_tokens() {
    let shop = Shop::open();
    for (body, refused) in [
        (json!({}), 422),
        (json!({ "refresh_token": null }), 422),
        (json!({ "refresh_token": ["x"] }), 422),
        (json!({ "refresh_token": "x", "role": "admin" }), 422),
        (json!("x"), 422),
    ] {
        let called = shop.send("refresh-token", &body).await;
        assert_eq!((called.status(), called.calls.len()), (refused, 0), "{body}");
    }
}

#[tokio::test]
async fn user_changes_take_effect_at_the_next_refresh() {
    let shop = Shop::open();
    let admin = shop.admin("grace@example.com").await;
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;

    assert_eq!(shop.edit(&session, &json!({ "full_name": "Ada King" })).await.status(), 200);
    let renamed = refreshed(&shop, &session).await;
    assert_eq!(renamed.claims()["name"], "Ada King");
    assert!(is_accepted(&shop, &session).await, "a changed name ends no session");
    // The new token carries the current version, so one transaction is enough again.
    assert_eq!(shop.refresh(&renamed.refresh_token).await.operations(), ["TransactWriteItems"]);
    let renamed = refreshed(&shop, &renamed).await;

    assert_eq!(shop.administer(&admin, user.id, &json!({ "role": "admin" })).await.status(), 200);
    assert!(!is_accepted(&shop, &renamed).await, "a token with the old role");
    let promoted = refreshed(&shop, &renamed).await;
    assert_eq!(
        (&promoted.claims()["role"], is_accepted(&shop, &promoted).await),
        (&json!("admin"), true)
    );
    assert_eq!(shop.administer(&admin, user.id, &json!({ "role": "user" })).await.status(), 200);
    assert!(!is_accepted(&shop, &promoted).await);
    let demoted = refreshed(&shop, &promoted).await;
    assert_eq!(demoted.claims()["role"], "user");

    assert_eq!(shop.ask_for_address(&demoted, "Countess@Example.com").await.status(), 200);
    let waiting = refreshed(&shop, &demoted).await;
    assert_eq!(waiting.claims()["email"], ADA);
    assert_eq!(shop.verify_email(&shop.verification_token(user.id).await).await.status(), 204);
    assert!(!is_accepted(&shop, &waiting).await, "a token with the old address");
    let moved = refreshed(&shop, &waiting).await;
    assert_eq!(
        (&moved.claims()["email"], is_accepted(&shop, &moved).await),
        (&json!("countess@example.com"), true)
    );

    assert_eq!(shop.set_active(&admin, user.id, false).await.status(), 200);
    assert!(!is_accepted(&shop, &moved).await);
    let (out, anonymous) = (shop.refresh(&moved.refresh_token).await, shop.refresh("x").await);
    assert_eq!(seen(&out), seen(&anonymous));
    assert_eq!(shop.set_active(&admin, user.id, true).await.status(), 200);
    assert_eq!(
        seen(&shop.refresh(&moved.refresh_token).await),
        seen(&anonymous),
        "a re-enabled user has to log in again"
    );
    assert!(!is_accepted(&shop, &moved).await);
    assert!(is_accepted(&shop, &shop.enter(user.id).await).await);
}

#[tokio::test]
async fn logout_ends_only_its_own_session() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let (session, other) = (shop.enter(user.id).await, shop.enter(user.id).await);
    let later = refreshed(&shop, &session).await;
    let out = shop.logout(&later).await;
    assert_eq!(
        (out.status(), out.operations(), &out.ok()["body"]),
        (204, vec!["UpdateItem"], &json!(""))
    );
    for dead in [&session, &later] {
        assert!(!is_accepted(&shop, dead).await);
        assert_eq!(shop.refresh(&dead.refresh_token).await.status(), 401);
    }
    assert!(is_accepted(&shop, &other).await);
    let before = shop.aws.items("sessions");
    assert_eq!(seen(&shop.logout(&later).await), seen(&out), "the second time");
    assert_eq!(shop.aws.items("sessions"), before);
    assert_eq!(
        shop.user(user.id).await.token_version,
        1,
        "tokens of an ended session are not treated as reused"
    );
    assert_eq!(shop.refresh(&other.refresh_token).await.status(), 200);
}

#[tokio::test]
async fn foreign_or_missing_sessions_cannot_be_ended() {
    let shop = Shop::open();
    let (ada, bob) = (shop.enrol(ADA).await, shop.enrol("bob@example.com").await);
    let (adas, bobs) = (shop.enter(ada.id).await, shop.enter(bob.id).await);
    let before = shop.aws.items("sessions");
    for session in [
        json!(adas.id().to_string()),
        json!("ses_0199c2a8-0000-7000-8000-000000000001"),
        json!("x"),
        Value::Null,
    ] {
        let mut event = bobs.request(request("logout-user", &Value::Null));
        event["requestContext"]["authorizer"]["sid"] = session;
        assert_eq!(shop.call("logout-user", event).await.status(), 204);
    }
    assert_eq!(shop.aws.items("sessions"), before);
}

#[tokio::test]
async fn password_change_ends_every_other_session() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let (session, other, third) =
        (shop.enter(user.id).await, shop.enter(user.id).await, shop.enter(user.id).await);
    let third = refreshed(&shop, &third).await;
    assert_eq!(shop.change_password(&session, PASSWORD, NEW_PASSWORD).await.status(), 204);
    assert!(is_accepted(&shop, &session).await);
    let next = refreshed(&shop, &session).await;
    assert!(is_accepted(&shop, &next).await);
    for dead in [&other, &third] {
        assert!(!is_accepted(&shop, dead).await);
        assert_eq!(seen(&shop.refresh(&dead.refresh_token).await), seen(&shop.refresh("x").await));
        assert!(!is_accepted(&shop, dead).await);
    }
    assert!(
        is_accepted(&shop, &refreshed(&shop, &next).await).await,
        "the sessions had ended, so this is not a reuse"
    );
    assert_eq!(shop.login(ADA, PASSWORD).await.status(), 401);
    assert_eq!(shop.login(ADA, NEW_PASSWORD).await.status(), 200);
    shop.check_accounts();
    // A second password change from the same session.
    let last = refreshed(&shop, &next).await;
    assert_eq!(shop.change_password(&last, NEW_PASSWORD, PASSWORD).await.status(), 204);
    assert_eq!(shop.refresh(&last.refresh_token).await.status(), 200);
}

#[tokio::test]
async fn wrong_current_password_is_rejected_and_throttled() {
    let shop = Shop::open();
    // A hash that is cheap to verify.
    let cheap = "$argon2id$v=16$m=64,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$mjeOBTstiC9XBIvUIQnlKklNv6HJw2Hs8O7qXdo8fcw";
    let user = shop.enrol_with(ADA, cheap).await;
    let (session, other) = (shop.enter(user.id).await, shop.enter(user.id).await);
    let before = shop.aws.items("users");
    for number in 0..10 {
        let wrong = shop
            .change_password(
                if number % 2 == 0 { &session } else { &other },
                "correct house",
                NEW_PASSWORD,
            )
            .await;
        assert_eq!((wrong.status(), code(&wrong).as_str()), (422, "wrong_password"), "{number}");
        assert_eq!(wrong.json()["errors"][0]["pointer"], "/current_password");
    }
    let throttled = shop.change_password(&session, "correct house", NEW_PASSWORD).await;
    assert_eq!((throttled.status(), code(&throttled).as_str()), (429, "too_many_requests"));
    assert_eq!(throttled.header("retry-after").as_deref(), Some("900"));
    assert_eq!(
        shop.change_password(&other, "correct horse", NEW_PASSWORD).await.status(),
        429,
        "the correct password is throttled too"
    );
    assert_eq!(shop.aws.items("users"), before);
    assert!(is_accepted(&shop, &session).await && is_accepted(&shop, &other).await);
    shop.clock.advance(Duration::from_secs(900));
    let session = refreshed(&shop, &session).await;
    assert_eq!(shop.change_password(&session, "correct horse", NEW_PASSWORD).await.status(), 204);
}

#[tokio::test]
async fn new_password_must_follow_the_rules() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    let before = shop.aws.items("users");
    for (new, refused) in [
        ("seven77", "password_too_short"),
        ("iloveyou", "password_compromised"),
        ("ADA@example.com", "password_is_email"),
        (&"x".repeat(1025), "password_too_long"),
    ] {
        let called = shop.change_password(&session, PASSWORD, new).await;
        assert_eq!((called.status(), code(&called).as_str()), (422, refused));
        assert_eq!(called.json()["errors"][0]["pointer"], "/new_password");
    }
    assert_eq!(shop.aws.items("users"), before);
    let anonymous = shop.send("change-password", &json!({})).await;
    assert_eq!(anonymous.status(), 401);
}

#[tokio::test]
async fn deleted_disabled_or_outdated_user_is_rejected() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    let authorized = shop.authorize(&session.access_token).await;
    assert_eq!(authorized.ok()["policyDocument"]["Statement"][0]["Effect"], "Allow");
    let unauthorized = Err(Failure::expected("Unauthorized"));

    for (attribute, good, bad) in [
        ("is_active", json!({ "BOOL": true }), vec![json!({ "BOOL": false })]),
        ("token_version", json!({ "N": "1" }), vec![json!({ "N": "2" }), json!({ "N": "0" })]),
        ("session_epoch", json!({ "N": "1" }), vec![json!({ "N": "2" }), json!({ "N": "0" })]),
    ] {
        for value in bad {
            shop.set_in_profile(attribute, value.clone());
            assert_eq!(
                shop.authorize(&session.access_token).await.answer,
                unauthorized,
                "{attribute} {value}"
            );
        }
        shop.set_in_profile(attribute, good);
        assert!(is_accepted(&shop, &session).await);
    }
    shop.clock.advance(Duration::from_secs(899));
    assert!(is_accepted(&shop, &session).await);
    shop.clock.advance(Duration::from_secs(1));
    assert_eq!(shop.authorize(&session.access_token).await.answer, unauthorized, "expired");

    // The same keys in a shop without this user.
    let without = Shop::open();
    let gone = without.authorize(&session.access_token).await;
    assert_eq!((gone.answer.clone(), gone.operations()), (unauthorized, vec!["BatchGetItem"]));
}

#[tokio::test]
async fn table_or_secret_failure_logs_no_user_out() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        // A cold instance reads the keys first, then the user.
        for call in 0..2 {
            let cold = shop.cold();
            cold.aws.fail(call, fault);
            assert_eq!(
                kind(&cold.authorize(&session.access_token).await),
                "Unavailable",
                "{fault:?} at {call}"
            );
            assert!(is_accepted(&cold, &session).await, "{fault:?} at {call}");
        }
        // A refresh reads the signing key and the refresh key, then the session.
        for call in 0..3 {
            let cold = shop.cold();
            cold.aws.fail(call, fault);
            // The table retries a throttled transaction itself.
            let expected_status = if call == 2 && fault == Fault::Throttle { 200 } else { 503 };
            assert_eq!(
                cold.refresh(&session.refresh_token).await.status(),
                expected_status,
                "{fault:?} at {call}"
            );
            assert_eq!(
                cold.refresh(&session.refresh_token).await.status(),
                200,
                "{fault:?} at {call}"
            );
        }
    }
    // The token's key is newer than the cached ones, and the keys cannot be reloaded.
    let warm = shop.cold();
    assert!(is_accepted(&warm, &session).await);
    shop.rotate_signing_key().await;
    let new = shop.enter(user.id).await;
    shop.aws.fail(0, Fault::LoseRequest);
    assert_eq!(kind(&warm.authorize(&new.access_token).await), "Unavailable");
    warm.clock.advance(RELOAD_LIMIT.interval());
    assert!(is_accepted(&warm, &new).await);
    shop.aws.secrets_manager().set("signing-key", "nonsense");
    assert_eq!(kind(&shop.cold().authorize(&session.access_token).await), "Unavailable");
}
