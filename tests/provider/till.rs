//! Payments over the double: each order is charged and given back once, whatever is lost.

use std::{sync::Arc, time::Duration};

use payments::{
    Payments, Settings,
    domain::{Attempt, HeadState},
    operations::{
        cancel_payment::cancel_payment, charge_payment::charge_payment, create_payment::create_payment,
        reconcile_payments::reconcile_payments, refund_payment::refund_payment,
    },
};
use provider::PaymentId;
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    http,
    ids::{Ids, OrderId},
    invoke, queue,
};
use tests::{
    aws::{Aws, Called},
    events::{self, USER},
    shop,
};

use crate::{
    contract::{PRICE, usd},
    double::{Double, Loss},
};

/// Payments over the double.
pub struct Till {
    pub aws: Aws,
    pub clock: Clock,
    pub double: Double,
    pub payments: Arc<Payments>,
}

pub const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";

impl Till {
    pub fn new() -> Self {
        let (aws, clock) = (Aws::new(), shop::clock());
        let double = Double::new(clock.clone());
        let settings = Settings { shards: shop::SHARDS, nudge: shop::NUDGE };
        let secrets = aws.secrets_at(clock.clone());
        let payments = Payments::new(aws.table("payments"), Arc::new(double.clone()), secrets, clock.clone(), Ids::default(), settings);
        Self { aws, clock, double, payments: Arc::new(payments) }
    }

    pub async fn charge(&self, drive: u64) {
        self.charge_for(order(), drive).await;
    }

    pub async fn charge_for(&self, order_id: OrderId, drive: u64) {
        let lambda = queue::lambda(self.payments.clone(), charge_payment, self.aws.queue("charge-payment"));
        let expires_at = shop::clock().now().plus(Duration::from_secs(1800));
        let data = json!({
            "order_id": order_id, "user_id": USER, "amount": usd(PRICE), "expires_at": expires_at, "tries": 3, "drive": drive,
            "payment_method": { "type": "card", "token": "tok_ok" },
        });
        self.aws.call(&lambda, events::message("charge-payment", "charge_payment.v1", &data)).await;
    }

    pub async fn refund(&self, drive: u64) {
        let lambda = queue::lambda(self.payments.clone(), refund_payment, self.aws.queue("refund-payment"));
        let data = json!({ "order_id": ORDER, "drive": drive });
        self.aws.call(&lambda, events::message("refund-payment", "refund_payment.v1", &data)).await;
    }

    pub async fn cancel(&self, drive: u64) {
        let lambda = queue::lambda(self.payments.clone(), cancel_payment, self.aws.queue("cancel-payment"));
        let data = json!({ "order_id": ORDER, "user_id": USER, "amount": usd(PRICE), "drive": drive });
        self.aws.call(&lambda, events::message("cancel-payment", "cancel_payment.v1", &data)).await;
    }

    pub async fn pay(&self, key: &str) -> Called {
        let lambda = http::lambda(self.payments.clone(), create_payment);
        let body = json!({ "order_id": ORDER, "payment_method": { "type": "card", "token": "tok_ok" } });
        self.aws.call(&lambda, events::post("/payments", &body).caller(USER).header("idempotency-key", key).event()).await
    }

    pub async fn attempt(&self) -> Attempt {
        self.payments.store().attempt(PaymentId::automatic(order())).await.unwrap().unwrap()
    }

    pub async fn reconcile_after(&self, minutes: u64) -> Value {
        self.clock.advance(Duration::from_secs(minutes * 60));
        let lambda = invoke::lambda(self.payments.clone(), reconcile_payments);
        self.aws.call(&lambda, json!({})).await.ok().clone()
    }

    pub async fn state(&self) -> HeadState {
        self.payments.store().head(order()).await.unwrap().unwrap().state
    }

    pub fn charges(&self) -> usize {
        self.double.count(PaymentId::automatic(order()))
    }

    pub fn unsettled(&self) -> usize {
        self.aws.items("payments").iter().filter(|item| item.get("check_at").is_some()).count()
    }
}

pub fn order() -> OrderId {
    shared::ids::PrefixedId::parse(ORDER).unwrap()
}

#[tokio::test]
async fn whatever_is_lost_an_order_is_charged_and_given_back_once() {
    let losses = [None, Some(Loss::Request), Some(Loss::Answer)];
    for (first, second) in losses.iter().flat_map(|first| losses.map(|second| (*first, second))) {
        for third in losses {
            let till = Till::new();
            till.double.lose(&[first, second, third]);
            till.charge(0).await;
            for _ in 0..6 {
                till.reconcile_after(5).await;
            }
            assert_eq!(
                (till.state().await, till.charges(), till.unsettled()),
                (HeadState::Captured, 1, 0),
                "{first:?} {second:?} {third:?}"
            );
            till.double.lose(&[first, second, third]);
            till.refund(1).await;
            for _ in 0..6 {
                till.reconcile_after(5).await;
            }
            assert_eq!((till.double.given_back(), till.unsettled()), (PRICE, 0), "{first:?} {second:?} {third:?}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_away_for_days_charges_nobody_twice() {
    for loss in [Loss::Request, Loss::Answer] {
        let till = Till::new();
        till.double.lose(&[Some(loss)]);
        till.charge(0).await;
        till.double.fall_silent(true);
        for _ in 0..60 {
            till.reconcile_after(61).await;
        }
        till.double.fall_silent(false);
        for _ in 0..4 {
            till.reconcile_after(61).await;
        }
        let (state, charges) = if loss == Loss::Answer { (HeadState::Captured, 1) } else { (HeadState::Closed, 0) };
        assert_eq!((till.state().await, till.charges(), till.unsettled()), (state, charges, 0), "{loss:?}");
    }
}

#[tokio::test]
async fn a_provider_that_is_away_is_left_alone_and_every_order_is_charged_once_when_it_is_back() {
    let till = Till::new();
    let orders: Vec<OrderId> = (0..12).map(|number| shared::ids::derive(&["order", &number.to_string()])).collect();
    till.double.fall_silent(true);
    for order in &orders {
        till.charge_for(*order, 0).await;
    }
    assert_eq!(till.double.books().calls, 5, "the others do not ask");
    for _ in 0..8 {
        let before = till.double.books().calls;
        till.reconcile_after(1).await;
        assert_eq!(till.double.books().calls, before + 1, "one call finds out whether it is back");
    }
    till.double.fall_silent(false);
    for _ in 0..10 {
        till.reconcile_after(2).await;
    }
    let charges: Vec<usize> = orders.iter().map(|order| till.double.count(PaymentId::automatic(*order))).collect();
    assert_eq!((charges, till.unsettled()), (vec![1; 12], 0));
}
