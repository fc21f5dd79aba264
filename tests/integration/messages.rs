//! Messages that are repeated, late or out of order.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::shop::{ProviderRecords, Shop, events_of, shop_with, unique, until};

fn envelope(kind: &str, data: &Value) -> String {
    let envelope = json!({
        "specversion": "1.0", "id": unique("message"), "source": "/ferrocart/test", "type": kind, "time": "2026-01-01T00:00:00.000Z",
        "subject": data["order_id"], "data": data, "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    });
    envelope.to_string()
}

/// Sends a message to a queue as its publisher does.
async fn send(shop: &Shop, queue: &str, kind: &str, data: Value) {
    shop.sqs
        .send_message()
        .queue_url(shop.queue_url(queue).await)
        .message_body(envelope(kind, &data))
        .send()
        .await
        .unwrap();
}

/// Delivers a message to its consumer directly. Fails if it is retried or rejected.
async fn deliver(shop: &Shop, operation: &str, kind: &str, data: &Value) {
    let queue = if operation == "advance-order" { "order-events" } else { operation };
    let arn = format!("arn:aws:sqs:us-east-1:000000000000:{}-{queue}", shop.stack);
    let body = envelope(kind, data);
    let record = json!({ "messageId": unique("m"), "body": body, "attributes": { "ApproximateReceiveCount": "1" }, "eventSourceARN": arn });
    let answer = shop.invoke(operation, &json!({ "Records": [record] })).await;
    assert_eq!(answer["batchItemFailures"], json!([]), "{operation} {kind}");
    assert!(
        shop.dead_letters(queue).await.iter().all(|(_, letter)| *letter != body),
        "{operation} rejects {kind}"
    );
}

/// The id of an order that was never placed: inventory does not check.
fn new_order() -> String {
    shared::ids::derive::<shared::ids::OrderId>(&[&unique("order")]).to_string()
}

async fn reservation(shop: &Shop, order: &str) -> Option<String> {
    let item = shop.item("stock", &format!("RESERVATION#{order}")).await?;
    item.get("state").and_then(|state| state.as_s().ok()).cloned()
}

#[tokio::test]
async fn repeated_commands_and_events_of_a_finished_order_change_nothing() {
    let shop = shop_with!(Tables, Mails);
    let (buyer, product) = (shop.customer().await, shop.product(500, 5).await);
    let order = buyer.order(&product, 2, Some("tok_ok")).await;
    buyer.order_with_status(&order, "confirmed").await;
    until("the stock is committed", || shop.stock(&product), |stock| *stock == (3, 3, 0)).await;
    until("the mail is there", || shop.mails(&buyer.email, &order), |mails| mails.len() == 1).await;
    let stored = format!("ORDER#{order}");
    let settled = until(
        "the order is settled",
        || shop.item("orders", &stored),
        |item| item.as_ref().is_some_and(|item| !item.contains_key("next_check_at")),
    )
    .await;
    let user = json!(buyer.id);

    let (amount, expires_at) =
        (json!({ "amount": 1000, "currency": "USD" }), "2099-01-01T00:00:00.000Z");
    let charge = json!({ "order_id": order, "user_id": user, "amount": amount, "expires_at": expires_at, "tries": 5, "payment_method": { "type": "card", "token": "tok_ok" }, "attempt": 0 });
    let fact = |captured: i64| json!({ "order_id": order, "version": 1, "captured_total": captured, "refunded_total": 0 });
    let again = [
        (
            "reserve-stock",
            "reserve_stock.v1",
            json!({ "order_id": order, "attempt": 0, "lines": [{ "product_id": product, "quantity": 2 }] }),
        ),
        ("commit-stock", "commit_stock.v1", json!({ "order_id": order, "attempt": 0 })),
        ("charge-payment", "charge_payment.v1", charge.clone()),
        ("open-payment", "open_payment.v1", charge),
        ("advance-order", "stock_reserved.v1", fact(0)),
        ("advance-order", "stock_committed.v1", fact(0)),
        ("advance-order", "stock_rejected.v1", fact(0)),
        ("advance-order", "payment_started.v1", fact(0)),
        ("advance-order", "payment_declined.v1", fact(0)),
        ("advance-order", "payment_unknown.v1", fact(0)),
        ("advance-order", "payment_succeeded.v1", fact(1000)),
    ];
    for (operation, kind, data) in again {
        for _ in 0..2 {
            deliver(&shop, operation, kind, &data).await;
        }
    }
    assert_eq!(shop.stock(&product).await, (3, 3, 0));
    assert_eq!(
        shop.provider_records(&order).await,
        ProviderRecords { charges: 1, charged: 1000, refunded: 0 }
    );
    assert_eq!(shop.mails(&buyer.email, &order).await.len(), 1);
    let after = shop.item("orders", &format!("ORDER#{order}")).await;
    assert_eq!(status(&after), status(&settled));
}

fn status(
    item: &Option<std::collections::HashMap<String, AttributeValue>>,
) -> Option<AttributeValue> {
    item.as_ref().and_then(|item| item.get("status").cloned())
}

/// Number of messages that are waiting or in flight in a queue.
async fn waiting(shop: &Shop, queue: &str) -> i32 {
    use aws_sdk_sqs::types::QueueAttributeName::{
        ApproximateNumberOfMessages as Waiting, ApproximateNumberOfMessagesNotVisible as UnderWay,
    };
    let call = shop
        .sqs
        .get_queue_attributes()
        .queue_url(shop.queue_url(queue).await)
        .attribute_names(Waiting)
        .attribute_names(UnderWay);
    let answer = call.send().await.unwrap();
    answer
        .attributes
        .unwrap_or_default()
        .values()
        .filter_map(|count| count.parse::<i32>().ok())
        .sum()
}

#[tokio::test]
async fn stock_released_before_its_reservation_is_never_reserved() {
    let shop = shop_with!(Tables);
    let product = shop.product(500, 5).await;
    let order = new_order();
    send(&shop, "release-stock", "release_stock.v1", json!({ "order_id": order, "attempt": 0 }))
        .await;
    until(
        "the tombstone remains",
        || reservation(&shop, &order),
        |state| state.as_deref() == Some("released"),
    )
    .await;
    let reserve = json!({ "order_id": order, "attempt": 1, "lines": [{ "product_id": product, "quantity": 2 }] });
    send(&shop, "reserve-stock", "reserve_stock.v1", reserve).await;
    until("the late command was taken", || waiting(&shop, "reserve-stock"), |count| *count == 0)
        .await;
    assert_eq!(reservation(&shop, &order).await.as_deref(), Some("released"));
    assert_eq!(shop.stock(&product).await, (5, 5, 0));
}

#[tokio::test]
async fn releasing_a_rejected_reservation_changes_nothing() {
    let shop = shop_with!(Tables);
    let product = shop.product(500, 1).await;
    let order = new_order();
    let reserve = json!({ "order_id": order, "attempt": 0, "lines": [{ "product_id": product, "quantity": 2 }] });
    send(&shop, "reserve-stock", "reserve_stock.v1", reserve).await;
    until(
        "it is rejected",
        || reservation(&shop, &order),
        |state| state.as_deref() == Some("rejected"),
    )
    .await;
    for _ in 0..2 {
        send(
            &shop,
            "release-stock",
            "release_stock.v1",
            json!({ "order_id": order, "attempt": 0 }),
        )
        .await;
    }
    until(
        "it is released",
        || reservation(&shop, &order),
        |state| state.as_deref() == Some("released"),
    )
    .await;
    assert_eq!(shop.stock(&product).await, (1, 1, 0));
}

#[tokio::test]
async fn stock_adds_up_for_every_pair_of_repeated_commands() {
    let shop = shop_with!(Tables);
    let product = shop.product(500, 100).await;
    let command = |order: &str, name: &str| {
        let queue = format!("{name}-stock");
        let kind = format!("{name}_stock.v1");
        let mut data = json!({ "order_id": order, "attempt": 0 });
        if name == "reserve" {
            data["lines"] = json!([{ "product_id": product, "quantity": 1 }]);
        }
        (queue, kind, data)
    };
    let names = ["reserve", "release", "commit"];
    let (mut held, mut orders) = (0, Vec::new());
    for (first, second) in names.iter().flat_map(|a| names.iter().map(move |b| (a, b))) {
        let order = new_order();
        for name in [first, first, second, second] {
            let (queue, kind, data) = command(&order, name);
            send(&shop, &queue, &kind, data).await;
            // A commit before its reservation is retried repeatedly, so the test does not wait for
            // it.
            if *name != "commit" || *first == "reserve" {
                until("it was taken", || waiting(&shop, &queue), |count| *count == 0).await;
            }
        }
        let expected = match (*first, *second) {
            ("reserve", "reserve") => Some("held"),
            ("reserve", "commit") | ("commit", "reserve") => Some("committed"),
            ("commit", "commit") => None,
            _ => Some("released"),
        };
        until(
            &format!("{first}, {second}"),
            || reservation(&shop, &order),
            |state| state.as_deref() == expected,
        )
        .await;
        held += i64::from(expected == Some("held"));
        orders.push(order);
    }
    let (on_hand, available, in_between) = shop.stock(&product).await;
    assert_eq!((on_hand, available, in_between), (98, 97, held), "two committed, one held");
    // These orders were never placed, so no saga releases their reservations.
    for order in &orders {
        send(
            &shop,
            "release-stock",
            "release_stock.v1",
            json!({ "order_id": order, "attempt": 0 }),
        )
        .await;
    }
    until("all is back", || shop.stock(&product), |stock| *stock == (100, 100, 0)).await;
    until(
        "the ledger has all movements",
        || on_hand_in_ledger(&shop, &product),
        |on_hand| *on_hand == 100,
    )
    .await;
    forget(&shop, &orders).await;
}

/// The quantity of a product in stock according to its ledger entries.
async fn on_hand_in_ledger(shop: &Shop, product: &str) -> i64 {
    let entries = shop.scan("ledger").await;
    let amount = |entry: &std::collections::HashMap<String, AttributeValue>| {
        let lines = entry.get("lines")?.as_m().ok()?.get(product)?.as_m().ok()?;
        lines.get("on_hand")?.as_n().ok()?.parse::<i64>().ok()
    };
    entries.iter().filter_map(amount).sum()
}

/// Deletes the entries of orders that were never placed, which the reconciliation would report.
async fn forget(shop: &Shop, orders: &[String]) {
    let keys: Vec<String> = orders.iter().map(|order| format!("ORDER#{order}")).collect();
    for item in shop.scan("ledger").await {
        if item["pk"].as_s().is_ok_and(|pk| keys.contains(pk)) {
            let delete = shop.dynamodb.delete_item().table_name(shop.table("ledger"));
            delete
                .key("pk", item["pk"].clone())
                .key("sk", item["sk"].clone())
                .send()
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn repeated_stream_batch_has_no_second_effect() {
    let shop = shop_with!(Tables, Mails);
    let (buyer, product) = (shop.customer().await, shop.product(500, 5).await);
    let order = buyer.order(&product, 1, Some("tok_ok")).await;
    buyer.order_with_status(&order, "confirmed").await;
    until("the stock is committed", || shop.stock(&product), |stock| *stock == (4, 4, 0)).await;
    until("the mail is there", || shop.mails(&buyer.email, &order), |mails| mails.len() == 1).await;
    let history = || async { events_of(&buyer.read_order(&order).await) };
    let before = until("the order has recorded it", history, |events| {
        events.last().is_some_and(|last| last == "stock_committed")
    })
    .await;

    // The whole order as one insert, and as one change to its current state: each twice.
    let image = shop.item("orders", &format!("ORDER#{order}")).await.unwrap();
    let image: Value = serde_json::to_value(serde_dynamo::Item::from(image)).unwrap();
    let mut old = image.clone();
    old["status"] = json!({ "S": "pending" });
    let record = |old: Option<&Value>| json!({ "eventName": if old.is_some() { "MODIFY" } else { "INSERT" }, "dynamodb": { "Keys": { "pk": image["pk"] }, "OldImage": old, "NewImage": image } });
    for _ in 0..2 {
        shop.invoke(
            "publish-order-events",
            &json!({ "Records": [record(None), record(Some(&old))] }),
        )
        .await;
    }
    until(
        "the mail command was taken",
        || waiting(&shop, "send-notification"),
        |count| *count == 0,
    )
    .await;
    assert_eq!(shop.mails(&buyer.email, &order).await.len(), 1);
    assert_eq!(events_of(&buyer.read_order(&order).await), before);
    assert_eq!(shop.provider_records(&order).await.charges, 1);
    assert_eq!(shop.stock(&product).await, (4, 4, 0));
}
