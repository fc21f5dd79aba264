//! Tests of stored items and their keys.

use super::*;
use crate::domain::reservation::{Line, Reservation, State, tests::held};

#[test]
fn stored_reservation_is_read_unchanged() {
    let rejected = Reservation {
        state: State::Rejected,
        rejected_product: Some(held().lines[0].product_id),
        ..held()
    };
    let unknown = Reservation { state: State::Unknown("parcelled".to_owned()), ..held() };
    let mut sharded = held();
    sharded.lines.insert(1, Line { shard: 3, ..sharded.lines[0] });
    for reservation in [held(), rejected, unknown, sharded] {
        let item = to_item(&reservation);
        assert_eq!(from_item::<Reservation>(item).ok(), Some(reservation));
    }
}

#[test]
fn unreadable_reservation_is_an_error() {
    for (name, value) in [
        ("pk", AttributeValue::S("STOCK#prd_1".to_owned())),
        (
            "lines",
            AttributeValue::M([("prd_1".to_owned(), AttributeValue::N("1".to_owned()))].into()),
        ),
    ] {
        let mut item = to_item(&held());
        item.insert(name.to_owned(), value);
        assert!(from_item::<Reservation>(item).is_err(), "{name}");
    }
}

#[test]
fn shard_zero_has_the_product_as_its_key() {
    let product_id = held().lines[0].product_id;
    assert_eq!(stock_key(product_id, 0), Key::new(format!("STOCK#{product_id}")));
    assert_eq!(stock_key(product_id, 3), Key::new(format!("STOCK#{product_id}#3")));
}
