//! What people do with an order that stands: they give it up, and they send it.

use serde::{Deserialize, Serialize};
use shared::checked_text;

/// On which side somebody stands. It says nothing of the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The buyer.
    Customer,
    /// The shop.
    Admin,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

shared::describe!(Actor, one_of("Whether it was the buyer or the shop.", &["customer", "admin"]));

/// That an order was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct Cancellation {
    /// By whom.
    pub by: Actor,
    /// Why, in their own words. Nobody knows what people write there: it is erased with the buyer.
    #[serde(default)]
    pub reason: Option<CancelReason>,
}

checked_text!(
    /// Why an order is given up: up to 200 characters in one or more lines.
    CancelReason: multi_line(200),
    "Why it is given up, in the words of who gives it up: one or more lines.",
    "It is the wrong colour."
);

/// How the goods travel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct Shipment {
    /// Who carries them.
    pub carrier: ShippingText,
    /// The carrier's number.
    pub tracking: ShippingText,
}

checked_text!(
    /// The name of a carrier, or the number that it gave: up to 100 characters.
    ShippingText: single_line(100), "A text as the carrier has it.", "RM 1234 5678 9GB"
);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn a_cancellation_is_read_as_it_was_written_whoever_it_was_by() {
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
    fn what_hides_something_or_is_too_long_is_no_text_of_ours() {
        for odd in ["", "  ", "\u{3164}", "a\u{0}b", "a\u{202e}b", &"x".repeat(201)] {
            assert!(CancelReason::try_from(odd.to_owned()).is_err(), "{odd:?}");
            assert!(ShippingText::try_from(odd.to_owned()).is_err(), "{odd:?}");
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
