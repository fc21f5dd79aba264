//! User names and full names: allowed characters and lengths.

use shared::{checked_text, text, validation::Violation};
use unicode_normalization::UnicodeNormalization;

const MAX_FULL_NAME: usize = 100;

checked_text!(
    /// A short name: 3 to 32 ASCII letters, digits, dots, dashes and underscores, beginning with a
    /// letter or digit. It need not be unique, because the e-mail address identifies the user.
    Username: code(
        3..=32,
        "^[A-Za-z0-9][A-Za-z0-9._-]*$",
        is_plain,
        Violation::new(
            "invalid_username",
            "A username has 3 to 32 letters, digits, dots, dashes and underscores, and begins with a letter or digit.",
        ),
    ),
    "A short name, which need not be unique: a user is known by the e-mail address.",
    "ada"
);
checked_text!(
    /// A person's name: one line of up to 100 visible characters of any script, in composed form
    /// (NFC).
    FullName: by(
        |text| text::single_line(&text.nfc().collect::<String>(), MAX_FULL_NAME),
        free_text("A person's name as they write it: visible characters of any script.", "Ada Lovelace", MAX_FULL_NAME)
    )
);

fn is_plain(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.chars().all(allowed) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn username_allows_only_plain_ascii() {
        for good in ["ada", "ada.lovelace", "Ada_1815", "1st-user", &"x".repeat(32)] {
            assert!(Username::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            "_ada",
            ".ada",
            "a da",
            "adä",
            "ada\0",
            "ada\u{202e}",
            "<script>",
            "ada@x",
            &"x".repeat(33),
        ] {
            assert_eq!(Username::parse(bad).unwrap_err().code, "invalid_username", "{bad}");
        }
    }

    #[test]
    fn full_name_keeps_its_characters() {
        for good in [
            "Ada Lovelace",
            "O'Hara <script>",
            "'; DROP TABLE users",
            "=HYPERLINK(1)",
            "李",
            "{{7*7}}",
            "${jndi:x}",
        ] {
            assert_eq!(FullName::parse(good).map(String::from).as_deref(), Ok(good));
        }
        assert_eq!(FullName::parse("  Zoe\u{308} ").map(String::from).as_deref(), Ok("Zo\u{eb}"));
        assert_eq!(
            FullName::parse("Ada\r\nLovelace\t").map(String::from).as_deref(),
            Ok("Ada Lovelace")
        );
        let persian = "\u{639}\u{644}\u{6cc}\u{200c}\u{631}\u{636}\u{627}";
        assert_eq!(FullName::parse(persian).map(String::from).as_deref(), Ok(persian));
        let zalgo = format!("a{}", "\u{0301}".repeat(10_000));
        for bad in [
            "",
            " \t ",
            "\u{3164}",
            "\u{2800}",
            "a\u{0}b",
            "a\u{202e}b",
            "a\u{ad}b",
            &zalgo,
            &"x".repeat(101),
        ] {
            assert!(FullName::parse(bad).is_err());
        }
    }
}
