//! Tests of stored items and their keys.

use super::*;
use crate::domain::reservation::{Reservation, State, tests::held};

#[test]
fn stored_reservation_is_read_unchanged() {
    let rejected = Reservation {
        state: State::Rejected,
        rejected_product: Some(held().lines[0].product_id),
        ..held()
    };
    for reservation in
        [held(), rejected, Reservation { state: State::Unknown("parcelled".to_owned()), ..held() }]
    {
        let item = keyed(reservation_key_text(reservation.order_id), &reservation);
        assert_eq!(from_item::<Reservation>(item).ok(), Some(reservation));
    }
}

#[test]
fn shard_zero_has_the_product_as_its_key() {
    let product_id = held().lines[0].product_id;
    assert_eq!(stock_key(product_id, 0), Key::new(format!("STOCK#{product_id}")));
    assert_eq!(stock_key(product_id, 3), Key::new(format!("STOCK#{product_id}#3")));
}
