//! Account changes of the buyer: in every state, in every order, and followed by every event.

use super::*;

fn changed(version: u64) -> Event {
    Event::BuyerChanged(BuyerChange::Changed(contact(version)))
}

fn deleted() -> Event {
    Event::BuyerChanged(BuyerChange::Deleted)
}

fn after_all<'a>(order: &Order, events: impl IntoIterator<Item = &'a Event>) -> Order {
    events.into_iter().fold(order.clone(), |order, event| after(&order, event))
}

/// A paid order whose stock is committed. It can ship.
fn confirmed() -> Order {
    let order = after_all(
        &placed(),
        &[
            Event::StockReserved(stock(9)),
            Event::PaymentSucceeded(money(TOTAL, 0)),
            Event::StockCommitted(stock(9)),
        ],
    );
    assert_eq!((&order.progress.status, order.progress.is_settled()), (&Status::Confirmed, true));
    order
}

/// Fails if the order contains personal data that its shipment does not need.
fn assert_redacted(order: &Order) {
    assert_eq!(
        (&order.customer.buyer, &order.customer.buyer_change, &order.customer.payment_method),
        (&Buyer::Redacted, &None, &None),
        "{}",
        state_key(order)
    );
    let may_ship = matches!(order.progress.status, Status::Confirmed | Status::Shipped);
    assert_eq!(
        order.customer.shipping_address.is_some(),
        may_ship || !order.progress.is_settled(),
        "{}",
        state_key(order)
    );
    let rest = stored(&without_address(order));
    for personal in ["Ada", "ada-", "tok_ada", "request-fingerprint"] {
        assert!(!rest.contains(personal), "{personal} is left: {rest}");
    }
}

#[test]
fn deletion_redacts_the_buyer_from_every_reachable_state() {
    let (reachable, events, mut recorded_changes, mut paths) = (reachable(), events(), 0, 0);
    for order in reachable.values() {
        for first in [vec![deleted()], vec![changed(9), deleted()], vec![deleted(), changed(9)]] {
            let recorded = after_all(order, &first);
            if order.progress.is_settled() {
                assert_redacted(&recorded);
            } else {
                recorded_changes += 1;
                assert_eq!(
                    (&recorded.customer.buyer, &recorded.customer.buyer_change),
                    (&order.customer.buyer, &Some(BuyerChange::Deleted)),
                    "{}",
                    state_key(order)
                );
                assert_eq!(recorded.customer.shipping_address, order.customer.shipping_address);
            }
            settle(&recorded, 0, &mut |settled| {
                paths += 1;
                assert_redacted(settled);
                // No later event restores the data.
                for event in &events {
                    let next = after(settled, event);
                    check_step(settled, event, &next);
                    assert_eq!(
                        (
                            &next.customer.buyer,
                            &next.customer.buyer_change,
                            &next.customer.payment_method
                        ),
                        (&Buyer::Redacted, &None, &None),
                        "{event:?}"
                    );
                    // An event that changes nothing leads to the order checked above.
                    if next != *settled {
                        settle(&next, 0, &mut |end| assert_redacted(end));
                    }
                }
            });
        }
    }
    assert!(
        recorded_changes > 30 && paths > 100,
        "{recorded_changes} recorded, {paths} paths to settlement"
    );
}

#[test]
fn latest_contact_is_applied_from_every_reachable_state() {
    for order in reachable().values() {
        for versions in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
            let recorded = after_all(order, &versions.map(changed));
            if !order.progress.is_settled() {
                assert_eq!(
                    (&recorded.customer.buyer, &recorded.customer.buyer_change),
                    (&order.customer.buyer, &Some(BuyerChange::Changed(contact(3))))
                );
            }
            settle(&recorded, 0, &mut |settled| {
                assert_eq!(
                    (&settled.customer.buyer, &settled.customer.buyer_change),
                    (&Buyer::Known(contact(3)), &None),
                    "{}",
                    state_key(settled)
                );
                assert_eq!(
                    (&settled.customer.shipping_address, &settled.customer.fingerprint),
                    (&order.customer.shipping_address, &order.customer.fingerprint)
                );
                assert_eq!(settled.customer.payment_method, order.customer.payment_method);
            });
        }
    }
}

#[test]
fn known_or_older_buyer_data_is_ignored() {
    let is_new =
        |order: &Order, event: &Event| order.apply(event, LATER, TIMING).unwrap().is_some();
    for order in reachable().values() {
        let recorded = after(order, &changed(3));
        for (event, expected) in
            [(changed(2), false), (changed(3), false), (changed(4), true), (deleted(), true)]
        {
            assert_eq!(is_new(&recorded, &event), expected, "{event:?}: {}", state_key(order));
        }
        let after_deletion = after(order, &deleted());
        for event in [changed(2), changed(4), deleted()] {
            assert!(!is_new(&after_deletion, &event), "{event:?}: {}", state_key(order));
        }
    }
    // An order with a pending command again: both the stored contact and the recorded change count.
    let refunded = after_all(&after(&confirmed(), &changed(3)), &[cancel(), changed(5)]);
    for (version, expected) in [(3, false), (4, false), (5, false), (6, true)] {
        assert_eq!(is_new(&refunded, &changed(version)), expected, "{version}");
    }
    assert!(
        !is_new(&after(&confirmed(), &cancel()), &changed(0)),
        "version 0 is the contact of the access token"
    );
}

#[test]
fn buyer_update_changes_no_state_and_adds_no_history() {
    for order in reachable().values() {
        for event in [changed(9), deleted()] {
            let recorded = after(order, &event);
            assert_eq!(state_key(&recorded), state_key(order));
            let rest = |order: &Order| {
                (
                    order.progress.history.clone(),
                    order.schedule.attempt,
                    order.schedule.retries,
                    order.schedule.next_check_at,
                    order.progress.needs_review.clone(),
                )
            };
            assert_eq!(rest(&recorded), rest(order), "{}", state_key(order));
            assert_eq!(recorded.version, order.version + 1);
            // A recorded change is not visible to the buyer.
            let seen = if order.progress.is_settled() { LATER } else { order.updated_at };
            assert_eq!(recorded.updated_at, seen, "{}", state_key(order));
        }
    }
}

#[test]
fn address_of_a_deleted_buyer_is_kept_until_delivery() {
    let order = after(&confirmed(), &deleted());
    assert!(order.customer.shipping_address.is_some());
    let shipped = after(&order, &ship());
    assert_eq!(
        (&shipped.progress.status, &shipped.customer.shipping_address),
        (&Status::Shipped, &order.customer.shipping_address)
    );
    let delivered = after(&shipped, &Event::Deliver);
    assert_eq!(
        (&delivered.progress.status, &delivered.customer.shipping_address),
        (&Status::Delivered, &None)
    );

    for position in 0..3 {
        let mut events = vec![ship(), Event::Deliver];
        events.insert(position, deleted());
        assert_redacted(&after_all(&confirmed(), &events));
    }
}

#[test]
fn address_of_a_cancelled_order_is_kept_until_it_settles() {
    let cancelled = after_all(&confirmed(), &[deleted(), cancel()]);
    assert!(cancelled.customer.shipping_address.is_some() && !cancelled.progress.is_settled());
    let released = after(&cancelled, &Event::StockReleased(stock(99)));
    assert!(released.customer.shipping_address.is_some());
    let refunded = after(
        &released,
        &Event::PaymentRefunded(PaymentUpdate { version: 99, ..money(TOTAL, TOTAL) }),
    );
    assert_eq!(
        (&refunded.progress.status, &refunded.customer.shipping_address),
        (&Status::Cancelled, &None)
    );
}

#[test]
fn deletion_does_not_change_an_order_of_a_later_release() {
    let unknown = with_progress(Progress {
        payment: PaymentState::Unrecognized("in_escrow".to_owned()),
        ..placed().progress
    });
    assert_eq!(unknown.apply(&deleted(), LATER, TIMING), Err(Rejection::UnknownState));
}
