//! Plans an order's missing stock entry: the state of its reservation less the ledger's balances.
//!
//! Goods are shipped out when the reservation is committed, and return when it is released after
//! that. At most one entry is planned: the transfer from the ledger's bucket to the actual one.

use std::collections::BTreeMap;

use shared::ids::ProductId;

use super::{EntrySeries, Repair, has_any, later_versions, reasons};
use crate::domain::{
    Account, Balances, Line, StockBucket, Unit,
    audit::{
        Finding, OrderSnapshot,
        order::by_product,
        record::{RecordedEntry, ReservationRecord, ReservationState},
    },
};

const CONTRADICTIONS: [&str; 3] = ["reservation_state", "reserved_quantity", "entry_balances"];

/// The possible transfers of reserved goods.
const TRANSFERS: [(&str, StockBucket, StockBucket); 2] = [
    ("commit", StockBucket::OnHand, StockBucket::ShippedOut),
    ("restock", StockBucket::ShippedOut, StockBucket::OnHand),
];

/// Plans the missing entry about goods.
///
/// # Errors
/// The reason why the difference is not repaired.
pub fn missing_entry(
    snapshot: &OrderSnapshot,
    findings: &[Finding],
) -> Result<Option<Repair>, &'static str> {
    let is_missing = has_any(findings, &["committed_in_ledger"]);
    let Some(reservation) = snapshot.reservation.as_ref().filter(|_| is_missing) else {
        return Ok(None);
    };
    if has_any(findings, &CONTRADICTIONS) {
        return Err(reasons::STOCK_RECORDS_CONFLICT);
    }
    let series = EntrySeries {
        service: "inventory",
        record: snapshot.order_id.to_string(),
        kinds: TRANSFERS.map(|(kind, ..)| kind).to_vec(),
        versions: later_versions(reservation.version).ok_or(reasons::TOO_MANY_VERSIONS)?,
    };
    let is_goods = |entry: &&RecordedEntry| {
        entry.lines.iter().any(|line| matches!(line.unit, Unit::Pieces(_)))
    };
    let entries: Vec<&RecordedEntry> = snapshot.entries.iter().filter(is_goods).collect();
    if reservation.never_held() || !entries.iter().all(|entry| series.explains(entry)) {
        return Err(reasons::UNEXPLAINED_ENTRY);
    }
    let quantities = by_product(&reservation.lines);
    let mut balances = Balances::default();
    entries.iter().for_each(|entry| balances.add(&entry.lines));
    let (kind, from, to) = missing_transfer(reservation, &quantities, &balances)
        .filter(|(kind, ..)| entries.iter().all(|entry| entry.kind.name() != *kind))
        .ok_or(reasons::NO_SINGLE_TRANSFER)?;
    let lines = transfer_lines(&quantities, from, to);
    let order_id = snapshot.order_id;
    let repair = series.repair(kind, reservation.updated_at, order_id, lines, &snapshot.entries);
    repair.map(Some).ok_or(reasons::NO_SINGLE_TRANSFER)
}

/// The transfer after which the ledger matches the reservation. `None` if no single one does.
fn missing_transfer(
    reservation: &ReservationRecord,
    quantities: &BTreeMap<ProductId, i64>,
    balances: &Balances,
) -> Option<(&'static str, StockBucket, StockBucket)> {
    let is_committed = reservation.state == ReservationState::Committed;
    let shipped = i64::from(is_committed);
    // All goods of a reservation move together.
    let matches_reservation = |balances: &Balances| {
        let fits = |product, quantity: i64| {
            balances.stock(product, StockBucket::OnHand) == -shipped * quantity
                && balances.stock(product, StockBucket::ShippedOut) == shipped * quantity
        };
        quantities.iter().all(|(product, quantity)| fits(*product, *quantity))
    };
    let reaches_target = |from, to| {
        let mut after = balances.clone();
        after.add(&transfer_lines(quantities, from, to));
        matches_reservation(&after)
    };
    // Only a reservation that is no longer committed can have returned its goods.
    let is_possible = |to| !is_committed || to == StockBucket::ShippedOut;
    TRANSFERS.into_iter().find(|(_, from, to)| is_possible(*to) && reaches_target(*from, *to))
}

fn transfer_lines(
    quantities: &BTreeMap<ProductId, i64>,
    from: StockBucket,
    to: StockBucket,
) -> Vec<Line> {
    let line = |product: ProductId, bucket, amount| Line {
        account: Account::Stock(product, bucket),
        unit: Unit::Pieces(product),
        amount,
    };
    quantities
        .iter()
        .flat_map(|(product, quantity)| {
            [line(*product, to, *quantity), line(*product, from, -quantity)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};
    use shared::ids::{self, OrderId};

    use super::*;

    /// The kind of the entry that a repair books for a reservation in this state and version, given
    /// these recorded kinds and versions, and whether its id is the published one.
    fn booked(
        state: &str,
        version: u64,
        recorded: &[(&str, u64)],
    ) -> Result<Option<(String, bool)>, &'static str> {
        let order_id: OrderId = ids::derive(&["order"]);
        let product: ProductId = ids::derive(&["spoon"]);
        let at = "2026-11-21T09:48:49.123Z";
        let id = |kind: &str, version: u64| {
            ids::derive(&["inventory", &order_id.to_string(), &version.to_string(), kind])
        };
        let entry = |(kind, version): &(&str, u64)| {
            let (_, from, to) = TRANSFERS.iter().find(|transfer| transfer.0 == *kind).unwrap();
            RecordedEntry {
                entry_id: id(kind, *version),
                occurred_at: at.parse().unwrap(),
                kind: (*kind).to_owned().try_into().unwrap(),
                lines: transfer_lines(&BTreeMap::from([(product, 2)]), *from, *to),
            }
        };
        let reservation: Value = json!({
            "state": state, "lines": { (product.to_string()): 2 }, "version": version, "created_at": at,
            "updated_at": at,
        });
        let snapshot = OrderSnapshot {
            order_id,
            order: None,
            reservation: Some(from_value(reservation).unwrap()),
            intent: None,
            attempts: Vec::new(),
            refunds: Vec::new(),
            provider: None,
            entries: recorded.iter().map(entry).collect(),
        };
        let finding = Finding {
            check: "committed_in_ledger",
            subject: None,
            expected: 1.into(),
            found: 0.into(),
        };
        let repair = missing_entry(&snapshot, &[finding])?;
        Ok(repair.map(|repair| {
            let kind = repair.entry.kind().name();
            let is_published = (1..=version).any(|version| id(kind, version) == repair.entry.id());
            assert_eq!(
                is_published,
                repair.closes.is_empty(),
                "{kind}: ids are closed only where the entry has its own"
            );
            (kind.to_owned(), is_published)
        }))
    }

    #[test]
    fn missing_stock_transfer_is_posted() {
        let (exact, derived) = (true, false);
        for (state, version, recorded, expected) in [
            ("committed", 2, &[][..], ("commit", exact)),
            ("committed", 5, &[], ("commit", derived)),
            ("released", 3, &[("commit", 2)], ("restock", derived)),
            ("released", 3, &[("restock", 3)], ("commit", derived)),
        ] {
            let found = booked(state, version, recorded);
            let (kind, certainty) = expected;
            assert_eq!(
                found,
                Ok(Some((kind.to_owned(), certainty))),
                "{state} {version} {recorded:?}"
            );
        }
    }

    #[test]
    fn difference_of_several_transfers_is_not_posted() {
        for (state, version, recorded, reason) in [
            ("committed", 4, &[("commit", 2), ("commit", 3)][..], reasons::NO_SINGLE_TRANSFER),
            ("released", 9, &[("commit", 2), ("commit", 3)], reasons::NO_SINGLE_TRANSFER),
            (
                "released",
                9,
                &[("commit", 2), ("commit", 3), ("restock", 4)],
                reasons::NO_SINGLE_TRANSFER,
            ),
            ("committed", 2, &[("commit", 3)], reasons::UNEXPLAINED_ENTRY),
            ("rejected", 2, &[("commit", 2)], reasons::UNEXPLAINED_ENTRY),
            ("committed", 900, &[], reasons::TOO_MANY_VERSIONS),
        ] {
            assert_eq!(
                booked(state, version, recorded),
                Err(reason),
                "{state} {version} {recorded:?}"
            );
        }
    }
}
