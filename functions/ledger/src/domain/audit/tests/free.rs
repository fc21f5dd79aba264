//! Orders of total 0: payments and the ledger have no record of money.

use super::{record::IntentState, *};

/// A confirmed order of total 0, which payments does not know.
fn free() -> OrderSnapshot {
    let mut it = delivered();
    order_of(&mut it).status = Status::Confirmed;
    order_of(&mut it).totals.total = 0;
    order_of(&mut it).captured_total = 0;
    it.intent = None;
    it.attempts.clear();
    it.provider = Some(Statement::default());
    it.entries.retain(|entry| entry.kind.name() == "commit");
    it
}

/// An order of total 0 that was cancelled before its stock was reserved: payments has closed its
/// payment.
fn free_and_cancelled() -> OrderSnapshot {
    let mut it = free();
    let order = order_of(&mut it);
    (order.status, order.goal) = (Status::Cancelled, record::Goal::Compensate);
    (order.stock, order.payment) = (StockState::Released, PaymentState::Closed);
    it.reservation = Some(reservation("released"));
    it.intent = Some(read(json!({
        "state": "closed", "amount": 0, "currency": "USD", "captured_total": 0,
        "refunded_total": 0, "refundable": 0, "version": 1, "updated_at": AT,
    })));
    it.entries.clear();
    it
}

#[test]
fn free_order_without_a_payment_is_balanced() {
    for snapshot in [free(), free_and_cancelled()] {
        let verdict = snapshot.reconcile(at(), GRACE);
        assert_eq!((verdict.status, verdict.findings), (AuditStatus::Balanced, vec![]));
    }
}

#[test]
fn payment_of_a_free_order_is_found() {
    assert_cases(
        free_and_cancelled,
        &[
            (|it| intent_of(it).state = IntentState::Other, &["no_payment"]),
            (
                |it| {
                    let attempt = delivered().attempts.remove(0);
                    it.attempts.push(AttemptRecord { state: Outcome::Failed, ..attempt });
                },
                &["no_payment"],
            ),
        ],
    );
    assert_cases(
        free,
        &[
            (
                |it| it.entries.push(moved("capture", "USD", 1)),
                &["captured_by_ledger", "funds_in_ledger"],
            ),
            (|it| order_of(it).captured_total = 1, &["captured_by_order"]),
        ],
    );
}
