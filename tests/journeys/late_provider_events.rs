//! Late changes at the provider: refunds that fail days later, manual refunds and disputes. The
//! ledger records each.

use serde_json::{Value, json};
use tests::{bank, events, harness::Harness, shop::Shop};

use super::{
    after_checkout::{cancel_order, charges, history, payment_of, refund_payment, statuses},
    assert_settled, placed, shop, time_passes,
};

/// A shop with a paid and confirmed order. Returns also its payment and the provider's charge id.
async fn confirmed() -> (Shop, Harness, String, String, String) {
    let (shop, product) = shop().await;
    let order = placed(&shop, &product, 2, Some("tok_ok")).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let payment = payment_of(&shop, &order).await;
    let charge = format!("ch_{}", payment.rsplit('_').next().unwrap().replace('-', ""));
    (shop, harness, order, payment, charge)
}

/// Delivers an event of the provider, and drains the queues.
async fn deliver_event(
    shop: &Shop,
    harness: &mut Harness,
    event_id: &str,
    kind: &str,
    object: &Value,
) {
    let event =
        events::webhook_about(shop.aws.secrets_manager(), shop.clock.now(), event_id, kind, object);
    let received = shop.call("receive-payment-webhook", event).await;
    assert_eq!(received.status(), 200, "{:?}", received.answer);
    harness.drain_queues().await;
}

/// The newest refund in payments' records.
fn last_refund(shop: &Shop) -> Value {
    let mut refunds: Vec<Value> = shop
        .aws
        .items("payments")
        .into_iter()
        .filter(|item| item.get("refund_id").is_some_and(|_| item.get("transaction_id").is_some()))
        .collect();
    refunds.sort_by_key(|item| item["created_at"]["S"].as_str().unwrap().to_owned());
    refunds.pop().expect("a refund")
}

/// Lets the newest refund fail at the provider, and delivers the event.
async fn refund_fails(shop: &Shop, harness: &mut Harness, event_id: &str, payment: &str) {
    let refund = last_refund(shop);
    let (ours, theirs) = (
        refund["refund_id"]["S"].as_str().unwrap(),
        refund["provider_refund_id"]["S"].as_str().unwrap(),
    );
    bank::fail_refund(&shop.aws, ours);
    let object = json!({ "object": "refund", "id": theirs, "metadata": { "payment_id": payment, "refund_id": ours } });
    for _ in 0..2 {
        deliver_event(shop, harness, event_id, "refund.failed", &object).await;
    }
}

#[tokio::test]
async fn late_failed_refund_of_a_cancelled_order_is_requested_again() {
    let (shop, mut harness, order, payment, _) = confirmed().await;
    cancel_order(&shop, &mut harness, &order).await;
    assert_settled(&shop).await;
    shop.clock.advance(std::time::Duration::from_secs(5 * 24 * 3600));
    refund_fails(&shop, &mut harness, "evt_1", &payment).await;
    let read = shop.read_order(&order).await;
    assert!(
        history(&read).contains(&"refund_reversed") && history(&read).contains(&"refund_failed"),
        "{read:#}"
    );
    // The order requested the refund again, and the provider executed it.
    for _ in 0..3 {
        time_passes(&shop, &mut harness, 3600).await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), charges(&shop)),
        (("cancelled", "refunded"), vec![(5998, 0)]),
        "{read:#}"
    );
    assert!(read["needs_review"].is_null(), "{read:#}");
    assert_settled(&shop).await;
}

#[tokio::test]
async fn late_failed_requested_refund_is_flagged_and_can_be_repeated() {
    let (shop, mut harness, order, payment, _) = confirmed().await;
    assert_eq!(refund_payment(&shop, "one", &payment, None).await.0, 201);
    harness.drain_queues().await;
    assert_eq!(statuses(&shop.read_order(&order).await), ("confirmed", "refunded"));
    refund_fails(&shop, &mut harness, "evt_1", &payment).await;
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), &read["needs_review"]),
        (("confirmed", "paid"), &json!("refund_failed")),
        "{read:#}"
    );
    let (status, again) = refund_payment(&shop, "one", &payment, None).await;
    assert_eq!(
        (status, &again["code"], &again["failure_reason"]),
        (409, &json!("refund_failed"), &json!("expired_or_canceled_card"))
    );
    assert_settled(&shop).await;
    assert_eq!(refund_payment(&shop, "two", &payment, None).await.0, 201);
    harness.drain_queues().await;
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), &read["needs_review"]),
        (("confirmed", "refunded"), &Value::Null),
        "{read:#}"
    );
    assert_settled(&shop).await;
}

#[tokio::test]
async fn permanently_rejected_automatic_refund_needs_review() {
    let (shop, mut harness, order, payment, charge) = confirmed().await;
    bank::dispute(&shop.aws, "dp_1", &charge, "open");
    cancel_order(&shop, &mut harness, &order).await;
    for _ in 0..12 {
        time_passes(&shop, &mut harness, 3600).await;
    }
    let failed = |shop: &Shop| {
        shop.aws.items("payments").iter().filter(|item| item["state"]["S"] == "failed").count()
    };
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), &read["needs_review"]),
        (("confirmed", "refund_failed"), &json!("refund_failed")),
        "{read:#}"
    );
    assert_eq!(failed(&shop), 5, "the refund is retried a limited number of times");
    let (status, refused) = refund_payment(&shop, "person", &payment, None).await;
    assert_eq!(
        (status, &refused["code"], &refused["failure_reason"]),
        (409, &json!("refund_failed"), &json!("charge_disputed"))
    );
    // The bank closes the dispute; an operator refunds the payment.
    bank::dispute(&shop.aws, "dp_1", &charge, "won");
    assert_eq!(refund_payment(&shop, "again", &payment, None).await.0, 201);
    harness.drain_queues().await;
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), &read["needs_review"]),
        (("cancelled", "refunded"), &Value::Null),
        "{read:#}"
    );
    assert_settled(&shop).await;
}

#[tokio::test]
async fn won_dispute_changes_nothing_and_lost_dispute_refunds_the_payment() {
    for won in [true, false] {
        let (shop, mut harness, order, payment, charge) = confirmed().await;
        let object = json!({ "object": "dispute", "id": "dp_1", "payment_intent": charge });
        for (state, kind, flag, payment_status) in [
            ("open", "created", Some("payment_disputed"), "paid"),
            ("withdrawn", "funds_withdrawn", Some("payment_disputed"), "refunded"),
            if won {
                ("won", "closed", None, "paid")
            } else {
                ("lost", "closed", Some("dispute_lost"), "refunded")
            },
        ] {
            bank::dispute(&shop.aws, "dp_1", &charge, state);
            for copy in 0..2 {
                deliver_event(
                    &shop,
                    &mut harness,
                    &format!("evt_{state}_{copy}"),
                    &format!("charge.dispute.{kind}"),
                    &object,
                )
                .await;
            }
            let read = shop.read_order(&order).await;
            assert_eq!(
                (&read["needs_review"], statuses(&read)),
                (&json!(flag), ("confirmed", payment_status)),
                "{state}: {read:#}"
            );
            assert_settled(&shop).await;
        }
        // An earlier event arrives late: it only triggers a query.
        deliver_event(&shop, &mut harness, "evt_late", "charge.dispute.created", &object).await;
        let (status, refund) = refund_payment(&shop, "refund", &payment, None).await;
        let expected = if won { (201, Value::Null) } else { (409, json!("not_refundable")) };
        assert_eq!((status, refund["code"].clone()), expected, "{refund}");
        harness.drain_queues().await;
        assert_settled(&shop).await;
    }
}

#[tokio::test]
async fn refund_at_the_provider_is_recorded_once_and_reconciles() {
    let (shop, mut harness, order, payment, charge) = confirmed().await;
    let id = bank::refund_by_hand(&shop.aws, &charge, "re_dashboard", 1000);
    let object = json!({ "object": "refund", "id": id, "payment_intent": charge, "metadata": {} });
    for event in ["evt_1", "evt_1", "evt_2"] {
        deliver_event(&shop, &mut harness, event, "refund.created", &object).await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!(statuses(&read), ("confirmed", "partially_refunded"), "{read:#}");
    assert_eq!(
        history(&read).into_iter().filter(|event| *event == "payment_refunded").count(),
        1,
        "{read:#}"
    );
    let recorded = last_refund(&shop);
    assert_eq!(
        (&recorded["initiated_by"]["S"], &recorded["state"]["S"]),
        (&json!("provider"), &json!("succeeded"))
    );
    let (status, rest) = refund_payment(&shop, "rest", &payment, None).await;
    assert_eq!((status, &rest["amount"]["amount"]), (201, &json!(4998)));
    harness.drain_queues().await;
    assert_settled(&shop).await;
    // The manual refund fails later.
    bank::fail_refund(&shop.aws, &id);
    deliver_event(&shop, &mut harness, "evt_3", "refund.failed", &object).await;
    let read = shop.read_order(&order).await;
    assert_eq!(
        (statuses(&read), &read["needs_review"]),
        (("confirmed", "partially_refunded"), &json!("refund_failed")),
        "{read:#}"
    );
    assert_settled(&shop).await;
}
