//! Changes of the shipping address: until the order ships, in the same country, and redacted with
//! the buyer.

use super::*;
use crate::domain::history::SHIPPING_ADDRESS_CHANGED;

fn name_of(order: &Order) -> Option<&str> {
    order.customer.shipping_address.as_ref().map(|address| address.name.as_str())
}

fn rejection(order: &Order, event: &Event) -> Rejection {
    order.apply(event, LATER, TIMING).unwrap_err()
}

#[test]
fn address_changes_until_the_order_ships_or_is_compensated() {
    let (mut changed, mut rejected) = (0, 0);
    let change = move_to("Grace", "GB");
    for order in reachable().values() {
        let is_open = order.progress.goal == Goal::Fulfil
            && matches!(order.progress.status, Status::Pending | Status::Confirmed);
        if !is_open {
            assert!(
                matches!(rejection(order, &change), Rejection::InvalidTransition { .. }),
                "{}",
                state_key(order)
            );
            rejected += 1;
            continue;
        }
        let next = order.apply(&change, LATER, TIMING).unwrap().unwrap();
        assert_eq!(name_of(&next), Some("Grace"));
        assert!(has_same_state(&next, order), "{}", state_key(order));
        assert_eq!(next.progress.pending_commands(), order.progress.pending_commands());
        assert_eq!((next.version, next.updated_at), (order.version + 1, LATER));
        assert_eq!(next.apply(&change, LATER, TIMING), Ok(None), "the same address again");
        changed += 1;
    }
    assert!(changed > 8 && rejected > 8, "{changed} changed, {rejected} rejected");
}

#[test]
fn change_is_in_the_history_without_the_address() {
    let next = after(&placed(), &move_to("Grace", "GB"));
    let entry = next.progress.history.last().unwrap();
    assert_eq!(
        (entry.event.as_str(), &entry.by),
        (SHIPPING_ADDRESS_CHANGED, &Some(Actor::Customer))
    );
    assert_eq!(entry.detail, None);
    assert_eq!(next.waits_since(), placed().waits_since(), "a change of address is not progress");
}

#[test]
fn address_in_another_country_would_change_the_price() {
    assert_eq!(rejection(&placed(), &move_to("Grace", "DE")), Rejection::PriceWouldChange);
    let added = after(&without_address(&placed()), &move_to("Grace", "DE"));
    assert_eq!(name_of(&added), Some("Grace"), "an order without a destination accepts any");
}

#[test]
fn address_changes_at_most_ten_times() {
    let mut order = placed();
    for number in 0..10 {
        order = after(&order, &move_to(&format!("Grace {number}"), "GB"));
    }
    assert_eq!(order.progress.address_changes(), 10);
    assert_eq!(
        rejection(&order, &move_to("Grace", "GB")),
        Rejection::TooManyAddressChanges { maximum: 10 }
    );
    assert_eq!(order.apply(&move_to("Grace 9", "GB"), LATER, TIMING), Ok(None), "no change");
}

#[test]
fn personal_data_is_redacted_with_the_shipping_address() {
    let address = json!({ "name": "Ada", "line1": "1 Street", "city": "Town", "postal_code": "1", "country": "DE" });
    let request = order_request(json!({
        "billing_address": address, "tax_id": "DE 123456789", "locale": "de-CH",
        "note": "Please ring twice.", "attributes": [{ "name": "gift_wrapping", "value": "yes" }],
    }));
    let order = Order::place(placement(), request, &[product()], &[]).unwrap();
    assert_eq!(order.customer.tax_id.as_ref().map(|id| id.as_str()), Some("DE 123456789"));
    let confirmed = [
        Event::StockReserved(stock(9)),
        Event::PaymentSucceeded(money(TOTAL, 0)),
        Event::StockCommitted(stock(9)),
        Event::BuyerChanged(BuyerChange::Deleted),
    ]
    .iter()
    .fold(order, |order, event| after(&order, event));
    assert_eq!(confirmed.customer.buyer, Buyer::Redacted);
    assert!(confirmed.customer.billing_address.is_some() && confirmed.customer.tax_id.is_some());
    assert!(confirmed.customer.note.is_some() && confirmed.customer.attributes.is_some());
    let delivered = after(&after(&confirmed, &ship()), &Event::Deliver);
    let customer = &delivered.customer;
    assert_eq!(
        (&customer.shipping_address, &customer.billing_address, &customer.tax_id),
        (&None, &None, &None)
    );
    assert_eq!((&customer.note, &customer.attributes), (&None, &None));
    assert_eq!(customer.locale.as_ref().map(|locale| locale.as_str()), Some("de-CH"));
}
