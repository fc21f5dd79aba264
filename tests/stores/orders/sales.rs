//! The ledger entries of orders: a sale with the confirmation, and reversals as money is returned.

use super::*;

/// What payments reports: this version, and the captured, refunded and reversed totals.
fn totals(version: u64, captured: i64, refunded: i64, reversed: i64) -> Value {
    json!({
        "version": version, "payment_id": "pay_1", "captured_total": captured,
        "refunded_total": refunded, "refunds_reversed_total": reversed,
    })
}

/// The data of the entries in the queue of the ledger.
fn taken(fixture: &OrdersFixture) -> Vec<Value> {
    let messages = fixture.aws.queues().take("record-entry", 100);
    messages.iter().map(|message| message.json()["data"].clone()).collect()
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn entries_follow_the_confirmation_and_the_returned_amount() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.stored("k", &two_spoons()).await;
    let mut stream = fixture.stream();
    let steps = [
        ("stock_reserved.v1", json!({ "version": 1 }), &[][..]),
        ("payment_succeeded.v1", totals(2, 5998, 0, 0), &["sale"]),
        ("payment_refunded.v1", totals(4, 5998, 2000, 0), &["sale_reversal"]),
        // An earlier event arrives late, and the last one twice.
        ("payment_refunded.v1", totals(3, 5998, 1000, 0), &[]),
        ("payment_refunded.v1", totals(4, 5998, 2000, 0), &[]),
        ("payment_refund_failed.v1", totals(5, 5998, 2000, 1000), &["sale_reinstatement"]),
    ];
    let mut all = Vec::new();
    for (kind, event, expected) in steps {
        assert!(fixture.send_event(&order, kind, &event).await.is_done(), "{kind}");
        stream.publish().await;
        let entries = taken(&fixture);
        assert_eq!(kinds(&entries), expected, "{kind} {event}");
        let version = fixture.order(&order).await.version.to_string();
        for entry in &entries {
            let kind = entry["kind"].as_str().unwrap();
            let id: ledger::domain::EntryId = ids::derive(&["orders", &order, &version, kind]);
            assert_eq!(entry["entry_id"], json!(id), "{kind}");
        }
        all.extend(entries);
    }
    let mut goods = 0;
    for line in all.iter().flat_map(|entry| entry["lines"].as_array().unwrap()) {
        if line["account"] == "revenue:goods" {
            goods += line["amount"].as_i64().unwrap();
        }
    }
    assert_eq!(goods, -4998);
    // The stream delivers all changes again: the same entries follow.
    fixture.stream().publish().await;
    let mut again = taken(&fixture);
    for entries in [&mut all, &mut again] {
        entries.sort_by_key(|entry| entry["entry_id"].to_string());
    }
    assert_eq!(again, all);
}

#[tokio::test]
async fn order_that_is_paid_after_its_cancellation_publishes_no_entry() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.stored("k", &two_spoons()).await;
    let reserved = fixture.send_event(&order, "stock_reserved.v1", &json!({ "version": 1 })).await;
    assert!(reserved.is_done());
    assert_eq!(fixture.step(USER, "cancel", &order, &Value::Null).await.status(), 202);
    for (kind, event) in [
        ("payment_succeeded.v1", totals(2, 5998, 0, 0)),
        ("stock_released.v1", json!({ "version": 2 })),
        ("payment_refunded.v1", totals(3, 5998, 5998, 0)),
    ] {
        assert!(fixture.send_event(&order, kind, &event).await.is_done(), "{kind}");
    }
    assert_eq!(fixture.order(&order).await.progress.status, Status::Cancelled);
    fixture.stream().publish().await;
    assert_eq!(taken(&fixture), Vec::<Value>::new());
}
