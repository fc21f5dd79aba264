//! Whether an order can be paid, is charged, or counts as unpaid: each condition fails alone.

use super::*;

/// The progress of an order that its buyer can pay.
fn payable() -> Progress {
    Progress {
        stock: StockState::Reserved,
        payment: PaymentState::Open,
        payment_opened: true,
        ..placed().progress
    }
}

/// The progress of an order whose card is charged.
fn charged() -> Progress {
    Progress { payment_opened: false, ..payable() }
}

#[test]
fn order_is_payable_until_its_payment_deadline() {
    let order = with_progress(payable());
    let deadline = order.placed.expires_at;
    let just_before = Timestamp::from_milliseconds(deadline.milliseconds() - 1);
    assert!(order.is_payable(just_before) && !order.is_payable(deadline));
    assert!(order.progress.awaits_buyer());
}

#[test]
fn order_is_payable_only_with_reserved_stock_and_an_open_payment() {
    for progress in [
        Progress { goal: Goal::Cancel, ..payable() },
        Progress { stock: StockState::Reserving, ..payable() },
        Progress { payment: PaymentState::Closing, ..payable() },
    ] {
        let order = with_progress(progress);
        assert!(!order.is_payable(START), "{}", state_key(&order));
        assert!(!order.progress.awaits_buyer(), "{}", state_key(&order));
    }
}

#[test]
fn order_with_a_card_is_charged_until_an_answer_arrives() {
    let order = with_progress(charged());
    assert!(order.is_charged_automatically() && !order.is_payable(START));
    for progress in [
        Progress { goal: Goal::Cancel, ..charged() },
        Progress { payment: PaymentState::Processing, ..charged() },
        Progress { payment_opened: true, ..charged() },
        Progress { last_declined: Some("pay_1".to_owned()), ..charged() },
    ] {
        let order = with_progress(progress);
        assert!(!order.is_charged_automatically(), "{}", state_key(&order));
    }
    let without_card = Customer { payment_method: None, ..order.customer.clone() };
    let order = Order { customer: without_card, ..order };
    assert!(!order.is_charged_automatically() && order.is_payable(START));
}

#[test]
fn order_is_unpaid_only_while_it_is_pending_and_can_be_paid() {
    for payment in
        [PaymentState::None, PaymentState::Open, PaymentState::Processing, PaymentState::Unknown]
    {
        let order = with_progress(Progress { payment, ..payable() });
        assert!(order.is_unpaid(), "{}", state_key(&order));
    }
    for progress in [
        Progress { goal: Goal::Cancel, ..payable() },
        Progress { status: Status::Confirmed, ..payable() },
        Progress { payment: PaymentState::Paid, ..payable() },
    ] {
        let order = with_progress(progress);
        assert!(!order.is_unpaid() && !order.counts_as_unpaid(START), "{}", state_key(&order));
    }
}

#[test]
fn payment_status_follows_from_the_payment_state_and_refunds() {
    for (payment, status) in [
        (PaymentState::None, "unpaid"),
        (PaymentState::Open, "unpaid"),
        (PaymentState::Processing, "processing"),
        (PaymentState::Unknown, "unknown"),
        (PaymentState::Paid, "paid"),
        (PaymentState::Closing, "unpaid"),
        (PaymentState::Closed, "unpaid"),
        (PaymentState::Refunding, "refunding"),
        (PaymentState::Refunded, "refunded"),
        (PaymentState::RefundRefused, "refund_failed"),
    ] {
        let progress = Progress { payment, captured_total: TOTAL, ..payable() };
        assert_eq!(progress.payment_status(), status, "{:?}", progress.payment);
    }
    let paid = Progress { payment: PaymentState::Paid, captured_total: TOTAL, ..payable() };
    for refunded_total in [1, TOTAL - 1] {
        let progress = Progress { refunded_total, ..paid.clone() };
        assert_eq!(progress.payment_status(), "partially_refunded", "{refunded_total}");
    }
    let reversed = Progress { refunded_total: 1, refunds_reversed_total: 1, ..paid };
    assert_eq!(reversed.payment_status(), "paid");
}
