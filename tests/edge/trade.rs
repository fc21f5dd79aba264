//! Requests that are well formed, and ask for what is not there, not theirs, or too late.

use serde_json::{Value, json};
use tests::events;

use crate::stage::{Edge, Expect, STRANGER};

fn payment(order: &str, key: &str, more: &Value) -> events::Http {
    let mut body = json!({ "order_id": order, "payment_method": { "type": "card", "token": "tok_ok" } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    events::post("/payments", &body).header("idempotency-key", key)
}

#[tokio::test]
async fn what_is_anothers_is_what_is_not_there() {
    let mut edge = Edge::new("what is another's").await;
    let (nobody, no_payment) =
        ("ord_0199c2a8-0000-7000-8000-00000000dead", "pay_0199c2a8-0000-7000-8000-00000000dead_0199c2a8-0000-7000-8000-00000000dead");
    let (paid, open, pay) = (edge.paid_order.clone(), edge.open_order.clone(), edge.payment.clone());
    let pairs: Vec<(&str, &str, events::Http, events::Http)> = vec![
        (
            "get-order",
            "order_not_found",
            events::get("/orders/x").path_parameter("order_id", &paid),
            events::get("/orders/x").path_parameter("order_id", nobody),
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
            events::get("/users/x").path_parameter("user_id", "usr_0199c2a8-0000-7000-8000-00000000dead"),
        ),
        (
            "list-payments",
            "order_not_found",
            events::get(&format!("/payments?order_id={paid}")),
            events::get(&format!("/payments?order_id={nobody}")),
        ),
        ("create-payment", "order_not_found", payment(&open, "k", &json!({})), payment(nobody, "k", &json!({}))),
        ("create-payment", "order_not_found", payment(&paid, "k", &json!({})), payment(nobody, "k", &json!({}))),
    ];
    for (operation, code, theirs, nobodys) in pairs {
        let theirs = edge.check("another's", operation, theirs.caller(STRANGER).event(), Expect::Problem(404, code)).await;
        let nobodys = edge.check("nobody's", operation, nobodys.caller(STRANGER).event(), Expect::Problem(404, code)).await;
        if theirs != nobodys {
            edge.odd(format!("{operation}: another's and nobody's differ: {theirs:?} {nobodys:?}"));
        }
    }
    // The shop sees an order, and does not pay for its buyer.
    let by_shop = payment(&open, "k", &json!({})).caller(events::ADMIN).event();
    edge.check("paid by the shop", "create-payment", by_shop, Expect::Problem(404, "order_not_found")).await;
    let lists = edge.check("a stranger's orders", "list-orders", events::get("/orders").caller(STRANGER).event(), Expect::Fine).await;
    let mails =
        edge.check("a stranger's mails", "list-notifications", events::get("/notifications").caller(STRANGER).event(), Expect::Fine).await;
    if lists.unwrap()["items"] != json!([]) || mails.unwrap()["items"] != json!([]) {
        edge.odd("a stranger sees something".to_owned());
    }
    edge.done();
}

#[tokio::test]
async fn what_comes_at_the_wrong_time_is_409_and_what_does_not_agree_is_422() {
    let mut edge = Edge::new("wrong times").await;
    let (paid, open, failed, product) = (edge.paid_order.clone(), edge.open_order.clone(), edge.failed_order.clone(), edge.product.clone());
    let order = |body: Value, key: &str| events::post("/orders", &body).caller(events::USER).header("idempotency-key", key).event();
    let line = |product: &str, quantity: u32| json!({ "product_id": product, "quantity": quantity });
    let usd = |amount: i64| json!({ "amount": amount, "currency": "USD" });
    let unknown = "prd_0199c2a8-0000-7000-8000-00000000dead";
    let rows: Vec<(&str, &str, Value, u64, &str)> = vec![
        ("create-payment", "a paid order", payment(&paid, "p1", &json!({})).caller(events::USER).event(), 409, "already_paid"),
        ("create-payment", "a failed order", payment(&failed, "p2", &json!({})).caller(events::USER).event(), 409, "order_closed"),
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
            payment(&open, "p5", &json!({ "amount": { "amount": 2999, "currency": "EUR" } })).caller(events::USER).event(),
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
            order(json!({ "items": [line(&product, 1)], "expected_total": { "amount": 2999, "currency": "EUR" } }), "o2"),
            409,
            "price_changed",
        ),
        ("create-order", "an unknown product", order(json!({ "items": [line(unknown, 1)] }), "o3"), 422, "unknown_product"),
        (
            "create-order",
            "one unknown product of two",
            order(json!({ "items": [line(&product, 1), line(unknown, 1)] }), "o4"),
            422,
            "unknown_product",
        ),
        ("create-order", "a used key", order(json!({ "items": [line(&product, 3)] }), "paid"), 422, "idempotency_key_reused"),
    ];
    for (operation, what, event, status, code) in rows {
        edge.check(what, operation, event, Expect::Problem(status, code)).await;
    }
    let adjust = |delta: i64, key: &str| {
        let request = events::post("/inventory/x", &json!({ "delta": delta, "reason": "r" })).caller(events::ADMIN);
        request.path_parameter("product_id", &product).header("idempotency-key", key).event()
    };
    edge.check("more than there are", "adjust-stock", adjust(-51, "a1"), Expect::Problem(409, "below_reserved")).await;
    edge.check("a used key", "adjust-stock", adjust(1, "Teapot"), Expect::Problem(422, "idempotency_key_reused")).await;
    let mut taken = edge.body("create-product").unwrap();
    taken["sku"] = "TEAPOT".into();
    let event = events::post("/products", &taken).caller(events::ADMIN).header("idempotency-key", "new").event();
    edge.check("a SKU that is taken", "create-product", event, Expect::Problem(409, "sku_taken")).await;
    let event = events::post("/products", &taken).caller(events::ADMIN).header("idempotency-key", "Teapot").event();
    edge.check("a used key", "create-product", event, Expect::Problem(422, "idempotency_key_reused")).await;
    for email in ["ada@example.com", "ADA@Example.COM", "ada@ｅｘample.com"] {
        let mut body = edge.body("register-user").unwrap();
        body["email"] = email.into();
        edge.check(email, "register-user", edge.with_body("register-user", &body.to_string()), Expect::Problem(409, "email_taken")).await;
    }
    edge.done();
}

#[tokio::test]
async fn a_login_that_fails_says_nothing_about_why() {
    let mut edge = Edge::new("failed logins").await;
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
        let event = edge.with_body("login-user", &json!({ "email": email, "password": password }).to_string());
        answers.push(
            edge.check(&format!("{email:.40} {password:.40}"), "login-user", event, Expect::Problem(401, "invalid_credentials")).await,
        );
    }
    if answers.iter().any(|answer| *answer != answers[0]) {
        edge.odd(format!("the answers differ: {answers:?}"));
    }
    edge.done();
}

/// The same input again, in another spelling, as another user, on another route.
#[tokio::test]
async fn a_repeated_request_is_answered_again_and_a_key_is_its_users_own() {
    let edge = Edge::new("repetitions").await;
    let body = format!(
        "{{ \"items\" : [ {{ \"quantity\":2, \"product_id\" : \"{}\" }} ],\n\"payment_method\": {{\"token\":\"tok_ok\",\"type\":\"card\"}} }}",
        edge.product
    );
    let request = |caller: &str| events::post("/orders", &json!({})).body(&body).caller(caller).header("idempotency-key", "paid").event();
    let again = edge.shop.call("create-order", request(events::USER)).await;
    assert_eq!((again.status(), again.header("idempotent-replayed").as_deref()), (201, Some("true")), "{:?}", again.answer);
    assert_eq!(again.json()["id"], edge.paid_order.as_str());
    assert_eq!(again.json()["status"], "pending", "as it was placed");
    let other = edge.shop.call("create-order", request(STRANGER)).await;
    assert_eq!((other.status(), other.header("idempotent-replayed")), (201, None));
    assert_ne!(other.json()["id"], edge.paid_order.as_str());
    edge.done();
}

/// An order that waits is asked about again and again, and payments tells each time how it stands. That is no news.
#[tokio::test]
async fn a_decline_that_is_told_again_is_no_second_decline() {
    let edge = Edge::new("nudged orders").await;
    let shop = &edge.shop;
    let (before, mut pump) = (shop.aws.mails().mails().len(), shop.pump());
    let order = shop.order("declined", &edge.product, 1, Some("tok_declined")).await.json()["id"].as_str().unwrap().to_owned();
    pump.settle().await;
    let mails = |shop: &tests::shop::Shop| shop.aws.mails().mails().len() - before;
    let declines = |order: &Value| order["history"].as_array().unwrap().iter().filter(|entry| entry["event"] == "payment_declined").count();
    assert_eq!((mails(shop), declines(&shop.read_order(&order).await)), (1, 1));
    for minutes in [1, 2, 4, 8] {
        shop.clock.advance(std::time::Duration::from_secs(60 * minutes + 1));
        assert!(shop.call("resume-orders", json!({})).await.answer.is_ok());
        pump.settle().await;
    }
    assert_eq!((mails(shop), declines(&shop.read_order(&order).await)), (1, 1), "mails and declines after four nudges");
    edge.done();
}

/// Somebody else's broken records must not stand in the way of a healthy one.
#[tokio::test]
async fn orders_that_cannot_be_read_do_not_keep_others_from_being_resumed() {
    let edge = Edge::new("unreadable orders").await;
    let shop = &edge.shop;
    let items = shop.aws.items("orders");
    let healthy = items.iter().find(|item| item["check_at"].is_object()).expect("the open order is due some time").clone();
    let id = healthy["order_id"]["S"].as_str().unwrap().to_owned();
    for number in 0..110 {
        let other = format!("ord_0199c2a8-0000-7000-8000-{number:012x}");
        let mut broken: Value = serde_json::from_str(&healthy.to_string().replace(&id, &other)).unwrap();
        broken["stock"] = json!({ "S": "a_state_of_a_later_release" });
        broken["check_at"] = json!({ "S": "2026-11-21T09:00:00.000Z" });
        broken["check_shard"] = json!({ "S": format!("due#{}", number % 8) });
        shop.aws.put("orders", &broken);
    }
    shop.clock.advance(std::time::Duration::from_secs(3600));
    let report = shop.call("resume-orders", json!({})).await;
    assert_eq!(report.ok()["resumed"], 1, "{:?}", report.answer);
}
