//! The schedule's audit: one call works at a time, and an entry that cannot be read does not stop it.

use std::time::Duration;

use ledger::operations::reconcile_books::reconcile_books;
use serde_json::json;
use shared::invoke;

use super::*;

fn tick() -> Value {
    json!({ "source": "aws.events", "detail-type": "Scheduled Event", "time": "2026-11-21T03:00:00Z", "detail": {} })
}

fn audit(aws: &Aws, clock: &Clock) -> Lambda {
    let statement = provider::SimulatedStatement::new(aws.table("payment-simulator"));
    invoke::lambda(Arc::new(ledger_over(&|name| aws.table(name), clock, Some(Arc::new(statement)))), reconcile_books)
}

#[tokio::test]
async fn second_scheduled_call_at_the_same_time_compares_nothing() {
    let (aws, clock) = (Aws::new(), shop::clock());
    let audit = audit(&aws, &clock);
    aws.take_time(Duration::from_millis(1));
    let call = || audit(Invocation::with_event(tick()));
    let (one, other) = tokio::join!(call(), call());
    let idle = [one.unwrap(), other.unwrap()].map(|report| report["already_running"] == true);
    assert_eq!(idle.iter().filter(|idle| **idle).count(), 1, "{idle:?}");
    assert!(audit(Invocation::with_event(tick())).await.unwrap().get("already_running").is_none(), "the lease is free again");
}

#[tokio::test]
async fn unreadable_ledger_entries_do_not_stop_the_audit() {
    let (aws, clock) = (Aws::new(), shop::clock());
    let day = ledger::store::day_of(clock.now());
    for shard in 0..DAY_SHARDS {
        let keys = json!({ "pk": { "S": format!("DAY#{day}#{shard}") }, "sk": { "S": format!("{}#x", clock.now()) } });
        let mut item = keys.as_object().unwrap().clone();
        item.insert("order_id".to_owned(), json!({ "S": "nonsense" }));
        aws.put("ledger", &Value::Object(item));
    }
    clock.advance(Duration::from_secs(60));
    let audit = audit(&aws, &clock);
    let report = aws.call(&audit, tick()).await;
    assert!(report.answer.is_ok() && report.ok().get("continuation").is_none(), "{:?}", report.answer);
}
