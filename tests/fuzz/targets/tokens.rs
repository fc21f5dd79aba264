//! Tokens: the kind, then the token. The fuzzer cannot forge a signature, so three kinds are signed
//! here: `claims` (the header of a JWT, a line break, its claims), `refresh-body` and
//! `device-body`.

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
    fixture::FuzzFixture,
    http,
    input::{choose, first_line, input},
};

const KINDS: [&str; 7] =
    ["access", "claims", "refresh", "refresh-body", "device", "device-body", "one-time"];
/// Secret of the server keys.
const SECRET: &str = "users-key";
const ACCOUNT: &str = "ada@example.com";

pub fn run(fixture: &mut FuzzFixture, input: &[u8]) {
    let (kind, text) = first_line(input);
    let text = String::from_utf8_lossy(text);
    match choose(&KINDS, kind) {
        "access" => {
            let is_issued = text.trim() == access_token(fixture);
            assert_eq!(authorize(fixture, &text).is_some(), is_issued, "access token {text:?}");
        }
        "claims" => {
            let (header, claims) = text.split_once('\n').unwrap_or((&text, ""));
            let token = signed_claims(fixture, header, claims);
            if let Some(context) = authorize(fixture, &token) {
                let claims: Value = serde_json::from_str(claims).expect("accepted claims are JSON");
                let now = fixture.api.shop.clock.now().seconds();
                assert_eq!(context["sub"], claims["sub"], "another user");
                assert!(claims["exp"].as_i64().is_some_and(|exp| exp > now), "an expired token");
            }
        }
        "refresh" => {
            let is_issued = text == fixture.api.refresh_token;
            assert_eq!(refresh(fixture, &text), is_issued, "refresh token {text:?}");
        }
        "refresh-body" => {
            let key = fixture.derive(SECRET, "refresh-token");
            let token = format!("{text}.{}", mac(&key, text.as_bytes()));
            let key = refresh_token_key(fixture);
            if let Some(opened) = RefreshToken::open(&token, &key) {
                assert_eq!(RefreshToken::open(&opened.text(&key), &key), Some(opened));
            }
            // A signed token that is not the current one may end its session: this writes.
            let body = json!({ "refresh_token": token }).to_string();
            let event = fixture.api.with_body("refresh-token", &body);
            let called = fixture.call("refresh-token", event);
            assert!(called.status() < 500, "{:?}", called.answer);
        }
        "device" => {
            let opened = open_device(fixture, &text).is_some();
            assert_eq!(opened, text == device_token(fixture), "device token {text:?}");
        }
        "device-body" => {
            let length = (text.len() as u64).to_be_bytes();
            let signed = [&length, text.as_bytes(), ACCOUNT.as_bytes()].concat();
            let key = fixture.derive(SECRET, "device-token");
            let token = format!("{text}.{}", mac(&key, &signed));
            if let Some(opened) = open_device(fixture, &token) {
                let again = open_device(fixture, &opened.text(&device_token_key(fixture)));
                assert_eq!(again, Some(opened));
            }
        }
        _ => {
            if let Some(token) = OneTimeToken::parse(&text) {
                assert_eq!(token.hash(), ids::sha256_hex(&text), "two spellings: {text:?}");
            }
            let body = json!({ "token": text }).to_string();
            let event = fixture.api.with_body("verify-email", &body);
            let is_accepted = http::check(fixture, "verify-email", &event).is_some();
            assert_eq!(is_accepted, text == fixture.api.verification_token, "link token {text:?}");
        }
    }
}

/// The context of the caller, if the authorizer accepts the token.
fn authorize(fixture: &mut FuzzFixture, token: &str) -> Option<Value> {
    let called = fixture.call("authorize-request", events::authorize(token));
    assert!(!fixture.has_changed(), "authorize-request writes");
    match called.answer {
        Ok(policy) => Some(policy["context"].clone()),
        Err(failure) => {
            assert!(failure.is_expected, "{failure:?}");
            None
        }
    }
}

/// Whether a refresh token is exchanged for new tokens.
fn refresh(fixture: &mut FuzzFixture, token: &str) -> bool {
    let event =
        fixture.api.with_body("refresh-token", &json!({ "refresh_token": token }).to_string());
    http::check(fixture, "refresh-token", &event).is_some()
}

fn open_device(fixture: &FuzzFixture, text: &str) -> Option<DeviceToken> {
    let key = device_token_key(fixture);
    DeviceToken::open(text, ACCOUNT, &key, fixture.api.shop.clock.now())
}

fn device_token(fixture: &FuzzFixture) -> String {
    let subject = issued(fixture).subject;
    let now = fixture.api.shop.clock.now();
    let token =
        DeviceToken::issue(ACCOUNT, subject.user_id, subject.session_epoch, &Ids::seeded(1), now);
    token.text(&device_token_key(fixture))
}

/// The refresh token of Ada.
fn issued(fixture: &FuzzFixture) -> RefreshToken {
    let key = refresh_token_key(fixture);
    RefreshToken::open(&fixture.api.refresh_token, &key).expect("Ada's token is valid")
}

/// Ada's claims, for the session of her refresh token.
fn claims(fixture: &FuzzFixture) -> Claims {
    let token = issued(fixture);
    let now = fixture.api.shop.clock.now();
    let issuer = &fixture.api.shop.users.issuer;
    Claims::new(&token.subject, token.session_id, issuer, &Ids::seeded(1), now)
}

fn access_token(fixture: &FuzzFixture) -> String {
    let key = signing_keys(fixture).current().expect("a key was rotated in");
    claims(fixture).sign(&key).expect("an Ed25519 key signs")
}

/// A token with this header and these claims, signed with the current key.
fn signed_claims(fixture: &FuzzFixture, header: &str, claims: &str) -> String {
    let keys: Value = serde_json::from_str(&secret(fixture, "signing-key")).expect("keys are JSON");
    let seed =
        keys["keys"].as_array().into_iter().flatten().find_map(|key| key["private"].as_str());
    let seed = BASE64_URL_SAFE_NO_PAD.decode(seed.expect("a private key")).expect("base64url");
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed has 32 bytes");
    let kid = signing_keys(fixture).current().expect("a key").kid.to_string();
    let header = header.replace("{kid}", &kid);
    let encoded = [header.as_str(), claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let signed = encoded.join(".");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn secret(fixture: &FuzzFixture, name: &str) -> String {
    fixture.api.shop.aws.secrets_manager().text(name).expect("the secret exists")
}

fn signing_keys(fixture: &FuzzFixture) -> SigningKeys {
    SigningKeys::parse(&secret(fixture, "signing-key")).expect("the secret has keys")
}

fn device_token_key(fixture: &FuzzFixture) -> DeviceTokenKey {
    DeviceTokenKey::new(fixture.derive(SECRET, "device-token"))
}

fn refresh_token_key(fixture: &FuzzFixture) -> RefreshTokenKey {
    let [mac, successor] =
        ["refresh-token", "refresh-token-successor"].map(|purpose| fixture.derive(SECRET, purpose));
    RefreshTokenKey::new(mac, successor)
}

fn mac(key: &[u8], bytes: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, bytes))
}

pub fn seeds(fixture: &mut FuzzFixture) -> Vec<Vec<u8>> {
    let body = |token: &str| token.rsplit_once('.').map_or("", |(body, _)| body).to_owned();
    let header = json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": "{kid}" }).to_string();
    let claims = serde_json::to_string(&claims(fixture)).expect("claims are JSON");
    let (refresh, device) = (fixture.api.refresh_token.clone(), device_token(fixture));
    vec![
        input("access", access_token(fixture)),
        input("claims", format!("{header}\n{claims}")),
        input("refresh", &refresh),
        input("refresh-body", body(&refresh)),
        input("device", &device),
        input("device-body", body(&device)),
        input("one-time", &fixture.api.verification_token),
    ]
}
