//! Texts of a cart. Deserializing one checks its rule.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shared::{checked_text, validation::Violation};

checked_text!(
    /// A language tag of BCP 47, such as `de-CH`: the language of the buyer.
    Locale: code(
        2..=35,
        "^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$",
        is_language_tag,
        Violation::new("invalid_locale", "A locale is a language tag of BCP 47, such as de or de-CH."),
    ),
    "The language of the buyer: a tag of BCP 47.",
    "en-GB"
);

fn is_language_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let is_language = parts.next().is_some_and(|language| {
        (2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_lowercase())
    });
    let is_subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    is_language && parts.all(is_subtag)
}

checked_text!(
    /// A note from the buyer to the shop.
    Note: multi_line(1000), "A note from the buyer to the shop.", "Please ring twice."
);

checked_text!(
    /// An id that the client gives a change. A cart applies a change with the same id once.
    MutationId: code(
        1..=64,
        "^[!-~]+$",
        |text| text.bytes().all(|b| b.is_ascii_graphic()),
        Violation::new("invalid_mutation_id", "A mutation id is 1 to 64 visible ASCII characters, such as a UUID."),
    ),
    "The client's name for this change. A cart stores the last 16; a repeated one changes nothing.",
    "0199c2a8-4d1f-7b6e-9c35-1a2b3c4d5e6f"
);

checked_text!(
    AttributeName: code(
        1..=40,
        "^[a-z0-9_]+$",
        |text| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
        Violation::new(
            "invalid_attribute",
            "The name of an attribute has 1 to 40 lower-case letters, digits and underscores.",
        ),
    ),
    "The name of an attribute: lower-case letters, digits and underscores.",
    "gift_wrapping"
);

checked_text!(
    AttributeValue: single_line(200), "The value of an attribute.", "yes"
);

/// Maximum number of attributes of a cart.
const MAX_ATTRIBUTES: usize = 20;

/// A value that the storefront keeps with a cart, such as a request for gift wrapping. The shop
/// does not interpret it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = CartAttribute))]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    name: AttributeName,
    value: AttributeValue,
}

/// The attributes of a cart, with different names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Attribute>")]
pub struct Attributes(Vec<Attribute>);

impl Attributes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<Attribute>> for Attributes {
    type Error = Violation;

    fn try_from(attributes: Vec<Attribute>) -> Result<Self, Violation> {
        if attributes.len() > MAX_ATTRIBUTES {
            let detail = format!("A cart has at most {MAX_ATTRIBUTES} attributes.");
            return Err(Violation::out_of_range(detail));
        }
        let mut names = BTreeSet::new();
        if attributes.iter().all(|attribute| names.insert(attribute.name.as_str())) {
            Ok(Self(attributes))
        } else {
            let detail = "The attributes of a cart have different names.";
            Err(Violation::new("duplicate_value", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn locale_is_a_language_tag() {
        for good in ["de", "de-CH", "zh-Hant-TW", "deu", "en-GB-oxendict"] {
            assert!(Locale::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "d", "DE", "de_CH", "de-", "deut", "de-toolongsubtag", "d1", "é", "de-é"]
        {
            assert_eq!(Locale::parse(bad).unwrap_err().code, "invalid_locale", "{bad}");
        }
    }

    #[test]
    fn mutation_id_is_visible_ascii() {
        assert!(MutationId::parse(&"x".repeat(64)).is_ok());
        for bad in ["", "a b", "é", &"x".repeat(65)] {
            assert_eq!(MutationId::parse(bad).unwrap_err().code, "invalid_mutation_id", "{bad}");
        }
    }

    #[test]
    fn attributes_are_few_short_texts_with_different_names() {
        let read = |attributes: Value| serde_json::from_value::<Attributes>(attributes);
        assert!(read(json!([])).unwrap().is_empty());
        let gift = json!([{ "name": "gift_wrapping", "value": "yes" }]);
        assert_eq!(serde_json::to_value(read(gift.clone()).unwrap()).unwrap(), gift);
        let one = |name: &str, value: &str| json!({ "name": name, "value": value });
        let many = |count: usize| -> Value {
            (0..count).map(|number| one(&format!("a{number}"), "x")).collect()
        };
        assert!(read(many(20)).is_ok());
        for bad in [
            many(21),
            json!([one("", "x")]),
            json!([one("Gift", "x")]),
            json!([one("a-b", "x")]),
            json!([one(&"a".repeat(41), "x")]),
            json!([one("a", &"x".repeat(201))]),
            json!([one("a", "x"), one("a", "y")]),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
