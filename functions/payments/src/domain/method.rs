//! With what is paid: a token that the provider gave out for a card. We never see the card.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::validation::Violation;

/// A method of payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentMethod {
    /// Its kind.
    pub r#type: MethodType,
    /// The provider's token for it.
    pub token: CardToken,
}

/// The kinds of payment method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MethodType {
    /// A card.
    Card,
}

/// A provider's token: 1 to 255 visible ASCII characters. It charges somebody's card, so it does not show itself in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CardToken(String);

/// The longest token.
const MAX_TOKEN: usize = 255;

shared::describe!(
    CardToken,
    text("The provider's token for a card: visible characters of ASCII. Never the card's number.", "tok_ok")
        .length(1..=MAX_TOKEN)
        .pattern("^[!-~]+$")
        .refused_as(&["invalid_token"])
);

impl CardToken {
    /// The token as the provider takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CardToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CardToken(…)")
    }
}

impl TryFrom<String> for CardToken {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        let fits = (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then_some(Self(text)).ok_or_else(|| Violation::new("invalid_token", "A token is 1 to 255 visible ASCII characters."))
    }
}

impl From<CardToken> for String {
    fn from(token: CardToken) -> Self {
        token.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_visible_ascii_and_stays_out_of_logs() {
        for odd in ["", "a b", "a\tb", "é", "a\0", &"x".repeat(256)] {
            assert!(CardToken::try_from(odd.to_owned()).is_err(), "{odd:?}");
        }
        let token = CardToken::try_from("tok_ok".to_owned()).expect("a token");
        assert!(!format!("{token:?}").contains("tok_ok"));
    }
}
