//! The order of a cart: a cart becomes at most one order.
//!
//! The id of the order is derived from that of the cart, so a second order of the cart finds the
//! first one, under any idempotency key. The order keeps the request that placed it. An order of
//! items needs no such id: its own id is derived from the idempotency key.

use shared::{
    ids::{self, CartId, OrderId, UserId},
    prefixed_id,
};

use super::order::Order;

prefixed_id!(
    /// A request to place an order, derived from the buyer and the idempotency key.
    RequestId,
    "req"
);

/// The cart that an order was placed from, and the request that placed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderedCart {
    pub cart_id: CartId,
    pub request_id: RequestId,
}

/// What identifies a request to place an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestIdentity {
    pub user_id: UserId,
    pub request_id: RequestId,
    /// A hash of the request body.
    pub fingerprint: String,
}

/// How a request relates to the order that was placed before it, with the same idempotency key or
/// for the same cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// The request placed the order, and is repeated.
    Same,
    /// Another request with the same idempotency key placed the order.
    KeyReused,
    /// A request with another idempotency key ordered the cart.
    CartOrdered,
    /// Another user ordered the cart.
    OtherBuyer,
}

/// The id of the order that a cart becomes.
pub fn order_id_of_cart(cart_id: CartId) -> OrderId {
    ids::derive(&["order-of-cart", &cart_id.to_string()])
}

/// The id that the ids of an order's lines are derived from: a line keeps the id that it had in its
/// cart.
pub fn line_owner(order_id: OrderId, cart: Option<OrderedCart>) -> String {
    cart.map_or_else(|| order_id.to_string(), |cart| cart.cart_id.to_string())
}

impl Order {
    /// How a request relates to this order, which it would have placed.
    pub fn repetition(&self, request: &RequestIdentity) -> Repetition {
        let is_other_request =
            self.placed.cart.is_some_and(|cart| cart.request_id != request.request_id);
        if self.placed.user_id != request.user_id {
            Repetition::OtherBuyer
        } else if is_other_request {
            Repetition::CartOrdered
        } else if self.customer.fingerprint != request.fingerprint {
            Repetition::KeyReused
        } else {
            Repetition::Same
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::placed;

    /// The request that placed an order of [`placed`], and the order as one of a cart.
    fn ordered() -> (RequestIdentity, Order) {
        let mut order = placed();
        let request_id: RequestId = ids::derive(&["key"]);
        order.placed.cart = Some(OrderedCart { cart_id: ids::derive(&["cart"]), request_id });
        let identity = RequestIdentity {
            user_id: order.placed.user_id,
            request_id,
            fingerprint: order.customer.fingerprint.clone(),
        };
        (identity, order)
    }

    #[test]
    fn other_requests_for_an_ordered_cart_are_distinguished() {
        let (same, order) = ordered();
        let other_body = RequestIdentity { fingerprint: "other".to_owned(), ..same.clone() };
        let other_key = RequestIdentity { request_id: ids::derive(&["other"]), ..same.clone() };
        let other_user = RequestIdentity { user_id: ids::derive(&["other"]), ..same.clone() };
        for (request, expected) in [
            (same, Repetition::Same),
            (other_body.clone(), Repetition::KeyReused),
            (other_key.clone(), Repetition::CartOrdered),
            (
                RequestIdentity { request_id: other_key.request_id, ..other_body },
                Repetition::CartOrdered,
            ),
            (other_user, Repetition::OtherBuyer),
        ] {
            assert_eq!(order.repetition(&request), expected, "{request:?}");
        }
    }

    /// The id of an order of items is derived from the key, so the order is that of the same key.
    #[test]
    fn order_of_items_has_no_other_request() {
        let (same, _) = ordered();
        let order = placed();
        let other_key = RequestIdentity { request_id: ids::derive(&["other"]), ..same.clone() };
        assert_eq!(order.repetition(&other_key), Repetition::Same);
        let other_body = RequestIdentity { fingerprint: "other".to_owned(), ..same };
        assert_eq!(order.repetition(&other_body), Repetition::KeyReused);
    }

    #[test]
    fn lines_keep_the_ids_of_the_cart() {
        let (_, order) = ordered();
        let order_id = order.placed.order_id;
        let cart_id = order.placed.cart.map(|cart| cart.cart_id.to_string());
        assert_eq!(Some(line_owner(order_id, order.placed.cart)), cart_id);
        assert_eq!(line_owner(order_id, None), order_id.to_string());
    }

    #[test]
    fn one_cart_has_one_order_id() {
        let cart = |name: &str| ids::derive::<CartId>(&[name]);
        assert_eq!(order_id_of_cart(cart("a")), order_id_of_cart(cart("a")));
        assert_ne!(order_id_of_cart(cart("a")), order_id_of_cart(cart("b")));
        assert_ne!(order_id_of_cart(cart("a")).uuid(), cart("a").uuid());
    }
}
