//! Published changes of an order move its metrics once, however often a request or event repeats.

use orders::metrics::{Command, EndReason};

use super::*;

#[tokio::test]
async fn confirmed_order_counts_once_with_its_duration() {
    let fixture = OrdersFixture::new().await;
    let (mut harness, capture) = (fixture.stream(), Capture::start());
    let order = fixture.placed("k").await;
    fixture.post("k", &two_spoons()).await;
    harness.publish().await;
    assert_eq!(capture.total(&orders::metrics::ORDERS_PLACED), 1);

    fixture.clock.advance(Duration::from_secs(12));
    for _ in 0..2 {
        fixture.settle(&order).await;
    }
    harness.publish().await;
    assert_eq!(capture.total(&orders::metrics::ORDERS_PLACED), 1);
    assert_eq!(capture.total(&orders::metrics::ORDERS_CONFIRMED), 1);
    assert_eq!(capture.values(&orders::metrics::SECONDS_TO_CONFIRM), [12.0]);
}

#[tokio::test]
async fn failed_orders_count_by_reason() {
    let fixture = OrdersFixture::new().await;
    let (mut harness, capture) = (fixture.stream(), Capture::start());
    let (short, cancelled, unpaid) = (
        fixture.stored("short", &two_spoons()).await,
        fixture.stored("cancelled", &two_spoons()).await,
        fixture.stored("unpaid", &two_spoons()).await,
    );
    let rejected = json!({ "version": 1, "product_id": SPOON });
    assert!(fixture.send_event(&short, "stock_rejected.v1", &rejected).await.is_done());
    assert_eq!(fixture.step(USER, "cancel", &cancelled, &Value::Null).await.status(), 202);
    fixture.clock.advance(PAY_WITHIN);
    fixture.resume().await;
    harness.publish().await;
    let failed = |reason| capture.total_of(&orders::metrics::ORDERS_FAILED, reason);
    assert_eq!(failed(EndReason::OutOfStock), 1);
    assert_eq!(failed(EndReason::Cancelled), 0, "the stock is not released yet");
    for order in [&cancelled, &unpaid] {
        let released = json!({ "version": 1 });
        assert!(fixture.send_event(order, "stock_released.v1", &released).await.is_done());
    }
    harness.publish().await;
    for reason in [EndReason::OutOfStock, EndReason::Cancelled, EndReason::NotPaidInTime] {
        assert_eq!(failed(reason), 1, "{reason:?}");
    }
    assert_eq!(capture.total(&orders::metrics::ORDERS_FAILED.metric), 3);
}

#[tokio::test]
async fn unanswered_command_counts_as_resent_and_ages() {
    let fixture = OrdersFixture::new().await;
    let (mut harness, capture) = (fixture.stream(), Capture::start());
    fixture.stored("k", &two_spoons()).await;
    for wait in [RETRY, RETRY * 4] {
        fixture.clock.advance(wait);
        assert_eq!(fixture.resume().await, (1, 0, 0));
    }
    harness.publish().await;
    assert_eq!(capture.total_of(&orders::metrics::COMMANDS_RESENT, Command::ReserveStock), 2);
    assert_eq!(capture.total(&orders::metrics::RETRIES_EXHAUSTED), 1, "at the second check");
    let oldest = capture.values(&orders::metrics::OLDEST_UNSETTLED_ORDER_SECONDS);
    assert_eq!(oldest, [RETRY.as_secs_f64(), (RETRY * 5).as_secs_f64()]);
}

#[tokio::test]
async fn order_that_waits_for_its_buyer_is_not_the_oldest() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.stored("k", &two_spoons()).await;
    for kind in ["stock_reserved.v1", "payment_opened.v1"] {
        let event = json!({ "version": 1, "captured_total": 0, "refunded_total": 0 });
        assert!(fixture.send_event(&order, kind, &event).await.is_done());
    }
    fixture.clock.advance(RETRY * 2);
    let capture = Capture::start();
    fixture.resume().await;
    assert_eq!(capture.values(&orders::metrics::OLDEST_UNSETTLED_ORDER_SECONDS), [0.0]);
}

#[tokio::test]
async fn each_new_reason_for_a_review_counts() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.ready("k").await;
    let capture = Capture::start();
    for version in [3, 4] {
        let open = json!({ "version": version, "captured_total": 5998, "dispute": "open" });
        assert!(fixture.send_event(&order, "payment_disputed.v1", &open).await.is_done());
    }
    assert_eq!(capture.total(&orders::metrics::NEEDS_REVIEW), 1);
}

#[tokio::test]
async fn failed_publication_counts_nothing_until_it_succeeds() {
    let fixture = OrdersFixture::new().await;
    let capture = Capture::start();
    fixture.placed("k").await;
    let table = format!("{}-orders", tests::template::STACK);
    let records = fixture.aws.database().changes(&table, None).0;
    fixture.aws.fail(0, Fault::LoseRequest);
    let event = json!({ "Records": records });
    assert!(fixture.call("publish-order-events", event.clone()).await.answer.is_err());
    assert_eq!(capture.total(&orders::metrics::ORDERS_PLACED), 0);
    assert!(fixture.call("publish-order-events", event).await.answer.is_ok());
    assert_eq!(capture.total(&orders::metrics::ORDERS_PLACED), 1);
}
