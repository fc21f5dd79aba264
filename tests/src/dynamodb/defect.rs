//! Defects of the shop that a test makes in its writes: a test that does not notice proves too
//! little.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    request::{Kind, Write},
    schema::Position,
};

/// A defect of all writes of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Defect {
    /// The kind of the writes: see [`super::DynamoDb::kinds`].
    pub writes: String,
    pub change: Change,
}

/// What a defect does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Change {
    /// The condition always holds.
    Unconditional,
    /// The write succeeds and changes nothing.
    LeftOut,
}

/// The kinds of writes, and whether the condition of any such write failed.
pub type Kinds = BTreeMap<String, bool>;

/// The defect of the tables, and the kinds of their writes so far, if they are recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Defects {
    pub(super) defect: Option<Defect>,
    pub(super) kinds: Option<Kinds>,
}

impl Defects {
    /// What happens to a write instead of its effect.
    pub(super) fn change(
        &mut self,
        kind: Kind,
        write: &Write,
        position: &Position,
    ) -> Option<Change> {
        if self.defect.is_none() && self.kinds.is_none() {
            return None;
        }
        let name = name(kind, write, position);
        let change = self.defect.as_ref().filter(|defect| defect.writes == name);
        let change = change.map(|defect| defect.change);
        if let Some(kinds) = &mut self.kinds {
            kinds.entry(name).or_default();
        }
        change
    }

    /// Records that the condition of a write failed.
    pub(super) fn failed(&mut self, kind: Kind, write: &Write, position: &Position) {
        if let Some(kinds) = &mut self.kinds {
            kinds.insert(name(kind, write, position), true);
        }
    }
}

/// The kind of a write: its table, its operation, the prefixes of its keys and its expressions. The
/// prefix of `ORDER#ord_1` is `ORDER`, that of `ent_1` is `ent`. An item that gets a state is named
/// with it: to open a payment and to close one that was never opened are two kinds.
fn name(kind: Kind, write: &Write, position: &Position) -> String {
    let prefix = |key: &str| key.split(['#', '_']).next().unwrap_or_default().to_owned();
    let (table, key) = (&write.table_name, prefix(&position.partition));
    let sort = prefix(&position.sort);
    let mut name = format!("{kind:?} {table} {key} {sort}").trim_end().to_owned();
    if let Some(state) = state(write) {
        name.push_str(&format!(" ({state})"));
    }
    if let Some(update) = write.update_text() {
        name.push_str(&format!(": {}", without_ids(update)));
    }
    if let Some(condition) = write.condition_text() {
        name.push_str(&format!(" IF {}", without_ids(condition)));
    }
    name
}

/// The state that a write gives its item.
fn state(write: &Write) -> Option<&str> {
    let of_item = write.item.as_ref().and_then(|item| item.get("state").or(item.get("status")));
    let values = write.parameters().values;
    let state = of_item.or(values.get(":state")).or(values.get(":status"))?;
    state.text()
}

/// The expression with `#ord` for each attribute that is named after an order, such as `#ord_1f2e`.
fn without_ids(expression: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in expression.split(' ') {
        let word = if word.starts_with("#ord_") { "#ord" } else { word };
        // Several orders in a row are one.
        if !(word == "#ord" && words.last() == Some(&"#ord")) {
            words.push(word);
        }
    }
    words.join(" ")
}
