//! `pay_<order>_<attempt>`: the id contains the order, so that one read finds the payment.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared::{
    ids::{self, OrderId, PrefixedId, Uuid},
    validation::Violation,
};

/// A payment: one attempt to pay one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentId {
    order: Uuid,
    attempt: Uuid,
}

impl PaymentId {
    pub fn new(order: OrderId, attempt: Uuid) -> Self {
        Self { order: order.uuid(), attempt }
    }

    /// The attempt with the payment method given when the order was placed. Derived from the order,
    /// so that a repeat has the same id.
    pub fn automatic(order: OrderId) -> Self {
        Self::new(order, ids::derive_uuid(&[&order.to_string(), "automatic"]))
    }

    /// Returns `None` if `text` is not a payment id.
    pub fn parse(text: &str) -> Option<Self> {
        let (order, attempt) = text.strip_prefix("pay_")?.split_once('_')?;
        Some(Self { order: ids::parse_uuid(order)?, attempt: ids::parse_uuid(attempt)? })
    }

    pub fn order_id(&self) -> OrderId {
        OrderId::from_uuid(self.order)
    }

    pub fn attempt(&self) -> Uuid {
        self.attempt
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "pay_{}_{}", self.order.hyphenated(), self.attempt.hyphenated())
    }
}

impl Serialize for PaymentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PaymentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(Violation::new("invalid_id", "Not a payment id."))
        })
    }
}

shared::describe!(
    PaymentId,
    text(
        "Begins with `pay_`. Use it unchanged: nothing follows from its other characters.",
        "pay_0199c2a8-0000-7000-8000-0000000000f1_0199c2a8-0000-7000-8000-0000000000a1"
    )
    .pattern("^pay_[0-9a-f-]{36}_[0-9a-f-]{36}$")
    .problem_codes(&["invalid_id"])
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payment_id_round_trips_and_contains_its_order_id() {
        let order: OrderId = ids::derive(&["an order"]);
        let id = PaymentId::automatic(order);
        assert_eq!(PaymentId::parse(&id.to_string()), Some(id));
        assert_eq!(id.order_id(), order);
    }

    #[test]
    fn malformed_payment_ids_are_rejected() {
        let id = PaymentId::automatic(ids::derive(&["an order"])).to_string();
        for malformed in [
            "",
            "pay_",
            "pay__",
            &id[..40],
            &id.to_uppercase(),
            &format!("{id}_"),
            &id.replace("pay_", "ord_"),
            &format!("{id}/"),
        ] {
            assert_eq!(PaymentId::parse(malformed), None, "{malformed}");
        }
    }
}
