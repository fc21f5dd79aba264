//! The calls of payments, refunds and webhooks.

use serde_json::json;
use tests::events::{self, Http};

use super::{costs, id, payment_of, shop};

#[tokio::test]
async fn payment_costs_at_most_three_calls_of_the_payments_table() {
    let (shop, product) = shop().await;
    let order = id(&shop.order("first", &product, 1, None).await);
    shop.harness().drain_queues().await;
    let paid = shop.call("create-payment", payment(&order, "tok_ok").event()).await;
    assert_eq!(paid.status(), 201, "{:?}", paid.answer);
    assert!(paid.operations_on("payments").len() <= 3, "{:?}", paid.operations_on("payments"));
    let again = shop.call("create-payment", payment(&order, "tok_ok").event()).await;
    assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    assert!(again.operations_on("payments").len() <= 3, "{:?}", again.operations_on("payments"));
    assert!(
        again.operations_on("payment-simulator").is_empty(),
        "a repeated request does not charge"
    );
}

fn payment(order: &str, token: &str) -> Http {
    let body = json!({ "order_id": order, "payment_method": { "type": "card", "token": token } });
    events::post("/payments", &body).caller(events::USER).header("idempotency-key", "pay")
}

/// One read covers the payment, the idempotency record and the state of the provider.
#[tokio::test]
async fn refund_costs_one_read_and_three_writes() {
    let (shop, product) = shop().await;
    let order = id(&shop.order("first", &product, 1, Some("tok_ok")).await);
    shop.harness().drain_queues().await;
    let payment = payment_of(&shop, &order).await;
    let body =
        json!({ "amount": { "amount": 1000, "currency": "USD" }, "reason": "The lid was broken" });
    let refund =
        events::post("/refunds", &body).caller(events::ADMIN).header("idempotency-key", "one");
    let refund = refund.path_parameter("payment_id", &payment).event();
    let refunded = shop.call("create-refund", refund.clone()).await;
    assert_eq!(refunded.status(), 201, "{:?}", refunded.answer);
    // The refund and its reservation, the mark before it is sent, and its outcome.
    let own = ["BatchGetItem", "TransactWriteItems", "UpdateItem", "TransactWriteItems"];
    assert_eq!(refunded.operations_on("payments"), own);
    assert_eq!(refunded.operations_on("payment-simulator").len(), 1);
    costs(&shop.call("create-refund", refund).await, &["BatchGetItem"]);
}

/// The event only identifies the payment, which is read together with the state of the provider.
#[tokio::test]
async fn webhook_costs_two_reads_and_the_changed_writes() {
    let (shop, product) = shop().await;
    let order = id(&shop.order("first", &product, 1, Some("tok_3ds")).await);
    shop.harness().drain_queues().await;
    let webhook = events::webhook(
        shop.aws.secrets_manager(),
        shop.clock.now(),
        "evt_1",
        &payment_of(&shop, &order).await,
    );
    // The webhook secret is cached for a few minutes.
    let first = shop.call("receive-payment-webhook", webhook.clone()).await;
    assert_eq!(first.status(), 200, "{:?}", first.answer);
    assert_eq!(
        first.operations_on("payments"),
        ["GetItem", "BatchGetItem", "TransactWriteItems", "PutItem"]
    );
    let again = shop.call("receive-payment-webhook", webhook).await;
    assert_eq!((again.operations(), again.calls.len()), (vec!["GetItem"], 1));
}
