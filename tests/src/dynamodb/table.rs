//! One table: its items, the entries of its indexes, and its stream.

use std::{ops::Bound, sync::Arc};

use serde_json::{Value, json};

use super::{
    entries::{Entries, Entry},
    key_condition::Selection,
    schema::{Index, Keys, Position, Schema},
    value::{Attribute, Item, size},
};
use crate::template::REGION;

/// Time of every change, in seconds: the start of the scenarios. No publisher reads it.
const CHANGED_AT: u32 = 1_795_255_200;

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
        let indexes = vec![Entries::default(); schema.indexes.len()];
        Self { schema: Arc::new(schema), items: Entries::default(), indexes, changes: Vec::new() }
    }

    /// The same items and changes with other indexes.
    pub(super) fn with_schema(&self, schema: Schema) -> Self {
        let entries = |index: &Index| -> Entries {
            let mut entries = Entries::default();
            for (at, item, _) in self.items.all() {
                if let Some(position) = index.position(item, at) {
                    entries.insert(position, item.clone());
                }
            }
            entries
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
        self.items.all().map(|(_, item, _)| item)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
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
        let selected = |(position, ..): &Entry<'a>| selection.contains(&position.sort);
        let entry = move |(position, item, is_shared): Entry<'a>| {
            let item = if is_shared { self.keyed(source, position, item) } else { item.clone() };
            match source {
                Source::Table => item,
                Source::Index(_, index) => index.project(&item),
            }
        };
        let bounds = if is_forward {
            (after.unwrap_or(lower), upper)
        } else {
            (lower, after.unwrap_or(upper))
        };
        Box::new(entries.range(bounds, is_forward).filter(selected).map(entry))
    }

    /// A shared item with the keys of its position: copies share the attributes of one item.
    fn keyed(&self, source: Source<'_>, position: &Position, item: &Item) -> Arc<Item> {
        let mut item = item.clone();
        let mut set = |keys: &Keys, partition: &str, sort: &str| {
            for (name, value) in keys.names().zip([partition, sort]) {
                item.insert(name.to_owned(), Attribute::S(value.to_owned()));
            }
        };
        match source {
            Source::Table => set(&self.schema.keys, &position.partition, &position.sort),
            Source::Index(_, index) => {
                set(&index.keys, &position.partition, &position.sort);
                set(&self.schema.keys, &position.table.0, &position.table.1);
            }
        }
        Arc::new(item)
    }

    /// Stores copies of an item without records in the stream. They share its attributes, and
    /// `rename` makes the keys of each copy from those of the item.
    pub(super) fn store_copies(
        &mut self,
        item: &Arc<Item>,
        count: usize,
        rename: impl Fn(&str, usize) -> Arc<str>,
    ) {
        let position = self.schema.position_of_item(item).unwrap_or_default();
        for number in 0..count {
            let copy = |text: &Arc<str>| {
                let renamed = rename(text, number);
                if renamed == *text { text.clone() } else { renamed }
            };
            let table = (copy(&position.partition), copy(&position.sort));
            for (index, entries) in self.schema.indexes.iter().zip(&mut self.indexes) {
                if let Some(entry) = index.position(item, &position) {
                    let (partition, sort) = (copy(&entry.partition), copy(&entry.sort));
                    entries
                        .insert(Position { partition, sort, table: table.clone() }, item.clone());
                }
            }
            let (partition, sort) = table;
            self.items.insert(Position { partition, sort, ..Position::default() }, item.clone());
        }
    }

    /// Makes all items shared.
    pub(super) fn share(&mut self) {
        self.items.share();
        self.indexes.iter_mut().for_each(Entries::share);
    }

    /// Adds the shared items of `other`, a table with the same schema.
    pub(super) fn add_shared(&mut self, other: &Self) {
        self.items.add_shared(&other.items);
        for (own, shared) in self.indexes.iter_mut().zip(&other.indexes) {
            own.add_shared(shared);
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
