//! Well-formed requests for resources that do not exist, belong to another user, or are in the
//! wrong state.

use serde_json::{Value, json};
use tests::events;

use crate::fixture::{ApiFixture, Expect, STRANGER, header};

fn payment(order: &str, key: &str, more: &Value) -> events::Http {
    let mut body =
        json!({ "order_id": order, "payment_method": { "type": "card", "token": "tok_ok" } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    events::post("/payments", &body).header("idempotency-key", key)
}

#[tokio::test]
async fn resources_of_other_users_are_404() {
    let mut edge = ApiFixture::new("what is another's").await;
    let (nobody, no_payment) = (
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
            events::get("/users/x")
                .path_parameter("user_id", "usr_0199c2a8-0000-7000-8000-00000000dead"),
        ),
        (
            "list-payments",
            "order_not_found",
            events::get(&format!("/payments?order_id={paid}")),
            events::get(&format!("/payments?order_id={nobody}")),
        ),
        (
            "cancel-order",
            "order_not_found",
            events::post("/orders/x/cancel", &json!({})).path_parameter("order_id", &open),
            events::post("/orders/x/cancel", &json!({})).path_parameter("order_id", nobody),
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
            "create-payment",
            "order_not_found",
            payment(&open, "k", &json!({})),
            payment(nobody, "k", &json!({})),
        ),
        (
            "create-payment",
            "order_not_found",
            payment(&paid, "k", &json!({})),
            payment(nobody, "k", &json!({})),
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
    // Callers read only their own mails, whatever their role.
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
        ("cancel-order", "order_id", nobody, "order_not_found"),
        ("ship-order", "order_id", nobody, "order_not_found"),
        ("get-order-timeline", "order_id", nobody, "order_not_found"),
        ("deliver-order", "order_id", nobody, "order_not_found"),
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

/// Invalid transitions of an order: rejected with the current status and the allowed transitions,
/// and nothing changes.
#[tokio::test]
async fn invalid_transition_is_409_and_lists_allowed_ones() {
    let mut edge = ApiFixture::new("steps out of turn").await;
    let (open, paid, failed, ready, shipped) = (
        edge.open_order.clone(),
        edge.paid_order.clone(),
        edge.failed_order.clone(),
        edge.ready_order.clone(),
        edge.shipped_order.clone(),
    );
    let step = |edge: &ApiFixture, operation: &str, order: &str| {
        let mut event = edge.valid(operation);
        event["pathParameters"]["order_id"] = order.into();
        event
    };
    let (illegal, late) =
        (Expect::Problem(409, "invalid_transition"), Expect::Problem(409, "not_cancellable"));
    let rows: Vec<(&str, &str, Expect, &str, Value)> = vec![
        ("ship-order", &open, illegal, "pending", json!(["cancel"])),
        ("deliver-order", &open, illegal, "pending", json!(["cancel"])),
        ("ship-order", &failed, illegal, "failed", json!([])),
        ("deliver-order", &failed, illegal, "failed", json!([])),
        ("cancel-order", &failed, late, "failed", json!([])),
        ("deliver-order", &ready, illegal, "confirmed", json!(["cancel", "ship"])),
        (
            "ship-order",
            &paid,
            Expect::Problem(409, "no_shipping_address"),
            "confirmed",
            json!(["cancel"]),
        ),
        ("cancel-order", &shipped, late, "shipped", json!(["deliver"])),
        // Already shipped, with another carrier.
        ("ship-order", &shipped, illegal, "shipped", json!(["deliver"])),
    ];
    for (operation, order, expect, current, allowed) in &rows {
        let mut event = step(&edge, operation, order);
        if *order == shipped && *operation == "ship-order" {
            event["body"] =
                json!({ "carrier": "Royal Mail", "tracking": "another" }).to_string().into();
        }
        let document = edge.check(current, operation, event, *expect).await.unwrap_or_default();
        if document["current"] != *current || document["allowed"] != *allowed {
            edge.report(format!("{operation} of an order that is {current}: {document}"));
        }
    }
    // A repeated step gets the same response and has no second effect.
    for operation in ["ship-order", "deliver-order"] {
        let first =
            edge.check("once", operation, step(&edge, operation, &shipped), Expect::Fine).await;
        let again =
            edge.check("again", operation, step(&edge, operation, &shipped), Expect::Fine).await;
        if first != again {
            edge.report(format!("{operation} again: {first:?} {again:?}"));
        }
    }
    let document = edge
        .check("the end", "cancel-order", step(&edge, "cancel-order", &shipped), late)
        .await
        .unwrap_or_default();
    if document["current"] != "delivered" || document["allowed"] != json!([]) {
        edge.report(format!("a delivered order: {document}"));
    }
    // Cancelled: the first reason is kept, and shipping is rejected.
    let unwanted = edge.unwanted_order.clone();
    let first = edge
        .check("once", "cancel-order", edge.valid("cancel-order"), Expect::Fine)
        .await
        .unwrap_or_default();
    let other = edge.with_body("cancel-order", &json!({ "reason": "another" }).to_string());
    let again = edge.check("again", "cancel-order", other, Expect::Fine).await.unwrap_or_default();
    if first["cancellation"] != again["cancellation"] || first["version"] != again["version"] {
        edge.report(format!("given up twice: {first} {again}"));
    }
    for operation in ["ship-order", "deliver-order"] {
        edge.check("given up", operation, step(&edge, operation, &unwanted), illegal).await;
    }
    edge.settle().await;
    let order = edge.shop.read_order(&unwanted).await;
    if order["status"] != "cancelled" || order["payment_status"] != "refunded" {
        edge.report(format!("it is not undone: {order}"));
    }
    edge.done();
}

/// Rejects refunds above the capture, of an unpaid payment, and with a reused key. Of two refunds
/// that exceed the capture together, one succeeds.
#[tokio::test]
async fn refunds_never_exceed_the_capture() {
    let mut edge = ApiFixture::new("refunds").await;
    let refund = |edge: &ApiFixture, key: &str, amount: Value| {
        let mut event = edge
            .with_body("create-refund", &json!({ "amount": amount, "reason": "why" }).to_string());
        header(&mut event, "idempotency-key", &[key]);
        event
    };
    let usd = |amount: i64| json!({ "amount": amount, "currency": "USD" });
    let exceeds = Expect::Problem(422, "exceeds_refundable");
    for amount in [5999, 99_999_999] {
        edge.check("too much", "create-refund", refund(&edge, "much", usd(amount)), exceeds).await;
    }
    let euros = refund(&edge, "euros", json!({ "amount": 1, "currency": "EUR" }));
    edge.check(
        "another currency",
        "create-refund",
        euros,
        Expect::Problem(422, "currency_mismatch"),
    )
    .await;
    let list = events::get(&format!("/payments?order_id={}", edge.failed_order))
        .caller(events::USER)
        .event();
    let none = edge
        .check("payments of a failed order", "list-payments", list, Expect::Fine)
        .await
        .unwrap_or_default();
    assert_eq!(none["items"], json!([]));

    // Two concurrent refunds: each is allowed, both together are not.
    let (shop, first, second) =
        (edge.shop.clone(), refund(&edge, "first", usd(3500)), refund(&edge, "second", usd(3500)));
    let (first, second) =
        tokio::join!(shop.call("create-refund", first), shop.call("create-refund", second));
    let mut statuses = [first.status(), second.status()];
    statuses.sort_unstable();
    if statuses[0] != 201 || !matches!(statuses[1], 409 | 422) {
        edge.report(format!("two at the same time: {statuses:?}"));
    }
    let done = if first.status() == 201 { "first" } else { "second" };
    edge.check("again", "create-refund", refund(&edge, done, usd(3500)), Expect::Fine).await;
    let reused = Expect::Problem(422, "idempotency_key_reused");
    for amount in [usd(1), usd(3501), Value::Null] {
        edge.check("a used key", "create-refund", refund(&edge, done, amount), reused).await;
    }
    let mut elsewhere = refund(&edge, done, usd(3500));
    elsewhere["pathParameters"]["payment_id"] =
        edge.payment.replacen("pay_0", "pay_1", 1).replacen("pay_f", "pay_e", 1).into();
    if elsewhere["pathParameters"]["payment_id"] != edge.payment.as_str() {
        edge.check(
            "a used key, another payment",
            "create-refund",
            elsewhere,
            Expect::Problem(404, "payment_not_found"),
        )
        .await;
    }
    edge.check("more than is left", "create-refund", refund(&edge, "more", usd(2499)), exceeds)
        .await;
    edge.check(
        "all that is left",
        "create-refund",
        refund(&edge, "rest", Value::Null),
        Expect::Fine,
    )
    .await;
    for amount in [usd(1), Value::Null] {
        edge.check(
            "nothing is left",
            "create-refund",
            refund(&edge, "none", amount),
            Expect::Problem(409, "not_refundable"),
        )
        .await;
    }
    let refunded: i64 = shop
        .aws
        .items("payment-simulator")
        .iter()
        .filter(|item| item["pk"]["S"].as_str().is_some_and(|key| key.starts_with("REFUND#")))
        .map(|item| item["amount"]["N"].as_str().unwrap().parse::<i64>().unwrap())
        .sum();
    assert_eq!(refunded, 5998, "what the provider gave back");
    edge.done();
}

/// Concurrent changes of a product, a SKU that is taken, and a product that is archived.
#[tokio::test]
async fn product_change_needs_the_current_version_and_an_active_product() {
    let mut edge = ApiFixture::new("changed products").await;
    edge.shop.product("Kettle", 4999, 5).await;
    edge.settle().await;
    let mut taken = edge.body("update-product").unwrap();
    taken["sku"] = "KETTLE".into();
    let event = edge.with_body("update-product", &taken.to_string());
    edge.check("another's SKU", "update-product", event, Expect::Problem(409, "sku_taken")).await;
    let (stale, gone) =
        (Expect::Problem(412, "precondition_failed"), Expect::Problem(404, "product_not_found"));
    edge.check("changed", "update-product", edge.valid("update-product"), Expect::Fine).await;
    edge.check("changed again", "update-product", edge.valid("update-product"), Expect::Fine).await;
    taken["sku"] = "POT".into();
    edge.check(
        "seen too early",
        "update-product",
        edge.with_body("update-product", &taken.to_string()),
        stale,
    )
    .await;
    edge.check("seen too early", "archive-product", edge.valid("archive-product"), stale).await;
    let mut archive = edge.valid("archive-product");
    header(&mut archive, "if-match", &["\"2\""]);
    edge.check("archived", "archive-product", archive.clone(), Expect::Fine).await;
    edge.check("archived again", "archive-product", archive, Expect::Fine).await;
    for version in ["\"1\"", "\"2\"", "\"3\""] {
        let mut event = edge.valid("update-product");
        header(&mut event, "if-match", &[version]);
        edge.check("an archived product", "update-product", event, gone).await;
    }
    edge.settle().await;
    edge.check(
        "an archived product",
        "create-order",
        edge.valid("create-order"),
        Expect::Problem(422, "unknown_product"),
    )
    .await;
    edge.done();
}

/// Limits of a buyer: unpaid orders, and the quantity of a product.
#[tokio::test]
async fn buyer_limits_are_enforced() {
    let mut edge = ApiFixture::new("limits of a buyer").await;
    let mut limited = edge.body("create-product").unwrap();
    limited["max_per_order"] = 3.into();
    let created = edge
        .check(
            "limited",
            "create-product",
            edge.with_body("create-product", &limited.to_string()),
            Expect::Fine,
        )
        .await;
    edge.settle().await;
    let limited = created.unwrap_or_default()["id"].clone();
    let place = |key: &str, items: Value| {
        events::post("/orders", &json!({ "items": items }))
            .caller(events::USER)
            .header("idempotency-key", key)
            .event()
    };
    let line =
        |product: &Value, quantity: u32| json!({ "product_id": product, "quantity": quantity });
    let too_many = Expect::Problem(422, "too_many_of_product");
    edge.check("too many", "create-order", place("l1", json!([line(&limited, 4)])), too_many).await;
    edge.check(
        "too many in two lines",
        "create-order",
        place("l2", json!([line(&limited, 2), line(&limited, 2)])),
        too_many,
    )
    .await;
    let usual = json!(edge.product);
    edge.check(
        "more than the shop allows of any product",
        "create-order",
        place("l3", json!([line(&usual, 21)])),
        too_many,
    )
    .await;
    // The fixture already has one unpaid order.
    for number in 2..=5 {
        edge.check(
            "open",
            "create-order",
            place(&format!("open-{number}"), json!([line(&limited, 1)])),
            Expect::Fine,
        )
        .await;
    }
    let full = Expect::Problem(409, "too_many_open_orders");
    for key in ["open-6", "open-7"] {
        edge.check("one more", "create-order", place(key, json!([line(&limited, 1)])), full).await;
    }
    edge.check(
        "an earlier one again",
        "create-order",
        place("open-5", json!([line(&limited, 1)])),
        Expect::Fine,
    )
    .await;
    let stranger = events::post("/orders", &json!({ "items": [line(&limited, 1)] }))
        .caller(STRANGER)
        .header("idempotency-key", "open-6");
    edge.check("another buyer", "create-order", stranger.event(), Expect::Fine).await;

    let newcomer = "usr_0199c2a8-0000-7000-8000-0000000000c7";
    for (said, key, expect) in [
        (json!("false"), "first", Expect::Fine),
        (json!("false"), "second", full),
        // Only the exact value of the authorizer verifies an account. A client header cannot.
        (Value::Null, "second", full),
        (json!("yes"), "second", full),
        (json!({}), "second", full),
        (json!("false"), "first", Expect::Fine),
        (json!("true"), "second", Expect::Fine),
    ] {
        let request = events::post("/orders", &json!({ "items": [line(&limited, 1)] }))
            .unverified_caller(newcomer);
        let mut event = request
            .header("idempotency-key", key)
            .header("email_verified", "true")
            .header("x-email-verified", "true")
            .event();
        event["requestContext"]["authorizer"]["email_verified"] = said.clone();
        edge.check(&format!("a newcomer, {said}, {key}"), "create-order", event, expect).await;
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

/// An order that waits for its buyer sends no command again, so payments repeats no decline.
#[tokio::test]
async fn declined_order_asks_nothing_until_its_deadline() {
    let edge = ApiFixture::new("retried orders").await;
    let shop = &edge.shop;
    let (before, mut harness) = (shop.aws.mails().mails().len(), shop.harness());
    let order = shop.order("declined", &edge.product, 1, Some("tok_declined")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    harness.drain_queues().await;
    let mails = |shop: &tests::shop::Shop| shop.aws.mails().mails().len() - before;
    let declines = |order: &Value| {
        order["history"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["event"] == "payment_declined")
            .count()
    };
    assert_eq!((mails(shop), declines(&shop.read_order(&order).await)), (1, 1));
    let delivered = harness.delivered.len();
    for minutes in [1, 2, 4, 8] {
        shop.clock.advance(std::time::Duration::from_secs(60 * minutes + 1));
        assert!(shop.call("resume-orders", json!({})).await.answer.is_ok());
        harness.drain_queues().await;
    }
    assert_eq!((mails(shop), declines(&shop.read_order(&order).await)), (1, 1));
    let of_order = |message: &Value| message["subject"] == order.as_str();
    let later = harness.delivered[delivered..].iter().filter(|(_, message)| of_order(message));
    assert_eq!(later.count(), 0, "messages about the order");
    edge.done();
}

/// Unreadable records of one order must not block the others.
#[tokio::test]
async fn unreadable_orders_do_not_block_the_resumption_of_others() {
    let edge = ApiFixture::new("unreadable orders").await;
    let shop = &edge.shop;
    let items = shop.aws.items("orders");
    let healthy = items
        .iter()
        .find(|item| item["next_check_at"].is_object())
        .expect("the open order is due some time")
        .clone();
    let id = healthy["order_id"]["S"].as_str().unwrap().to_owned();
    for number in 0..110 {
        let other = format!("ord_0199c2a8-0000-7000-8000-{number:012x}");
        let mut broken: Value =
            serde_json::from_str(&healthy.to_string().replace(&id, &other)).unwrap();
        broken["stock"] = json!({ "S": "a_state_of_a_later_release" });
        broken["next_check_at"] = json!({ "S": "2026-11-21T09:00:00.000Z" });
        broken["check_shard"] = json!({ "S": format!("due#{}", number % 8) });
        shop.aws.put("orders", &broken);
    }
    shop.clock.advance(std::time::Duration::from_secs(3600));
    let report = shop.call("resume-orders", json!({})).await;
    assert_eq!(report.ok()["resumed"], 1, "{:?}", report.answer);
}
