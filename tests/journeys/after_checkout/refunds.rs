//! Refunds of cancelled orders, and of a part of the payment.

use serde_json::json;
use tests::events;

use super::{cancel_order, charges, history, payment_of, refund_payment, ship, statuses};
use crate::{assert_reconciled, assert_settled, pay, placed, shop, stock, subjects, time_passes};

#[tokio::test]
async fn lost_charge_of_a_cancelled_order_is_refunded() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_timeout_after_charge")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    assert_eq!(statuses(&shop.read_order(&order).await), ("pending", "unknown"));
    cancel_order(&shop, &mut harness, &order).await;
    for _ in 0..4 {
        time_passes(&shop, &mut harness, 600).await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("cancelled", "refunded"), vec![(5998, 0)]),
        "{read:#}"
    );
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    assert_settled(&shop).await;
}

#[tokio::test]
async fn cancelled_confirmed_order_is_refunded_and_restocked() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    assert_eq!(stock(&shop, &product).await, (8, 8, 0));
    let read = cancel_order(&shop, &mut harness, &order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("cancelled", "refunded"), vec![(5998, 0)]),
        "{read:#}"
    );
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    let (confirmed, cancelled) =
        ("Your order is confirmed".to_owned(), "Your order is cancelled".to_owned());
    assert!(
        subjects(&shop).starts_with(&[confirmed]) && subjects(&shop).contains(&cancelled),
        "{:?}",
        subjects(&shop)
    );
    let events = history(&read);
    let position = |event: &str| {
        events
            .iter()
            .position(|recorded| *recorded == event)
            .unwrap_or_else(|| panic!("{event} in {events:?}"))
    };
    assert!(
        position("cancel_requested") < position("payment_refunded")
            && position("cancel_requested") < position("stock_released")
    );
    assert_eq!(ship(&shop, &order, "RM1").await.0, 409);
    assert_settled(&shop).await;
}

/// The payout has already left the provider, so the refund fails. The stock is released without it,
/// and the order needs review.
#[tokio::test]
async fn failed_refund_needs_review_and_releases_the_stock() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let mut charge = shop
        .aws
        .items("payment-simulator")
        .into_iter()
        .find(|item| item.get("refundable").is_some())
        .unwrap();
    charge["refundable"]["N"] = "0".into();
    shop.aws.put("payment-simulator", &charge);
    let read = cancel_order(&shop, &mut harness, &order).await;
    assert_eq!(
        (statuses(&read), &read["needs_review"]),
        (("confirmed", "refunding"), &json!("refund_failed")),
        "{read:#}"
    );
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    let flagged = shop
        .call("list-orders", events::get("/orders?needs_review=true").caller(events::ADMIN).event())
        .await;
    assert_eq!(flagged.json()["items"][0]["id"], order.as_str(), "{:?}", flagged.answer);
    // An operator has settled it with the provider: the refund is requested again, and the order
    // completes.
    charge["refundable"]["N"] = "5998".into();
    shop.aws.put("payment-simulator", &charge);
    for _ in 0..4 {
        time_passes(&shop, &mut harness, 3600).await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("cancelled", "refunded"), vec![(5998, 0)]),
        "{read:#}"
    );
    assert!(read["needs_review"].is_null(), "{read:#}");
    assert_settled(&shop).await;
}

#[tokio::test]
async fn partial_refunds_never_exceed_the_payment() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let payment = payment_of(&shop, &order).await;
    // Two equal refunds under different keys count twice, a repeated key counts once.
    for key in ["one", "two", "two"] {
        let (status, refund) = refund_payment(&shop, key, &payment, Some(1000)).await;
        assert_eq!(status, 201, "{refund}");
    }
    harness.drain_queues().await;
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("confirmed", "partially_refunded"), vec![(5998, 3998)]),
        "{read:#}"
    );
    assert_reconciled(&shop).await;
    let (status, refused) = refund_payment(&shop, "three", &payment, Some(3999)).await;
    assert_eq!(
        (status, &refused["code"], &refused["refundable"]["amount"]),
        (422, &json!("exceeds_refundable"), &json!(3998))
    );
    assert_eq!(refund_payment(&shop, "four", &payment, None).await.0, 201);
    harness.drain_queues().await;
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("confirmed", "refunded"), vec![(5998, 0)]),
        "{read:#}"
    );
    assert_eq!(stock(&shop, &product).await, (8, 8, 0), "the stock stays committed");
    assert!(
        subjects(&shop).contains(&"Your refund is on its way".to_owned()),
        "{:?}",
        subjects(&shop)
    );
    let refunds = history(&read).into_iter().filter(|event| *event == "payment_refunded").count();
    assert!((2..=3).contains(&refunds), "{:?}", history(&read));
    assert_settled(&shop).await;
}

/// The cancellation of a partially refunded order refunds the rest, and not more than the capture.
#[tokio::test]
async fn partially_refunded_order_is_refunded_fully_on_cancellation() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    assert_eq!(
        refund_payment(&shop, "one", &payment_of(&shop, &order).await, Some(1000)).await.0,
        201
    );
    // The order has not received the refund event yet.
    let read = cancel_order(&shop, &mut harness, &order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("cancelled", "refunded"), vec![(5998, 0)]),
        "{read:#}"
    );
    assert_eq!(stock(&shop, &product).await, (10, 10, 0));
    assert_settled(&shop).await;
}

/// An order that is captured and fully refunded before its confirmation is cancelled.
#[tokio::test]
async fn order_refunded_in_full_before_confirmation_is_cancelled() {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, None).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let paid = pay(&shop, &order, "tok_ok").await;
    assert_eq!(paid["http"], 201, "{paid}");
    assert_eq!(
        refund_payment(&shop, "all", paid["body"]["id"].as_str().unwrap(), None).await.0,
        201
    );
    harness.publish().await;
    // The refund event overtakes the payment event.
    for message in shop.aws.queues().take("order-events", 10).into_iter().rev() {
        shop.aws.queues().make_visible("order-events", message);
    }
    harness.drain_queues().await;
    let read = shop.read_order(&order).await;
    let (kept, figures) = (charges(&shop), stock(&shop, &product).await);
    assert_eq!(
        (statuses(&read), kept, figures),
        (("cancelled", "refunded"), vec![(5998, 0)], (10, 10, 0)),
        "{read:#}"
    );
    assert_settled(&shop).await;
}
