//! The audit that a schedule makes, and long ones: in as many calls as it takes.

use std::time::Duration;

use super::{fixture::*, *};

/// The state of the run: its version, and whether it continues.
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
    // The first call has no time: it only begins.
    let mut invocation = Invocation::with_event(tick());
    invocation.deadline = Clock::System.now().plus(Duration::from_secs(5));
    assert_eq!(
        world.aws.invoke(&world.lambda("reconcile-ledger"), invocation).await.ok()["checked"],
        0
    );
    assert_eq!(audit_run(&world), Some((1, true)));
    // The next one continues; mismatches are reported to all callers.
    let report = world.report(tick()).await;
    assert_eq!(
        (&report["checked"], unbalanced(&report)),
        (&json!(4), BTreeSet::from([world.refunded.clone()]))
    );
    assert_eq!(audit_run(&world), Some((2, false)));
    // Until the next day there is nothing to do, and that costs one call beside those of the lease.
    world.clock.advance(Duration::from_secs(3600));
    let idle = world.call("reconcile-ledger", tick()).await;
    assert_eq!(
        (&idle.ok()["checked"], idle.operations()),
        (&json!(0), vec!["PutItem", "GetItem", "PutItem"])
    );
    // The next day it begins again, and looks at what moved since.
    world.clock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(unbalanced(&world.report(tick()).await), BTreeSet::from([world.refunded.clone()]));
    assert_eq!(audit_run(&world), Some((3, false)));

    // A call that fails is made up for by the next.
    world.clock.advance(Duration::from_secs(24 * 3600));
    world.aws.fail(1, Fault::Throttle);
    let failed = world.call("reconcile-ledger", tick()).await;
    world.aws.heal();
    assert_eq!(failed.answer.as_ref().map_err(|failure| failure.kind), Err("AuditRunReadFailed"));
    assert_eq!(audit_run(&world), Some((3, false)));
    // An order that cannot be read is looked at again in the next round.
    world.aws.fail(2, Fault::Throttle);
    let unread = world.report(tick()).await;
    world.aws.heal();
    assert_eq!(
        (&unread["not_checked"], unbalanced(&unread)),
        (&json!([world.refunded]), BTreeSet::new())
    );
    assert_eq!(audit_run(&world), Some((4, false)));
    world.clock.advance(Duration::from_secs(24 * 3600));
    // By now its last change is long ago: it is reported until its records are corrected, by the
    // schedule and to an operator.
    assert_eq!(unbalanced(&world.report(tick()).await), BTreeSet::from([world.refunded.clone()]));
    assert_eq!(audit_run(&world), Some((5, false)));
    world.clock.advance(Duration::from_secs(10 * 24 * 3600));
    assert_eq!(world.unbalanced().await, BTreeSet::from([world.refunded.clone()]));
    order["refunded_total"] = json!({ "N": paid_back });
    world.aws.put("orders", &order);
    assert!(unbalanced(&world.report(tick()).await).is_empty());
    assert!(world.unbalanced().await.is_empty());
}
