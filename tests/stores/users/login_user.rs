//! A login returns valid tokens; a rejected one does not reveal the reason.

use std::collections::BTreeSet;

use serde_json::json;
use shared::{ids::sha256_hex, table::Outcome};
use tests::{
    aws::{Called, Fault},
    faults::{FAULTS, InjectedFault, for_each_fault_at_each_call},
    shop::{
        Shop,
        accounts::{ADA, PASSWORD, Session, code, hash, kind, seen},
    },
};
use users::domain::SESSION_LIFETIME;

const WRONG: &str = "wrong horse battery staple";
/// Hashes of `correct horse`, made by other programs.
const OLD_HASHES: [&str; 3] = [
    "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
    "$argon2id$v=16$m=64,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$mjeOBTstiC9XBIvUIQnlKklNv6HJw2Hs8O7qXdo8fcw",
    "$argon2id$v=19$m=256,t=3,p=2$c2FsdHNhbHRzYWx0$7s7XYU9U3NZVQfVjsRUFb/U9fmKrmuSy",
];

/// The AWS calls of an invocation with their tables and permissions, sorted.
fn aws_calls(called: &Called) -> Vec<String> {
    let mut aws_calls: Vec<_> = called
        .calls
        .iter()
        .map(|call| format!("{} {:?} {:?}", call.operation, call.tables, call.actions))
        .collect();
    aws_calls.sort();
    aws_calls
}

#[tokio::test]
async fn login_returns_valid_tokens() {
    let shop = Shop::open();
    shop.enrol(ADA).await;
    let login = shop.login("ADA@example.com", PASSWORD).await;
    assert_eq!(login.status(), 200);
    let calls: BTreeSet<_> = login.operations().into_iter().collect();
    assert_eq!(
        (login.operations().len(), calls),
        (4, BTreeSet::from(["GetItem", "TransactWriteItems", "UpdateItem"]))
    );
    assert_eq!(
        (&login.json()["token_type"], &login.json()["expires_in"]),
        (&json!("Bearer"), &json!(900))
    );
    let session = Session::of(&login).unwrap();
    let authorized = shop.authorize(&session.access_token).await;
    let context = &authorized.ok()["context"];
    let profile = shop.profiles().remove(0);
    assert_eq!(
        (&context["sub"], &context["role"], &context["tv"]),
        (&profile["user_id"]["S"], &json!("user"), &json!("1"))
    );
    assert_eq!(
        (&context["sid"], &context["email"]),
        (&json!(session.id().to_string()), &json!(ADA))
    );
    assert_eq!(authorized.operations(), ["BatchGetItem"]);

    let sessions = shop.aws.items("sessions");
    let stored_session = sessions
        .iter()
        .find(|item| item["pk"]["S"] == format!("SESSION#{}", session.id()))
        .unwrap();
    let expires = shop.clock.now().plus(SESSION_LIFETIME).seconds().to_string();
    assert_eq!(
        (&stored_session["user_id"], &stored_session["ttl"]["N"]),
        (&profile["user_id"], &json!(expires))
    );
    let everything = format!("{sessions:?}{:?}", shop.aws.items("users"));
    for secret in session.refresh_token.split('.').skip(2) {
        assert!(
            !everything.contains(secret) && !everything.contains(&secret[..40]),
            "the table stores no token in plain text"
        );
    }
    assert_eq!(
        stored_session["secret_hash"]["S"].as_str().map(str::len),
        Some(sha256_hex("").len())
    );
    assert!(!everything.contains("203.0.113.7"), "nor the network address of a login");
}

#[tokio::test]
async fn authorizer_reads_the_verification_at_each_request() {
    let shop = Shop::open();
    shop.enrol(ADA).await;
    let session = Session::of(&shop.login(ADA, PASSWORD).await).unwrap();
    let verified = async || {
        shop.authorize(&session.access_token).await.ok()["context"]["email_verified"].clone()
    };
    assert_eq!(verified().await, "false");
    let mut profile = shop.profiles().remove(0);
    profile["email_verified"] = json!({ "BOOL": true });
    shop.aws.put("users", &profile);
    assert_eq!(verified().await, "true", "the token is the same");
}

#[tokio::test]
async fn address_is_trimmed() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    for (number, email) in [
        " ada@example.com",
        "ada@example.com ",
        "\tAda@example.com\r\n",
        "\u{feff}ada@example.com\u{200b}",
        "\u{a0}ada@example.com",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(
            shop.login_from(&format!("198.51.100.{number}"), None, email, PASSWORD).await.status(),
            200,
            "{email:?}"
        );
        assert_eq!(code(&shop.register(email).await), "email_taken", "{email:?}");
        assert!(shop.grant(email, "user").await.answer.is_ok(), "{email:?}");
    }
    assert_eq!(shop.request_reset(" ada@example.com\n").await.status(), 202);
    let token = shop.reset_token(user.id).await;
    assert_eq!(shop.confirm_reset(&token, "another horse, another battery").await.status(), 204);
    let session = shop.enter(user.id).await;
    let requested =
        shop.edit(&session, &json!({ "email": " Countess@Example.com\t", "current_password": "another horse, another battery" })).await;
    assert_eq!(
        (requested.status(), &requested.json()["pending_email"]),
        (200, &json!("countess@example.com"))
    );
}

#[tokio::test]
async fn password_matches_in_any_unicode_normal_form() {
    const COMPOSED: &str = "caf\u{e9} au lait";
    const DECOMPOSED: &str = "cafe\u{301} au lait";
    // Hashes of the decomposed form, made by other programs.
    const OLD: [&str; 2] = [
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$pyJkOsTK347lqAZWl8vxDgEU44vY2eJUmBxdiugAadE",
        "$2b$04$abcdefghijklmnopqrstuu.oMTCQjdCbYvSW3IQEvGWmdb6wOIFXe",
    ];
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    for new in [DECOMPOSED, COMPOSED] {
        shop.request_reset(ADA).await;
        let token = shop.reset_token(user.id).await;
        assert_eq!(shop.confirm_reset(&token, new).await.status(), 204);
        for typed in [COMPOSED, DECOMPOSED] {
            assert_eq!(shop.login(ADA, typed).await.status(), 200, "{new:?} {typed:?}");
        }
        assert_eq!(shop.login(ADA, "cafe au lait").await.status(), 401);
        shop.clock.advance(std::time::Duration::from_secs(3600));
    }
    for (number, old) in OLD.into_iter().enumerate() {
        let email = format!("old-{number}@example.com");
        shop.enrol_with(&email, old).await;
        assert_eq!(shop.login(&email, COMPOSED).await.status(), 401, "{old}");
        assert_eq!(shop.login(&email, DECOMPOSED).await.status(), 200, "{old}");
        // The login has replaced the hash.
        assert_eq!(shop.login(&email, COMPOSED).await.status(), 200, "{old}");
    }
}

#[tokio::test]
async fn every_login_rejection_looks_the_same() {
    let shop = Shop::open();
    shop.enrol(ADA).await;
    let admin = shop.admin("grace@example.com").await;
    for email in ["dora@example.com", "dina@example.com"] {
        let user = shop.enrol(email).await;
        let disabled = shop.set_active(&admin, user.id, false).await;
        assert_eq!(disabled.status(), 200);
    }
    // A cold instance reads each secret once.
    assert_eq!(
        shop.login_from("198.51.100.9", None, "grace@example.com", PASSWORD).await.status(),
        200
    );

    let wrong = shop.login_from("198.51.100.1", None, ADA, WRONG).await;
    assert_eq!((wrong.status(), code(&wrong).as_str()), (401, "invalid_credentials"));
    let mut others = Vec::new();
    for (number, (email, password)) in [
        ("eve@example.com", PASSWORD),
        ("eve@example.net", WRONG),
        ("no address at all", PASSWORD),
        ("", ""),
        ("dora@example.com", WRONG),
        ("dina@example.com", PASSWORD),
    ]
    .into_iter()
    .enumerate()
    {
        others.push(
            shop.login_from(&format!("198.51.100.{}", 20 + number), None, email, password).await,
        );
    }
    for other in &others {
        assert_eq!(
            (seen(other).to_string(), aws_calls(other)),
            (seen(&wrong).to_string(), aws_calls(&wrong))
        );
    }
    assert_eq!(aws_calls(&wrong).len(), 3, "two buckets and one read: {:?}", aws_calls(&wrong));
    // The same holds for the second attempt of each.
    let again = shop.login_from("198.51.100.1", None, ADA, WRONG).await;
    for (number, email) in [(20, "eve@example.com"), (24, "dora@example.com")] {
        let other = shop.login_from(&format!("198.51.100.{number}"), None, email, WRONG).await;
        assert_eq!(
            (seen(&other).to_string(), aws_calls(&other)),
            (seen(&again).to_string(), aws_calls(&again))
        );
    }
    let session_items = shop
        .aws
        .items("sessions")
        .into_iter()
        .filter(|item| item["pk"]["S"].as_str().unwrap().starts_with("SESSION#"));
    assert_eq!(session_items.count(), 2, "the admin's two");
}

#[tokio::test]
async fn eleventh_attempt_is_throttled_and_the_owner_is_not() {
    let shop = Shop::open();
    // A hash that is cheap to verify: only its failure matters here.
    shop.enrol_with(ADA, OLD_HASHES[1]).await;
    let owner = shop.login_from("192.0.2.1", None, ADA, "correct horse").await;
    let device = owner.header("x-device-token").unwrap();
    let mut refused = Vec::new();
    for (block, email) in [ADA, "eve@example.com", "no address at all"].into_iter().enumerate() {
        for number in 0..11 {
            let tried = shop
                .login_from(&format!("2001:db8:{}:{number}::1", block), None, email, WRONG)
                .await;
            assert_eq!(tried.status(), if number < 10 { 401 } else { 429 }, "{email} {number}");
            if number == 10 {
                refused.push(tried);
            }
        }
    }
    for other in &refused {
        assert_eq!(
            (seen(other).to_string(), aws_calls(other)),
            (seen(&refused[0]).to_string(), aws_calls(&refused[0]))
        );
        assert_eq!(other.header("retry-after").as_deref(), Some("900"));
    }
    assert_eq!(
        shop.login_from("192.0.2.1", None, ADA, "correct horse").await.status(),
        429,
        "without the token the owner's device is unknown"
    );
    let entered = shop.login_from("192.0.2.1", Some(&device), ADA, "correct horse").await;
    assert_eq!((entered.status(), entered.header("x-device-token")), (200, None));
    for invalid_token in [
        "",
        "x",
        &device[1..],
        &format!("{device}A"),
        "dev_0199c2a8-0000-7000-8000-000000000001.1700000000.AAAA",
    ] {
        assert_eq!(
            shop.login_from("192.0.2.1", Some(invalid_token), ADA, "correct horse").await.status(),
            429,
            "{invalid_token}"
        );
    }
    assert_eq!(
        shop.login_from("192.0.2.1", Some(&device), "eve@example.com", WRONG).await.status(),
        429,
        "it is Ada's device"
    );
}

#[tokio::test]
async fn successful_logins_are_not_counted() {
    let shop = Shop::open();
    shop.enrol(ADA).await;
    let mut device = None;
    for number in 0..24 {
        let login = shop
            .login_from("192.0.2.1", device.as_deref().filter(|_| number > 11), ADA, PASSWORD)
            .await;
        assert_eq!(login.status(), 200, "{number}");
        device = login.header("x-device-token").or(device);
    }
}

#[tokio::test]
async fn login_succeeds_or_can_be_repeated_under_any_fault() {
    let mut failures = 0;
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let shop = Shop::open();
        shop.enrol(ADA).await;
        let before = shop.cold();
        before.aws.fail(call, fault);
        let first = before.login(ADA, PASSWORD).await;
        failures += u32::from(first.status() == 503);
        assert!([200, 503].contains(&first.status()), "{fault:?} at {call}");
        shop.aws.heal();
        let session = before.log_in(ADA).await;
        assert!(shop.authorize(&session.access_token).await.answer.is_ok(), "{fault:?} at {call}");
        assert_eq!(shop.refresh(&session.refresh_token).await.status(), 200, "{fault:?} at {call}");
        first
    })
    .await;
    assert!(failures > 12, "{failures}: the test is vacuous");
}

#[tokio::test]
async fn login_with_a_lost_response_starts_one_session() {
    let shop = Shop::open().retrying();
    shop.enrol(ADA).await;
    let usual = shop.login_from("192.0.2.1", None, ADA, PASSWORD).await;
    let usual =
        shop.login_from("192.0.2.2", None, ADA, PASSWORD).await.calls.len().min(usual.calls.len());
    let session_items = || {
        shop.aws
            .items("sessions")
            .iter()
            .filter(|item| item["pk"]["S"].as_str().unwrap().starts_with("SESSION#"))
            .count()
    };
    assert_eq!(session_items(), 2);
    // The last call writes the session.
    shop.aws.fail(usual - 1, Fault::LoseResponse);
    let login = shop.login_from("192.0.2.3", None, ADA, PASSWORD).await;
    assert_eq!(login.status(), 200);
    assert_eq!(
        login.operations().iter().filter(|operation| **operation == "TransactWriteItems").count(),
        2
    );
    assert_eq!(session_items(), 3);
}

#[tokio::test]
async fn login_is_available_after_the_first_key_rotation() {
    let shop = Shop::new();
    shop.enrol(ADA).await;
    for password in [PASSWORD, WRONG] {
        let early = shop.login(ADA, password).await;
        assert_eq!((early.status(), code(&early).as_str()), (503, "no_signing_key"));
        assert_eq!(
            (early.header("retry-after").as_deref(), early.operations().len()),
            (Some("5"), 0)
        );
    }
    assert_eq!(kind(&shop.authorize("a.b.c").await), "Unauthorized");
    shop.rotate_signing_key().await;
    assert_eq!(
        shop.login(ADA, PASSWORD).await.status(),
        200,
        "the same instance, which has seen that there is no key"
    );
}

#[tokio::test]
async fn old_hash_is_verified_and_upgraded() {
    for old in OLD_HASHES {
        let shop = Shop::open();
        shop.enrol_with(ADA, old).await;
        assert_eq!(shop.login(ADA, "correct house").await.status(), 401);
        assert_eq!(
            shop.credentials()[0]["password_hash"]["S"],
            old,
            "a wrong password replaces nothing"
        );
        let login = shop.login(ADA, "correct horse").await;
        assert_eq!(
            (login.status(), login.operations_on("users")),
            (200, vec!["GetItem", "UpdateItem"]),
            "{old}"
        );
        let new = shop.credentials()[0]["password_hash"]["S"].as_str().unwrap().to_owned();
        assert!(new.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{new}");
        let again = shop.login(ADA, "correct horse").await;
        assert_eq!((again.status(), again.operations_on("users")), (200, vec!["GetItem"]));
        assert_eq!(
            (
                shop.login(ADA, "correct house").await.status(),
                shop.users.store.credentials(ADA).await.unwrap().unwrap().version
            ),
            (401, 1)
        );
        shop.check_accounts();
    }
}

#[tokio::test]
async fn hash_upgrade_does_not_overwrite_a_concurrent_password_change() {
    let shop = Shop::open();
    shop.enrol_with(ADA, OLD_HASHES[0]).await;
    let seen = shop.users.store.credentials(ADA).await.unwrap().unwrap();
    let session = shop.enter(seen.user_id).await;
    assert_eq!(shop.change_password(&session, "correct horse", PASSWORD).await.status(), 204);
    let changed = shop.credentials();
    assert!(matches!(
        shop.users.store.update_password_hash(&seen, hash()).await.unwrap(),
        Outcome::ConditionFailed(Some(_))
    ));
    assert_eq!(shop.credentials(), changed);
}

#[tokio::test]
async fn failing_hash_upgrade_does_not_block_login() {
    for fault in FAULTS {
        let shop = Shop::open();
        shop.enrol_with(ADA, OLD_HASHES[0]).await;
        let calls = shop.cold().login(ADA, "correct horse").await.calls.len();
        let other = Shop::open();
        other.enrol_with(ADA, OLD_HASHES[0]).await;
        let instance = other.cold();
        other.aws.fail(calls - 1, fault);
        let login = instance.login(ADA, "correct horse").await;
        assert_eq!((login.status(), login.calls.len()), (200, calls), "{fault:?}");
        other.aws.heal();
        assert_eq!(instance.login(ADA, "correct horse").await.status(), 200);
        let new = other.credentials()[0]["password_hash"]["S"].as_str().unwrap().to_owned();
        assert!(
            new.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "the next login has replaced it"
        );
    }
}
