//! The rules of the reconciliation: records that agree, and one contradiction at a time.

mod free;
mod sale;

use provider::statement::{self, Statement};
use serde::de::DeserializeOwned;
use serde_json::{Value, from_value, json};
use shared::ids::{self, OrderId, ProductId};

use super::{
    record::{
        AttemptRecord, IntentRecord, OrderRecord, Outcome, PaymentState, RecordedEntry,
        RefundRecord, ReservationRecord, ReservationState, Status, StockRecord, StockState,
    },
    *,
};
use crate::domain::{Account, Line, ProductBalance, StockBucket, Unit};

const AT: &str = "2026-11-21T09:48:49.123Z";
const GRACE: Duration = Duration::from_secs(600);

/// Changes one record, and names the checks that fail.
type Case<'a> = (fn(&mut OrderSnapshot), &'a [&'a str]);

fn at() -> Timestamp {
    AT.parse().unwrap()
}

fn order_id() -> OrderId {
    ids::derive(&["order"])
}

fn spoon() -> ProductId {
    ids::derive(&["spoon"])
}

fn read<T: DeserializeOwned>(record: Value) -> T {
    from_value(record).unwrap()
}

fn entry(kind: &str, lines: [Line; 2]) -> RecordedEntry {
    RecordedEntry {
        entry_id: ids::derive(&[kind]),
        occurred_at: at(),
        kind: kind.to_owned().try_into().unwrap(),
        lines: lines.to_vec(),
    }
}

/// Money that moves to the provider, or away from it.
fn moved(kind: &str, currency: &str, amount: i64) -> RecordedEntry {
    let unit = Unit::parse(currency).unwrap();
    let line = |account, amount| Line { account, unit, amount };
    entry(
        kind,
        [
            line(Account::ProviderClearing, amount),
            line(Account::CustomerFunds(order_id()), -amount),
        ],
    )
}

fn committed(quantity: i64) -> RecordedEntry {
    let line = |bucket, amount| Line {
        account: Account::Stock(spoon(), bucket),
        unit: Unit::Pieces(spoon()),
        amount,
    };
    entry("commit", [line(StockBucket::OnHand, -quantity), line(StockBucket::ShippedOut, quantity)])
}

fn reservation(state: &str) -> ReservationRecord {
    let lines = json!({ (spoon().to_string()): 2 });
    read(json!({ "state": state, "lines": lines, "version": 2, "updated_at": AT }))
}

/// A delivered order of two spoons for 5.00 USD.
fn delivered() -> OrderSnapshot {
    let charge = statement::ChargeRecord {
        charge_id: "ch_1".to_owned(),
        payment_id: "pay_1".to_owned(),
        order_id: Some(order_id()),
        amount: 500,
        refundable: 500,
    };
    OrderSnapshot {
        order_id: order_id(),
        order: Some(read(json!({
            "status": "delivered", "goal": "fulfil", "stock": "committed", "payment": "paid",
            "lines": { (spoon().to_string()): { "quantity": 2 } },
            "totals": { "total": 500, "currency": "USD" }, "captured_total": 500, "version": 5,
            "history": [{ "at": AT, "status": "confirmed" }],
        }))),
        reservation: Some(reservation("committed")),
        intent: Some(read(json!({
            "state": "captured", "amount": 500, "currency": "USD", "captured_total": 500,
            "refunded_total": 0, "refundable": 500, "version": 3, "updated_at": AT,
        }))),
        attempts: vec![read(json!({
            "payment_id": "pay_1", "state": "succeeded", "amount": 500, "currency": "USD",
            "provider": "simulated", "transaction_id": "ch_1", "updated_at": AT,
        }))],
        refunds: Vec::new(),
        provider: Some(Statement {
            charges: [("pay_1".to_owned(), charge)].into(),
            ..Statement::default()
        }),
        entries: vec![moved("capture", "USD", 500), committed(2), sale::sold("sale", 500)],
    }
}

fn refund(amount: i64, state: &str) -> RefundRecord {
    read(json!({
        "refund_id": "ref_1", "payment_id": "pay_1", "kind": "requested", "state": state,
        "amount": amount, "provider_refund_id": "re_1", "updated_at": AT,
    }))
}

/// The order was cancelled before its commit, and its payment refunded.
fn cancelled() -> OrderSnapshot {
    let mut it = delivered();
    it.order = Some(read(json!({
        "status": "cancelled", "goal": "cancel", "stock": "released", "payment": "refunded",
        "lines": { (spoon().to_string()): { "quantity": 2 } },
        "totals": { "total": 500, "currency": "USD" }, "captured_total": 500,
        "refunded_total": 500, "version": 5, "history": [{ "at": AT }],
    })));
    it.reservation = Some(reservation("released"));
    intent_of(&mut it).refunded_total = 500;
    intent_of(&mut it).refundable = 0;
    it.attempts[0].refunded = 500;
    it.refunds = vec![refund(500, "succeeded")];
    let refunded = statement::RefundRecord { charge_id: "ch_1".to_owned(), amount: 500 };
    provider_of(&mut it).refunds.insert("ref_1".to_owned(), refunded);
    charge_of(&mut it).refundable = 0;
    it.entries = vec![moved("capture", "USD", 500), moved("refund", "USD", -500)];
    it
}

/// The bank withdrew the whole payment.
fn disputed() -> OrderSnapshot {
    let mut it = delivered();
    order_of(&mut it).dispute_withdrawn_total = 500;
    intent_of(&mut it).dispute_withdrawn_total = 500;
    intent_of(&mut it).refundable = 0;
    let dispute = json!({ "dispute_id": "dp_1", "payment_id": "pay_1", "held_amount": 500 });
    intent_of(&mut it).disputes = vec![read(dispute)];
    provider_of(&mut it).disputes.insert("dp_1".to_owned(), 500);
    it.entries.push(moved("dispute_withdrawal", "USD", -500));
    it.entries.push(sale::sold("sale_reversal", -500));
    it
}

/// A refund of 2.00 USD succeeded, and failed later.
fn reversed() -> OrderSnapshot {
    let mut it = delivered();
    order_of(&mut it).refunded_total = 200;
    order_of(&mut it).refunds_reversed_total = 200;
    intent_of(&mut it).refunded_total = 200;
    intent_of(&mut it).refunds_reversed_total = 200;
    it.refunds = vec![refund(200, "reversed")];
    it.entries.push(moved("refund", "USD", -200));
    it.entries.push(moved("refund_reversal", "USD", 200));
    it.entries.extend([sale::sold("sale_reversal", -200), sale::sold("sale_reinstatement", 200)]);
    it
}

fn order_of(it: &mut OrderSnapshot) -> &mut OrderRecord {
    it.order.as_mut().unwrap()
}

fn intent_of(it: &mut OrderSnapshot) -> &mut IntentRecord {
    it.intent.as_mut().unwrap()
}

fn reservation_of(it: &mut OrderSnapshot) -> &mut ReservationRecord {
    it.reservation.as_mut().unwrap()
}

fn attempt_of(it: &mut OrderSnapshot) -> &mut AttemptRecord {
    &mut it.attempts[0]
}

fn provider_of(it: &mut OrderSnapshot) -> &mut Statement {
    it.provider.as_mut().unwrap()
}

fn charge_of(it: &mut OrderSnapshot) -> &mut statement::ChargeRecord {
    provider_of(it).charges.get_mut("pay_1").unwrap()
}

fn checks(verdict: &Verdict) -> Vec<&'static str> {
    verdict.findings.iter().map(|finding| finding.check).collect()
}

fn assert_cases(base: fn() -> OrderSnapshot, cases: &[Case<'_>]) {
    for (number, (change, failed)) in cases.iter().enumerate() {
        let mut snapshot = base();
        change(&mut snapshot);
        let verdict = snapshot.reconcile(at().plus(GRACE), GRACE);
        assert_eq!(checks(&verdict), *failed, "case {number}: {:?}", verdict.findings);
    }
}

#[test]
fn records_that_agree_are_balanced() {
    for snapshot in [delivered(), cancelled(), disputed(), reversed()] {
        let verdict = snapshot.reconcile(at(), GRACE);
        assert_eq!((verdict.status, verdict.findings), (AuditStatus::Balanced, vec![]));
        assert_eq!(verdict.last_changed_at, Some(at()));
        let without_provider = OrderSnapshot { provider: None, ..snapshot };
        assert_eq!(without_provider.reconcile(at(), GRACE).status, AuditStatus::Balanced);
    }
}

#[test]
fn contradictions_of_order_and_payments_are_found() {
    assert_cases(
        delivered,
        &[
            (|it| it.order = None, &["order_exists", "funds_in_ledger", "sale_in_ledger"]),
            (|it| order_of(it).captured_total = 400, &["captured_by_order"]),
            (|it| order_of(it).refunded_total = 1, &["refunded_by_order", "sale_in_ledger"]),
            (|it| order_of(it).refunds_reversed_total = 1, &["reversed_by_order"]),
            (
                |it| order_of(it).dispute_withdrawn_total = 1,
                &["disputed_by_order", "sale_in_ledger"],
            ),
            (|it| order_of(it).dispute_reinstated_total = 1, &["disputed_by_order"]),
            (
                |it| order_of(it).totals.total = 400,
                &["amount_due", "sale_in_ledger", "one_full_capture"],
            ),
            (|it| order_of(it).status = Status::Pending, &["confirmed"]),
            (|it| intent_of(it).amount = 400, &["amount_due"]),
            (|it| intent_of(it).refundable = 499, &["refundable"]),
            (
                |it| intent_of(it).refunds_reversed_total = 1,
                &["reversed_by_order", "reversed_by_payments"],
            ),
            (|it| intent_of(it).duplicate_refunds_reversed_total = 1, &["reversed_by_payments"]),
            (
                |it| intent_of(it).duplicate_captured_total = Some(1),
                &["duplicate_captures_by_payments"],
            ),
            (
                |it| intent_of(it).duplicate_refunded_total = Some(1),
                &["duplicate_captures_by_payments"],
            ),
            (|it| attempt_of(it).refunded = 1, &["refunded_of_payment"]),
            (
                |it| attempt_of(it).duplicate_capture = true,
                &[
                    "captured_by_payments",
                    "funds_in_ledger",
                    "one_full_capture",
                    "duplicate_captures_refunded",
                ],
            ),
            (
                |it| attempt_of(it).state = Outcome::NeedsReview,
                &[
                    "captured_by_payments",
                    "under_review",
                    "charge_at_provider",
                    "captured_by_ledger",
                    "one_full_capture",
                ],
            ),
        ],
    );
}

#[test]
fn contradictions_of_refunds_are_found() {
    assert_cases(
        cancelled,
        &[
            (
                |it| it.refunds[0].state = Outcome::Failed,
                &[
                    "refunded_by_payments",
                    "refundable",
                    "refunded_of_payment",
                    "refund_at_provider",
                    "refunded_by_ledger",
                    "funds_in_ledger",
                    "net_zero",
                ],
            ),
            (
                |it| it.refunds[0].state = Outcome::Open,
                &[
                    "refunded_by_payments",
                    "refunded_of_payment",
                    "refunded_by_ledger",
                    "funds_in_ledger",
                ],
            ),
            (
                |it| it.refunds[0].kind = "duplicate_capture".to_owned(),
                &["refunded_by_payments", "refundable", "net_zero", "duplicate_captures_refunded"],
            ),
        ],
    );
    assert_cases(
        reversed,
        &[(
            |it| it.refunds[0].state = Outcome::Succeeded,
            &[
                "reversed_by_payments",
                "refundable",
                "refunded_of_payment",
                "refund_at_provider",
                "captured_by_ledger",
            ],
        )],
    );
}

#[test]
fn contradictions_of_the_provider_are_found() {
    assert_cases(
        delivered,
        &[
            (|it| charge_of(it).amount = 400, &["charge_at_provider", "refundable_at_provider"]),
            (|it| charge_of(it).refundable = 499, &["refundable_at_provider"]),
            (|it| charge_of(it).order_id = None, &["order_at_provider"]),
            (
                |it| {
                    let refund =
                        statement::RefundRecord { charge_id: "ch_1".to_owned(), amount: 100 };
                    provider_of(it).refunds.insert("re_9".to_owned(), refund);
                },
                &["refund_at_provider", "refundable_at_provider"],
            ),
            (
                |it| {
                    provider_of(it).disputes.insert("dp_1".to_owned(), 500);
                },
                &["dispute_at_provider"],
            ),
        ],
    );
    assert_cases(
        cancelled,
        &[
            (
                |it| {
                    let refund = provider_of(it).refunds.remove("ref_1").unwrap();
                    provider_of(it).refunds.insert("re_1".to_owned(), refund);
                },
                &[],
            ),
            (
                |it| provider_of(it).refunds.get_mut("ref_1").unwrap().amount = 400,
                &["refund_at_provider", "refundable_at_provider"],
            ),
        ],
    );
    assert_cases(
        disputed,
        &[
            (
                |it| intent_of(it).disputes[0].held_amount = 400,
                &["disputed_by_payments", "dispute_at_provider"],
            ),
            (
                |it| intent_of(it).disputes[0].payment_id = "pay_2".to_owned(),
                &["dispute_at_provider"],
            ),
            (|it| provider_of(it).disputes.clear(), &["dispute_at_provider"]),
            (
                |it| intent_of(it).dispute_reinstated_total = 100,
                &["disputed_by_order", "disputed_by_payments", "refundable", "captured_by_ledger"],
            ),
        ],
    );
}

#[test]
fn contradictions_of_reservation_and_ledger_are_found() {
    const NOT_COMMITTED: [&str; 3] =
        ["reservation_state", "committed_in_ledger", "committed_in_ledger"];
    assert_cases(
        delivered,
        &[
            (|it| it.entries[0].lines[0].amount = 499, &["entry_balances", "captured_by_ledger"]),
            (
                |it| {
                    it.entries.remove(1);
                },
                &["committed_in_ledger", "committed_in_ledger"],
            ),
            (
                |it| it.entries.push(moved("refund", "EUR", -1)),
                &["currency_in_ledger", "currency_in_ledger"],
            ),
            (|it| reservation_of(it).state = ReservationState::Held, &NOT_COMMITTED),
            (|it| it.reservation = None, &NOT_COMMITTED),
            (|it| reservation_of(it).state = ReservationState::Unknown, &["reservation_state"]),
            (
                |it| reservation_of(it).lines[0].quantity = 3,
                &["reserved_quantity", "committed_in_ledger", "committed_in_ledger"],
            ),
        ],
    );
    assert_cases(
        cancelled,
        &[
            (|it| order_of(it).stock = StockState::Reserved, &["reservation_state"]),
            (|it| reservation_of(it).lines.clear(), &[]),
            (
                |it| {
                    reservation_of(it).state = ReservationState::Rejected;
                    reservation_of(it).lines.clear();
                },
                &["reserved_quantity"],
            ),
        ],
    );
}

#[test]
fn findings_count_once_no_record_has_changed_for_the_grace_period() {
    let mut snapshot = delivered();
    intent_of(&mut snapshot).refundable = 499;
    let just_before = Timestamp::from_milliseconds(at().plus(GRACE).milliseconds() - 1);
    assert_eq!(snapshot.reconcile(just_before, GRACE).status, AuditStatus::Unsettled);
    assert_eq!(snapshot.reconcile(at().plus(GRACE), GRACE).status, AuditStatus::Unbalanced);
    let later = at().plus(Duration::from_secs(1));
    let changes: [fn(&mut OrderSnapshot, Timestamp); 4] = [
        |it, later| reservation_of(it).updated_at = later,
        |it, later| intent_of(it).updated_at = later,
        |it, later| attempt_of(it).updated_at = later,
        |it, later| it.refunds[0].updated_at = later,
    ];
    for change in changes {
        let mut snapshot = cancelled();
        change(&mut snapshot, later);
        assert_eq!(snapshot.reconcile(later, GRACE).last_changed_at, Some(later));
    }
}

#[test]
fn order_with_a_pending_command_is_unsettled() {
    let changes: [fn(&mut OrderSnapshot); 3] = [
        |it| order_of(it).payment = PaymentState::InProgress,
        |it| order_of(it).goal = record::Goal::Unknown,
        |it| {
            let open = AttemptRecord { state: Outcome::Open, ..attempt_of(it).clone() };
            it.attempts.push(AttemptRecord { payment_id: "pay_2".to_owned(), ..open });
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut snapshot = delivered();
        change(&mut snapshot);
        let verdict = snapshot.reconcile(at().plus(GRACE), GRACE);
        assert_eq!(
            (verdict.status, checks(&verdict)),
            (AuditStatus::Unsettled, vec![]),
            "{number}"
        );
    }
}

#[test]
fn stock_of_a_product_equals_its_reservations_and_the_ledger() {
    let shard = |available, on_hand| StockRecord {
        available,
        on_hand,
        last_shard: 0,
        updated_at: Some(at()),
    };
    let balance = |on_hand| ProductBalance { on_hand, shipped_out: 0, outside: -5 };
    for (shards, reserved, balance, failed) in [
        (vec![shard(3, 5)], Some(2), Some(balance(5)), &[][..]),
        (vec![shard(1, 2), shard(2, 3)], Some(2), Some(balance(5)), &[]),
        (vec![shard(5, 5)], Some(0), None, &[]),
        (vec![shard(0, 5)], None, Some(balance(5)), &[]),
        (vec![shard(3, 5)], Some(1), Some(balance(5)), &["held_for_orders"]),
        (vec![shard(-1, 5)], Some(6), Some(balance(5)), &["possible_stock"]),
        (vec![shard(6, 5)], Some(-1), Some(balance(5)), &["possible_stock"]),
        (vec![shard(3, 5)], Some(2), Some(balance(4)), &["on_hand_in_ledger", "entry_balances"]),
    ] {
        let snapshot = ProductSnapshot { shards, reserved, balance };
        let verdict = snapshot.reconcile(at().plus(GRACE), GRACE);
        assert_eq!(checks(&verdict), failed, "{snapshot:?}");
        let is_balanced = verdict.status == AuditStatus::Balanced;
        assert_eq!((is_balanced, verdict.last_changed_at), (failed.is_empty(), Some(at())));
        let changing = snapshot.reconcile(at(), GRACE).status;
        assert_ne!(changing, AuditStatus::Unbalanced, "a change is in flight");
    }
}
