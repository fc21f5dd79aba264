//! Texts of a cart. Deserializing one checks its rule.

use std::collections::BTreeMap;

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
    /// What the buyer asks of the shop.
    Note: multi_line(1000), "What the buyer asks of the shop.", "Please ring twice."
);

checked_text!(
    /// The name that a client gives a change, so that a repetition has no second effect.
    MutationId: code(
        1..=64,
        "^[!-~]+$",
        |text| text.bytes().all(|b| b.is_ascii_graphic()),
        Violation::new("invalid_id", "A mutation id is 1 to 64 visible ASCII characters, such as a UUID."),
    ),
    "The client's name for this change. A cart knows its last 16; a repeated one changes nothing.",
    "0199c2a8-4d1f-7b6e-9c35-1a2b3c4d5e6f"
);

checked_text!(
    AttributeText: single_line(200), "The value of an attribute.", "yes"
);

/// Maximum number of attributes of a cart.
const MAX_ATTRIBUTES: usize = 20;
/// Maximum length of an attribute's name, in bytes.
const MAX_NAME: usize = 40;

/// Values that the storefront keeps with a cart, such as the wish for a gift wrapping. The shop does
/// not interpret them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, AttributeText>")]
pub struct Attributes(BTreeMap<String, AttributeText>);

impl Attributes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, AttributeText>> for Attributes {
    type Error = Violation;

    fn try_from(attributes: BTreeMap<String, AttributeText>) -> Result<Self, Violation> {
        if attributes.len() > MAX_ATTRIBUTES {
            let detail = format!("A cart has at most {MAX_ATTRIBUTES} attributes.");
            return Err(Violation::out_of_range(detail));
        }
        let is_name = |name: &String| {
            (1..=MAX_NAME).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if attributes.keys().all(is_name) {
            Ok(Self(attributes))
        } else {
            let detail = "The name of an attribute has 1 to 40 lower-case letters, digits and _.";
            Err(Violation::new("invalid_attribute", detail))
        }
    }
}

#[cfg(feature = "api-document")]
impl utoipa::PartialSchema for Attributes {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use serde_json::json;
        use utoipa::openapi::{
            Ref,
            extensions::Extensions,
            schema::{ObjectBuilder, SchemaType, Type},
        };

        let names = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .pattern(Some("^[a-z0-9_]{1,40}$"));
        let codes = json!(["out_of_range", "invalid_attribute"]);
        ObjectBuilder::new()
            .description(Some("Values of the storefront, which the shop does not interpret."))
            .max_properties(Some(MAX_ATTRIBUTES))
            .property_names(Some(names))
            .additional_properties(Some(Ref::from_schema_name("AttributeText")))
            .examples([json!({ "gift_wrapping": "yes" })])
            .extensions(Some(Extensions::builder().add("x-problems", codes).build()))
            .into()
    }
}

#[cfg(feature = "api-document")]
impl utoipa::ToSchema for Attributes {
    fn name() -> std::borrow::Cow<'static, str> {
        "CartAttributes".into()
    }

    fn schemas(
        schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>,
    ) {
        schemas
            .push(("AttributeText".to_owned(), <AttributeText as utoipa::PartialSchema>::schema()));
        <AttributeText as utoipa::ToSchema>::schemas(schemas);
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
            assert_eq!(MutationId::parse(bad).unwrap_err().code, "invalid_id", "{bad}");
        }
    }

    #[test]
    fn attributes_are_few_short_texts_with_plain_names() {
        let read = |attributes: Value| serde_json::from_value::<Attributes>(attributes);
        assert!(read(json!({})).unwrap().is_empty());
        let gift = json!({ "gift_wrapping": "yes", "x1": "é" });
        assert_eq!(serde_json::to_value(read(gift.clone()).unwrap()).unwrap(), gift);
        let many = |count: usize| {
            Value::Object((0..count).map(|number| (format!("a{number}"), json!("x"))).collect())
        };
        assert!(read(many(20)).is_ok());
        for bad in [
            many(21),
            json!({ "": "x" }),
            json!({ "Gift": "x" }),
            json!({ "a-b": "x" }),
            json!({ "a".repeat(41): "x" }),
            json!({ "a": "x".repeat(201) }),
            json!({ "a": 1 }),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
