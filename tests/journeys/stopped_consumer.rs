//! A stopped consumer: its orders are listed as stuck within minutes with the awaited answer, and
//! continue once it is back.

use serde_json::Value;
use tests::{events, shop::Shop};

use super::{after_checkout::cancel_order, assert_settled, pay, placed, shop, time_passes};

/// The orders that `list-orders` reports as stuck.
async fn stuck(shop: &Shop) -> Vec<String> {
    let request = events::get("/orders?stuck=true").caller(events::ADMIN);
    let page = shop.call("list-orders", request.event()).await.json();
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The history entries about waits.
fn waits(order: &Value) -> Vec<&Value> {
    order["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["event"] == "waiting")
        .collect()
}

#[tokio::test]
async fn stopped_consumer_makes_an_order_stuck_until_it_resumes() {
    let card = Some("tok_ok");
    for (queue, command, token, is_cancelled) in [
        ("reserve-stock", "reserve_stock", card, false),
        ("open-payment", "open_payment", None, false),
        ("charge-payment", "charge_payment", card, false),
        ("commit-stock", "commit_stock", card, false),
        ("release-stock", "release_stock", None, true),
        ("cancel-payment", "cancel_payment", None, true),
        ("refund-payment", "refund_payment", card, true),
    ] {
        let (shop, product) = shop().await;
        let mut harness = shop.harness();
        let mut stopped = None;
        if !is_cancelled {
            stopped = Some(harness.stop(queue));
        }
        let order = placed(&shop, &product, 2, token).await;
        harness.drain_queues().await;
        if is_cancelled {
            stopped = Some(harness.stop(queue));
            cancel_order(&shop, &mut harness, &order).await;
        }
        for (seconds, expected) in [(61, 0), (121, 1), (241, 1)] {
            time_passes(&shop, &mut harness, seconds).await;
            assert_eq!(stuck(&shop).await.len(), expected, "{queue}: {seconds} seconds later");
        }
        let read = shop.read_order(&order).await;
        assert_eq!(read["waiting_for"]["commands"], serde_json::json!([command]), "{read:#}");
        assert_eq!(
            (waits(&read).len(), &waits(&read)[0]["pending_command"]),
            (1, &command.into()),
            "{read:#}"
        );
        assert_eq!(stuck(&shop).await, std::slice::from_ref(&order));

        harness.start(queue, stopped.unwrap());
        harness.drain_queues().await;
        let read = shop.read_order(&order).await;
        assert!(
            stuck(&shop).await.is_empty() && read.get("waiting_for").is_none(),
            "{queue}: {read:#}"
        );
        assert!(waits(&read)[0]["answered_at"].is_string(), "{queue}: {read:#}");
        if command == "open_payment" {
            assert_eq!(pay(&shop, &order, "tok_ok").await["http"], 201);
            harness.drain_queues().await;
        }
        let end = if is_cancelled { "cancelled" } else { "confirmed" };
        assert_eq!(shop.read_order(&order).await["status"], end, "{queue}");
        assert_settled(&shop).await;
    }
}
