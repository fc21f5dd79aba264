//! Names that people give themselves.

use std::ops::RangeInclusive;

use serde::Deserialize;
use shared::{text, validation::Violation};
use unicode_normalization::UnicodeNormalization;

const USERNAME_LENGTH: RangeInclusive<usize> = 3..=32;
const MAX_FULL_NAME: usize = 100;

/// A short name: 3 to 32 letters, digits, dots, dashes and underscores of ASCII, beginning with a letter or digit. It need not be unique:
/// a user is known by the e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Username(String);

impl Username {
    /// The name that `text` spells.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let valid =
            USERNAME_LENGTH.contains(&text.len()) && text.chars().all(allowed) && text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let detail = "A username has 3 to 32 letters, digits, dots, dashes and underscores, and begins with a letter or digit.";
        if valid { Ok(Self(text.to_owned())) } else { Err(Violation::new("invalid_username", detail)) }
    }
}

shared::describe!(
    Username,
    text("A short name, which need not be unique: a user is known by the e-mail address.", "ada")
        .length(USERNAME_LENGTH)
        .pattern("^[A-Za-z0-9][A-Za-z0-9._-]*$")
        .refused_as(&["invalid_username"])
);

impl TryFrom<String> for Username {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        Self::parse(&text)
    }
}

impl From<Username> for String {
    fn from(name: Username) -> Self {
        name.0
    }
}

/// A person's name as they write it: up to 100 visible characters of any script.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FullName(String);

impl FullName {
    /// The name that `text` spells: one line, without white space around it and in composed form.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let name: String = text.nfc().collect();
        text::single_line(&name, MAX_FULL_NAME).map(Self)
    }
}

shared::describe!(
    FullName,
    text_of_people("A person's name as they write it: visible characters of any script.", "Ada Lovelace", MAX_FULL_NAME)
);

impl TryFrom<String> for FullName {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        Self::parse(&text)
    }
}

impl From<FullName> for String {
    fn from(name: FullName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_plain() {
        for good in ["ada", "ada.lovelace", "Ada_1815", "1st-user", &"x".repeat(32)] {
            assert!(Username::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "ab", "_ada", ".ada", "a da", "adä", "ada\0", "ada\u{202e}", "<script>", "ada@x", &"x".repeat(33)] {
            assert_eq!(Username::parse(bad).unwrap_err().code, "invalid_username", "{bad}");
        }
    }

    #[test]
    fn full_names_are_kept_as_they_are_written() {
        for good in ["Ada Lovelace", "O'Hara <script>", "'; DROP TABLE users", "=HYPERLINK(1)", "李", "{{7*7}}", "${jndi:x}"] {
            assert_eq!(FullName::parse(good).map(String::from).as_deref(), Ok(good));
        }
        assert_eq!(FullName::parse("  Zoe\u{308} ").map(String::from).as_deref(), Ok("Zo\u{eb}"));
        assert_eq!(FullName::parse("Ada\r\nLovelace\t").map(String::from).as_deref(), Ok("Ada Lovelace"));
        let persian = "\u{639}\u{644}\u{6cc}\u{200c}\u{631}\u{636}\u{627}";
        assert_eq!(FullName::parse(persian).map(String::from).as_deref(), Ok(persian));
        let zalgo = format!("a{}", "\u{0301}".repeat(10_000));
        for bad in ["", " \t ", "\u{3164}", "\u{2800}", "a\u{0}b", "a\u{202e}b", "a\u{ad}b", &zalgo, &"x".repeat(101)] {
            assert!(FullName::parse(bad).is_err());
        }
    }
}
