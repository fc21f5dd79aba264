//! Parts of a DynamoDB call: items, expressions, keys and queries.

use std::collections::HashMap;

pub use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;

/// An item, or its key.
pub type Item = HashMap<String, AttributeValue>;

/// A condition or update expression with its values.
#[derive(Clone, Debug, Default)]
pub struct Expression {
    pub(super) text: String,
    pub(super) values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// Creates an expression such as `#state = :held AND #version < :version`.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: HashMap::new() }
    }

    /// Sets the value of `:name`.
    ///
    /// # Panics
    /// If the value cannot be stored: a programming error.
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

    /// Condition: the item exists with exactly this version.
    pub fn version(version: u64) -> Self {
        Self::new("#version = :seen_version").value("seen_version", version)
    }

    /// An update that sets `attributes` and removes those that are NULL. The other attributes of
    /// the item remain.
    pub(super) fn merge(attributes: Item) -> Self {
        let mut attributes: Vec<_> = attributes.into_iter().collect();
        // Equal changes are equal calls.
        attributes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut update = Self::default();
        let (mut set, mut removed) = (Vec::new(), Vec::new());
        for (name, value) in attributes {
            if value.is_null() {
                removed.push(format!("#{name}"));
            } else {
                set.push(format!("#{name} = :{name}"));
                update.values.insert(format!(":{name}"), value);
            }
        }
        let clauses = [("SET", set), ("REMOVE", removed)];
        let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
        let clauses = clauses.map(|(clause, parts)| format!("{clause} {}", parts.join(", ")));
        update.text = clauses.collect::<Vec<_>>().join(" ");
        update
    }

    /// Maps `#name` to each attribute in the text.
    pub(super) fn names(&self) -> HashMap<String, String> {
        let name = |part: &str| {
            part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
        };
        self.text.split('#').skip(1).map(name).map(|name| (format!("#{name}"), name)).collect()
    }
}

/// The primary key of an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Key(pub(super) Item);

impl Key {
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
    /// Removes the key attributes from `item`.
    pub(super) fn take_from(item: &mut Item) -> Self {
        Self(item.extract_if(|name, _| name == "pk" || name == "sk").collect())
    }

    /// Returns the key attributes.
    pub(crate) fn into_item(self) -> Item {
        self.0
    }
}

/// Formats an item's key for the log.
pub(crate) fn key_text(item: &Item) -> String {
    let part = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str);
    [part("pk"), part("sk")].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

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
    /// Creates a query for items whose partition attribute has this value, at most `limit`. `index`
    /// is `None` for the table itself.
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

    /// Adds a condition on the sort attribute, such as `begins_with(#sk, :prefix)`.
    #[must_use]
    pub fn sort(mut self, condition: Expression) -> Self {
        self.sort = Some(condition);
        self
    }

    /// Sorts in descending order.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Returns the same query for one shard of its partition: `<value>#<shard>`.
    #[must_use]
    pub(crate) fn of_shard(&self, shard: u32) -> Self {
        let (attribute, value) = &self.partition;
        Self { partition: (attribute, format!("{value}#{shard}")), ..self.clone() }
    }

    /// Reads with strong consistency (tables only).
    #[must_use]
    pub fn consistent(mut self) -> Self {
        self.consistent = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;
    use crate::table::to_patch;

    #[derive(Serialize)]
    struct Stored {
        pk: &'static str,
        version: u64,
        note: Option<&'static str>,
        state: &'static str,
    }

    fn update(note: Option<&'static str>) -> (Key, Expression) {
        let mut patch = to_patch(&Stored { pk: "ORDER#1", version: 2, note, state: "open" });
        (Key::take_from(&mut patch), Expression::merge(patch))
    }

    #[test]
    fn merge_sets_values_and_removes_attributes_without_one() {
        let (key, change) = update(None);
        assert_eq!(key, Key::new("ORDER#1"));
        assert_eq!(change.text, "SET #state = :state, #version = :version REMOVE #note");
        let mut values: Vec<_> = change.values.into_keys().collect();
        values.sort_unstable();
        assert_eq!(values, [":state", ":version"]);
    }

    #[test]
    fn merge_without_an_absent_value_has_no_remove_clause() {
        let (_, change) = update(Some("fragile"));
        assert_eq!(change.text, "SET #note = :note, #state = :state, #version = :version");
        assert_eq!(change.values[":note"], AttributeValue::S("fragile".to_owned()));
    }
}
