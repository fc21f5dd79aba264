//! Webhooks in Stripe's format and with its signatures: genuine ones are accepted, and forged, old
//! or altered ones rejected.

use std::time::Duration;

use payments::domain::IntentState;
use ring::hmac;
use serde_json::json;
use shared::clock::{Clock, Timestamp};
use tests::{
    aws::{Aws, Called},
    events::{self, USER},
    shop::Shop,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    contract::{PRICE, ProviderFixture, to_charge, usd},
    localstripe::{KEY, LocalStripe, over_stripe, running, salt},
};

const SECRET: &str = "whsec_of_this_endpoint";

/// A webhook request as received: its signature and body.
#[derive(Clone)]
struct Sent {
    signature: String,
    body: String,
}

impl Sent {
    /// The timestamp in the signature, in seconds.
    fn made_at(&self) -> i64 {
        self.signature
            .strip_prefix("t=")
            .and_then(|rest| rest.split_once(','))
            .unwrap()
            .0
            .parse()
            .unwrap()
    }
}

/// Receives webhooks until one contains the payment id `about`.
async fn receive(listener: TcpListener, about: String) -> Sent {
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let (head, body) = loop {
            assert_ne!(
                connection.read_buf(&mut request).await.unwrap(),
                0,
                "the connection ended in the middle of a request"
            );
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            if body.len() >= header(head, "content-length").parse().unwrap() {
                break (head.to_owned(), body.to_owned());
            }
        };
        connection
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        if body.contains(&about) {
            return Sent { signature: header(&head, "stripe-signature"), body };
        }
    }
}

fn header(head: &str, name: &str) -> String {
    let line = head.lines().find_map(|line| {
        line.split_once(": ").filter(|(header, _)| header.eq_ignore_ascii_case(name))
    });
    line.unwrap_or_else(|| panic!("{name} is missing in {head}")).1.to_owned()
}

async fn post_webhook(shop: &Shop, signature: &str, body: &str) -> Called {
    let request =
        events::http("POST", "/webhooks/payments/stripe").path_parameter("provider", "stripe");
    shop.call(
        "receive-payment-webhook",
        request.header("stripe-signature", signature).body(body).event(),
    )
    .await
}

#[tokio::test]
async fn signed_stripe_webhooks_apply_once_and_others_are_rejected() {
    let stripe = LocalStripe::at(running()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = json!({
        "url": format!("http://{}/webhooks", listener.local_addr().unwrap()),
        "secret": SECRET,
        "events": ["payment_intent.succeeded"],
    });
    let salt = salt();
    let register = stripe
        .http
        .post(format!("{}/_config/webhooks/{salt}", running()))
        .bearer_auth(KEY)
        .json(&endpoint);
    register.send().await.unwrap().error_for_status().unwrap();

    // A payment that requires a customer action.
    let shop = over_stripe(Aws::new(), &running(), Clock::manual(Clock::System.now()));
    shop.aws
        .secrets_manager()
        .set("payment-webhook-secrets", &json!({ "current": SECRET, "previous": "" }).to_string());
    let order = to_charge(&salt, &stripe.tokens().requires_action);
    let data = json!({
        "order_id": order.order_id, "user_id": USER, "amount": usd(PRICE), "tries": 3, "attempt": 0,
        "expires_at": shop.clock.now().plus(Duration::from_secs(1800)),
        "payment_method": { "type": "card", "token": stripe.tokens().requires_action },
    });
    shop.call("charge-payment", events::command("charge-payment", &data)).await;
    let state = async || shop.payments.store().intent(order.order_id).await.unwrap().unwrap().state;
    assert_ne!(state().await, IntentState::Captured);

    // The customer completes 3-D Secure, and Stripe sends a webhook.
    let attempts = shop.aws.items("payments");
    let transaction = attempts
        .iter()
        .find_map(|item| item["transaction_id"]["S"].as_str())
        .expect("the attempt knows its intent");
    stripe.act(&order, transaction).await;
    let sent = receive(listener, order.payment_id.to_string()).await;
    shop.clock.advance(Timestamp::from_milliseconds(sent.made_at() * 1000).since(shop.clock.now()));

    let refused = async |shop: &Shop, signature: &str, body: &str| {
        let called = post_webhook(shop, signature, body).await;
        assert_eq!(
            (called.status(), called.json()["code"].as_str()),
            (400, Some("bad_signature")),
            "{signature}"
        );
        assert_ne!(state().await, IntentState::Captured, "{signature}");
    };
    refused(&shop, &sent.signature, &sent.body.replace(&PRICE.to_string(), "1")).await;
    refused(
        &shop,
        &sent.signature.replacen(&sent.made_at().to_string(), &(sent.made_at() + 1).to_string(), 1),
        &sent.body,
    )
    .await;
    let forged = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, b"whsec_of_somebody_else"),
        format!("{}.{}", sent.made_at(), sent.body).as_bytes(),
    );
    let forged: String = forged.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    refused(&shop, &format!("t={},v1={forged}", sent.made_at()), &sent.body).await;
    let later = Clock::manual(shop.clock.now().plus(Duration::from_secs(301)));
    refused(&over_stripe(shop.aws.clone(), &running(), later), &sent.signature, &sent.body).await;

    for _ in 0..3 {
        let received = post_webhook(&shop, &sent.signature, &sent.body).await;
        assert_eq!(received.status(), 200, "{:?}", received.answer);
        assert_eq!(state().await, IntentState::Captured);
    }
    assert_eq!(stripe.charges(order.payment_id).await, 1);
}
