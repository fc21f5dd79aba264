//! Plans the entries that other services' records require and that the ledger lacks because their
//! messages were lost.
//!
//! A publisher derives the id of an entry from the record, its version and the kind. Sometimes only
//! one version can have published the entry: an adjustment, or a reservation that was written
//! twice. The repair then uses exactly that id. If the lost message arrives later, it finds
//! the entry recorded.
//!
//! Other entries are differences of totals, and the record no longer shows which versions made
//! them. One entry with an id from a separate namespace then books the whole difference. First,
//! every id that a version so far can have published is *closed* ([`Repair::closes`]). A lost
//! message that arrives later finds its id closed and changes nothing. Later versions are not
//! affected.
//!
//! Only missing entries are booked. A difference with another cause is rejected with a reason and
//! stays in the report.

mod payments;
mod sale;
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
        record::{MovementRecord, RecordedEntry},
    },
};

/// `localstack/restore.py` adds a multiple of this to the versions of restored records.
pub const EPOCH: u64 = 1_000_000;

/// Upper bound of the writes of an order's record between two restores. Typical orders are written
/// a few dozen times.
pub const MAX_WRITES: u64 = 200;

/// Upper bound of the restores of a table.
const MAX_EPOCHS: u64 = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The ids to close before the entry is recorded.
    pub closes: Vec<EntryId>,
    pub entry: Entry,
}

/// The missing entries of an order, and the differences that are not repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairPlan {
    pub repairs: Vec<Repair>,
    /// The reasons why differences are not repaired.
    pub rejected: Vec<&'static str>,
}

impl RepairPlan {
    /// Plans the repair of an order with these findings.
    pub fn of(snapshot: &OrderSnapshot, findings: &[Finding]) -> Self {
        let mut plan = Self::default();
        for part in [
            payments::missing_entries(snapshot, findings),
            sale::missing_entries(snapshot, findings),
            stock::missing_entry(snapshot, findings).map(|repair| repair.into_iter().collect()),
        ] {
            match part {
                Ok(repairs) => plan.repairs.extend(repairs),
                Err(reason) => plan.rejected.push(reason),
            }
        }
        plan
    }
}

/// Reasons why a difference is not repaired.
pub mod reasons {
    /// Repairing the ledger would hide the contradiction between two records.
    pub const PAYMENT_RECORDS_CONFLICT: &str =
        "The records of payments contradict each other, the order or the provider.";
    /// Repairing the ledger would hide the contradiction between two records.
    pub const STOCK_RECORDS_CONFLICT: &str = "The reservation and the order contradict each other.";
    /// Repairing the ledger would hide the contradiction between two records.
    pub const SALE_RECORDS_CONFLICT: &str =
        "The order contradicts its price or the records of payments.";
    pub const UNEXPLAINED_ENTRY: &str =
        "The ledger has an entry that no version of the record explains.";
    /// Entries are never reversed.
    pub const LEDGER_EXCEEDS_RECORDS: &str = "The ledger has booked more than the records say.";
    /// There are more possible ids than a repair closes.
    pub const TOO_MANY_VERSIONS: &str =
        "The record was written too often to close the ids of all its entries.";
    /// The ledger's balances differ from the reservation by more than one movement.
    pub const NO_SINGLE_TRANSFER: &str = "The difference is not one movement of the reservation.";
    /// An entry with different content has the id.
    pub const ID_CONFLICT: &str = "Another entry has the id of the missing one.";
}

/// The entries that a publisher can have sent about one movement of a record: one per kind and
/// version.
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

    /// The ids that the publisher derives.
    fn published_ids(&self) -> BTreeSet<EntryId> {
        self.ids_of(&[self.service]).collect()
    }

    /// Whether this entry belongs to the series or comes from an earlier repair of it.
    fn explains(&self, entry: &RecordedEntry) -> bool {
        self.ids_of(&[self.service])
            .chain(self.ids_of(&REPAIR_ID_PREFIX))
            .any(|id| id == entry.entry_id)
    }

    /// The missing entry of `kind`, and the ids to close before it is recorded.
    fn repair(
        &self,
        kind: &'static str,
        at: Timestamp,
        order_id: OrderId,
        lines: Vec<Line>,
        recorded: &[RecordedEntry],
    ) -> Option<Repair> {
        let last = self.versions.last()?.to_string();
        let has_single_version = self.versions.len() == 1;
        let origin: &[&str] = if has_single_version { &[self.service] } else { &REPAIR_ID_PREFIX };
        let entry_id = ids::derive(&[origin, &[&self.record, &last, kind]].concat());
        let entry =
            Entry::balanced(entry_id, at, kind.to_owned().try_into().ok()?, Some(order_id), lines)
                .ok()?;
        let mut closes = if has_single_version { BTreeSet::new() } else { self.published_ids() };
        for entry in recorded {
            closes.remove(&entry.entry_id);
        }
        Some(Repair { closes: closes.into_iter().collect(), entry })
    }
}

/// Prefix of the derivation of ids that differ from any published id.
const REPAIR_ID_PREFIX: [&str; 1] = ["ledger-repair"];

/// The versions after the first that a record at `version` can have had. Assumes [`MAX_WRITES`]
/// versions for each restore before the last one. `None` if there are too many.
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

/// The entry of a stock adjustment; `None` if no goods moved.
pub fn adjustment(movement: &MovementRecord) -> Option<Entry> {
    let MovementRecord { movement_id, product_id, delta, created_at } = movement;
    let entry_id = ids::derive(&["inventory", movement_id, "1", "adjustment"]);
    let line = |bucket, amount| Line {
        account: Account::Stock(*product_id, bucket),
        unit: Unit::Pieces(*product_id),
        amount,
    };
    let lines = vec![line(StockBucket::OnHand, (*delta)?), line(StockBucket::Outside, -(*delta)?)];
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
