//! Orders of carts: the lines and the total that the cart shows.

use shared::{ids::CartId, money::Money};

use super::*;
use crate::domain::{
    cart::{Cart, CartContent, CartLine, CartOwner, CartQuote, CartRefusal, QuantityLimits, Stamp},
    order_request::{OrderOfCart, OrderRequest},
    ordered_cart::{OrderedCart, order_id_of_cart},
};

/// A cart of two spoons with a note, at the prices of the catalogue.
fn cart() -> Cart {
    let line = CartLine { product_id: product().product_id, quantity: 2, seen_price: None };
    let content = CartContent {
        lines: vec![line],
        shipping_address: order_request(json!({})).shipping_address,
        note: serde_json::from_value(json!("Please ring twice.")).ok(),
        ..CartContent::default()
    };
    let stamp = Stamp { now: START, write_id: ids::derive_uuid(&["write"]) };
    Cart::create(ids::derive(&["cart"]), CartOwner::User(ids::derive(&["buyer"])), content, stamp)
}

fn quoted(cart: &Cart, products: &[Product]) -> CartQuote {
    let limits = QuantityLimits { products, max_per_order: TERMS.max_per_order };
    cart.quote(limits, &[], START)
}

/// The request for the cart, with a card, at this total.
fn request(cart: &Cart, total: i64) -> OrderOfCart {
    let body = json!({
        "cart_id": cart.cart_id, "cart_version": cart.version,
        "expected_total": { "amount": total, "currency": "USD" },
        "payment_method": { "type": "card", "token": "tok_ada" },
    });
    match serde_json::from_value(body).unwrap() {
        OrderRequest::Cart(of_cart) => of_cart,
        OrderRequest::Items(of_items) => panic!("an order of a cart, and not {of_items:?}"),
    }
}

/// Places an order of a cart with these products on sale.
fn place(cart: &Cart, products: &[Product], total: i64) -> Result<Order, PlacementError> {
    let source = OrderedCart { cart_id: cart.cart_id, request_id: ids::derive(&["key"]) };
    let placement =
        Placement { order_id: order_id_of_cart(cart.cart_id), cart: Some(source), ..placement() };
    let (content, quote) = (cart.content.clone(), quoted(cart, products));
    Order::place_cart(placement, content, quote, request(cart, total))
}

#[test]
fn order_has_the_lines_and_the_total_of_the_cart() {
    let cart = cart();
    let quote = quoted(&cart, &[product()]);
    let order = place(&cart, &[product()], TOTAL).unwrap();
    assert_eq!(Some(order.placed.totals), quote.totals);
    assert_eq!((order.placed.item_count, order.placed.totals.total.amount), (2, TOTAL));
    let [line] = &order.placed.lines[..] else { panic!("one line") };
    assert_eq!((line.line_id, line.quantity), (quote.lines[0].line_id, 2));
    assert_eq!((line.sku.as_str(), line.name.as_str()), ("SPOON", "Spoon"));
    assert_eq!(line.line_total, Money::new(TOTAL, line.unit_price.currency));
    assert_eq!(order.placed.cart.map(|source| source.cart_id), Some(cart.cart_id));
    assert_eq!(order.customer.note, cart.content.note);
    assert_eq!(order.customer.shipping_address, cart.content.shipping_address);
    assert!(order.customer.payment_method.is_some());
}

/// The same request for the same goods: an order of items differs only in its ids.
#[test]
fn order_of_a_cart_costs_as_much_as_one_of_its_items() {
    let of_items = Order::place(placement(), order_request(json!({})), &[product()], &[]);
    let (of_items, of_cart) = (of_items.unwrap(), place(&cart(), &[product()], TOTAL).unwrap());
    assert_eq!(of_items.placed.totals, of_cart.placed.totals);
    assert_ne!(of_items.placed.lines[0].line_id, of_cart.placed.lines[0].line_id);
}

#[test]
fn another_total_is_rejected() {
    for total in [TOTAL - 1, TOTAL + 1] {
        let rejected = place(&cart(), &[product()], total);
        let Err(PlacementError::PriceChanged(goods)) = rejected else { panic!("{rejected:?}") };
        assert_eq!((goods.totals.total.amount, goods.price), (TOTAL, None));
    }
}

#[test]
fn cart_with_a_refusal_is_rejected_for_its_first_reason() {
    let product_id = product().product_id;
    let limited = Product { max_per_order: Some(1), ..product() };
    let archived = Product { active: false, ..product() };
    let mut empty = cart();
    empty.content.lines.clear();
    for (cart, products, refusal) in [
        (cart(), vec![], CartRefusal::UnknownProduct { product_id }),
        (cart(), vec![archived], CartRefusal::UnknownProduct { product_id }),
        (cart(), vec![limited], CartRefusal::TooManyOfProduct { product_id }),
        (empty, vec![product()], CartRefusal::Empty),
    ] {
        // The refusal precedes the comparison of the totals.
        assert_eq!(place(&cart, &products, 1), Err(PlacementError::Cart(refusal)));
    }
}

#[test]
fn free_order_of_a_cart_keeps_no_payment_method() {
    let price = serde_json::from_value(json!({ "amount": 0, "currency": "USD" })).unwrap();
    let order = place(&cart(), &[Product { price, ..product() }], 0).unwrap();
    assert_eq!((order.placed.is_free(), order.customer.payment_method), (true, None));
}

#[test]
fn order_of_a_cart_settles_like_any_other() {
    let order = place(&cart(), &[product()], TOTAL).unwrap();
    let settled = [
        Event::StockReserved(stock(9)),
        Event::PaymentSucceeded(money(TOTAL, 0)),
        Event::StockCommitted(stock(9)),
    ]
    .iter()
    .fold(order.clone(), |order, event| after(&order, event));
    assert!(settled.progress.is_settled());
    assert_eq!(settled.placed, order.placed);
    let cart_id: CartId = ids::derive(&["cart"]);
    assert_eq!(settled.placed.order_id, order_id_of_cart(cart_id));
}
