//! Tokens that the provider issues for cards. The shop never receives card numbers.

use shared::{checked_text, validation::Violation};

checked_text!(
    /// A provider's token for a card: 1 to 255 visible ASCII characters. Redacted in logs, because
    /// it can be charged.
    secret CardToken: code(
        1..=255,
        "^[!-~]+$",
        |text| text.bytes().all(|b| b.is_ascii_graphic()),
        Violation::new("invalid_token", "A token is 1 to 255 visible ASCII characters."),
    ),
    "The provider's token for a card: visible ASCII characters. Never the card number.",
    "tok_ok"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_token_is_visible_ascii_and_redacted_in_debug() {
        for malformed in ["", "a b", "a\tb", "é", "a\0", &"x".repeat(256)] {
            assert!(CardToken::try_from(malformed.to_owned()).is_err(), "{malformed:?}");
        }
        let token = CardToken::try_from("tok_ok".to_owned()).expect("a token");
        assert!(!format!("{token:?}").contains("tok_ok"));
    }
}
