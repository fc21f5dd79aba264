//! Signing keys: a rotation creates one key, even when repeated, and tokens of the previous key
//! stay valid until they expire.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use tests::{
    aws::{Called, Fault},
    events,
    shop::{
        Shop,
        accounts::{ADA, STEPS, Session, code, kind},
    },
};
use users::tokens::{
    access::LIFETIME,
    signing_keys::{CACHE_TTL, JWKS_CACHE_TTL, RELOAD_LIMIT, RETIRED_KEY_RETENTION},
};

fn secrets_read(called: &Called) -> usize {
    called.calls.iter().filter(|call| call.service == "secretsmanager").count()
}

/// The header of a token, which names its key.
fn head(session: &Session) -> &str {
    session.access_token.split('.').next().unwrap()
}

async fn published(shop: &Shop) -> Vec<Value> {
    let called = shop.send("get-jwks", &Value::Null).await;
    assert_eq!(
        (called.status(), called.header("cache-control").as_deref()),
        (200, Some("public, max-age=30"))
    );
    called.json()["keys"].as_array().unwrap().clone()
}

#[tokio::test]
async fn unchanged_keys_are_answered_304() {
    let shop = Shop::open();
    let tag = shop.send("get-jwks", &Value::Null).await.header("etag").unwrap();
    let event = events::get("/.well-known/jwks.json").header("if-none-match", &tag).event();
    let unchanged = shop.call("get-jwks", event.clone()).await;
    assert_eq!((unchanged.status(), unchanged.body()), (304, ""));
    shop.rotate_signing_key().await;
    shop.clock.advance(JWKS_CACHE_TTL);
    let changed = shop.call("get-jwks", event).await;
    assert_eq!((changed.status(), changed.json()["keys"].as_array().unwrap().len()), (200, 2));
    assert_ne!(changed.header("etag"), Some(tag));
}

#[tokio::test]
async fn every_rotation_step_is_repeatable() {
    let shop = Shop::open();
    let first: Vec<_> = shop.signing_keys().into_iter().collect();
    assert_eq!(first.len(), 1);
    shop.aws.secrets_manager().begin_rotation("signing-key", "second");
    let mut after_step = Vec::new();
    for (step, calls_of_the_repetition) in STEPS.into_iter().zip([
        &["GetSecretValue"][..],
        &[],
        &["GetSecretValue"],
        &["DescribeSecret"],
    ]) {
        for repeated in [false, true] {
            let called = shop.rotation_step(step, "second").await;
            assert!(called.answer.is_ok(), "{step}");
            let calls: Vec<_> = called.calls.iter().map(|call| call.operation.as_str()).collect();
            assert!(!repeated || calls == calls_of_the_repetition, "{step} again: {calls:?}");
            after_step.push(shop.signing_keys());
        }
    }
    // Before the last step nothing changes, and repeating a step has no effect.
    assert!(after_step[..6].iter().all(|keys| *keys == after_step[0] && keys.len() == 1));
    assert_eq!(after_step[6], after_step[7]);
    let keys = shop.signing_keys();
    assert_eq!((keys.len(), keys[&first[0].0].as_str()), (2, "retired"));
    assert_eq!(keys.values().filter(|status| *status == "current").count(), 1);
    // All steps are repeated later.
    for step in STEPS {
        assert!(shop.rotation_step(step, "second").await.answer.is_ok(), "{step}");
    }
    assert_eq!(shop.signing_keys(), keys);
}

#[tokio::test]
async fn rotation_creates_one_key_under_any_fault() {
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        for step in STEPS {
            for call in 0..4 {
                let shop = Shop::open();
                let before = shop.signing_keys();
                shop.aws.secrets_manager().begin_rotation("signing-key", "second");
                for now in STEPS {
                    if now == step {
                        shop.aws.fail(call, fault);
                        let faulty = shop.rotation_step(now, "second").await;
                        assert!(
                            ["", "SecretsManagerFailed"].contains(&kind(&faulty)),
                            "{:?}",
                            faulty.answer
                        );
                        // The steps make three, one and four calls.
                        let calls = match now {
                            "createSecret" => 3,
                            "setSecret" => 0,
                            "testSecret" => 1,
                            _ => 4,
                        };
                        assert_eq!(
                            kind(&faulty).is_empty(),
                            call >= calls,
                            "{fault:?} at {call} of {now}"
                        );
                        shop.aws.heal();
                        let is_moved =
                            now == "finishSecret" && (call, fault) == (3, Fault::LoseResponse);
                        assert_eq!(
                            shop.signing_keys() == before,
                            !is_moved,
                            "{fault:?} at {call} of {now}"
                        );
                    }
                    let done = shop.rotation_step(now, "second").await;
                    assert!(
                        done.answer.is_ok(),
                        "{fault:?} at {call} of {step}: {now}: {:?}",
                        done.answer
                    );
                }
                let (old, keys) = (before.keys().next().unwrap(), shop.signing_keys());
                assert_eq!(
                    (keys.len(), keys[old].as_str()),
                    (2, "retired"),
                    "{fault:?} at {call} of {step}"
                );
                assert_eq!(keys.values().filter(|status| *status == "current").count(), 1);
            }
        }
    }
}

#[tokio::test]
async fn overtaken_rotation_keeps_the_new_key() {
    let shop = Shop::open();
    shop.aws.secrets_manager().begin_rotation("signing-key", "slow");
    assert!(shop.rotation_step("createSecret", "slow").await.answer.is_ok());
    shop.rotate_signing_key().await;
    let keys = shop.signing_keys();
    assert_eq!(kind(&shop.rotation_step("finishSecret", "slow").await), "Superseded");
    assert_eq!(shop.signing_keys(), keys);
    assert_eq!(kind(&shop.rotation_step("testSecret", "never begun").await), "UnreadableKeys");
    assert_eq!(kind(&shop.rotation_step("finishSecret", "never begun").await), "UnreadableKeys");
    assert_eq!(shop.signing_keys(), keys);
}

#[tokio::test]
async fn tokens_signed_before_a_rotation_stay_valid_until_they_expire() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    let renewed = async || Session::of(&shop.refresh(&session.refresh_token).await);
    let first = renewed().await.unwrap();
    shop.rotate_signing_key().await;
    // This instance uses its cached key until the cache expires.
    shop.clock.advance(CACHE_TTL - Duration::from_millis(1));
    let late = Session::of(&shop.refresh(&first.refresh_token).await).unwrap();
    shop.clock.advance(Duration::from_millis(1));
    let new = Session::of(&shop.refresh(&late.refresh_token).await).unwrap();
    assert_eq!(head(&first), head(&late));
    assert_ne!(head(&first), head(&new), "the header names the key");
    let counts = async || {
        let mut all = Vec::new();
        for session in [&first, &late, &new] {
            let (warm, cold) = (
                shop.authorize(&session.access_token).await,
                shop.cold().authorize(&session.access_token).await,
            );
            assert_eq!(kind(&warm), kind(&cold));
            all.push(cold.answer.is_ok());
        }
        all
    };
    assert_eq!(counts().await, [true, true, true]);
    shop.clock.advance(LIFETIME - CACHE_TTL - Duration::from_millis(1));
    assert_eq!(counts().await, [true, true, true]);
    shop.clock.advance(Duration::from_millis(1));
    assert_eq!(counts().await, [false, true, true]);
    // A second rotation shortly afterwards does not extend the validity of the first key.
    shop.rotate_signing_key().await;
    shop.clock.advance(CACHE_TTL - Duration::from_secs(2));
    assert_eq!(counts().await, [false, true, true]);
    // Token times are whole seconds. The late token was issued one second before the cached keys
    // expired.
    shop.clock.advance(Duration::from_secs(1));
    assert_eq!(counts().await, [false, false, true]);
    shop.clock.advance(Duration::from_secs(1));
    assert_eq!(counts().await, [false, false, false]);
    assert!(RETIRED_KEY_RETENTION > CACHE_TTL + LIFETIME);
}

#[tokio::test]
async fn unknown_keys_reload_a_few_times_then_every_thirty_seconds() {
    let foreign = Shop::new();
    foreign.rotate_signing_key().await;
    let user = foreign.enrol(ADA).await;
    let forged_token = foreign.enter(user.id).await.access_token;

    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let token = shop.enter(user.id).await.access_token;
    assert!(shop.authorize(&token).await.answer.is_ok());
    let secrets_reads = async |token: &str| secrets_read(&shop.authorize(token).await);
    for _ in 0..RELOAD_LIMIT.burst() {
        assert_eq!(secrets_reads(&forged_token).await, 1);
    }
    assert_eq!(
        (secrets_reads(&forged_token).await, kind(&shop.authorize(&forged_token).await)),
        (0, "Unauthorized")
    );
    shop.clock.advance(RELOAD_LIMIT.interval() - Duration::from_millis(1));
    assert_eq!((secrets_reads(&forged_token).await, secrets_reads(&token).await), (0, 0));
    shop.clock.advance(Duration::from_millis(1));
    // The cached keys have expired by now, too.
    assert_eq!(
        (
            secrets_reads(&forged_token).await,
            secrets_reads(&forged_token).await,
            secrets_reads(&token).await
        ),
        (2, 0, 0)
    );

    // An unknown key reloads the keys at once, unless the reload limit is used up.
    shop.clock.advance(RELOAD_LIMIT.interval());
    shop.rotate_signing_key().await;
    let new = shop.enter(user.id).await.access_token;
    let noticed = shop.authorize(&new).await;
    assert_eq!((noticed.answer.is_ok(), secrets_read(&noticed)), (true, 1));
    let again = shop.authorize(&new).await;
    assert_eq!((again.answer.is_ok(), secrets_read(&again)), (true, 0));
}

#[tokio::test]
async fn published_keys_verify_our_tokens() {
    let shop = Shop::new();
    let early = shop.send("get-jwks", &Value::Null).await;
    assert_eq!(
        (early.status(), code(&early).as_str(), early.header("retry-after").as_deref()),
        (503, "no_signing_key", Some("5"))
    );
    shop.rotate_signing_key().await;
    shop.clock.advance(JWKS_CACHE_TTL);
    let one = published(&shop).await;
    assert_eq!(one.len(), 1);
    let user = shop.enrol(ADA).await;
    let before = shop.enter(user.id).await;
    shop.rotate_signing_key().await;
    assert_eq!(
        published(&shop).await,
        one,
        "cached for a few seconds to limit the reads of Secrets Manager"
    );
    shop.clock.advance(JWKS_CACHE_TTL);
    let two = published(&shop).await;
    let after = shop.enter(user.id).await;
    assert_eq!((two.len(), two.contains(&one[0])), (2, true));
    for session in [&before, &after] {
        let (message, signature) = session.access_token.rsplit_once('.').unwrap();
        let decoded = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        let header: Value = serde_json::from_slice(&decoded(head(session))).unwrap();
        let key = two.iter().find(|key| key["kid"] == header["kid"]).unwrap();
        let members = [("kty", "OKP"), ("crv", "Ed25519"), ("alg", "EdDSA"), ("use", "sig")];
        assert!(
            members.iter().all(|(name, value)| key[name] == *value)
                && key.as_object().unwrap().len() == 6,
            "{key}"
        );
        let public = UnparsedPublicKey::new(&ED25519, decoded(key["x"].as_str().unwrap()));
        assert!(public.verify(message.as_bytes(), &decoded(signature)).is_ok());
        let other = two.iter().find(|key| key["kid"] != header["kid"]).unwrap();
        let other = UnparsedPublicKey::new(&ED25519, decoded(other["x"].as_str().unwrap()));
        assert!(other.verify(message.as_bytes(), &decoded(signature)).is_err());
    }
    shop.clock.advance(RETIRED_KEY_RETENTION - JWKS_CACHE_TTL - Duration::from_millis(1));
    assert_eq!(published(&shop).await.len(), 2);
    shop.clock.advance(Duration::from_millis(1));
    assert_eq!(
        published(&shop).await,
        two.into_iter().filter(|key| *key != one[0]).collect::<Vec<_>>()
    );
    assert_eq!(shop.signing_keys().len(), 2, "in the secret it stays until the next rotation");
}

#[tokio::test]
async fn no_private_key_is_published() {
    let shop = Shop::open();
    shop.rotate_signing_key().await;
    let secret: Value =
        serde_json::from_str(&shop.aws.secrets_manager().text("signing-key").unwrap()).unwrap();
    let private: Vec<_> = secret["keys"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|key| key["private"].as_str())
        .collect();
    assert_eq!(private.len(), 1);
    let called = shop.send("get-jwks", &Value::Null).await;
    assert!(
        !called.ok().to_string().contains(private[0])
            && !called.ok().to_string().contains("private")
    );
    assert_eq!(json!(called.status()), json!(200));
}

/// The status of a key, and the number of signing keys.
fn status(shop: &Shop, kid: &str) -> (String, usize) {
    let keys = shop.signing_keys();
    (
        keys.get(kid).cloned().unwrap_or_default(),
        keys.values().filter(|status| *status == "current").count(),
    )
}

#[tokio::test]
async fn revocation_reports_both_keys_and_is_repeatable() {
    let shop = Shop::open();
    shop.rotate_signing_key().await;
    let before = shop.signing_keys();
    for wanted in ["retired", "current"] {
        let kid = before
            .iter()
            .find(|(_, status)| *status == wanted)
            .map(|(kid, _)| kid.clone())
            .unwrap();
        let called = shop.revoke_key(&kid).await;
        let answer = called.ok().clone();
        assert_eq!(
            called.calls.iter().map(|call| call.operation.as_str()).collect::<Vec<_>>(),
            ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
        );
        assert_eq!(
            (&answer["revoked"], status(&shop, &kid)),
            (&json!(kid), ("revoked".to_owned(), 1))
        );
        assert_eq!(status(&shop, answer["current"].as_str().unwrap()).0, "current");
        let keys = shop.signing_keys();
        let again = shop.revoke_key(&kid).await;
        assert_eq!((again.ok(), shop.signing_keys()), (&answer, keys), "nothing is written");
        // A revoked key is not published.
        shop.clock.advance(JWKS_CACHE_TTL);
        assert!(published(&shop).await.iter().all(|key| key["kid"] != *kid));
    }
    let signing =
        shop.signing_keys().into_iter().find(|(_, status)| status == "current").unwrap().0;
    assert_eq!(shop.revoke_key("current").await.ok()["revoked"], json!(signing));
    let keys = shop.signing_keys();
    for unknown in ["", "CURRENT", "key_0199c2a8-0000-7000-8000-000000000001", "key_x", "*"] {
        assert_eq!(kind(&shop.revoke_key(unknown).await), "UnknownKey", "{unknown}");
    }
    assert_eq!(
        kind(&Shop::new().revoke_key("current").await),
        "UnknownKey",
        "before the first rotation"
    );
    assert_eq!(shop.signing_keys(), keys);
}

#[tokio::test]
async fn rotation_started_before_a_revocation_does_not_restore_the_key() {
    for retire in [false, true] {
        let shop = Shop::open();
        let kid = shop.signing_keys().keys().next().unwrap().clone();
        if retire {
            shop.rotate_signing_key().await;
        }
        shop.aws.secrets_manager().begin_rotation("signing-key", "slow");
        assert!(shop.rotation_step("createSecret", "slow").await.answer.is_ok());
        assert!(shop.revoke_key(&kid).await.answer.is_ok());
        assert_eq!(kind(&shop.rotation_step("finishSecret", "slow").await), "Superseded");
        assert_eq!(status(&shop, &kid), ("revoked".to_owned(), 1));
        shop.rotate_signing_key().await;
        assert_eq!(status(&shop, &kid), ("revoked".to_owned(), 1));
    }
}

#[tokio::test]
async fn revocation_survives_faults_and_a_rotation_that_finishes_first() {
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        for call in 0..4 {
            let shop = Shop::open();
            let kid = shop.signing_keys().keys().next().unwrap().clone();
            shop.aws.fail(call, fault);
            let called = shop.revoke_key(&kid).await;
            assert!(
                ["", "SecretsManagerFailed"].contains(&kind(&called)),
                "{fault:?} at {call}: {:?}",
                called.answer
            );
            // Only the last call is retried, from the start.
            assert_eq!(called.answer.is_ok(), call == 3, "{fault:?} at {call}");
            shop.aws.heal();
            assert!(shop.revoke_key(&kid).await.answer.is_ok(), "{fault:?} at {call}");
            assert_eq!(status(&shop, &kid), ("revoked".to_owned(), 1), "{fault:?} at {call}");
        }
    }
    // Another rotation finishes between the revocation's read and its last write.
    let shop = Shop::open();
    let kid = shop.signing_keys().keys().next().unwrap().clone();
    shop.aws.secrets_manager().begin_rotation("signing-key", "quick");
    assert!(shop.rotation_step("createSecret", "quick").await.answer.is_ok());
    shop.aws.secrets_manager().overtake("signing-key", "quick");
    let called = shop.revoke_key("current").await;
    assert_eq!(
        called.ok()["revoked"],
        json!(kid),
        "the requested key, not the one that signs by then"
    );
    assert_eq!(called.calls.len(), 8);
    assert_eq!(status(&shop, &kid), ("revoked".to_owned(), 1));
    assert_eq!(shop.signing_keys().len(), 3, "the key of the rotation is kept");
}
