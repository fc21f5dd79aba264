//! Carts are read as they were stored.

use serde_json::json;
use shared::ids;

use super::*;

/// A cart with a value in every field.
fn full() -> Cart {
    let address = json!({ "name": "Ada", "line1": "1 Street", "city": "Town", "postal_code": "1", "country": "GB" });
    let address: Address = serde_json::from_value(address).unwrap();
    let money = json!({ "amount": 2999, "currency": "USD" });
    let line = |name: &str, seen_price| CartLine {
        product_id: ids::derive(&[name]),
        quantity: 3,
        seen_price,
    };
    let attributes = json!([{ "name": "gift_wrapping", "value": "yes" }]);
    let content = CartContent {
        lines: vec![line("lamp", serde_json::from_value(money).unwrap()), line("pen", None)],
        market: MarketId::parse("gb").ok(),
        country: CountryCode::parse("GB").ok(),
        region: AddressLine::parse("Shire").ok(),
        shipping_address: Some(address.clone()),
        billing_address: Some(address),
        tax_id: TaxId::parse("GB 123 4567 73").ok(),
        shipping_method: Some(ids::derive(&["parcel"])),
        email: Email::parse("ada@example.com").ok(),
        locale: Locale::parse("en-GB").ok(),
        note: Note::parse("Please ring.").ok(),
        attributes: serde_json::from_value(attributes).ok(),
    };
    let owner = CartOwner::User(ids::derive(&["ada"]));
    let now = Timestamp::from_milliseconds(1_795_255_200_123);
    let stamp = Stamp { now, write_id: Uuid::new_v8([9; 16]) };
    let cart = Cart::create(ids::derive(&["cart"]), owner, content, stamp);
    Cart { mutations: vec![MutationId::parse("m-1").unwrap()], ..cart }
}

fn carts() -> Vec<Cart> {
    let full = full();
    let guest = CartOwner::Guest { secret_hash: "ab".repeat(32) };
    let stamp = Stamp { now: full.created_at, write_id: full.write_id };
    let empty = CartContent::default();
    vec![
        Cart::create(full.cart_id, guest.clone(), empty, stamp),
        full.closed(CartState::Ordered { order_id: ids::derive(&["order"]) }, stamp),
        Cart { owner: guest, ..full.clone() }
            .closed(CartState::Merged { into: ids::derive(&["other"]) }, stamp),
        full,
    ]
}

#[test]
fn cart_is_read_as_it_was_stored() {
    for cart in carts() {
        let item = checked_item(&cart).unwrap();
        let ttl = AttributeValue::N(cart.expires_at.seconds().to_string());
        assert_eq!(item["ttl"], ttl);
        assert_eq!(read_cart(item).unwrap(), cart);
    }
}

#[test]
fn attributes_of_a_later_release_are_ignored() {
    let mut item = checked_item(&full()).unwrap();
    item.insert("gift_card".to_owned(), AttributeValue::S("x".to_owned()));
    assert_eq!(read_cart(item).unwrap(), full());
}

#[test]
fn contradictory_item_is_unreadable() {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for (name, value) in [
        ("state", text("archived")),
        ("state", text("merged")),
        ("state", text("ordered")),
        ("secret_hash", text("ab")),
        ("pk", text("ORDER#crt_1")),
        ("write_id", text("x")),
    ] {
        let mut item = checked_item(&full()).unwrap();
        item.insert(name.to_owned(), value.clone());
        assert!(read_cart(item).is_err(), "{name}: {value:?}");
    }
    let mut item = checked_item(&full()).unwrap();
    item.remove("user_id");
    assert!(read_cart(item).is_err());
}

#[test]
fn item_has_at_most_16_kb() {
    let with_attributes = |character: &str| {
        let mut cart = full();
        let value = character.repeat(200);
        let attribute = |number: usize| json!({ "name": format!("a{number}"), "value": value });
        let attributes: serde_json::Value = (0..20).map(attribute).collect();
        cart.content.attributes = serde_json::from_value(attributes).ok();
        cart.content.note = Note::parse(&"\u{1f600}".repeat(1000)).ok();
        cart.mutations = vec![MutationId::parse(&"m".repeat(64)).unwrap(); 16];
        cart.content.lines = vec![cart.content.lines[0].clone(); 40];
        checked_item(&cart).map(drop)
    };
    assert_eq!(with_attributes("x"), Ok(()));
    assert_eq!(with_attributes("\u{1f600}"), Err(CartError::TooLarge));
}

#[test]
fn sizes_are_those_of_dynamodb() {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for (value, expected) in [
        (text("é"), 2),
        (AttributeValue::N("1795255200".to_owned()), 7),
        (AttributeValue::Bool(true), 1),
        (AttributeValue::L(vec![text("ab"), text("c")]), 8),
        (AttributeValue::M(Item::from([("name".to_owned(), text("ab"))])), 10),
    ] {
        assert_eq!(size(&value), expected, "{value:?}");
    }
}
