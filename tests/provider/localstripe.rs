//! Stripe, emulated by localstripe: the real HTTP API with test cards.

use std::sync::Arc;

use provider::{
    ChargeRequest, DisputeState, PaymentId, PaymentProvider, ProviderError, RefundRequest, Stripe,
    StripeSettings,
};
use serde_json::Value;
use shared::{BoxFuture, clock::Clock, config, ids::Ids};
use tests::{aws::Aws, shop::Shop};

use crate::contract::{self, ProviderFixture, Tokens};

pub const KEY: &str = "sk_test_localstripe";
const DECLINED: &str = "4000000000000341";
const ASKS: &str = "4000002500003155";

pub struct LocalStripe {
    base: String,
    pub http: reqwest::Client,
    provider: Stripe,
    tokens: [String; 3],
    is_complete: bool,
}

impl LocalStripe {
    pub async fn at(base: String) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::new();
        let mut tokens = Vec::new();
        for number in ["4242424242424242", DECLINED, ASKS] {
            let card = [
                ("type", "card"),
                ("card[number]", number),
                ("card[exp_month]", "12"),
                ("card[exp_year]", "2030"),
                ("card[cvc]", "123"),
            ];
            let method = http
                .post(format!("{base}/v1/payment_methods"))
                .bearer_auth(KEY)
                .form(&card)
                .send()
                .await
                .unwrap();
            let method: Value = method.error_for_status().unwrap().json().await.unwrap();
            tokens.push(method["id"].as_str().unwrap().to_owned());
        }
        let provider = stripe(&base, KEY);
        Self { base, http, provider, tokens: tokens.try_into().unwrap(), is_complete: false }
    }

    /// Stripe behind the proxy at `base`, which adds the rules that localstripe lacks.
    pub async fn behind(base: String) -> Self {
        Self { is_complete: true, ..Self::at(base).await }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// The refunded amount of a charge.
    pub async fn refunded(&self, order: &ChargeRequest) -> i64 {
        let refunds = self.get("/v1/refunds?limit=1000").await;
        let of_order =
            |refund: &&Value| refund["metadata"]["payment_id"] == *order.payment_id.to_string();
        refunds["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(of_order)
            .map(|refund| refund["amount"].as_i64().unwrap())
            .sum()
    }

    async fn get(&self, path: &str) -> Value {
        self.http
            .get(format!("{}{path}", self.base))
            .bearer_auth(KEY)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }
}

/// A shop whose provider is Stripe at `base`.
pub fn over_stripe(aws: Aws, base: &str, clock: Clock) -> Shop {
    aws.secrets_manager().set("stripe-key", KEY);
    let settings = StripeSettings { base: base.to_owned(), return_url: None, live: false };
    let provider = Stripe::new(settings, aws.secrets_at(clock.clone()));
    Shop::over(aws, clock).with_provider(Arc::new(provider))
}

fn stripe(base: &str, key: &str) -> Stripe {
    let aws = Aws::new();
    aws.secrets_manager().set("stripe-key", key);
    let settings = StripeSettings { base: base.to_owned(), return_url: None, live: false };
    Stripe::new(settings, aws.secrets_at(Clock::System))
}

impl ProviderFixture for LocalStripe {
    fn provider(&self) -> &dyn PaymentProvider {
        &self.provider
    }

    fn tokens(&self) -> Tokens {
        let [good, declined, requires_action] = self.tokens.clone();
        Tokens { good, declined, requires_action }
    }

    fn act<'a>(&'a self, _: &'a ChargeRequest, transaction_id: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let intent = self.get(&format!("/v1/payment_intents/{transaction_id}")).await;
            let form =
                [("client_secret", intent["client_secret"].as_str().unwrap()), ("success", "true")];
            let act = self
                .http
                .post(format!("{}/v1/payment_intents/{transaction_id}/_authenticate", self.base));
            act.bearer_auth(KEY).form(&form).send().await.unwrap().error_for_status().unwrap();
        })
    }

    fn charges<'a>(&'a self, payment: PaymentId) -> BoxFuture<'a, usize> {
        Box::pin(async move {
            let intents = self.get("/v1/payment_intents?limit=1000").await;
            let charged = |intent: &&Value| {
                intent["status"] == "succeeded"
                    && intent["metadata"]["payment_id"] == *payment.to_string()
            };
            intents["data"].as_array().unwrap().iter().filter(charged).count()
        })
    }

    fn with_wrong_key(&self) -> Option<Box<dyn PaymentProvider>> {
        Some(Box::new(stripe(&self.base, "pk_test_not_secret")))
    }

    fn refund_by_hand<'a>(&'a self, transaction_id: &'a str, amount: i64) -> BoxFuture<'a, String> {
        Box::pin(async move {
            let (amount, refunds) = (amount.to_string(), format!("{}/v1/refunds", self.base));
            let form = [("payment_intent", transaction_id), ("amount", &amount)];
            let refund = self
                .http
                .post(refunds)
                .bearer_auth(KEY)
                .form(&form)
                .send()
                .await
                .unwrap()
                .error_for_status()
                .unwrap();
            refund.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
        })
    }

    fn fail_refund<'a>(&'a self, _: &'a RefundRequest, _: &'a str) -> BoxFuture<'a, ()> {
        unreachable!("localstripe has no refunds that fail")
    }

    fn dispute<'a>(&'a self, _: &'a str, _: &'a str, _: DisputeState) -> BoxFuture<'a, ()> {
        unreachable!("localstripe has no disputes")
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn has_banks(&self) -> bool {
        false
    }
}

/// The base URL of the running localstripe.
pub fn running() -> String {
    config::optional("LOCALSTRIPE_URL").expect("localstripe is not running: python3 localstack/localstripe.py cargo test -p tests --test provider")
}

/// A prefix that separates test runs, because localstripe keeps all objects.
pub fn salt() -> String {
    Ids::System.bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn stripe_fulfils_the_contract() {
    contract::holds(&LocalStripe::at(running()).await, &salt()).await;
}

#[tokio::test]
async fn rejected_or_wrong_mode_key_is_a_configuration_error() {
    let order = contract::to_charge("wrong key", "pm_card_visa");
    let refused = |answer| matches!(answer, Err(ProviderError::CredentialsRejected(_)));
    let nowhere = "http://127.0.0.1:9";
    assert!(
        refused(stripe(nowhere, "sk_live_0123456789").charge(&order).await),
        "before anything is sent"
    );
    assert!(refused(stripe(nowhere, "").charge(&order).await));
    assert!(refused(stripe(&running(), "pk_test_not_secret").charge(&order).await));
}

#[tokio::test]
async fn unreachable_or_unreadable_stripe_counts_as_no_answer() {
    let order = contract::to_charge("out of reach", "pm_card_visa");
    let answer = stripe("http://127.0.0.1:9", KEY).charge(&order).await;
    assert!(matches!(answer, Err(ProviderError::Indeterminate(_))), "{answer:?}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 65_536];
            let read = connection.read(&mut request).await.unwrap();
            let text = String::from_utf8_lossy(&request[..read]).to_lowercase();
            assert!(
                text.contains("idempotency-key: pay_")
                    && text.contains("authorization: bearer sk_test_")
            );
            let page =
                "HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<html></html>";
            connection.write_all(page.as_bytes()).await.unwrap();
        }
    });
    let answer = stripe(&base, KEY).charge(&order).await;
    assert!(matches!(answer, Err(ProviderError::Indeterminate(_))), "{answer:?}");
}
