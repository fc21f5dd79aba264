//! Webhooks of the payment provider: late, repeated, and forged.

use provider::PaymentId;
use ring::hmac;
use serde_json::{Value, json};
use shared::{clock::Clock, ids::PrefixedId};

use crate::shop::{Answer, ProviderRecords, Shop, shop_alone_with, shop_with, unique, until};

impl Shop {
    /// Sends a webhook as the provider, signed with this secret.
    async fn send_webhook(&self, secret: &str, body: &str) -> Answer {
        let now = Clock::System.now().seconds();
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            format!("{now}.{body}").as_bytes(),
        );
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let signature = format!("t={now},v1={hex}");
        let headers = [("stripe-signature", signature.as_str())];
        self.visitor()
            .send(
                reqwest::Method::POST,
                "/webhooks/payments/simulated",
                Some(body.to_owned()),
                &headers,
            )
            .await
    }

    /// The secret that the provider signs with.
    async fn webhook_secret(&self) -> String {
        let secret = self
            .secrets
            .get_secret_value()
            .secret_id(format!("{}/payment-webhook-secrets", self.stack))
            .send()
            .await
            .unwrap();
        let secrets: Value = serde_json::from_str(secret.secret_string().unwrap()).unwrap();
        secrets["current"].as_str().unwrap().to_owned()
    }
}

/// The event for a successful automatic payment of an order.
fn succeeded(event: &str, order: &str) -> String {
    let payment = PaymentId::automatic(shared::ids::OrderId::parse(order).unwrap());
    let transaction = format!("ch_{}", payment.attempt().simple());
    let object = json!({ "object": "payment_intent", "id": transaction, "metadata": { "payment_id": payment } });
    json!({ "id": event, "type": "payment_intent.succeeded", "data": { "object": object } })
        .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_late_and_repeated_events_have_one_effect_each() {
    let shop = shop_alone_with!(Tables);
    let (secret, product) = (shop.webhook_secret().await, shop.product(700, 100).await);
    let (at_once, late) = (shop.crowd(50).await, shop.crowd(50).await);
    let repeated = shop.sell_to_all(&at_once, &product, "tok_duplicate_webhook").await;
    let waiting = shop.sell_to_all(&late, &product, "tok_late_webhook").await;
    shop.all_with_status(&repeated, &["confirmed"], || async {}).await;
    for order in &repeated {
        let body = succeeded(&unique("evt"), order);
        let (first, second) =
            tokio::join!(shop.send_webhook(&secret, &body), shop.send_webhook(&secret, &body));
        assert_eq!((first.status, second.status), (200, 200), "{first:?} {second:?}");
    }
    // Neither the response nor the first query shows that they were charged.
    for (buyer, order) in late.iter().zip(&waiting) {
        let is_out =
            |order: &Value| order["payment_status"] == "unknown" || order["status"] == "confirmed";
        until("the charge is under way", || buyer.read_order(order), is_out).await;
        for _ in 0..2 {
            shop.send_webhook(&secret, &succeeded(&unique("evt"), order)).await.expect(200);
        }
    }
    let orders = [repeated, waiting].concat();
    shop.all_with_status(&orders, &["confirmed"], || async {}).await;
    until("all stock is committed", || shop.stock(&product), |stock| *stock == (0, 0, 0)).await;
    assert_eq!(shop.charges(&orders).await, [1; 100]);

    let buyers = [at_once, late].concat();
    let state = || async {
        let mut seen = Vec::new();
        for (buyer, order) in buyers.iter().zip(&orders) {
            seen.push((
                buyer.read_order(order).await["history"].clone(),
                buyer.get(&format!("/payments?order_id={order}")).await.text,
            ));
        }
        seen
    };
    let before = state().await;
    for order in &orders {
        shop.send_webhook(&secret, &succeeded(&unique("evt"), order)).await.expect(200);
    }
    let flood = succeeded(&unique("evt"), &orders[0]);
    for _ in 0..100 {
        shop.send_webhook(&secret, &flood).await.expect(200);
    }
    assert_eq!(state().await, before);
    assert_eq!(
        (shop.charges(&orders).await, shop.stock(&product).await),
        (vec![1; 100], (0, 0, 0))
    );
    assert_eq!(
        shop.provider_records(&orders[0]).await,
        ProviderRecords { charges: 1, charged: 700, refunded: 0 }
    );
}

#[tokio::test]
async fn event_after_the_challenge_confirms_the_order() {
    let shop = shop_with!(Tables);
    let (buyer, product, secret) =
        (shop.customer().await, shop.product(700, 5).await, shop.webhook_secret().await);
    let order = buyer.order(&product, 1, Some("tok_3ds")).await;
    let send_webhook = || async {
        shop.send_webhook(&secret, &succeeded(&unique("evt"), &order)).await.expect(200);
        buyer.read_order(&order).await
    };
    until("the order is confirmed", send_webhook, |order| order["status"] == "confirmed").await;
    assert_eq!(
        shop.provider_records(&order).await,
        ProviderRecords { charges: 1, charged: 700, refunded: 0 }
    );
}

#[tokio::test]
async fn forged_webhooks_are_rejected() {
    let shop = shop_with!(Tables);
    let (buyer, product, secret) =
        (shop.customer().await, shop.product(700, 5).await, shop.webhook_secret().await);
    let order = buyer.order(&product, 1, Some("tok_3ds_abandoned")).await;
    buyer.order_at_step(&order, "paying").await;
    let body = succeeded("evt_forged", &order);
    assert_eq!(
        shop.send_webhook("not the secret that it is", &body).await.problem(400),
        "bad_signature"
    );
    assert_eq!(
        shop.visitor().post("/webhooks/payments/simulated", &json!({})).await.problem(400),
        "bad_signature"
    );
    assert_eq!(
        shop.visitor().post("/webhooks/payments/stripe", &json!({})).await.problem(404),
        "provider_not_found"
    );
    // Signed events are not trusted either: payments queries the provider, which has no such
    // charge.
    shop.send_webhook(&secret, &body).await.expect(200);
    assert_eq!(buyer.read_order(&order).await["status"], "pending");
    assert_eq!(shop.provider_records(&order).await, ProviderRecords::default());
}
