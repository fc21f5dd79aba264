//! Stripe with idempotency keys: localstripe behind the proxy that adds them. Real Stripe was not
//! called.

use std::{ops::Deref, time::Duration};

use payments::domain::{AttemptState, IntentState};
use provider::{ChargeRequest, KeyState, PaymentId, ProviderError, ProviderResult};
use serde_json::{Value, json};
use shared::{clock::Clock, ids::OrderId};
use tests::{
    aws::Aws,
    events::{self, USER},
    shop::{self, Shop},
};

use crate::{
    contract::{self, PRICE, ProviderFixture, to_charge, usd},
    key_proxy::{Fault, KeyProxy},
    localstripe::{LocalStripe, over_stripe, running, salt},
};

/// Stripe behind the proxy, and the clock that expires keys.
async fn stripe() -> (LocalStripe, KeyProxy, Clock) {
    let clock = Clock::manual(Clock::System.now());
    let proxy = KeyProxy::before(running(), clock.clone());
    let stripe = LocalStripe::behind(proxy.listen().await).await;
    (stripe, proxy, clock)
}

fn transaction(fact: Result<ProviderResult, ProviderError>) -> String {
    match fact {
        Ok(ProviderResult::Succeeded { transaction_id, .. }) => transaction_id,
        other => panic!("a good card is charged: {other:?}"),
    }
}

#[tokio::test]
async fn stripe_with_keys_fulfils_the_whole_contract() {
    let (stripe, proxy, _) = stripe().await;
    assert!(stripe.is_complete());
    contract::holds(&stripe, &salt()).await;
    assert!(proxy.replayed() > 0);
}

#[tokio::test]
async fn key_of_a_running_charge_is_in_use_until_it_ends() {
    let (stripe, proxy, _) = stripe().await;
    let order = to_charge(&salt(), &stripe.tokens().good);
    proxy.fail_next(&[Fault::Held]);
    let meanwhile = async {
        while !proxy.is_running() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(stripe.provider().void_unsent(&order).await, Ok(KeyState::Running));
        assert!(matches!(stripe.provider().charge(&order).await, Err(ProviderError::Busy(_))));
        proxy.release();
    };
    let (first, ()) = tokio::join!(stripe.provider().charge(&order), meanwhile);
    assert_eq!(
        transaction(stripe.provider().charge(&order).await),
        transaction(first),
        "the stored answer"
    );
    assert_eq!(stripe.provider().void_unsent(&order).await, Ok(KeyState::Used));
    assert_eq!(stripe.charges(order.payment_id).await, 1);
}

#[tokio::test]
async fn server_error_is_stored_under_its_key_and_a_rate_limit_is_not() {
    let (stripe, proxy, _) = stripe().await;
    let order = to_charge(&salt(), &stripe.tokens().good);
    proxy.fail_next(&[Fault::RateLimited, Fault::ServerError]);
    assert!(matches!(stripe.provider().charge(&order).await, Err(ProviderError::Busy(_))));
    assert!(matches!(stripe.provider().charge(&order).await, Err(ProviderError::Indeterminate(_))));
    for _ in 0..2 {
        assert!(matches!(
            stripe.provider().charge(&order).await,
            Err(ProviderError::StoredFailure(_))
        ));
    }
    assert_eq!(stripe.charges(order.payment_id).await, 0);
}

#[tokio::test]
async fn key_is_forgotten_after_a_day_and_charges_again() {
    let (stripe, _, clock) = stripe().await;
    let order = to_charge(&salt(), &stripe.tokens().good);
    let first = transaction(stripe.provider().charge(&order).await);
    clock.advance(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(transaction(stripe.provider().charge(&order).await), first);
    clock.advance(Duration::from_secs(1));
    assert_ne!(
        transaction(stripe.provider().charge(&order).await),
        first,
        "charges are never repeated after 23 hours"
    );
    assert_eq!(stripe.charges(order.payment_id).await, 2);
}

/// A shop whose provider is Stripe, and one order.
struct PaymentsFixture {
    shop: Shop,
    stripe: LocalStripe,
    proxy: KeyProxy,
    charge: ChargeRequest,
}

impl Deref for PaymentsFixture {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

impl PaymentsFixture {
    async fn new() -> Self {
        let (stripe, proxy, clock) = stripe().await;
        let shop = over_stripe(Aws::new(), stripe.base(), clock);
        let charge = to_charge(&salt(), &stripe.tokens().good);
        Self { shop, stripe, proxy, charge }
    }

    async fn command(&self, queue: &str, more: Value) {
        let mut data = json!({ "order_id": self.charge.order_id, "attempt": 0 });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.call(queue, events::command(queue, &data)).await;
    }

    async fn charge(&self) {
        let more = json!({
            "user_id": USER, "amount": usd(PRICE), "tries": 3, "expires_at": self.clock.now().plus(shop::PAY_WITHIN),
            "payment_method": { "type": "card", "token": self.charge.token.as_str() },
        });
        self.command("charge-payment", more).await;
    }

    async fn cancel(&self) {
        let more = json!({ "user_id": USER, "amount": usd(PRICE), "attempt": 1 });
        self.command("cancel-payment", more).await;
    }

    async fn refund(&self) {
        self.command("refund-payment", json!({ "attempt": 2 })).await;
    }

    async fn reconcile_after(&self, minutes: u64) {
        self.clock.advance(Duration::from_secs(minutes * 60));
        assert_eq!(self.call("reconcile-payments", json!({})).await.ok()["failed"], 0);
    }

    async fn states(&self) -> (IntentState, AttemptState) {
        let order: OrderId = self.charge.order_id;
        let attempt =
            self.payments.store().attempt(PaymentId::automatic(order)).await.unwrap().unwrap();
        (self.payments.store().intent(order).await.unwrap().unwrap().state, attempt.state)
    }

    async fn charges(&self) -> usize {
        self.stripe.charges(self.charge.payment_id).await
    }

    fn unsettled(&self) -> usize {
        self.aws.items("payments").iter().filter(|item| item.get("next_check_at").is_some()).count()
    }
}

#[tokio::test]
async fn lost_charge_of_a_cancelled_order_is_voided_and_rejected_when_it_arrives() {
    let fixture = PaymentsFixture::new().await;
    fixture.proxy.fail_next(&[Fault::RequestLost]);
    fixture.charge().await;
    fixture.cancel().await;
    assert_eq!(fixture.states().await.0, IntentState::Closing);
    fixture.reconcile_after(2).await;
    assert_eq!(
        (fixture.states().await, fixture.unsettled()),
        ((IntentState::Closed, AttemptState::Abandoned), 0)
    );
    let late = fixture.proxy.deliver_late().await;
    assert_eq!(
        late.iter()
            .map(|answer| (answer.status, &answer.body["error"]["type"]))
            .collect::<Vec<_>>(),
        [(400, &json!("idempotency_error"))]
    );
    assert_eq!(fixture.charges().await, 0, "it is never charged");
}

#[tokio::test]
async fn charge_whose_answer_was_lost_is_read_from_its_key_and_refunded() {
    let fixture = PaymentsFixture::new().await;
    // Stripe's search finds a charge only after about a minute. The key finds it at once.
    fixture.proxy.lag_search(true);
    fixture.proxy.fail_next(&[Fault::AnswerLost]);
    fixture.charge().await;
    fixture.cancel().await;
    assert_eq!((fixture.states().await.0, fixture.charges().await), (IntentState::Closing, 1));
    for _ in 0..3 {
        fixture.reconcile_after(2).await;
    }
    assert_eq!(
        (fixture.states().await, fixture.proxy.replayed()),
        ((IntentState::Captured, AttemptState::Succeeded), 1),
        "the stored answer"
    );
    fixture.refund().await;
    assert_eq!(
        (
            fixture.charges().await,
            fixture.stripe.refunded(&fixture.charge).await,
            fixture.unsettled()
        ),
        (1, PRICE, 0)
    );
}

#[tokio::test]
async fn late_charge_that_arrives_before_the_order_is_voided_is_refunded() {
    let fixture = PaymentsFixture::new().await;
    fixture.proxy.fail_next(&[Fault::RequestLost]);
    fixture.charge().await;
    fixture.cancel().await;
    assert_eq!(fixture.proxy.deliver_late().await[0].status, 200);
    for _ in 0..3 {
        fixture.reconcile_after(2).await;
    }
    assert_eq!(fixture.states().await, (IntentState::Captured, AttemptState::Succeeded));
    fixture.refund().await;
    assert_eq!(
        (
            fixture.charges().await,
            fixture.stripe.refunded(&fixture.charge).await,
            fixture.unsettled()
        ),
        (1, PRICE, 0)
    );
}

#[tokio::test]
async fn stored_server_error_of_a_cancelled_order_ends_without_a_charge() {
    let fixture = PaymentsFixture::new().await;
    fixture.proxy.fail_next(&[Fault::ServerError]);
    fixture.charge().await;
    fixture.cancel().await;
    for _ in 0..6 {
        fixture.reconcile_after(11).await;
    }
    assert_eq!(
        (fixture.states().await.0, fixture.charges().await, fixture.unsettled()),
        (IntentState::Closed, 0, 0)
    );
}
