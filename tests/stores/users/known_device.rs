//! A device that has logged in before has its own limit of failed attempts, also for concurrent
//! ones.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    aws::Fault,
    faults::{InjectedFault, for_each_fault_at_each_call},
    shop::{
        Shop,
        accounts::{ADA, Session, request},
    },
};

const RIGHT: &str = "correct horse";
const WRONG: &str = "wrong horse";
/// A hash of [`RIGHT`] that is cheap to verify.
const HASH: &str = "$argon2id$v=16$m=64,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$mjeOBTstiC9XBIvUIQnlKklNv6HJw2Hs8O7qXdo8fcw";

/// Enrols Ada. Returns the token of a device from which she has logged in.
async fn device(shop: &Shop) -> String {
    shop.enrol_with(ADA, HASH).await;
    let login = shop.login_from("192.0.2.1", None, ADA, RIGHT).await;
    login.header("x-device-token").expect("the first login earns a device token")
}

/// Replaces the hash, which the first login has upgraded.
fn with_cheap_hash(shop: &Shop) {
    for mut item in shop.credentials() {
        item["password_hash"]["S"] = HASH.into();
        shop.aws.put("users", &item);
    }
}

fn session_count(shop: &Shop) -> usize {
    let items = shop.aws.items("sessions").into_iter();
    items.filter(|item| item["pk"]["S"].as_str().unwrap().starts_with("SESSION#")).count()
}

#[tokio::test]
async fn device_is_throttled_after_ten_failures_and_other_devices_are_not() {
    let shop = Shop::open();
    let device = device(&shop).await;
    let login = async |password| shop.login_from("192.0.2.1", Some(&device), ADA, password).await;
    for number in 0..10 {
        assert_eq!(login(WRONG).await.status(), 401, "{number}");
        if number % 4 == 0 {
            assert_eq!(login(RIGHT).await.status(), 200, "a success costs no attempt");
        }
    }
    for password in [WRONG, RIGHT] {
        let throttled = login(password).await;
        assert_eq!(throttled.status(), 429, "{password}");
        assert_eq!(throttled.header("retry-after").as_deref(), Some("90"));
        assert_eq!(throttled.operations(), ["BatchGetItem"], "no password is checked");
    }
    assert_eq!(shop.login_from("192.0.2.2", None, ADA, RIGHT).await.status(), 200);
    shop.clock.advance(Duration::from_secs(90));
    assert_eq!(login(RIGHT).await.status(), 200);
    assert_eq!(login(WRONG).await.status(), 401);
    assert_eq!(login(WRONG).await.status(), 429);
}

#[tokio::test]
async fn concurrent_guesses_get_no_more_answers_than_consecutive_ones() {
    for seed in 0..8 {
        let shop = Shop::crowded(seed);
        let device = device(&shop).await;
        with_cheap_hash(&shop);
        let guess = |password: &str| {
            request("login-user", &json!({ "email": ADA, "password": password }))
                .header("x-device-token", &device)
                .event()
        };
        let mut guesses = vec![guess(WRONG); 30];
        guesses.insert(15, guess(RIGHT));
        let sessions = session_count(&shop);
        let mut answers = shop.call_all("login-user", guesses).await;
        let right = answers.remove(15)["statusCode"].as_u64().unwrap();
        assert!([200, 429].contains(&right), "seed {seed}: {right}");
        assert_eq!(session_count(&shop) - sessions, usize::from(right == 200), "seed {seed}");
        let has = |status: u64| move |answer: &&Value| answer["statusCode"] == status;
        let count = |status| answers.iter().filter(has(status)).count();
        assert_eq!((count(401), count(429)), (10, 20), "seed {seed}");
        assert_eq!(shop.login_from("192.0.2.1", Some(&device), ADA, RIGHT).await.status(), 429);
    }
}

#[tokio::test]
async fn login_from_a_known_device_succeeds_or_can_be_repeated_under_any_fault() {
    let mut failures = 0;
    for_each_fault_at_each_call(async |InjectedFault { call, fault }| {
        let shop = Shop::open();
        let device = device(&shop).await;
        let cold = shop.cold();
        cold.aws.fail(call, fault);
        let first = cold.login_from("192.0.2.1", Some(&device), ADA, RIGHT).await;
        failures += u32::from(first.status() == 503);
        assert!([200, 503].contains(&first.status()), "{fault:?} at {call}: {:?}", first.answer);
        shop.aws.heal();
        let again = cold.login_from("192.0.2.1", Some(&device), ADA, RIGHT).await;
        let session = Session::of(&again).expect("a repeated login succeeds");
        assert_eq!(shop.refresh(&session.refresh_token).await.status(), 200, "{fault:?} at {call}");
        first
    })
    .await;
    assert!(failures > 8, "{failures}: the test is vacuous");
}

#[tokio::test]
async fn failed_attempt_is_answered_only_if_it_is_charged() {
    for fault in [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse] {
        let shop = Shop::open();
        let device = device(&shop).await;
        shop.aws.fail(1, fault);
        let first = shop.login_from("192.0.2.1", Some(&device), ADA, WRONG).await;
        assert_eq!((first.status(), first.calls.len()), (503, 2), "{fault:?}");
    }
}

#[tokio::test]
async fn known_device_with_a_lost_response_starts_one_session() {
    let shop = Shop::open().retrying();
    let device = device(&shop).await;
    let sessions = session_count(&shop);
    // The second call writes the session.
    shop.aws.fail(1, Fault::LoseResponse);
    let login = shop.login_from("192.0.2.1", Some(&device), ADA, RIGHT).await;
    assert_eq!(login.status(), 200);
    assert_eq!(login.operations(), ["BatchGetItem", "TransactWriteItems", "TransactWriteItems"]);
    assert_eq!(session_count(&shop), sessions + 1);
}
