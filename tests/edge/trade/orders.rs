//! Transitions of orders, changes of products, and the limits of a buyer.

use serde_json::{Value, json};
use tests::events;

use crate::fixture::{ApiFixture, Expect, STRANGER, header};

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
        edge.report(format!("cancelled twice: {first} {again}"));
    }
    for operation in ["ship-order", "deliver-order"] {
        edge.check("cancelled", operation, step(&edge, operation, &unwanted), illegal).await;
    }
    edge.settle().await;
    let order = edge.shop.read_order(&unwanted).await;
    if order["status"] != "cancelled" || order["payment_status"] != "refunded" {
        edge.report(format!("it is not undone: {order}"));
    }
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
    let full = Expect::Problem(409, "too_many_unpaid_orders");
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
    let id = healthy["pk"]["S"].as_str().unwrap().trim_start_matches("ORDER#").to_owned();
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
