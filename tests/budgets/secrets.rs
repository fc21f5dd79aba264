//! The secrets of a cold start: read once, and at the same time if an operation needs two.

use tests::shop::accounts::{ADA, PASSWORD, request};

use super::*;

/// The services of the calls, in their order.
fn services(called: &Called) -> Vec<&str> {
    called.calls.iter().map(|call| call.service).collect()
}

#[tokio::test(start_paused = true)]
async fn cold_start_reads_each_secret_once_and_two_at_the_same_time() {
    let shop = Shop::open();
    shop.enrol(ADA).await;
    let login = shop.login(ADA, PASSWORD).await;
    let device = login.header("x-device-token").expect("the first login earns a device token");
    // The buckets are full again.
    shop.clock.advance(Duration::from_secs(3600));
    let body = json!({ "email": ADA, "password": PASSWORD });
    let known = request("login-user", &body).header("x-device-token", &device).event();
    let other = json!({ "email": "grace@example.com", "username": "grace", "full_name": "Grace Hopper", "password": PASSWORD });
    let register = request("register-user", &other).event();
    let reset = request("request-password-reset", &json!({ "email": ADA })).event();
    // Each has two secrets in the first round trip; the tables follow.
    for (operation, event, table_calls, expected) in [
        ("login-user", known, 2, 3),
        ("register-user", register, 2, 3),
        ("refresh-token", super::accounts::refresh(&login), 1, 2),
        ("request-password-reset", reset, 5, 6),
    ] {
        let (called, one_after_the_other) = round_trips(&shop.cold(), operation, &event, &[]).await;
        assert!(called.status() < 300, "{operation}: {:?}", called.answer);
        let secrets = services(&called).iter().filter(|name| **name == "secretsmanager").count();
        assert_eq!(
            (secrets, called.calls.len() - secrets, one_after_the_other),
            (2, table_calls, expected),
            "{operation}: {:?}",
            called.calls
        );
    }
}

#[tokio::test(start_paused = true)]
async fn order_of_a_cold_start_reads_one_secret() {
    let (shop, product) = shop().await;
    let body = events::order_request(&product, 1, None);
    let event = events::new_order("first", &body);
    let (called, one_after_the_other) = round_trips(&shop, "create-order", &event, &[]).await;
    costs(&called, &["BatchGetItem", "TransactWriteItems"]);
    assert_eq!(services(&called), ["secretsmanager", "dynamodb", "dynamodb"]);
    assert_eq!(one_after_the_other, 3, "the secret names the network that is read");
}

/// The right password costs a read and a transaction, a wrong one a read and a charge.
#[tokio::test(start_paused = true)]
async fn known_device_costs_two_calls_whatever_the_password() {
    let shop = Shop::open();
    shop.enrol(ADA).await;
    let device = shop
        .login(ADA, PASSWORD)
        .await
        .header("x-device-token")
        .expect("the first login earns a device token");
    for (password, status, second) in [
        (PASSWORD, 200, "TransactWriteItems"),
        ("another password", 401, "UpdateItem"),
        ("one more password", 401, "UpdateItem"),
        (PASSWORD, 200, "TransactWriteItems"),
    ] {
        let body = json!({ "email": ADA, "password": password });
        let event = request("login-user", &body).header("x-device-token", &device).event();
        let (called, one_after_the_other) =
            round_trips(&shop, "login-user", &event, &["BatchGetItem", second]).await;
        assert_eq!(called.status(), status, "{:?}", called.answer);
        assert_eq!(called.operations(), ["BatchGetItem", second]);
        assert_eq!(one_after_the_other, 2);
    }
}
