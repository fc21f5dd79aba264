//! Well-formed requests for resources that do not exist, belong to another user, or are in the
//! wrong state.

mod orders;
mod payments;
mod unshipped;

use serde_json::{Value, json};
use tests::events;

use crate::fixture::{ApiFixture, Expect, STRANGER};

fn payment(order: &str, key: &str, more: &Value) -> events::Http {
    let mut body =
        json!({ "order_id": order, "payment_method": { "type": "card", "token": "tok_ok" } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    events::post("/payments", &body).header("idempotency-key", key)
}

/// A change of the shipping address of an order.
fn new_address(edge: &ApiFixture, order: &str) -> events::Http {
    let body = edge.body("update-order").unwrap();
    events::http("PATCH", "/orders/x")
        .header("content-type", "application/json")
        .header("if-match", edge.etag_of("update-order"))
        .body(&body.to_string())
        .path_parameter("order_id", order)
}

#[tokio::test]
async fn resources_of_other_users_are_404() {
    let mut edge = ApiFixture::new("what is another's").await;
    let (unknown_order, no_payment) = (
        "ord_0199c2a8-0000-7000-8000-00000000dead",
        "pay_0199c2a8-0000-7000-8000-00000000dead_0199c2a8-0000-7000-8000-00000000dead",
    );
    let (paid, open, pay) =
        (edge.paid_order.clone(), edge.open_order.clone(), edge.payment.clone());
    let pairs: Vec<(&str, &str, events::Http, events::Http)> = vec![
        (
            "get-order",
            "order_not_found",
            events::get("/orders/x").path_parameter("order_id", &paid),
            events::get("/orders/x").path_parameter("order_id", unknown_order),
        ),
        (
            "get-payment",
            "payment_not_found",
            events::get("/payments/x").path_parameter("payment_id", &pay),
            events::get("/payments/x").path_parameter("payment_id", no_payment),
        ),
        (
            "get-user",
            "user_not_found",
            events::get("/users/x").path_parameter("user_id", events::USER),
            events::get("/users/x")
                .path_parameter("user_id", "usr_0199c2a8-0000-7000-8000-00000000dead"),
        ),
        (
            "list-payments",
            "order_not_found",
            events::get(&format!("/payments?order_id={paid}")),
            events::get(&format!("/payments?order_id={unknown_order}")),
        ),
        (
            "cancel-order",
            "order_not_found",
            events::post("/orders/x/cancel", &json!({})).path_parameter("order_id", &open),
            events::post("/orders/x/cancel", &json!({})).path_parameter("order_id", unknown_order),
        ),
        (
            "read-notification",
            "notification_not_found",
            events::http("POST", "/notifications/x/read")
                .path_parameter("notification_id", &edge.notification),
            events::http("POST", "/notifications/x/read")
                .path_parameter("notification_id", "ntf_0199c2a8-0000-7000-8000-00000000dead"),
        ),
        (
            "update-order",
            "order_not_found",
            new_address(&edge, &open),
            new_address(&edge, unknown_order),
        ),
        (
            "create-payment",
            "order_not_found",
            payment(&open, "k", &json!({})),
            payment(unknown_order, "k", &json!({})),
        ),
        (
            "create-payment",
            "order_not_found",
            payment(&paid, "k", &json!({})),
            payment(unknown_order, "k", &json!({})),
        ),
    ];
    for (operation, code, theirs, nobodys) in pairs {
        let theirs = edge
            .check(
                "another's",
                operation,
                theirs.caller(STRANGER).event(),
                Expect::Problem(404, code),
            )
            .await;
        let nobodys = edge
            .check(
                "a missing resource",
                operation,
                nobodys.caller(STRANGER).event(),
                Expect::Problem(404, code),
            )
            .await;
        if theirs != nobodys {
            edge.report(format!(
                "{operation}: the responses for a foreign and a missing resource differ: {theirs:?} {nobodys:?}"
            ));
        }
    }
    // The shop can read an order, but cannot pay for its buyer.
    let by_shop = payment(&open, "k", &json!({})).caller(events::ADMIN).event();
    edge.check(
        "paid by the shop",
        "create-payment",
        by_shop,
        Expect::Problem(404, "order_not_found"),
    )
    .await;
    // Callers read only their own mails, regardless of their role.
    let mut by_shop = edge.valid("read-notification");
    by_shop["requestContext"]["authorizer"] =
        events::get("/").caller(events::ADMIN).event()["requestContext"]["authorizer"].clone();
    edge.check(
        "read by the shop",
        "read-notification",
        by_shop,
        Expect::Problem(404, "notification_not_found"),
    )
    .await;
    // Customers cannot perform the shop's operations, even on their own orders.
    for operation in [
        "update-product",
        "archive-product",
        "ship-order",
        "deliver-order",
        "create-refund",
        "get-order-timeline",
    ] {
        let mut event = edge.valid(operation);
        event["requestContext"]["authorizer"] =
            events::get("/").caller(events::USER).event()["requestContext"]["authorizer"].clone();
        edge.check(
            "by the buyer",
            operation,
            event,
            Expect::Problem(403, "insufficient_permissions"),
        )
        .await;
    }
    for (operation, parameter, id, code) in [
        (
            "update-product",
            "product_id",
            "prd_0199c2a8-0000-7000-8000-00000000dead",
            "product_not_found",
        ),
        (
            "archive-product",
            "product_id",
            "prd_0199c2a8-0000-7000-8000-00000000dead",
            "product_not_found",
        ),
        (
            "update-address",
            "address_id",
            "adr_0199c2a8-0000-7000-8000-00000000dead",
            "address_not_found",
        ),
        (
            "delete-address",
            "address_id",
            "adr_0199c2a8-0000-7000-8000-00000000dead",
            "address_not_found",
        ),
        ("cancel-order", "order_id", unknown_order, "order_not_found"),
        ("update-order", "order_id", unknown_order, "order_not_found"),
        ("ship-order", "order_id", unknown_order, "order_not_found"),
        ("get-order-timeline", "order_id", unknown_order, "order_not_found"),
        ("deliver-order", "order_id", unknown_order, "order_not_found"),
        ("create-refund", "payment_id", no_payment, "payment_not_found"),
    ] {
        let mut event = edge.valid(operation);
        event["pathParameters"][parameter] = id.into();
        edge.check("a missing resource", operation, event, Expect::Problem(404, code)).await;
    }
    let lists = edge
        .check(
            "a stranger's orders",
            "list-orders",
            events::get("/orders").caller(STRANGER).event(),
            Expect::Fine,
        )
        .await;
    let mails = edge
        .check(
            "a stranger's mails",
            "list-notifications",
            events::get("/notifications").caller(STRANGER).event(),
            Expect::Fine,
        )
        .await;
    if lists.unwrap()["items"] != json!([]) || mails.unwrap()["items"] != json!([]) {
        edge.report("another user sees a resource".to_owned());
    }
    edge.done();
}

#[tokio::test]
async fn wrong_state_is_409_and_mismatch_is_422() {
    let mut edge = ApiFixture::new("wrong times").await;
    let (paid, open, failed, product) = (
        edge.paid_order.clone(),
        edge.open_order.clone(),
        edge.failed_order.clone(),
        edge.product.clone(),
    );
    let order = |body: Value, key: &str| {
        events::post("/orders", &body).caller(events::USER).header("idempotency-key", key).event()
    };
    let line =
        |product: &str, quantity: u32| json!({ "product_id": product, "quantity": quantity });
    let usd = |amount: i64| json!({ "amount": amount, "currency": "USD" });
    let unknown = "prd_0199c2a8-0000-7000-8000-00000000dead";
    let rows: Vec<(&str, &str, Value, u64, &str)> = vec![
        (
            "create-payment",
            "a paid order",
            payment(&paid, "p1", &json!({})).caller(events::USER).event(),
            409,
            "already_paid",
        ),
        (
            "create-payment",
            "a failed order",
            payment(&failed, "p2", &json!({})).caller(events::USER).event(),
            409,
            "order_closed",
        ),
        (
            "create-payment",
            "another amount",
            payment(&open, "p3", &json!({ "amount": usd(1) })).caller(events::USER).event(),
            422,
            "amount_mismatch",
        ),
        (
            "create-payment",
            "nothing",
            payment(&open, "p4", &json!({ "amount": usd(0) })).caller(events::USER).event(),
            422,
            "amount_mismatch",
        ),
        (
            "create-payment",
            "another currency",
            payment(&open, "p5", &json!({ "amount": { "amount": 2999, "currency": "EUR" } }))
                .caller(events::USER)
                .event(),
            422,
            "currency_mismatch",
        ),
        (
            "create-order",
            "another price",
            order(json!({ "items": [line(&product, 1)], "expected_total": usd(1) }), "o1"),
            409,
            "price_changed",
        ),
        (
            "create-order",
            "another currency",
            order(
                json!({ "items": [line(&product, 1)], "expected_total": { "amount": 2999, "currency": "EUR" } }),
                "o2",
            ),
            409,
            "price_changed",
        ),
        (
            "create-order",
            "an unknown product",
            order(json!({ "items": [line(unknown, 1)] }), "o3"),
            422,
            "unknown_product",
        ),
        (
            "create-order",
            "one unknown product of two",
            order(json!({ "items": [line(&product, 1), line(unknown, 1)] }), "o4"),
            422,
            "unknown_product",
        ),
        (
            "create-order",
            "a used key",
            order(json!({ "items": [line(&product, 3)] }), "paid"),
            422,
            "idempotency_key_reused",
        ),
    ];
    for (operation, what, event, status, code) in rows {
        edge.check(what, operation, event, Expect::Problem(status, code)).await;
    }
    let adjust = |delta: i64, key: &str| {
        let request = events::post("/inventory/x", &json!({ "delta": delta, "reason": "r" }))
            .caller(events::ADMIN);
        request.path_parameter("product_id", &product).header("idempotency-key", key).event()
    };
    edge.check(
        "more than there are",
        "adjust-stock",
        adjust(-51, "a1"),
        Expect::Problem(409, "insufficient_stock"),
    )
    .await;
    edge.check(
        "a used key",
        "adjust-stock",
        adjust(1, "Teapot"),
        Expect::Problem(422, "idempotency_key_reused"),
    )
    .await;
    let mut taken = edge.body("create-product").unwrap();
    taken["sku"] = "TEAPOT".into();
    let event = events::post("/products", &taken)
        .caller(events::ADMIN)
        .header("idempotency-key", "new")
        .event();
    edge.check("a SKU that is taken", "create-product", event, Expect::Problem(409, "sku_taken"))
        .await;
    let event = events::post("/products", &taken)
        .caller(events::ADMIN)
        .header("idempotency-key", "Teapot")
        .event();
    edge.check(
        "a used key",
        "create-product",
        event,
        Expect::Problem(422, "idempotency_key_reused"),
    )
    .await;
    for email in ["ada@example.com", "ADA@Example.COM", "ada@ｅｘample.com"] {
        let mut body = edge.body("register-user").unwrap();
        body["email"] = email.into();
        edge.check(
            email,
            "register-user",
            edge.with_body("register-user", &body.to_string()),
            Expect::Problem(409, "email_taken"),
        )
        .await;
    }
    edge.done();
}

#[tokio::test]
async fn failed_login_does_not_reveal_its_reason() {
    let mut edge = ApiFixture::new("failed logins").await;
    let long = "x".repeat(200_000);
    let mut answers = Vec::new();
    for (email, password) in [
        ("ada@example.com", "wrong password"),
        ("ada@example.com", ""),
        ("ada@example.com", "correct horse battery staple "),
        ("ada@example.com", &long),
        ("ADA@EXAMPLE.COM", "x"),
        ("nobody@example.com", "correct horse battery staple"),
        ("", ""),
        ("no address", "x"),
        ("ada@example.com\0", "x"),
        ("a@b.cd\r\n", "x"),
        (&long, "x"),
        ("' OR 1=1 --", "x"),
        ("EMAIL#x", "x"),
        ("USER#usr_0199c2a8-0000-7000-8000-000000000001", "x"),
        ("\u{ffff}@x.yz", "\u{ffff}"),
    ] {
        let event = edge
            .with_body("login-user", &json!({ "email": email, "password": password }).to_string());
        answers.push(
            edge.check(
                &format!("{email:.40} {password:.40}"),
                "login-user",
                event,
                Expect::Problem(401, "invalid_credentials"),
            )
            .await,
        );
    }
    if answers.iter().any(|answer| *answer != answers[0]) {
        edge.report(format!("the answers differ: {answers:?}"));
    }
    edge.done();
}

/// The same input again: in another spelling, as another user, on another route.
#[tokio::test]
async fn repeated_request_is_replayed_and_keys_are_scoped_to_the_user() {
    let edge = ApiFixture::new("repetitions").await;
    let body = format!(
        "{{ \"items\" : [ {{ \"quantity\":2, \"product_id\" : \"{}\" }} ],\n\"payment_method\": {{\"token\":\"tok_ok\",\"type\":\"card\"}} }}",
        edge.product
    );
    let request = |caller: &str| {
        events::post("/orders", &json!({}))
            .body(&body)
            .caller(caller)
            .header("idempotency-key", "paid")
            .event()
    };
    let again = edge.shop.call("create-order", request(events::USER)).await;
    assert_eq!(
        (again.status(), again.header("idempotent-replayed").as_deref()),
        (201, Some("true")),
        "{:?}",
        again.answer
    );
    assert_eq!(again.json()["id"], edge.paid_order.as_str());
    assert_eq!(again.json()["status"], "pending", "as it was placed");
    let other = edge.shop.call("create-order", request(STRANGER)).await;
    assert_eq!((other.status(), other.header("idempotent-replayed")), (201, None));
    assert_ne!(other.json()["id"], edge.paid_order.as_str());
    edge.done();
}
