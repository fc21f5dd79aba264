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
    let keys = [format!("ORDER#{ORDER}"), "nonsense".to_owned()];
    for (shard, pk) in (0..DAY_SHARDS).zip(keys.iter().cycle()) {
        let recorded = format!("{}#{shard}", shop.clock.now());
        let item = json!({
            "pk": { "S": pk }, "sk": { "S": format!("ent_{shard}") }, "lines": { "S": "nonsense" },
            "day_shard": { "S": format!("day#{day}#{shard}") }, "recorded": { "S": recorded },
        });
        shop.aws.put("ledger", &item);
    }
    shop.clock.advance(Duration::from_secs(60));
    let report = shop.call("reconcile-ledger", tick()).await;
    let report = report.ok();
    assert!(report.get("continuation").is_none(), "{report:#}");
    let row = &report["unbalanced"][0];
    assert_eq!(
        (&row["order_id"], &row["findings"][0]["check"]),
        (&json!(ORDER), &json!("readable"))
    );
}
