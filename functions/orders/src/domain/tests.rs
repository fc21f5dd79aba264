//! The state machine, taken through everything: each state x event, each event twice, each pair in both orders, and from each reachable
//! state to settlement.

mod buyer;
mod history;
mod late_money;
mod money;
mod people;
mod unpaid;

use std::{
    collections::{BTreeMap, VecDeque},
    io::Write,
    time::Duration,
};

use serde_json::json;
use shared::{clock::Timestamp, ids, ids::Ids, telemetry::Trace};

use super::{
    basket::Basket,
    buyer::{BuyerChange, Contact},
    saga::{DisputeStatus, Event, Owed, PaymentFact, Rejection, StockFact, owed},
    steps::Actor,
    *,
};

const TIMING: Timing = Timing { first_nudge: Duration::from_secs(60) };
const TERMS: Terms = Terms { pay_within: Duration::from_secs(1800), max_per_order: 20 };
const START: Timestamp = Timestamp::from_milliseconds(1_700_000_000_000);
const TOTAL: i64 = 5998;
/// What an operator gives back.
const PART: i64 = 1000;

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

fn basket(extra: serde_json::Value) -> Basket {
    let address = json!({ "name": "Ada", "line1": "1 Street", "city": "Town", "postal_code": "1", "country": "GB" });
    let mut basket = json!({ "items": [{ "product_id": product().product_id, "quantity": 2 }], "shipping_address": address });
    basket.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(basket).unwrap()
}

/// With an address, and a card to be charged.
fn placed() -> Order {
    let card = json!({ "payment_method": { "type": "card", "token": "tok_ada" } });
    Order::place(placement(), basket(card), &[product()], START, TIMING).unwrap()
}

fn money(captured_total: i64, refunded_total: i64) -> PaymentFact {
    PaymentFact { version: 9, payment_id: Some("pay_1".to_owned()), captured_total, refunded_total, ..PaymentFact::default() }
}

/// The whole was refunded, and the refund failed later.
fn reversed() -> PaymentFact {
    PaymentFact { refunds_reversed_total: TOTAL, ..money(TOTAL, TOTAL) }
}

/// A dispute stands so; the bank took so much and gave so much back.
fn disputed(dispute: DisputeStatus, taken: i64, given_back: i64) -> PaymentFact {
    let (dispute_withdrawn_total, dispute_reinstated_total) = (taken, given_back);
    PaymentFact { dispute: Some(dispute), dispute_withdrawn_total, dispute_reinstated_total, ..money(TOTAL, 0) }
}

fn stock(version: u64) -> StockFact {
    StockFact { version, short: None }
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
        Event::StockRejected(StockFact { short: Some(product().product_id), ..stock(9) }),
        Event::StockCommitted(stock(9)),
        Event::StockReleased(stock(9)),
        Event::PaymentStarted(money(0, 0)),
        Event::PaymentUnknown(money(0, 0)),
        Event::PaymentDeclined(money(0, 0)),
        Event::PaymentSucceeded(money(TOTAL, 0)),
        Event::PaymentSucceeded(money(TOTAL, PART)),
        Event::PaymentClosed(money(0, 0)),
        Event::PaymentRefunded(money(TOTAL, TOTAL)),
        Event::RefundFailed(money(TOTAL, 0)),
        Event::RefundFailed(money(TOTAL, PART)),
        Event::RefundFailed(reversed()),
        Event::RefundFailed(PaymentFact { refund_refused: true, ..money(TOTAL, 0) }),
        Event::PaymentSucceeded(PaymentFact { surplus_refund_refused: true, ..money(TOTAL, 0) }),
        Event::PaymentDisputed(disputed(DisputeStatus::Open, 0, 0)),
        Event::PaymentDisputed(disputed(DisputeStatus::Won, TOTAL, TOTAL)),
        Event::PaymentDisputed(disputed(DisputeStatus::Lost, TOTAL, 0)),
        cancel(),
        Event::Deadline,
        Event::Nudge,
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
    let context = || format!("{event:?}: {:?} -> {:?}", core(before), core(next));
    let is_final = |order: &Order| matches!(order.status, Status::Cancelled | Status::Failed | Status::Delivered);
    assert!(!is_final(before) || before.status == next.status, "a final status changed: {}", context());
    assert!(before.goal == Goal::Fulfil || before.goal == next.goal, "the goal turned back: {}", context());
    let sums = sums(before).into_iter().zip(sums(next));
    assert!(sums.into_iter().all(|(before, next)| next >= before), "money was forgotten: {}", context());
    assert!(rank(&next.status) >= rank(&before.status), "the status moved back: {}", context());
    assert_eq!(next.check_at.is_none(), next.is_at_rest(), "unsettled orders are looked at, settled ones are not: {}", context());
    let ends = ["refund_failed", "payment_disputed", "dispute_lost", "surplus_refund_failed"];
    assert!(before.attentions().all(|what| ends.contains(&what) || next.attentions().any(|still| still == what)), "{}", context());
    let all_is_back = next.captured_total > 0 && next.returned_total() >= next.captured_total;
    assert!(next.goal != Goal::Fulfil || next.status != Status::Pending || !all_is_back, "nothing is paid, and it goes on: {}", context());
    assert!(before.buyer != Buyer::Redacted || next.buyer == Buyer::Redacted, "somebody forgotten is known again: {}", context());
    assert!(next.buyer_change.is_none() || !next.is_settled(), "nothing is owed, and the buyer is not up to date: {}", context());
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
fn core(order: &Order) -> String {
    let Order { goal, status, stock, payment, refund_refused, .. } = order;
    let refused = if *refund_refused { " refused" } else { "" };
    format!("{goal:?}/{status:?} stock {stock:?} payment {payment:?} money {:?}{refused}", sums(order))
}

/// All sums of money.
fn sums(order: &Order) -> [i64; 5] {
    let disputes = [order.dispute_withdrawn_total, order.dispute_reinstated_total];
    [order.captured_total, order.refunded_total, order.refunds_reversed_total, disputes[0], disputes[1]]
}

fn every_state() -> Vec<Order> {
    let goals = [Goal::Fulfil, Goal::Cancel, Goal::Fail];
    let stocks = [
        StockLeg::Asked,
        StockLeg::Held,
        StockLeg::Committing,
        StockLeg::Committed,
        StockLeg::Rejected,
        StockLeg::Releasing,
        StockLeg::Released,
    ];
    let payments = [
        PaymentLeg::None,
        PaymentLeg::Open,
        PaymentLeg::Processing,
        PaymentLeg::Unknown,
        PaymentLeg::Paid,
        PaymentLeg::Closing,
        PaymentLeg::Closed,
        PaymentLeg::Refunding,
        PaymentLeg::Refunded,
        PaymentLeg::RefundRefused,
    ];
    let statuses = [Status::Pending, Status::Confirmed, Status::Shipped, Status::Delivered, Status::Cancelled, Status::Failed];
    let mut all = Vec::new();
    for goal in &goals {
        for stock in &stocks {
            for payment in &payments {
                for status in &statuses {
                    all.push(Order {
                        goal: goal.clone(),
                        stock: stock.clone(),
                        payment: payment.clone(),
                        status: status.clone(),
                        ..placed()
                    });
                }
            }
        }
    }
    all
}

fn say(line: &str) {
    // Past the test runner's capture: the counts are part of what the test shows.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn every_event_has_an_answer_in_every_state_and_the_second_copy_changes_nothing() {
    let (states, events) = (every_state(), events());
    let mut changes = 0;
    for state in &states {
        for event in &events {
            let once = after(state, event);
            changes += u32::from(once != *state);
            if *event != Event::Nudge {
                let twice = after(&once, event);
                assert_eq!(core(&once), core(&twice), "{event:?} twice from {}", core(state));
                assert_eq!(once.history, twice.history, "{event:?} twice from {}", core(state));
            }
        }
    }
    say(&format!("order state machine: {} states x {} events, each twice: {changes} changes", states.len(), events.len()));
}

#[test]
fn every_pair_of_events_in_both_orders_keeps_the_promises() {
    let (reachable, events) = (reachable(), events());
    let mut pairs = 0;
    for state in reachable.values() {
        for first in &events {
            for second in &events {
                let one = after(state, first);
                let both = after(&one, second);
                check_step(state, first, &one);
                check_step(&one, second, &both);
                let other_way = after(&after(state, second), first);
                assert_eq!(sums(&both), sums(&other_way), "{first:?}, {second:?}");
                pairs += 1;
            }
        }
    }
    say(&format!("order state machine: {} reachable states x {pairs} ordered pairs", reachable.len()));
}

/// Every state that events can lead to, as far as the order can know: events come in any order, and more than once. The buyer stays as
/// they were: what becomes of them leads nowhere else.
pub(crate) fn reachable() -> BTreeMap<String, Order> {
    let mut found = BTreeMap::from([(core(&placed()), placed())]);
    let mut next = VecDeque::from([placed()]);
    while let Some(order) = next.pop_front() {
        for event in events() {
            if !is_possible(&order, &event) || matches!(event, Event::BuyerChanged(_)) {
                continue;
            }
            let reached = after(&order, &event);
            check_step(&order, &event, &reached);
            if found.insert(core(&reached), reached.clone()).is_none() {
                next.push_back(reached);
            }
        }
    }
    found
}

/// What the others promise: a payment that has captured never says closed, and one that has said so never captures; no more is given back
/// than was captured. Facts about money come late, and by whatever name.
fn is_possible(order: &Order, event: &Event) -> bool {
    match event {
        Event::PaymentClosed(_) => order.captured_total == 0,
        Event::PaymentSucceeded(_) | Event::PaymentRefunded(_) | Event::RefundFailed(_) | Event::PaymentDisputed(_) => {
            order.payment != PaymentLeg::Closed || order.goal != Goal::Fulfil
        }
        _ => true,
    }
}

/// What the one who is asked can answer: payments tells how the payment stands, and that is not always what was asked for.
fn answers(order: &Order, owed: Owed) -> Vec<Event> {
    // What payments knows is at least what the order has heard.
    let fact = |captured_total, refunded_total| PaymentFact { version: 99, captured_total, refunded_total, ..fact_of(order) };
    let of_money = || {
        let (refunded, all) = (order.refunded_total, order.refunded_total + TOTAL - order.returned_total());
        let mut facts = vec![Event::PaymentRefunded(fact(TOTAL, all)), Event::PaymentDisputed(fact(TOTAL, all))];
        if owed == Owed::RefundPayment {
            facts.push(Event::RefundFailed(PaymentFact { refund_refused: true, ..fact(TOTAL, refunded) }));
        }
        if refunded < TOTAL && owed != Owed::RefundPayment {
            facts.push(Event::PaymentSucceeded(fact(TOTAL, refunded)));
            facts.push(Event::PaymentSucceeded(fact(TOTAL, refunded.max(PART))));
            facts.push(Event::RefundFailed(fact(TOTAL, refunded)));
            facts.push(Event::PaymentDisputed(fact(TOTAL, refunded)));
        }
        facts
    };
    match owed {
        Owed::ReserveStock => vec![Event::StockReserved(stock(99)), Event::StockRejected(stock(99))],
        Owed::CommitStock => vec![Event::StockCommitted(stock(99))],
        Owed::ReleaseStock => vec![Event::StockReleased(stock(99))],
        Owed::OpenPayment | Owed::CancelPayment if order.captured_total > 0 => of_money(),
        Owed::OpenPayment => [vec![Event::PaymentClosed(fact(0, 0)), Event::Deadline], of_money()].concat(),
        Owed::CancelPayment => [vec![Event::PaymentClosed(fact(0, 0))], of_money()].concat(),
        Owed::RefundPayment => of_money(),
    }
}

/// What payments would say if nothing had happened since the order heard last.
fn fact_of(order: &Order) -> PaymentFact {
    PaymentFact {
        refunds_reversed_total: order.refunds_reversed_total,
        dispute_withdrawn_total: order.dispute_withdrawn_total,
        dispute_reinstated_total: order.dispute_reinstated_total,
        refund_refused: order.refund_refused,
        ..money(order.captured_total, order.refunded_total)
    }
}

/// Follows every way on which what is owed is answered; each must end in settlement.
fn settle(order: &Order, depth: u32, at_the_end: &mut impl FnMut(&Order)) {
    if order.is_settled() {
        return at_the_end(order);
    }
    if order.is_at_rest() {
        // A person refunds it; payments says so.
        assert!(super::saga::owed(order).is_empty(), "{}", core(order));
        let back = PaymentFact { version: 99, ..fact_of(order) };
        let back = PaymentFact { refunded_total: order.refunded_total + TOTAL - order.returned_total(), ..back };
        return settle(&after(order, &Event::PaymentRefunded(back)), depth + 1, at_the_end);
    }
    assert!(depth < 12, "no end in sight: {}", core(order));
    let owed = owed(order);
    assert!(!owed.is_empty(), "unsettled, but nothing is owed: {}", core(order));
    for owed in owed {
        for answer in answers(order, owed) {
            let next = after(order, &answer);
            assert_ne!(core(&next), core(order), "the answer {answer:?} to {owed:?} changes nothing: {}", core(order));
            settle(&next, depth + 1, at_the_end);
        }
    }
}

#[test]
fn from_every_reachable_state_the_answers_to_what_is_owed_lead_to_settlement() {
    let reachable = reachable();
    let mut paths = 0;
    for order in reachable.values() {
        // The time to pay is over in this test: an order that waits for its buyer expires.
        settle(order, 0, &mut |_| paths += 1);
    }
    say(&format!("order state machine: {} reachable states, {paths} ways to settlement, none stuck", reachable.len()));
    assert!(reachable.len() > 30, "the search must find more than the happy path");
}

#[test]
fn confirmed_is_never_without_money_and_cancelled_or_failed_never_with_it() {
    for order in reachable().values() {
        if order.goal == Goal::Fulfil && order.status == Status::Confirmed {
            assert!(order.captured_total > 0, "{}", core(order));
        }
        if matches!(order.status, Status::Cancelled | Status::Failed) {
            let goes_back = matches!(order.payment, PaymentLeg::Refunding | PaymentLeg::RefundRefused);
            assert!(order.captured_total <= order.returned_total() || goes_back, "{}", core(order));
        }
    }
}

#[test]
fn an_older_fact_changes_nothing_but_a_capture_is_believed_whenever_it_comes() {
    let held = after(&placed(), &Event::StockReserved(stock(9)));
    let declined = after(&held, &Event::PaymentDeclined(money(0, 0)));
    let late = PaymentFact { version: 3, ..money(0, 0) };
    assert_eq!(core(&after(&declined, &Event::PaymentStarted(late.clone()))), core(&declined));
    assert_eq!(core(&after(&declined, &Event::PaymentClosed(late))), core(&declined));
    let capture = PaymentFact { version: 3, ..money(TOTAL, 0) };
    assert_eq!(after(&declined, &Event::PaymentSucceeded(capture)).status, Status::Confirmed);
}

#[test]
fn a_capture_after_cancellation_is_refunded_and_the_status_stays() {
    let mut order = after(&placed(), &cancel());
    for event in [Event::StockReleased(stock(9)), Event::PaymentSucceeded(money(TOTAL, 0))] {
        order = after(&order, &event);
    }
    assert_eq!((order.status.clone(), owed(&order)), (Status::Cancelled, vec![Owed::RefundPayment]));
    let order = after(&order, &Event::PaymentRefunded(money(TOTAL, TOTAL)));
    assert_eq!((order.status.clone(), order.check_at), (Status::Cancelled, None));
}

#[test]
fn a_refund_that_is_heard_of_before_its_capture_settles_a_cancelled_order() {
    let mut order = after(&placed(), &Event::StockReserved(stock(9)));
    for event in [cancel(), Event::PaymentRefunded(money(TOTAL, TOTAL)), Event::StockReleased(stock(9))] {
        order = after(&order, &event);
    }
    assert_eq!((order.status.clone(), order.payment.clone(), order.check_at), (Status::Cancelled, PaymentLeg::Refunded, None));
}

#[test]
fn nudges_wait_longer_each_time_and_never_past_the_deadline() {
    let mut order = placed();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let now = order.check_at.unwrap();
        order = order.apply(&Event::Nudge, now, TIMING).unwrap().unwrap();
        waits.push(order.check_at.unwrap().since(now).as_secs() / 60);
    }
    assert_eq!(waits, [2, 4, 8, 15, 32], "1 + 2 + 4 + 8 + 15 minutes reach the deadline of 30");
    assert_eq!(order.drive, 5);
}

#[test]
fn an_order_that_nobody_moves_is_stuck_unless_it_waits_for_its_buyer() {
    let patient = Terms { pay_within: Duration::from_secs(24 * 3600), ..TERMS };
    let nudged =
        |order: Order| (0..7).fold(order, |order, _| order.apply(&Event::Nudge, order.check_at.unwrap(), TIMING).unwrap().unwrap_or(order));
    let place = |extra| Order::place(Placement { terms: patient, ..placement() }, basket(extra), &[product()], START, TIMING).unwrap();
    let held = |order: &Order| after(order, &Event::StockReserved(stock(9)));
    let (with_card, without) = (placed(), place(json!({})));
    let with_card = Order { expires_at: without.expires_at, ..with_card };
    let declined = after(&held(&with_card), &Event::PaymentDeclined(money(0, 0)));
    for (order, stuck) in [
        (without.clone(), true),
        (held(&without), false),
        (after(&held(&without), &Event::PaymentStarted(money(0, 0))), true),
        (held(&with_card), true),
        (declined, false),
        (after(&held(&without), &cancel()), true),
    ] {
        assert_eq!(nudged(order.clone()).is_stuck(), stuck, "{}", core(&order));
        assert!(!order.is_stuck());
    }
}

#[test]
fn a_state_of_a_later_release_is_left_alone_and_survives() {
    let odd = Order { stock: StockLeg::Unknown("backordered".to_owned()), ..placed() };
    assert_eq!(odd.apply(&cancel(), LATER, TIMING), Err(Rejection::UnknownState));
    let text = serde_json::to_string(&odd).unwrap();
    assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), odd);
}

#[test]
fn the_catalogue_decides_the_price() {
    let place = |extra, products: &[Product]| Order::place(placement(), basket(extra), products, START, TIMING);
    assert_eq!(place(json!({}), &[product()]).unwrap().totals.total.amount, TOTAL);
    let expected = json!({ "expected_total": { "amount": 1, "currency": "USD" } });
    assert!(matches!(place(expected, &[product()]), Err(OrderError::PriceChanged { total }) if total.amount == TOTAL));
    assert!(matches!(place(json!({}), &[]), Err(OrderError::UnknownProduct { position: 0 })));
    assert!(matches!(place(json!({}), &[Product { active: false, ..product() }]), Err(OrderError::UnknownProduct { .. })));
}

#[test]
fn the_catalogue_decides_how_many_one_order_may_have_of_a_product_in_all_its_lines() {
    let other = Product { product_id: ids::derive(&["bowl"]), max_per_order: None, ..product() };
    let line = |product: &Product, quantity: u32| json!({ "product_id": product.product_id, "quantity": quantity });
    for (items, position) in [
        (json!([line(&product(), 3)]), Some(0)),
        (json!([line(&other, 9), line(&product(), 3)]), Some(1)),
        (json!([line(&other, 9), line(&product(), 1), line(&other, 1), line(&product(), 2)]), Some(1)),
        (json!([line(&other, 20), line(&product(), 1), line(&product(), 1)]), None),
    ] {
        let placed = Order::place(placement(), basket(json!({ "items": items })), &[product(), other.clone()], START, TIMING);
        let refused = match placed {
            Err(OrderError::TooManyOfProduct { position, maximum: 2 }) => Some(position),
            Ok(_) => None,
            odd => panic!("{odd:?}"),
        };
        assert_eq!(refused, position, "{items}");
    }
}

#[test]
fn a_product_without_a_limit_of_its_own_has_the_shops() {
    let mut told = serde_json::to_value(product()).unwrap();
    told.as_object_mut().unwrap().remove("max_per_order");
    let unlimited: Product = serde_json::from_value(told).unwrap();
    let place = |quantity: u32| {
        let items = json!({ "items": [{ "product_id": unlimited.product_id, "quantity": quantity }] });
        Order::place(placement(), basket(items), std::slice::from_ref(&unlimited), START, TIMING)
    };
    assert!(place(20).is_ok());
    assert!(matches!(place(21), Err(OrderError::TooManyOfProduct { position: 0, maximum: 20 })));
}

#[test]
fn an_order_as_placed_is_what_it_was_however_far_it_has_come() {
    let first = placed();
    let mut order = first.clone();
    for event in events() {
        order = after(&order, &event);
    }
    assert_eq!(serde_json::to_value(order.as_placed().history).unwrap(), serde_json::to_value(first.history.clone()).unwrap());
    assert_eq!(core(&order.as_placed()), core(&first));
}
