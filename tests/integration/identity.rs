//! Tokens at the gateway: which tokens the authorizer accepts, for how long, and the limits of its
//! cached responses.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::shop::{PASSWORD, Person, Shop, shop_with, unique, until};

#[tokio::test]
async fn registered_user_logs_in_and_reads_the_profile() {
    let shop = Shop::open().await;
    let email = format!("{}@Example.COM", unique("Grace"));
    let registered = shop.register(&email).await;
    registered.expect(201);
    assert!(!registered.text.contains(PASSWORD));
    assert_eq!(shop.register(&email.to_lowercase()).await.problem(409), "email_taken");
    let person = shop.log_in(&email.to_lowercase()).await;
    let me = person.get("/users/me").await;
    assert_eq!(me.expect(200)["role"], "user");
    assert!(!me.header("etag").is_empty());
}

#[tokio::test]
async fn wrong_password_and_unknown_address_get_the_same_response() {
    let shop = Shop::open().await;
    let email = format!("{}@example.com", unique("known"));
    shop.register(&email).await.expect(201);
    let login = |email: String, password: &'static str| {
        let visitor = shop.visitor();
        async move {
            visitor
                .post("/users/login", &serde_json::json!({ "email": email, "password": password }))
                .await
        }
    };
    let wrong = login(email, "not the passphrase").await;
    let unknown = login(format!("{}@example.com", unique("nobody")), "not the passphrase").await;
    assert_eq!(wrong.problem(401), "invalid_credentials");
    let body = |answer: &crate::shop::Answer| {
        let mut document = answer.json();
        document.as_object_mut().unwrap().remove("request_id");
        document
    };
    assert_eq!(body(&wrong), body(&unknown));
}

#[tokio::test]
async fn cached_policy_covers_every_route_and_forged_tokens_none() {
    let shop = Shop::open().await;
    let person = shop.customer().await;
    // For 30 seconds the gateway answers from its cache: the policy must cover every route of the
    // stage.
    for path in ["/users/me", "/orders", "/notifications", "/users/me"] {
        person.get(path).await.expect(200);
    }
    let token = person.token.clone().unwrap();
    let (head, rest) = token.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let swapped = format!("{head}.{claims}.{}", signature.chars().rev().collect::<String>());
    for forged in [
        swapped,
        format!("{head}.{claims}."),
        format!("{claims}.{head}.{signature}"),
        "x".to_owned(),
        "a.b.c".to_owned(),
    ] {
        let forger = Person { token: Some(forged), ..person.clone() };
        assert_eq!(forger.get("/orders").await.problem(401), "invalid_token");
    }
}

#[tokio::test]
async fn expired_token_is_rejected_while_the_gateway_caches_it() {
    let shop = shop_with!(Tables);
    let person = shop.customer().await;
    let short = Person { token: Some(shop.signed_for(&person, 4).await), ..person.clone() };
    short.get("/users/me").await.expect(200);
    let refused =
        until("the token expires", || short.get("/users/me"), |answer| answer.status != 200).await;
    assert_eq!(refused.problem(401), "invalid_token");
    let long_gone = Person { token: Some(shop.signed_for(&person, -60).await), ..person };
    assert_eq!(long_gone.get("/users/me").await.problem(401), "invalid_token");
}

#[tokio::test]
async fn disabled_user_is_rejected_within_30_seconds() {
    let shop = shop_with!(Tables);
    let person = shop.customer().await;
    person.get("/users/me").await.expect(200);
    let disable = shop
        .dynamodb
        .update_item()
        .table_name(shop.table("users"))
        .key("pk", AttributeValue::S(format!("USER#{}", person.id)));
    disable
        .update_expression("SET is_active = :no")
        .expression_attribute_values(":no", AttributeValue::Bool(false))
        .send()
        .await
        .unwrap();
    // The gateway may cache the authorizer's response for 30 seconds; the emulator keeps it
    // slightly longer.
    let begun = std::time::Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        ticks.tick().await;
        let answer = person.get("/users/me").await;
        if answer.status == 401 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(45), "still accepted: {answer:?}");
    }
}
