//! The claims of a token: audience, issuer, times, and an existing user and session.

use serde_json::{Value, json};
use shared::lambda::Failure;
use tests::{events, shop::accounts::code};

use super::{Forge, asked, sign};

#[tokio::test]
async fn audience_issuer_and_times_of_a_token_are_checked() {
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
    for invalid in [json!("soon"), json!({}), json!(1e300)] {
        forge.refuses(&forge.with_claim("nbf", invalid.clone())).await;
        forge.refuses(&forge.with_claim("iat", invalid)).await;
    }
    forge.refuses(&forge.with_claim("iat", Value::Null)).await;

    let (issuer, audience) = (forge.part(1)["iss"].clone(), forge.part(1)["aud"].clone());
    for invalid in [
        json!("https://evil"),
        json!(format!("{}/", issuer.as_str().unwrap())),
        json!(""),
        json!([issuer]),
        Value::Null,
    ] {
        forge.refuses(&forge.with_claim("iss", invalid)).await;
    }
    for invalid in [
        json!("other"),
        json!(""),
        json!([]),
        json!(["other"]),
        json!([[audience]]),
        json!({ "shop": 1 }),
        Value::Null,
    ] {
        forge.refuses(&forge.with_claim("aud", invalid)).await;
    }
    let context = forge.accepts(&format!("Bearer {}", forge.genuine)).await;
    for good in [json!([audience]), json!(["other", audience])] {
        assert_eq!(
            forge.accepts(&format!("Bearer {}", forge.with_claim("aud", good))).await,
            context
        );
    }
}

#[tokio::test]
async fn token_claims_must_name_an_active_user_and_session() {
    let forge = Forge::new().await;
    for invalid in [
        json!(""),
        json!("ada"),
        json!("ord_0199c2a8-0000-7000-8000-000000000001"),
        json!(1),
        Value::Null,
    ] {
        forge.refuses(&forge.with_claim("sub", invalid)).await;
    }
    for invalid in [json!(-1), json!("1"), json!(1.5), Value::Null] {
        forge.refuses(&forge.with_claim("tv", invalid)).await;
    }
    for invalid in [json!(1), json!(["admin"]), json!({})] {
        forge.refuses(&forge.with_claim("role", invalid.clone())).await;
        forge.refuses(&forge.with_claim("sid", invalid)).await;
    }
    let twice = forge.part(1).to_string().replacen('{', "{\"role\":\"admin\",", 1);
    forge.refuses(&sign(&forge.current, &forge.part(0).to_string(), &twice)).await;

    // Valid, but of an unknown user.
    let bob = forge.shop.enrol("bob@example.com").await;
    let bobs = forge.shop.enter(bob.id).await;
    for (name, value) in [
        ("sub", json!("usr_0199c2a8-0000-7000-8000-0000000000ff")),
        ("sub", json!(bob.id.to_string())),
        ("sid", json!("ses_0199c2a8-0000-7000-8000-0000000000ff")),
        ("sid", json!(bobs.id().to_string())),
        ("tv", json!(0)),
        ("tv", json!(2)),
        ("tv", json!(u64::MAX)),
    ] {
        let called =
            forge.ask(asked(&format!("Bearer {}", forge.with_claim(name, value.clone())))).await;
        assert_eq!(called.answer, Err(Failure::expected("Unauthorized")), "{name} {value}");
        assert_eq!(called.operations(), ["BatchGetItem"]);
    }

    // A known user whose role permits nothing.
    for role in [Value::Null, json!("admin admin"), json!("Admin"), json!("")] {
        let mut context =
            forge.accepts(&format!("Bearer {}", forge.with_claim("role", role.clone()))).await;
        context["exp"] = "4102444800".into();
        let mut event = events::get("/users/me").event();
        event["requestContext"]["authorizer"] = context;
        let called = forge.shop.call("get-me", event).await;
        assert_eq!(
            (called.status(), code(&called).as_str()),
            (403, "insufficient_permissions"),
            "{role}"
        );
    }
}
