//! Whole orders from the buyer's view.

use crate::shop::{ProviderRecords, events_of, shop_with, until};

#[tokio::test]
async fn paid_order_is_confirmed_and_mailed() {
    let shop = shop_with!(Tables, Mails);
    let (buyer, product) = (shop.customer().await, shop.product(2999, 10).await);

    let order = buyer.order(&product, 2, Some("tok_ok")).await;
    let confirmed = buyer.order_with_status(&order, "confirmed").await;
    assert_eq!(confirmed["totals"]["total"]["amount"], 5998);
    assert_eq!(confirmed["payment_status"], "paid");
    assert_eq!(confirmed["buyer"]["email"], buyer.email);
    assert_eq!(events_of(&confirmed)[..2], ["placed", "stock_reserved"]);

    let stock =
        until("the stock is committed", || shop.stock(&product), |stock| stock.2 == 0).await;
    assert_eq!(stock, (8, 8, 0));
    assert_eq!(
        shop.provider_records(&order).await,
        ProviderRecords { charges: 1, charged: 5998, refunded: 0 }
    );
    let mails =
        until("the mail is there", || shop.mails(&buyer.email, &order), |mails| !mails.is_empty())
            .await;
    assert_eq!(mails.len(), 1, "{mails:?}");
    let listed = buyer.get("/notifications").await.expect(200);
    assert_eq!(listed["items"][0]["template"], "order_confirmed");
    assert_eq!(buyer.get("/orders").await.expect(200)["items"][0]["id"], order.as_str());

    let payments = buyer.get(&format!("/payments?order_id={order}")).await.expect(200);
    assert_eq!(payments["items"][0]["status"], "completed");
    let payment = buyer
        .get(&format!("/payments/{}", payments["items"][0]["id"].as_str().unwrap()))
        .await
        .expect(200);
    assert_eq!(payment["amount"]["amount"], 5998);
}

#[tokio::test]
async fn order_can_be_paid_with_another_card_after_a_decline() {
    let shop = shop_with!(Tables, Mails);
    let (buyer, product) = (shop.customer().await, shop.product(1000, 5).await);

    let order = buyer.order(&product, 1, Some("tok_declined")).await;
    // A decline that arrives after a later payment is outdated, and is not mailed: wait for each.
    let declines = |count| {
        move |order: &serde_json::Value| {
            let events = events_of(order);
            order["step"] == "awaiting_payment"
                && events.iter().filter(|event| *event == "payment_declined").count() == count
        }
    };
    until("the decline is recorded", || buyer.read_order(&order), declines(1)).await;
    let declined = buyer.pay(&order, "tok_insufficient_funds").await;
    assert_eq!(declined.problem(402), "payment_declined");
    until("the second decline is recorded", || buyer.read_order(&order), declines(2)).await;
    let paid = until(
        "the order can be paid again",
        || buyer.pay(&order, "tok_ok"),
        |answer| answer.status != 409,
    )
    .await
    .expect(201);
    assert_eq!(paid["status"], "completed");

    buyer.order_with_status(&order, "confirmed").await;
    assert_eq!(shop.provider_records(&order).await.charges, 1);
    let mails =
        until("all mails are there", || shop.mails(&buyer.email, &order), |mails| mails.len() == 3)
            .await;
    assert_eq!(mails.len(), 3, "two declines and a confirmation: {mails:?}");
    assert_eq!(buyer.pay(&order, "tok_ok").await.problem(409), "already_paid");
}

#[tokio::test]
async fn out_of_stock_order_fails_without_a_charge() {
    let shop = shop_with!(Tables, Mails);
    let (buyer, product) = (shop.customer().await, shop.product(1000, 1).await);

    let order = buyer.order(&product, 2, Some("tok_ok")).await;
    let failed = buyer.order_with_status(&order, "failed").await;
    assert_eq!(
        (&failed["reason"], &failed["payment_status"]),
        (&"out_of_stock".into(), &"unpaid".into())
    );
    assert_eq!(shop.stock(&product).await, (1, 1, 0));
    assert_eq!(shop.provider_records(&order).await, ProviderRecords::default());
    let closed = until(
        "payments has a record of the failed order",
        || buyer.pay(&order, "tok_ok"),
        |answer| answer.status != 404,
    )
    .await;
    assert_eq!(closed.problem(409), "order_closed");
    until("the mail is there", || shop.mails(&buyer.email, &order), |mails| mails.len() == 1).await;
}

#[tokio::test]
async fn order_can_be_paid_after_placement() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(1250, 3).await);

    let order = buyer.order(&product, 1, None).await;
    let waiting = buyer.order_at_step(&order, "awaiting_payment").await;
    assert_eq!(waiting["payable"], true);
    let pay = || buyer.pay(&order, "credit_card");
    let paid =
        until("payments knows the order", pay, |answer| answer.status != 404).await.expect(201);
    assert_eq!(paid["amount"]["amount"], 1250);
    buyer.order_with_status(&order, "confirmed").await;
    assert_eq!(shop.provider_records(&order).await.charges, 1);
}

#[tokio::test]
async fn several_products_are_reserved_atomically() {
    let shop = shop_with!(Tables);
    let (buyer, plenty, scarce) =
        (shop.customer().await, shop.product(100, 10).await, shop.product(100, 1).await);
    let items = |n: u32| serde_json::json!({ "items": [{ "product_id": plenty, "quantity": 1 }, { "product_id": scarce, "quantity": n }], "payment_method": crate::shop::card("tok_ok") });

    let order = buyer.post_with_key("/orders", "first", &items(2)).await.expect(201);
    buyer.order_with_status(order["id"].as_str().unwrap(), "failed").await;
    assert_eq!((shop.stock(&plenty).await, shop.stock(&scarce).await), ((10, 10, 0), (1, 1, 0)));

    let order = buyer.post_with_key("/orders", "second", &items(1)).await.expect(201);
    buyer.order_with_status(order["id"].as_str().unwrap(), "confirmed").await;
    until(
        "both are committed",
        || async { (shop.stock(&plenty).await, shop.stock(&scarce).await) },
        |stock| *stock == ((9, 9, 0), (0, 0, 0)),
    )
    .await;
}
