//! Access tokens that are made up, changed, borrowed or too late: the gateway is told `Unauthorized`, exactly, and nothing else.

use std::time::Duration;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};
use ring::{hmac, rand::SystemRandom, signature};
use serde_json::{Value, json};
use shared::lambda::{Failure, Invocation, Lambda};
use tests::{
    aws::Called,
    events,
    shop::{
        Shop,
        accounts::{ADA, Session, code},
    },
    template::template,
};
use users::domain::GRACE;

use crate::{dice::Dice, print};

const MUTATIONS: usize = 100_000;
/// The characters that tokens are made of, and some that they are not.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \t\"%,;";

/// A shop with Ada in it, the keys of the shop, and what it takes to sign anything at all with them.
struct Forge {
    shop: Shop,
    gate: Lambda,
    genuine: String,
    current: Value,
    /// A key that has signed before, and vouches no more.
    retired: Value,
}

impl Forge {
    async fn new() -> Self {
        let shop = Shop::new();
        let keys = |shop: &Shop| -> Value { serde_json::from_str(&shop.aws.secrets_manager().text("signing-key").unwrap()).unwrap() };
        shop.rotate_signing_key().await;
        let retired = keys(&shop)["keys"][0].clone();
        shop.rotate_signing_key().await;
        let current = keys(&shop)["keys"][1].clone();
        shop.clock.advance(users::tokens::signing_keys::RETAINED);
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

    /// The same claims with another algorithm named, and not signed yet.
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
        assert_eq!(called.answer, Err(Failure::refusal("Unauthorized")), "{shown}");
        assert!(called.operations_on("users").is_empty() && called.operations_on("sessions").is_empty(), "it costs no read: {shown}");
    }

    async fn accepts(&self, header: &str) -> Value {
        let called = self.ask(asked(header)).await;
        called.ok()["context"].clone()
    }
}

/// What the gateway asks about an `Authorization` header.
fn asked(header: &str) -> Value {
    with_arn(events::get("/users/me").header("Authorization", header))
}

fn with_arn(request: events::Http) -> Value {
    let mut event = request.event();
    let part = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    event["methodArn"] = format!("arn:aws:execute-api:us-east-1:000000000000:ferrocart/v1/{}{}", part("httpMethod"), part("path")).into();
    event
}

/// The method and the path of every route of the template that asks who is calling.
fn guarded_routes() -> Vec<(String, String)> {
    let made_up = |part: &str| if part.starts_with('{') { "prd_0199c2a8-0000-7000-8000-00000000000a".to_owned() } else { part.to_owned() };
    let paths = template().resource("Api")["Properties"]["DefinitionBody"]["paths"].as_object().unwrap();
    let routes =
        paths.iter().flat_map(|(path, methods)| methods.as_object().unwrap().iter().map(move |(method, route)| (method, path, route)));
    let guarded = routes.filter(|(_, _, route)| route["security"] != json!([{ "NONE": [] }]));
    let named = |(method, path, _): (&String, &String, &Value)| {
        // The function that reads takes every other method too.
        let method = if method.starts_with("x-") { "GET".to_owned() } else { method.to_uppercase() };
        (method, path.split('/').map(made_up).collect::<Vec<_>>().join("/"))
    };
    guarded.map(named).collect()
}

/// `Null` takes the member away.
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
async fn what_is_no_bearer_token_is_unauthorized() {
    let forge = Forge::new().await;
    let token = forge.genuine.clone();
    let context = forge.accepts(&format!("Bearer {token}")).await;
    assert_eq!(context["email"], ADA);
    for same in [format!("bearer {token}"), format!("BEARER {token}"), format!("Bearer   {token} ")] {
        assert_eq!(forge.accepts(&same).await, context, "the scheme is the same in every case");
    }
    for odd in [
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
        forge.refuses_header(&odd).await;
    }
    let bearer = format!("Bearer {token}");
    for several in [
        events::get("/users/me").header("Authorization", &bearer).header("Authorization", &bearer),
        events::get("/users/me").header("Authorization", &bearer).header("authorization", &bearer),
        events::get("/users/me").header("Authorization", "Bearer x").header("Authorization", &bearer),
    ] {
        assert_eq!(forge.ask(with_arn(several)).await.answer, Err(Failure::refusal("Unauthorized")), "two headers");
    }
    // Without a header, or with the token elsewhere, somebody is a visitor: nobody.
    for nobody in [
        events::get("/users/me"),
        events::get(&format!("/users/me?access_token={token}&authorization=Bearer%20{token}")),
        events::get("/users/me").header("Cookie", &format!("access_token={token}")).header("X-Authorization", &bearer),
    ] {
        let answer = forge.ask(with_arn(nobody)).await;
        assert_eq!((&answer.ok()["principalId"], &answer.ok()["context"]), (&json!("anonymous"), &json!({})));
    }
}

#[tokio::test]
async fn a_token_has_three_parts_in_plain_base64url() {
    let forge = Forge::new().await;
    let token = forge.genuine.clone();
    let parts: Vec<&str> = token.split('.').collect();
    let padded = |part: &str| BASE64_URL_SAFE.encode(BASE64_URL_SAFE_NO_PAD.decode(part).unwrap());
    let standard = |part: &str| BASE64_STANDARD.encode(BASE64_URL_SAFE_NO_PAD.decode(part).unwrap());
    let join = |parts: [&str; 3]| parts.join(".");
    for odd in [
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
        forge.refuses(&odd).await;
    }
}

#[tokio::test]
async fn only_our_own_keys_sign_and_only_by_ed25519() {
    let forge = Forge::new().await;
    for algorithm in ["none", "None", "nOnE", "NONE", "", "eddsa", "Ed25519", "HS256", "HS384", "HS512", "ES256", "ES384", "RS256", "PS512"]
    {
        forge.refuses(&forge.with_header("alg", algorithm.into())).await;
        forge.refuses(&format!("{}.", forge.message(&algorithm.into()))).await;
        forge.refuses(&format!("{}.{}", forge.message(&algorithm.into()), encode([0; 64]))).await;
    }
    for odd in [Value::Null, json!(5), json!(["EdDSA"]), json!({ "EdDSA": 1 })] {
        forge.refuses(&forge.with_header("alg", odd)).await;
    }

    // The public key as a shared secret, in every form in which a library may hold it.
    let public = forge.current["public"].as_str().unwrap();
    let raw = BASE64_URL_SAFE_NO_PAD.decode(public).unwrap();
    let der = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], &raw].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(&der));
    for secret in [&raw[..], public.as_bytes(), &der, pem.as_bytes(), pem.trim().as_bytes(), b""] {
        for (name, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
            let message = forge.message(&name.into());
            let mac = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
            forge.refuses(&format!("{message}.{}", encode(mac))).await;
        }
    }
    let random = SystemRandom::new();
    for (name, scheme) in [("ES384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING), ("ES256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING)] {
        let pkcs8 = signature::EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
        let pair = signature::EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref(), &random).unwrap();
        let message = forge.message(&name.into());
        forge.refuses(&format!("{message}.{}", encode(pair.sign(&random, message.as_bytes()).unwrap()))).await;
    }
    forge.refuses(&format!("{}.{}", forge.message(&"RS256".into()), encode([0x55; 256]))).await;

    // A stranger's key under our key's name, and one that the token brings along.
    let stranger = json!({ "private": encode([9; 32]) });
    let (header, claims) = (forge.part(0), forge.part(1).to_string());
    forge.refuses(&sign(&stranger, &header.to_string(), &claims)).await;
    for (name, value) in [
        ("jwk", json!({ "kty": "OKP", "crv": "Ed25519", "x": encode([9; 32]) })),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        forge.refuses(&sign(&stranger, &with(header.clone(), name, value).to_string(), &claims)).await;
    }
    // Ours, but its time is over; and the new key's name over its signature.
    forge.refuses(&sign(&forge.retired, &with(header.clone(), "kid", forge.retired["kid"].clone()).to_string(), &claims)).await;
    forge.refuses(&sign(&forge.retired, &header.to_string(), &claims)).await;
}

#[tokio::test]
async fn a_key_is_named_exactly() {
    let forge = Forge::new().await;
    let unknown = "key_0199c2a8-0000-7000-8000-000000000001";
    let long = "k".repeat(10_240);
    let kid = forge.current["kid"].as_str().unwrap();
    for odd in ["", "../../dev/null", "' OR 1=1", "key_x", "0", unknown, &long, &kid.to_uppercase(), &format!("{kid} "), &kid[4..]] {
        forge.refuses(&forge.with_header("kid", odd.into())).await;
    }
    for odd in [Value::Null, json!(0), json!([kid]), json!({}), forge.retired["kid"].clone()] {
        forge.refuses(&forge.with_header("kid", odd)).await;
    }
    for odd in [Value::Null, json!("JWT"), json!("jwt"), json!("AT+JWT"), json!("application/at+jwt"), json!(""), json!(1)] {
        forge.refuses(&forge.with_header("typ", odd)).await;
    }
    for odd in [json!(["exp"]), json!([]), json!("exp")] {
        forge.refuses(&forge.with_header("crit", odd)).await;
    }
    forge.accepts(&format!("Bearer {}", forge.with_header("x-harmless", json!(1)))).await;
}

#[tokio::test]
async fn a_token_is_for_us_from_us_and_of_now() {
    let forge = Forge::new().await;
    let now = forge.shop.clock.now().seconds();
    for exp in [
        json!(now),
        json!(now - 6),
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!((now + 900).to_string()),
        json!(true),
        json!([now + 900]),
        json!(1e300),
        json!(0.5),
        Value::Null,
    ] {
        forge.refuses(&forge.with_claim("exp", exp)).await;
    }
    let claims = forge.part(1).to_string();
    let infinite = claims.replace(&format!("\"exp\":{}", now + 900), "\"exp\":1e400");
    assert!(infinite.contains("1e400"));
    forge.refuses(&sign(&forge.current, &forge.part(0).to_string(), &infinite)).await;
    for early in [json!(now + 3600), json!(now + 6), json!(i64::MAX)] {
        forge.refuses(&forge.with_claim("nbf", early.clone())).await;
        forge.refuses(&forge.with_claim("iat", early)).await;
    }
    for odd in [json!("soon"), json!({}), json!(1e300)] {
        forge.refuses(&forge.with_claim("nbf", odd.clone())).await;
        forge.refuses(&forge.with_claim("iat", odd)).await;
    }
    forge.refuses(&forge.with_claim("iat", Value::Null)).await;

    let (issuer, audience) = (forge.part(1)["iss"].clone(), forge.part(1)["aud"].clone());
    for odd in [json!("https://evil"), json!(format!("{}/", issuer.as_str().unwrap())), json!(""), json!([issuer]), Value::Null] {
        forge.refuses(&forge.with_claim("iss", odd)).await;
    }
    for odd in [json!("other"), json!(""), json!([]), json!(["other"]), json!([[audience]]), json!({ "shop": 1 }), Value::Null] {
        forge.refuses(&forge.with_claim("aud", odd)).await;
    }
    let context = forge.accepts(&format!("Bearer {}", forge.genuine)).await;
    for good in [json!([audience]), json!(["other", audience])] {
        assert_eq!(forge.accepts(&format!("Bearer {}", forge.with_claim("aud", good))).await, context);
    }
}

#[tokio::test]
async fn a_token_names_a_user_who_is_there_a_session_that_is_alive_and_maybe_a_role() {
    let forge = Forge::new().await;
    for odd in [json!(""), json!("ada"), json!("ord_0199c2a8-0000-7000-8000-000000000001"), json!(1), Value::Null] {
        forge.refuses(&forge.with_claim("sub", odd)).await;
    }
    for odd in [json!(-1), json!("1"), json!(1.5), Value::Null] {
        forge.refuses(&forge.with_claim("tv", odd)).await;
    }
    for odd in [json!(1), json!(["admin"]), json!({})] {
        forge.refuses(&forge.with_claim("role", odd.clone())).await;
        forge.refuses(&forge.with_claim("sid", odd)).await;
    }
    let twice = forge.part(1).to_string().replacen('{', "{\"role\":\"admin\",", 1);
    forge.refuses(&sign(&forge.current, &forge.part(0).to_string(), &twice)).await;

    // Well made, and still of nobody.
    let bob = forge.shop.enrol("bob@example.com").await;
    let bobs = forge.shop.enter(bob.id).await;
    for (name, value) in [
        ("sub", json!("usr_0199c2a8-0000-7000-8000-0000000000ff")),
        ("sub", json!(bob.id.to_string())),
        ("sid", json!("fam_0199c2a8-0000-7000-8000-0000000000ff")),
        ("sid", json!(bobs.family().to_string())),
        ("tv", json!(0)),
        ("tv", json!(2)),
        ("tv", json!(u64::MAX)),
    ] {
        let called = forge.ask(asked(&format!("Bearer {}", forge.with_claim(name, value.clone())))).await;
        assert_eq!(called.answer, Err(Failure::refusal("Unauthorized")), "{name} {value}");
        assert_eq!(called.operations(), ["BatchGetItem"]);
    }

    // Known, and allowed nothing.
    for role in [Value::Null, json!("admin admin"), json!("Admin"), json!("")] {
        let mut context = forge.accepts(&format!("Bearer {}", forge.with_claim("role", role.clone()))).await;
        context["exp"] = "4102444800".into();
        let mut event = events::get("/users/me").event();
        event["requestContext"]["authorizer"] = context;
        let called = forge.shop.call("get-me", event).await;
        assert_eq!((called.status(), code(&called).as_str()), (403, "insufficient_permissions"), "{role}");
    }
}

#[tokio::test]
async fn on_every_route_what_does_not_count_is_refused_alike_and_what_counts_is_let_in_alike() {
    let forge = Forge::new().await;
    let routes = guarded_routes();
    assert!(routes.len() > 15, "{routes:?}");

    // Well made, and worth nothing any more.
    let shop = &forge.shop;
    let admin = shop.admin("grace@example.com").await;
    let (bob, dora) = (shop.enrol("bob@example.com").await, shop.enrol("dora@example.com").await);
    let (out, disabled) = (shop.enter(bob.id).await, shop.enter(dora.id).await);
    let reused = shop.enter(bob.id).await;
    assert_eq!(shop.logout(&out).await.status(), 204);
    assert_eq!(shop.set_active(&admin, dora.id, false).await.status(), 200);
    let next = Session::of(&shop.refresh(&reused.refresh_token).await).unwrap();
    shop.clock.advance(GRACE + Duration::from_millis(1));
    assert_eq!(shop.refresh(&reused.refresh_token).await.status(), 401);

    let (token, now) = (&forge.genuine, shop.clock.now().seconds());
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("a token has three parts") };
    let stranger = json!({ "private": encode([9; 32]) });
    let public = forge.current["public"].as_str().unwrap();
    let confused = forge.message(&"HS256".into());
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &BASE64_URL_SAFE_NO_PAD.decode(public).unwrap()), confused.as_bytes());
    let mut headers: Vec<String> = ["Bearer", "Bearer ", "Basic YWRhOng=", token].map(str::to_owned).into();
    let tokens = [
        head.to_owned(),
        format!("{head}.{claims}"),
        format!("{head}.{claims}."),
        format!("{token}.{signature}"),
        format!("{token}="),
        format!("{head}.{claims}.{}", "A".repeat(86)),
        "a".repeat(100_000),
        format!("{}.", forge.message(&"none".into())),
        format!("{confused}.{}", encode(mac)),
        forge.with_header("alg", "ES384".into()),
        forge.with_header("kid", Value::Null),
        forge.with_header("kid", "../../dev/null".into()),
        forge.with_header("kid", "' OR 1=1".into()),
        forge.with_header("kid", forge.retired["kid"].clone()),
        forge.with_claim("exp", json!(now - 6)),
        forge.with_claim("exp", Value::Null),
        forge.with_claim("nbf", json!(now + 3600)),
        forge.with_claim("iat", json!(now + 3600)),
        forge.with_claim("iss", json!("https://evil")),
        forge.with_claim("aud", json!(["other"])),
        forge.with_claim("sub", json!("usr_0199c2a8-0000-7000-8000-0000000000ff")),
        forge.with_claim("tv", json!(2)),
        forge.with_claim("sid", json!("fam_0199c2a8-0000-7000-8000-0000000000ff")),
        sign(&stranger, &forge.part(0).to_string(), &with(forge.part(1), "role", "admin".into()).to_string()),
        sign(&forge.retired, &forge.part(0).to_string(), &forge.part(1).to_string()),
        out.access_token,
        disabled.access_token,
        next.access_token,
        next.refresh_token,
    ];
    headers.extend(tokens.map(|token| format!("Bearer {token}")));

    let (mut refused, mut let_in) = (0, Vec::new());
    for (method, path) in &routes {
        let ask = |header: &str| forge.ask(with_arn(events::http(method, path).header("Authorization", header)));
        for header in &headers {
            let shown: String = header.chars().take(200).collect();
            assert_eq!(ask(header).await.answer, Err(Failure::refusal("Unauthorized")), "{method} {path} {shown}");
            refused += 1;
        }
        let_in.push(ask(&format!("Bearer {token}")).await.ok().clone());
    }
    print(&format!("{} headers on {} routes: {refused} refused alike", headers.len(), routes.len()));
    let_in.dedup();
    assert_eq!(let_in.len(), 1, "the gateway keeps an answer for all routes: {let_in:?}");
}

/// A change of a token; what comes out may be the token itself.
fn mutated(dice: &mut Dice, tokens: &[String]) -> String {
    let token = dice.one(tokens).clone();
    let other = dice.one(tokens).clone();
    let mut bytes = token.clone().into_bytes();
    let at = dice.within(0..bytes.len());
    match dice.within(0..14) {
        0 | 1 => bytes[at] ^= 1 << dice.within(0..7),
        2 => bytes[at] = *dice.one(LETTERS),
        3 => drop(bytes.remove(at)),
        4 => bytes.insert(at, *dice.one(LETTERS)),
        5 => bytes.truncate(at),
        6 => drop(bytes.drain(..at)),
        7 => {
            let end = (at + dice.within(1..40)).min(bytes.len());
            drop(bytes.drain(at..end));
        }
        // Two tokens, cut at the same or at different places.
        8 => bytes = [&bytes[..at], &other.as_bytes()[at.min(other.len())..]].concat(),
        9 => bytes = [&bytes[..at], &other.as_bytes()[dice.within(0..other.len())..]].concat(),
        10 => {
            let (mine, theirs): (Vec<&str>, Vec<&str>) = (token.split('.').collect(), other.split('.').collect());
            let parts: Vec<&str> = (0..3).map(|part| if dice.chance(50) { mine[part] } else { theirs[part] }).collect();
            bytes = parts.join(".").into_bytes();
        }
        11 => bytes[at] = if bytes[at].is_ascii_lowercase() { bytes[at].to_ascii_uppercase() } else { bytes[at].to_ascii_lowercase() },
        12 => {
            let padding = *dice.one(&["=", "==", ".", "A", "AA", "AAAA", "%3D", " ", "\u{0}"]);
            bytes = [token.as_bytes(), padding.as_bytes()].concat();
        }
        // The bits of the last character of a part that stand for nothing.
        _ => {
            let ends: Vec<usize> = token.match_indices('.').map(|(dot, _)| dot - 1).chain([token.len() - 1]).collect();
            bytes[*dice.one(&ends)] = LETTERS[dice.within(0..64)];
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn of_a_hundred_thousand_changed_tokens_none_is_let_in() {
    let forge = Forge::new().await;
    let mut tokens = vec![forge.genuine.clone()];
    for email in ["bob@example.com", "countess@example.com"] {
        let user = forge.shop.enrol(email).await;
        tokens.push(forge.shop.enter(user.id).await.access_token);
        tokens.push(forge.shop.enter(user.id).await.access_token);
    }
    let mut dice = Dice::new(11);
    let (mut same, mut refused) = (0, 0);
    while refused < MUTATIONS {
        let token = mutated(&mut dice, &tokens);
        let mut event = asked("");
        let header = format!("Bearer {token}");
        event["headers"]["Authorization"] = header.as_str().into();
        event["multiValueHeaders"]["Authorization"] = json!([header]);
        let answer = (forge.gate)(Invocation::with_event(event)).await;
        // White space around a token is no part of it.
        if tokens.iter().any(|genuine| genuine == token.trim()) {
            assert!(answer.is_ok(), "mutation {refused}: {token:?}");
            same += 1;
        } else {
            assert_eq!(answer, Err(Failure::refusal("Unauthorized")), "mutation {refused}: {token:?}");
            refused += 1;
        }
    }
    print(&format!("{refused} changed tokens refused, none let in; {same} were not changed after all"));
}
