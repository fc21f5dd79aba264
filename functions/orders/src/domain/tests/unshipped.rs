//! Orders that ship nothing: they need no shipping address, and are delivered without a shipment
//! once their stock is committed.

use super::{
    cart::CartContent,
    destination::{DestinationAddress, possible_countries},
    pricing::Pricing,
    quote::MarketError,
    *,
};

/// The rules of the market `shop` for a country, in which nothing is taxed unless `rates` say so.
fn rules(country: &str, document: serde_json::Value) -> Pricing {
    let tax = json!({ "tax_class": "standard", "treatment": "zero", "rates": [], "valid_from": "2020-01-01T00:00:00.000Z" });
    let parcel = json!({
        "id": "shp_0199c2a8-0000-7000-8000-0000000000d1", "name": "Parcel", "price": 490, "tax": "proportional",
    });
    let mut rules = json!({
        "currency": "USD", "prices_include_tax": true, "served": true, "taxes": [tax], "shipping_methods": [parcel],
    });
    rules.as_object_mut().unwrap().extend(document.as_object().unwrap().clone());
    let rules = json!({ "market": "shop", "country": country, "version": 1, "document": rules });
    serde_json::from_value(rules).unwrap()
}

fn address(country: &str, region: Option<&str>) -> serde_json::Value {
    json!({
        "name": "Ada", "line1": "1 Street", "city": "Town", "postal_code": "1", "country": country, "region": region,
    })
}

/// A product with the price of the spoon, which is downloaded.
fn download() -> Product {
    Product { requires_shipping: false, ..product() }
}

/// Places an order in the market, which has these rules.
fn place(
    extra: serde_json::Value,
    product: Product,
    pricing: Vec<Pricing>,
) -> Result<Order, PlacementError> {
    let mut request = json!({ "market": "shop" });
    request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    Order::place(placement(), order_request(request), &[product], &pricing)
}

/// An order of downloads with a billing address and a card.
pub(crate) fn placed_unshipped() -> Order {
    let card = json!({ "type": "card", "token": "tok_ada" });
    let billing = address("GB", None);
    let request =
        json!({ "shipping_address": null, "billing_address": billing, "payment_method": card });
    place(request, download(), vec![rules("GB", json!({}))]).unwrap()
}

fn after_all(order: &Order, events: &[Event]) -> Order {
    events.iter().fold(order.clone(), |order, event| after(&order, event))
}

pub(crate) fn confirmed() -> Order {
    let events = [Event::StockReserved(stock(9)), Event::PaymentSucceeded(money(TOTAL, 0))];
    after_all(&placed_unshipped(), &events)
}

pub(crate) fn committed() -> Order {
    after(&confirmed(), &Event::StockCommitted(stock(9)))
}

fn allowed(order: &Order, event: &Event) -> (String, Vec<&'static str>) {
    match order.apply(event, LATER, TIMING) {
        Err(Rejection::InvalidTransition { current, allowed }) => (current, allowed),
        other => panic!("{event:?}: {other:?}"),
    }
}

#[test]
fn order_that_ships_nothing_needs_no_shipping_address_and_no_method() {
    let order = placed_unshipped();
    assert!(!order.placed.requires_shipping());
    let price = order.placed.price.as_ref().unwrap();
    assert_eq!((&price.shipping, order.placed.totals.total.amount), (&None, TOTAL));
    let method = json!({ "shipping_method": "shp_0199c2a8-0000-7000-8000-0000000000d1" });
    let with_method = place(method, download(), vec![rules("GB", json!({}))]).unwrap();
    assert_eq!(with_method.placed.price.unwrap().shipping, None, "the method is ignored");
    let shipped = json!({ "shipping_method": "shp_0199c2a8-0000-7000-8000-0000000000d1" });
    let shipped = place(shipped, product(), vec![rules("GB", json!({}))]).unwrap();
    assert!(shipped.placed.requires_shipping());
}

#[test]
fn order_without_a_market_is_always_shipped() {
    let order = Order::place(placement(), order_request(json!({})), &[download()], &[]).unwrap();
    assert!(order.placed.requires_shipping());
}

#[test]
fn destination_is_the_billing_address_if_nothing_is_shipped() {
    let method = "shp_0199c2a8-0000-7000-8000-0000000000d1";
    let (here, there) = (address("GB", None), address("DE", None));
    let both = || vec![rules("DE", json!({})), rules("GB", json!({}))];
    for (product, shipping, billing, country) in [
        (download(), &here, &there, "DE"),
        (download(), &json!(null), &there, "DE"),
        (download(), &here, &json!(null), "GB"),
        (product(), &here, &there, "GB"),
        (product(), &here, &json!(null), "GB"),
    ] {
        let request = json!({ "shipping_address": shipping, "billing_address": billing, "shipping_method": method });
        let price = place(request, product, both()).unwrap().placed.price.unwrap();
        assert_eq!(price.tax_summary[0].jurisdiction, country, "{shipping} {billing}");
    }
}

#[test]
fn missing_or_unserved_destination_is_rejected() {
    let reason = |shipping, billing, product, pricing| {
        let request = json!({ "shipping_address": shipping, "billing_address": billing });
        match place(request, product, pricing) {
            Err(PlacementError::Market(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let (none, gb) = (json!(null), address("GB", None));
    let served = || vec![rules("GB", json!({}))];
    let billing = DestinationAddress::Billing;
    assert_eq!(
        reason(none.clone(), none.clone(), download(), served()),
        MarketError::BillingAddressRequired
    );
    assert_eq!(
        reason(none.clone(), gb.clone(), product(), served()),
        MarketError::ShippingAddressRequired
    );
    assert_eq!(
        reason(gb.clone(), address("DE", None), download(), served()),
        MarketError::UnknownMarket
    );
    let closed = vec![rules("GB", json!({ "served": false }))];
    assert_eq!(
        reason(none.clone(), gb.clone(), download(), closed.clone()),
        MarketError::NotDeliveredThere { at: billing }
    );
    assert_eq!(
        reason(gb.clone(), none.clone(), download(), closed),
        MarketError::NotDeliveredThere { at: DestinationAddress::Shipping }
    );
    let tax = json!({
        "region": "CA", "tax_class": "standard", "treatment": "standard",
        "rates": [{ "name": "State", "ppm": 72_500 }], "valid_from": "2020-01-01T00:00:00.000Z",
    });
    let regional = vec![rules("GB", json!({ "taxes": [tax] }))];
    assert_eq!(
        reason(none, gb, download(), regional.clone()),
        MarketError::UnknownRegion { at: billing }
    );
    let request = json!({ "shipping_address": null, "billing_address": address("GB", Some("CA")) });
    let price = place(request, download(), regional).unwrap().placed.price.unwrap();
    assert_eq!(price.tax_summary[0].jurisdiction, "GB-CA", "the region of the billing address");
}

#[test]
fn rules_are_read_for_the_countries_of_both_addresses() {
    let read = |value: serde_json::Value| serde_json::from_value(value).unwrap();
    let (here, elsewhere, there) =
        (read(address("GB", None)), read(address("GB", Some("Kent"))), read(address("DE", None)));
    let names = |shipping, billing| {
        let countries = possible_countries(shipping, billing).into_iter();
        countries.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(Some(&here), Some(&there)), ["GB", "DE"]);
    assert_eq!(names(Some(&here), Some(&elsewhere)), ["GB"]);
    assert_eq!(names(None, Some(&there)), ["DE"]);
    assert_eq!(names(None, None), [] as [&str; 0]);
    let request =
        order_request(json!({ "market": "shop", "billing_address": address("DE", None) }));
    let rules: Vec<String> =
        request.rules().iter().map(|(market, country)| format!("{market} {country}")).collect();
    assert_eq!(rules, ["shop GB", "shop DE"]);
    let request = order_request(json!({ "billing_address": address("DE", None) }));
    assert_eq!(request.rules(), [], "an order without a market has no rules");
}

/// A cart and the order of its goods are taxed at the same address.
#[test]
fn cart_has_the_destination_of_its_order() {
    let (here, there) = (address("GB", None), address("DE", None));
    for (shipping, billing, country, if_shipped, otherwise, countries) in [
        (Some(&here), Some(&there), None, "GB", "DE", "GB DE"),
        (Some(&here), None, Some("FR"), "GB", "GB", "GB"),
        (None, Some(&there), Some("FR"), "FR", "DE", "DE FR"),
        (None, Some(&there), None, "none", "DE", "DE"),
        (None, None, Some("FR"), "FR", "FR", "FR"),
        (None, None, None, "none", "none", ""),
    ] {
        let content = CartContent {
            market: Some(serde_json::from_value(json!("shop")).unwrap()),
            country: country.map(|country| serde_json::from_value(json!(country)).unwrap()),
            shipping_address: shipping
                .map(|address| serde_json::from_value(address.clone()).unwrap()),
            billing_address: billing
                .map(|address| serde_json::from_value(address.clone()).unwrap()),
            ..CartContent::default()
        };
        let of = |requires_shipping| {
            let destination = content.destination(requires_shipping);
            destination.map_or("none".to_owned(), |destination| destination.country.to_string())
        };
        assert_eq!((of(true), of(false)), (if_shipped.to_owned(), otherwise.to_owned()));
        let rules: Vec<String> =
            content.rules().iter().map(|(_, country)| country.to_string()).collect();
        assert_eq!(rules.join(" "), countries);
    }
}

#[test]
fn order_that_ships_nothing_is_delivered_once_its_stock_is_committed() {
    assert_eq!(
        allowed(&placed_unshipped(), &Event::Deliver),
        ("pending".to_owned(), vec!["cancel"])
    );
    assert_eq!(allowed(&confirmed(), &Event::Deliver), ("confirmed".to_owned(), vec!["cancel"]));
    let committed = committed();
    let delivered = after(&committed, &Event::Deliver);
    assert_eq!(delivered.progress.status, Status::Delivered);
    assert!(delivered.progress.is_settled() && delivered.schedule.next_check_at.is_none());
    assert_eq!(delivered.apply(&Event::Deliver, LATER, TIMING), Ok(None), "repeated delivery");
    let events: Vec<_> =
        delivered.progress.history.iter().map(|entry| entry.event.as_str()).collect();
    assert_eq!(events[events.len() - 2..], ["stock_committed", "delivered"]);
    let repaid = after(&committed, &Event::PaymentRefunded(money(TOTAL, TOTAL)));
    assert_eq!(
        allowed(&repaid, &Event::Deliver),
        ("confirmed".to_owned(), vec!["cancel"]),
        "it is not paid any more"
    );
}

#[test]
fn order_that_ships_nothing_never_ships_and_keeps_its_address() {
    let unshipped = explore(placed_unshipped());
    let mut delivered = 0;
    for order in unshipped.values() {
        let Progress { status, stock, payment, .. } = &order.progress;
        assert_ne!(*status, Status::Shipped, "{}", state_key(order));
        assert!(
            *status != Status::Delivered || *stock == StockState::Committed,
            "{}",
            state_key(order)
        );
        let (_, actions) = allowed(order, &ship());
        assert_eq!(allowed(order, &move_to("Grace", "GB")).1, actions, "{}", state_key(order));
        let can_be_delivered = order.progress.goal == Goal::Fulfil
            && (status, stock, payment)
                == (&Status::Confirmed, &StockState::Committed, &PaymentState::Paid);
        assert_eq!(actions.contains(&"deliver"), can_be_delivered, "{}", state_key(order));
        let next = after(order, &Event::Deliver);
        assert_eq!(next.progress.status != *status, can_be_delivered, "{}", state_key(order));
        delivered += u32::from(can_be_delivered);
    }
    let all = unshipped.len();
    print_line(&format!("orders that ship nothing: {all} states, {delivered} can be delivered"));
    assert!(all > 40 && delivered >= 2, "{all} states, {delivered} can be delivered");
}

#[test]
fn every_path_settles_an_order_that_ships_nothing() {
    let mut paths = 0;
    for order in explore(placed_unshipped()).values() {
        settle(order, 0, &mut |end| {
            paths += 1;
            let expected = match end.progress.goal {
                Goal::Cancel => [Status::Cancelled, Status::Cancelled],
                Goal::Fail => [Status::Failed, Status::Failed],
                _ => [Status::Confirmed, Status::Delivered],
            };
            assert!(expected.contains(&end.progress.status), "{}", state_key(end));
        });
    }
    assert!(paths > 100, "{paths} paths");
}

#[test]
fn free_order_that_ships_nothing_needs_only_inventory() {
    let price = serde_json::from_value(json!({ "amount": 0, "currency": "USD" })).unwrap();
    let gift = Product { price, ..download() };
    let free = place(json!({}), gift, vec![rules("GB", json!({}))]).unwrap();
    assert!(free.placed.is_free() && !free.placed.requires_shipping());
    let end = after_all(
        &free,
        &[Event::StockReserved(stock(9)), Event::StockCommitted(stock(9)), Event::Deliver],
    );
    assert_eq!(
        (&end.progress.status, &end.progress.payment),
        (&Status::Delivered, &PaymentState::Paid)
    );
}

#[test]
fn deliverable_order_can_still_be_cancelled_and_refunded() {
    let cancelled = after(&committed(), &cancel());
    assert_eq!(
        cancelled.progress.pending_commands(),
        [PendingCommand::ReleaseStock, PendingCommand::RefundPayment]
    );
    assert_eq!(allowed(&cancelled, &Event::Deliver), ("confirmed".to_owned(), vec![]));
    let delivered = after(&committed(), &Event::Deliver);
    assert!(matches!(
        delivered.apply(&cancel(), LATER, TIMING),
        Err(Rejection::NotCancellable { .. })
    ));
}

#[test]
fn addresses_of_a_deleted_buyer_are_erased_with_the_delivery() {
    let deleted = after(&committed(), &Event::BuyerChanged(BuyerChange::Deleted));
    assert_eq!(deleted.customer.buyer, Buyer::Redacted);
    assert!(deleted.customer.billing_address.is_some());
    let delivered = after(&deleted, &Event::Deliver);
    assert_eq!(
        (&delivered.customer.shipping_address, &delivered.customer.billing_address),
        (&None, &None)
    );
}
