//! What an invocation of `reconcile-ledger` accepts.

use serde_json::json;

use super::*;
use crate::audit_run::Cursor;

fn read(event: Value) -> Option<ReconcileLedger> {
    serde_json::from_value(event).ok()
}

#[test]
fn schedule_and_operator_requests_are_distinguished() {
    let scheduled = json!({ "version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {} });
    assert_eq!(read(scheduled), Some(ReconcileLedger::Scheduled));
    assert_eq!(read(json!({})), Some(ReconcileLedger::Requested(AuditRequest::default())));
    let since = json!({ "since": "2026-11-20T00:00:00.000Z", "limit": 5 });
    assert!(matches!(
        read(since),
        Some(ReconcileLedger::Requested(AuditRequest { limit: Some(5), .. }))
    ));
    for invalid in [
        json!({ "sinse": "2026-11-20T00:00:00.000Z" }),
        json!({ "since": "yesterday" }),
        json!({ "order_id": "ord_1" }),
        json!([]),
    ] {
        assert_eq!(read(invalid.clone()), None, "{invalid}: a typo must not change the scope");
    }
}

#[test]
fn continuation_round_trips_through_json() {
    let at = Timestamp::from_milliseconds(1_795_255_200_000);
    let continuation = Continuation {
        since: at,
        until: at,
        cursor: Cursor { source: 7, after: Some("x".to_owned()) },
        recheck: vec![shared::ids::derive(&["order"])],
    };
    let event = json!({ "continuation": serde_json::to_value(&continuation).unwrap() });
    let request = AuditRequest { continuation: Some(continuation), ..AuditRequest::default() };
    assert_eq!(read(event), Some(ReconcileLedger::Requested(request)));
}
