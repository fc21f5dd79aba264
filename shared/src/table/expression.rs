//! What a call speaks of: items, conditions, changes, keys and queries.

use std::collections::HashMap;

pub use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;

/// An item, or the key of one.
pub type Item = HashMap<String, AttributeValue>;

/// A condition or a change, with the values it speaks of.
#[derive(Clone, Debug, Default)]
pub struct Expression {
    pub(super) text: String,
    pub(super) values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// An expression such as `#state = :held AND #version < :version`.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: HashMap::new() }
    }

    /// Gives `:name` its value.
    ///
    /// # Panics
    /// When the value cannot be stored: a mistake in the program.
    #[must_use]
    pub fn value(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_dynamo::to_attribute_value(value).expect("the value can be stored");
        self.values.insert(format!(":{name}"), value);
        self
    }

    /// Condition: no item has this key.
    pub fn not_exists() -> Self {
        Self::new("attribute_not_exists(#pk)")
    }

    /// Condition: an item has this key.
    pub fn exists() -> Self {
        Self::new("attribute_exists(#pk)")
    }

    /// Condition: the item exists in exactly this version.
    pub fn version(version: u64) -> Self {
        Self::new("#version = :seen_version").value("seen_version", version)
    }

    /// `#name` for each attribute that the text speaks of.
    pub(super) fn names(&self) -> HashMap<String, String> {
        let name = |part: &str| {
            part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
        };
        self.text.split('#').skip(1).map(name).map(|name| (format!("#{name}"), name)).collect()
    }
}

/// A table's key.
#[derive(Clone, Debug, PartialEq)]
pub struct Key(pub(super) Item);

impl Key {
    /// The key of a table without a sort key.
    pub fn new(pk: impl Into<String>) -> Self {
        Self(HashMap::from([("pk".to_owned(), AttributeValue::S(pk.into()))]))
    }

    /// The key of a table with a sort key.
    pub fn composite(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        let mut key = Self::new(pk);
        key.0.insert("sk".to_owned(), AttributeValue::S(sk.into()));
        key
    }
}

impl Key {
    /// The attributes of the key.
    pub(crate) fn into_item(self) -> Item {
        self.0
    }
}

/// The text of an item's key, for the log.
pub(crate) fn key_text(item: &Item) -> String {
    let part = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str);
    [part("pk"), part("sk")].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A page of a query.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) index: Option<&'static str>,
    pub(super) partition: (&'static str, String),
    pub(super) sort: Option<Expression>,
    pub(super) descending: bool,
    pub(super) consistent: bool,
    pub(super) limit: u32,
}

impl Query {
    /// The items of a table (`index` is `None`) or index whose partition attribute has this value;
    /// at most `limit`.
    pub fn new(
        index: Option<&'static str>,
        attribute: &'static str,
        value: impl Into<String>,
        limit: u32,
    ) -> Self {
        Self {
            index,
            partition: (attribute, value.into()),
            sort: None,
            descending: false,
            consistent: false,
            limit,
        }
    }

    /// Only those whose sort attribute meets this, such as `begins_with(#sk, :prefix)`.
    #[must_use]
    pub fn sort(mut self, condition: Expression) -> Self {
        self.sort = Some(condition);
        self
    }

    /// The last first.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// The same query in one shard of its partition: `<value>#<shard>`.
    #[must_use]
    pub(crate) fn of_shard(&self, shard: u32) -> Self {
        let (attribute, value) = &self.partition;
        Self { partition: (attribute, format!("{value}#{shard}")), ..self.clone() }
    }

    /// What was written before is seen (tables only).
    #[must_use]
    pub fn consistent(mut self) -> Self {
        self.consistent = true;
        self
    }
}
