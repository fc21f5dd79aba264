//! Tokens: the kind, then the token. The fuzzer cannot forge a signature, so three kinds are signed
//! here: `claims` (the header of a JWT, a line break, its claims), `refresh-body` and `device-body`.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{hmac, signature::Ed25519KeyPair};
use serde_json::{Value, json};
use shared::ids::{self, Ids};
use tests::events;
use users::tokens::{
    access::Claims,
    device::{DeviceToken, DeviceTokenKey},
    one_time::OneTimeToken,
    refresh::{RefreshToken, RefreshTokenKey},
    signing_keys::SigningKeys,
};

use crate::{
    http,
    input::{choose, first_line, input},
    stage::Stage,
};

const KINDS: [&str; 7] =
    ["access", "claims", "refresh", "refresh-body", "device", "device-body", "one-time"];
/// Secret of the server keys.
const SECRET: &str = "users-key";
const ACCOUNT: &str = "ada@example.com";

pub fn run(stage: &mut Stage, input: &[u8]) {
    let (kind, text) = first_line(input);
    let text = String::from_utf8_lossy(text);
    match choose(&KINDS, kind) {
        "access" => {
            let is_issued = text.trim() == access_token(stage);
            assert_eq!(authorize(stage, &text).is_some(), is_issued, "access token {text:?}");
        }
        "claims" => {
            let (header, claims) = text.split_once('\n').unwrap_or((&text, ""));
            let token = signed_claims(stage, header, claims);
            if let Some(context) = authorize(stage, &token) {
                let claims: Value = serde_json::from_str(claims).expect("accepted claims are JSON");
                let now = stage.api.shop.clock.now().seconds();
                assert_eq!(context["sub"], claims["sub"], "another user");
                assert!(claims["exp"].as_i64().is_some_and(|exp| exp > now), "an expired token");
            }
        }
        "refresh" => {
            let is_issued = text == stage.api.refresh_token;
            assert_eq!(refresh(stage, &text), is_issued, "refresh token {text:?}");
        }
        "refresh-body" => {
            let key = stage.derive(SECRET, "refresh-token");
            let token = format!("{text}.{}", mac(&key, text.as_bytes()));
            let key = refresh_token_key(stage);
            if let Some(opened) = RefreshToken::open(&token, &key) {
                assert_eq!(RefreshToken::open(&opened.text(&key), &key), Some(opened));
            }
            // A signed token that is not the current one may end its session: this writes.
            let body = json!({ "refresh_token": token }).to_string();
            let event = stage.api.with_body("refresh-token", &body);
            let called = stage.call("refresh-token", event);
            assert!(called.status() < 500, "{:?}", called.answer);
        }
        "device" => {
            let opened = open_device(stage, &text).is_some();
            assert_eq!(opened, text == device_token(stage), "device token {text:?}");
        }
        "device-body" => {
            let length = (text.len() as u64).to_be_bytes();
            let signed = [&length, text.as_bytes(), ACCOUNT.as_bytes()].concat();
            let key = stage.derive(SECRET, "device-token");
            let token = format!("{text}.{}", mac(&key, &signed));
            if let Some(opened) = open_device(stage, &token) {
                let again = open_device(stage, &opened.text(&device_token_key(stage)));
                assert_eq!(again, Some(opened));
            }
        }
        _ => {
            if let Some(token) = OneTimeToken::parse(&text) {
                assert_eq!(token.hash(), ids::sha256_hex(&text), "two spellings: {text:?}");
            }
            let body = json!({ "token": text }).to_string();
            let event = stage.api.with_body("verify-email", &body);
            let is_accepted = http::check(stage, "verify-email", &event).is_some();
            assert_eq!(is_accepted, text == stage.api.verification_token, "link token {text:?}");
        }
    }
}

/// The context of the caller, if the authorizer accepts the token.
fn authorize(stage: &mut Stage, token: &str) -> Option<Value> {
    let called = stage.call("authorize-request", events::authorize(token));
    assert!(!stage.has_changed(), "authorize-request writes");
    match called.answer {
        Ok(policy) => Some(policy["context"].clone()),
        Err(failure) => {
            assert!(failure.is_expected, "{failure:?}");
            None
        }
    }
}

/// Whether a refresh token is exchanged for new tokens.
fn refresh(stage: &mut Stage, token: &str) -> bool {
    let event =
        stage.api.with_body("refresh-token", &json!({ "refresh_token": token }).to_string());
    http::check(stage, "refresh-token", &event).is_some()
}

fn open_device(stage: &Stage, text: &str) -> Option<DeviceToken> {
    let key = device_token_key(stage);
    DeviceToken::open(text, ACCOUNT, &key, stage.api.shop.clock.now())
}

fn device_token(stage: &Stage) -> String {
    let subject = issued(stage).subject;
    let now = stage.api.shop.clock.now();
    let token =
        DeviceToken::issue(ACCOUNT, subject.user_id, subject.session_epoch, &Ids::seeded(1), now);
    token.text(&device_token_key(stage))
}

/// The refresh token of Ada.
fn issued(stage: &Stage) -> RefreshToken {
    let key = refresh_token_key(stage);
    RefreshToken::open(&stage.api.refresh_token, &key).expect("Ada's token is valid")
}

/// Ada's claims, for the session of her refresh token.
fn claims(stage: &Stage) -> Claims {
    let token = issued(stage);
    let now = stage.api.shop.clock.now();
    let issuer = &stage.api.shop.users.issuer;
    Claims::new(&token.subject, token.session_id, issuer, &Ids::seeded(1), now)
}

fn access_token(stage: &Stage) -> String {
    let key = signing_keys(stage).current().expect("a key was rotated in");
    claims(stage).sign(&key).expect("an Ed25519 key signs")
}

/// A token with this header and these claims, signed with the current key.
fn signed_claims(stage: &Stage, header: &str, claims: &str) -> String {
    let keys: Value = serde_json::from_str(&secret(stage, "signing-key")).expect("keys are JSON");
    let seed =
        keys["keys"].as_array().into_iter().flatten().find_map(|key| key["private"].as_str());
    let seed = BASE64_URL_SAFE_NO_PAD.decode(seed.expect("a private key")).expect("base64url");
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed has 32 bytes");
    let kid = signing_keys(stage).current().expect("a key").kid.to_string();
    let header = header.replace("{kid}", &kid);
    let encoded = [header.as_str(), claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let signed = encoded.join(".");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn secret(stage: &Stage, name: &str) -> String {
    stage.api.shop.aws.secrets_manager().text(name).expect("the secret exists")
}

fn signing_keys(stage: &Stage) -> SigningKeys {
    SigningKeys::parse(&secret(stage, "signing-key")).expect("the secret has keys")
}

fn device_token_key(stage: &Stage) -> DeviceTokenKey {
    DeviceTokenKey::new(stage.derive(SECRET, "device-token"))
}

fn refresh_token_key(stage: &Stage) -> RefreshTokenKey {
    let [mac, successor] =
        ["refresh-token", "refresh-token-successor"].map(|purpose| stage.derive(SECRET, purpose));
    RefreshTokenKey::new(mac, successor)
}

fn mac(key: &[u8], bytes: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, bytes))
}

pub fn seeds(stage: &mut Stage) -> Vec<Vec<u8>> {
    let body = |token: &str| token.rsplit_once('.').map_or("", |(body, _)| body).to_owned();
    let header = json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": "{kid}" }).to_string();
    let claims = serde_json::to_string(&claims(stage)).expect("claims are JSON");
    let (refresh, device) = (stage.api.refresh_token.clone(), device_token(stage));
    vec![
        input("access", access_token(stage)),
        input("claims", format!("{header}\n{claims}")),
        input("refresh", &refresh),
        input("refresh-body", body(&refresh)),
        input("device", &device),
        input("device-body", body(&device)),
        input("one-time", &stage.api.verification_token),
    ]
}
