//! Books missing ledger entries: writes what [`crate::domain::repair`] plans into the ledger's
//! table.

use std::collections::BTreeSet;

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId},
};

use crate::{
    GRACE, Ledger,
    domain::{
        Entry, EntryId, Kind, Line,
        audit::{Finding, OrderSnapshot},
        repair::{self, Repair, RepairPlan, reasons},
    },
    error::LedgerError,
    sources::ReadError,
    store::RecordOutcome,
};

/// An entry that a repair booked.
#[derive(Debug, Serialize)]
pub struct Repaired {
    entry_id: EntryId,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
    lines: Vec<Line>,
}

/// A difference that a repair does not correct.
#[derive(Debug, Serialize)]
pub struct NotRepaired {
    /// The id of the order or product.
    pub id: String,
    pub reason: &'static str,
}

/// The result of a repair.
#[derive(Debug, Default)]
pub struct Repairs {
    pub repaired: Vec<Repaired>,
    /// The reasons why differences remain.
    pub rejected: Vec<&'static str>,
}

impl Ledger {
    /// Books the entries of a settled order that the ledger lacks, given the findings of its check.
    /// A repeated call books nothing.
    ///
    /// # Errors
    /// If a table request fails. Entries booked before that remain, and the next repair continues.
    pub async fn repair_order(
        &self,
        mut snapshot: OrderSnapshot,
        findings: &[Finding],
    ) -> Result<Repairs, ReadError> {
        let mut closed = BTreeSet::new();
        let plan = loop {
            let plan = RepairPlan::of(&snapshot, findings);
            let closes = |repair: &Repair| {
                repair.closes.iter().map(|id| (*id, repair.entry.id())).collect::<Vec<_>>()
            };
            let open: Vec<_> = plan
                .repairs
                .iter()
                .flat_map(closes)
                .filter(|(id, _)| !closed.contains(id))
                .collect();
            if open.is_empty() {
                break plan;
            }
            for (id, by) in open {
                self.store.close_id(snapshot.order_id, id, by, self.clock.now()).await?;
                closed.insert(id);
            }
            // A message may have arrived before its id was closed, so the missing entries are
            // planned again.
            snapshot.entries = self.store.entries_of_order(snapshot.order_id).await?;
        };
        let mut repairs = Repairs { rejected: plan.rejected, ..Repairs::default() };
        for repair in plan.repairs {
            self.book(&repair.entry, &mut repairs).await?;
        }
        Ok(repairs)
    }

    /// Books a product's adjustments that the ledger lacks, except those of the last ten minutes.
    ///
    /// # Errors
    /// If a table request fails. Entries booked before that remain.
    pub async fn repair_product(&self, product: ProductId) -> Result<Repairs, ReadError> {
        let (mut repairs, mut after) = (Repairs::default(), None);
        let until = Timestamp::from_milliseconds(
            self.clock.now().milliseconds() - i64::try_from(GRACE.as_millis()).unwrap_or(i64::MAX),
        );
        loop {
            let (movements, next) =
                self.sources.movements(product, after.as_deref(), until).await?;
            for entry in movements.iter().filter_map(repair::adjustment) {
                if !self.store.has_entry(&entry).await? {
                    self.book(&entry, &mut repairs).await?;
                }
            }
            if next.is_none() {
                return Ok(repairs);
            }
            after = next;
        }
    }

    async fn book(&self, entry: &Entry, repairs: &mut Repairs) -> Result<(), ReadError> {
        match self.store.record(entry, self.clock.now()).await {
            Ok(RecordOutcome::AlreadyRecorded) => {}
            Ok(RecordOutcome::Recorded) => {
                tracing::warn!(entry.id = %entry.id(), kind = entry.kind().name(), "missing ledger entry booked");
                let (entry_id, kind, lines) =
                    (entry.id(), entry.kind().clone(), entry.lines().to_vec());
                repairs.repaired.push(Repaired {
                    entry_id,
                    kind,
                    order_id: entry.order_id(),
                    lines,
                });
            }
            Err(LedgerError::Mismatch(_)) => repairs.rejected.push(reasons::ID_CONFLICT),
            Err(LedgerError::Table(error)) => return Err(error.into()),
        }
        Ok(())
    }
}
