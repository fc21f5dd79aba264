//! One table: its items, the entries of its indexes, and its stream.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use serde_json::{Value, json};

use super::{
    key_condition::Selection,
    schema::{Index, Keys, Position, Schema},
    value::{Item, size},
};
use crate::template::REGION;

/// Time of every change, in seconds: the start of the scenarios. No publisher reads it.
const CHANGED_AT: u32 = 1_795_255_200;

/// The entries of a table or an index, in the order of their positions.
type Entries = BTreeMap<Position, Arc<Item>>;

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) schema: Arc<Schema>,
    items: Entries,
    /// The entries of each index, in the order of the schema.
    indexes: Vec<Entries>,
    changes: Vec<Change>,
}

/// A record of the stream: the item before and after a write.
#[derive(Clone, Debug)]
struct Change {
    before: Option<Arc<Item>>,
    after: Option<Arc<Item>>,
}

/// Which part of the table a query reads.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Table,
    /// An index, and its number in the schema.
    Index(usize, &'a Index),
}

impl Table {
    pub(super) fn new(schema: Schema) -> Self {
        let indexes = vec![Entries::new(); schema.indexes.len()];
        Self { schema: Arc::new(schema), items: Entries::new(), indexes, changes: Vec::new() }
    }

    /// The same items and changes with other indexes.
    pub(super) fn with_schema(&self, schema: Schema) -> Self {
        let entries = |index: &Index| -> Entries {
            let entry = |(at, item): (&Position, &Arc<Item>)| {
                Some((index.position(item, at)?, item.clone()))
            };
            self.items.iter().filter_map(entry).collect()
        };
        let indexes = schema.indexes.iter().map(entries).collect();
        Self {
            schema: Arc::new(schema),
            items: self.items.clone(),
            indexes,
            changes: self.changes.clone(),
        }
    }

    pub(super) fn get(&self, position: &Position) -> Option<&Arc<Item>> {
        self.items.get(position)
    }

    /// All items, in the order of their keys.
    pub(super) fn items(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.items.values()
    }

    /// The table or the index of this name; `None` if there is no such index.
    pub(super) fn source(&self, index: Option<&str>) -> Option<Source<'_>> {
        let Some(name) = index else { return Some(Source::Table) };
        let mut indexes = self.schema.indexes.iter().enumerate();
        indexes.find(|(_, index)| index.name == name).map(|(at, index)| Source::Index(at, index))
    }

    /// The keys by which a source is sorted.
    pub(super) fn keys<'a>(&'a self, source: Source<'a>) -> &'a Keys {
        match source {
            Source::Table => &self.schema.keys,
            Source::Index(_, index) => &index.keys,
        }
    }

    /// The entries that a selection contains, after `start` (`None`: from the beginning).
    pub(super) fn select<'a>(
        &'a self,
        source: Source<'a>,
        selection: &'a Selection<'a>,
        start: Option<Position>,
        is_forward: bool,
    ) -> Box<dyn Iterator<Item = Arc<Item>> + 'a> {
        let entries = match source {
            Source::Table => &self.items,
            Source::Index(at, _) => &self.indexes[at],
        };
        let at = |partition: &str, sort: &str| Position {
            partition: partition.into(),
            sort: sort.into(),
            ..Position::default()
        };
        let (lowest, above) = selection.bounds();
        let lower = Bound::Included(at(selection.partition, lowest));
        let upper = Bound::Excluded(match above {
            Some(above) => at(selection.partition, &above),
            None => at(&format!("{}\0", selection.partition), ""),
        });
        let after = start.map(Bound::Excluded);
        let selected =
            |(position, _): &(&'a Position, &'a Arc<Item>)| selection.contains(&position.sort);
        let entry = move |(_, item): (&'a Position, &'a Arc<Item>)| match source {
            Source::Table => item.clone(),
            Source::Index(_, index) => index.project(item),
        };
        if is_forward {
            let range = entries.range((after.unwrap_or(lower), upper));
            Box::new(range.filter(selected).map(entry))
        } else {
            let range = entries.range((lower, after.unwrap_or(upper)));
            Box::new(range.rev().filter(selected).map(entry))
        }
    }

    /// Replaces or deletes an item. A write that changes nothing has no record in the stream.
    pub(super) fn write(&mut self, position: Position, after: Option<Arc<Item>>) {
        let before = match &after {
            Some(item) => self.items.insert(position.clone(), item.clone()),
            None => self.items.remove(&position),
        };
        for (index, entries) in self.schema.indexes.iter().zip(&mut self.indexes) {
            let entry = |item: &Option<Arc<Item>>| index.position(item.as_ref()?, &position);
            if let Some(old) = entry(&before) {
                entries.remove(&old);
            }
            if let Some((new, item)) = entry(&after).zip(after.clone()) {
                entries.insert(new, item);
            }
        }
        if self.schema.has_stream && before != after {
            self.changes.push(Change { before, after });
        }
    }

    /// The records of the stream from this number on, and the number of the next one.
    pub(super) fn changes(&self, from: usize) -> (Vec<Value>, usize) {
        let records = self.changes.iter().enumerate().skip(from);
        (records.map(|(number, change)| self.record(number, change)).collect(), self.changes.len())
    }

    /// The number of the next record of the stream.
    pub(super) fn next_change(&self) -> usize {
        self.changes.len()
    }

    fn record(&self, number: usize, change: &Change) -> Value {
        let name = match (&change.before, &change.after) {
            (None, _) => "INSERT",
            (_, None) => "REMOVE",
            _ => "MODIFY",
        };
        let images = [("OldImage", &change.before), ("NewImage", &change.after)];
        let images = images.into_iter().filter_map(|(name, image)| Some((name, image.as_ref()?)));
        let keys: Item = images
            .clone()
            .flat_map(|(_, image)| self.schema.keys.names().map(move |name| (name, &image[name])))
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        let bytes: usize = images.clone().map(|(_, image)| size(image)).sum();
        let mut record = json!({
            "ApproximateCreationDateTime": CHANGED_AT,
            "Keys": keys,
            "SequenceNumber": format!("1{number:020}"),
            "SizeBytes": size(&keys) + bytes,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        });
        for (name, image) in images {
            record[name] = json!(**image);
        }
        json!({
            "eventID": format!("{number:032x}"),
            "eventName": name,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": REGION,
            "dynamodb": record,
        })
    }
}
