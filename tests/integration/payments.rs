//! Charges and refunds when the provider fails, and repeated requests.

use serde_json::json;

use crate::shop::{ProviderRecords, card, shop_alone_with, shop_with, unique, until};

/// Orders with a token whose outcome is unknown at first. A sweep resolves it.
async fn settles_with_one_charge(token: &str) {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(700, 2).await);
    let order = buyer.order(&product, 1, Some(token)).await;
    let read = || async {
        shop.invoke("reconcile-payments", &json!({})).await;
        buyer.read_order(&order).await
    };
    until("the order is confirmed", read, |order| order["status"] == "confirmed").await;
    assert_eq!(
        shop.provider_records(&order).await,
        ProviderRecords { charges: 1, charged: 700, refunded: 0 }
    );
}

#[tokio::test]
async fn charge_with_a_lost_response_is_found_and_not_repeated() {
    settles_with_one_charge("tok_timeout_after_charge").await;
}

#[tokio::test]
async fn charge_that_never_arrived_is_repeated_under_the_same_key() {
    settles_with_one_charge("tok_timeout_before_charge").await;
}

#[tokio::test]
async fn failed_provider_call_is_retried_under_the_same_key() {
    settles_with_one_charge("tok_5xx_then_ok").await;
}

#[tokio::test]
async fn unknown_outcome_is_202_and_the_key_returns_its_result() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(700, 2).await);
    let order = buyer.order(&product, 1, None).await;
    buyer.order_at_step(&order, "awaiting_payment").await;
    let (key, body) = (
        unique("key"),
        json!({ "order_id": order, "payment_method": card("tok_timeout_after_charge") }),
    );
    let pay = || buyer.post_with_key("/payments", &key, &body);
    let first =
        until("payments knows the order", pay, |answer| answer.status != 404).await.expect(202);
    assert_eq!(first["status"], "unknown");
    let read = || async {
        shop.invoke("reconcile-payments", &json!({})).await;
        pay().await
    };
    let settled = until("the outcome is known", read, |answer| answer.status == 201).await;
    assert_eq!(settled.json()["status"], "completed");
    assert_eq!(pay().await.text, settled.text);
    assert_eq!(shop.provider_records(&order).await.charges, 1);
}

#[tokio::test]
async fn concurrent_copies_of_a_payment_charge_once() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(700, 2).await);
    let order = buyer.order(&product, 1, None).await;
    buyer.order_at_step(&order, "awaiting_payment").await;
    let (key, body) =
        (unique("key"), json!({ "order_id": order, "payment_method": card("tok_ok") }));
    let send = |key: String| {
        let (buyer, body) = (buyer.clone(), body.clone());
        tokio::spawn(async move { buyer.post_with_key("/payments", &key, &body).await })
    };
    until(
        "payments knows the order",
        || async {
            shop.scan("payments")
                .await
                .iter()
                .any(|item| item["pk"].as_s().is_ok_and(|pk| pk.contains(&order)))
        },
        |known| *known,
    )
    .await;

    let same: Vec<_> = (0..8).map(|_| send(key.clone())).collect();
    let others: Vec<_> = (0..8).map(|_| send(unique("other"))).collect();
    for answer in same.into_iter().chain(others) {
        let answer = answer.await.unwrap();
        assert!([201, 202, 409].contains(&answer.status), "{answer:?}");
    }
    buyer.order_with_status(&order, "confirmed").await;
    assert_eq!(
        shop.provider_records(&order).await,
        ProviderRecords { charges: 1, charged: 700, refunded: 0 }
    );

    let again = buyer
        .post_with_key(
            "/payments",
            &key,
            &json!({ "order_id": order, "amount": { "amount": 1, "currency": "USD" }, "payment_method": card("tok_ok") }),
        )
        .await;
    assert!([409, 422].contains(&again.status), "another payload under the key: {again:?}");
}

#[tokio::test]
async fn only_the_owner_can_pay_and_only_the_whole_amount() {
    let shop = shop_with!(Tables);
    let (buyer, stranger, product) =
        (shop.customer().await, shop.customer().await, shop.product(700, 2).await);
    let order = buyer.order(&product, 1, None).await;
    buyer.order_at_step(&order, "awaiting_payment").await;
    let unknown = stranger.pay("ord_0199c2a8-0000-7000-8000-00000000dead", "tok_ok").await;
    assert_eq!(unknown.problem(404), "order_not_found");
    let foreign = stranger.pay(&order, "tok_ok").await;
    assert_eq!(foreign.problem(404), "order_not_found");
    let wrong = |amount: i64, currency: &str| json!({ "order_id": order, "amount": { "amount": amount, "currency": currency }, "payment_method": card("tok_ok") });
    let pay = |body| {
        let buyer = buyer.clone();
        async move { buyer.post_with_key("/payments", &unique("key"), &body).await }
    };
    let short =
        until("payments knows the order", || pay(wrong(699, "USD")), |answer| answer.status != 404)
            .await;
    assert_eq!(short.problem(422), "amount_mismatch");
    assert_eq!(pay(wrong(700, "EUR")).await.problem(422), "currency_mismatch");
    assert_eq!(shop.provider_records(&order).await, ProviderRecords::default());
    let body = json!({ "order_id": order, "payment_method": card("4242 4242 4242 4242") });
    assert_eq!(pay(body).await.problem(422), "card_number_rejected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_unanswered_charges_are_made_once_each() {
    let shop = shop_alone_with!(Tables);
    let (product, buyers) = (shop.product(700, 100).await, shop.crowd(100).await);
    let orders = shop.sell_to_all(&buyers, &product, "tok_timeout_after_charge").await;
    let retry = || async {
        shop.ask_provider_again().await;
        shop.sweep().await;
    };
    shop.all_with_status(&orders, &["confirmed"], retry).await;
    assert_eq!(shop.charges(&orders).await, [1; 100]);
    until("all stock is committed", || shop.stock(&product), |stock| *stock == (0, 0, 0)).await;
    shop.ask_provider_again().await;
}
