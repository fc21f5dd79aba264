//! Why somebody who runs the shop gives money back: a sentence for whoever looks at the payment later.

use serde::{Deserialize, Serialize};
use shared::{text, validation::Violation};

/// The longest reason, in characters.
const MAX_REASON: usize = 200;

/// One or more lines, 1 to 200 characters together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefundReason(String);

shared::describe!(RefundReason, text_of_people("Why the money goes back, in one or more lines.", "The lid was broken", MAX_REASON));

impl TryFrom<String> for RefundReason {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        text::multi_line(&text, MAX_REASON).map(Self)
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
    fn a_reason_is_readable_text_of_one_or_more_lines() {
        assert!(RefundReason::try_from("The lid was broken <b>".to_owned()).is_ok());
        let pasted = RefundReason::try_from(" The lid\r\nwas\tbroken\u{2028}twice.\u{feff} ".to_owned()).expect("a reason");
        assert_eq!(String::from(pasted), "The lid\nwas broken\ntwice.");
        for odd in ["", " ", "\u{2800}", "a\u{0}", "a\u{202e}b", &"x".repeat(201)] {
            assert!(RefundReason::try_from(odd.to_owned()).is_err(), "{odd:?}");
        }
    }
}
