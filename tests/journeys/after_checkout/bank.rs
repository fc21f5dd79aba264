//! Payments that wait for the bank of the buyer.

use serde_json::json;
use tests::shop::PAY_WITHIN;

use super::{charges, deliver_webhook, payment_of, statuses};
use crate::{assert_settled, pay, placed, shop, stock, subjects, time_passes};

#[tokio::test]
async fn payment_awaiting_the_bank_is_completed_by_webhook() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, None).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let waiting = pay(&shop, &order, "tok_3ds").await;
    assert_eq!(
        (waiting["http"].as_u64(), &waiting["body"]["status"]),
        (Some(202), &json!("requires_action")),
        "{waiting}"
    );
    assert!(waiting["body"]["next_action"].is_object(), "{waiting}");
    harness.drain_queues().await;
    assert_eq!(statuses(&shop.read_order(&order).await), ("pending", "processing"));
    let payment = waiting["body"]["id"].as_str().unwrap();
    // Two events, one of them repeated: payments trusts neither and queries the provider for each.
    for event_id in ["evt_1", "evt_1", "evt_2"] {
        deliver_webhook(&shop, event_id, payment).await;
        harness.drain_queues().await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("confirmed", "paid"), vec![(5998, 5998)]),
        "{read:#}"
    );
    assert_eq!(
        (stock(&shop, &product).await, subjects(&shop)),
        ((8, 8, 0), vec!["Your order is confirmed".to_owned()])
    );
    assert_settled(&shop).await;
}

#[tokio::test]
async fn abandoned_3d_secure_cancels_the_order_without_a_charge() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_3ds_abandoned")).await;
    let mut harness = shop.harness();
    for seconds in [0, PAY_WITHIN.as_secs(), 3600, 3600, 3600] {
        time_passes(&shop, &mut harness, seconds).await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!((statuses(&read), charges(&shop)), (("cancelled", "unpaid"), vec![]), "{read:#}");
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    assert_settled(&shop).await;
}

#[tokio::test]
async fn declined_authentication_leaves_time_for_another_card() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_3ds_declined")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    deliver_webhook(&shop, "evt_1", &payment_of(&shop, &order).await).await;
    harness.drain_queues().await;
    assert_eq!(
        (statuses(&shop.read_order(&order).await), subjects(&shop)),
        (("pending", "unpaid"), vec!["Your payment was declined".to_owned()])
    );
    assert_eq!(pay(&shop, &order, "tok_ok").await["http"], 201);
    harness.drain_queues().await;
    assert_eq!(statuses(&shop.read_order(&order).await), ("confirmed", "paid"));
    assert_settled(&shop).await;
}
