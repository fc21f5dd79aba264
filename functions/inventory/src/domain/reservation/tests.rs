//! Tests of [`decide`] with repeated commands in any order: each piece is held once and returned
//! once.

use super::*;
use crate::domain::Stock;
use serde_json::{from_value, json};
use shared::ids::{Ids, derive};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Reserve,
    Release,
    Commit,
}
use Kind::{Commit, Release, Reserve};

fn product(name: &str) -> ProductId {
    derive(&[name])
}

/// Two lamps and three shades.
fn lines() -> Lines {
    let wanted = [("lamp", 2), ("shade", 3)]
        .map(|(name, quantity)| RequestedLine { product_id: product(name), quantity });
    Lines::try_from(wanted.to_vec()).unwrap()
}

fn request(kind: Kind, attempt: u64) -> ReservationRequest {
    let command = match kind {
        Reserve => ReservationCommand::Reserve(lines()),
        Release => ReservationCommand::Release,
        Commit => ReservationCommand::Commit,
    };
    let at = Timestamp::from_milliseconds(1_700_000_000_000 + i64::try_from(attempt).unwrap());
    ReservationRequest {
        order_id: derive(&["order"]),
        attempt,
        command,
        at,
        trace: Trace::start(&Ids::seeded(attempt)),
    }
}

/// A held reservation, also for other tests.
pub(crate) fn held() -> Reservation {
    match decide(None, &request(Reserve, 1), None) {
        Ok(Decision::Write(change)) => change.next,
        other => panic!("{other:?}"),
    }
}

/// The stock and the reservation of one order, with a store whose writes never conflict.
#[derive(Clone, Debug, PartialEq)]
struct Records {
    stock: Vec<Stock>,
    reservation: Option<Reservation>,
}

impl Records {
    fn with(lamps: i64, shades: i64) -> Self {
        let stock = |name: &str, count| Stock {
            product_id: product(name),
            available: count,
            on_hand: count,
        };
        Self { stock: vec![stock("lamp", lamps), stock("shade", shades)], reservation: None }
    }

    /// Executes a command as the service does. Returns `false` if it must be retried.
    fn execute(&mut self, request: &ReservationRequest) -> bool {
        let mut out_of_stock = None;
        loop {
            match decide(self.reservation.as_ref(), request, out_of_stock) {
                Err(_) => return false,
                Ok(Decision::NoChange) => return true,
                Ok(Decision::Write(change)) => match self.write(&change) {
                    Ok(()) => return true,
                    Err(product_id) if change.is_hold() => out_of_stock = Some(product_id),
                    Err(product_id) => {
                        panic!("stock of {product_id} contradicts its reservations: {self:?}")
                    }
                },
            }
        }
    }

    fn write(&mut self, change: &ReservationChange) -> Result<(), ProductId> {
        assert_eq!(
            change.expected_version,
            self.reservation.as_ref().map(|reservation| reservation.version)
        );
        let mut after = self.stock.clone();
        for change in &change.stock {
            let stock = after
                .iter_mut()
                .find(|stock| stock.product_id == change.product_id)
                .ok_or(change.product_id)?;
            stock.available += change.available;
            stock.on_hand += change.on_hand;
            if stock.available < 0 || stock.on_hand < 0 {
                return Err(change.product_id);
            }
        }
        self.stock = after;
        self.reservation = Some(change.next.clone());
        Ok(())
    }

    fn state(&self) -> Option<State> {
        self.reservation.as_ref().map(|reservation| reservation.state.clone())
    }

    /// Invariants of every state, given the initial stock.
    fn check(&self, initial: &Self) {
        let is = |state| self.state() == Some(state);
        for (stock, before) in self.stock.iter().zip(&initial.stock) {
            let line =
                lines().lines.into_iter().find(|line| line.product_id == stock.product_id).unwrap();
            let quantity = i64::from(line.quantity);
            assert!(stock.available >= 0, "{self:?}");
            assert_eq!(stock.held(), if is(State::Held) { quantity } else { 0 }, "{self:?}");
            let sold = if is(State::Committed) { quantity } else { 0 };
            assert_eq!(stock.on_hand + sold, before.on_hand, "{self:?}");
        }
    }
}

/// Executes the commands in turn, and those that must be retried at the end.
fn after(initial: &Records, commands: &[(Kind, u64)]) -> Records {
    let mut records = initial.clone();
    let mut retries = Vec::new();
    for (kind, attempt) in commands {
        let request = request(*kind, *attempt);
        if !records.execute(&request) {
            retries.push(request);
        }
        records.check(initial);
    }
    for request in &retries {
        records.execute(request);
        records.check(initial);
    }
    records
}

#[test]
fn every_pair_of_commands_ends_in_one_state_in_any_order() {
    for (lamps, shades) in [(10, 10), (2, 3), (1, 10), (10, 2), (0, 0)] {
        let initial = Records::with(lamps, shades);
        let enough = lamps >= 2 && shades >= 3;
        let reserved = if enough { State::Held } else { State::Rejected };
        let sold = if enough { State::Committed } else { State::Rejected };
        for (first, second, last) in [
            (Reserve, Reserve, reserved),
            (Reserve, Release, State::Released),
            (Reserve, Commit, sold),
            (Release, Release, State::Released),
            (Release, Commit, State::Released),
        ] {
            for (one, other) in [(first, second), (second, first)] {
                for order in
                    [[one, other, one, other], [one, one, other, other], [one, other, other, one]]
                {
                    let records = after(&initial, &order.map(|kind| (kind, 1)));
                    assert_eq!(
                        records.state(),
                        Some(last.clone()),
                        "{order:?} of {lamps} and {shades}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_sequence_keeps_the_invariants_and_release_returns_all_stock() {
    let initial = Records::with(5, 5);
    let mut sequences: Vec<Vec<Kind>> = vec![Vec::new()];
    for _ in 0..6 {
        let longer = |sequence: &Vec<Kind>| {
            [Reserve, Release, Commit].map(|kind| [&sequence[..], &[kind]].concat())
        };
        sequences = sequences.iter().flat_map(longer).collect();
        for sequence in &sequences {
            let attempts: Vec<(Kind, u64)> = sequence.iter().copied().zip(1..).collect();
            let records = after(&initial, &attempts);
            if sequence.contains(&Release) {
                assert_eq!(records.state(), Some(State::Released), "{sequence:?}");
                assert_eq!(records.stock, initial.stock, "{sequence:?}");
            }
        }
    }
}

#[test]
fn second_copy_of_an_executed_command_changes_nothing() {
    for before in [vec![], vec![(Reserve, 1)], vec![(Reserve, 1), (Commit, 2)], vec![(Release, 1)]]
    {
        for kind in [Reserve, Release, Commit] {
            let mut records = after(&Records::with(5, 5), &before);
            let request = request(kind, 3);
            if records.execute(&request) {
                assert_eq!(
                    decide(records.reservation.as_ref(), &request, None),
                    Ok(Decision::NoChange),
                    "{before:?}, {kind:?}"
                );
            }
        }
    }
}

#[test]
fn repeated_command_is_answered_again() {
    for before in [vec![(Reserve, 3)], vec![(Release, 3)], vec![(Reserve, 2), (Commit, 3)]] {
        let records = after(&Records::with(5, 5), &before);
        let (kind, _) = *before.last().unwrap();
        for attempt in [2, 3] {
            assert_eq!(
                decide(records.reservation.as_ref(), &request(kind, attempt), None),
                Ok(Decision::NoChange)
            );
        }
        let stored = records.reservation.unwrap();
        let Ok(Decision::Write(change)) = decide(Some(&stored), &request(kind, 4), None) else {
            panic!("not answered")
        };
        assert_eq!(change.expected_version, Some(stored.version));
        assert_eq!((change.next.version, change.next.answered_attempt), (stored.version + 1, 4));
        assert_eq!((change.next.state, change.stock), (stored.state, vec![]));
        assert_eq!(change.next.traceparent, request(kind, 4).trace);
    }
}

#[test]
fn outdated_command_keeps_the_newer_answered_attempt() {
    let records = after(&Records::with(5, 5), &[(Reserve, 7), (Release, 2)]);
    assert_eq!(records.reservation.map(|reservation| reservation.answered_attempt), Some(7));
}

#[test]
fn rejection_names_the_product_and_stays_after_restocking() {
    let mut records = after(&Records::with(10, 2), &[(Reserve, 1)]);
    assert_eq!(
        records.reservation.as_ref().and_then(|reservation| reservation.rejected_product),
        Some(product("shade"))
    );
    records.stock = Records::with(10, 10).stock;
    assert!(records.execute(&request(Reserve, 2)));
    assert_eq!(records.state(), Some(State::Rejected));
}

#[test]
fn commit_before_its_reserve_is_retried() {
    assert_eq!(decide(None, &request(Commit, 1), None), Err(DecideError::NotReservedYet));
}

#[test]
fn unknown_state_is_preserved_and_rejects_every_command() {
    let unknown: State = from_value(json!("parcelled")).unwrap();
    assert_eq!(serde_json::to_value(&unknown).unwrap(), json!("parcelled"));
    let stored = Reservation { state: unknown, ..held() };
    for kind in [Reserve, Release, Commit] {
        let decision = decide(Some(&stored), &request(kind, 9), None);
        assert_eq!(decision, Err(DecideError::UnknownState("parcelled".to_owned())));
    }
}

#[test]
fn lines_are_merged_sorted_and_limited() {
    let line =
        |name: &str, quantity: u32| json!({ "product_id": product(name), "quantity": quantity });
    let read = |lines: Vec<serde_json::Value>| from_value::<Lines>(json!(lines));
    let merged = read(vec![line("lamp", 1), line("shade", 3), line("lamp", 1)]).unwrap();
    assert_eq!(merged, lines());
    assert!(merged.lines.is_sorted_by_key(|line| line.product_id));
    let many = |count: usize| (0..count).map(|i| line(&i.to_string(), 1)).collect();
    assert!(read(many(40)).is_ok());
    for invalid in
        [vec![], many(41), vec![line("lamp", 0)], vec![line("lamp", u32::MAX), line("lamp", 1)]]
    {
        assert!(read(invalid).is_err());
    }
}
