//! Failed calls, and messages and changes that a consumer cannot read.

use crate::permissions::*;

/// Injects a fault into every call of every consumer and sweep in turn, and repeats the rejected
/// work.
pub(super) async fn faults(seen: &Arc<Mutex<Actions>>) {
    for call in (0..24).step_by(2) {
        for fault in [Fault::LoseRequest, Fault::LoseResponse] {
            let (watched, product) = Watched::with_teapots(seen).await;
            let mut harness = watched.harness();
            watched.order("one", &product, 1, Some("tok_ok")).await;
            let open = watched.order("two", &product, 1, None).await;
            // The stream retries a failed publisher; this scenario does not cover it.
            harness.publish().await;
            watched.shop.aws.fail(call, fault);
            harness.consume().await;
            watched.shop.aws.heal();
            harness.drain_queues().await;
            watched
                .with_fault(call % 8, fault, "create-payment", new_payment("k", &open, "tok_ok"))
                .await;
            watched.pay(&open, "k", "tok_ok").await;
            watched.shop.clock.advance(RETRY);
            watched.with_fault(call, fault, "resume-orders", json!({})).await;
            watched.with_fault(call, fault, "reconcile-payments", json!({})).await;
            watched.sweep(&mut harness, 3600).await;
            watched.sweep(&mut harness, 3600).await;
        }
    }
    // A mail that SES rejects, and one whose sender crashed.
    for call in 0..6 {
        for fault in [Fault::LoseRequest, Fault::LoseResponse, Fault::Throttle] {
            let watched = Watched::new(seen);
            let event = || {
                let mut event = sample("send-notification");
                // Without a receipt handle, nothing is reported to the queue.
                event["Records"][0].as_object_mut().expect("a record").remove("receiptHandle");
                event
            };
            watched.with_fault(call, fault, "send-notification", event()).await;
            watched.shop.clock.advance(Duration::from_secs(3600));
            watched.call("send-notification", event()).await;
            watched.call("send-notification", event()).await;
        }
    }
}

/// Unreadable messages go to the dead-letter queue. If that queue rejects one, it is retried later.
pub(super) async fn unreadable_messages(seen: &Arc<Mutex<Actions>>) {
    for operation in queues().map(consumer_of) {
        let watched = Watched::new(seen);
        let mut event = sample(&operation);
        event["Records"][0]["body"] = "not json".into();
        assert_eq!(
            watched.call(&operation, event.clone()).await.ok()["batchItemFailures"],
            json!([]),
            "{operation}"
        );
        let failed = watched.with_fault(0, Fault::LoseRequest, &operation, event).await;
        assert_eq!(
            failed.ok()["batchItemFailures"].as_array().map(Vec::len),
            Some(1),
            "{operation}"
        );
    }
}

/// Changes that no publisher of this release can read go to the dead-letter queue.
pub(super) async fn unreadable_changes(seen: &Arc<Mutex<Actions>>) {
    for (operation, table) in [
        ("publish-user-events", "users"),
        ("publish-product-events", "products"),
        ("publish-pricing-events", "pricing"),
        ("publish-stock-events", "stock"),
        ("publish-order-events", "orders"),
        ("publish-payment-events", "payments"),
    ] {
        let watched = Watched::new(seen);
        let mut event = sample(operation);
        for record in event["Records"].as_array_mut().expect("a stream sends records") {
            for image in ["NewImage", "OldImage"] {
                if let Some(image) = record["dynamodb"][image].as_object_mut() {
                    image.retain(|name, _| ["pk", "sk"].contains(&name.as_str()));
                }
            }
        }
        let called = watched.call(operation, event).await;
        assert!(called.answer.is_ok(), "{table}: {:?}", called.answer);
    }
}
