//! The keys of tables and indexes, and the rules for their values.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use super::{
    error::Error,
    value::{Attribute, Item},
};

/// The largest size of a partition key in bytes.
const MOST_PARTITION_BYTES: usize = 2048;
/// The largest size of a sort key in bytes.
const MOST_SORT_BYTES: usize = 1024;

/// A table, as its `CreateTable` request describes it.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) keys: Keys,
    pub(super) indexes: Vec<Index>,
    pub(super) has_stream: bool,
    pub(super) request: Value,
}

/// The names of the key attributes. All keys are texts.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) partition: String,
    pub(super) sort: Option<String>,
}

/// A global secondary index.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) keys: Keys,
    /// The projected attributes; `None` means all.
    projected: Option<BTreeSet<String>>,
}

/// The position of an item in its table, or of an entry in its index: the partition key and the
/// sort key there, then those of the table. A missing sort key is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) partition: Arc<str>,
    pub(super) sort: Arc<str>,
    /// The key in the table. Empty in the table itself.
    pub(super) table: (Arc<str>, Arc<str>),
}

impl Schema {
    /// Reads a `CreateTable` request.
    ///
    /// # Panics
    /// If a key is not a text.
    pub(super) fn new(request: Value) -> Self {
        let definitions = request["AttributeDefinitions"].as_array().into_iter().flatten();
        for definition in definitions {
            assert_eq!(definition["AttributeType"], "S", "the in-memory tables have keys of texts");
        }
        let keys = Keys::new(&request);
        let indexes = request["GlobalSecondaryIndexes"].as_array().into_iter().flatten();
        Self {
            indexes: indexes.map(|index| Index::new(index, &keys)).collect(),
            has_stream: request["StreamSpecification"]["StreamEnabled"] == true,
            keys,
            request,
        }
    }

    /// The position of an item.
    ///
    /// # Errors
    /// If a key is missing, too large or not a text.
    pub(super) fn position_of_item(&self, item: &Item) -> Result<Position, Error> {
        self.keys.position(|name| match item.get(name) {
            Some(Attribute::S(text)) => Ok(text),
            None => Err(Error::validation(format!(
                "One or more parameter values were invalid: Missing the key {name} in the item"
            ))),
            Some(other) => Err(Error::validation(format!(
                "One or more parameter values were invalid: Type mismatch for key {name} expected: S actual: {}",
                other.type_name()
            ))),
        })
    }

    /// The position of the item with a key.
    ///
    /// # Errors
    /// If the key does not fit the table.
    pub(super) fn position_of_key(&self, key: &Item) -> Result<Position, Error> {
        let mismatch = || Error::validation("The provided key element does not match the schema");
        if key.len() != self.keys.names().count() {
            return Err(mismatch());
        }
        self.keys.position(|name| match key.get(name) {
            Some(Attribute::S(text)) => Ok(text),
            _ => Err(mismatch()),
        })
    }

    /// Checks the index keys of an item. With `before`, only those that changed.
    ///
    /// # Errors
    /// If one is empty, or not a text.
    pub(super) fn check_index_keys(&self, item: &Item, before: Option<&Item>) -> Result<(), Error> {
        let mut indexes: Vec<&Index> = self.indexes.iter().collect();
        indexes.sort_by_key(|index| &index.name);
        for index in indexes {
            for name in index.keys.names() {
                let value = item.get(name);
                let is_unchanged = before.is_some_and(|before| before.get(name) == value);
                match value.filter(|_| !is_unchanged) {
                    Some(Attribute::S(text)) if text.is_empty() => {
                        return Err(Error::EmptyKey(index.empty_key(name, before.is_some())));
                    }
                    None | Some(Attribute::S(_)) => {}
                    Some(other) => {
                        return Err(Error::validation(format!(
                            "One or more parameter values were invalid: Type mismatch for Index Key {name} Expected: S Actual: {} IndexName: {}",
                            other.type_name(),
                            index.name
                        )));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Keys {
    fn new(schema: &Value) -> Self {
        let elements = schema["KeySchema"].as_array().map(Vec::as_slice).unwrap_or_default();
        let name = |kind: &str| {
            let element = elements.iter().find(|element| element["KeyType"] == kind);
            element.and_then(|element| element["AttributeName"].as_str()).map(str::to_owned)
        };
        Self { partition: name("HASH").expect("a partition key"), sort: name("RANGE") }
    }

    /// The names of the key attributes.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        [Some(self.partition.as_str()), self.sort.as_deref()].into_iter().flatten()
    }

    fn position<'a>(
        &self,
        text_of: impl Fn(&str) -> Result<&'a String, Error>,
    ) -> Result<Position, Error> {
        let checked = |name: &str, most: usize, too_large: &str| {
            let text = text_of(name)?;
            if text.is_empty() {
                return Err(Error::EmptyKey(format!(
                    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: {name}"
                )));
            }
            if text.len() > most {
                return Err(Error::validation(format!(
                    "One or more parameter values were invalid: {too_large}"
                )));
            }
            Ok(Arc::from(text.as_str()))
        };
        let partition = checked(
            &self.partition,
            MOST_PARTITION_BYTES,
            "Size of hashkey has exceeded the maximum size limit of2048 bytes",
        )?;
        let sort = self.sort.as_deref().map(|name| {
            let too_large =
                "Aggregated size of all range keys has exceeded the size limit of 1024 bytes";
            checked(name, MOST_SORT_BYTES, too_large)
        });
        Ok(Position {
            partition,
            sort: sort.transpose()?.unwrap_or_default(),
            ..Position::default()
        })
    }
}

impl Index {
    fn new(index: &Value, table: &Keys) -> Self {
        let (keys, projection) = (Keys::new(index), &index["Projection"]);
        let more = projection["NonKeyAttributes"].as_array().into_iter().flatten();
        let more = more.filter_map(Value::as_str).map(str::to_owned);
        let projected = table.names().chain(keys.names()).map(str::to_owned).chain(more).collect();
        Self {
            name: index["IndexName"].as_str().unwrap_or_default().to_owned(),
            projected: (projection["ProjectionType"] != "ALL").then_some(projected),
            keys,
        }
    }

    /// The position of an item in the index; `None` if the item lacks a key of the index.
    pub(super) fn position(&self, item: &Item, table: &Position) -> Option<Position> {
        let text = |name: &str| item.get(name).and_then(Attribute::text).map(Arc::from);
        Some(Position {
            partition: text(&self.keys.partition)?,
            sort: self.keys.sort.as_deref().map_or_else(|| Some(Arc::default()), text)?,
            table: (table.partition.clone(), table.sort.clone()),
        })
    }

    /// The part of an item that the index contains.
    pub(super) fn project(&self, item: &Arc<Item>) -> Arc<Item> {
        let Some(projected) = &self.projected else { return item.clone() };
        let members = item.iter().filter(|(name, _)| projected.contains(*name));
        Arc::new(members.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn empty_key(&self, name: &str, is_update: bool) -> String {
        if is_update {
            "One or more parameter values are not valid. The update expression attempted to update a secondary index key to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty string value.".to_owned()
        } else {
            format!(
                "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: {}, IndexKey: {name}",
                self.name
            )
        }
    }
}
