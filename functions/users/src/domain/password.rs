//! Passwords: length limits and a list of common passwords; no other composition rules.

use std::fmt;

use serde::Deserialize;
use shared::validation::Violation;
use unicode_normalization::UnicodeNormalization;

const MIN_CHARACTERS: usize = 8;
const MAX_BYTES: usize = 1024;

/// The most frequent passwords of eight and more characters in lists of stolen ones, in lower case
/// and sorted by bytes. To scan all of them takes a thousandth of the time of one hash, so no index
/// is built.
const COMMON: &str = include_str!("common_passwords.txt");

/// A password that a user chooses, in composed form (NFC), because keyboards compose `é`
/// differently. White space and case are significant.
///
/// There are no rules about kinds of characters, because they lead to weaker passwords (NIST SP
/// 800-63B, section 3.1.1.2).
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Password(String);

impl Password {
    /// Checks and normalizes a password.
    ///
    /// # Errors
    /// The violated rule: `password_too_short`, `password_too_long` or `password_compromised`.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let text: String = text.nfc().collect();
        if text.chars().count() < MIN_CHARACTERS {
            return Err(Violation::new(
                "password_too_short",
                format!("A password has at least {MIN_CHARACTERS} characters."),
            ));
        }
        if text.len() > MAX_BYTES {
            return Err(Violation::new(
                "password_too_long",
                format!("A password has at most {MAX_BYTES} bytes."),
            ));
        }
        let lower = text.to_lowercase();
        if COMMON.lines().any(|common| common == lower) {
            return Err(Violation::new(
                "password_compromised",
                "This password is too common. Choose another.",
            ));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

shared::describe!(
    Password,
    text("A password. White space and case count; characters are composed (NFC). At most 1,024 bytes.", "correct horse battery staple")
        .length(MIN_CHARACTERS..=MAX_BYTES)
        .format("password")
        .problem_codes(&["password_too_short", "password_too_long", "password_compromised"])
);

impl TryFrom<String> for Password {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        Self::parse(&text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Result<String, String> {
        Password::parse(text).map(|password| password.0).map_err(|violation| violation.code)
    }

    #[test]
    fn minimum_counts_characters_and_maximum_counts_bytes() {
        assert_eq!(code("seven77"), Err("password_too_short".to_owned()));
        assert_eq!(code(&"😀".repeat(7)), Err("password_too_short".to_owned()));
        assert_eq!(code(&"y".repeat(1025)), Err("password_too_long".to_owned()));
        assert_eq!(code(&"é".repeat(513)), Err("password_too_long".to_owned()));
        assert!(code(&"y".repeat(1024)).is_ok());
        assert!(code("8bytes!!").is_ok());
    }

    #[test]
    fn white_space_case_and_control_characters_are_kept() {
        for text in [
            " ".repeat(12),
            "😀".repeat(15),
            "with\0nul inside".to_owned(),
            "  spaces around  ".to_owned(),
            "4242424242424242".to_owned(),
        ] {
            assert_eq!(code(&text), Ok(text));
        }
    }

    #[test]
    fn characters_are_composed() {
        assert_eq!(code("cafe\u{301} au lait"), Ok("caf\u{e9} au lait".to_owned()));
        assert_eq!(code("caf\u{e9} au lait"), Ok("caf\u{e9} au lait".to_owned()));
        assert_eq!(code("\u{1112}\u{1161}\u{11ab} gugeo!"), Ok("\u{d55c} gugeo!".to_owned()));
        assert_eq!(code(&"e\u{301}".repeat(7)), Err("password_too_short".to_owned()));
    }

    #[test]
    fn common_passwords_are_rejected() {
        for text in [
            "password",
            "Password1",
            "12345678",
            "QWERTYUIOP",
            "iloveyou",
            "passw0rd",
            "11111111",
            "P@ssw0rd123",
            "teddybear1",
            "!qaz2wsx",
            "zzzzzzzzz",
        ] {
            assert_eq!(code(text), Err("password_compromised".to_owned()), "{text}");
        }
    }

    #[test]
    fn common_password_list_is_sorted_unique_and_relevant() {
        let common: Vec<&str> = COMMON.lines().collect();
        for password in &common {
            assert!(
                password.chars().count() >= MIN_CHARACTERS && *password == password.to_lowercase(),
                "{password}"
            );
            assert!(password.trim() == *password, "{password}");
        }
        assert!(common.is_sorted_by(|one, next| one < next));
        assert!(common.len() >= 1000);
    }

    #[test]
    fn debug_output_hides_the_password() {
        assert_eq!(format!("{:?}", Password::parse("correct horse")), "Ok((secret))");
    }
}
