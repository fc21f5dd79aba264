//! Accounts from registration to deletion, over HTTP: operations of their owners and of admins.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::{Answer, PASSWORD, Person, Shop, shop_with, unique, until};

#[tokio::test]
async fn mailed_links_verify_and_change_the_address() {
    let shop = shop_with!(Mails);
    let person = shop.unverified_customer().await;
    let me = person.get("/users/me").await;
    assert_eq!(me.expect(200)["email_verified"], false);
    let welcome = shop.link_mailed_to(&person.email, "verify-email").await;
    shop.visitor().post("/users/verify-email", &json!({ "token": welcome })).await.expect(204);
    assert_eq!(
        shop.visitor().post("/users/verify-email", &json!({ "token": welcome })).await.problem(400),
        "invalid_one_time_token"
    );

    let me = person.get("/users/me").await;
    assert_eq!(me.expect(200)["email_verified"], true);
    let new = format!("{}@example.com", unique("moved"));
    let change = json!({ "email": new, "full_name": "Ada King", "current_password": PASSWORD });
    assert_eq!(
        person.patch("/users/me", None, &change).await.problem(428),
        "precondition_required"
    );
    let stale = person.patch("/users/me", Some("\"1\""), &change).await;
    assert_eq!(stale.problem(412), "precondition_failed");
    assert_eq!(stale.header("etag"), me.header("etag"));
    let changed = person.patch("/users/me", Some(me.header("etag")), &change).await.expect(200);
    assert_eq!((&changed["email"], &changed["pending_email"]), (&json!(person.email), &json!(new)));
    shop.log_in(&person.email).await;

    let link = shop.link_mailed_to(&new, "verify-email").await;
    shop.visitor().post("/users/verify-email", &json!({ "token": link })).await.expect(204);
    assert_eq!(shop.try_login(&person.email, PASSWORD).await.problem(401), "invalid_credentials");
    let moved = shop.log_in(&new).await;
    assert_eq!(moved.get("/users/me").await.expect(200)["full_name"], "Ada King");
    // The previous address is reserved while its link can still restore the login.
    assert_eq!(shop.register(&person.email).await.problem(409), "email_taken");
    let withdraw = shop.link_mailed_to(&person.email, "withdraw-email-change").await;
    shop.visitor()
        .post("/users/email-change/withdraw", &json!({ "token": withdraw }))
        .await
        .expect(204);
    assert_eq!(shop.try_login(&new, PASSWORD).await.problem(401), "invalid_credentials");
    assert_eq!(
        shop.log_in(&person.email).await.get("/users/me").await.expect(200)["email_verified"],
        true
    );
}

#[tokio::test]
async fn password_reset_ends_every_session() {
    let shop = shop_with!(Mails);
    let email = format!("{}@example.com", unique("forgetful"));
    shop.register(&email).await.expect(201);
    let session = shop.try_login(&email, PASSWORD).await.expect(200);
    let known = shop.visitor().post("/users/password-reset", &json!({ "email": email })).await;
    let unknown = shop
        .visitor()
        .post(
            "/users/password-reset",
            &json!({ "email": format!("{}@example.com", unique("nobody")) }),
        )
        .await;
    assert_eq!((known.status, &known.text), (unknown.status, &unknown.text));
    assert_eq!(known.status, 202);

    let token = shop.link_mailed_to(&email, "reset-password").await;
    let confirm = |password: &str| {
        let (visitor, body) = (shop.visitor(), json!({ "token": token, "new_password": password }));
        async move { visitor.post("/users/password-reset/confirm", &body).await }
    };
    assert_eq!(confirm("password").await.problem(422), "password_compromised");
    let confirmed = confirm("another ordinary passphrase").await;
    confirmed.expect(204);
    assert!(!confirmed.header("x-device-token").is_empty());
    assert_eq!(confirm("a third passphrase").await.problem(400), "invalid_one_time_token");

    assert_eq!(shop.try_login(&email, PASSWORD).await.problem(401), "invalid_credentials");
    shop.try_login(&email, "another ordinary passphrase").await.expect(200);
    assert_eq!(shop.refresh(&session["refresh_token"]).await.problem(401), "invalid_token");
}

#[tokio::test]
async fn refresh_continues_a_session_and_reuse_ends_it() {
    let shop = Shop::open().await;
    let email = format!("{}@example.com", unique("returning"));
    shop.register(&email).await.expect(201);
    let first = shop.try_login(&email, PASSWORD).await.expect(200);
    let second = shop.refresh(&first["refresh_token"]).await.expect(200);
    // The response may have been lost: a repetition gets the same response.
    assert_eq!(
        shop.refresh(&first["refresh_token"]).await.expect(200)["refresh_token"],
        second["refresh_token"]
    );
    let third = shop.refresh(&second["refresh_token"]).await.expect(200);
    assert_eq!(shop.refresh(&first["refresh_token"]).await.problem(401), "invalid_token");
    assert_eq!(shop.refresh(&third["refresh_token"]).await.problem(401), "invalid_token");

    let session = shop.try_login(&email, PASSWORD).await.expect(200);
    let person = Person {
        token: Some(session["access_token"].as_str().unwrap().to_owned()),
        ..shop.visitor()
    };
    person.send(Method::POST, "/users/logout", None, &[]).await.expect(204);
    assert_eq!(shop.refresh(&session["refresh_token"]).await.problem(401), "invalid_token");
}

#[tokio::test]
async fn password_change_ends_all_other_sessions() {
    let shop = shop_with!(Mails);
    let email = format!("{}@example.com", unique("careful"));
    shop.register(&email).await.expect(201);
    let (mine, other) = (
        shop.try_login(&email, PASSWORD).await.expect(200),
        shop.try_login(&email, PASSWORD).await.expect(200),
    );
    let person =
        Person { token: Some(mine["access_token"].as_str().unwrap().to_owned()), ..shop.visitor() };
    let change = |current: &str| json!({ "current_password": current, "new_password": "a much better passphrase" });
    assert_eq!(
        person.post("/users/me/password", &change("wrong passphrase")).await.problem(422),
        "wrong_password"
    );
    person.post("/users/me/password", &change(PASSWORD)).await.expect(204);
    person.get("/users/me").await.expect(200);
    shop.refresh(&mine["refresh_token"]).await.expect(200);
    assert_eq!(shop.refresh(&other["refresh_token"]).await.problem(401), "invalid_token");
    let subject = "password";
    until(
        "the owner is notified",
        || shop.subjects(&email),
        |subjects| subjects.iter().any(|s| s.to_lowercase().contains(subject)),
    )
    .await;
}

#[tokio::test]
async fn admin_lists_users_and_changes_roles() {
    let shop = Shop::open().await;
    let (admin, person) = (shop.admin().await, shop.customer().await);
    assert_eq!(person.get("/users").await.problem(403), "insufficient_permissions");
    let mut seen = BTreeSet::new();
    let mut path = "/users?limit=100".to_owned();
    loop {
        let page = admin.get(&path).await.expect(200);
        for user in page["items"].as_array().unwrap() {
            assert!(seen.insert(user["id"].as_str().unwrap().to_owned()), "listed twice");
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/users?limit=100&cursor={cursor}");
    }
    assert!(seen.contains(&person.id) && seen.contains(&admin.id));

    let route = format!("/users/{}", person.id);
    let unknown = "/users/usr_0199c2a8-0000-7000-8000-00000000dead";
    let stranger = shop.customer().await;
    assert_eq!(stranger.get(&route).await.problem(404), stranger.get(unknown).await.problem(404));
    person.get(&route).await.expect(200);
    let read = admin.get(&route).await;
    let put = |etag: String, body: Value| {
        let (admin, route) = (admin.clone(), route.clone());
        async move {
            admin.send(Method::PUT, &route, Some(body.to_string()), &[("if-match", &etag)]).await
        }
    };
    let session = shop.try_login(&person.email, PASSWORD).await.expect(200);
    let promoted = put(read.header("etag").to_owned(), json!({ "role": "admin" })).await;
    assert_eq!(promoted.expect(200)["role"], "admin");
    let refreshed = shop.refresh(&session["refresh_token"]).await.expect(200);
    let person =
        Person { token: Some(refreshed["access_token"].as_str().unwrap().to_owned()), ..person };
    person.get("/users").await.expect(200);

    put(promoted.header("etag").to_owned(), json!({ "is_active": false })).await.expect(200);
    assert_eq!(shop.refresh(&refreshed["refresh_token"]).await.problem(401), "invalid_token");
    assert_eq!(shop.try_login(&person.email, PASSWORD).await.problem(401), "invalid_credentials");
    let own = admin.get("/users/me").await;
    let own_route = format!("/users/{}", admin.id);
    let headers = [("if-match", own.header("etag"))];
    let own_role = admin
        .send(Method::PUT, &own_route, Some(json!({ "role": "user" }).to_string()), &headers)
        .await;
    assert_eq!(own_role.problem(409), "own_account");
}

#[tokio::test]
async fn deleted_account_leaves_no_data() {
    let shop = shop_with!(Tables);
    let product = shop.product(1500, 10).await;
    let (name, email) = (unique("Planted Name"), format!("{}@example.com", unique("planted")));
    let body =
        json!({ "email": email, "username": "planted", "full_name": name, "password": PASSWORD });
    shop.visitor().post("/users", &body).await.expect(201);
    let person = shop.log_in(&email).await;
    let order = person.order(&product, 1, Some("tok_ok")).await;
    person.order_with_status(&order, "confirmed").await;
    let open = person.order(&product, 1, None).await;
    person.order_at_step(&open, "awaiting_payment").await;
    let line = json!([{ "product_id": product, "quantity": 1 }]);
    let shipping_address = json!({ "name": name, "line1": "1 High Street", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB" });
    let filled = json!({ "add": line, "email": email, "shipping_address": shipping_address });
    person.cart(&json!({})).await.change(&filled).await.expect(200);

    person.send(Method::DELETE, "/users/me", None, &[]).await.expect(204);
    assert_eq!(shop.try_login(&email, PASSWORD).await.problem(401), "invalid_credentials");
    let traces = || async {
        let mut found = Vec::new();
        for table in [
            "users",
            "sessions",
            "orders",
            "order-products",
            "order-carts",
            "products",
            "stock",
            "payments",
            "payment-simulator",
            "notifications",
        ] {
            for item in shop.scan(table).await {
                let text = format!("{item:?}");
                if text.contains(&name) || text.contains(&email) {
                    found.push((table, item["pk"].as_s().unwrap().clone()));
                }
            }
        }
        found
    };
    // The open order needs the personal data until it has ended.
    let only_the_open_one =
        |found: &Vec<(&str, String)>| found.iter().all(|(_, pk)| *pk == format!("ORDER#{open}"));
    until("settled records forget them", traces, only_the_open_one).await;
    assert_eq!(traces().await.len(), 1);
    // The order is no longer paid for, and expires.
    shop.expire(&open).await;
    until("the last record forgets them", traces, Vec::is_empty).await;
    let notifications = || async {
        let items = shop.scan("notifications").await;
        items
            .iter()
            .filter(|item| item["pk"].as_s().unwrap() == &format!("USER#{}", person.id))
            .count()
    };
    assert!(notifications().await <= 1, "at most that the open order is over");
    // The address is free, and its next owner gets none of the earlier data.
    shop.register(&email).await.expect(201);
    let next = shop.log_in(&email).await;
    assert_ne!(next.id, person.id);
    assert!(next.get("/orders").await.expect(200)["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn rate_limit_blocks_guessing_but_not_the_owner() {
    let shop = Shop::open().await;
    let email = format!("{}@example.com", unique("besieged"));
    shop.register(&email).await.expect(201);
    let login = shop.try_login(&email, PASSWORD).await;
    let device = login.header("x-device-token").to_owned();
    for (address, kind) in
        [(email.clone(), "known"), (format!("{}@example.com", unique("nobody")), "unknown")]
    {
        let mut answers = Vec::new();
        for _ in 0..11 {
            answers.push(shop.try_login(&address, "not the passphrase").await);
        }
        assert!(answers[..10].iter().all(|answer| answer.status == 401), "{kind}");
        assert_eq!(answers[10].problem(429), "too_many_requests");
        let wait: u64 = answers[10].header("retry-after").parse().unwrap();
        assert!((1..=900).contains(&wait), "{kind}: {wait}");
    }
    let body = json!({ "email": email, "password": PASSWORD }).to_string();
    let owner = shop
        .visitor()
        .send(Method::POST, "/users/login", Some(body), &[("x-device-token", &device)])
        .await;
    owner.expect(200);
}

impl Shop {
    async fn try_login(&self, email: &str, password: &str) -> Answer {
        self.visitor().post("/users/login", &json!({ "email": email, "password": password })).await
    }

    async fn refresh(&self, token: &Value) -> Answer {
        self.visitor().post("/users/token/refresh", &json!({ "refresh_token": token })).await
    }

    /// The token of the newest link to a page in the mails to this address. Waits until there is
    /// one.
    pub async fn link_mailed_to(&self, email: &str, page: &str) -> String {
        let start = format!("/{page}#token=");
        let token = |mail: &Value| {
            let text = mail.to_string();
            let token = text.split(&start).nth(1)?;
            Some(
                token
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c))
                    .collect::<String>(),
            )
        };
        let read = || async { self.mails_to(email).await.iter().rev().find_map(token) };
        until(&format!("a link to {page} is mailed"), read, Option::is_some).await.unwrap()
    }

    async fn subjects(&self, email: &str) -> Vec<String> {
        self.mails_to(email)
            .await
            .iter()
            .map(|mail| mail["Subject"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

impl Person {
    async fn patch(&self, path: &str, etag: Option<&str>, body: &Value) -> Answer {
        let headers: Vec<_> = etag.map(|etag| ("if-match", etag)).into_iter().collect();
        self.send(Method::PATCH, path, Some(body.to_string()), &headers).await
    }
}
