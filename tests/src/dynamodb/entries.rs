//! The entries of a table or an index: its own, and those that it shares with other tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    ops::Bound,
    sync::Arc,
};

use super::{schema::Position, value::Item};

/// Entries in the order of their positions.
type Sorted = BTreeMap<Position, Arc<Item>>;

/// An entry of a range. The flag says whether it is shared.
pub(super) type Entry<'a> = (&'a Position, &'a Arc<Item>, bool);

#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    own: Sorted,
    /// Entries that are not copied with the table, because there may be millions.
    shared: Arc<Sorted>,
    /// Positions among `shared` that this table has overwritten or deleted.
    hidden: BTreeSet<Position>,
}

impl Entries {
    pub(super) fn get(&self, position: &Position) -> Option<&Arc<Item>> {
        self.own.get(position).or_else(|| self.shared(position))
    }

    fn shared(&self, position: &Position) -> Option<&Arc<Item>> {
        self.shared.get(position).filter(|_| !self.hidden.contains(position))
    }

    /// Puts an entry. Returns the one that it replaces.
    pub(super) fn insert(&mut self, position: Position, item: Arc<Item>) -> Option<Arc<Item>> {
        let hidden = self.hide(&position);
        self.own.insert(position, item).or(hidden)
    }

    /// Deletes an entry and returns it.
    pub(super) fn remove(&mut self, position: &Position) -> Option<Arc<Item>> {
        let hidden = self.hide(position);
        self.own.remove(position).or(hidden)
    }

    /// Hides a shared entry and returns it.
    fn hide(&mut self, position: &Position) -> Option<Arc<Item>> {
        let shared = self.shared(position).cloned()?;
        self.hidden.insert(position.clone());
        Some(shared)
    }

    pub(super) fn len(&self) -> usize {
        self.own.len() + self.shared.len() - self.hidden.len()
    }

    /// All entries in their order.
    pub(super) fn all(&self) -> Box<dyn Iterator<Item = Entry<'_>> + '_> {
        self.range((Bound::Unbounded, Bound::Unbounded), true)
    }

    /// The entries between two positions, in their order or from the last one to the first.
    pub(super) fn range(
        &self,
        bounds: (Bound<Position>, Bound<Position>),
        is_forward: bool,
    ) -> Box<dyn Iterator<Item = Entry<'_>> + '_> {
        let own = self.own.range(bounds.clone()).map(|(position, item)| (position, item, false));
        if self.shared.is_empty() {
            return if is_forward { Box::new(own) } else { Box::new(own.rev()) };
        }
        let shared = self.shared.range(bounds).map(|(position, item)| (position, item, true));
        let shared = shared.filter(|(position, ..)| !self.hidden.contains(*position));
        if is_forward {
            Box::new(merged(own, shared, is_forward))
        } else {
            Box::new(merged(own.rev(), shared.rev(), is_forward))
        }
    }

    /// Makes all entries shared. Collected again, they take little more than half of the memory.
    pub(super) fn share(&mut self) {
        assert!(self.shared.is_empty(), "the entries are shared already");
        self.shared = Arc::new(std::mem::take(&mut self.own).into_iter().collect());
    }

    /// Adds the shared entries of `other`, which stay shared. Own entries come first.
    pub(super) fn add_shared(&mut self, other: &Self) {
        assert!(self.shared.is_empty(), "the entries share those of another table already");
        self.shared = other.shared.clone();
        let overwritten = self.own.keys().filter(|position| self.shared.contains_key(*position));
        self.hidden = overwritten.cloned().collect();
    }
}

/// Merges two sequences with the same order and no common position.
fn merged<'a>(
    one: impl Iterator<Item = Entry<'a>> + 'a,
    other: impl Iterator<Item = Entry<'a>> + 'a,
    is_forward: bool,
) -> impl Iterator<Item = Entry<'a>> + 'a {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    iter::from_fn(move || {
        let is_first = match (one.peek(), other.peek()) {
            (Some((one, ..)), Some((other, ..))) => (one < other) == is_forward,
            (one, _) => one.is_some(),
        };
        if is_first { one.next() } else { other.next() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::Attribute;

    fn at(sort: &str) -> Position {
        Position { partition: "orders".into(), sort: sort.into(), ..Position::default() }
    }

    fn item(text: &str) -> Arc<Item> {
        Arc::new(Item::from([("text".to_owned(), Attribute::S(text.to_owned()))]))
    }

    /// Own entries b and d before the shared entries a, c and d.
    fn entries() -> Entries {
        let mut shared = Entries::default();
        for sort in ["a", "c", "d"] {
            shared.insert(at(sort), item("shared"));
        }
        shared.share();
        let mut entries = Entries::default();
        for sort in ["b", "d"] {
            entries.insert(at(sort), item("own"));
        }
        entries.add_shared(&shared);
        entries
    }

    /// The sort keys of a range, those of shared entries in upper case.
    fn listed(entries: &Entries, after: &str, is_forward: bool) -> String {
        let bound = Bound::Excluded(at(after));
        let bounds = match is_forward {
            true => (bound, Bound::Unbounded),
            false => (Bound::Unbounded, bound),
        };
        let letter = |(position, _, is_shared): Entry<'_>| match is_shared {
            true => position.sort.to_uppercase(),
            false => position.sort.to_string(),
        };
        entries.range(bounds, is_forward).map(letter).collect()
    }

    #[test]
    fn own_and_shared_entries_are_read_in_order() {
        let entries = entries();
        assert_eq!(listed(&entries, "", true), "AbCd");
        assert_eq!(listed(&entries, "a", true), "bCd");
        assert_eq!(listed(&entries, "e", false), "dCbA");
        assert_eq!(listed(&entries, "d", false), "CbA");
    }

    #[test]
    fn writes_hide_shared_entries_of_this_table_alone() {
        let (mut entries, untouched) = (entries(), entries());
        assert_eq!(entries.remove(&at("a")), Some(item("shared")));
        assert_eq!(entries.remove(&at("a")), None);
        assert_eq!(entries.insert(at("c"), item("new")), Some(item("shared")));
        assert_eq!(entries.insert(at("d"), item("new")), Some(item("own")));
        assert_eq!((entries.get(&at("a")), entries.get(&at("c"))), (None, Some(&item("new"))));
        assert_eq!(listed(&entries, "", true), "bcd");
        assert_eq!((entries.len(), untouched.len()), (3, 4));
        assert_eq!(listed(&untouched, "", true), "AbCd");
    }
}
