//! What a value from outside can be refused for: a stable code for programs and a sentence for people.

use std::fmt;

/// Why one field is not acceptable. Becomes an entry of a 422 problem's `errors`, beside the field's JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Stable, in `snake_case`: `invalid_email`, `out_of_range`.
    pub code: String,
    /// A sentence that helps to mend the field. Never repeats what was sent.
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
        Self::from_serde_message(message).map_or_else(|| message.to_owned(), |violation| violation.detail)
    }

    /// Reads a violation back from the message of a serde error, through which it travels from a domain type's `TryFrom`.
    pub(crate) fn from_serde_message(message: &str) -> Option<Self> {
        let mut parts = message.strip_prefix(SEPARATOR)?.splitn(2, SEPARATOR);
        let code = parts.next()?;
        // serde_json puts the place after the message; the pointer says that better.
        let detail = parts.next()?.split(" at line ").next()?;
        Some(Self::new(code, detail))
    }
}

/// Marks a violation within the text of a serde error. A control character: no message of serde's own begins with it.
const SEPARATOR: char = '\u{1f}';

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SEPARATOR}{}{SEPARATOR}{}", self.code, self.detail)
    }
}

impl std::error::Error for Violation {}

/// Text for people to read, within limits: at most `graphemes` visible characters and four times as many bytes, no control or
/// text-direction characters, not blank. Line breaks only where `multi_line`.
pub fn readable_text(text: &str, graphemes: usize, multi_line: bool) -> Result<(), Violation> {
    if text.trim().is_empty() {
        return Err(Violation::new("blank", "This must not be empty or blank."));
    }
    // Counting characters is enough: a grapheme that is built from more than a few of them runs into the limit of bytes.
    if text.chars().filter(|c| !is_combining(*c)).count() > graphemes || text.len() > graphemes * 4 {
        return Err(Violation::new("too_long", format!("This must not be longer than {graphemes} characters.")));
    }
    let forbidden = |c: char| (c.is_control() && !(multi_line && c == '\n')) || is_direction_or_invisible(c);
    if text.chars().any(forbidden) {
        return Err(Violation::new("invalid_characters", "Control, invisible and text-direction characters are not allowed."));
    }
    Ok(())
}

/// Characters that change the direction of text or take no room (they make one text look like another), and those that are none.
pub fn is_direction_or_invisible(c: char) -> bool {
    // Noncharacters (Unicode 16.0, section 23.7) are not for interchange, and SQS refuses a message that holds one.
    let is_noncharacter = matches!(c, '\u{fdd0}'..='\u{fdef}') || (c as u32) & 0xfffe == 0xfffe;
    is_noncharacter
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{061c}' | '\u{2028}' | '\u{2029}')
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_survives_its_way_through_a_serde_error() {
        let violation = Violation::new("invalid_email", "An e-mail address looks like name@example.com.");
        let error = <serde_json::Error as serde::de::Error>::custom(&violation);
        assert_eq!(Violation::from_serde_message(&error.to_string()), Some(violation));
        assert_eq!(Violation::from_serde_message("missing field `x`"), None);
    }

    #[test]
    fn text_that_hides_something_is_refused() {
        assert!(readable_text("O'Hara <script> {{7*7}}", 100, false).is_ok());
        assert!(readable_text("two\nlines", 100, true).is_ok());
        let zalgo = format!("a{}", "\u{0301}".repeat(10_000));
        for text in ["", "   ", "a\u{0}b", "a\u{202e}b", "a\u{ffff}b", "a\u{fdd0}b", "two\nlines", &zalgo, &"x".repeat(101)] {
            assert!(readable_text(text, 100, false).is_err(), "{:?}", text.chars().take(8).collect::<String>());
        }
    }
}
