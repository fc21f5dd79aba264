//! What a value from outside can be refused for: a stable code for programs and a sentence for
//! people.

use std::fmt;

/// Why one field is not acceptable. Becomes an entry of a 422 problem's `errors`, beside the
/// field's JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Stable, in `snake_case`: `invalid_email`, `out_of_range`.
    pub code: String,
    /// A sentence that helps to correct the field. It never repeats the sent value.
    pub detail: String,
}

impl Violation {
    /// A violation of the rule named `code`.
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }

    /// A number, length or count outside its limits.
    pub fn out_of_range(detail: impl Into<String>) -> Self {
        Self::new("out_of_range", detail)
    }

    /// `message` as a person reads it: of a violation its detail, of any other error its own words.
    pub(crate) fn readable(message: &str) -> String {
        Self::from_serde_message(message)
            .map_or_else(|| message.to_owned(), |violation| violation.detail)
    }

    /// Reads a violation back from the message of a serde error, through which it travels from a
    /// domain type's `TryFrom`.
    pub(crate) fn from_serde_message(message: &str) -> Option<Self> {
        let mut parts = message.strip_prefix(SEPARATOR)?.splitn(2, SEPARATOR);
        let code = parts.next()?;
        // serde_json puts the place after the message; the pointer says that better.
        let detail = parts.next()?.split(" at line ").next()?;
        Some(Self::new(code, detail))
    }
}

/// Marks a violation within the text of a serde error. A control character: no message of serde's
/// own begins with it.
const SEPARATOR: char = '\u{1f}';

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SEPARATOR}{}{SEPARATOR}{}", self.code, self.detail)
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violation_round_trips_through_a_serde_error() {
        let violation =
            Violation::new("invalid_email", "An e-mail address looks like name@example.com.");
        let error = <serde_json::Error as serde::de::Error>::custom(&violation);
        assert_eq!(Violation::from_serde_message(&error.to_string()), Some(violation));
        assert_eq!(Violation::from_serde_message("missing field `x`"), None);
    }
}
