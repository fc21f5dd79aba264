//! Defects of the shop that a test makes in its writes: a test that does not notice proves too
//! little.

use serde::{Deserialize, Serialize};

use super::{
    request::{Kind, Write},
    schema::Position,
};
use crate::template::STACK;

/// A defect of all writes of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Defect {
    /// The kind of the writes: see [`WriteRequest::kinds`].
    pub writes: String,
    pub change: Change,
}

/// What a defect does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Change {
    /// The condition always holds. In a transaction all conditions hold: they often guard the same
    /// fact.
    Unconditional,
    /// The write succeeds and changes nothing.
    LeftOut,
}

/// A recorded request with writes of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRequest {
    /// The number of the AWS call.
    pub call: usize,
    /// The kinds of its writes and condition checks: each with its table, the prefixes of its keys,
    /// its state and its condition. The attributes that it sets do not count.
    pub kinds: Vec<String>,
    /// Whether a condition failed.
    pub has_failed: bool,
}

/// The defect of the tables, and the requests so far, if they are recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Defects {
    pub(super) defect: Option<Defect>,
    pub(super) requests: Option<Vec<WriteRequest>>,
    /// The AWS call that is executed; `None` for a write of a test.
    pub(super) call: Option<usize>,
    /// The number of writes that the defect has changed.
    pub(super) effects: u64,
}

impl Defects {
    /// Whether the present writes may have a defect, or are recorded.
    pub(super) fn is_active(&self) -> bool {
        self.call.is_some() && (self.defect.is_some() || self.requests.is_some())
    }

    /// Records a request with writes of these kinds. Returns what happens to each of them instead
    /// of its effect.
    pub(super) fn changes(&mut self, kinds: Vec<String>) -> Vec<Option<Change>> {
        let changes = self.defect.as_ref().map(|defect| defect.changes(&kinds));
        if let (Some(requests), Some(call)) = (&mut self.requests, self.call) {
            requests.push(WriteRequest { call, kinds, has_failed: false });
        }
        changes.unwrap_or_default()
    }

    /// Records that a condition of the present request failed.
    pub(super) fn condition_failed(&mut self) {
        let requests = self.requests.as_mut().filter(|_| self.call.is_some());
        if let Some(request) = requests.and_then(|requests| requests.last_mut()) {
            request.has_failed = true;
        }
    }
}

impl Defect {
    /// What happens to the writes of a request.
    fn changes(&self, kinds: &[String]) -> Vec<Option<Change>> {
        let has_defect = kinds.contains(&self.writes);
        let change = |kind: &String| match self.change {
            Change::Unconditional => has_defect.then_some(Change::Unconditional),
            Change::LeftOut => (*kind == self.writes).then_some(Change::LeftOut),
        };
        kinds.iter().map(change).collect()
    }
}

/// The kind of a write. The prefix of `ORDER#ord_1` is `ORDER`, that of `ent_1` is `ent`. An item
/// that gets a state is named with it: to open a payment and to close one that was never opened are
/// two kinds.
pub(super) fn name(kind: Kind, write: &Write, position: &Position) -> String {
    let prefix = |key: &str| key.split(['#', '_']).next().unwrap_or_default().to_owned();
    let table = write.table_name.strip_prefix(STACK).unwrap_or(&write.table_name);
    let table = table.trim_start_matches('-');
    let (key, sort) = (prefix(&position.partition), prefix(&position.sort));
    let mut name = format!("{table} {key} {sort}").trim_end().to_owned();
    let state = match kind {
        Kind::Delete => Some("deleted"),
        Kind::Check => Some("checked"),
        Kind::Put | Kind::Update => state(write),
    };
    if let Some(state) = state {
        name.push_str(&format!(" ({state})"));
    }
    if let Some(condition) = write.condition_text() {
        name.push_str(&format!(" IF {condition}"));
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
