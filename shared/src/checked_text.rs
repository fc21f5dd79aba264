//! Declares types for texts that are validated once, when they enter the system.
//!
//! One declaration contains the whole rule: limits, rejected characters and problem codes. Both the
//! parser and the API document use it.

use std::ops::RangeInclusive;

use crate::validation::Violation;

/// Declares a text type. `parse` and `TryFrom<String>` are the only constructors, and both apply
/// the rule. A value is serialized, deserialized and displayed as its text.
///
/// The rule has one of four forms. In the first three, the last two texts are the description and
/// the example in the API document.
///
/// - `Name: single_line(120), "About.", "Example"` and `Name: multi_line(2000), …`: free text, see
///   [`text`](crate::text).
/// - `Sku: code(1..=64, "^[A-Z]+$", is_sku, Violation::new("invalid_sku", "…")), …`: accepted
///   unchanged if its length in bytes is in the range and `is_sku`, which implements the pattern,
///   returns true. Otherwise rejected with the violation.
/// - `Name: by(parse, schema)`: `parse` is a `fn(&str) -> Result<String, Violation>`; for `schema`
///   see [`describe!`](crate::describe).
///
/// `Name as "Other"` gives the type another name in the document. `secret Name: …` declares a text
/// that is never displayed: it has no `Display`, and its `Debug` omits the text.
#[macro_export]
macro_rules! checked_text {
    ($(#[$doc:meta])* secret $name:ident $(as $title:literal)?: $($rule:tt)+) => {
        $crate::checked_text!(@type $(#[$doc])* $name);
        $crate::checked_text!(@rule $name ($($title)?) $($rule)+);

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
    ($(#[$doc:meta])* $name:ident $(as $title:literal)?: $($rule:tt)+) => {
        $crate::checked_text!(@type #[derive(Debug)] $(#[$doc])* $name);
        $crate::checked_text!(@rule $name ($($title)?) $($rule)+);

        impl ::std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
    (@type $(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(Clone, PartialEq, Eq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::validation::Violation;

            fn try_from(text: String) -> Result<Self, $crate::validation::Violation> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
    (@rule $name:ident ($($title:literal)?) single_line($max:expr), $about:expr, $example:expr $(,)?) => {
        $crate::checked_text!(@rule $name ($($title)?) by(
            |text| $crate::text::single_line(text, $max),
            free_text($about, $example, $max)
        ));
    };
    (@rule $name:ident ($($title:literal)?) multi_line($max:expr), $about:expr, $example:expr $(,)?) => {
        $crate::checked_text!(@rule $name ($($title)?) by(
            |text| $crate::text::multi_line(text, $max),
            free_text($about, $example, $max)
        ));
    };
    (@rule $name:ident ($($title:literal)?)
        code($length:expr, $pattern:expr, $holds:expr, $violation:expr $(,)?), $about:expr, $example:expr $(,)?
    ) => {
        $crate::checked_text!(@rule $name ($($title)?) by(
            |text| $crate::checked_text::code(text, $length, $holds, || $violation),
            text($about, $example).length($length).pattern($pattern).problem_codes(&[$violation.code.as_str()])
        ));
    };
    (@rule $name:ident ($($title:literal)?) by($parse:expr, $schema:expr $(,)?) $(,)?) => {
        impl $name {
            /// # Errors
            /// Returns the violation if the text breaks the rule.
            pub fn parse(text: &str) -> Result<Self, $crate::validation::Violation> {
                let parse: fn(&str) -> Result<String, $crate::validation::Violation> = $parse;
                parse(text).map(Self)
            }
        }

        $crate::checked_text!(@schema $name ($($title)?) $schema);
    };
    (@schema $name:ident ($title:literal) $schema:expr) => {
        $crate::describe!($name as $title, $schema);
    };
    (@schema $name:ident () $schema:expr) => {
        $crate::describe!($name, $schema);
    };
}

/// Accepts a text unchanged if its length in bytes is in `length` and `holds` returns true. Used by
/// [`checked_text!`](macro@crate::checked_text).
///
/// # Errors
/// Otherwise returns the violation.
pub fn code(
    text: &str,
    length: RangeInclusive<usize>,
    holds: fn(&str) -> bool,
    violation: fn() -> Violation,
) -> Result<String, Violation> {
    if length.contains(&text.len()) && holds(text) { Ok(text.to_owned()) } else { Err(violation()) }
}

#[cfg(test)]
mod tests {
    use super::Violation;

    crate::checked_text!(
        Title: single_line(5), "A title.", "Lamp"
    );
    crate::checked_text!(
        /// An API key.
        secret Key: code(
            2..=3,
            "^[a-z]+$",
            |text| text.bytes().all(|b| b.is_ascii_lowercase()),
            Violation::new("invalid_key", "A key has letters."),
        ),
        "A key.",
        "ab"
    );

    #[test]
    fn text_is_normalized_and_displayed() {
        let title: Title = serde_json::from_str("\" Lamp\\n\"").unwrap();
        assert_eq!(
            (title.as_str(), title.to_string().as_str(), format!("{title:?}").as_str()),
            ("Lamp", "Lamp", "Title(\"Lamp\")")
        );
        assert_eq!(serde_json::to_string(&title).unwrap(), "\"Lamp\"");
        assert_eq!(Title::parse("Lamps!").unwrap_err().code, "too_long");
    }

    #[test]
    fn code_is_accepted_unchanged_or_rejected_with_its_own_code() {
        assert_eq!(Key::parse("abc").map(String::from).as_deref(), Ok("abc"));
        for invalid in ["a", "abcd", "a b", "AB"] {
            assert_eq!(Key::parse(invalid).unwrap_err().code, "invalid_key", "{invalid}");
        }
    }

    #[test]
    fn secret_text_is_redacted_in_debug() {
        assert_eq!(format!("{:?}", Key::parse("abc").unwrap()), "Key(…)");
    }
}
