//! Invalid tokens on every protected route, and rotation of the signing key under load.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};
use shared::{ids::Ids, operation::Access};
use tests::shop::operations;

use crate::shop::{Answer, PASSWORD, Person, Shop, unique};

#[tokio::test]
async fn invalid_tokens_get_the_same_401_on_every_protected_route() {
    let shop = Shop::open().await;
    let person = shop.customer().await;
    let routes = protected_routes();
    assert!(routes.len() >= 15, "{routes:?}");
    let token = person.token.as_deref().unwrap();
    let without_any = said(&without_token(&shop, "GET", "/users/me", None).await);
    let mut answers = 0;
    for (number, (method, path)) in routes.iter().enumerate() {
        // One authorizer serves all routes. One route gets every invalid value; the others get a
        // few that prove that they use it.
        let mut headers = bad_authorizations(token);
        if number == 0 {
            headers.push(Some(format!(
                "Bearer {}",
                with_header(token, "kid", "key_0199c2a8-0000-7000-8000-00000000dead")
            )));
        } else {
            headers = vec![None, Some(format!("Bearer {}", with_header(token, "alg", "none")))];
        }
        for header in &headers {
            let answer = without_token(&shop, method, path, header.as_deref()).await;
            assert_eq!(answer.problem(401), "invalid_token", "{method} {path} {header:?}");
            assert!(
                answer.header("www-authenticate").is_empty()
                    || answer.header("www-authenticate").contains("invalid_token")
            );
            assert_eq!(said(&answer), without_any, "{method} {path} {header:?}");
            answers += 1;
        }
    }
    println!("{answers} answers on {} routes", routes.len());
}

/// Methods and paths of the protected routes, with ids of missing resources.
fn protected_routes() -> Vec<(String, String)> {
    let with_example_ids = |part: &str| {
        if part.starts_with('{') {
            "prd_0199c2a8-0000-7000-8000-00000000000a".to_owned()
        } else {
            part.to_owned()
        }
    };
    let routes = operations()
        .flat_map(|operation| operation.routes())
        .filter(|route| route.access == Access::Token);
    routes
        .map(|route| {
            (
                route.method.to_owned(),
                route.path.split('/').map(with_example_ids).collect::<Vec<_>>().join("/"),
            )
        })
        .collect()
}

/// Invalid values in place of a valid token.
fn bad_authorizations(token: &str) -> Vec<Option<String>> {
    let parts: Vec<&str> = token.split('.').collect();
    let [head, claims, signature] = parts[..] else { panic!("a token has three parts") };
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let mut other_claims: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    other_claims["role"] = "admin".into();
    let mut bad = vec![
        None,
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Basic YTpi".to_owned()),
        Some(token.to_owned()),
    ];
    let tokens = [
        String::new(),
        "x".to_owned(),
        format!("{head}.{claims}"),
        format!("{head}.{claims}."),
        format!("{token}."),
        format!("{token}="),
        format!("{token}.{signature}"),
        format!("{claims}.{head}.{signature}"),
        format!("{head}.{}.{signature}", encode(&other_claims)),
        format!("{head}.{claims}.{}", "A".repeat(86)),
        with_header(token, "alg", "none"),
        with_header(token, "alg", "HS256"),
        with_header(token, "alg", "ES384"),
        with_header(token, "kid", "../../dev/null"),
        format!("{}.{claims}.", encode(&json!({ "alg": "none" }))),
        "a".repeat(5_000),
    ];
    bad.extend(tokens.into_iter().map(|token| Some(format!("Bearer {token}"))));
    bad
}

/// The token with another value in its header.
fn with_header(token: &str, name: &str, value: &str) -> String {
    let (head, rest) = token.split_once('.').unwrap();
    let mut header: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
    header[name] = value.into();
    format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header.to_string()))
}

async fn without_token(
    shop: &Shop,
    method: &str,
    path: &str,
    authorization: Option<&str>,
) -> Answer {
    let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
    let body = (method != "GET").then(|| "{}".to_owned());
    shop.visitor().send(Method::from_bytes(method.as_bytes()).unwrap(), path, body, &headers).await
}

/// The body without its request id.
fn said(answer: &Answer) -> Value {
    let mut document = answer.json();
    document.as_object_mut().unwrap().remove("request_id");
    document
}

#[tokio::test]
async fn no_request_fails_during_signing_key_rotation() {
    let shop = Arc::new(Shop::alone().await);
    let email = format!("{}@example.com", unique("rotating"));
    shop.register(&email).await.expect(201);
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (shop, over, done, email) =
                (shop.clone(), over.clone(), done.clone(), email.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let tokens = shop
                        .visitor()
                        .post("/users/login", &json!({ "email": email, "password": PASSWORD }))
                        .await
                        .expect(200);
                    let refreshed = shop
                        .visitor()
                        .post(
                            "/users/token/refresh",
                            &json!({ "refresh_token": tokens["refresh_token"] }),
                        )
                        .await;
                    let refreshed = refreshed.expect(200);
                    for token in [&tokens, &refreshed] {
                        let token = token["access_token"].as_str().unwrap().to_owned();
                        Person { token: Some(token), ..shop.visitor() }
                            .get("/users/me")
                            .await
                            .expect(200);
                    }
                    done.fetch_add(4, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let enough = |more: u64| {
        let (done, from) = (done.clone(), done.load(Ordering::Relaxed));
        async move {
            crate::shop::until(
                "requests go on",
                || async { done.load(Ordering::Relaxed) },
                |count| *count >= from + more,
            )
            .await
        }
    };
    enough(40).await;
    let before = published(&shop).await;
    for _ in 0..2 {
        rotate(&shop).await;
        enough(40).await;
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no request failed");
    }
    let after =
        crate::shop::until("new keys are published", || published(&shop), |keys| keys.len() >= 3)
            .await;
    assert!(
        before.iter().all(|kid| after.contains(kid)),
        "tokens of the earlier keys may be alive"
    );
    println!("{} requests during two rotations", done.load(Ordering::Relaxed));
}

async fn published(shop: &Shop) -> Vec<String> {
    let keys = shop.visitor().get("/.well-known/jwks.json").await.expect(200);
    keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// Rotates the signing key, as Secrets Manager does once a month.
async fn rotate(shop: &Shop) {
    let token = shared::ids::Uuid::from_bytes(Ids::System.bytes()).to_string();
    let secret = format!("{}/signing-key", shop.stack);
    for step in ["createSecret", "setSecret", "testSecret", "finishSecret"] {
        shop.invoke(
            "rotate-signing-key",
            &json!({ "Step": step, "SecretId": secret, "ClientRequestToken": token }),
        )
        .await;
    }
}
