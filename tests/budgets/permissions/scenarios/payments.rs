//! Challenges of the bank, disputes and refunds.

use super::of_order;
use crate::permissions::*;

/// The bank requires 3-D Secure. One buyer completes it, another cancels the order meanwhile.
/// Finally the bank disputes the charge. The paid order uses the second half of its network's
/// limit, which is refunded.
pub(super) async fn challenges_and_disputes(seen: &Arc<Mutex<Actions>>) {
    let (watched, product) = Watched::with_teapots(seen).await;
    let watched = watched.with_network_limit(2);
    // In several shards: a cancelled order releases stock in each.
    let divide =
        events::post("/inventory", &json!({ "shard_count": 2, "reason": "It sells fast" }))
            .caller(ADMIN);
    let divide =
        divide.path_parameter("product_id", &product).header("idempotency-key", "divide").event();
    assert_eq!(watched.call("adjust-stock", divide).await.status(), 201);
    let mut harness = watched.harness();
    let abandoned = watched.order("given-up", &product, 7, Some("tok_3ds_abandoned")).await;
    let paid = watched.order("paid", &product, 1, Some("tok_3ds")).await;
    harness.drain_queues().await;
    assert_eq!(watched.step("cancel-order", &abandoned).await, 202);
    harness.drain_queues().await;
    let payment = watched.payment_of(&paid);
    for event_id in ["evt_1", "evt_1", "evt_2"] {
        assert_eq!(watched.deliver_webhook(event_id, &payment).await.status(), 200);
    }
    harness.drain_queues().await;
    assert_eq!(watched.step("cancel-order", &paid).await, 202);
    harness.drain_queues().await;
    for _ in 0..2 {
        watched.sweep(&mut harness, 3600).await;
    }
    for order in [paid, abandoned] {
        let read = watched.call("get-order", of_order(events::get("/orders"), &order)).await;
        assert_eq!(read.json()["status"], "cancelled", "{:?}", read.answer);
    }
}

/// The order is cancelled while its charge is in flight: the capture is refunded, even if responses
/// are lost.
pub(super) async fn refunds(seen: &Arc<Mutex<Actions>>) {
    let refund = |order: &str, attempt: u64| {
        events::message(
            "refund-payment",
            "refund_payment.v1",
            &json!({ "order_id": order, "attempt": attempt }),
        )
    };
    for call in 0..8 {
        for fault in [Fault::LoseRequest, Fault::LoseResponse] {
            let (watched, product) = Watched::with_teapots(seen).await;
            let mut harness = watched.harness();
            let order = watched.order("late", &product, 1, Some("tok_timeout_after_charge")).await;
            harness.drain_queues().await;
            // The payment deadline passes before the provider is queried.
            watched.shop.clock.advance(PAY_WITHIN);
            watched.call("resume-orders", json!({})).await;
            harness.drain_queues().await;
            watched.shop.clock.advance(RETRY);
            watched.call("reconcile-payments", json!({})).await;
            watched.with_fault(call, fault, "refund-payment", refund(&order, 0)).await;
            watched.shop.clock.advance(RETRY * 10);
            watched.with_fault(8 + call, fault, "reconcile-payments", json!({})).await;
            watched.call("refund-payment", refund(&order, 1)).await;
            for _ in 0..3 {
                watched.sweep(&mut harness, 3600).await;
            }
        }
    }
}

pub(super) fn refund(payment: &str, key: &str, cents: Option<i64>) -> Value {
    let mut body = json!({ "reason": "The lid was broken" });
    if let Some(cents) = cents {
        body["amount"] = json!({ "amount": cents, "currency": "USD" });
    }
    let request = events::post("/refunds", &body).caller(ADMIN).header("idempotency-key", key);
    request.path_parameter("payment_id", payment).event()
}
