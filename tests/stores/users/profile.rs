//! Profiles and roles: changes are atomic and based on the version that was read, and deleted users
//! leave no data behind.

mod roles;

use serde_json::{Value, json};
use shared::ids::sha256_hex;
use tests::{
    events,
    shop::{
        Shop,
        accounts::{ADA, PASSWORD, Session, code, kind, request, seen},
    },
};

#[tokio::test]
async fn profile_change_requires_the_current_version() {
    let shop = Shop::open();
    let admin = shop.admin("grace@example.com").await;
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    let body = json!({ "full_name": "Ada King" });
    let before = shop.aws.items("users");
    let mine = |tags: &[&str]| {
        let request = tags
            .iter()
            .fold(request("update-me", &body), |request, tag| request.header("If-Match", tag));
        shop.call("update-me", session.request(request))
    };
    let theirs = |tags: &[&str]| {
        let request = request("update-user", &body).path_parameter("user_id", &user.id.to_string());
        shop.call(
            "update-user",
            admin
                .request(tags.iter().fold(request, |request, tag| request.header("If-Match", tag))),
        )
    };
    for (tags, status, problem) in [
        (&[][..], 428, "precondition_required"),
        (&["*"], 400, "invalid_if_match"),
        (&["W/\"1\""], 412, "precondition_failed"),
        (&["1"], 400, "invalid_if_match"),
        (&["\"1"], 400, "invalid_if_match"),
        (&["\"01\""], 412, "precondition_failed"),
        (&["\"+1\""], 412, "precondition_failed"),
        (&["\"-1\""], 412, "precondition_failed"),
        (&["\"\""], 412, "precondition_failed"),
        (&["\"1\", \"2\""], 400, "invalid_if_match"),
        (&["\"1\"", "\"2\""], 400, "invalid_if_match"),
        (&["\"18446744073709551616\""], 412, "precondition_failed"),
        (&["\"0\""], 412, "precondition_failed"),
        (&["\"2\""], 412, "precondition_failed"),
        (&["\"18446744073709551615\""], 412, "precondition_failed"),
    ] {
        for called in [mine(tags).await, theirs(tags).await] {
            assert_eq!((called.status(), code(&called).as_str()), (status, problem), "{tags:?}");
            assert_eq!(
                called.header("etag").as_deref(),
                (status == 412).then_some("\"1\""),
                "{tags:?}"
            );
        }
    }
    assert_eq!(shop.aws.items("users"), before);
    let changed = mine(&["\"1\""]).await;
    assert_eq!((changed.status(), changed.header("etag").as_deref()), (200, Some("\"2\"")));
    assert_eq!(changed.operations(), ["GetItem", "TransactWriteItems"]);
    assert_eq!(changed.json(), shop.me(&session).await.json());
    assert_eq!(
        mine(&["\"1\""]).await.header("etag").as_deref(),
        Some("\"2\""),
        "a repetition has an outdated version"
    );
    assert_eq!(theirs(&["\"2\""]).await.header("etag").as_deref(), Some("\"3\""));
    shop.check_accounts();
}

#[tokio::test]
async fn forbidden_profile_changes_are_rejected() {
    let shop = Shop::open();
    let admin = shop.admin("grace@example.com").await;
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    let before = shop.aws.items("users");
    for (body, refused) in [
        (json!({}), "nothing_to_change"),
        (json!({ "role": "admin" }), "unknown_field"),
        (json!({ "full_name": "Ada King", "is_active": true }), "unknown_field"),
        (json!({ "version": 7 }), "unknown_field"),
        (json!({ "password": "correct horse" }), "unknown_field"),
        (json!({ "full_name": null }), "wrong_type"),
        (json!({ "email": null, "username": "countess" }), "wrong_type"),
        (json!({ "email": "x" }), "invalid_email"),
        (json!({ "username": "_" }), "invalid_username"),
    ] {
        let called = shop.edit_if(&session, "\"1\"", &body).await;
        assert_eq!(
            (called.status(), code(&called).as_str(), called.calls.len()),
            (422, refused, 0),
            "{body}"
        );
    }
    for (body, refused) in [
        (json!({}), "nothing_to_change"),
        (json!({ "email": "new@example.com" }), "unknown_field"),
        (json!({ "password": "correct horse" }), "unknown_field"),
        (json!({ "role": null }), "wrong_type"),
        (json!({ "is_active": "yes" }), "wrong_type"),
        (json!({ "is_active": null, "role": "admin" }), "wrong_type"),
    ] {
        let called = shop.administer_if(&admin, user.id, "\"1\"", &body).await;
        assert_eq!(
            (called.status(), code(&called).as_str(), called.calls.len()),
            (422, refused, 0),
            "{body}"
        );
    }
    for (role, refused) in [
        (json!("owner"), "unknown_value"),
        (json!("Admin"), "unknown_value"),
        (json!("admin admin"), "unknown_value"),
        (json!(1), "wrong_type"),
        (json!(["admin"]), "wrong_type"),
        (json!({ "admin": null }), "wrong_type"),
    ] {
        let called = shop.administer_if(&admin, user.id, "\"1\"", &json!({ "role": role })).await;
        assert_eq!((called.status(), code(&called).as_str()), (422, refused), "{role}");
        assert_eq!(called.json()["errors"][0]["pointer"], "/role");
    }
    assert_eq!(shop.aws.items("users"), before);
}

#[tokio::test]
async fn admins_change_others_but_not_their_own_role() {
    let shop = Shop::open();
    let admin = shop.admin("grace@example.com").await;
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    for (id, tag) in [(user.id, "\"1\""), (admin.user_id(), "\"2\"")] {
        let called = shop.administer_if(&session, id, tag, &json!({ "role": "admin" })).await;
        assert_eq!(
            (called.status(), code(&called).as_str(), called.calls.len()),
            (403, "insufficient_permissions", 0)
        );
    }
    for body in [
        json!({ "role": "user" }),
        json!({ "is_active": false }),
        json!({ "is_active": false, "full_name": "x" }),
    ] {
        let called = shop.administer(&admin, admin.user_id(), &body).await;
        assert_eq!((called.status(), code(&called).as_str()), (409, "own_account"), "{body}");
    }
    for body in [
        json!({ "role": "admin" }),
        json!({ "is_active": true }),
        json!({ "full_name": "Grace Hopper" }),
    ] {
        assert_eq!(shop.administer(&admin, admin.user_id(), &body).await.status(), 200, "{body}");
    }
    assert!(
        shop.authorize(&admin.access_token).await.answer.is_ok(),
        "a change without effect on rights ends no session"
    );

    let get = |session: &Session, id: &str| {
        let event =
            session.request(events::get(&format!("/users/{id}")).path_parameter("user_id", id));
        shop.call("get-user", event)
    };
    let missing_user = "usr_0199c2a8-0000-7000-8000-0000000000ff";
    let (foreign, unknown) =
        (get(&session, &admin.user_id().to_string()).await, get(&session, missing_user).await);
    assert_eq!(
        (foreign.status(), code(&foreign).as_str(), foreign.calls.len()),
        (404, "user_not_found", 0)
    );
    for other in [
        &unknown,
        &get(&admin, missing_user).await,
        &get(&session, "ord_0199c2a8-0000-7000-8000-0000000000ff").await,
        &get(&session, "x").await,
    ] {
        assert_eq!(seen(other), seen(&foreign));
    }
    let (own, seen_by_admin) =
        (get(&session, &user.id.to_string()).await, get(&admin, &user.id.to_string()).await);
    assert_eq!((own.status(), seen(&own)), (200, seen(&seen_by_admin)));
    let missing = request("update-user", &json!({ "role": "user" }))
        .path_parameter("user_id", missing_user)
        .header("If-Match", "\"1\"");
    let missing = shop.call("update-user", admin.request(missing)).await;
    assert_eq!(seen(&missing), seen(&foreign));
}

#[tokio::test]
async fn admins_list_users_by_page_newest_first() {
    let shop = Shop::open();
    let admin = shop.admin("grace@example.com").await;
    let mut expected = Vec::new();
    for number in 0..25 {
        shop.clock.advance(std::time::Duration::from_millis(number % 2));
        expected.push(shop.enrol(&format!("user{number}@example.com")).await.id.to_string());
    }
    expected.push(admin.user_id().to_string());
    let list = |session: &Session, query: &str| {
        shop.call("list-users", session.request(events::get(&format!("/users{query}"))))
    };
    let (mut found, mut cursor, mut last) = (Vec::new(), String::new(), None::<String>);
    for _ in 0..4 {
        let page = list(&admin, &format!("?limit=10{cursor}")).await;
        assert_eq!(page.status(), 200);
        let body = page.json();
        for item in body["items"].as_array().unwrap() {
            let key = format!(
                "{}#{}",
                item["created_at"].as_str().unwrap(),
                item["id"].as_str().unwrap()
            );
            assert!(last.is_none_or(|last| key < last), "the newest first");
            last = Some(key);
            found.push(item["id"].as_str().unwrap().to_owned());
        }
        match body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let session = shop
        .enter(
            shop.profiles()[0]["user_id"]["S"]
                .as_str()
                .and_then(shared::ids::PrefixedId::parse)
                .unwrap(),
        )
        .await;
    if session.claims()["role"] == "user" {
        assert_eq!(list(&session, "").await.status(), 403);
    }
    let second = shop.admin("second@example.com").await;
    let first_page = list(&admin, "?limit=1").await.json();
    let foreign =
        list(&second, &format!("?limit=1&cursor={}", first_page["next_cursor"].as_str().unwrap()))
            .await;
    assert_eq!((foreign.status(), code(&foreign).as_str()), (400, "invalid_cursor"));
}

#[tokio::test]
async fn deleted_user_leaves_no_data_and_can_register_again() {
    let shop = Shop::open();
    let mut publisher = shop.users_publisher();
    let user = shop.enrol(ADA).await;
    let session = shop.log_in(ADA).await;
    assert_eq!(shop.request_reset(ADA).await.status(), 202);
    assert_eq!(
        shop.edit(
            &session,
            &json!({ "email": "countess@example.com", "username": "lady", "full_name": "Augusta King", "current_password": PASSWORD })
        )
        .await
        .status(),
        200
    );
    let (reset, verification) =
        (shop.reset_token(user.id).await, shop.verification_token(user.id).await);
    let everything = || format!("{:?}{:?}", shop.aws.items("users"), shop.aws.items("sessions"));
    let traces = [
        "ada@example.com",
        "countess",
        "lady",
        "Augusta",
        "Lovelace",
        "argon2",
        "EMAIL#",
        &sha256_hex(ADA),
        &sha256_hex("countess@example.com"),
        &sha256_hex(&reset),
        &sha256_hex(&verification),
    ]
    .map(str::to_owned);
    assert!(traces[..5].iter().filter(|trace| everything().contains(*trace)).count() >= 4);

    let stale = shop
        .call(
            "delete-me",
            session.request(request("delete-me", &Value::Null).header("If-Match", "\"1\"")),
        )
        .await;
    let current = format!("\"{}\"", shop.user(user.id).await.version);
    assert_eq!(
        (stale.status(), code(&stale).as_str(), stale.header("etag")),
        (412, "precondition_failed", Some(current.clone()))
    );
    assert_eq!(shop.login(ADA, PASSWORD).await.status(), 200);
    let weak = shop
        .call(
            "delete-me",
            session.request(request("delete-me", &Value::Null).header("If-Match", "*")),
        )
        .await;
    assert_eq!(weak.status(), 400);

    let gone = shop
        .call(
            "delete-me",
            session.request(request("delete-me", &Value::Null).header("If-Match", &current)),
        )
        .await;
    assert_eq!(
        (gone.status(), gone.operations(), &gone.ok()["body"]),
        (204, vec!["GetItem", "TransactWriteItems"], &json!(""))
    );
    for trace in traces {
        assert!(!everything().contains(&trace), "{trace}");
    }
    assert_eq!(shop.aws.items("users").len(), 1, "that the account existed");
    shop.check_accounts();

    let anonymous = shop.refresh("x").await;
    assert_eq!(seen(&shop.refresh(&session.refresh_token).await), seen(&anonymous));
    assert_eq!(kind(&shop.authorize(&session.access_token).await), "Unauthorized");
    // The gateway still caches the authorizer's answer for the token.
    for called in [
        shop.me(&session).await,
        shop.delete_me(&session).await,
        shop.edit_if(&session, &current, &json!({ "username": "ada" })).await,
    ] {
        assert_eq!(seen(&called), seen(&anonymous));
    }
    assert_eq!(
        shop.change_password(&session, PASSWORD, "another horse, another battery").await.status(),
        401
    );
    assert_eq!(
        (
            shop.confirm_reset(&reset, PASSWORD).await.status(),
            shop.verify_email(&verification).await.status()
        ),
        (400, 400)
    );
    assert_eq!(shop.login(ADA, PASSWORD).await.status(), 401);
    assert_eq!(shop.request_reset(ADA).await.status(), 202);

    publisher.publish().await;
    for queue in ["update-buyer", "forget-recipient"] {
        let messages = shop.aws.queues().take(queue, 10).into_iter().map(|message| message.json());
        let messages: Vec<_> =
            messages.filter(|message| message["type"] == "user_deleted.v1").collect();
        assert_eq!(messages.len(), 2, "now and again later");
        assert!(messages.iter().all(|message| message["data"]["user_id"] == user.id.to_string()));
    }
    assert_eq!(shop.register(ADA).await.status(), 201);
    let back = shop.log_in(ADA).await;
    assert_ne!(back.user_id(), user.id);
    assert_eq!(shop.refresh(&session.refresh_token).await.status(), 401);
    assert_eq!(shop.login("countess@example.com", PASSWORD).await.status(), 401);
    shop.check_accounts();
}

#[tokio::test]
async fn unauthenticated_changes_are_rejected() {
    let shop = Shop::open();
    let anonymous = shop.refresh("x").await;
    for operation in ["update-me", "update-user", "delete-me", "get-user", "list-users"] {
        let called = shop
            .call(operation, request(operation, &json!({})).header("If-Match", "\"1\"").event())
            .await;
        assert_eq!((seen(&called), called.calls.len()), (seen(&anonymous), 0));
    }
}
