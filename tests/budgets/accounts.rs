//! The calls of the operations on accounts and sessions.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    aws::Called,
    events::{self, sample},
    shop::{LIST_SHARDS, Shop},
};

use super::{costs, round_trips};

/// Registers Ada and logs her in. Returns the login response, and the authorizer's response for her
/// access token.
async fn ada(shop: &Shop) -> (Called, Called) {
    shop.rotate_signing_key().await;
    assert_eq!(shop.call("register-user", sample("register-user")).await.status(), 201);
    let login = shop.call("login-user", sample("login-user")).await;
    assert_eq!(login.status(), 200, "{:?}", login.answer);
    let authorized = shop
        .call(
            "authorize-request",
            events::authorize(login.json()["access_token"].as_str().unwrap()),
        )
        .await;
    assert!(authorized.answer.is_ok(), "{:?}", authorized.answer);
    (login, authorized)
}

pub(super) fn refresh(tokens: &Called) -> Value {
    events::post(
        "/users/token/refresh",
        &json!({ "refresh_token": tokens.json()["refresh_token"] }),
    )
    .event()
}

#[tokio::test]
async fn registration_costs_one_attempt_and_one_transaction() {
    let shop = Shop::new();
    costs(
        &shop.call("register-user", sample("register-user")).await,
        &["UpdateItem", "TransactWriteItems"],
    );
}

/// A known device has its own bucket and does not use the network's: the bucket is read with the
/// credentials, and checked by the transaction. The network is charged before the account. A network
/// with a recent attempt costs one more call and round trip: its bucket is not empty.
#[tokio::test(start_paused = true)]
async fn login_costs_three_round_trips_or_two_from_a_known_device() {
    let shop = Shop::new();
    let (first, _) = ada(&shop).await;
    let device = first.header("x-device-token").expect("the first login earns a device token");
    let body = json!({ "email": "ada@example.com", "password": "correct horse battery staple" });
    let login = events::post("/users/login", &body);
    let from_known = login.clone().header("x-device-token", &device);
    // The buckets are full again, and the secrets are cached.
    shop.clock.advance(Duration::from_secs(3600));
    assert_eq!(shop.call("login-user", from_known.clone().event()).await.status(), 200);
    let stranger = &["UpdateItem", "UpdateItem", "GetItem", "TransactWriteItems"][..];
    let after_another =
        &["UpdateItem", "UpdateItem", "UpdateItem", "GetItem", "TransactWriteItems"][..];
    let known = &["BatchGetItem", "TransactWriteItems"][..];
    for (request, calls, expected) in
        [(&login, stranger, 3), (&login, after_another, 4), (&from_known, known, 2)]
    {
        let (called, one_after_the_other) =
            round_trips(&shop, "login-user", &request.clone().event(), calls).await;
        costs(&called, calls);
        assert_eq!(one_after_the_other, expected, "{calls:?}");
    }
}

#[tokio::test]
async fn token_refresh_costs_one_transaction() {
    let shop = Shop::new();
    let (login, _) = ada(&shop).await;
    let first = shop.call("refresh-token", refresh(&login)).await;
    costs(&first, &["TransactWriteItems"]);
    costs(&shop.call("refresh-token", refresh(&first)).await, &["TransactWriteItems"]);
    // A repeated exchange after a lost response: the failed condition returns everything that the
    // repetition needs.
    costs(&shop.call("refresh-token", refresh(&first)).await, &["TransactWriteItems"]);
}

#[tokio::test]
async fn authorizer_costs_one_call_without_a_cached_response() {
    let (_, authorized) = ada(&Shop::new()).await;
    assert_eq!(authorized.operations(), ["BatchGetItem"]);
}

#[tokio::test]
async fn account_changes_cost_one_read_and_one_write_per_item() {
    let shop = Shop::new();
    let (_, authorized) = ada(&shop).await;
    let me = |method: &str, path: &str, body: Value| {
        let request = events::http(method, path).authorized(authorized.ok());
        if body.is_null() {
            request
        } else {
            request.header("content-type", "application/json").body(&body.to_string())
        }
    };
    let tag = async || {
        shop.call("get-me", me("GET", "/users/me", Value::Null).event())
            .await
            .header("etag")
            .unwrap()
    };
    costs(&shop.call("get-me", me("GET", "/users/me", Value::Null).event()).await, &["GetItem"]);
    let name = me(
        "PATCH",
        "/users/me",
        json!({ "full_name": "Ada King", "email": "king@example.com", "current_password": "correct horse battery staple" }),
    )
    .header("if-match", &tag().await);
    // Two buckets, and the credentials to check the current password: only for a change of the
    // address.
    costs(
        &shop.call("update-me", name.event()).await,
        &["GetItem", "UpdateItem", "UpdateItem", "GetItem", "TransactWriteItems"],
    );

    shop.harness().drain_queues().await;
    let link = |address: &str| shop.aws.mails().token_for(address);
    let verify = json!({ "token": link("king@example.com") });
    // The second read is for the credentials, which move with the address: only for a change of the
    // address.
    let verified =
        shop.call("verify-email", events::post("/users/verify-email", &verify).event()).await;
    costs(&verified, &["UpdateItem", "GetItem", "GetItem", "TransactWriteItems"]);

    let passwords = json!({ "current_password": "correct horse battery staple", "new_password": "four score and seven donkeys" });
    let changed =
        shop.call("change-password", me("POST", "/users/me/password", passwords).event()).await;
    costs(&changed, &["GetItem", "UpdateItem", "GetItem", "TransactWriteItems"]);

    let known = events::post("/users/password-reset", &json!({ "email": "king@example.com" }));
    let unknown = events::post("/users/password-reset", &json!({ "email": "nobody@example.com" }));
    for request in [unknown, known] {
        // The buckets are full again.
        shop.clock.advance(Duration::from_secs(3600));
        let asked = shop.call("request-password-reset", request.event()).await;
        costs(&asked, &["UpdateItem", "UpdateItem", "GetItem", "GetItem", "UpdateItem"]);
    }
    shop.harness().drain_queues().await;
    let reset = json!({ "token": link("king@example.com"), "new_password": "correct horse battery staple" });
    let confirmed = shop
        .call(
            "confirm-password-reset",
            events::post("/users/password-reset/confirm", &reset).event(),
        )
        .await;
    costs(&confirmed, &["UpdateItem", "GetItem", "TransactWriteItems"]);

    // A transaction, because a deleted account must not keep an address.
    let address = sample("create-address");
    let address = || {
        me("POST", "/users/me/addresses", Value::Null)
            .header("content-type", "application/json")
            .header("idempotency-key", "home")
            .body(address["body"].as_str().unwrap())
            .event()
    };
    let saved = shop.call("create-address", address()).await;
    costs(&saved, &["BatchGetItem", "TransactWriteItems"]);
    costs(&shop.call("create-address", address()).await, &["BatchGetItem"]);
    let listed = me("GET", "/users/me/addresses", Value::Null);
    costs(&shop.call("list-addresses", listed.event()).await, &["BatchGetItem"]);
    let home = saved.json()["id"].as_str().unwrap().to_owned();
    let renamed = me("PATCH", "/users/me/addresses/x", json!({ "default_billing": false }))
        .header("if-match", "\"1\"")
        .path_parameter("address_id", &home);
    costs(
        &shop.call("update-address", renamed.event()).await,
        &["BatchGetItem", "TransactWriteItems"],
    );
    let removed =
        me("DELETE", "/users/me/addresses/x", Value::Null).path_parameter("address_id", &home);
    costs(
        &shop.call("delete-address", removed.event()).await,
        &["BatchGetItem", "TransactWriteItems"],
    );

    costs(
        &shop.call("logout-user", me("POST", "/users/logout", Value::Null).event()).await,
        &["UpdateItem"],
    );
    costs(
        &shop.call("delete-me", me("DELETE", "/users/me", Value::Null).event()).await,
        &["GetItem", "TransactWriteItems"],
    );
}

#[tokio::test]
async fn reading_users_costs_one_call_each_or_one_per_shard() {
    let shop = Shop::new();
    shop.ada().await;
    costs(&shop.call("get-user", sample("get-user")).await, &["GetItem"]);
    costs(&shop.call("list-users", sample("list-users")).await, &["Query"; LIST_SHARDS as usize]);
    costs(
        &shop.call("update-user", sample("update-user")).await,
        &["GetItem", "TransactWriteItems"],
    );
}

/// The keys are read at most once in a few seconds, for all callers.
#[tokio::test]
async fn public_keys_cost_no_table_call() {
    let shop = Shop::new();
    shop.rotate_signing_key().await;
    let keys = shop.call("get-jwks", sample("get-jwks")).await;
    assert_eq!((keys.status(), keys.calls.len()), (200, 1), "{:?}", keys.answer);
    assert_eq!(shop.call("get-jwks", sample("get-jwks")).await.calls, []);
}
