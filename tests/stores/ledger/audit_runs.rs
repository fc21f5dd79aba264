//! Scheduled audits: one run a day, continued over as many invocations as it needs.

use std::time::Duration;

use super::{fixture::*, *};

/// The stored audit run: its version, and whether it has a continuation.
fn audit_run(world: &LedgerFixture) -> Option<(u64, bool)> {
    let found = world
        .aws
        .items("ledger")
        .into_iter()
        .find(|item| item["pk"]["S"] == "AUDIT" && item["sk"]["S"] == "RUN")?;
    Some((
        found["version"]["N"].as_str().unwrap().parse().unwrap(),
        found["continuation"]["M"].is_object(),
    ))
}

#[tokio::test]
async fn a_schedule_goes_round_the_shop_once_a_day_in_as_many_calls_as_it_takes() {
    let world = LedgerFixture::at_rest().await;
    let mut order = world.item("orders", |item| item["order_id"]["S"] == world.refunded.as_str());
    let paid_back = text(&order["refunded_total"]["N"]);
    order["refunded_total"] = json!({ "N": "0" });
    world.aws.put("orders", &order);
    // The first invocation has no time left: it only starts the run.
    let mut invocation = Invocation::with_event(tick());
    invocation.deadline = Clock::System.now().plus(Duration::from_secs(5));
    assert_eq!(
        world.aws.invoke(&world.lambda("reconcile-ledger"), invocation).await.ok()["checked"],
        0
    );
    assert_eq!(audit_run(&world), Some((1, true)));
    // The next one continues it. Every caller gets the mismatches.
    let report = world.report(tick()).await;
    assert_eq!(
        (&report["checked"], unbalanced(&report)),
        (&json!(4), BTreeSet::from([world.refunded.clone()]))
    );
    assert_eq!(audit_run(&world), Some((2, false)));
    // The run of this day is complete: an idle invocation costs one read beside the two writes of
    // the lease.
    world.clock.advance(Duration::from_secs(3600));
    let idle = world.call("reconcile-ledger", tick()).await;
    assert_eq!(
        (&idle.ok()["checked"], idle.operations()),
        (&json!(0), vec!["PutItem", "GetItem", "PutItem"])
    );
    // The next day starts a new run over the changes since the last one.
    world.clock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(unbalanced(&world.report(tick()).await), BTreeSet::from([world.refunded.clone()]));
    assert_eq!(audit_run(&world), Some((3, false)));

    // The invocation after a failed one repeats the run.
    world.clock.advance(Duration::from_secs(24 * 3600));
    world.aws.fail(1, Fault::Throttle);
    let failed = world.call("reconcile-ledger", tick()).await;
    world.aws.heal();
    assert_eq!(failed.answer.as_ref().map_err(|failure| failure.kind), Err("AuditRunReadFailed"));
    assert_eq!(audit_run(&world), Some((3, false)));
    // An unreadable order is checked again in the next run.
    world.aws.fail(2, Fault::Throttle);
    let unread = world.report(tick()).await;
    world.aws.heal();
    assert_eq!(
        (&unread["not_checked"], unbalanced(&unread)),
        (&json!([world.refunded]), BTreeSet::new())
    );
    assert_eq!(audit_run(&world), Some((4, false)));
    world.clock.advance(Duration::from_secs(24 * 3600));
    // Its last change is outside the run's period by now. The schedule and an operator's audit
    // still report it until its records are corrected.
    assert_eq!(unbalanced(&world.report(tick()).await), BTreeSet::from([world.refunded.clone()]));
    assert_eq!(audit_run(&world), Some((5, false)));
    world.clock.advance(Duration::from_secs(10 * 24 * 3600));
    assert_eq!(world.unbalanced().await, BTreeSet::from([world.refunded.clone()]));
    order["refunded_total"] = json!({ "N": paid_back });
    world.aws.put("orders", &order);
    assert!(unbalanced(&world.report(tick()).await).is_empty());
    assert!(world.unbalanced().await.is_empty());
}
