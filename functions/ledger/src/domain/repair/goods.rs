//! What is missing of an order's goods: where its reservation says they are, less where the ledger has put them.
//!
//! Goods are held once, by the first version of the reservation, and go to one other place later. So at most two entries are missing: the
//! hold, which is known exactly, and one for the way from where the ledger sees the goods to where they are.

use std::collections::BTreeMap;

use shared::ids::ProductId;

use super::{Repair, Series, has_any, later_versions, refusal};
use crate::domain::{
    Account, Balances, Line, Shelf, Unit,
    audit::{
        Finding, OrderBooks,
        order::by_product,
        record::{Posting, ReservationRecord, ReservationState},
    },
};

const CONTRADICTIONS: [&str; 3] = ["reservation_state", "reserved_quantity", "entry_balances"];

/// The ways that goods can take once they are held.
const WAYS: [(&str, Shelf, Shelf); 3] = [
    ("commit", Shelf::Held, Shelf::ShippedOut),
    ("release", Shelf::Held, Shelf::Available),
    ("take_back", Shelf::ShippedOut, Shelf::Available),
];

/// The missing entries about goods.
///
/// # Errors
/// Why the difference is not booked.
pub fn missing(books: &OrderBooks, findings: &[Finding]) -> Result<Vec<Repair>, &'static str> {
    let is_missing = has_any(findings, &["reserved_in_ledger"]);
    let Some(reservation) = books.reservation.as_ref().filter(|_| is_missing) else { return Ok(Vec::new()) };
    if has_any(findings, &CONTRADICTIONS) {
        return Err(refusal::GOODS_CONTRADICT);
    }
    let order_id = books.order_id;
    let series = |kinds, versions| Series { service: "inventory", record: order_id.to_string(), kinds, versions };
    let hold = series(vec!["hold"], vec![1]);
    let versions = later_versions(reservation.version).ok_or(refusal::WRITTEN_TOO_OFTEN)?;
    let later = series(WAYS.map(|(kind, ..)| kind).to_vec(), versions);
    let is_goods = |posting: &&Posting| posting.lines.iter().any(|line| matches!(line.unit, Unit::Pieces(_)));
    let postings: Vec<&Posting> = books.postings.iter().filter(is_goods).collect();
    if reservation.has_held_nothing() || !postings.iter().all(|posting| hold.explains(posting) || later.explains(posting)) {
        return Err(refusal::UNEXPLAINED);
    }
    let quantities = by_product(&reservation.lines);
    let mut balances = Balances::default();
    postings.iter().for_each(|posting| balances.add(&posting.lines));
    let mut repairs = Vec::new();
    if !postings.iter().any(|posting| hold.explains(posting)) {
        let lines = moved(&quantities, Shelf::Available, Shelf::Held);
        balances.add(&lines);
        repairs.extend(hold.repair("hold", reservation.created_at, order_id, lines, &books.postings));
    }
    if let Some((kind, from, to)) = way(reservation, &quantities, &balances)? {
        let lines = moved(&quantities, from, to);
        let repair = later.repair(kind, reservation.updated_at, order_id, lines, &books.postings);
        repairs.push(repair.ok_or(refusal::NO_MOVEMENT)?);
    }
    Ok(repairs)
}

/// The way from where the ledger sees the goods to where the reservation says they are; none where these are the same.
fn way(
    reservation: &ReservationRecord,
    quantities: &BTreeMap<ProductId, i64>,
    balances: &Balances,
) -> Result<Option<(&'static str, Shelf, Shelf)>, &'static str> {
    let is = match reservation.state {
        ReservationState::Held => Shelf::Held,
        ReservationState::Committed => Shelf::ShippedOut,
        _ => Shelf::Available,
    };
    // All goods of a reservation move together. Those that are back on their shelf come to nothing.
    let share = |of: Shelf, at: Shelf| match (of, at) {
        (Shelf::Available, Shelf::Available) => 0,
        (Shelf::Available, _) => -1,
        (of, at) => i64::from(of == at),
    };
    let is_seen_at = |at: Shelf| {
        let fits = |of, product, quantity: i64| balances.stock(product, of) == share(of, at) * quantity;
        let shelves = [Shelf::Available, Shelf::Held, Shelf::ShippedOut];
        quantities.iter().all(|(product, quantity)| shelves.into_iter().all(|of| fits(of, *product, *quantity)))
    };
    if is_seen_at(is) {
        return Ok(None);
    }
    let way = WAYS.into_iter().find(|(_, from, to)| *to == is && is_seen_at(*from));
    way.map(Some).ok_or(refusal::NO_MOVEMENT)
}

fn moved(quantities: &BTreeMap<ProductId, i64>, from: Shelf, to: Shelf) -> Vec<Line> {
    let line = |product: ProductId, shelf, amount| Line { account: Account::Stock(product, shelf), unit: Unit::Pieces(product), amount };
    quantities.iter().flat_map(|(product, quantity)| [line(*product, to, *quantity), line(*product, from, -quantity)]).collect()
}
