//! The checks of sales: the sale of a confirmed order, and the share that returned money reverses.

use super::*;
use crate::domain::Balances;

/// An entry that moves money from the funds of the order to its revenue (above 0), or back.
pub(super) fn sold(kind: &str, amount: i64) -> RecordedEntry {
    let unit = Unit::parse("USD").unwrap();
    let line = |account, amount| Line { account, unit, amount };
    let funds = line(Account::CustomerFunds(order_id()), amount);
    entry(kind, [funds, line(Account::RevenueGoods, -amount)])
}

/// The order was cancelled after its confirmation, and its payment refunded.
fn cancelled_later() -> OrderSnapshot {
    let mut it = cancelled();
    let history = json!([{ "at": AT, "status": "confirmed" }, { "at": AT, "status": "cancelled" }]);
    order_of(&mut it).history = read(history);
    it.entries.extend([sold("sale", 500), sold("sale_reversal", -500)]);
    it
}

/// The bank withdrew the whole payment, of which 2.00 USD had been refunded before.
fn over_returned() -> OrderSnapshot {
    let mut it = disputed();
    order_of(&mut it).refunded_total = 200;
    intent_of(&mut it).refunded_total = 200;
    it.attempts[0].refunded = 200;
    it.refunds = vec![refund(200, "succeeded")];
    let refunded = statement::RefundRecord { charge_id: "ch_1".to_owned(), amount: 200 };
    provider_of(&mut it).refunds.insert("ref_1".to_owned(), refunded);
    charge_of(&mut it).refundable = 300;
    it.entries.push(moved("refund", "USD", -200));
    it
}

/// The order has a market: goods for 4.20 USD and 0.80 USD of tax.
fn taxed() -> OrderSnapshot {
    let mut it = delivered();
    order_of(&mut it).price = Some(read(json!({
        "lines": [{ "net": 420 }], "tax_summary": [[0, 420, 80]], "rates": [{ "jurisdiction": "DE" }],
    })));
    let unit = Unit::parse("USD").unwrap();
    let sale = it.entries.last_mut().unwrap();
    sale.lines[1].amount = -420;
    sale.lines.push(Line { account: Account::parse("tax:DE").unwrap(), unit, amount: -80 });
    it
}

#[test]
fn sale_of_a_settled_order_leaves_no_funds() {
    for (snapshot, funds) in [(taxed(), 0), (cancelled_later(), 0), (over_returned(), 200)] {
        let verdict = snapshot.reconcile(at(), GRACE);
        assert_eq!((verdict.status, verdict.findings), (AuditStatus::Balanced, vec![]));
        let mut balances = Balances::default();
        snapshot.entries.iter().for_each(|entry| balances.add(&entry.lines));
        let unit = Unit::parse("USD").unwrap();
        assert_eq!(balances.funds(order_id(), unit).balance(), funds);
    }
}

#[test]
fn contradictions_of_the_sale_are_found() {
    assert_cases(
        taxed,
        &[
            (|_| {}, &[]),
            (
                |it| {
                    it.entries.pop();
                },
                &["funds_in_ledger", "sale_in_ledger", "sale_in_ledger"],
            ),
            (|it| order_of(it).price = None, &["sale_in_ledger", "sale_in_ledger"]),
            (
                |it| {
                    let price =
                        json!({ "lines": [{ "net": 421 }], "tax_summary": [], "rates": [] });
                    order_of(it).price = Some(read(price));
                },
                &["sale_of_order", "sale_in_ledger", "sale_in_ledger"],
            ),
            (
                |it| it.entries.push(sold("sale_reversal", -5)),
                &["funds_in_ledger", "sale_in_ledger"],
            ),
        ],
    );
    assert_cases(
        cancelled,
        &[(|it| it.entries.push(sold("sale", 500)), &["funds_in_ledger", "sale_in_ledger"])],
    );
    assert_cases(
        cancelled_later,
        &[(
            |it| {
                it.entries.pop();
            },
            &["funds_in_ledger", "sale_in_ledger"],
        )],
    );
}

#[test]
fn sale_of_an_order_in_progress_is_compared_with_its_payments() {
    let mut it = delivered();
    order_of(&mut it).payment = PaymentState::InProgress;
    it.entries.pop();
    let verdict = it.reconcile(at().plus(GRACE), GRACE);
    assert_eq!(checks(&verdict), ["funds_in_ledger", "sale_in_ledger"]);
}
