//! Placement: prices and quantity limits come from the catalogue.

use super::*;

#[test]
fn order_is_priced_from_the_catalogue() {
    let place = |extra, products: &[Product]| {
        Order::place(placement(), order_request(extra), products, &[])
    };
    assert_eq!(place(json!({}), &[product()]).unwrap().placed.totals.total.amount, TOTAL);
    let expected = json!({ "expected_total": { "amount": 1, "currency": "USD" } });
    assert!(
        matches!(place(expected, &[product()]), Err(PlacementError::PriceChanged(goods)) if goods.totals.total.amount == TOTAL)
    );
    assert!(matches!(place(json!({}), &[]), Err(PlacementError::UnknownProduct { position: 0 })));
    assert!(matches!(
        place(json!({}), &[Product { active: false, ..product() }]),
        Err(PlacementError::UnknownProduct { .. })
    ));
}

#[test]
fn product_limit_applies_to_all_lines_of_the_product_together() {
    let other = Product { product_id: ids::derive(&["bowl"]), max_per_order: None, ..product() };
    let line = |product: &Product, quantity: u32| json!({ "product_id": product.product_id, "quantity": quantity });
    for (items, position) in [
        (json!([line(&product(), 3)]), Some(0)),
        (json!([line(&other, 9), line(&product(), 3)]), Some(1)),
        (
            json!([line(&other, 9), line(&product(), 1), line(&other, 1), line(&product(), 2)]),
            Some(1),
        ),
        (json!([line(&other, 20), line(&product(), 1), line(&product(), 1)]), None),
    ] {
        let placed = Order::place(
            placement(),
            order_request(json!({ "items": items })),
            &[product(), other.clone()],
            &[],
        );
        let rejected = match placed {
            Err(PlacementError::TooManyOfProduct { position, maximum: 2 }) => Some(position),
            Ok(_) => None,
            other_error => panic!("{other_error:?}"),
        };
        assert_eq!(rejected, position, "{items}");
    }
}

#[test]
fn product_without_its_own_limit_uses_the_default() {
    let mut recorded = serde_json::to_value(product()).unwrap();
    recorded.as_object_mut().unwrap().remove("max_per_order");
    let unlimited: Product = serde_json::from_value(recorded).unwrap();
    let place = |quantity: u32| {
        let items =
            json!({ "items": [{ "product_id": unlimited.product_id, "quantity": quantity }] });
        Order::place(placement(), order_request(items), std::slice::from_ref(&unlimited), &[])
    };
    assert!(place(20).is_ok());
    assert!(matches!(
        place(21),
        Err(PlacementError::TooManyOfProduct { position: 0, maximum: 20 })
    ));
}

#[test]
fn placed_order_view_is_independent_of_progress() {
    let first = placed();
    let mut order = first.clone();
    for event in events() {
        order = after(&order, &event);
    }
    assert_eq!(order.as_placed(TIMING).progress.history, first.progress.history);
    assert_eq!(state_key(&order.as_placed(TIMING)), state_key(&first));
}

#[test]
fn lines_are_added_up_in_one_currency_and_below_the_largest_amount() {
    let priced = |amount: i64, currency: &str| Product {
        product_id: ids::derive(&["bowl"]),
        price: serde_json::from_value(json!({ "amount": amount, "currency": currency })).unwrap(),
        ..product()
    };
    let place = |bowl: Product| {
        let line = |product: &Product| json!({ "product_id": product.product_id, "quantity": 2 });
        let request = order_request(json!({ "items": [line(&product()), line(&bowl)] }));
        Order::place(placement(), request, &[product(), bowl], &[])
    };
    let placed = place(priced(101, "USD")).unwrap().placed;
    assert_eq!((placed.totals.items.amount, placed.totals.total.amount), (6200, 6200));
    assert_eq!((placed.totals.shipping.amount, placed.totals.tax.amount), (0, 0));
    assert_eq!((placed.item_count, placed.lines.len()), (4, 2));
    assert_eq!(place(priced(101, "EUR")), Err(PlacementError::CurrencyMismatch));
    for too_large in [50_000_000, 49_999_999] {
        assert_eq!(place(priced(too_large, "USD")), Err(PlacementError::AmountTooLarge));
    }
}

#[test]
fn expected_total_of_the_order_is_accepted() {
    let expected = json!({ "expected_total": { "amount": TOTAL, "currency": "USD" } });
    assert!(Order::place(placement(), order_request(expected), &[product()], &[]).is_ok());
}

#[test]
fn order_without_a_market_is_rejected_where_one_is_required() {
    let required = Terms { requires_market: true, ..TERMS };
    for (terms, expected) in
        [(TERMS, None), (required, Some(PlacementError::Market(quote::MarketError::NoMarket)))]
    {
        let placement = Placement { terms, ..placement() };
        let request = order_request(json!({}));
        let placed = Order::place(placement, request, &[product()], &[]);
        assert_eq!(placed.err(), expected, "{terms:?}");
    }
}
