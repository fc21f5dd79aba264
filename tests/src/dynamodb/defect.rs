//! Defects of the shop that a test makes in its writes: a test that does not notice proves too
//! little.

use std::collections::BTreeSet;

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

/// The defect of the tables, and the kinds of their writes so far, if they are recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Defects {
    pub(super) defect: Option<Defect>,
    pub(super) kinds: Option<BTreeSet<String>>,
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
            kinds.insert(name);
        }
        change
    }
}

/// The kind of a write: its table, its operation, the prefixes of its keys and its expressions.
fn name(kind: Kind, write: &Write, position: &Position) -> String {
    let prefix = |key: &str| key.split('#').next().unwrap_or_default().to_owned();
    let (table, key) = (&write.table_name, prefix(&position.partition));
    let sort = prefix(&position.sort);
    let mut name = format!("{kind:?} {table} {key} {sort}").trim_end().to_owned();
    if let Some(update) = write.update_text() {
        name.push_str(&format!(": {update}"));
    }
    if let Some(condition) = write.condition_text() {
        name.push_str(&format!(" IF {condition}"));
    }
    name
}
