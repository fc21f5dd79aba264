//! Payments over the test double: each order is charged and refunded once under any loss.

use std::{ops::Deref, sync::Arc, time::Duration};

use payments::domain::{Attempt, IntentState};
use provider::PaymentId;
use serde_json::{Value, json};
use shared::ids::OrderId;
use tests::{
    aws::{Aws, Called},
    events::{self, USER},
    shop::{self, Shop},
};

use crate::{
    contract::{PRICE, usd},
    double::{Double, Loss},
};

/// A shop whose provider is the double.
pub struct PaymentsFixture {
    shop: Shop,
    pub double: Double,
}

impl Deref for PaymentsFixture {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

pub const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";

impl PaymentsFixture {
    pub fn new() -> Self {
        let clock = shop::clock();
        let double = Double::new(clock.clone());
        Self { shop: Shop::over(Aws::new(), clock).with_provider(Arc::new(double.clone())), double }
    }

    pub async fn charge(&self, attempt: u64) {
        self.charge_for(order(), attempt).await;
    }

    pub async fn charge_for(&self, order_id: OrderId, attempt: u64) {
        let expires_at = shop::clock().now().plus(Duration::from_secs(1800));
        let data = json!({
            "order_id": order_id, "user_id": USER, "amount": usd(PRICE), "expires_at": expires_at, "tries": 3, "attempt": attempt,
            "payment_method": { "type": "card", "token": "tok_ok" },
        });
        self.call("charge-payment", events::command("charge-payment", &data)).await;
    }

    pub async fn refund(&self, attempt: u64) {
        let data = json!({ "order_id": ORDER, "attempt": attempt });
        self.call("refund-payment", events::command("refund-payment", &data)).await;
    }

    pub async fn cancel(&self, attempt: u64) {
        let data =
            json!({ "order_id": ORDER, "user_id": USER, "amount": usd(PRICE), "attempt": attempt });
        self.call("cancel-payment", events::command("cancel-payment", &data)).await;
    }

    pub async fn pay(&self, key: &str) -> Called {
        self.call("create-payment", events::new_payment(key, ORDER, "tok_ok")).await
    }

    pub async fn attempt(&self) -> Attempt {
        self.payments.store().attempt(PaymentId::automatic(order())).await.unwrap().unwrap()
    }

    pub async fn reconcile_after(&self, minutes: u64) -> Value {
        self.clock.advance(Duration::from_secs(minutes * 60));
        self.call("reconcile-payments", json!({})).await.ok().clone()
    }

    pub async fn state(&self) -> IntentState {
        self.payments.store().intent(order()).await.unwrap().unwrap().state
    }

    pub fn charges(&self) -> usize {
        self.double.count(PaymentId::automatic(order()))
    }

    pub fn unsettled(&self) -> usize {
        self.aws.items("payments").iter().filter(|item| item.get("next_check_at").is_some()).count()
    }
}

pub fn order() -> OrderId {
    shared::ids::PrefixedId::parse(ORDER).unwrap()
}

#[tokio::test]
async fn orders_are_charged_and_refunded_once_under_any_loss() {
    let losses = [None, Some(Loss::Request), Some(Loss::Answer)];
    for (first, second) in losses.iter().flat_map(|first| losses.map(|second| (*first, second))) {
        for third in losses {
            let fixture = PaymentsFixture::new();
            fixture.double.lose(&[first, second, third]);
            fixture.charge(0).await;
            for _ in 0..6 {
                fixture.reconcile_after(5).await;
            }
            assert_eq!(
                (fixture.state().await, fixture.charges(), fixture.unsettled()),
                (IntentState::Captured, 1, 0),
                "{first:?} {second:?} {third:?}"
            );
            fixture.double.lose(&[first, second, third]);
            fixture.refund(1).await;
            for _ in 0..6 {
                fixture.reconcile_after(5).await;
            }
            assert_eq!(
                (fixture.double.refunded_total(), fixture.unsettled()),
                (PRICE, 0),
                "{first:?} {second:?} {third:?}"
            );
        }
    }
}

#[tokio::test]
async fn provider_outage_of_days_causes_no_double_charge() {
    for loss in [Loss::Request, Loss::Answer] {
        let fixture = PaymentsFixture::new();
        fixture.double.lose(&[Some(loss)]);
        fixture.charge(0).await;
        fixture.double.fall_silent(true);
        for _ in 0..60 {
            fixture.reconcile_after(61).await;
        }
        fixture.double.fall_silent(false);
        for _ in 0..4 {
            fixture.reconcile_after(61).await;
        }
        let (state, charges) = if loss == Loss::Answer {
            (IntentState::Captured, 1)
        } else {
            (IntentState::Closed, 0)
        };
        assert_eq!(
            (fixture.state().await, fixture.charges(), fixture.unsettled()),
            (state, charges, 0),
            "{loss:?}"
        );
    }
}

#[tokio::test]
async fn orders_are_charged_once_after_a_provider_outage() {
    let fixture = PaymentsFixture::new();
    let orders: Vec<OrderId> =
        (0..12).map(|number| shared::ids::derive(&["order", &number.to_string()])).collect();
    fixture.double.fall_silent(true);
    for order in &orders {
        fixture.charge_for(*order, 0).await;
    }
    assert_eq!(fixture.double.records().calls, 5, "the open breaker blocks the other calls");
    for _ in 0..8 {
        let before = fixture.double.records().calls;
        fixture.reconcile_after(1).await;
        assert_eq!(
            fixture.double.records().calls,
            before + 1,
            "one probe checks whether the provider is available"
        );
    }
    fixture.double.fall_silent(false);
    for _ in 0..10 {
        fixture.reconcile_after(2).await;
    }
    let charges: Vec<usize> =
        orders.iter().map(|order| fixture.double.count(PaymentId::automatic(*order))).collect();
    assert_eq!((charges, fixture.unsettled()), (vec![1; 12], 0));
}
