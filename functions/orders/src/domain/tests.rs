//! Orders and events to try the domain with, the states that they reach, and what holds for every
//! step.
//!
//! [`machine`]: the whole state machine. [`placement`]: what the catalogue decides. [`waiting`]:
//! commands without an answer. The others are named after what they try.

mod actions;
mod buyer;
mod history;
mod machine;
mod money;
mod placement;
mod reversals;
mod unpaid;
mod waiting;

use std::{
    collections::{BTreeMap, VecDeque},
    io::Write,
    sync::OnceLock,
    time::Duration,
};

use serde_json::json;
use shared::{clock::Timestamp, ids, ids::Ids, telemetry::Trace};

use super::{
    actions::{Actor, Cancellation, Shipment},
    buyer::{Buyer, BuyerChange, Contact, Customer},
    command::PendingCommand,
    history::HistoryEntry,
    order_request::OrderRequest,
    placement::Terms,
    progress::Progress,
    saga::{DisputeStatus, Event, PaymentUpdate, Rejection, StockUpdate},
    schedule::Unanswered,
    *,
};

const TIMING: Timing = Timing { first_retry: Duration::from_secs(60) };
const TERMS: Terms = Terms { pay_within: Duration::from_secs(1800), max_per_order: 20 };
const START: Timestamp = Timestamp::from_milliseconds(1_700_000_000_000);
const TOTAL: i64 = 5998;
/// What an operator gives back.
const PARTIAL_REFUND: i64 = 1000;

fn product() -> Product {
    let price = serde_json::from_value(json!({ "amount": 2999, "currency": "USD" })).unwrap();
    Product {
        product_id: ids::derive(&["spoon"]),
        sku: "SPOON".to_owned(),
        name: "Spoon".to_owned(),
        price,
        active: true,
        max_per_order: Some(2),
        version: 1,
    }
}

/// Ada, as version so-and-so of her account has her.
fn contact(version: u64) -> Contact {
    Contact { name: format!("Ada {version}"), email: format!("ada-{version}@example.com"), version }
}

fn placement() -> Placement {
    Placement {
        order_id: ids::derive(&["order"]),
        user_id: ids::derive(&["buyer"]),
        buyer: contact(0),
        fingerprint: "made-of-all-that".to_owned(),
        terms: TERMS,
        network: Some("a network".to_owned()),
        trace: Trace::start(&Ids::seeded(1)),
    }
}

fn order_request(extra: serde_json::Value) -> OrderRequest {
    let address = json!({ "name": "Ada", "line1": "1 Street", "city": "Town", "postal_code": "1", "country": "GB" });
    let mut order_request = json!({ "items": [{ "product_id": product().product_id, "quantity": 2 }], "shipping_address": address });
    order_request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(order_request).unwrap()
}

/// With an address, and a card to be charged.
fn placed() -> Order {
    let card = json!({ "payment_method": { "type": "card", "token": "tok_ada" } });
    Order::place(placement(), order_request(card), &[product()], START, TIMING).unwrap()
}

/// An order that has come this far.
fn moved(progress: Progress) -> Order {
    Order { progress, ..placed() }
}

fn without_address(order: &Order) -> Order {
    let order = order.clone();
    Order { customer: Customer { shipping_address: None, ..order.customer }, ..order }
}

fn money(captured_total: i64, refunded_total: i64) -> PaymentUpdate {
    PaymentUpdate {
        version: 9,
        payment_id: Some("pay_1".to_owned()),
        captured_total,
        refunded_total,
        ..PaymentUpdate::default()
    }
}

/// The whole was refunded, and the refund failed later.
fn reversed() -> PaymentUpdate {
    PaymentUpdate { refunds_reversed_total: TOTAL, ..money(TOTAL, TOTAL) }
}

/// A dispute stands so; the bank took so much and gave so much back.
fn disputed(dispute: DisputeStatus, taken: i64, given_back: i64) -> PaymentUpdate {
    let (dispute_withdrawn_total, dispute_reinstated_total) = (taken, given_back);
    PaymentUpdate {
        dispute: Some(dispute),
        dispute_withdrawn_total,
        dispute_reinstated_total,
        ..money(TOTAL, 0)
    }
}

fn stock(version: u64) -> StockUpdate {
    StockUpdate { version, short: None }
}

/// Ada gives up, and tells about herself.
fn cancel() -> Event {
    let reason = "Ada's spoon broke".to_owned().try_into().unwrap();
    Event::Cancel(Cancellation { by: Actor::Customer, reason: Some(reason) })
}

fn ship() -> Event {
    Event::Ship(shipment("1"))
}

fn shipment(tracking: &str) -> Shipment {
    let text = |text: &str| text.to_owned().try_into().unwrap();
    Shipment { carrier: text("Post"), tracking: text(tracking) }
}

/// Whatever can happen to an order.
pub(crate) fn events() -> Vec<Event> {
    vec![
        Event::StockReserved(stock(9)),
        Event::StockRejected(StockUpdate { short: Some(product().product_id), ..stock(9) }),
        Event::StockCommitted(stock(9)),
        Event::StockReleased(stock(9)),
        Event::PaymentOpened(money(0, 0)),
        Event::PaymentStarted(money(0, 0)),
        Event::PaymentStarted(PaymentUpdate { requires_action: true, ..money(0, 0) }),
        Event::PaymentUnknown(money(0, 0)),
        Event::PaymentDeclined(money(0, 0)),
        Event::PaymentSucceeded(money(TOTAL, 0)),
        Event::PaymentSucceeded(money(TOTAL, PARTIAL_REFUND)),
        Event::PaymentClosed(money(0, 0)),
        Event::PaymentRefunded(money(TOTAL, TOTAL)),
        Event::RefundFailed(money(TOTAL, 0)),
        Event::RefundFailed(money(TOTAL, PARTIAL_REFUND)),
        Event::RefundFailed(reversed()),
        Event::RefundFailed(PaymentUpdate { refund_refused: true, ..money(TOTAL, 0) }),
        Event::PaymentSucceeded(PaymentUpdate {
            duplicate_capture_refund_refused: true,
            ..money(TOTAL, 0)
        }),
        Event::PaymentDisputed(disputed(DisputeStatus::Open, 0, 0)),
        Event::PaymentDisputed(disputed(DisputeStatus::Won, TOTAL, TOTAL)),
        Event::PaymentDisputed(disputed(DisputeStatus::Lost, TOTAL, 0)),
        cancel(),
        Event::Deadline,
        Event::Retry,
        ship(),
        Event::Ship(shipment("2")),
        Event::Deliver,
        Event::BuyerChanged(BuyerChange::Changed(contact(9))),
        Event::BuyerChanged(BuyerChange::Deleted),
    ]
}

/// The events whose moment is after the deadline, so that it counts.
const LATER: Timestamp = Timestamp::from_milliseconds(1_700_000_000_000 + 3_600_000);

/// The order after an event; as it is, if it does not take it.
pub(crate) fn after(order: &Order, event: &Event) -> Order {
    match order.apply(event, LATER, TIMING) {
        Ok(Some(next)) => next,
        Ok(None) => order.clone(),
        Err(rejection) => match (&rejection, event) {
            (Rejection::NotCancellable { .. }, Event::Cancel(_)) => order.clone(),
            (Rejection::InvalidTransition { .. }, Event::Ship(_) | Event::Deliver) => order.clone(),
            _ => panic!("{event:?} was rejected: {rejection}"),
        },
    }
}

fn check_step(before: &Order, event: &Event, next: &Order) {
    let context = || format!("{event:?}: {:?} -> {:?}", state_key(before), state_key(next));
    let is_final = |order: &Order| {
        matches!(order.progress.status, Status::Cancelled | Status::Failed | Status::Delivered)
    };
    assert!(
        !is_final(before) || before.progress.status == next.progress.status,
        "a final status changed: {}",
        context()
    );
    assert!(
        before.progress.goal == Goal::Fulfil || before.progress.goal == next.progress.goal,
        "the goal turned back: {}",
        context()
    );
    let sums = sums(before).into_iter().zip(sums(next));
    assert!(
        sums.into_iter().all(|(before, next)| next >= before),
        "money was forgotten: {}",
        context()
    );
    assert!(
        rank(&next.progress.status) >= rank(&before.progress.status),
        "the status moved back: {}",
        context()
    );
    assert_eq!(
        next.schedule.next_check_at.is_none(),
        next.progress.is_idle(),
        "unsettled orders are looked at, settled ones are not: {}",
        context()
    );
    let ends =
        ["refund_failed", "payment_disputed", "dispute_lost", "duplicate_capture_refund_failed"];
    assert!(
        before.progress.review_reasons().all(|what| ends.contains(&what)
            || next.progress.review_reasons().any(|still| still == what)),
        "{}",
        context()
    );
    let all_is_back = next.progress.captured_total > 0
        && next.progress.returned_total() >= next.progress.captured_total;
    assert!(
        next.progress.goal != Goal::Fulfil
            || next.progress.status != Status::Pending
            || !all_is_back,
        "nothing is paid, and it goes on: {}",
        context()
    );
    assert!(
        before.customer.buyer != Buyer::Redacted || next.customer.buyer == Buyer::Redacted,
        "somebody forgotten is known again: {}",
        context()
    );
    assert!(
        next.customer.buyer_change.is_none() || !next.progress.is_settled(),
        "nothing is owed, and the buyer is not up to date: {}",
        context()
    );
}

fn rank(status: &Status) -> u8 {
    match status {
        Status::Pending => 0,
        Status::Confirmed => 1,
        Status::Shipped => 2,
        Status::Delivered | Status::Cancelled | Status::Failed => 3,
        Status::Unknown(_) => unreachable!("never made here"),
    }
}

/// As it is written.
fn stored(order: &Order) -> String {
    serde_json::to_string(order).unwrap()
}

/// What decides how an order goes on.
fn state_key(order: &Order) -> String {
    let Progress { goal, status, stock, payment, refund_refused, .. } = &order.progress;
    let refused = if *refund_refused { " refused" } else { "" };
    format!(
        "{goal:?}/{status:?} stock {stock:?} payment {payment:?} money {:?}{refused}",
        sums(order)
    )
}

/// Whether [`state_key`] says the same of both. It is asked at every step of millions of ways,
/// where texts would take most of the time.
fn has_same_state(one: &Order, other: &Order) -> bool {
    let (left, right) = (&one.progress, &other.progress);
    (&left.goal, &left.status, &left.stock, &left.payment, left.refund_refused)
        == (&right.goal, &right.status, &right.stock, &right.payment, right.refund_refused)
        && sums(one) == sums(other)
}

/// All sums of money.
fn sums(order: &Order) -> [i64; 5] {
    let disputes =
        [order.progress.dispute_withdrawn_total, order.progress.dispute_reinstated_total];
    [
        order.progress.captured_total,
        order.progress.refunded_total,
        order.progress.refunds_reversed_total,
        disputes[0],
        disputes[1],
    ]
}

/// Every state that events can lead to, as far as the order can know: events come in any order, and
/// more than once. The buyer stays as they were: what becomes of them leads nowhere else. Explored
/// once for all tests.
pub(crate) fn reachable() -> &'static BTreeMap<String, Order> {
    static STATES: OnceLock<BTreeMap<String, Order>> = OnceLock::new();
    STATES.get_or_init(explore)
}

fn explore() -> BTreeMap<String, Order> {
    let events = events();
    let mut found = BTreeMap::from([(state_key(&placed()), placed())]);
    let mut next = VecDeque::from([placed()]);
    while let Some(order) = next.pop_front() {
        for event in &events {
            if !is_possible(&order, event) || matches!(event, Event::BuyerChanged(_)) {
                continue;
            }
            let reached = after(&order, event);
            check_step(&order, event, &reached);
            if found.insert(state_key(&reached), reached.clone()).is_none() {
                next.push_back(reached);
            }
        }
    }
    found
}

/// What the others promise: a payment that has captured never says closed, and one that has said so
/// never captures; no more is given back than was captured. Facts about money come late, and by
/// whatever name.
fn is_possible(order: &Order, event: &Event) -> bool {
    match event {
        Event::PaymentClosed(_) => order.progress.captured_total == 0,
        Event::PaymentSucceeded(_)
        | Event::PaymentRefunded(_)
        | Event::RefundFailed(_)
        | Event::PaymentDisputed(_) => {
            order.progress.payment != PaymentState::Closed || order.progress.goal != Goal::Fulfil
        }
        _ => true,
    }
}

/// What the one who is asked can answer: payments tells how the payment stands, and that is not
/// always what was asked for.
fn answers(order: &Order, command: PendingCommand) -> Vec<Event> {
    // What payments knows is at least what the order has heard.
    let update = |captured_total, refunded_total| PaymentUpdate {
        version: 99,
        captured_total,
        refunded_total,
        ..update_of(order)
    };
    let of_money = || {
        let (refunded, all) = (
            order.progress.refunded_total,
            order.progress.refunded_total + TOTAL - order.progress.returned_total(),
        );
        let mut updates = vec![
            Event::PaymentRefunded(update(TOTAL, all)),
            Event::PaymentDisputed(update(TOTAL, all)),
        ];
        if command == PendingCommand::RefundPayment {
            updates.push(Event::RefundFailed(PaymentUpdate {
                refund_refused: true,
                ..update(TOTAL, refunded)
            }));
        }
        if refunded < TOTAL && command != PendingCommand::RefundPayment {
            updates.push(Event::PaymentSucceeded(update(TOTAL, refunded)));
            updates.push(Event::PaymentSucceeded(update(TOTAL, refunded.max(PARTIAL_REFUND))));
            updates.push(Event::RefundFailed(update(TOTAL, refunded)));
            updates.push(Event::PaymentDisputed(update(TOTAL, refunded)));
        }
        updates
    };
    match command {
        PendingCommand::ReserveStock => {
            vec![Event::StockReserved(stock(99)), Event::StockRejected(stock(99))]
        }
        PendingCommand::CommitStock => vec![Event::StockCommitted(stock(99))],
        PendingCommand::ReleaseStock => vec![Event::StockReleased(stock(99))],
        PendingCommand::OpenPayment | PendingCommand::CancelPayment
            if order.progress.captured_total > 0 =>
        {
            of_money()
        }
        PendingCommand::OpenPayment => {
            [vec![Event::PaymentClosed(update(0, 0)), Event::Deadline], of_money()].concat()
        }
        PendingCommand::CancelPayment => {
            [vec![Event::PaymentClosed(update(0, 0))], of_money()].concat()
        }
        PendingCommand::RefundPayment => of_money(),
    }
}

/// What payments would say if nothing had happened since the order heard last.
fn update_of(order: &Order) -> PaymentUpdate {
    PaymentUpdate {
        refunds_reversed_total: order.progress.refunds_reversed_total,
        dispute_withdrawn_total: order.progress.dispute_withdrawn_total,
        dispute_reinstated_total: order.progress.dispute_reinstated_total,
        refund_refused: order.progress.refund_refused,
        ..money(order.progress.captured_total, order.progress.refunded_total)
    }
}

/// Follows every way on which the pending commands are answered; each must end in settlement.
fn settle(order: &Order, depth: u32, at_the_end: &mut impl FnMut(&Order)) {
    if order.progress.is_settled() {
        return at_the_end(order);
    }
    if order.progress.is_idle() {
        // A person refunds it; payments says so.
        assert!(order.progress.pending_commands().is_empty(), "{}", state_key(order));
        let back = PaymentUpdate { version: 99, ..update_of(order) };
        let back = PaymentUpdate {
            refunded_total: order.progress.refunded_total + TOTAL - order.progress.returned_total(),
            ..back
        };
        return settle(&after(order, &Event::PaymentRefunded(back)), depth + 1, at_the_end);
    }
    assert!(depth < 12, "no end in sight: {}", state_key(order));
    let pending = order.progress.pending_commands();
    assert!(!pending.is_empty(), "unsettled, but nothing is owed: {}", state_key(order));
    for command in pending {
        for answer in answers(order, command) {
            let next = after(order, &answer);
            assert!(
                !has_same_state(&next, order),
                "the answer {answer:?} to {command:?} changes nothing: {}",
                state_key(order)
            );
            settle(&next, depth + 1, at_the_end);
        }
    }
}

fn print_line(line: &str) {
    // Past the test runner's capture: the counts are part of what the test shows.
    let _ = writeln!(std::io::stderr(), "{line}");
}
