//! Sessions: refresh tokens that count once, and what ends them.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use shared::lambda::Failure;
use tests::{
    aws::{Called, Fault},
    door::{ADA, Door, PASSWORD, Session, code, kind, seen},
    events,
    shop::SESSION_MAX,
};
use users::{
    domain::{GRACE, SESSION_LIFETIME},
    operations::{get_me::get_me, refresh_token::refresh_token},
    tokens::{refresh::RefreshToken, signing_keys::RELOADS},
};

const NEW_PASSWORD: &str = "another horse, another battery";

/// The session after a refresh that succeeds.
async fn refreshed(door: &Door, session: &Session) -> Session {
    let called = door.refresh(&session.refresh_token).await;
    Session::of(&called).unwrap_or_else(|| panic!("{:?}", called.answer))
}

/// Whether the gateway would let an access token in.
async fn is_in(door: &Door, session: &Session) -> bool {
    let called = door.authorize(&session.access_token).await;
    assert!(["", "Unauthorized"].contains(&kind(&called)), "{:?}", called.answer);
    called.answer.is_ok()
}

#[tokio::test]
async fn a_refresh_costs_one_transaction_and_no_read() {
    let door = Door::open();
    door.enrol(ADA).await;
    let session = door.log_in(ADA).await;
    let first = door.refresh(&session.refresh_token).await;
    assert_eq!((first.status(), first.operations(), first.calls.len()), (200, vec!["TransactWriteItems"], 1));
    assert_eq!((&first.json()["token_type"], &first.json()["expires_in"]), (&json!("Bearer"), &json!(900)));
    let mut last = Session::of(&first).unwrap();
    assert!(is_in(&door, &last).await && is_in(&door, &session).await);
    for _ in 0..5 {
        door.clock.advance(Duration::from_secs(900));
        let called = door.refresh(&last.refresh_token).await;
        assert_eq!(called.operations(), ["TransactWriteItems"]);
        let next = Session::of(&called).unwrap();
        assert_ne!(next, last);
        assert_eq!((next.family(), next.user_id()), (session.family(), session.user_id()));
        last = next;
    }
}

#[tokio::test]
async fn session_ends_180_days_after_its_login_however_often_it_is_used() {
    let door = Door::open();
    let user = door.enrol(ADA).await;
    let start = door.clock.now();
    let mut session = door.enter(user.id).await;
    let stored = || {
        let item = door.aws.items("sessions").remove(0);
        (item["expires_at"]["S"].as_str().unwrap().to_owned(), item["ttl"]["N"].as_str().unwrap().parse::<i64>().unwrap())
    };
    for days in (20..180).step_by(20) {
        door.clock.advance(Duration::from_secs(20 * 24 * 3600));
        session = refreshed(&door, &session).await;
        let end = door.clock.now().plus(SESSION_LIFETIME).min(start.plus(SESSION_MAX));
        assert_eq!(stored(), (end.to_string(), end.seconds()), "day {days}");
    }
    door.clock.advance(Duration::from_secs(20 * 24 * 3600) - Duration::from_millis(1));
    let last = refreshed(&door, &session).await;
    assert!(is_in(&door, &last).await);
    door.clock.advance(Duration::from_millis(1));
    assert!(!is_in(&door, &last).await);
    for token in [&last, &session] {
        let called = door.refresh(&token.refresh_token).await;
        assert_eq!((called.status(), code(&called).as_str(), called.operations().len()), (401, "invalid_token", 0));
    }
    assert_eq!(door.user(user.id).await.token_version, 1, "an old token is no reuse");
    assert!(is_in(&door, &door.enter(user.id).await).await, "a login begins another session");
}

#[tokio::test]
async fn the_answer_that_was_lost_comes_again_for_ten_seconds() {
    let door = Door::open();
    let user = door.enrol(ADA).await;
    let session = door.enter(user.id).await;
    door.refresh(&door.enter(user.id).await.refresh_token).await;
    door.aws.fail(0, Fault::LoseResponse);
    assert_eq!(door.refresh(&session.refresh_token).await.status(), 503);
    let again = refreshed(&door, &session).await;
    door.clock.advance(GRACE);
    let late = refreshed(&door, &session).await;
    assert_eq!(again.refresh_token, late.refresh_token);
    assert!(is_in(&door, &late).await);
    let version = door.user(user.id).await.token_version;
    door.clock.advance(Duration::from_millis(1));
    let too_late = door.refresh(&session.refresh_token).await;
    assert_eq!((too_late.status(), code(&too_late).as_str()), (401, "invalid_token"));
    assert_eq!(door.user(user.id).await.token_version, version + 1);
    for dead in [&session, &again] {
        assert_eq!(door.refresh(&dead.refresh_token).await.status(), 401);
        assert!(!is_in(&door, dead).await);
    }
    let other = door.enter(user.id).await;
    assert!(is_in(&door, &other).await, "other sessions go on with new access tokens");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_refresh_token_the_answer_is_that_for_an_access_token() {
    let door = Door::open();
    let user = door.enrol(ADA).await;
    let nobody = door.http(get_me, events::get("/users/me").event()).await;
    assert_eq!((nobody.status(), nobody.header("www-authenticate").as_deref()), (401, Some("Bearer error=\"invalid_token\"")));
    let expected = seen(&nobody);
    let check = |called: &Called, what: &str| assert_eq!(seen(called), expected, "{what}");

    let (session, other) = (door.enter(user.id).await, door.enter(user.id).await);
    let before = (door.aws.items("users"), door.aws.items("sessions"));
    let (mine, theirs): (Vec<&str>, Vec<&str>) = (session.refresh_token.split('.').collect(), other.refresh_token.split('.').collect());
    let mac = mine[3];
    let changed_mac = format!("{}{}", if mac.starts_with('A') { 'B' } else { 'A' }, &mac[1..]);
    let padded = BASE64_URL_SAFE_NO_PAD.decode(mac).map(|bytes| base64::prelude::BASE64_URL_SAFE.encode(bytes)).unwrap();
    for (what, token) in [
        ("none", String::new()),
        ("an access token", session.access_token.clone()),
        ("another family's secret", [mine[0], mine[1], theirs[2], mine[3]].join(".")),
        ("another family", [theirs[0], mine[1], mine[2], mine[3]].join(".")),
        ("another sequence", [mine[0], "2", mine[2], mine[3]].join(".")),
        ("another MAC", [mine[0], mine[1], mine[2], &changed_mac].join(".")),
        ("a padded MAC", [mine[0], mine[1], mine[2], &padded].join(".")),
        ("no MAC", mine[..3].join(".")),
        ("white space", format!("{} ", session.refresh_token)),
        ("100 KB", "a".repeat(100_000)),
    ] {
        let called = door.refresh(&token).await;
        check(&called, what);
        assert!(called.operations().is_empty(), "{what} costs no call");
    }
    // Made under our key, but of a session that never was.
    let stray = {
        let text = RefreshToken::open(&session.refresh_token, &door.refresh_key().await).unwrap();
        let token = RefreshToken::first(text.bearer, &shared::ids::Ids::System, door.clock.now());
        token.text(&door.refresh_key().await)
    };
    check(&door.refresh(&stray).await, "unknown");
    assert_eq!((door.aws.items("users"), door.aws.items("sessions")), before, "and nothing of it changes anything");

    let revoked = door.enter(user.id).await;
    door.logout(&revoked).await;
    check(&door.refresh(&revoked.refresh_token).await, "revoked");
    door.clock.advance(SESSION_LIFETIME - Duration::from_millis(1));
    let last = refreshed(&door, &session).await;
    door.clock.advance(Duration::from_millis(1));
    check(&door.refresh(&other.refresh_token).await, "expired");
    assert_eq!(door.user(user.id).await.token_version, 1, "an expired token is no reuse");
    door.clock.advance(SESSION_LIFETIME - Duration::from_millis(2));
    assert_eq!(door.refresh(&last.refresh_token).await.status(), 200, "thirty days from the last exchange");
}

#[tokio::test]
async fn a_refresh_takes_a_refresh_token_and_nothing_else() {
    let door = Door::open();
    for (body, refused) in [
        (json!({}), 422),
        (json!({ "refresh_token": null }), 422),
        (json!({ "refresh_token": ["x"] }), 422),
        (json!({ "refresh_token": "x", "role": "admin" }), 422),
        (json!("x"), 422),
    ] {
        let called = door.http(refresh_token, events::post("/users/token/refresh", &body).event()).await;
        assert_eq!((called.status(), called.calls.len()), (refused, 0), "{body}");
    }
}

#[tokio::test]
async fn what_becomes_of_a_user_shows_at_the_next_refresh() {
    let door = Door::open();
    let admin = door.admin("grace@example.com").await;
    let user = door.enrol(ADA).await;
    let session = door.enter(user.id).await;

    assert_eq!(door.edit(&session, &json!({ "full_name": "Ada King" })).await.status(), 200);
    let renamed = refreshed(&door, &session).await;
    assert_eq!(renamed.claims()["name"], "Ada King");
    assert!(is_in(&door, &session).await, "a name logs nobody out");
    // The token brings the present version along: from now on one transaction is enough again.
    assert_eq!(door.refresh(&renamed.refresh_token).await.operations(), ["TransactWriteItems"]);
    let renamed = refreshed(&door, &renamed).await;

    assert_eq!(door.administer(&admin, user.id, &json!({ "role": "admin" })).await.status(), 200);
    assert!(!is_in(&door, &renamed).await, "a token with the old role");
    let promoted = refreshed(&door, &renamed).await;
    assert_eq!((&promoted.claims()["role"], is_in(&door, &promoted).await), (&json!("admin"), true));
    assert_eq!(door.administer(&admin, user.id, &json!({ "role": "user" })).await.status(), 200);
    assert!(!is_in(&door, &promoted).await);
    let demoted = refreshed(&door, &promoted).await;
    assert_eq!(demoted.claims()["role"], "user");

    assert_eq!(door.ask_for_address(&demoted, "Countess@Example.com").await.status(), 200);
    let waiting = refreshed(&door, &demoted).await;
    assert_eq!(waiting.claims()["email"], ADA);
    assert_eq!(door.verify_email(&door.verification_token(user.id).await).await.status(), 204);
    assert!(!is_in(&door, &waiting).await, "a token with the old address");
    let moved = refreshed(&door, &waiting).await;
    assert_eq!((&moved.claims()["email"], is_in(&door, &moved).await), (&json!("countess@example.com"), true));

    assert_eq!(door.set_active(&admin, user.id, false).await.status(), 200);
    assert!(!is_in(&door, &moved).await);
    let (out, nobody) = (door.refresh(&moved.refresh_token).await, door.refresh("x").await);
    assert_eq!(seen(&out), seen(&nobody));
    assert_eq!(door.set_active(&admin, user.id, true).await.status(), 200);
    assert_eq!(seen(&door.refresh(&moved.refresh_token).await), seen(&nobody), "who is let in again logs in again");
    assert!(!is_in(&door, &moved).await);
    assert!(is_in(&door, &door.enter(user.id).await).await);
}

#[tokio::test]
async fn a_session_that_is_logged_out_is_over_and_no_other_is() {
    let door = Door::open();
    let user = door.enrol(ADA).await;
    let (session, other) = (door.enter(user.id).await, door.enter(user.id).await);
    let later = refreshed(&door, &session).await;
    let out = door.logout(&later).await;
    assert_eq!((out.status(), out.operations(), &out.ok()["body"]), (204, vec!["UpdateItem"], &json!("")));
    for dead in [&session, &later] {
        assert!(!is_in(&door, dead).await);
        assert_eq!(door.refresh(&dead.refresh_token).await.status(), 401);
    }
    assert!(is_in(&door, &other).await);
    let before = door.aws.items("sessions");
    assert_eq!(seen(&door.logout(&later).await), seen(&out), "the second time");
    assert_eq!(door.aws.items("sessions"), before);
    assert_eq!(door.user(user.id).await.token_version, 1, "a session that is over is no reuse of its tokens");
    assert_eq!(door.refresh(&other.refresh_token).await.status(), 200);
}

#[tokio::test]
async fn nobody_ends_the_session_of_another_or_one_that_never_was() {
    let door = Door::open();
    let (ada, bob) = (door.enrol(ADA).await, door.enrol("bob@example.com").await);
    let (adas, bobs) = (door.enter(ada.id).await, door.enter(bob.id).await);
    let before = door.aws.items("sessions");
    for session in [json!(adas.family().to_string()), json!("fam_0199c2a8-0000-7000-8000-000000000001"), json!("x"), Value::Null] {
        let mut event = bobs.request(events::http("POST", "/users/logout"));
        event["requestContext"]["authorizer"]["sid"] = session;
        assert_eq!(door.http(users::operations::logout_user::logout_user, event).await.status(), 204);
    }
    assert_eq!(door.aws.items("sessions"), before);
}

#[tokio::test]
async fn a_changed_password_ends_every_other_session_and_not_this_one() {
    let door = Door::open();
    let user = door.enrol(ADA).await;
    let (session, other, third) = (door.enter(user.id).await, door.enter(user.id).await, door.enter(user.id).await);
    let third = refreshed(&door, &third).await;
    assert_eq!(door.change_password(&session, PASSWORD, NEW_PASSWORD).await.status(), 204);
    assert!(is_in(&door, &session).await);
    let next = refreshed(&door, &session).await;
    assert!(is_in(&door, &next).await);
    for dead in [&other, &third] {
        assert!(!is_in(&door, dead).await);
        assert_eq!(seen(&door.refresh(&dead.refresh_token).await), seen(&door.refresh("x").await));
        assert!(!is_in(&door, dead).await);
    }
    assert!(is_in(&door, &refreshed(&door, &next).await).await, "they were over, and no reuse");
    assert_eq!(door.login(ADA, PASSWORD).await.status(), 401);
    assert_eq!(door.login(ADA, NEW_PASSWORD).await.status(), 200);
    door.check();
    // Who changes it once more from the same session.
    let last = refreshed(&door, &next).await;
    assert_eq!(door.change_password(&last, NEW_PASSWORD, PASSWORD).await.status(), 204);
    assert_eq!(door.refresh(&last.refresh_token).await.status(), 200);
}

#[tokio::test]
async fn who_does_not_know_the_present_password_changes_nothing_and_cannot_try_for_long() {
    let door = Door::open();
    // Cheap to check.
    let cheap = "$argon2id$v=16$m=64,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$mjeOBTstiC9XBIvUIQnlKklNv6HJw2Hs8O7qXdo8fcw";
    let user = door.enrol_with(ADA, cheap).await;
    let (session, other) = (door.enter(user.id).await, door.enter(user.id).await);
    let before = door.aws.items("users");
    for number in 0..10 {
        let wrong = door.change_password(if number % 2 == 0 { &session } else { &other }, "correct house", NEW_PASSWORD).await;
        assert_eq!((wrong.status(), code(&wrong).as_str()), (422, "wrong_password"), "{number}");
        assert_eq!(wrong.json()["errors"][0]["pointer"], "/current_password");
    }
    let throttled = door.change_password(&session, "correct house", NEW_PASSWORD).await;
    assert_eq!((throttled.status(), code(&throttled).as_str()), (429, "too_many_requests"));
    assert_eq!(throttled.header("retry-after").as_deref(), Some("900"));
    assert_eq!(door.change_password(&other, "correct horse", NEW_PASSWORD).await.status(), 429, "nor does guessing right help");
    assert_eq!(door.aws.items("users"), before);
    assert!(is_in(&door, &session).await && is_in(&door, &other).await);
    door.clock.advance(Duration::from_secs(900));
    let session = refreshed(&door, &session).await;
    assert_eq!(door.change_password(&session, "correct horse", NEW_PASSWORD).await.status(), 204);
}

#[tokio::test]
async fn a_new_password_keeps_the_rules() {
    let door = Door::open();
    let user = door.enrol(ADA).await;
    let session = door.enter(user.id).await;
    let before = door.aws.items("users");
    for (new, refused) in [
        ("seven77", "password_too_short"),
        ("iloveyou", "password_compromised"),
        ("ADA@example.com", "password_is_email"),
        (&"x".repeat(1025), "password_too_long"),
    ] {
        let called = door.change_password(&session, PASSWORD, new).await;
        assert_eq!((called.status(), code(&called).as_str()), (422, refused));
        assert_eq!(called.json()["errors"][0]["pointer"], "/new_password");
    }
    assert_eq!(door.aws.items("users"), before);
    let nobody =
        door.http(users::operations::change_password::change_password, events::post("/users/me/password", &json!({})).event()).await;
    assert_eq!(nobody.status(), 401);
}

#[tokio::test]
async fn a_user_who_is_gone_or_disabled_or_whose_token_version_moved_on_is_out() {
    let door = Door::open();
    let user = door.enrol(ADA).await;
    let session = door.enter(user.id).await;
    let authorized = door.authorize(&session.access_token).await;
    assert_eq!(authorized.ok()["policyDocument"]["Statement"][0]["Effect"], "Allow");
    let unauthorized = Err(Failure::refusal("Unauthorized"));

    for (attribute, good, bad) in [
        ("is_active", json!({ "BOOL": true }), vec![json!({ "BOOL": false })]),
        ("tv", json!({ "N": "1" }), vec![json!({ "N": "2" }), json!({ "N": "0" })]),
        ("session_epoch", json!({ "N": "1" }), vec![json!({ "N": "2" }), json!({ "N": "0" })]),
    ] {
        for value in bad {
            door.set(attribute, value.clone());
            assert_eq!(door.authorize(&session.access_token).await.answer, unauthorized, "{attribute} {value}");
        }
        door.set(attribute, good);
        assert!(is_in(&door, &session).await);
    }
    door.clock.advance(Duration::from_secs(899));
    assert!(is_in(&door, &session).await);
    door.clock.advance(Duration::from_secs(1));
    assert_eq!(door.authorize(&session.access_token).await.answer, unauthorized, "expired");

    // The same keys in a world without her.
    let without = Door::open();
    let gone = without.authorize(&session.access_token).await;
    assert_eq!((gone.answer.clone(), gone.operations()), (unauthorized.clone(), vec!["BatchGetItem"]));
    // What is no token of ours costs no read.
    let (head, signature) = session.access_token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    for odd in ["", "a.b.c", head, &format!("{head}."), &format!("{head}.{first}{}", &signature[1..])] {
        let refused = door.authorize(odd).await;
        assert_eq!((refused.answer.clone(), refused.operations().len()), (unauthorized.clone(), 0), "{odd}");
    }
}

#[tokio::test]
async fn trouble_with_table_or_secret_logs_nobody_out() {
    let door = Door::open();
    let user = door.enrol(ADA).await;
    let session = door.enter(user.id).await;
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        // A cold instance reads the keys first, then the user.
        for call in 0..2 {
            let cold = door.cold();
            cold.aws.fail(call, fault);
            assert_eq!(kind(&cold.authorize(&session.access_token).await), "Unavailable", "{fault:?} at {call}");
            assert!(is_in(&cold, &session).await, "{fault:?} at {call}");
        }
        // And a refresh the signing key, its own keys, then the session.
        for call in 0..3 {
            let cold = door.cold();
            cold.aws.fail(call, fault);
            // A transaction that is throttled is tried again by the table itself.
            let spoiled = if call == 2 && fault == Fault::Throttle { 200 } else { 503 };
            assert_eq!(cold.refresh(&session.refresh_token).await.status(), spoiled, "{fault:?} at {call}");
            assert_eq!(cold.refresh(&session.refresh_token).await.status(), 200, "{fault:?} at {call}");
        }
    }
    // A token of a key that is newer than the copy: the keys cannot be read again.
    let warm = door.cold();
    assert!(is_in(&warm, &session).await);
    door.rotate("second").await;
    let new = door.enter(user.id).await;
    door.aws.fail(0, Fault::LoseRequest);
    assert_eq!(kind(&warm.authorize(&new.access_token).await), "Unavailable");
    warm.clock.advance(RELOADS.interval());
    assert!(is_in(&warm, &new).await);
    door.aws.secrets_manager().set("signing-key", "nonsense");
    assert_eq!(kind(&door.cold().authorize(&session.access_token).await), "Unavailable");
}
