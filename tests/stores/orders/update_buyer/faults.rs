//! Concurrent events, injected faults and redelivery.

use orders::domain::buyer::{Buyer, BuyerChange};

use super::{changed, deleted, named, writes};
use crate::orders::*;

#[tokio::test]
async fn concurrent_buyer_update_and_event_both_apply() {
    let mut overtaken = 0;
    for seed in 0..20 {
        let fixture = OrdersFixture::crowded(seed).await;
        let order = fixture.placed_in_full("k").await;
        fixture.confirm(&order).await;
        let committed = event_message(&order, "stock_committed.v1", &json!({ "version": 2 }));
        let called =
            fixture.call_both(("update-buyer", deleted()), ("advance-order", committed)).await;
        assert_eq!(
            *called.ok(),
            json!([{ "batchItemFailures": [] }, { "batchItemFailures": [] }]),
            "seed {seed}"
        );
        overtaken += writes(&called) - 2;
        let landed = fixture.order(&order).await;
        assert_eq!(
            (&landed.progress.stock, &landed.customer.buyer, landed.version),
            (&StockState::Committed, &Buyer::Redacted, 5),
            "seed {seed}"
        );
        assert_eq!((landed.customer.payment_method, landed.customer.buyer_change), (None, None));
    }
    assert!(overtaken > 0, "no seed lets both read before one of them writes: the test is vacuous");
}

#[tokio::test]
async fn concurrent_duplicate_buyer_update_applies_once() {
    let mut overtaken = 0;
    for seed in 0..10 {
        let fixture = OrdersFixture::crowded(seed).await;
        let order = fixture.settled_in_full("k").await;
        let called =
            fixture.call_both(("update-buyer", deleted()), ("update-buyer", changed(3))).await;
        assert_eq!(
            *called.ok(),
            json!([{ "batchItemFailures": [] }, { "batchItemFailures": [] }]),
            "seed {seed}"
        );
        assert_eq!(fixture.order(&order).await.customer.buyer, Buyer::Redacted);

        let other = fixture.settled_in_full("other").await;
        let called =
            fixture.call_both(("update-buyer", deleted()), ("update-buyer", deleted())).await;
        assert_eq!(
            *called.ok(),
            json!([{ "batchItemFailures": [] }, { "batchItemFailures": [] }]),
            "seed {seed}"
        );
        overtaken += writes(&called) - 1;
        assert_eq!(
            (fixture.order(&other).await.version, fixture.order(&other).await.customer.buyer),
            (5, Buyer::Redacted)
        );
    }
    assert!(overtaken > 0, "no seed lets both read before one of them writes: the test is vacuous");
}

#[tokio::test]
async fn buyer_update_completes_under_any_fault() {
    // The page of orders, the orders themselves, a write for each, and the cart of the user.
    for_each_fault(0..6, async |InjectedFault { call, fault }| {
        for retries in [false, true] {
            let fixture = if retries {
                OrdersFixture::with_retries().await
            } else {
                OrdersFixture::new().await
            };
            let (settled, open) =
                (fixture.settled_in_full("settled").await, fixture.placed_in_full("open").await);
            fixture.aws.fail(call, fault);
            let first = fixture.deliver_update(deleted()).await;
            let fails = call < 5 && (fault != Fault::Conflict || (2..4).contains(&call));
            let is_retried = retries && fault != Fault::Conflict;
            assert_eq!(first.is_done(), !fails || is_retried, "{fault:?} at {call}");
            fixture.aws.heal();
            assert!(fixture.deliver_update(deleted()).await.is_done());
            assert_eq!(writes(&fixture.deliver_update(deleted()).await), 0);
            let (settled, open) = (fixture.order(&settled).await, fixture.order(&open).await);
            assert_eq!(
                (settled.customer.buyer, settled.version),
                (Buyer::Redacted, 5),
                "{fault:?} at {call}"
            );
            assert_eq!(
                (open.customer.buyer_change, open.version),
                (Some(BuyerChange::Deleted), 2),
                "{fault:?} at {call}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn buyer_update_continues_on_redelivery() {
    let mut cut_short = 0;
    for yields in [20, 40, 80, 160] {
        let fixture = OrdersFixture::crowded(yields).await;
        let mut all = Vec::new();
        for number in 0..150 {
            all.push(fixture.stored(&format!("k-{number}"), &two_spoons()).await);
        }
        let clock = fixture.clock.clone();
        let advance_clock: Lambda = Arc::new(move |_| {
            let clock = clock.clone();
            Box::pin(async move {
                for _ in 0..yields {
                    tokio::task::yield_now().await;
                }
                clock.advance(Duration::from_secs(60));
                Ok(Value::Null)
            })
        });
        let called = fixture
            .aws
            .call_both((fixture.lambda("update-buyer"), deleted()), (advance_clock, Value::Null))
            .await;
        let done = writes(&called);
        assert_eq!(
            called.ok()[0]["batchItemFailures"].as_array().map(Vec::len),
            Some(usize::from(done < 150)),
            "{done} were done"
        );
        cut_short += usize::from(done > 0 && done < 150);
        let again = fixture.deliver_update(deleted()).await;
        assert_eq!(
            (again.is_done(), writes(&again)),
            (true, 150 - done),
            "finished updates are kept"
        );
        for order in all {
            let order = fixture.order(&order).await;
            assert_eq!(
                (order.customer.buyer_change, order.version),
                (Some(BuyerChange::Deleted), 2)
            );
        }
    }
    assert!(cut_short > 0, "no message was interrupted in the middle: the test is vacuous");
}

#[tokio::test]
async fn failing_order_keeps_the_message_and_the_other_orders_are_updated() {
    let fixture = OrdersFixture::new().await;
    let mut all = Vec::new();
    for number in 0..120 {
        all.push(fixture.stored(&format!("k-{number}"), &two_spoons()).await);
    }
    // From a later release, or unreadable.
    fixture.set(&all[3], "stock", "parcelled").await;
    fixture.set(&all[110], "buyer", "a person").await;
    let first = fixture.deliver_update(deleted()).await;
    assert_eq!((first.is_done(), writes(&first)), (false, 118));
    let again = fixture.deliver_update(deleted()).await;
    assert_eq!((again.is_done(), writes(&again)), (false, 0));
    fixture.set(&all[3], "stock", "reserving").await;
    fixture
        .aws
        .table("orders")
        .update(Key::new(format!("ORDER#{}", all[110])), named(), Expression::exists())
        .await
        .unwrap();
    let repaired = fixture.deliver_update(deleted()).await;
    assert_eq!((repaired.is_done(), writes(&repaired)), (true, 2));
}
