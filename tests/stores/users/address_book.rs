//! Address books: at most 20 addresses and one default of each kind, also under parallel requests,
//! readable only by their owner, and deleted with the account.

use serde_json::{Value, json};
use tests::{
    aws::{Called, Fault},
    faults::{InjectedFault, for_each_fault_at_each_call},
    shop::{
        Shop,
        accounts::{ADA, Session, code, request},
    },
};
use tokio::task::JoinSet;

const UNKNOWN: &str = "adr_0199c2a8-0000-7000-8000-00000000dead";

fn address(name: &str) -> Value {
    json!({
        "name": name, "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH",
        "country": "GB", "company": "Analytical Engines Ltd", "phone": "+442079460958",
    })
}

async fn create(shop: &Shop, session: &Session, key: &str, body: &Value) -> Called {
    let request = request("create-address", body).header("Idempotency-Key", key);
    shop.call("create-address", session.request(request)).await
}

/// Saves an address that is not a default, and returns its id.
async fn saved(shop: &Shop, session: &Session, name: &str) -> String {
    let called = create(shop, session, name, &json!({ "address": address(name) })).await;
    assert_eq!(called.status(), 201, "{:?}", called.answer);
    called.json()["id"].as_str().unwrap().to_owned()
}

async fn list(shop: &Shop, session: &Session) -> Called {
    shop.send_as(session, "list-addresses", &Value::Null).await
}

async fn update(shop: &Shop, session: &Session, id: &str, tag: &str, body: &Value) -> Called {
    let request =
        request("update-address", body).path_parameter("address_id", id).header("If-Match", tag);
    shop.call("update-address", session.request(request)).await
}

async fn delete(shop: &Shop, session: &Session, id: &str, tag: Option<&str>) -> Called {
    let request = request("delete-address", &Value::Null).path_parameter("address_id", id);
    let request = tag.into_iter().fold(request, |request, tag| request.header("If-Match", tag));
    shop.call("delete-address", session.request(request)).await
}

/// The names of the addresses in a list for which this flag is set.
fn defaults(listed: &Called, kind: &str) -> Vec<String> {
    let items = listed.json()["items"].as_array().unwrap().clone();
    let names = items.iter().filter(|item| item[kind] == true);
    names.map(|item| item["address"]["name"].as_str().unwrap().to_owned()).collect()
}

async fn ada(shop: &Shop) -> Session {
    let user = shop.enrol(ADA).await;
    shop.enter(user.id).await
}

#[tokio::test]
async fn saved_address_is_listed_and_its_request_is_repeatable() {
    let shop = Shop::open();
    let session = ada(&shop).await;
    let empty = list(&shop, &session).await;
    assert_eq!(
        (empty.json(), empty.header("etag").as_deref()),
        (json!({ "items": [] }), Some("\"0\""))
    );
    let body = json!({ "address": address("Ada"), "default_shipping": true });
    let first = create(&shop, &session, "home", &body).await;
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((first.status(), first.header("etag").as_deref()), (201, Some("\"1\"")));
    assert_eq!(first.operations(), ["BatchGetItem", "TransactWriteItems"]);
    let view = first.json();
    assert_eq!(view["address"]["phone"], "+442079460958");
    assert_eq!(view["address"]["company"], "Analytical Engines Ltd");
    assert_eq!(
        (&view["default_shipping"], &view["default_billing"]),
        (&json!(true), &json!(false))
    );
    assert!(id.starts_with("adr_"), "{id}");
    let again = create(&shop, &session, "home", &body).await;
    assert_eq!((again.status(), again.json()), (201, first.json()));
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    let other = create(&shop, &session, "home", &json!({ "address": address("Grace") })).await;
    assert_eq!((other.status(), code(&other).as_str()), (422, "idempotency_key_reused"));
    let listed = list(&shop, &session).await;
    assert_eq!(listed.json()["items"], json!([first.json()]));
    assert_eq!(listed.header("etag").as_deref(), Some("\"1\""));
    shop.check_accounts();
}

#[tokio::test]
async fn a_default_of_each_kind_moves_in_one_write() {
    let shop = Shop::open();
    let session = ada(&shop).await;
    let home =
        json!({ "address": address("home"), "default_shipping": true, "default_billing": true });
    assert_eq!(create(&shop, &session, "home", &home).await.status(), 201);
    let work = saved(&shop, &session, "work").await;
    let moved = update(&shop, &session, &work, "\"2\"", &json!({ "default_shipping": true })).await;
    assert_eq!((moved.status(), moved.operations().len()), (200, 2), "{:?}", moved.answer);
    let listed = list(&shop, &session).await;
    assert_eq!(defaults(&listed, "default_shipping"), ["work"]);
    assert_eq!(defaults(&listed, "default_billing"), ["home"]);
    let cleared =
        update(&shop, &session, &work, "\"3\"", &json!({ "default_shipping": false })).await;
    assert_eq!(cleared.json()["default_shipping"], false);
    assert!(defaults(&list(&shop, &session).await, "default_shipping").is_empty());
}

#[tokio::test]
async fn update_requires_the_current_version_and_a_change() {
    let shop = Shop::open();
    let session = ada(&shop).await;
    let id = saved(&shop, &session, "home").await;
    let king = json!({ "address": address("Ada King") });
    let stale = update(&shop, &session, &id, "\"0\"", &king).await;
    assert_eq!((stale.status(), stale.header("etag").as_deref()), (412, Some("\"1\"")));
    let missing = request("update-address", &king).path_parameter("address_id", &id);
    let missing = shop.call("update-address", session.request(missing)).await;
    assert_eq!(code(&missing), "precondition_required");
    for (body, refused) in [
        (json!({}), "nothing_to_change"),
        (json!({ "address": null }), "wrong_type"),
        (json!({ "default_billing": null }), "wrong_type"),
        (json!({ "phone": "+442079460958" }), "unknown_field"),
        (json!({ "address": { "name": "Ada" } }), "required"),
    ] {
        let called = update(&shop, &session, &id, "\"1\"", &body).await;
        assert_eq!((code(&called).as_str(), called.calls.len()), (refused, 0), "{body}");
    }
    let changed = update(&shop, &session, &id, "\"1\"", &king).await;
    let mut shown = address("Ada King");
    (shown["line2"], shown["region"]) = (Value::Null, Value::Null);
    assert_eq!(changed.json()["address"], shown);
    assert_eq!(changed.header("etag").as_deref(), Some("\"2\""));
    let unknown = update(&shop, &session, UNKNOWN, "\"2\"", &king).await;
    assert_eq!((unknown.status(), code(&unknown).as_str()), (404, "address_not_found"));
}

#[tokio::test]
async fn deleted_address_is_absent_and_not_a_default() {
    let shop = Shop::open();
    let session = ada(&shop).await;
    let body = json!({ "address": address("home"), "default_billing": true });
    let home =
        create(&shop, &session, "home", &body).await.json()["id"].as_str().unwrap().to_owned();
    let work = saved(&shop, &session, "work").await;
    let stale = delete(&shop, &session, &home, Some("\"1\"")).await;
    assert_eq!((stale.status(), stale.header("etag").as_deref()), (412, Some("\"2\"")));
    assert_eq!(delete(&shop, &session, &home, None).await.status(), 204);
    let again = delete(&shop, &session, &home, None).await;
    assert_eq!((again.status(), code(&again).as_str()), (404, "address_not_found"));
    let listed = list(&shop, &session).await;
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 1);
    assert!(defaults(&listed, "default_billing").is_empty());
    assert_eq!(delete(&shop, &session, &work, Some("\"3\"")).await.status(), 204);
    assert_eq!(list(&shop, &session).await.json()["items"], json!([]));
}

#[tokio::test]
async fn parallel_creations_stop_at_twenty_addresses() {
    for seed in 0..4 {
        let shop = Shop::crowded(seed);
        let session = ada(&shop).await;
        for number in 0..15 {
            let _ = saved(&shop, &session, &format!("before-{number}")).await;
        }
        let body = json!({ "address": address("Ada"), "default_shipping": true });
        let keys: Vec<String> = (0..8).map(|number| format!("key-{number}")).collect();
        let lambda = shop.lambda("create-address");
        let mut running = JoinSet::new();
        for key in keys {
            let request = request("create-address", &body).header("Idempotency-Key", &key);
            let (aws, lambda, event) = (shop.aws.clone(), lambda.clone(), session.request(request));
            running.spawn(async move { aws.call(&lambda, event).await });
        }
        let answers = running.join_all().await;
        let created = answers.iter().filter(|called| called.status() == 201).count();
        let full = answers.iter().filter(|called| code(called) == "address_book_full").count();
        assert_eq!((created, full), (5, 3), "seed {seed}");
        let listed = list(&shop, &session).await;
        assert_eq!(listed.json()["items"].as_array().unwrap().len(), 20);
        assert_eq!(defaults(&listed, "default_shipping").len(), 1);
        let refused = answers.iter().find(|called| called.status() == 409).unwrap();
        assert_eq!(refused.json()["maximum"], 20);
        shop.check_accounts();
    }
}

#[tokio::test]
async fn address_of_another_user_is_404() {
    let shop = Shop::open();
    let session = ada(&shop).await;
    let id = saved(&shop, &session, "home").await;
    let admin = shop.admin("grace@example.com").await;
    let before = shop.aws.items("users");
    let body = json!({ "default_shipping": true });
    for called in [
        update(&shop, &admin, &id, "\"1\"", &body).await,
        update(&shop, &admin, UNKNOWN, "\"1\"", &body).await,
        delete(&shop, &admin, &id, None).await,
        delete(&shop, &admin, UNKNOWN, None).await,
    ] {
        assert_eq!((called.status(), code(&called).as_str()), (404, "address_not_found"));
    }
    assert_eq!(list(&shop, &admin).await.json()["items"], json!([]));
    assert_eq!(shop.aws.items("users"), before);
    // The same key of another user creates another address.
    assert_ne!(saved(&shop, &admin, "home").await, id);
}

#[tokio::test]
async fn invalid_addresses_are_rejected_without_a_call() {
    let shop = Shop::open();
    let session = ada(&shop).await;
    for (field, value, refused) in [
        ("phone", json!("02079460958"), "invalid_phone"),
        ("phone", json!(442_079_460_958_u64), "wrong_type"),
        ("company", json!("\u{3164}"), "blank"),
        ("company", json!("a\u{202e}b"), "invalid_characters"),
        ("company", json!("x".repeat(101)), "too_long"),
        ("country", json!("UK"), "invalid_country"),
        ("postal_code", Value::Null, "required"),
        ("planet", json!("Earth"), "unknown_field"),
    ] {
        let mut body = json!({ "address": address("Ada") });
        body["address"][field] = value;
        let called = create(&shop, &session, "key", &body).await;
        assert_eq!((code(&called).as_str(), called.calls.len()), (refused, 0), "{body}");
    }
    assert!(shop.address_books().is_empty());
}

#[tokio::test]
async fn deleted_account_leaves_no_address() {
    let shop = Shop::open();
    let session = ada(&shop).await;
    let id = saved(&shop, &session, "home").await;
    assert_eq!(shop.address_books().len(), 1);
    assert_eq!(shop.delete_me(&session).await.status(), 204);
    assert!(shop.address_books().is_empty());
    // The gateway still caches the authorizer's answer for the token.
    for called in [
        create(&shop, &session, "work", &json!({ "address": address("Ada") })).await,
        list(&shop, &session).await,
        update(&shop, &session, &id, "\"1\"", &json!({ "default_billing": true })).await,
        delete(&shop, &session, &id, None).await,
    ] {
        assert_eq!((called.status(), code(&called).as_str()), (401, "invalid_token"));
    }
    shop.check_accounts();
}

#[tokio::test]
async fn deletion_during_a_creation_leaves_no_address() {
    for seed in 0..24 {
        let shop = Shop::crowded(seed);
        let session = ada(&shop).await;
        let body = json!({ "address": address("Ada") });
        let (created, deleted) =
            tokio::join!(create(&shop, &session, "home", &body), shop.delete_me(&session));
        assert!([201, 401].contains(&created.status()), "{:?}", created.answer);
        assert_eq!(deleted.status(), 204);
        assert!(shop.address_books().is_empty(), "seed {seed}");
        shop.check_accounts();
    }
}

#[tokio::test]
async fn creation_saves_one_address_under_any_fault() {
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let shop = Shop::open();
        let session = ada(&shop).await;
        let body = json!({ "address": address("Ada") });
        shop.aws.fail(call, fault);
        let first = create(&shop, &session, "home", &body).await;
        shop.aws.heal();
        assert!([201, 503].contains(&first.status()), "{fault:?} at {call}: {:?}", first.answer);
        let again = create(&shop, &session, "home", &body).await;
        assert_eq!(again.status(), 201, "{fault:?} at {call}");
        let listed = list(&shop, &session).await;
        assert_eq!(listed.json()["items"].as_array().unwrap().len(), 1, "{fault:?} at {call}");
        first
    })
    .await;
}

#[tokio::test]
async fn creation_with_a_lost_response_succeeds() {
    let shop = Shop::open().retrying();
    let session = ada(&shop).await;
    shop.aws.fail(1, Fault::LoseResponse);
    let body = json!({ "address": address("Ada") });
    let created = create(&shop, &session, "home", &body).await;
    assert_eq!((created.status(), created.header("etag").as_deref()), (201, Some("\"1\"")));
}
