//! A registration creates one account, completely or not at all.

use serde_json::{Value, json};
use shared::{ids::Ids, telemetry::Trace};
use tests::{
    aws::Fault,
    events,
    faults::{InjectedFault, for_each_fault_at_each_call},
    shop::{
        Shop,
        accounts::{ADA, PASSWORD, code, registration},
    },
};
use users::{
    domain::{Email, FullName, Registration, User, Username, VERIFICATION_LIFETIME},
    error::UsersError,
    tokens::one_time::OneTimeToken,
};

#[tokio::test]
async fn registration_creates_an_unverified_customer() {
    let shop = Shop::open();
    let registered = shop.register("Ada@Example.com").await;
    assert_eq!(
        (registered.status(), registered.operations()),
        (201, vec!["UpdateItem", "TransactWriteItems"])
    );
    assert_eq!(registered.operations_on("users"), ["TransactWriteItems"]);
    assert_eq!(registered.header("location").as_deref(), Some("users/me"));
    let view = registered.json();
    for (name, value) in [
        ("email", json!(ADA)),
        ("role", json!("user")),
        ("is_active", json!(true)),
        ("email_verified", json!(false)),
        ("pending_email", Value::Null),
    ] {
        assert_eq!(view[name], value, "{name}");
    }
    shop.check_accounts();
    let everything = shop.aws.items("users").iter().map(Value::to_string).collect::<String>();
    assert!(!everything.contains(PASSWORD) && everything.contains("$argon2id$"));
    assert_eq!(shop.profiles()[0]["user_id"]["S"], view["id"]);
    for taken in ["ada@example.com", "ADA@EXAMPLE.COM", "ada@ｅｘａｍｐｌｅ.com"] {
        let refused = shop.register(taken).await;
        assert_eq!((refused.status(), code(&refused).as_str()), (409, "email_taken"), "{taken}");
    }
    assert_eq!(shop.aws.items("users").len(), 2);
    let session = shop.log_in(ADA).await;
    let me = shop.me(&session).await;
    assert_eq!(
        (me.json(), me.header("etag").as_deref(), me.operations()),
        (view, Some("\"1\""), vec!["GetItem"])
    );
}

#[tokio::test]
async fn invalid_registration_is_rejected_before_any_work() {
    let shop = Shop::open();
    for (field, value, refused) in [
        ("email", json!("ada"), "invalid_email"),
        ("email", json!("jos\u{e9}@example.com"), "invalid_email"),
        ("email", json!({ "$ne": null }), "wrong_type"),
        ("username", json!("_"), "invalid_username"),
        ("full_name", json!(" "), "blank"),
        ("full_name", json!("\u{3164}"), "blank"),
        ("full_name", json!("Ada\u{ad}Lovelace"), "invalid_characters"),
        ("password", json!("seven77"), "password_too_short"),
        ("password", json!("x".repeat(1025)), "password_too_long"),
        ("password", json!("iloveyou"), "password_compromised"),
        ("password", json!("ADA@example.com"), "password_is_email"),
        ("role", json!("admin"), "unknown_field"),
        ("id", json!(events::USER), "unknown_field"),
    ] {
        let mut body: Value =
            serde_json::from_str(registration(ADA)["body"].as_str().unwrap()).unwrap();
        body[field] = value;
        let called = shop.call("register-user", events::post("/users", &body).event()).await;
        assert_eq!((called.status(), called.calls.len()), (422, 0), "{body}");
        assert_eq!(code(&called), refused, "{body}");
    }
    assert!(shop.aws.items("users").is_empty() && shop.aws.items("sessions").is_empty());
}

#[tokio::test]
async fn registration_creates_at_most_one_account_under_any_fault() {
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let shop = Shop::open();
        shop.aws.fail(call, fault);
        let first = shop.register(ADA).await;
        let is_last = first.operations().last() == Some(&"TransactWriteItems");
        let written = shop.aws.items("users").len();
        match first.status() {
            201 => assert_eq!(written, 2, "{fault:?} at {call}"),
            503 => assert_eq!(
                written,
                if is_last && fault == Fault::LoseResponse { 2 } else { 0 },
                "{fault:?} at {call}"
            ),
            other => panic!("{other} after {fault:?} at {call}"),
        }
        shop.aws.heal();
        let again = shop.register(ADA).await;
        assert_eq!(again.status(), if written == 2 { 409 } else { 201 }, "{fault:?} at {call}");
        shop.check_accounts();
        assert_eq!(shop.profiles().len(), 1);
        assert_eq!(shop.login(ADA, PASSWORD).await.status(), 200, "the account is complete");
        first
    })
    .await;
}

#[tokio::test]
async fn registration_with_a_lost_response_succeeds() {
    let shop = Shop::new().retrying();
    // The calls are: the two keys, the network's bucket, and then the account.
    shop.aws.fail(3, Fault::LoseResponse);
    let registered = shop.register(ADA).await;
    assert_eq!(
        (registered.status(), registered.operations_on("users")),
        (201, vec!["TransactWriteItems"; 2])
    );
    assert_eq!(shop.profiles()[0]["user_id"]["S"], registered.json()["id"]);
}

#[tokio::test]
async fn own_registration_is_recognised_and_another_one_is_not() {
    let shop = Shop::open();
    let user = async |number: u64| {
        let (ids, now) = (Ids::seeded(number), shop.clock.now());
        let registration = Registration {
            email: Email::parse(ADA).unwrap(),
            username: Username::parse("ada").unwrap(),
            full_name: FullName::parse("Ada Lovelace").unwrap(),
        };
        let id = ids.create(now);
        let key = shared::seal::SealingKey::new([1; 32]);
        let link = OneTimeToken::create(id, &ids).link(&key, now, VERIFICATION_LIFETIME, &ids);
        User::register(id, registration, link, now, Trace::start(&ids))
    };
    let store = &shop.users.store;
    assert!(store.register(&user(1).await, "hash".to_owned()).await.is_ok());
    let before = shop.aws.items("users");
    assert!(
        store.register(&user(1).await, "hash".to_owned()).await.is_ok(),
        "the answer to the first write was lost"
    );
    assert!(matches!(
        store.register(&user(2).await, "hash".to_owned()).await,
        Err(UsersError::EmailTaken)
    ));
    assert_eq!(shop.aws.items("users"), before);
}

#[tokio::test]
async fn registration_limit_applies_per_network() {
    let shop = Shop::open().with_network_burst(300);
    shop.enrol(ADA).await;
    let bucket = |source: &str| {
        let mut event = registration(ADA);
        event["requestContext"]["identity"]["sourceIp"] = source.into();
        event
    };
    // The network has used up its limit: its bucket is 15 minutes ahead.
    assert_eq!(shop.call("register-user", bucket("203.0.113.7")).await.status(), 409);
    let mut full = shop.aws.items("sessions").remove(0);
    let ahead = shop.clock.now().milliseconds() + 900_000;
    full["tat"] = json!({ "N": ahead.to_string() });
    shop.aws.put("sessions", &full);
    let refused = shop.call("register-user", bucket("203.0.113.7")).await;
    let wait = 900 / 300;
    assert_eq!((refused.status(), code(&refused).as_str()), (429, "too_many_requests"));
    assert_eq!(
        (refused.header("retry-after"), refused.operations_on("users")),
        (Some(wait.to_string()), vec![])
    );
    assert_eq!(shop.call("register-user", bucket("203.0.113.8")).await.status(), 409);
    shop.clock.advance(std::time::Duration::from_secs(wait));
    assert_eq!(shop.call("register-user", bucket("203.0.113.7")).await.status(), 409);
}
