//! The names that markets and tax rules are known by in every service.

use crate::{checked_text, validation::Violation};

checked_text!(
    /// A market of the shop: a slug that an admin chose.
    MarketId: code(
        2..=32,
        "^[a-z][a-z0-9-]*$",
        is_slug,
        Violation::new(
            "invalid_id",
            "A market id has 2 to 32 lower-case letters, digits and hyphens, and begins with a letter.",
        ),
    ),
    "A market: lower-case letters, digits and hyphens.",
    "de"
);

checked_text!(
    /// The class of a product or of shipping that decides its tax rates.
    TaxClass: code(
        1..=32,
        "^[a-z][a-z0-9-]*$",
        is_slug,
        Violation::new(
            "invalid_id",
            "A tax class has 1 to 32 lower-case letters, digits and hyphens, and starts with a letter.",
        ),
    ),
    "A tax class: lower-case letters, digits and hyphens.",
    "standard"
);

fn is_slug(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The class of products without one of their own.
impl Default for TaxClass {
    fn default() -> Self {
        Self::parse("standard").expect("a tax class")
    }
}
