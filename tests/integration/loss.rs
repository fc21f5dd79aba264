//! Lost messages and changes: the stored records are authoritative, and retries complete every
//! order.

use std::time::{Duration, Instant};

use aws_sdk_lambda::types::EventSourceMappingConfiguration;

use crate::shop::{ProviderRecords, Shop, shop_alone_with, until};

/// Every queue between the services, with a scenario that uses it.
const QUEUES: [(&str, Scenario); 8] = [
    ("reserve-stock", Scenario::Paid),
    ("charge-payment", Scenario::Paid),
    ("commit-stock", Scenario::Paid),
    ("order-events", Scenario::Paid),
    ("open-payment", Scenario::PaidLater),
    ("cancel-payment", Scenario::Expired),
    ("release-stock", Scenario::Expired),
    ("refund-payment", Scenario::ExpiredAfterCapture),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scenario {
    Paid,
    PaidLater,
    Expired,
    ExpiredAfterCapture,
}

async fn mappings(shop: &Shop, operation: &str) -> Vec<EventSourceMappingConfiguration> {
    let call = shop
        .lambda
        .list_event_source_mappings()
        .function_name(format!("{}-{operation}", shop.stack));
    let found = call.send().await.unwrap().event_source_mappings.unwrap_or_default();
    assert!(!found.is_empty(), "nothing feeds {operation}");
    found
}

async fn feed(shop: &Shop, operation: &str, enabled: bool) {
    for mapping in mappings(shop, operation).await {
        shop.lambda
            .update_event_source_mapping()
            .uuid(mapping.uuid.unwrap())
            .enabled(enabled)
            .send()
            .await
            .unwrap();
    }
    let state = if enabled { "Enabled" } else { "Disabled" };
    let read = || async {
        mappings(shop, operation)
            .await
            .iter()
            .all(|mapping| mapping.state.as_deref() == Some(state))
    };
    until(&format!("{operation} is {state}"), read, |done| *done).await;
}

fn consumer(queue: &str) -> &str {
    if queue == "order-events" { "advance-order" } else { queue }
}

/// Removes one message from a queue and returns its type.
async fn lose_one(shop: &Shop, queue: &str, order: &str) -> String {
    let url = shop.queue_url(queue).await;
    let read = || async {
        let received = shop
            .sqs
            .receive_message()
            .queue_url(&url)
            .max_number_of_messages(10)
            .visibility_timeout(1)
            .send()
            .await
            .unwrap();
        let message = received
            .messages
            .unwrap_or_default()
            .into_iter()
            .find(|message| message.body.as_deref().is_some_and(|body| body.contains(order)))?;
        shop.sqs
            .delete_message()
            .queue_url(&url)
            .receipt_handle(message.receipt_handle.unwrap())
            .send()
            .await
            .unwrap();
        let body: serde_json::Value = serde_json::from_str(&message.body.unwrap()).unwrap();
        Some(body["type"].as_str().unwrap().to_owned())
    };
    until(&format!("a message for {order} is in {queue}"), read, Option::is_some).await.unwrap()
}

#[tokio::test]
async fn order_settles_after_the_loss_of_each_kind_of_message() {
    let shop = shop_alone_with!(Tables, Mails);
    let buyer = shop.customer().await;
    for (queue, scenario) in QUEUES {
        let product = shop.product(300, 5).await;
        feed(&shop, consumer(queue), false).await;
        let order = buyer
            .order(
                &product,
                1,
                (scenario == Scenario::Paid || scenario == Scenario::ExpiredAfterCapture)
                    .then_some("tok_ok"),
            )
            .await;
        match scenario {
            Scenario::Paid | Scenario::PaidLater => {}
            Scenario::Expired => {
                buyer.order_at_step(&order, "awaiting_payment").await;
                shop.expire(&order).await;
                shop.sweep().await;
            }
            Scenario::ExpiredAfterCapture => {
                abandon_after_capture(&shop, &buyer, &order).await;
            }
        }
        let lost = lose_one(&shop, queue, &order).await;
        feed(&shop, consumer(queue), true).await;
        let wanted = if matches!(scenario, Scenario::Paid | Scenario::PaidLater) {
            "confirmed"
        } else {
            "cancelled"
        };
        let read = || async {
            shop.sweep().await;
            if scenario == Scenario::PaidLater {
                buyer.pay(&order, "tok_ok").await;
            }
            buyer.read_order(&order).await
        };
        until(&format!("{order} is {wanted} although a {lost} was lost"), read, |order| {
            order["status"] == wanted
        })
        .await;
        let (stock, provider_records) = match wanted {
            "confirmed" => ((4, 4, 0), ProviderRecords { charges: 1, charged: 300, refunded: 0 }),
            _ if scenario == Scenario::Expired => ((5, 5, 0), ProviderRecords::default()),
            _ => ((5, 5, 0), ProviderRecords { charges: 1, charged: 300, refunded: 300 }),
        };
        let read = || async {
            shop.sweep().await;
            (shop.stock(&product).await, shop.provider_records(&order).await)
        };
        until(&format!("stock and charges agree although a {lost} was lost"), read, |seen| {
            *seen == (stock, ProviderRecords { ..provider_records })
        })
        .await;
        // An order that was confirmed before its state was reset sends both mails, and the mail
        // about the refund.
        let mail_count = if scenario == Scenario::ExpiredAfterCapture { 3 } else { 1 };
        until(
            "each mail was sent once",
            || shop.mails(&buyer.email, &order),
            |mails| mails.len() == mail_count,
        )
        .await;
    }
}

/// Lets the charge succeed without its event reaching the order, and the payment deadline pass.
async fn abandon_after_capture(shop: &Shop, buyer: &crate::shop::Person, order: &str) {
    until(
        "the charge is captured",
        || shop.provider_records(order),
        |provider_records| provider_records.charges == 1,
    )
    .await;
    // Waits for the confirmation, then resets the order to the state before the event.
    buyer.order_with_status(order, "confirmed").await;
    use aws_sdk_dynamodb::types::AttributeValue::{N, S};
    let key = format!("ORDER#{order}");
    let item = || shop.item("orders", &key);
    until("the order is settled", item, |item| {
        item.as_ref().is_some_and(|item| !item.contains_key("next_check_at"))
    })
    .await;
    let change = shop
        .dynamodb
        .update_item()
        .table_name(shop.table("orders"))
        .key("pk", S(format!("ORDER#{order}")));
    let change = change.update_expression(
        "SET goal = :cancel, stock = :releasing, payment = :refunding, next_check_at = :now, check_shard = :shard, version = version + :one",
    );
    let change = change
        .expression_attribute_values(":cancel", S("cancel".to_owned()))
        .expression_attribute_values(":releasing", S("releasing".to_owned()));
    let change = change
        .expression_attribute_values(":refunding", S("refunding".to_owned()))
        .expression_attribute_values(":now", S("2020-01-01T00:00:00.000Z".to_owned()));
    let shard = shared::ids::shard_of(order, 8);
    let change = change
        .expression_attribute_values(":shard", S(format!("due#{shard}")))
        .expression_attribute_values(":one", N("1".to_owned()));
    change.send().await.unwrap();
}

#[tokio::test]
async fn stopped_stream_delays_orders_and_loses_none() {
    let shop = shop_alone_with!(Tables, Mails);
    let product = shop.product(300, 200).await;
    // A buyer has at most five unpaid orders, so each of these has a separate buyer.
    let buyers = shop.crowd(50).await;
    let (mut next, mut orders) = (buyers.iter(), Vec::new());
    let begun = Instant::now();
    for publisher in [
        "publish-order-events",
        "publish-stock-events",
        "publish-payment-events",
        "publish-product-events",
    ] {
        feed(&shop, publisher, false).await;
        for buyer in next.by_ref().take(12) {
            orders.push((buyer, buyer.order(&product, 1, Some("tok_ok")).await));
        }
        // The pause is several retry intervals: `make test` sets `RetrySeconds=2`.
        let pause = Instant::now();
        let still = || async {
            shop.sweep().await;
            pause.elapsed()
        };
        until("the pause is over", still, |elapsed| *elapsed > Duration::from_secs(10)).await;
        feed(&shop, publisher, true).await;
    }
    for buyer in next {
        orders.push((buyer, buyer.order(&product, 1, Some("tok_ok")).await));
    }
    for (buyer, order) in &orders {
        let read = || async {
            let seen = buyer.read_order(order).await;
            if seen["status"] == "pending" {
                shop.sweep().await;
            }
            seen
        };
        until(&format!("{order} is confirmed"), read, |order| order["status"] == "confirmed").await;
    }
    let left = 200 - i64::try_from(orders.len()).unwrap();
    let read = || async {
        shop.sweep().await;
        shop.stock(&product).await
    };
    until("all stock is committed", read, |stock| *stock == (left, left, 0)).await;
    for (buyer, order) in &orders {
        assert_eq!(
            shop.provider_records(order).await,
            ProviderRecords { charges: 1, charged: 300, refunded: 0 }
        );
        let mails = until(
            "the mail has arrived",
            || shop.mails(&buyer.email, order),
            |mails| !mails.is_empty(),
        )
        .await;
        assert_eq!(mails.len(), 1);
    }
    eprintln!(
        "{} orders settled through four standing streams in {:?}",
        orders.len(),
        begun.elapsed()
    );
}
