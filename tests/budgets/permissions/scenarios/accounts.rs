//! Accounts, sessions and signing keys.

use crate::permissions::*;

/// Ada's use of her account, and attempts of others.
pub(super) async fn users(seen: &Arc<Mutex<Actions>>) {
    let watched = Watched::new(seen);
    watched.call("login-user", sample("login-user")).await;
    for rotation in ["first", "second"] {
        watched.shop.aws.secrets_manager().begin_rotation("signing-key", rotation);
        for step in [
            "createSecret",
            "createSecret",
            "setSecret",
            "testSecret",
            "finishSecret",
            "finishSecret",
        ] {
            let event = json!({ "Step": step, "SecretId": "ferrocart/signing-key", "ClientRequestToken": rotation });
            assert!(watched.call("rotate-signing-key", event).await.answer.is_ok(), "{step}");
        }
    }
    assert!(
        watched.call("rotate-signing-key", json!({ "revoke": "current" })).await.answer.is_ok()
    );
    let mut harness = watched.harness();
    for status in [201, 409] {
        assert_eq!(watched.cold("register-user", sample("register-user")).await.status(), status);
    }
    harness.drain_queues().await;
    watched.follow("verify-email", ADA, json!({}), 204).await;

    let (login, _) = watched.log_in("correct horse battery staple").await;
    assert!(watched.cold("authorize-request", events::authorize("a.b.c")).await.answer.is_err());
    watched.cold("get-jwks", sample("get-jwks")).await;
    let first = watched.cold("refresh-token", refresh(&login)).await;
    assert_eq!(
        (first.status(), watched.call("refresh-token", refresh(&login)).await.status()),
        (200, 200)
    );
    for role in ["admin", "admin", "user"] {
        assert!(
            watched.call("grant-role", json!({ "email": ADA, "role": role })).await.answer.is_ok()
        );
    }
    watched
        .with_fault(2, Fault::Conflict, "grant-role", json!({ "email": ADA, "role": "admin" }))
        .await;
    let second = watched.cold("refresh-token", refresh(&first)).await;
    assert_eq!(second.status(), 200, "her role is another one: {:?}", second.answer);
    // The first successor was itself exchanged: presenting its predecessor ends the session.
    assert_eq!(watched.cold("refresh-token", refresh(&first)).await.status(), 401);
    assert_eq!(
        watched.cold("refresh-token", refresh(&second)).await.status(),
        401,
        "the session has ended"
    );

    let (_, ada) = watched.log_in("correct horse battery staple").await;
    ada_changes(&watched, &mut harness, &ada).await;
    address_book(&watched, &ada).await;
    for _ in 0..2 {
        watched
            .cold(
                "request-password-reset",
                post("/users/password-reset", &json!({ "email": KING })),
            )
            .await;
        harness.drain_queues().await;
    }
    watched
        .call(
            "request-password-reset",
            post("/users/password-reset", &json!({ "email": "nobody@example.com" })),
        )
        .await;
    watched
        .follow(
            "confirm-password-reset",
            KING,
            json!({ "new_password": "correct horse battery staple" }),
            204,
        )
        .await;

    let charles = register(&watched, "charles").await;
    harness.drain_queues().await;
    // A login change releases an address that was never verified.
    let body =
        json!({ "email": "babbage@example.com", "current_password": "difference engine no 2" });
    let update = events::http("PATCH", "/users/me")
        .caller(&charles)
        .header("content-type", "application/json")
        .header("if-match", "\"1\"");
    assert_eq!(
        watched.cold("update-me", update.body(&body.to_string()).event()).await.status(),
        200
    );
    harness.drain_queues().await;
    watched.follow("verify-email", "babbage@example.com", json!({}), 204).await;
    watched.shop.clock.advance(SECRETS_KEPT);
    watched.pages("list-users", "limit=1", Some(ADMIN)).await;
    let id = ada["context"]["sub"].as_str().expect("she has an id");
    let of_ada = |request: Http| request.caller(ADMIN).path_parameter("user_id", id);
    let seen_by_admin = watched.call("get-user", of_ada(events::get("/users")).event()).await;
    let tag = seen_by_admin.header("etag").expect("a profile has a version");
    let update =
        of_ada(events::post("/users", &json!({ "is_active": true, "full_name": "Ada King" })))
            .header("if-match", &tag);
    for status in [200, 412] {
        assert_eq!(watched.call("update-user", update.clone().event()).await.status(), status);
    }
    assert_eq!(
        watched
            .call("logout-user", events::post("/users/logout", &json!({})).authorized(&ada).event())
            .await
            .status(),
        204
    );
    assert_eq!(
        watched
            .call("delete-me", events::http("DELETE", "/users/me").authorized(&ada).event())
            .await
            .status(),
        204
    );
    harness.drain_queues().await;
    // Only of a queue that is not empty, the age is read.
    watched.shop.aws.queues().send("undelivered-events", "{}");
    watched.call("check-health", json!({})).await;
    watched.call("get-health", events::get("/health").event()).await;
    watched.call("get-docs", sample("get-docs")).await;
    watched.call("check-release", sample("check-release")).await;
}

/// Changes by Ada herself: her profile, her address and her password.
async fn ada_changes(watched: &Watched, harness: &mut Harness, ada: &Value) {
    let me = |method: &str, path: &str| {
        events::http(method, path).authorized(ada).header("content-type", "application/json")
    };
    let body = json!({ "full_name": "Ada King", "email": KING, "current_password": "correct horse battery staple" });
    // A change that is withdrawn before its confirmation, one that is withdrawn afterwards, and one
    // that remains.
    for withdrawn in ["pending", "moved", ""] {
        let tag = watched
            .call("get-me", me("GET", "/users/me").event())
            .await
            .header("etag")
            .expect("a profile has a version");
        let update = me("PATCH", "/users/me").header("if-match", &tag).body(&body.to_string());
        for status in [200, 412] {
            assert_eq!(watched.cold("update-me", update.clone().event()).await.status(), status);
        }
        harness.drain_queues().await;
        if withdrawn != "pending" {
            watched.follow("verify-email", KING, json!({}), 204).await;
            harness.drain_queues().await;
        }
        if !withdrawn.is_empty() {
            watched.follow("withdraw-email-change", ADA, json!({}), 204).await;
            watched.follow("withdraw-email-change", ADA, json!({}), 400).await;
        }
    }
    for (password, status) in [("wrong", 422), ("correct horse battery staple", 204)] {
        let body =
            json!({ "current_password": password, "new_password": "four score and seven donkeys" });
        let changed = watched
            .cold(
                "change-password",
                me("POST", "/users/me/password").body(&body.to_string()).event(),
            )
            .await;
        assert_eq!(changed.status(), status, "{:?}", changed.answer);
    }
}

/// Two addresses, of which one is changed and one is deleted.
async fn address_book(watched: &Watched, ada: &Value) {
    let me = |method: &str, key: &str, body: &Value| {
        events::http(method, "/users/me/addresses")
            .authorized(ada)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(&body.to_string())
    };
    let sent = sample("create-address");
    let body: Value = serde_json::from_str(sent["body"].as_str().expect("a body")).expect("JSON");
    let create = |key: &str| me("POST", key, &body).event();
    watched.with_fault(1, Fault::LoseResponse, "create-address", create("home")).await;
    for (key, status) in [("home", 201), ("work", 201)] {
        let saved = watched.call("create-address", create(key)).await;
        assert_eq!(saved.status(), status, "{:?}", saved.answer);
    }
    let list = events::http("GET", "/users/me/addresses").authorized(ada).event();
    let listed = watched.call("list-addresses", list).await.json();
    let of = |method: &str, number: usize, body: &Value| {
        let id = listed["items"][number]["id"].as_str().expect("an address has an id");
        me(method, "x", body).path_parameter("address_id", id)
    };
    let change = of("PATCH", 0, &json!({ "default_shipping": true })).header("if-match", "\"2\"");
    for status in [200, 412] {
        let changed = watched.call("update-address", change.clone().event()).await;
        assert_eq!(changed.status(), status, "{:?}", changed.answer);
    }
    let delete = || of("DELETE", 1, &Value::Null).body("").event();
    for status in [204, 404] {
        assert_eq!(watched.call("delete-address", delete()).await.status(), status);
    }
}

async fn register(watched: &Watched, name: &str) -> String {
    let body = json!({ "email": format!("{name}@example.com"), "username": name, "full_name": name, "password": "difference engine no 2" });
    let registered = watched.cold("register-user", post("/users", &body)).await;
    assert_eq!(registered.status(), 201);
    registered.json()["id"].as_str().expect("a user has an id").to_owned()
}

/// An imported account gets a current hash at its first login.
pub(super) async fn imported_accounts(seen: &Arc<Mutex<Actions>>) {
    let watched = Watched::new(seen);
    watched.shop.rotate_signing_key().await;
    let _ = register(&watched, "ada").await;
    for mut item in watched
        .shop
        .aws
        .items("users")
        .into_iter()
        .filter(|item| item.get("password_hash").is_some())
    {
        // The first test vector of crypt_blowfish.
        item["password_hash"]["S"] =
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".into();
        watched.shop.aws.put("users", &item);
    }
    watched.log_in("U*U").await;
}

fn refresh(tokens: &Called) -> Value {
    post("/users/token/refresh", &json!({ "refresh_token": tokens.json()["refresh_token"] }))
}
