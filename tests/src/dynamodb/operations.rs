//! Carries out reads, writes and transactions.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use super::{
    Change, State, defect,
    error::{Error, Reason},
    key_condition::Selection,
    request::{
        BatchGetItem, Expressions, GetItem, Kind, Query, TransactWrite, TransactWriteItems, Write,
    },
    schema::{Keys, Position},
    table::{Source, Table},
    value::{Item, number, size},
};

/// The largest size of an item in bytes.
const MOST_ITEM_BYTES: usize = 400 * 1024;
/// The largest size of the items on one page of a query, in bytes.
const MOST_PAGE_BYTES: usize = 1024 * 1024;
/// The largest size of the items of a batch, in bytes. Further keys are left unprocessed.
const MOST_BATCH_BYTES: usize = 16 * 1024 * 1024;
/// The largest number of keys in a batch.
const MOST_KEYS: usize = 100;
/// The largest number of writes in a transaction.
const MOST_WRITES: usize = 100;

/// A write whose condition holds.
struct Accepted {
    position: Position,
    /// The item after the write; `None` if the write deletes it.
    item: Option<Arc<Item>>,
    /// Whether the write overwrites a later version than the one that it is based on.
    is_lost_update: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetItemAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<&'a Item>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchGetItemAnswer<'a> {
    responses: BTreeMap<&'a str, Vec<&'a Item>>,
    unprocessed_keys: BTreeMap<&'a str, Unprocessed<'a>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Unprocessed<'a> {
    keys: Vec<&'a Item>,
    consistent_read: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct QueryAnswer<'a> {
    items: Vec<&'a Item>,
    count: usize,
    scanned_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_key: Option<Item>,
}

fn json(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).expect("an answer is JSON")
}

impl State {
    pub(super) fn get_item(&self, request: &GetItem) -> Result<String, Error> {
        let table = self.table(&request.table_name)?;
        let position = table.schema.position_of_key(&request.key)?;
        Ok(json(&GetItemAnswer { item: table.get(&position).map(|item| &**item) }))
    }

    pub(super) fn batch_get_item(&self, request: &BatchGetItem) -> Result<String, Error> {
        let keys = || request.request_items.values().map(|table| table.keys.len());
        let limit = |member: &str, rule: &str| {
            Error::Validation(format!(
                "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have length {rule}"
            ))
        };
        if request.request_items.is_empty() {
            return Err(limit("RequestItems", "greater than or equal to 1"));
        }
        let of_table = |name: &str| format!("RequestItems.{name}.member.Keys");
        if let Some((name, _)) =
            request.request_items.iter().find(|(_, table)| table.keys.is_empty())
        {
            return Err(limit(&of_table(name), "greater than or equal to 1"));
        }
        if keys().sum::<usize>() > MOST_KEYS {
            let largest = request.request_items.iter().max_by_key(|(_, table)| table.keys.len());
            let name = largest.map(|(name, _)| name.as_str()).unwrap_or_default();
            return Err(limit(&of_table(name), "less than or equal to 100"));
        }
        let mut answer =
            BatchGetItemAnswer { responses: BTreeMap::new(), unprocessed_keys: BTreeMap::new() };
        let mut bytes = 0;
        for (name, wanted) in &request.request_items {
            let table = self.table(name)?;
            let (mut seen, mut items) = (BTreeSet::new(), Vec::new());
            for key in &wanted.keys {
                let position = table.schema.position_of_key(key)?;
                let item = table.get(&position);
                if !seen.insert(position) {
                    return Err(Error::validation(
                        "Provided list of item keys contains duplicates",
                    ));
                }
                bytes += item.map_or(0, |item| size(item));
                if bytes > MOST_BATCH_BYTES {
                    let rest = answer.unprocessed_keys.entry(name).or_default();
                    rest.keys.push(key);
                    rest.consistent_read = wanted.consistent_read;
                } else {
                    items.extend(item.map(|item| &**item));
                }
            }
            answer.responses.insert(name, items);
        }
        Ok(json(&answer))
    }

    pub(super) fn query(&self, request: &Query) -> Result<String, Error> {
        let parsed = request.key_condition()?;
        let table = self.table(&request.table_name)?;
        let no_index = || {
            let index = request.index_name.as_deref().unwrap_or_default();
            Error::Validation(format!("The table does not have the specified index: {index}"))
        };
        if request.consistent_read && request.index_name.is_some() {
            return Err(Error::validation(
                "Consistent reads are not supported on global secondary indexes",
            ));
        }
        let source = table.source(request.index_name.as_deref()).ok_or_else(no_index)?;
        let keys = table.keys(source);
        let start = request.exclusive_start_key.as_ref();
        let start = start.map(|key| start_position(table, source, key)).transpose()?;
        let selection = parsed.tree.select(keys, request.parameters())?;
        if let Some(start) = &start {
            check_start(start, &selection, keys, source)?;
        }
        let (limit, mut items, mut bytes) = (request.limit.unwrap_or(usize::MAX), Vec::new(), 0);
        let mut is_complete = true;
        for item in table.select(source, &selection, start, request.scan_index_forward) {
            bytes += size(&item);
            if bytes > MOST_PAGE_BYTES && !items.is_empty() {
                is_complete = false;
                break;
            }
            items.push(item);
            if items.len() == limit {
                is_complete = false;
                break;
            }
        }
        let last = items.last().filter(|_| !is_complete);
        let last_evaluated_key = last.map(|item| {
            let names = table.schema.keys.names().chain(keys.names());
            names.map(|name| (name.to_owned(), item[name].clone())).collect()
        });
        let count = items.len();
        let items = items.iter().map(|item| &**item).collect();
        Ok(json(&QueryAnswer { items, count, scanned_count: count, last_evaluated_key }))
    }
}

/// The position at which a query continues.
fn start_position(table: &Table, source: Source<'_>, key: &Item) -> Result<Position, Error> {
    let keys = table.keys(source);
    let names: BTreeSet<&str> = table.schema.keys.names().chain(keys.names()).collect();
    let is_complete = key.len() == names.len()
        && names.iter().all(|name| key.get(*name).is_some_and(|value| value.text().is_some()));
    if !is_complete {
        return Err(Error::validation("The provided starting key is invalid"));
    }
    let of_table = table.schema.keys.names().map(|name| (name.to_owned(), key[name].clone()));
    let position = table.schema.position_of_key(&of_table.collect())?;
    Ok(match source {
        Source::Table => position,
        Source::Index(_, index) => index.position(key, &position).expect("each key is a text"),
    })
}

/// Checks that a query may continue at a position.
fn check_start(
    start: &Position,
    selection: &Selection<'_>,
    keys: &Keys,
    source: Source<'_>,
) -> Result<(), Error> {
    let message = if !selection.contains(&start.sort) {
        "The provided starting key does not match the range key predicate"
    } else if *start.partition == *selection.partition {
        return Ok(());
    } else if selection.has_sort_test() {
        "The query can return at most one row and cannot be restarted"
    } else if matches!(source, Source::Table) && keys.sort.is_none() {
        "The provided exclusive start key is invalid"
    } else {
        "The provided starting key is outside query boundaries based on provided conditions"
    };
    Err(Error::validation(message))
}

impl State {
    pub(super) fn write(&mut self, mut request: Write, kind: Kind) -> Result<String, Error> {
        let expressions = request.expressions(kind)?;
        check_item_size(&request)?;
        let change = self.changes(&[(kind, &request)]).first().copied().flatten();
        let accepted = self.accept(&mut request, kind, &expressions, change)?;
        self.store(&request.table_name, accepted);
        Ok("{}".to_owned())
    }

    pub(super) fn transact_write_items(
        &mut self,
        request: TransactWriteItems,
        body: &str,
    ) -> Result<String, Error> {
        let TransactWriteItems { transact_items, client_request_token } = request;
        if transact_items.is_empty() || transact_items.len() > MOST_WRITES {
            let rule = if transact_items.is_empty() {
                "greater than or equal to 1"
            } else {
                "less than or equal to 100"
            };
            return Err(Error::Validation(format!(
                "1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length {rule}"
            )));
        }
        if let Some(committed) =
            client_request_token.as_ref().and_then(|token| self.transactions.get(token))
        {
            return if committed == body { Ok("{}".to_owned()) } else { Err(Error::TokenReused) };
        }
        let mut writes = Vec::with_capacity(transact_items.len());
        for write in transact_items {
            let (kind, write) = match write {
                TransactWrite::Put(write) => (Kind::Put, write),
                TransactWrite::Update(write) => (Kind::Update, write),
                TransactWrite::Delete(write) => (Kind::Delete, write),
                TransactWrite::ConditionCheck(write) => (Kind::Check, write),
            };
            check_item_size(&write)?;
            let expressions = write.expressions(kind)?;
            writes.push((write, kind, expressions));
        }
        self.check_targets(&writes)?;
        let mut accepted = Vec::with_capacity(writes.len());
        let mut reasons: Vec<Reason> = Vec::with_capacity(writes.len());
        let kinds: Vec<_> = writes.iter().map(|(write, kind, _)| (*kind, write)).collect();
        let mut changes = self.changes(&kinds).into_iter();
        for (write, kind, expressions) in &mut writes {
            match self.accept(write, *kind, expressions, changes.next().flatten()) {
                Ok(write) => {
                    accepted.push(write);
                    reasons.push(None);
                }
                Err(error @ Error::EmptyKey(_)) => return Err(error),
                Err(error) => reasons.push(Some(Box::new(error))),
            }
        }
        if accepted.len() < writes.len() {
            return Err(Error::Cancelled(reasons));
        }
        for ((write, kind, _), accepted) in writes.into_iter().zip(accepted) {
            if kind != Kind::Check {
                self.store(&write.table_name, accepted);
            }
        }
        if let Some(token) = client_request_token {
            Arc::make_mut(&mut self.transactions).insert(token, body.to_owned());
        }
        Ok("{}".to_owned())
    }

    /// Checks that each table exists, and that no item is written twice.
    fn check_targets(&self, writes: &[(Write, Kind, Expressions)]) -> Result<(), Error> {
        let mut targets = BTreeSet::new();
        for (write, ..) in writes {
            let table = self.table(&write.table_name)?;
            // A write without a valid key is rejected later.
            if let Ok(position) = target(table, write)
                && !targets.insert((&write.table_name, position))
            {
                return Err(Error::validation(
                    "Transaction request cannot include multiple operations on one item",
                ));
            }
        }
        Ok(())
    }

    /// The defect of each write of a request. Empty without a defect.
    fn changes(&mut self, writes: &[(Kind, &Write)]) -> Vec<Option<Change>> {
        if !self.defects.is_active() {
            return Vec::new();
        }
        let name = |(kind, write): &(Kind, &Write)| {
            let position = self.table(&write.table_name).and_then(|table| target(table, write));
            // A write without a valid key is rejected later.
            position.map(|position| defect::name(*kind, write, &position)).unwrap_or_default()
        };
        let kinds = writes.iter().map(name).collect();
        self.defects.changes(kinds)
    }

    /// Carries out a write whose condition holds.
    fn store(&mut self, table: &str, accepted: Accepted) {
        let Accepted { position, item, is_lost_update } = accepted;
        if is_lost_update {
            self.lost_updates.push((table.to_owned(), position.partition.to_string()));
        }
        self.table_mut(table).write(position, item);
    }

    /// Evaluates a write, with the defect that it may have. Takes the item out of its request.
    fn accept(
        &mut self,
        request: &mut Write,
        kind: Kind,
        expressions: &Expressions,
        change: Option<Change>,
    ) -> Result<Accepted, Error> {
        let table = self.table(&request.table_name)?;
        let position = target(table, request)?;
        if let Some(item) = &request.item {
            table.schema.check_index_keys(item, None)?;
        }
        let existing = table.get(&position).cloned();
        let holds = expressions.condition.as_ref().is_none_or(|condition| {
            condition.tree.holds(existing.as_deref(), request.parameters())
        });
        if !holds && change.is_none() {
            self.defects.condition_failed();
            return Err(Error::ConditionFailed(existing.filter(|_| request.returns_item())));
        }
        let has_effect = match change {
            Some(Change::Unconditional) => !holds,
            Some(Change::LeftOut) => true,
            None => false,
        };
        self.defects.effects += u64::from(has_effect);
        let (table, existing) = (self.table(&request.table_name)?, existing.as_ref());
        let item = match kind {
            _ if change == Some(Change::LeftOut) => existing.cloned(),
            Kind::Put => request.item.take().map(Arc::new),
            Kind::Delete => None,
            Kind::Check => existing.cloned(),
            Kind::Update => Some(Arc::new(updated(table, request, existing, expressions)?)),
        };
        let is_lost_update = change != Some(Change::LeftOut)
            && is_lost_update(kind, request, existing, item.as_ref());
        Ok(Accepted { position, item, is_lost_update })
    }
}

/// Whether a write that sets the version of an item does not increase it: the write is based on an
/// earlier version, and the later one is lost. Each run of a resync writes the same version once.
fn is_lost_update(
    kind: Kind,
    request: &Write,
    existing: Option<&Arc<Item>>,
    item: Option<&Arc<Item>>,
) -> bool {
    let sets_version = match kind {
        Kind::Put => true,
        Kind::Update => request.update_text().is_some_and(|update| update.contains("#version")),
        Kind::Delete | Kind::Check => false,
    };
    // A resync writes the same version again, in a later run.
    let version = |item: Option<&Arc<Item>>| {
        let versioned = item.filter(|item| item.contains_key("version"));
        versioned.map(|item| (number(item, "version"), number(item, "resync_run")))
    };
    match (version(existing), version(item)) {
        (Some(before), Some(after)) => sets_version && after <= before,
        _ => false,
    }
}

/// The position of the item that a write writes.
fn target(table: &Table, request: &Write) -> Result<Position, Error> {
    match (&request.item, &request.key) {
        (Some(item), _) => table.schema.position_of_item(item),
        (None, Some(key)) => table.schema.position_of_key(key),
        (None, None) => table.schema.position_of_key(&Item::new()),
    }
}

/// The item after an update.
fn updated(
    table: &Table,
    request: &Write,
    existing: Option<&Arc<Item>>,
    expressions: &Expressions,
) -> Result<Item, Error> {
    let parameters = request.parameters();
    let before = match existing {
        Some(item) => Cow::Borrowed(&**item),
        None => Cow::Owned(request.key.clone().unwrap_or_default()),
    };
    let Some(update) = &expressions.update else { return Ok(before.into_owned()) };
    let targets = update.tree.targets(parameters);
    let is_key = |name: &&&str| table.schema.keys.names().any(|key| key == **name);
    if let Some(key) = targets.iter().find(is_key) {
        return Err(Error::Validation(format!(
            "One or more parameter values were invalid: Cannot update attribute {key}. This attribute is part of the key"
        )));
    }
    let item = update.tree.apply(&before, parameters).map_err(Error::Validation)?;
    table.schema.check_index_keys(&item, Some(&before))?;
    if size(&item) > MOST_ITEM_BYTES {
        return Err(Error::validation("Item size to update has exceeded the maximum allowed size"));
    }
    Ok(item)
}

fn check_item_size(request: &Write) -> Result<(), Error> {
    if request.item.as_ref().is_some_and(|item| size(item) > MOST_ITEM_BYTES) {
        return Err(Error::validation("Item size has exceeded the maximum allowed size"));
    }
    Ok(())
}
