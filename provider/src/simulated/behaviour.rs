//! The behaviour of each documented card token. Other tokens are declined.

use serde::{Deserialize, Serialize};

/// How the provider handles a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Charged,
    Declined(&'static str),
    /// Charges the card, and loses the response.
    TimeoutAfterCharge,
    /// Loses the first request.
    TimeoutBeforeCharge,
    /// Loses every charge request, as in an outage. Other requests arrive.
    Unreachable,
    /// Fails the first request with a server error.
    ServerErrorOnce,
    /// Charges the card, but the first response and the first query report `processing`. A webhook
    /// or a later query reports the charge.
    ChargedLate,
    /// Waits for an action of the customer, with this outcome.
    ActionThen(Action),
}

/// The outcome of the customer's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Charged,
    Declined,
    NeverDone,
}

impl Behaviour {
    pub(super) fn of(token: &str) -> Self {
        match token {
            // The webhook sender delivers the webhook of `tok_duplicate_webhook` twice.
            "tok_ok" | "credit_card" | "tok_duplicate_webhook" => Self::Charged,
            "tok_declined" => Self::Declined("card_declined"),
            "tok_insufficient_funds" => Self::Declined("insufficient_funds"),
            "tok_timeout_after_charge" => Self::TimeoutAfterCharge,
            "tok_timeout_before_charge" => Self::TimeoutBeforeCharge,
            "tok_unreachable" => Self::Unreachable,
            "tok_5xx_then_ok" => Self::ServerErrorOnce,
            "tok_late_webhook" => Self::ChargedLate,
            "tok_3ds" => Self::ActionThen(Action::Charged),
            "tok_3ds_declined" => Self::ActionThen(Action::Declined),
            "tok_3ds_abandoned" => Self::ActionThen(Action::NeverDone),
            _ => Self::Declined("invalid_payment_method"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documented_tokens_are_charged() {
        assert_eq!(Behaviour::of("tok_ok"), Behaviour::Charged);
        assert_eq!(Behaviour::of("credit_card"), Behaviour::Charged);
        for token in ["", "tok_OK", "tok_ok ", "pm_card_visa"] {
            assert_eq!(
                Behaviour::of(token),
                Behaviour::Declined("invalid_payment_method"),
                "{token}"
            );
        }
    }
}
