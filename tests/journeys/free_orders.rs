//! Orders of total 0, which have no payment.

use serde_json::json;
use tests::{events, harness::Harness, shop::Shop};

use super::{assert_settled, pay, placed, shop, stock, subjects, time_passes};

/// A shop with 10 teapots that cost nothing.
async fn free_shop() -> (Shop, String) {
    let (shop, product) = shop().await;
    assert!(shop.reprice_copy(&product, 1000, 0).await);
    (shop, product)
}

/// Asserts that no service has recorded a movement of money, a payment attempt or an open intent.
fn assert_no_payment(shop: &Shop) {
    assert!(shop.aws.items("payment-simulator").is_empty());
    for item in shop.aws.items("payments") {
        let sort_key = item["sk"]["S"].as_str().unwrap_or_default();
        assert!(!sort_key.starts_with("ATTEMPT#"), "{item}");
        assert!(item["amount"]["N"].is_null() || item["state"]["S"] == "closed", "{item}");
    }
    for entry in shop.aws.items("ledger") {
        assert!(!entry.to_string().contains("provider_clearing"), "{entry}");
    }
}

async fn cancel(shop: &Shop, order: &str) {
    let request = events::post("/orders", &json!({})).body("").caller(events::USER);
    let request = request.path_parameter("order_id", order);
    assert_eq!(shop.call("cancel-order", request.event()).await.status(), 202);
}

async fn drain(shop: &Shop) -> Harness {
    let mut harness = shop.harness();
    harness.drain_queues().await;
    harness
}

#[tokio::test]
async fn free_order_is_confirmed_and_mailed_without_a_payment() {
    let (shop, product) = free_shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    drain(&shop).await;
    let read = shop.read_order(&order).await;
    assert_eq!((&read["status"], &read["payable"]), (&json!("confirmed"), &json!(false)), "{read}");
    assert_eq!(stock(&shop, &product).await, (8, 8, 0));
    assert_eq!(subjects(&shop), ["Your order is confirmed"]);
    let refused = pay(&shop, &order, "tok_ok").await;
    assert_eq!(
        (refused["http"].as_u64(), refused["body"]["code"].as_str()),
        (Some(404), Some("order_not_found"))
    );
    assert_no_payment(&shop);
    assert_settled(&shop).await;
}

#[tokio::test]
async fn free_order_is_cancelled_before_and_after_its_reservation() {
    for is_reserved in [false, true] {
        let (shop, product) = free_shop().await;
        let order = placed(&shop, &product, 2, None).await;
        if is_reserved {
            drain(&shop).await;
        }
        cancel(&shop, &order).await;
        drain(&shop).await;
        let read = shop.read_order(&order).await;
        assert_eq!(read["status"], "cancelled", "{is_reserved}: {read}");
        assert_eq!(stock(&shop, &product).await, (10, 10, 0), "{is_reserved}");
        assert_eq!(pay(&shop, &order, "tok_ok").await["http"], 404, "{is_reserved}");
        assert_no_payment(&shop);
        assert_settled(&shop).await;
    }
}

#[tokio::test]
async fn free_order_above_stock_fails_without_a_payment() {
    let (shop, product) = free_shop().await;
    let order = placed(&shop, &product, 11, None).await;
    drain(&shop).await;
    assert_eq!(shop.read_order(&order).await["status"], "failed");
    assert_no_payment(&shop);
    assert_settled(&shop).await;
}

#[tokio::test]
async fn confirmed_free_order_does_not_expire() {
    let (shop, product) = free_shop().await;
    let order = placed(&shop, &product, 1, None).await;
    let mut harness = drain(&shop).await;
    time_passes(&shop, &mut harness, tests::shop::PAY_WITHIN.as_secs() + 60).await;
    assert_eq!(shop.read_order(&order).await["status"], "confirmed");
    assert_settled(&shop).await;
}
