//! The payment provider is unreachable or rejects our key while orders are cancelled or expire:
//! these orders are never charged.

use serde_json::Value;
use tests::{
    harness::Harness,
    provider::Network,
    shop::{PAY_WITHIN, Shop},
};

use super::{
    after_checkout::{cancel_order, statuses},
    assert_settled, pay, placed, shop, stock, time_passes,
};

/// The charges and refunds at the provider.
fn statement(shop: &Shop) -> Vec<Value> {
    let moved = |item: &Value| {
        item["pk"]["S"]
            .as_str()
            .is_some_and(|key| key.starts_with("CHARGE#") || key.starts_with("REFUND#"))
    };
    shop.aws.items("payment-simulator").into_iter().filter(moved).collect()
}

/// Places an order as the buyer, with a card.
async fn ordered(shop: &Shop, product: &str, key: &str, token: Option<&str>) -> String {
    let called = shop.order(key, product, 1, token).await;
    called.json()["id"].as_str().unwrap_or_else(|| panic!("{:?}", called.answer)).to_owned()
}

/// Restores the provider, and leaves time for every pending query.
async fn provider_returns(shop: &Shop, harness: &mut Harness) {
    shop.provider.set_network(Network::Up);
    for _ in 0..4 {
        time_passes(shop, harness, 600).await;
    }
}

async fn nothing_was_charged(shop: &Shop, product: &str, order: &str) {
    let read = shop.read_order(order).await;
    assert_eq!(statuses(&read), ("cancelled", "unpaid"), "{read:#}");
    assert_eq!((statement(shop), shop.provider.unwanted_charges()), (vec![], vec![]));
    assert_eq!(stock(shop, product).await, (10, 10, 0));
    assert_settled(shop).await;
}

#[tokio::test]
async fn order_that_expires_during_a_provider_outage_is_never_charged() {
    for network in [Network::RequestsLost, Network::Unauthorized, Network::Forbidden] {
        let (shop, product) = shop().await;
        shop.provider.set_network(network);
        let order = placed(&shop, &product, 1, Some("tok_ok")).await;
        let mut harness = shop.harness();
        harness.drain_queues().await;
        assert_eq!(shop.provider.lost_charges().len(), 1);
        for _ in 0..4 {
            time_passes(&shop, &mut harness, PAY_WITHIN.as_secs()).await;
        }
        provider_returns(&shop, &mut harness).await;
        nothing_was_charged(&shop, &product, &order).await;
    }
}

#[tokio::test]
async fn order_cancelled_during_a_provider_outage_is_never_charged() {
    for network in [Network::RequestsLost, Network::Unauthorized, Network::Forbidden] {
        let (shop, product) = shop().await;
        shop.provider.set_network(network);
        let order = placed(&shop, &product, 1, Some("tok_ok")).await;
        let mut harness = shop.harness();
        harness.drain_queues().await;
        cancel_order(&shop, &mut harness, &order).await;
        time_passes(&shop, &mut harness, 600).await;
        provider_returns(&shop, &mut harness).await;
        nothing_was_charged(&shop, &product, &order).await;
    }
}

#[tokio::test]
async fn charge_arriving_after_cancellation_is_rejected() {
    let (shop, product) = shop().await;
    shop.provider.set_network(Network::ChargesDelayed);
    let order = placed(&shop, &product, 1, Some("tok_ok")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    cancel_order(&shop, &mut harness, &order).await;
    provider_returns(&shop, &mut harness).await;
    assert_eq!(shop.provider.deliver_late_charges().await, 1);
    nothing_was_charged(&shop, &product, &order).await;
}

/// A charge request that arrives before the charge is voided succeeds, and is refunded.
#[tokio::test]
async fn charge_that_arrives_before_it_is_voided_is_refunded() {
    for network in [Network::ChargesDelayed, Network::ChargesRunning] {
        let (shop, product) = shop().await;
        shop.provider.set_network(network);
        let order = placed(&shop, &product, 1, Some("tok_ok")).await;
        let mut harness = shop.harness();
        harness.drain_queues().await;
        cancel_order(&shop, &mut harness, &order).await;
        assert_eq!(shop.provider.deliver_late_charges().await, 1);
        provider_returns(&shop, &mut harness).await;
        let read = shop.read_order(&order).await;
        assert_eq!(
            (statuses(&read), statement(&shop).len()),
            (("cancelled", "refunded"), 2),
            "{read:#}"
        );
        assert_eq!(
            (shop.provider.unwanted_charges(), stock(&shop, &product).await),
            (vec![], (10, 10, 0))
        );
        assert_settled(&shop).await;
    }
}

/// The key is wrong for 40 minutes, longer than the payment deadline of an order.
#[tokio::test]
async fn cancelled_orders_are_never_charged_after_a_wrong_key() {
    let (shop, product) = shop().await;
    let mut harness = shop.harness();
    shop.provider.set_network(Network::Unauthorized);
    let expired = ordered(&shop, &product, "expired", Some("tok_ok")).await;
    harness.drain_queues().await;
    time_passes(&shop, &mut harness, 20 * 60).await;
    let cancelled = ordered(&shop, &product, "cancelled", Some("tok_ok")).await;
    let wanted = ordered(&shop, &product, "wanted", Some("tok_ok")).await;
    let unpaid = ordered(&shop, &product, "unpaid", None).await;
    harness.drain_queues().await;
    cancel_order(&shop, &mut harness, &cancelled).await;
    for _ in 0..4 {
        time_passes(&shop, &mut harness, 5 * 60).await;
    }
    assert_eq!(
        (statement(&shop), statuses(&shop.read_order(&wanted).await).0),
        (vec![], "pending")
    );

    // The key is corrected. A charge that was rejected with it was not sent, so the buyer pays
    // again.
    shop.provider.set_network(Network::Up);
    for (order, token) in [(&wanted, "credit_card"), (&unpaid, "tok_ok")] {
        let paid = pay(&shop, order, token).await;
        assert_eq!(paid["http"], 201, "{paid}");
    }
    harness.drain_queues().await;
    for _ in 0..4 {
        time_passes(&shop, &mut harness, 600).await;
    }
    for (order, expected) in [
        (&expired, ("cancelled", "unpaid")),
        (&cancelled, ("cancelled", "unpaid")),
        (&wanted, ("confirmed", "paid")),
        (&unpaid, ("confirmed", "paid")),
    ] {
        let read = shop.read_order(order).await;
        assert_eq!(statuses(&read), expected, "{read:#}");
    }
    assert_eq!(
        (statement(&shop).len(), shop.provider.unwanted_charges()),
        (2, vec![]),
        "two charges, no refund"
    );
    assert_eq!(stock(&shop, &product).await, (8, 8, 0));
    assert_settled(&shop).await;
}
