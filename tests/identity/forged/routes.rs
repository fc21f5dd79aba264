//! Every route of the template accepts and rejects the same tokens.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};
use shared::lambda::Failure;
use tests::{events, shop::accounts::Session, template::template};
use users::domain::ROTATION_GRACE;

use super::{Forge, encode, sign, with, with_arn};
use crate::print;

/// The method and the path of every route with an authorizer.
fn guarded_routes() -> Vec<(String, String)> {
    let with_example_ids = |part: &str| {
        if part.starts_with('{') {
            "prd_0199c2a8-0000-7000-8000-00000000000a".to_owned()
        } else {
            part.to_owned()
        }
    };
    let paths =
        template().resource("Api")["Properties"]["DefinitionBody"]["paths"].as_object().unwrap();
    let routes = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, route)| (method, path, route))
    });
    let guarded = routes.filter(|(_, _, route)| route["security"] != json!([{ "NONE": [] }]));
    let named = |(method, path, _): (&String, &String, &Value)| {
        // The function of `GET` also serves the methods that no other function serves.
        let method =
            if method.starts_with("x-") { "GET".to_owned() } else { method.to_uppercase() };
        (method, path.split('/').map(with_example_ids).collect::<Vec<_>>().join("/"))
    };
    guarded.map(named).collect()
}

#[tokio::test]
async fn every_route_treats_valid_and_invalid_tokens_alike() {
    let forge = Forge::new().await;
    let routes = guarded_routes();
    assert!(routes.len() > 15, "{routes:?}");

    // Well-formed tokens that are no longer valid.
    let shop = &forge.shop;
    let admin = shop.admin("grace@example.com").await;
    let (bob, dora) = (shop.enrol("bob@example.com").await, shop.enrol("dora@example.com").await);
    let (out, disabled) = (shop.enter(bob.id).await, shop.enter(dora.id).await);
    let reused = shop.enter(bob.id).await;
    assert_eq!(shop.logout(&out).await.status(), 204);
    assert_eq!(shop.set_active(&admin, dora.id, false).await.status(), 200);
    let next = Session::of(&shop.refresh(&reused.refresh_token).await).unwrap();
    shop.clock.advance(ROTATION_GRACE + Duration::from_millis(1));
    assert_eq!(shop.refresh(&reused.refresh_token).await.status(), 401);

    let (token, now) = (&forge.genuine, shop.clock.now().seconds());
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("a token has three parts")
    };
    let stranger = json!({ "private": encode([9; 32]) });
    let public = forge.current["public"].as_str().unwrap();
    let confused = forge.message(&"HS256".into());
    let mac = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, &BASE64_URL_SAFE_NO_PAD.decode(public).unwrap()),
        confused.as_bytes(),
    );
    let mut headers: Vec<String> =
        ["Bearer", "Bearer ", "Basic YWRhOng=", token].map(str::to_owned).into();
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
        forge.with_claim("sid", json!("ses_0199c2a8-0000-7000-8000-0000000000ff")),
        sign(
            &stranger,
            &forge.part(0).to_string(),
            &with(forge.part(1), "role", "admin".into()).to_string(),
        ),
        sign(&forge.retired, &forge.part(0).to_string(), &forge.part(1).to_string()),
        out.access_token,
        disabled.access_token,
        next.access_token,
        next.refresh_token,
    ];
    headers.extend(tokens.map(|token| format!("Bearer {token}")));

    let (mut refused, mut let_in) = (0, Vec::new());
    for (method, path) in &routes {
        let ask = |header: &str| {
            forge.ask(with_arn(events::http(method, path).header("Authorization", header)))
        };
        for header in &headers {
            let shown: String = header.chars().take(200).collect();
            assert_eq!(
                ask(header).await.answer,
                Err(Failure::expected("Unauthorized")),
                "{method} {path} {shown}"
            );
            refused += 1;
        }
        let_in.push(ask(&format!("Bearer {token}")).await.ok().clone());
    }
    print(&format!(
        "{} headers on {} routes: {refused} refused alike",
        headers.len(),
        routes.len()
    ));
    let_in.dedup();
    assert_eq!(let_in.len(), 1, "the gateway caches one policy for all routes: {let_in:?}");
}
