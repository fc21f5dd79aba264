//! Plans an order's missing stock entries: the state of its reservation less the ledger's balances.
//!
//! Goods are held once, by the first version of the reservation, and transferred once or twice
//! later. At most two entries are planned: the hold, whose id is known, and one transfer from the
//! ledger's bucket to the actual one.

use std::collections::BTreeMap;

use shared::ids::ProductId;

use super::{EntrySeries, Repair, has_any, later_versions, reasons};
use crate::domain::{
    Account, Balances, Line, StockBucket, Unit,
    audit::{
        Finding, OrderSnapshot,
        order::by_product,
        record::{Posting, ReservationRecord, ReservationState},
    },
};

const CONTRADICTIONS: [&str; 3] = ["reservation_state", "reserved_quantity", "entry_balances"];

/// The possible transfers of held goods.
const TRANSFERS: [(&str, StockBucket, StockBucket); 3] = [
    ("commit", StockBucket::Held, StockBucket::ShippedOut),
    ("release", StockBucket::Held, StockBucket::Available),
    ("restock", StockBucket::ShippedOut, StockBucket::Available),
];

/// Plans the missing entries about goods.
///
/// # Errors
/// The reason why the difference is not repaired.
pub fn missing_entries(
    snapshot: &OrderSnapshot,
    findings: &[Finding],
) -> Result<Vec<Repair>, &'static str> {
    let is_missing = has_any(findings, &["reserved_in_ledger"]);
    let Some(reservation) = snapshot.reservation.as_ref().filter(|_| is_missing) else {
        return Ok(Vec::new());
    };
    if has_any(findings, &CONTRADICTIONS) {
        return Err(reasons::STOCK_RECORDS_CONFLICT);
    }
    let order_id = snapshot.order_id;
    let series = |kinds, versions| EntrySeries {
        service: "inventory",
        record: order_id.to_string(),
        kinds,
        versions,
    };
    let hold = series(vec!["hold"], vec![1]);
    let versions = later_versions(reservation.version).ok_or(reasons::TOO_MANY_VERSIONS)?;
    let later = series(TRANSFERS.map(|(kind, ..)| kind).to_vec(), versions);
    let is_goods =
        |posting: &&Posting| posting.lines.iter().any(|line| matches!(line.unit, Unit::Pieces(_)));
    let postings: Vec<&Posting> = snapshot.postings.iter().filter(is_goods).collect();
    if reservation.never_held()
        || !postings.iter().all(|posting| hold.explains(posting) || later.explains(posting))
    {
        return Err(reasons::UNEXPLAINED_ENTRY);
    }
    let quantities = by_product(&reservation.lines);
    let mut balances = Balances::default();
    postings.iter().for_each(|posting| balances.add(&posting.lines));
    let mut repairs = Vec::new();
    if !postings.iter().any(|posting| hold.explains(posting)) {
        let lines = transfer_lines(&quantities, StockBucket::Available, StockBucket::Held);
        balances.add(&lines);
        repairs.extend(hold.repair(
            "hold",
            reservation.created_at,
            order_id,
            lines,
            &snapshot.postings,
        ));
    }
    if let Some((kind, from, to)) = missing_transfer(reservation, &quantities, &balances)? {
        let lines = transfer_lines(&quantities, from, to);
        let repair =
            later.repair(kind, reservation.updated_at, order_id, lines, &snapshot.postings);
        repairs.push(repair.ok_or(reasons::NO_SINGLE_TRANSFER)?);
    }
    Ok(repairs)
}

/// The transfer that the ledger lacks to match the reservation. `None` if they match.
fn missing_transfer(
    reservation: &ReservationRecord,
    quantities: &BTreeMap<ProductId, i64>,
    balances: &Balances,
) -> Result<Option<(&'static str, StockBucket, StockBucket)>, &'static str> {
    let at = match reservation.state {
        ReservationState::Held => StockBucket::Held,
        ReservationState::Committed => StockBucket::ShippedOut,
        _ => StockBucket::Available,
    };
    // The available balance of a released or restocked reservation is zero.
    let share = |of: StockBucket| match of {
        StockBucket::Available => -i64::from(at != StockBucket::Available),
        of => i64::from(of == at),
    };
    // All goods of a reservation move together.
    let matches_reservation = |balances: &Balances| {
        let buckets = [StockBucket::Available, StockBucket::Held, StockBucket::ShippedOut];
        let fits = |product, quantity: i64| {
            buckets.into_iter().all(|of| balances.stock(product, of) == share(of) * quantity)
        };
        quantities.iter().all(|(product, quantity)| fits(*product, *quantity))
    };
    if matches_reservation(balances) {
        return Ok(None);
    }
    let reaches_target = |from, to| {
        let mut after = balances.clone();
        after.add(&transfer_lines(quantities, from, to));
        matches_reservation(&after)
    };
    let transfer = TRANSFERS.into_iter().find(|(_, from, to)| reaches_target(*from, *to));
    transfer.map(Some).ok_or(reasons::NO_SINGLE_TRANSFER)
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

    /// The entries that a repair books for a reservation in this state and version, given these
    /// recorded kinds and versions. Each has its kind and whether its id is the published one.
    fn booked(
        state: &str,
        version: u64,
        recorded: &[(&str, u64)],
    ) -> Result<Vec<(String, bool)>, &'static str> {
        let order_id: OrderId = ids::derive(&["order"]);
        let product: ProductId = ids::derive(&["spoon"]);
        let at = "2026-11-21T09:48:49.123Z";
        let id = |kind: &str, version: u64| {
            ids::derive(&["inventory", &order_id.to_string(), &version.to_string(), kind])
        };
        let posting = |(kind, version): &(&str, u64)| {
            let (from, to) = TRANSFERS
                .iter()
                .find(|transfer| transfer.0 == *kind)
                .map_or((StockBucket::Available, StockBucket::Held), |transfer| {
                    (transfer.1, transfer.2)
                });
            Posting {
                entry_id: id(kind, *version),
                occurred_at: at.parse().unwrap(),
                kind: (*kind).to_owned().try_into().unwrap(),
                order_id: Some(order_id),
                lines: transfer_lines(&BTreeMap::from([(product, 2)]), from, to),
            }
        };
        let reservation: Value = json!({
            "order_id": order_id, "state": state, "lines": [{ "product_id": product, "quantity": 2 }], "version": version, "created_at": at,
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
            postings: recorded.iter().map(posting).collect(),
        };
        let finding = Finding {
            check: "reserved_in_ledger",
            subject: None,
            expected: 1.into(),
            found: 0.into(),
        };
        let repairs = missing_entries(&snapshot, &[finding])?;
        let kind_and_certainty = |repair: &Repair| {
            let kind = repair.entry.kind().name();
            let is_published = (1..=version).any(|version| id(kind, version) == repair.entry.id());
            assert_eq!(
                is_published,
                repair.closes.is_empty(),
                "{kind}: ids are closed only where the entry has its own"
            );
            (kind.to_owned(), is_published)
        };
        Ok(repairs.iter().map(kind_and_certainty).collect())
    }

    #[test]
    fn missing_stock_transfer_is_posted() {
        let (exact, derived) = (true, false);
        for (state, version, recorded, expected) in [
            ("held", 1, &[][..], vec![("hold", exact)]),
            ("held", 9, &[], vec![("hold", exact)]),
            ("committed", 2, &[("hold", 1)], vec![("commit", exact)]),
            ("committed", 5, &[("hold", 1)], vec![("commit", derived)]),
            ("committed", 2, &[("commit", 2)], vec![("hold", exact)]),
            ("committed", 2, &[], vec![("hold", exact), ("commit", exact)]),
            ("released", 2, &[("hold", 1)], vec![("release", exact)]),
            ("released", 3, &[("hold", 1)], vec![("release", derived)]),
            ("released", 3, &[("hold", 1), ("commit", 2)], vec![("restock", derived)]),
            ("released", 3, &[("hold", 1), ("restock", 3)], vec![("commit", derived)]),
            ("released", 3, &[("release", 3)], vec![("hold", exact)]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(kind, certainty)| (kind.to_owned(), certainty))
                .collect();
            let found = booked(state, version, recorded);
            assert_eq!(found, Ok(expected), "{state} {version} {recorded:?}");
        }
    }

    #[test]
    fn difference_of_several_transfers_is_not_posted() {
        assert_eq!(
            booked("held", 2, &[("hold", 1), ("commit", 2)]),
            Err(reasons::NO_SINGLE_TRANSFER)
        );
        assert_eq!(
            booked("committed", 3, &[("hold", 1), ("release", 2)]),
            Err(reasons::NO_SINGLE_TRANSFER)
        );
        assert_eq!(
            booked("committed", 2, &[("hold", 1), ("commit", 3)]),
            Err(reasons::UNEXPLAINED_ENTRY)
        );
        assert_eq!(booked("rejected", 1, &[("hold", 1)]), Err(reasons::UNEXPLAINED_ENTRY));
        assert_eq!(booked("committed", 900, &[("hold", 1)]), Err(reasons::TOO_MANY_VERSIONS));
    }
}
