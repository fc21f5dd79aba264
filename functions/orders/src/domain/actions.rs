//! The actions of people on an order: cancellation, shipment and a change of the address.

use serde::{Deserialize, Serialize};
use shared::{address::Address, checked_text};

/// The role of a person who acts on an order. It does not identify the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    Customer,
    Admin,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

shared::describe!(
    Actor,
    one_of("The role of the person: the buyer or an admin.", &["customer", "admin"])
);

/// Who cancelled an order, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct Cancellation {
    pub by: Actor,
    /// Free text. It may contain personal data, so it is erased with the buyer.
    #[serde(default)]
    pub reason: Option<CancelReason>,
}

checked_text!(
    /// Why an order is cancelled: up to 200 characters in one or more lines.
    CancelReason: multi_line(200),
    "Why the order is cancelled, as free text in one or more lines.",
    "It is the wrong colour."
);

/// A new shipping address, and who changed it.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressChange {
    pub by: Actor,
    pub shipping_address: Address,
}

/// The carrier and the tracking number of a shipped order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct Shipment {
    pub carrier: ShippingText,
    /// The carrier's tracking number.
    pub tracking: ShippingText,
}

checked_text!(
    /// The name of a carrier, or its tracking number: up to 100 characters.
    ShippingText: single_line(100), "The carrier's name or tracking number.", "RM 1234 5678 9GB"
);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn cancellation_round_trips_for_every_actor() {
        let reason = Some(CancelReason("It is the wrong colour.".to_owned()));
        for (cancellation, stored) in [
            (
                Cancellation { by: Actor::Customer, reason },
                json!({ "by": "customer", "reason": "It is the wrong colour." }),
            ),
            (
                Cancellation { by: Actor::Admin, reason: None },
                json!({ "by": "admin", "reason": null }),
            ),
            (
                Cancellation { by: Actor::Unknown("robot".to_owned()), reason: None },
                json!({ "by": "robot", "reason": null }),
            ),
        ] {
            assert_eq!(to_value(&cancellation).unwrap(), stored);
            assert_eq!(from_value::<Cancellation>(stored).unwrap(), cancellation);
        }
        assert_eq!(
            from_value::<Cancellation>(json!({ "by": "admin" })).unwrap(),
            Cancellation { by: Actor::Admin, reason: None }
        );
    }

    #[test]
    fn hidden_characters_and_long_texts_are_rejected() {
        for invalid in ["", "  ", "\u{3164}", "a\u{0}b", "a\u{202e}b", &"x".repeat(201)] {
            assert!(CancelReason::try_from(invalid.to_owned()).is_err(), "{invalid:?}");
            assert!(ShippingText::try_from(invalid.to_owned()).is_err(), "{invalid:?}");
        }
        assert!(ShippingText::try_from("x".repeat(101)).is_err());
        let shipment =
            |text: &str| from_value::<Shipment>(json!({ "carrier": text, "tracking": text }));
        assert!(shipment("1Z 999 AA1 01 2345 6784").is_ok());
        assert!(shipment("Österreichische Post").is_ok());
        assert_eq!(
            String::from(CancelReason::try_from("two\r\nlines".to_owned()).unwrap()),
            "two\nlines"
        );
        assert_eq!(String::from(shipment("1Z\t999\r\n").unwrap().tracking), "1Z 999");
    }
}
