//! Due orders are all checked, regardless of their number and of failures among them.

use super::*;

#[tokio::test]
async fn only_due_orders_are_retried_with_growing_delays() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    fixture.clock.advance(RETRY - Duration::from_millis(1));
    assert_eq!(fixture.resume().await, (0, 0, 0));
    assert_eq!(fixture.order(&order).await.version, 1);
    fixture.clock.advance(Duration::from_millis(1));
    let mut wait = RETRY;
    for retry in 1..=3 {
        assert_eq!(fixture.resume().await, (1, 0, 0), "retry {retry}");
        wait *= 2;
        let retried = fixture.order(&order).await;
        assert_eq!(
            (retried.schedule.attempt, retried.schedule.retries, retried.version),
            (retry, u32::try_from(retry).unwrap(), retry + 1)
        );
        assert_eq!(
            retried.schedule.next_check_at,
            Some(fixture.clock.now().plus(wait)).min(Some(retried.placed.expires_at))
        );
        // The second check without an answer is recorded once.
        assert_eq!(
            (retried.progress.status, retried.progress.history.len()),
            (Status::Pending, if retry < 2 { 1 } else { 2 })
        );
        assert_eq!(fixture.resume().await, (0, 0, 0), "retry {retry}");
        fixture.clock.advance(wait - Duration::from_millis(1));
        assert_eq!(fixture.resume().await, (0, 0, 0), "retry {retry}");
        fixture.clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn unpaid_order_expires_and_a_paid_one_does_not() {
    let fixture = OrdersFixture::new().await;
    let (unpaid, paid, settled) = (
        fixture.placed("unpaid").await,
        fixture.placed("paid").await,
        fixture.placed("settled").await,
    );
    fixture.send_event(&unpaid, "stock_reserved.v1", &json!({ "version": 1 })).await;
    // The payment arrives before the stock is reserved.
    fixture
        .send_event(&paid, "payment_succeeded.v1", &json!({ "version": 2, "captured_total": 5998 }))
        .await;
    fixture.settle(&settled).await;
    let before = fixture.item(&settled);
    assert!(
        before.get("next_check_at").is_none() && before.get("check_shard").is_none(),
        "{before}"
    );

    fixture.clock.advance(PAY_WITHIN);
    assert_eq!(fixture.resume().await, (2, 0, 0));
    let expired = fixture.order(&unpaid).await;
    assert_eq!(
        (&expired.progress.goal, expired.progress.reason.as_deref()),
        (&Goal::Cancel, Some("not_paid_in_time"))
    );
    assert_eq!(
        (&expired.progress.stock, &expired.progress.payment, &expired.progress.status),
        (&StockState::Releasing, &PaymentState::Closing, &Status::Pending)
    );
    assert_eq!(expired.progress.history.last().map(|entry| entry.event.as_str()), Some("expired"));
    let waiting = fixture.order(&paid).await;
    assert_eq!(
        (waiting.progress.goal, waiting.progress.payment, waiting.schedule.retries),
        (Goal::Fulfil, PaymentState::Paid, 1)
    );
    assert_eq!(fixture.item(&settled), before);
}

#[tokio::test]
async fn one_run_resumes_more_orders_than_a_page() {
    for many in [100, 101, 250] {
        let fixture = OrdersFixture::new().await;
        for number in 0..many {
            fixture.stored(&format!("k-{number}"), &two_spoons()).await;
        }
        fixture.clock.advance(PAY_WITHIN);
        assert_eq!(fixture.resume().await, (many, 0, 0));
        for item in fixture.aws.orders() {
            assert_eq!(
                (&item["goal"]["S"], &item["version"]["N"]),
                (&json!("cancel"), &json!("2"))
            );
        }
        // They stay due until their commands are answered, and the next run sends those again.
        assert_eq!(fixture.resume().await, (many, 0, 0));
        assert_eq!(fixture.resume().await, (0, 0, 0));
    }
}

/// More orders than are processed concurrently, in a run during which the clock advances by
/// minutes.
#[tokio::test(start_paused = true)]
async fn next_check_is_planned_from_the_time_of_each_order_and_not_of_the_run() {
    let fixture = OrdersFixture::new().await;
    for number in 0..20 {
        fixture.stored(&format!("k-{number}"), &two_spoons()).await;
    }
    fixture.clock.advance(RETRY);
    fixture.aws.take_time(Duration::from_millis(10));
    // The lease, the index and the first sixteen orders take one sequential call each.
    let later = async {
        tokio::time::sleep(Duration::from_millis(35)).await;
        fixture.clock.advance(Duration::from_secs(200));
    };
    let (resumed, ()) = tokio::join!(fixture.resume(), later);
    assert_eq!(resumed, (20, 0, 0));
    fixture.aws.take_time(Duration::ZERO);
    assert_eq!(fixture.resume().await, (16, 0, 0), "the last four are not due again");
}

#[tokio::test]
async fn failing_order_does_not_stop_the_others() {
    let fixture = OrdersFixture::new().await;
    for number in 0..130 {
        fixture.stored(&format!("k-{number:03}"), &two_spoons()).await;
    }
    let items = fixture.aws.orders();
    let broken: Vec<&str> = items
        .iter()
        .take(30)
        .map(|item| item["pk"]["S"].as_str().unwrap().trim_start_matches("ORDER#"))
        .collect();
    for (number, order) in broken.iter().enumerate() {
        // These orders are from a later release or unreadable, and are the longest overdue.
        let (attribute, value) =
            if number % 2 == 0 { ("stock", "parcelled") } else { ("updated_at", "yesterday") };
        fixture.set(order, attribute, value).await;
        fixture.set(order, "next_check_at", "2026-11-21T09:00:00.000Z").await;
    }
    fixture.clock.advance(RETRY);
    let capture = Capture::start();
    assert_eq!(fixture.resume().await, (100, 0, 30));
    assert_eq!(capture.total(&orders::metrics::SWEEP_FAILED), 1);
    for item in fixture.aws.orders() {
        let is_broken =
            broken.contains(&item["pk"]["S"].as_str().unwrap().trim_start_matches("ORDER#"));
        assert_eq!(item["version"]["N"], if is_broken { "1" } else { "2" });
    }
}

#[tokio::test]
async fn failing_orders_do_not_block_others() {
    let fixture = OrdersFixture::new().await;
    for number in 0..125 {
        fixture.stored(&format!("k-{number:03}"), &two_spoons()).await;
    }
    for (number, item) in fixture.aws.orders().iter().enumerate().take(120) {
        let order = item["pk"]["S"].as_str().unwrap().trim_start_matches("ORDER#");
        fixture.set(order, "stock", "parcelled").await;
        fixture.set(order, "next_check_at", &format!("2026-11-21T09:00:00.{number:03}Z")).await;
    }
    fixture.clock.advance(RETRY);
    assert_eq!(fixture.resume().await, (5, 0, 120));
}

#[tokio::test]
async fn due_order_is_resumed_under_any_fault() {
    // The lease, one query per shard, the read, the write and the release of the lease.
    let queries = SHARDS as usize;
    for_each_fault(
        [0, 1, queries, queries + 1, queries + 2, queries + 3],
        async |InjectedFault { call, fault }| {
            for retries in [false, true] {
                let fixture = if retries {
                    OrdersFixture::with_retries().await
                } else {
                    OrdersFixture::new().await
                };
                let order = fixture.placed("k").await;
                fixture.clock.advance(PAY_WITHIN);
                fixture.aws.fail(call, fault);
                let first = fixture.call("resume-orders", json!({})).await;
                if retries && fault != Fault::Conflict {
                    assert_eq!(
                        first.ok()["resumed"],
                        1,
                        "{fault:?} at {call}: also after a lost response to our own write"
                    );
                }
                fixture.aws.heal();
                if fixture.order(&order).await.version == 1 {
                    fixture.resume().await;
                }
                let moved = fixture.order(&order).await;
                assert_eq!(
                    (moved.progress.goal, moved.version),
                    (Goal::Cancel, 2),
                    "{fault:?} at {call}: {:?}",
                    first.answer
                );
            }
        },
    )
    .await;
}
