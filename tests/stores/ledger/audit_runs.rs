//! Scheduled audits: one run a day, continued over as many invocations as it needs.

use std::time::Duration;

use super::{fixture::*, *};

/// The stored audit run: its version, and whether it has a continuation.
fn audit_run(fixture: &LedgerFixture) -> Option<(u64, bool)> {
    let found = fixture
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
async fn scheduled_audit_runs_once_a_day_over_several_invocations() {
    let fixture = LedgerFixture::past_grace().await;
    let mut order = fixture.order_item(&fixture.refunded);
    let paid_back = text(&order["refunded_total"]["N"]);
    order["refunded_total"] = json!({ "N": "0" });
    fixture.aws.put("orders", &order);
    // The first invocation has no time left: it only starts the run.
    let mut invocation = Invocation::with_event(tick());
    invocation.deadline = Clock::System.now().plus(Duration::from_secs(5));
    assert_eq!(
        fixture.aws.invoke(&fixture.lambda("reconcile-ledger"), invocation).await.ok()["checked"],
        0
    );
    assert_eq!(audit_run(&fixture), Some((1, true)));
    // The next one continues it. Every caller gets the mismatches.
    let report = fixture.report(tick()).await;
    assert_eq!(
        (&report["checked"], unbalanced(&report)),
        (&json!(4), BTreeSet::from([fixture.refunded.clone()]))
    );
    assert_eq!(audit_run(&fixture), Some((2, false)));
    // The run of this day is complete: an idle invocation costs one read beside the two writes of
    // the lease.
    fixture.clock.advance(Duration::from_secs(3600));
    let idle = fixture.call("reconcile-ledger", tick()).await;
    assert_eq!(
        (&idle.ok()["checked"], idle.operations()),
        (&json!(0), vec!["PutItem", "GetItem", "PutItem"])
    );
    // The next day starts a new run over the changes since the last one.
    fixture.clock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(
        unbalanced(&fixture.report(tick()).await),
        BTreeSet::from([fixture.refunded.clone()])
    );
    assert_eq!(audit_run(&fixture), Some((3, false)));

    // The invocation after a failed one repeats the run.
    fixture.clock.advance(Duration::from_secs(24 * 3600));
    fixture.aws.fail(1, Fault::Throttle);
    let failed = fixture.call("reconcile-ledger", tick()).await;
    fixture.aws.heal();
    assert_eq!(failed.answer.as_ref().map_err(|failure| failure.kind), Err("AuditRunReadFailed"));
    assert_eq!(audit_run(&fixture), Some((3, false)));
    // An unreadable order is checked again in the next run.
    fixture.aws.fail(2, Fault::Throttle);
    let unread = fixture.report(tick()).await;
    fixture.aws.heal();
    assert_eq!(
        (&unread["not_checked"], unbalanced(&unread)),
        (&json!([fixture.refunded]), BTreeSet::new())
    );
    assert_eq!(audit_run(&fixture), Some((4, false)));
    fixture.clock.advance(Duration::from_secs(24 * 3600));
    // Its last change is outside the run's period by now. The schedule and an operator's audit
    // still report it until its records are corrected.
    assert_eq!(
        unbalanced(&fixture.report(tick()).await),
        BTreeSet::from([fixture.refunded.clone()])
    );
    assert_eq!(audit_run(&fixture), Some((5, false)));
    fixture.clock.advance(Duration::from_secs(10 * 24 * 3600));
    assert_eq!(fixture.unbalanced().await, BTreeSet::from([fixture.refunded.clone()]));
    order["refunded_total"] = json!({ "N": paid_back });
    fixture.aws.put("orders", &order);
    assert!(unbalanced(&fixture.report(tick()).await).is_empty());
    assert!(fixture.unbalanced().await.is_empty());
}
