//! Both forms of a request: what they contain, and what they reject.

use super::*;
use serde_json::{Value, json};

const SPOON: &str = "prd_0199c2a8-0000-7000-8000-00000000000a";
const FORK: &str = "prd_0199c2a8-0000-7000-8000-00000000000b";
const CART: &str = "crt_0199c2a8-0000-7000-8000-00000000000c";

fn request(body: Value) -> Result<OrderRequest, String> {
    serde_json::from_value(body).map_err(|error| error.to_string())
}

fn of_items(items: Value) -> Result<OrderOfItems, String> {
    request(json!({ "items": items })).map(items_of)
}

fn items_of(request: OrderRequest) -> OrderOfItems {
    match request {
        OrderRequest::Items(of_items) => of_items,
        OrderRequest::Cart(of_cart) => panic!("an order of items, and not {of_cart:?}"),
    }
}

/// The order of items that a body describes.
pub(in crate::domain) fn order_of_items(body: Value) -> OrderOfItems {
    items_of(request(body).unwrap())
}

/// An order of a cart with every field.
fn of_cart() -> Value {
    json!({
        "cart_id": CART,
        "cart_version": 7,
        "expected_total": { "amount": 5998, "currency": "USD" },
        "payment_method": { "type": "card", "token": "tok_ok" },
        "tax_id": "GB 123 4567 73",
    })
}

#[test]
fn lines_of_one_product_are_merged_and_sorted() {
    let of_items = of_items(json!([
        { "product_id": FORK, "quantity": 1 },
        { "product_id": SPOON, "quantity": 2 },
        { "product_id": FORK, "quantity": 3 },
    ]));
    let lines: Vec<_> = of_items
        .unwrap()
        .items
        .merged()
        .into_iter()
        .map(|item| (item.position, item.product_id.to_string(), item.quantity))
        .collect();
    assert_eq!(lines, [(1, SPOON.to_owned(), 2), (0, FORK.to_owned(), 4)]);
}

#[test]
fn order_of_items_keeps_its_items_and_lists_their_products() {
    let items = json!([
        { "product_id": FORK, "quantity": 5 },
        { "product_id": SPOON, "quantity": 2 },
    ]);
    let of_items = of_items(items.clone()).unwrap();
    assert_eq!(serde_json::to_value(&of_items).unwrap()["items"], items);
    let products: Vec<_> = of_items.products().iter().map(ToString::to_string).collect();
    assert_eq!(products, [SPOON, FORK]);
}

#[test]
fn order_of_items_outside_the_limits_is_rejected() {
    let line = |quantity: i64| json!({ "product_id": SPOON, "quantity": quantity });
    assert!(of_items(json!([line(999)])).is_ok());
    assert!(of_items(json!(vec![line(1); 40])).is_ok());
    assert!(of_items(json!([line(500), line(499)])).is_ok());
    for items in [
        json!([]),
        json!(vec![line(1); 41]),
        json!([line(0)]),
        json!([line(1000)]),
        json!([line(-1)]),
        json!([line(500), line(500)]),
    ] {
        assert!(of_items(items.clone()).is_err(), "{items}");
    }
}

#[test]
fn order_of_a_cart_names_the_cart_its_version_and_the_total() {
    let read = request(of_cart()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), of_cart());
    let OrderRequest::Cart(of_cart) = read else { panic!("an order of a cart") };
    assert_eq!((of_cart.cart_id.to_string().as_str(), of_cart.cart_version), (CART, 7));
    assert_eq!(of_cart.expected_total.amount, 5998);
}

#[test]
fn order_of_a_cart_without_a_required_field_is_rejected() {
    for field in ["cart_id", "cart_version", "expected_total"] {
        for value in [None, Some(Value::Null)] {
            let mut body = of_cart();
            match value {
                Some(null) => body[field] = null,
                None => drop(body.as_object_mut().unwrap().remove(field)),
            }
            let error = request(body).unwrap_err();
            assert_eq!(error, format!("missing field `{field}`"));
        }
    }
    assert_eq!(request(json!({})).unwrap_err(), "missing field `items`");
}

/// The cart decides everything else, so a request cannot contradict it.
#[test]
fn field_of_the_other_form_is_unknown() {
    let address = json!({ "name": "Ada", "line1": "1 Way", "city": "Town", "postal_code": "1", "country": "GB" });
    for (field, value) in [
        ("items", json!([{ "product_id": SPOON, "quantity": 1 }])),
        ("shipping_address", address.clone()),
        ("billing_address", address),
        ("market", json!("gb")),
        ("shipping_method", json!("shp_0199c2a8-0000-7000-8000-00000000000d")),
        ("locale", json!("en-GB")),
        ("note", json!("Please ring twice.")),
        ("attributes", json!([{ "name": "gift_wrapping", "value": "yes" }])),
        ("currency", json!("USD")),
    ] {
        let mut body = of_cart();
        body[field] = value;
        let error = request(body.clone()).unwrap_err();
        assert!(error.starts_with(&format!("unknown field `{field}`")), "{error}");
        body[field] = Value::Null;
        assert_eq!(request(body).is_ok(), field != "currency", "{field}");
    }
    let items = json!([{ "product_id": SPOON, "quantity": 1 }]);
    let error = request(json!({ "items": items, "cart_version": 7 })).unwrap_err();
    assert!(error.starts_with("unknown field `cart_version`"), "{error}");
}

/// The texts that name the fields of each form.
#[test]
fn rejection_lists_the_fields_of_the_form() {
    let names = |form: &[&str]| form.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    let mut body = of_cart();
    body["market"] = json!("gb");
    let error = request(body).unwrap_err();
    assert!(error.ends_with(&names(OF_CART).join(", ")), "{error}");
    let items = json!([{ "product_id": SPOON, "quantity": 1 }]);
    let error = request(json!({ "items": items, "cart_version": 7 })).unwrap_err();
    assert!(error.ends_with(&names(OF_ITEMS).join(", ")), "{error}");
}
