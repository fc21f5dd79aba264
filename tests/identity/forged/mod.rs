//! Forged, modified, foreign and expired access tokens: the gateway receives exactly
//! `Unauthorized`.

mod claims;
mod mutations;
mod routes;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};
use ring::{hmac, rand::SystemRandom, signature};
use serde_json::{Value, json};
use shared::lambda::{Failure, Lambda};
use tests::{
    aws::Called,
    events,
    shop::{Shop, accounts::ADA},
};
/// A shop with one user, its keys, and the means to sign arbitrary tokens with them.
struct Forge {
    shop: Shop,
    gate: Lambda,
    genuine: String,
    current: Value,
    /// A retired key, whose signatures are no longer accepted.
    retired: Value,
}

impl Forge {
    async fn new() -> Self {
        let shop = Shop::new();
        let keys = |shop: &Shop| -> Value {
            serde_json::from_str(&shop.aws.secrets_manager().text("signing-key").unwrap()).unwrap()
        };
        shop.rotate_signing_key().await;
        let retired = keys(&shop)["keys"][0].clone();
        shop.rotate_signing_key().await;
        let current = keys(&shop)["keys"][1].clone();
        shop.clock.advance(users::tokens::signing_keys::RETIRED_KEY_RETENTION);
        let user = shop.enrol(ADA).await;
        let genuine = shop.enter(user.id).await.access_token;
        let gate = shop.lambda("authorize-request");
        Self { shop, gate, genuine, current, retired }
    }

    fn part(&self, number: usize) -> Value {
        let part = self.genuine.split('.').nth(number).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    fn with_header(&self, name: &str, value: Value) -> String {
        sign(&self.current, &with(self.part(0), name, value).to_string(), &self.part(1).to_string())
    }

    fn with_claim(&self, name: &str, value: Value) -> String {
        sign(&self.current, &self.part(0).to_string(), &with(self.part(1), name, value).to_string())
    }

    /// The signing input: the same claims with another algorithm.
    fn message(&self, algorithm: &Value) -> String {
        let header = with(self.part(0), "alg", algorithm.clone()).to_string();
        format!("{}.{}", encode(header), encode(self.part(1).to_string()))
    }

    async fn ask(&self, event: Value) -> Called {
        self.shop.aws.call(&self.gate, event).await
    }

    async fn refuses(&self, token: &str) {
        self.refuses_header(&format!("Bearer {token}")).await;
    }

    async fn refuses_header(&self, header: &str) {
        let called = self.ask(asked(header)).await;
        let shown: String = header.chars().take(200).collect();
        assert_eq!(called.answer, Err(Failure::expected("Unauthorized")), "{shown}");
        assert!(
            called.operations_on("users").is_empty() && called.operations_on("sessions").is_empty(),
            "it costs no read: {shown}"
        );
    }

    async fn accepts(&self, header: &str) -> Value {
        let called = self.ask(asked(header)).await;
        called.ok()["context"].clone()
    }
}

/// The authorizer event for an `Authorization` header.
fn asked(header: &str) -> Value {
    with_arn(events::get("/users/me").header("Authorization", header))
}

fn with_arn(request: events::Http) -> Value {
    let mut event = request.event();
    let part = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    event["methodArn"] = format!(
        "arn:aws:execute-api:us-east-1:000000000000:ferrocart/v1/{}{}",
        part("httpMethod"),
        part("path")
    )
    .into();
    event
}

/// Replaces a member; `Null` removes it.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
    object
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn sign(key: &Value, header: &str, claims: &str) -> String {
    let seed = BASE64_URL_SAFE_NO_PAD.decode(key["private"].as_str().unwrap()).unwrap();
    let pair = signature::Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let message = format!("{}.{}", encode(header), encode(claims));
    format!("{message}.{}", encode(pair.sign(message.as_bytes())))
}

#[tokio::test]
async fn malformed_bearer_token_is_unauthorized() {
    let forge = Forge::new().await;
    let token = forge.genuine.clone();
    let context = forge.accepts(&format!("Bearer {token}")).await;
    assert_eq!(context["email"], ADA);
    for same in [format!("bearer {token}"), format!("BEARER {token}"), format!("Bearer   {token} ")]
    {
        assert_eq!(forge.accepts(&same).await, context, "the scheme is case-insensitive");
    }
    for invalid in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        String::new(),
        " ".to_owned(),
        token.clone(),
        format!("Basic {token}"),
        format!("Basic {}", BASE64_STANDARD.encode("ada@example.com:x")),
        format!("Bearer\t{token}"),
        format!("Bearer{token}"),
        format!("Bearer Bearer {token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer {token} {token}"),
        format!("Token {token}"),
        format!("DPoP {token}"),
    ] {
        forge.refuses_header(&invalid).await;
    }
    let bearer = format!("Bearer {token}");
    for several in [
        events::get("/users/me").header("Authorization", &bearer).header("Authorization", &bearer),
        events::get("/users/me").header("Authorization", &bearer).header("authorization", &bearer),
        events::get("/users/me")
            .header("Authorization", "Bearer x")
            .header("Authorization", &bearer),
    ] {
        assert_eq!(
            forge.ask(with_arn(several)).await.answer,
            Err(Failure::expected("Unauthorized")),
            "two headers"
        );
    }
    // Without this header, or with the token elsewhere, the caller is a visitor.
    for visitor in [
        events::get("/users/me"),
        events::get(&format!("/users/me?access_token={token}&authorization=Bearer%20{token}")),
        events::get("/users/me")
            .header("Cookie", &format!("access_token={token}"))
            .header("X-Authorization", &bearer),
    ] {
        let answer = forge.ask(with_arn(visitor)).await;
        assert_eq!(
            (&answer.ok()["principalId"], &answer.ok()["context"]),
            (&json!("anonymous"), &json!({}))
        );
    }
}

#[tokio::test]
async fn token_must_have_three_parts_in_plain_base64url() {
    let forge = Forge::new().await;
    let token = forge.genuine.clone();
    let parts: Vec<&str> = token.split('.').collect();
    let padded = |part: &str| BASE64_URL_SAFE.encode(BASE64_URL_SAFE_NO_PAD.decode(part).unwrap());
    let standard =
        |part: &str| BASE64_STANDARD.encode(BASE64_URL_SAFE_NO_PAD.decode(part).unwrap());
    let join = |parts: [&str; 3]| parts.join(".");
    for invalid in [
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        parts[0].to_owned(),
        parts[..2].join("."),
        join([parts[0], parts[1], ""]),
        format!("{token}.{}", parts[2]),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}="),
        format!("{token}=="),
        join([&padded(parts[0]), parts[1], &padded(parts[2])]),
        join([&standard(parts[0]), parts[1], &standard(parts[2])]),
        join([&format!("{}=", parts[0]), parts[1], parts[2]]),
        join([parts[0], &"!".repeat(40), parts[2]]),
        join([parts[0], parts[1], &"A".repeat(86)]),
        join([parts[0], parts[1], &parts[2][..85]]),
        join([parts[1], parts[0], parts[2]]),
        join([parts[0], parts[0], parts[2]]),
        "a".repeat(100_000),
        "a.".repeat(50_000),
        join([parts[0], &"A".repeat(100_000), parts[2]]),
        forge.with_claim("name", "x".repeat(100_000).into()),
        "é.ü.ß".to_owned(),
        "\u{0}".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
    ] {
        forge.refuses(&invalid).await;
    }
}

#[tokio::test]
async fn only_our_keys_with_ed25519_are_accepted() {
    let forge = Forge::new().await;
    for algorithm in [
        "none", "None", "nOnE", "NONE", "", "eddsa", "Ed25519", "HS256", "HS384", "HS512", "ES256",
        "ES384", "RS256", "PS512",
    ] {
        forge.refuses(&forge.with_header("alg", algorithm.into())).await;
        forge.refuses(&format!("{}.", forge.message(&algorithm.into()))).await;
        forge.refuses(&format!("{}.{}", forge.message(&algorithm.into()), encode([0; 64]))).await;
    }
    for invalid in [Value::Null, json!(5), json!(["EdDSA"]), json!({ "EdDSA": 1 })] {
        forge.refuses(&forge.with_header("alg", invalid)).await;
    }

    // The public key as an HMAC secret, in every form in which a library may hold it.
    let public = forge.current["public"].as_str().unwrap();
    let raw = BASE64_URL_SAFE_NO_PAD.decode(public).unwrap();
    let der = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], &raw].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        BASE64_STANDARD.encode(&der)
    );
    for secret in [&raw[..], public.as_bytes(), &der, pem.as_bytes(), pem.trim().as_bytes(), b""] {
        for (name, algorithm) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ] {
            let message = forge.message(&name.into());
            let mac = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
            forge.refuses(&format!("{message}.{}", encode(mac))).await;
        }
    }
    let random = SystemRandom::new();
    for (name, scheme) in [
        ("ES384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        ("ES256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
    ] {
        let pkcs8 = signature::EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
        let pair = signature::EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref(), &random).unwrap();
        let message = forge.message(&name.into());
        forge
            .refuses(&format!(
                "{message}.{}",
                encode(pair.sign(&random, message.as_bytes()).unwrap())
            ))
            .await;
    }
    forge.refuses(&format!("{}.{}", forge.message(&"RS256".into()), encode([0x55; 256]))).await;

    // An attacker's key under our key's id, and a key embedded in the token.
    let stranger = json!({ "private": encode([9; 32]) });
    let (header, claims) = (forge.part(0), forge.part(1).to_string());
    forge.refuses(&sign(&stranger, &header.to_string(), &claims)).await;
    for (name, value) in [
        ("jwk", json!({ "kty": "OKP", "crv": "Ed25519", "x": encode([9; 32]) })),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        forge
            .refuses(&sign(&stranger, &with(header.clone(), name, value).to_string(), &claims))
            .await;
    }
    // Our own key after its expiry, and its signature under the new key's id.
    forge
        .refuses(&sign(
            &forge.retired,
            &with(header.clone(), "kid", forge.retired["kid"].clone()).to_string(),
            &claims,
        ))
        .await;
    forge.refuses(&sign(&forge.retired, &header.to_string(), &claims)).await;
}

#[tokio::test]
async fn key_id_must_match_exactly() {
    let forge = Forge::new().await;
    let unknown = "key_0199c2a8-0000-7000-8000-000000000001";
    let long = "k".repeat(10_240);
    let kid = forge.current["kid"].as_str().unwrap();
    for invalid in [
        "",
        "../../dev/null",
        "' OR 1=1",
        "key_x",
        "0",
        unknown,
        &long,
        &kid.to_uppercase(),
        &format!("{kid} "),
        &kid[4..],
    ] {
        forge.refuses(&forge.with_header("kid", invalid.into())).await;
    }
    for invalid in [Value::Null, json!(0), json!([kid]), json!({}), forge.retired["kid"].clone()] {
        forge.refuses(&forge.with_header("kid", invalid)).await;
    }
    for invalid in [
        Value::Null,
        json!("JWT"),
        json!("jwt"),
        json!("AT+JWT"),
        json!("application/at+jwt"),
        json!(""),
        json!(1),
    ] {
        forge.refuses(&forge.with_header("typ", invalid)).await;
    }
    for invalid in [json!(["exp"]), json!([]), json!("exp")] {
        forge.refuses(&forge.with_header("crit", invalid)).await;
    }
    forge.accepts(&format!("Bearer {}", forge.with_header("x-harmless", json!(1)))).await;
}
