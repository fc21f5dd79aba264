//! Violations: why an external value is rejected, with a stable code for programs and a sentence
//! for people.

use std::fmt;

/// Why one field is rejected. Becomes an entry in `errors` of a 422 problem, with the field's JSON
/// pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Stable, in `snake_case`: `invalid_email`, `out_of_range`.
    pub code: String,
    /// A sentence that helps to correct the field. It never contains the sent value.
    pub detail: String,
}

impl Violation {
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }

    /// A number, length or count outside its limits.
    pub fn out_of_range(detail: impl Into<String>) -> Self {
        Self::new("out_of_range", detail)
    }

    /// Formats a serde error for people: a violation's detail, or any other message unchanged.
    pub(crate) fn readable(message: &str) -> String {
        Self::from_serde_message(message)
            .map_or_else(|| message.to_owned(), |violation| violation.detail)
    }

    /// Extracts a violation from the message of a serde error, in which `TryFrom` of a domain type
    /// returns it.
    pub(crate) fn from_serde_message(message: &str) -> Option<Self> {
        let mut parts = message.strip_prefix(SEPARATOR)?.splitn(2, SEPARATOR);
        let code = parts.next()?;
        // serde_json appends the position. The JSON pointer replaces it.
        let detail = parts.next()?.split(" at line ").next()?;
        Some(Self::new(code, detail))
    }
}

/// Marks a violation in the text of a serde error. serde's own messages never begin with this
/// control character.
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
