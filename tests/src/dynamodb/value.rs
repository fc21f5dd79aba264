//! Attribute values and items in DynamoDB JSON, and their sizes.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

use super::number::Number;

/// An item, or its key.
pub type Item = BTreeMap<String, Attribute>;

/// The value of an attribute. No item of the shop has a set of numbers or a binary value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Attribute {
    S(String),
    N(Number),
    #[serde(rename = "BOOL")]
    Bool(bool),
    #[serde(rename = "NULL")]
    Null(bool),
    M(Item),
    L(Vec<Attribute>),
    /// Stored, compared and returned; no function or `ADD` takes it.
    #[serde(rename = "SS")]
    Texts(BTreeSet<String>),
}

impl Attribute {
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::S(text) => Some(text),
            _ => None,
        }
    }

    pub fn members(&self) -> Option<&Item> {
        match self {
            Self::M(members) => Some(members),
            _ => None,
        }
    }

    pub fn values(&self) -> &[Self] {
        match self {
            Self::L(values) => values,
            _ => &[],
        }
    }

    /// The type, as DynamoDB JSON names it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::Bool(_) => "BOOL",
            Self::Null(_) => "NULL",
            Self::M(_) => "M",
            Self::L(_) => "L",
            Self::Texts(_) => "SS",
        }
    }

    /// The order of two values; `None` if their type has no order, or if they differ in type.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::S(one), Self::S(other)) => Some(one.cmp(other)),
            (Self::N(one), Self::N(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }

    /// The bytes that the value adds to its item ("DynamoDB item sizes and formats", Amazon
    /// DynamoDB Developer Guide).
    fn size(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size(),
            Self::Bool(_) | Self::Null(_) => 1,
            Self::M(members) => {
                let member = |(name, value): (&String, &Self)| name.len() + 1 + value.size();
                3 + members.iter().map(member).sum::<usize>()
            }
            Self::L(values) => 3 + values.iter().map(|value| 1 + value.size()).sum::<usize>(),
            Self::Texts(texts) => texts.iter().map(String::len).sum(),
        }
    }
}

/// The size of an item in bytes.
pub(super) fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value.size()).sum()
}

/// A text of an item; empty if the attribute is absent or not a text.
pub fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item.get(name).and_then(Attribute::text).unwrap_or_default()
}

/// An integer of an item; zero if the attribute is absent or not an integer.
pub fn number(item: &Item, name: &str) -> i64 {
    match item.get(name) {
        Some(Attribute::N(number)) => number.text().parse().unwrap_or_default(),
        _ => 0,
    }
}
