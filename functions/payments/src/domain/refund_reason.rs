//! Why somebody who runs the shop gives money back: a sentence for whoever looks at the payment later.

use serde::{Deserialize, Serialize};
use shared::validation::{Violation, readable_text};

/// The longest reason, in characters.
const MAX_REASON: usize = 200;

/// One line of 1 to 200 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefundReason(String);

shared::describe!(
    RefundReason,
    text("Why the money goes back.", "The lid was broken").length(1..=MAX_REASON).refused_as(&["blank", "too_long", "invalid_characters"])
);

impl TryFrom<String> for RefundReason {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        readable_text(&text, MAX_REASON, false)?;
        Ok(Self(text.trim().to_owned()))
    }
}

impl From<RefundReason> for String {
    fn from(reason: RefundReason) -> Self {
        reason.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_readable_line() {
        assert!(RefundReason::try_from("The lid was broken <b>".to_owned()).is_ok());
        for odd in ["", " ", "a\nb", "a\u{0}", "a\u{202e}b", &"x".repeat(201)] {
            assert!(RefundReason::try_from(odd.to_owned()).is_err(), "{odd:?}");
        }
    }
}
