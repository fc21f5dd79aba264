//! Tests of the domain: fixtures, every kind of event, the states that events reach, and the
//! invariants of every step.
//!
//! [`machine`] tests the whole state machine, [`free`] that of orders of total 0, [`unshipped`]
//! that of orders that ship nothing, [`placement`] the prices and limits from the catalogue,
//! [`ordered_cart`] the orders of carts, and [`waiting`] commands without an answer. The other
//! modules are named after their subject.

mod actions;
mod address;
mod buyer;
mod free;
mod history;
mod machine;
mod money;
mod ordered_cart;
mod payable;
mod placement;
mod product;
mod reversals;
mod unpaid;
pub(crate) mod unshipped;
mod waiting;

use std::{
    collections::{BTreeMap, VecDeque},
    io::Write,
    sync::OnceLock,
    time::Duration,
};

use serde_json::json;
use shared::{clock::Timestamp, ids, ids::Ids, market::TaxClass, telemetry::Trace};

use super::{
    actions::{Actor, AddressChange, Cancellation, Shipment},
    buyer::{Buyer, BuyerChange, Contact, Customer},
    command::PendingCommand,
    history::HistoryEntry,
    order_request::{OrderOfItems, tests::order_of_items},
    placement::Terms,
    progress::Progress,
    saga::{DisputeStatus, Event, PaymentUpdate, Rejection, StockUpdate},
    schedule::Unanswered,
    *,
};

const TIMING: Timing = Timing { first_retry: Duration::from_secs(60) };
const TERMS: Terms =
    Terms { pay_within: Duration::from_secs(1800), max_per_order: 20, requires_market: false };
const START: Timestamp = Timestamp::from_milliseconds(1_700_000_000_000);
pub(crate) const TOTAL: i64 = 5998;
/// The amount of a partial refund by an operator.
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
        tax_class: TaxClass::default(),
        weight_g: 0,
        requires_shipping: true,
        category: None,
        prices: Vec::new(),
    }
}

/// The contact of the buyer Ada at this version of her account.
fn contact(version: u64) -> Contact {
    Contact { name: format!("Ada {version}"), email: format!("ada-{version}@example.com"), version }
}

fn placement() -> Placement {
    Placement {
        order_id: ids::derive(&["order"]),
        user_id: ids::derive(&["buyer"]),
        cart: None,
        buyer: contact(0),
        fingerprint: "request-fingerprint".to_owned(),
        terms: TERMS,
        network: Some("a network".to_owned()),
        trace: Trace::start(&Ids::seeded(1)),
        now: START,
        timing: TIMING,
    }
}

/// An order of two spoons, with these fields of the request added or replaced.
fn order_request(extra: serde_json::Value) -> OrderOfItems {
    let address = json!({ "name": "Ada", "line1": "1 Street", "city": "Town", "postal_code": "1", "country": "GB" });
    let mut order_request = json!({ "items": [{ "product_id": product().product_id, "quantity": 2 }], "shipping_address": address });
    order_request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    order_of_items(order_request)
}

/// An order with a shipping address and a card to charge.
pub(crate) fn placed() -> Order {
    let card = json!({ "payment_method": { "type": "card", "token": "tok_ada" } });
    Order::place(placement(), order_request(card), &[product()], &[]).unwrap()
}

/// An order of total 0 with a shipping address, whose request has a card.
pub(crate) fn placed_free() -> Order {
    let card = json!({ "payment_method": { "type": "card", "token": "tok_ada" } });
    let price = serde_json::from_value(json!({ "amount": 0, "currency": "USD" })).unwrap();
    let gift = Product { price, ..product() };
    Order::place(placement(), order_request(card), &[gift], &[]).unwrap()
}

/// An order with this progress.
fn with_progress(progress: Progress) -> Order {
    Order { progress, ..placed() }
}

fn without_address(order: &Order) -> Order {
    let order = order.clone();
    Order { customer: Customer { shipping_address: None, ..order.customer }, ..order }
}

pub(crate) fn money(captured_total: i64, refunded_total: i64) -> PaymentUpdate {
    PaymentUpdate {
        version: 9,
        payment_id: Some("pay_1".to_owned()),
        captured_total,
        refunded_total,
        ..PaymentUpdate::default()
    }
}

/// A full refund that failed after it had succeeded.
fn reversed() -> PaymentUpdate {
    PaymentUpdate { refunds_reversed_total: TOTAL, ..money(TOTAL, TOTAL) }
}

/// A dispute with this status, and the amounts that the bank withdrew and reinstated.
fn disputed(dispute: DisputeStatus, withdrawn: i64, reinstated: i64) -> PaymentUpdate {
    PaymentUpdate {
        dispute: Some(dispute),
        dispute_withdrawn_total: withdrawn,
        dispute_reinstated_total: reinstated,
        ..money(TOTAL, 0)
    }
}

pub(crate) fn stock(version: u64) -> StockUpdate {
    StockUpdate { version, out_of_stock: None }
}

/// A cancellation by the buyer, with personal data in the reason.
pub(crate) fn cancel() -> Event {
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

/// A change of the shipping address by the buyer.
fn move_to(name: &str, country: &str) -> Event {
    let address = json!({ "name": name, "line1": "2 Street", "city": "Town", "postal_code": "2", "country": country });
    let shipping_address = serde_json::from_value(address).unwrap();
    Event::ChangeAddress(AddressChange { by: Actor::Customer, shipping_address })
}

/// Every kind of event.
pub(crate) fn events() -> Vec<Event> {
    vec![
        Event::StockReserved(stock(9)),
        Event::StockRejected(StockUpdate { out_of_stock: Some(product().product_id), ..stock(9) }),
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
        move_to("Ada King", "GB"),
        Event::BuyerChanged(BuyerChange::Changed(contact(9))),
        Event::BuyerChanged(BuyerChange::Deleted),
    ]
}

/// The time of events, after the payment deadline.
const LATER: Timestamp = Timestamp::from_milliseconds(1_700_000_000_000 + 3_600_000);

/// The order after an event; unchanged if it rejects the event.
pub(crate) fn after(order: &Order, event: &Event) -> Order {
    match order.apply(event, LATER, TIMING) {
        Ok(Some(next)) => next,
        Ok(None) => order.clone(),
        Err(rejection) => match (&rejection, event) {
            (Rejection::NotCancellable { .. }, Event::Cancel(_)) => order.clone(),
            (
                Rejection::InvalidTransition { .. },
                Event::Ship(_) | Event::Deliver | Event::ChangeAddress(_),
            ) => order.clone(),
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
        "the goal changed again: {}",
        context()
    );
    let sums = sums(before).into_iter().zip(sums(next));
    assert!(
        sums.into_iter().all(|(before, next)| next >= before),
        "a sum of money decreased: {}",
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
        "a check is scheduled if and only if a command is pending: {}",
        context()
    );
    let clearable =
        ["refund_failed", "payment_disputed", "dispute_lost", "duplicate_capture_refund_failed"];
    assert!(
        before.progress.review_reasons().all(|reason| clearable.contains(&reason)
            || next.progress.review_reasons().any(|still| still == reason)),
        "{}",
        context()
    );
    let is_fully_returned = next.progress.captured_total > 0
        && next.progress.returned_total() >= next.progress.captured_total;
    assert!(
        next.progress.goal != Goal::Fulfil
            || next.progress.status != Status::Pending
            || !is_fully_returned,
        "a pending order continues although all money was returned: {}",
        context()
    );
    let has_paid = next.progress.payment == PaymentState::Paid;
    assert!(
        !has_paid || next.placed.is_free() || next.progress.captured_total > 0,
        "an order is paid without a capture: {}",
        context()
    );
    assert!(
        before.customer.buyer != Buyer::Redacted || next.customer.buyer == Buyer::Redacted,
        "a redacted buyer is known again: {}",
        context()
    );
    assert!(
        next.customer.buyer_change.is_none() || !next.progress.is_settled(),
        "a settled order has an account change that was not applied: {}",
        context()
    );
}

fn rank(status: &Status) -> u8 {
    match status {
        Status::Pending => 0,
        Status::Confirmed => 1,
        Status::Shipped => 2,
        Status::Delivered | Status::Cancelled | Status::Failed => 3,
        Status::Unknown(_) => unreachable!("no test creates it"),
    }
}

/// The stored form of an order.
fn stored(order: &Order) -> String {
    serde_json::to_string(order).unwrap()
}

/// The part of an order that decides its next states.
fn state_key(order: &Order) -> String {
    let Progress { goal, status, stock, payment, refund_refused, .. } = &order.progress;
    let refused = if *refund_refused { " refused" } else { "" };
    format!(
        "{goal:?}/{status:?} stock {stock:?} payment {payment:?} money {:?}{refused}",
        sums(order)
    )
}

/// Whether [`state_key`] is the same for both. Millions of steps call this, and comparing strings
/// would take most of their time.
fn has_same_state(one: &Order, other: &Order) -> bool {
    let (left, right) = (&one.progress, &other.progress);
    (&left.goal, &left.status, &left.stock, &left.payment, left.refund_refused)
        == (&right.goal, &right.status, &right.stock, &right.payment, right.refund_refused)
        && sums(one) == sums(other)
}

/// The five totals of money that never decrease.
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

/// Every state that events can reach, in any order and repeated. Account changes are left out,
/// because they lead to no other state. Explored once for all tests.
pub(crate) fn reachable() -> &'static BTreeMap<String, Order> {
    static STATES: OnceLock<BTreeMap<String, Order>> = OnceLock::new();
    STATES.get_or_init(|| explore(placed()))
}

/// Every state that events can reach from a free order.
pub(crate) fn reachable_free() -> BTreeMap<String, Order> {
    explore(placed_free())
}

/// Every state that events can reach from this order.
fn explore(placed: Order) -> BTreeMap<String, Order> {
    let events = events();
    let mut found = BTreeMap::from([(state_key(&placed), placed.clone())]);
    let mut next = VecDeque::from([placed]);
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

/// Whether the other services can send the event. A payment with a capture never reports closed,
/// and a closed payment never captures. Refunds never exceed captures. Events about money may
/// arrive late and with any name. Payments can only close the payment of a free order.
fn is_possible(order: &Order, event: &Event) -> bool {
    match event {
        _ if order.placed.is_free() && free::is_of_payments(event) => {
            matches!(event, Event::PaymentClosed(_))
        }
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

/// The possible answers to a command. Payments reports the present state of the payment, which is
/// not always what the command requested.
fn answers(order: &Order, command: PendingCommand) -> Vec<Event> {
    // Payments knows at least the totals that the order received.
    let update = |captured_total, refunded_total| PaymentUpdate {
        version: 99,
        captured_total,
        refunded_total,
        ..update_of(order)
    };
    let money_events = || {
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
            money_events()
        }
        PendingCommand::OpenPayment => {
            [vec![Event::PaymentClosed(update(0, 0)), Event::Deadline], money_events()].concat()
        }
        PendingCommand::CancelPayment => {
            [vec![Event::PaymentClosed(update(0, 0))], money_events()].concat()
        }
        PendingCommand::RefundPayment => money_events(),
    }
}

/// The update that payments reports if nothing has happened since the last event.
fn update_of(order: &Order) -> PaymentUpdate {
    PaymentUpdate {
        refunds_reversed_total: order.progress.refunds_reversed_total,
        dispute_withdrawn_total: order.progress.dispute_withdrawn_total,
        dispute_reinstated_total: order.progress.dispute_reinstated_total,
        refund_refused: order.progress.refund_refused,
        ..money(order.progress.captured_total, order.progress.refunded_total)
    }
}

/// Follows every path on which the pending commands are answered. Fails if a path does not end in
/// settlement.
fn settle(order: &Order, depth: u32, on_settled: &mut impl FnMut(&Order)) {
    if order.progress.is_settled() {
        return on_settled(order);
    }
    if order.progress.is_idle() {
        // An operator refunds the order, and payments reports it.
        assert!(order.progress.pending_commands().is_empty(), "{}", state_key(order));
        let refund = PaymentUpdate { version: 99, ..update_of(order) };
        let refund = PaymentUpdate {
            refunded_total: order.progress.refunded_total + TOTAL - order.progress.returned_total(),
            ..refund
        };
        return settle(&after(order, &Event::PaymentRefunded(refund)), depth + 1, on_settled);
    }
    assert!(depth < 12, "no settlement after 12 answers: {}", state_key(order));
    let pending = order.progress.pending_commands();
    assert!(!pending.is_empty(), "unsettled, but no command is pending: {}", state_key(order));
    for command in pending {
        for answer in answers(order, command) {
            let next = after(order, &answer);
            assert!(
                !has_same_state(&next, order),
                "the answer {answer:?} to {command:?} changes nothing: {}",
                state_key(order)
            );
            settle(&next, depth + 1, on_settled);
        }
    }
}

fn print_line(line: &str) {
    // Bypasses the capture of the test runner: the counts are part of the result.
    let _ = writeln!(std::io::stderr(), "{line}");
}
