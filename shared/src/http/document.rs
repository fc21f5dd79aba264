//! A JSON document that keeps the order of fields and rejects duplicate fields.
//!
//! `serde_json::Value` does neither: it sorts fields and keeps the last duplicate.

use std::collections::BTreeSet;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::card_number;

/// Message of the error for a duplicate field.
pub(super) const DUPLICATE_FIELD: &str = "duplicate field";

/// A document, or a value in one.
#[derive(Debug)]
pub(super) enum Document {
    Leaf(Value),
    List(Vec<Document>),
    Object(Vec<(String, Document)>),
}

impl Document {
    /// Returns whether this is `null`, or the empty string that forms send for an empty input.
    pub(super) fn is_omitted(&self) -> bool {
        match self {
            Self::Leaf(Value::Null) => true,
            Self::Leaf(Value::String(text)) => text.is_empty(),
            _ => false,
        }
    }

    /// Returns whether any field name or text of the document contains this character.
    pub(super) fn contains(&self, c: char) -> bool {
        match self {
            Self::Leaf(value) => value.as_str().is_some_and(|text| text.contains(c)),
            Self::List(items) => items.iter().any(|item| item.contains(c)),
            Self::Object(members) => {
                members.iter().any(|(name, value)| name.contains(c) || value.contains(c))
            }
        }
    }

    /// Returns whether any free text of the document contains a payment card number.
    pub(super) fn contains_card_number(&self) -> bool {
        match self {
            Self::Leaf(Value::String(text)) => card_number::found_in(text),
            Self::Leaf(Value::Number(number)) => {
                number.as_u64().is_some_and(|number| card_number::found_in(&number.to_string()))
            }
            Self::Leaf(_) => false,
            Self::List(items) => items.iter().any(Self::contains_card_number),
            Self::Object(members) => members.iter().any(|(name, value)| {
                let is_scanned =
                    card_number::is_scanned(name) || !matches!(value, Self::Leaf(Value::String(_)));
                card_number::found_in(name) || (is_scanned && value.contains_card_number())
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Document;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("any JSON")
            }
            fn visit_str<E>(self, text: &str) -> Result<Document, E> {
                Ok(Document::Leaf(text.into()))
            }
            fn visit_string<E>(self, text: String) -> Result<Document, E> {
                Ok(Document::Leaf(text.into()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Document, E> {
                Ok(Document::Leaf(number.into()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Document, E> {
                Ok(Document::Leaf(number.into()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Document, E> {
                Ok(Document::Leaf(number.into()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Document, E> {
                Ok(Document::Leaf(value.into()))
            }
            fn visit_unit<E>(self) -> Result<Document, E> {
                Ok(Document::Leaf(Value::Null))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Document, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Document::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Document, A::Error> {
                let (mut members, mut names) = (Vec::new(), BTreeSet::new());
                while let Some(name) = object.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(DUPLICATE_FIELD));
                    }
                    members.push((name, object.next_value()?));
                }
                Ok(Document::Object(members))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}
