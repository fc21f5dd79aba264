//! Every sequence of commands for one order, in any order and repeated: a reservation holds each
//! piece once and returns it once.

use super::*;
use crate::domain::Stock;
use serde_json::{from_value, json};
use shared::ids::{Ids, derive};

/// What the commands of these tests ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Reserve,
    Release,
    Commit,
}
use Asked::{Commit, Release, Reserve};

fn product(name: &str) -> ProductId {
    derive(&[name])
}

/// Two lamps and three shades.
fn lines() -> Lines {
    let wanted = [("lamp", 2), ("shade", 3)]
        .map(|(name, quantity)| RequestedLine { product_id: product(name), quantity });
    Lines::try_from(wanted.to_vec()).unwrap()
}

fn request(asked: Asked, attempt: u64) -> ReservationRequest {
    let command = match asked {
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

/// A reservation as other tests need one.
pub(crate) fn held() -> Reservation {
    match decide(None, &request(Reserve, 1), None) {
        Ok(Decision::Write(change)) => change.next,
        other => panic!("{other:?}"),
    }
}

/// The stock and the reservation of one order, with a store whose writes never conflict.
#[derive(Clone, Debug, PartialEq)]
struct World {
    stock: Vec<Stock>,
    reservation: Option<Reservation>,
}

impl World {
    fn with(lamps: i64, shades: i64) -> Self {
        let stock = |name: &str, count| Stock {
            product_id: product(name),
            available: count,
            on_hand: count,
        };
        Self { stock: vec![stock("lamp", lamps), stock("shade", shades)], reservation: None }
    }

    /// Carries a command out as the service does; `false` if it has to come back.
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

    /// The invariants at every moment, for this quantity received.
    fn check(&self, came_in: &Self) {
        let is = |state| self.state() == Some(state);
        for (stock, before) in self.stock.iter().zip(&came_in.stock) {
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

/// Carries the commands out in turn; those that have to come back do so in the end.
fn after(came_in: &World, asked: &[(Asked, u64)]) -> World {
    let mut world = came_in.clone();
    let mut waiting = Vec::new();
    for (asked, attempt) in asked {
        let request = request(*asked, *attempt);
        if !world.execute(&request) {
            waiting.push(request);
        }
        world.check(came_in);
    }
    for request in &waiting {
        world.execute(request);
        world.check(came_in);
    }
    world
}

#[test]
fn every_pair_of_commands_in_both_orders_and_each_twice_adds_up() {
    for (lamps, shades) in [(10, 10), (2, 3), (1, 10), (10, 2), (0, 0)] {
        let came_in = World::with(lamps, shades);
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
                    let world = after(&came_in, &order.map(|asked| (asked, 1)));
                    assert_eq!(
                        world.state(),
                        Some(last.clone()),
                        "{order:?} of {lamps} and {shades}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_sequence_of_commands_adds_up_and_a_release_gives_everything_back() {
    let came_in = World::with(5, 5);
    let mut sequences: Vec<Vec<Asked>> = vec![Vec::new()];
    for _ in 0..6 {
        let longer = |sequence: &Vec<Asked>| {
            [Reserve, Release, Commit].map(|asked| [&sequence[..], &[asked]].concat())
        };
        sequences = sequences.iter().flat_map(longer).collect();
        for sequence in &sequences {
            let attempts: Vec<(Asked, u64)> = sequence.iter().copied().zip(1..).collect();
            let world = after(&came_in, &attempts);
            if sequence.contains(&Release) {
                assert_eq!(world.state(), Some(State::Released), "{sequence:?}");
                assert_eq!(world.stock, came_in.stock, "{sequence:?}");
            }
        }
    }
}

#[test]
fn a_command_that_was_carried_out_settles_its_second_copy() {
    for before in [vec![], vec![(Reserve, 1)], vec![(Reserve, 1), (Commit, 2)], vec![(Release, 1)]]
    {
        for asked in [Reserve, Release, Commit] {
            let mut world = after(&World::with(5, 5), &before);
            let request = request(asked, 3);
            if world.execute(&request) {
                assert_eq!(
                    decide(world.reservation.as_ref(), &request, None),
                    Ok(Decision::NoChange),
                    "{before:?}, {asked:?}"
                );
            }
        }
    }
}

#[test]
fn repeated_command_is_answered_again() {
    for before in [vec![(Reserve, 3)], vec![(Release, 3)], vec![(Reserve, 2), (Commit, 3)]] {
        let world = after(&World::with(5, 5), &before);
        let (asked, _) = *before.last().unwrap();
        for attempt in [2, 3] {
            assert_eq!(
                decide(world.reservation.as_ref(), &request(asked, attempt), None),
                Ok(Decision::NoChange)
            );
        }
        let stored = world.reservation.unwrap();
        let Ok(Decision::Write(change)) = decide(Some(&stored), &request(asked, 4), None) else {
            panic!("not answered")
        };
        assert_eq!(change.expected_version, Some(stored.version));
        assert_eq!((change.next.version, change.next.answered_attempt), (stored.version + 1, 4));
        assert_eq!((change.next.state, change.stock), (stored.state, vec![]));
        assert_eq!(change.next.traceparent, request(asked, 4).trace);
    }
}

#[test]
fn an_answer_to_an_old_asking_does_not_hide_that_a_newer_one_was_answered() {
    let world = after(&World::with(5, 5), &[(Reserve, 7), (Release, 2)]);
    assert_eq!(world.reservation.map(|reservation| reservation.answered_attempt), Some(7));
}

#[test]
fn rejection_names_the_product_and_stays_after_restocking() {
    let mut world = after(&World::with(10, 2), &[(Reserve, 1)]);
    assert_eq!(
        world.reservation.as_ref().and_then(|reservation| reservation.rejected_product),
        Some(product("shade"))
    );
    world.stock = World::with(10, 10).stock;
    assert!(world.execute(&request(Reserve, 2)));
    assert_eq!(world.state(), Some(State::Rejected));
}

#[test]
fn a_commit_waits_for_its_reserve() {
    assert_eq!(decide(None, &request(Commit, 1), None), Err(DecideError::NotReservedYet));
}

#[test]
fn a_state_of_a_later_release_survives_and_is_not_touched() {
    let odd: State = from_value(json!("parcelled")).unwrap();
    assert_eq!(serde_json::to_value(&odd).unwrap(), json!("parcelled"));
    let stored = Reservation { state: odd, ..held() };
    for asked in [Reserve, Release, Commit] {
        let decision = decide(Some(&stored), &request(asked, 9), None);
        assert_eq!(decision, Err(DecideError::UnknownState("parcelled".to_owned())));
    }
}

#[test]
fn lines_are_merged_and_sorted_and_there_are_neither_none_nor_too_many() {
    let line =
        |name: &str, quantity: u32| json!({ "product_id": product(name), "quantity": quantity });
    let read = |lines: Vec<serde_json::Value>| from_value::<Lines>(json!(lines));
    let merged = read(vec![line("lamp", 1), line("shade", 3), line("lamp", 1)]).unwrap();
    assert_eq!(merged, lines());
    assert!(merged.lines.is_sorted_by_key(|line| line.product_id));
    let many = |count: usize| (0..count).map(|i| line(&i.to_string(), 1)).collect();
    assert!(read(many(40)).is_ok());
    for bad in
        [vec![], many(41), vec![line("lamp", 0)], vec![line("lamp", u32::MAX), line("lamp", 1)]]
    {
        assert!(read(bad).is_err());
    }
}
