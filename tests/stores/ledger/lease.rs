//! The lease of the scheduled audit: only one invocation works at a time, and an unreadable entry
//! does not stop it.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn second_scheduled_call_at_the_same_time_compares_nothing() {
    let shop = Shop::new();
    let audit = shop.lambda("reconcile-ledger");
    shop.aws.take_time(Duration::from_millis(1));
    let call = || audit(Invocation::with_event(tick()));
    let (one, other) = tokio::join!(call(), call());
    let idle = [one.unwrap(), other.unwrap()].map(|report| report["already_running"] == true);
    assert_eq!(idle.iter().filter(|idle| **idle).count(), 1, "{idle:?}");
    assert!(
        audit(Invocation::with_event(tick())).await.unwrap().get("already_running").is_none(),
        "the lease is free again"
    );
}

#[tokio::test]
async fn unreadable_ledger_entries_do_not_stop_the_audit() {
    let shop = Shop::new();
    let day = ledger::store::day_of(shop.clock.now());
    for shard in 0..DAY_SHARDS {
        let keys = json!({ "pk": { "S": format!("DAY#{day}#{shard}") }, "sk": { "S": format!("{}#x", shop.clock.now()) } });
        let mut item = keys.as_object().unwrap().clone();
        item.insert("order_id".to_owned(), json!({ "S": "nonsense" }));
        shop.aws.put("ledger", &Value::Object(item));
    }
    shop.clock.advance(Duration::from_secs(60));
    let report = shop.call("reconcile-ledger", tick()).await;
    assert!(
        report.answer.is_ok() && report.ok().get("continuation").is_none(),
        "{:?}",
        report.answer
    );
}
