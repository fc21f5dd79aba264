//! Entries that the records of their owners require and that the ledger lacks, because their
//! messages were lost.
//!
//! A publisher derives the id of an entry from the record, its version and the kind. Where only one
//! version can have published the entry (an adjustment, a hold, a reservation that was written
//! twice), the missing entry is made under exactly that id: the lost message finds it recorded when
//! it arrives after all.
//!
//! Other entries are differences of totals, and the record no longer says which of its versions
//! made them. One entry then books the whole difference, under an id of its own. Before that, every
//! id that a version until now can have published is *closed* ([`Repair::closes`]): a lost message
//! that arrives later finds its id closed and changes nothing. Versions that are written later are
//! not affected.
//!
//! Only what is missing is booked. A difference that has another reason is refused with a sentence
//! and stays in the report.

mod payments;
mod stock;

use std::collections::BTreeSet;

use shared::{
    clock::Timestamp,
    ids::{self, OrderId},
};

use super::{
    Account, Entry, EntryId, Line, StockBucket, Unit,
    audit::{
        Finding, OrderSnapshot,
        record::{MovementRecord, Posting},
    },
};

/// What a restored table adds to the versions of its records, once for each restore;
/// `localstack/restore.py` adds it.
pub const EPOCH: u64 = 1_000_000;

/// How often the record of an order is written between two restores, at most. An order is written a
/// few dozen times.
pub const MAX_WRITES: u64 = 200;

/// How many restores are taken into account.
const MAX_EPOCHS: u64 = 10;

/// A missing entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The ids that have to be closed before it is recorded.
    pub closes: Vec<EntryId>,
    pub entry: Entry,
}

/// What is missing of an order, and what is not booked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairPlan {
    /// The missing entries.
    pub repairs: Vec<Repair>,
    /// Why a difference stays.
    pub rejected: Vec<&'static str>,
}

impl RepairPlan {
    /// The missing entries of an order with these findings.
    pub fn of(snapshot: &OrderSnapshot, findings: &[Finding]) -> Self {
        let mut plan = Self::default();
        for part in [
            payments::missing_entries(snapshot, findings),
            stock::missing_entries(snapshot, findings),
        ] {
            match part {
                Ok(repairs) => plan.repairs.extend(repairs),
                Err(reason) => plan.rejected.push(reason),
            }
        }
        plan
    }
}

/// Why a difference is not booked.
pub mod reasons {
    /// Two records differ: repairing the ledger would hide it.
    pub const PAYMENT_RECORDS_CONFLICT: &str =
        "The records of payments contradict each other, the order or the provider.";
    /// See above.
    pub const STOCK_RECORDS_CONFLICT: &str = "The reservation and the order contradict each other.";
    /// The ledger has an entry with another source.
    pub const UNEXPLAINED_ENTRY: &str =
        "The ledger has an entry that no version of the record explains.";
    /// Entries are never taken back.
    pub const LEDGER_EXCEEDS_RECORDS: &str = "The ledger has booked more than the records say.";
    /// There are more possible ids than are closed.
    pub const TOO_MANY_VERSIONS: &str =
        "The record was written too often to close the ids of all its entries.";
    /// The goods are somewhere that no single movement explains.
    pub const NO_SINGLE_TRANSFER: &str = "The difference is not one movement of the reservation.";
    /// The id is taken by an entry with another content.
    pub const ID_CONFLICT: &str = "Another entry has the id of the missing one.";
}

/// The entries that a publisher can have sent about the same movement of a record: one for each
/// kind and version.
struct EntrySeries {
    service: &'static str,
    record: String,
    kinds: Vec<&'static str>,
    versions: Vec<u64>,
}

impl EntrySeries {
    fn ids_of(&self, fields: &[&str]) -> impl Iterator<Item = EntryId> {
        let id = |kind: &&str, version: &u64| {
            ids::derive(&[fields, &[&self.record, &version.to_string(), kind]].concat())
        };
        let all: Vec<EntryId> = self
            .kinds
            .iter()
            .flat_map(|kind| self.versions.iter().map(move |version| id(kind, version)))
            .collect();
        all.into_iter()
    }

    /// The ids that the publisher gives.
    fn published_ids(&self) -> BTreeSet<EntryId> {
        self.ids_of(&[self.service]).collect()
    }

    /// Whether this entry is one of them, or was made by an earlier repair.
    fn explains(&self, posting: &Posting) -> bool {
        self.ids_of(&[self.service])
            .chain(self.ids_of(&REPAIR_ID_PREFIX))
            .any(|id| id == posting.entry_id)
    }

    /// The missing entry of `kind`, and what has to be closed before it is recorded.
    fn repair(
        &self,
        kind: &'static str,
        at: Timestamp,
        order_id: OrderId,
        lines: Vec<Line>,
        postings: &[Posting],
    ) -> Option<Repair> {
        let last = self.versions.last()?.to_string();
        let has_single_version = self.versions.len() == 1;
        let origin: &[&str] = if has_single_version { &[self.service] } else { &REPAIR_ID_PREFIX };
        let entry_id = ids::derive(&[origin, &[&self.record, &last, kind]].concat());
        let entry =
            Entry::balanced(entry_id, at, kind.to_owned().try_into().ok()?, Some(order_id), lines)
                .ok()?;
        let mut closes = if has_single_version { BTreeSet::new() } else { self.published_ids() };
        for posting in postings {
            closes.remove(&posting.entry_id);
        }
        Some(Repair { closes: closes.into_iter().collect(), entry })
    }
}

/// What the ids of entries begin with that a repair makes under an id of its own.
const REPAIR_ID_PREFIX: [&str; 1] = ["ledger-repair"];

/// The versions after the first that a record with this version can have had: of each restore as
/// many as there can be, of the last one as many as there were. `None`: too many.
fn later_versions(version: u64) -> Option<Vec<u64>> {
    let (epoch, writes) = (version / EPOCH, version % EPOCH);
    if writes > MAX_WRITES || epoch > MAX_EPOCHS {
        return None;
    }
    let earlier =
        (0..epoch).flat_map(|epoch| (1..=MAX_WRITES).map(move |writes| epoch * EPOCH + writes));
    let present = (1..=writes).map(|writes| epoch * EPOCH + writes);
    Some(earlier.chain(present).filter(|version| *version > 1).collect())
}

fn has_any(findings: &[Finding], checks: &[&str]) -> bool {
    findings.iter().any(|finding| checks.contains(&finding.check))
}

/// The entry of goods that came in or were written off by hand; none where nothing moved.
pub fn adjustment(movement: &MovementRecord) -> Option<Entry> {
    let MovementRecord { movement_id, product_id, delta, created_at } = movement;
    let entry_id = ids::derive(&["inventory", movement_id, "1", "adjustment"]);
    let line = |bucket, amount| Line {
        account: Account::Stock(*product_id, bucket),
        unit: Unit::Pieces(*product_id),
        amount,
    };
    let lines =
        vec![line(StockBucket::Available, (*delta)?), line(StockBucket::Outside, -(*delta)?)];
    Entry::balanced(entry_id, *created_at, "adjustment".to_owned().try_into().ok()?, None, lines)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_versions_are_listed_per_restore() {
        assert_eq!(later_versions(1), Some(vec![]));
        assert_eq!(later_versions(4), Some(vec![2, 3, 4]));
        assert_eq!(later_versions(MAX_WRITES + 1), None);
        let restored = later_versions(EPOCH + 2).unwrap();
        assert_eq!(
            (restored.len() as u64, restored.last()),
            (MAX_WRITES - 1 + 2, Some(&(EPOCH + 2)))
        );
        assert_eq!(later_versions((MAX_EPOCHS + 1) * EPOCH + 1), None);
    }
}
