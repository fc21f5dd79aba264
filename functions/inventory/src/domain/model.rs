//! The whole of stock as a model: orders and movements that decide on what was so a moment ago, and writes that hold or do not, in any
//! order. Whatever happens, nothing is sold that is not there, and all parts together are what has come in less what was sold.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{from_value, json};
use shared::{
    clock::Timestamp,
    ids::{Ids, OrderId, ProductId, derive},
    telemetry::Trace,
};

use super::{
    StockChange,
    movement::{Movement, Threshold},
    parts::{Division, Impossible, Layout, Part, Plan, Premise},
    reservation::{Change, Command, Decision, Lines, Reservation, State, Wish, decide},
};

/// What is tried.
#[derive(Clone, Debug)]
enum Step {
    /// An order asks for so many.
    Reserve(u8, u32),
    Release(u8),
    Commit(u8),
    /// So many come or go, and the stock is divided into so many from then on.
    Adjust(Option<i64>, Option<u32>),
    /// What somebody has read until now is what they will decide upon: so many steps later.
    Dawdle(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..8_u8, 1..7_u32).prop_map(|(order, quantity)| Step::Reserve(order, quantity)),
        2 => (0..8_u8).prop_map(Step::Release),
        2 => (0..8_u8).prop_map(Step::Commit),
        2 => (proptest::option::of(-12..20_i64), proptest::option::of(1..6_u32)).prop_map(|(delta, shards)| Step::Adjust(delta, shards)),
        1 => (0..4_u8).prop_map(Step::Dawdle),
    ];
    proptest::collection::vec(step, 1..60)
}

/// The table.
#[derive(Clone, Debug)]
struct World {
    division: Division,
    reservations: BTreeMap<OrderId, Reservation>,
    came_in: i64,
}

fn product() -> ProductId {
    derive(&["lamp"])
}

fn order(number: u8) -> OrderId {
    derive(&["order", &number.to_string()])
}

fn at() -> Timestamp {
    Timestamp::from_milliseconds(1_700_000_000_000)
}

impl World {
    fn new() -> Self {
        Self { division: Division::none(product()), reservations: BTreeMap::new(), came_in: 0 }
    }

    fn part(&mut self, shard: u32) -> &mut Part {
        if !self.division.parts.iter().any(|part| part.shard == shard) {
            self.division.parts.push(Part { shard, available: 0, on_hand: 0 });
        }
        self.division.parts.iter_mut().find(|part| part.shard == shard).unwrap()
    }

    /// Changes all these parts, or none: as the table does it.
    fn change(&mut self, changes: &[StockChange]) -> bool {
        let mut after = self.clone();
        for change in changes {
            if change.only_undivided && self.division.layout.was_divided() {
                return false;
            }
            let part = after.part(change.shard);
            part.available += change.available;
            part.on_hand += change.on_hand;
            if part.available < 0 || part.on_hand < 0 {
                return false;
            }
        }
        *self = after;
        true
    }

    fn save(&mut self, change: &Change) -> bool {
        let current = self.reservations.get(&change.next.order_id).map(|current| current.version);
        if current != change.seen || !self.change(&change.stock) {
            return false;
        }
        self.reservations.insert(change.next.order_id, change.next.clone());
        true
    }

    fn make(&mut self, movement: &Movement, plan: &Plan) -> bool {
        let holds = match plan.premise {
            Premise::NeverDivided => !self.division.layout.was_divided(),
            Premise::Revision(seen) => self.division.revision == seen,
        };
        if !holds || !self.change(&plan.changes) {
            return false;
        }
        if plan.premise != Premise::NeverDivided {
            self.division.revision += 1;
        }
        if let Some(layout) = plan.layout {
            self.division.layout = layout;
            for shard in layout.parts() {
                self.part(shard);
            }
        }
        self.came_in += movement.delta.map_or(0, super::movement::Delta::count);
        true
    }

    /// An order asks, having read `read`. Whether it is decided in the end, and how.
    fn ask(&mut self, read: &Self, number: u8, wish: &Wish) -> Option<State> {
        let order_id = order(number);
        let mut command = Command { order_id, drive: 1, wish: wish.clone(), at: at(), trace: Trace::start(&Ids::seeded(1)) };
        let (mut read, mut stored, mut short) = (read.clone(), read.reservations.get(&order_id).cloned(), None);
        for _ in 0..10 {
            let change = match decide(stored.as_ref(), &command, short) {
                Err(_) => return None,
                Ok(Decision::Settled) => return stored.map(|stored| stored.state),
                Ok(Decision::Write(change)) => change,
            };
            if self.save(&change) {
                return Some(change.next.state);
            }
            if self.reservations.get(&order_id).map(|current| current.version) != change.seen {
                stored = self.reservations.get(&order_id).cloned();
                continue;
            }
            assert!(change.is_hold(), "the books are broken: {change:?} of {self:?}");
            let Wish::Reserve(lines) = &mut command.wish else { unreachable!() };
            match read.division.choose(lines.quantity_of(product()), order_id) {
                Some(shares) => assert!(lines.take_from(product(), &shares)),
                // Only what was read just now decides that there are too few.
                None if read.division == self.division => short = Some(product()),
                None => {}
            }
            read = self.clone();
        }
        None
    }

    /// A movement, planned on what `read` shows. The plan that fails is made anew.
    fn adjust(&mut self, read: &Self, movement: &Movement) -> Result<(), Impossible> {
        let mut plan = match movement.delta {
            Some(delta) if !movement.settles() => Plan::unseen(product(), delta.count()),
            _ => read.division.plan(movement, 10, true)?,
        };
        for attempt in 0..10 {
            if self.make(movement, &plan) {
                return Ok(());
            }
            plan = self.division.plan(movement, 10, attempt % 2 == 0)?;
        }
        panic!("a plan on what stands there is carried out: {plan:?} of {self:?}");
    }

    fn check(&self) {
        let sum = |state: State| -> i64 {
            let lines =
                self.reservations.values().filter(|reservation| reservation.state == state).flat_map(|reservation| &reservation.lines);
            lines.map(|line| i64::from(line.quantity)).sum()
        };
        let total = self.division.total();
        assert_eq!(total.held(), sum(State::Held), "{self:?}");
        assert_eq!(total.on_hand + sum(State::Committed), self.came_in, "{self:?}");
        assert!(self.division.parts.iter().all(|part| part.available >= 0 && part.on_hand >= part.available), "{self:?}");
        let reach = self.division.layout.parts();
        assert!(self.division.parts.iter().all(|part| reach.contains(&part.shard)), "{self:?}");
    }
}

fn wanted(quantity: u32) -> Wish {
    Wish::Reserve(from_value::<Lines>(json!([{ "product_id": product(), "quantity": quantity }])).unwrap())
}

fn movement(delta: Option<i64>, shards: Option<u32>) -> Option<Movement> {
    let delta = delta.filter(|delta| *delta != 0);
    (delta.is_some() || shards.is_some()).then(|| {
        let stored = json!({
            "movement_id": "mov_0199c2a8-0000-7000-8000-0000000000c1", "product_id": product(), "delta": delta, "shards": shards,
            "reason": "Delivery", "user_id": "usr_0199c2a8-0000-7000-8000-000000000002", "created_at": at(), "fingerprint": "f",
        });
        from_value(stored).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_in_whatever_order_all_parts_together_are_what_came_in_less_what_was_sold(steps in steps()) {
        let mut world = World::new();
        let (mut read, mut late) = (world.clone(), 0);
        for step in steps {
            if late == 0 {
                read = world.clone();
            } else {
                late -= 1;
            }
            match step {
                Step::Reserve(number, quantity) => {
                    let (before, is_new) = (world.division.total().available, !world.reservations.contains_key(&order(number)));
                    let state = world.ask(&read, number, &wanted(quantity));
                    if is_new {
                        let expected = if before >= i64::from(quantity) { State::Held } else { State::Rejected };
                        prop_assert_eq!(state, Some(expected), "of {} available", before);
                    }
                }
                Step::Release(number) => prop_assert_eq!(world.ask(&read, number, &Wish::Release), Some(State::Released)),
                Step::Commit(number) => drop(world.ask(&read, number, &Wish::Commit)),
                Step::Adjust(delta, shards) => {
                    if let Some(movement) = movement(delta, shards) {
                        let available = world.division.total().available;
                        let made = world.adjust(&world.clone(), &movement);
                        let possible = available + delta.unwrap_or(0) >= 0;
                        prop_assert_eq!(made, if possible { Ok(()) } else { Err(Impossible::Only(available)) });
                    }
                }
                Step::Dawdle(steps) => late = steps,
            }
            world.check();
        }
        // Everybody gives back what they have, and it is put together again.
        for number in 0..8 {
            world.ask(&world.clone(), number, &Wish::Release);
        }
        prop_assert_eq!(world.adjust(&world.clone(), &movement(None, Some(1)).unwrap()), Ok(()));
        let total = world.division.total();
        prop_assert_eq!((total.available, total.on_hand), (world.came_in, world.came_in));
        prop_assert!(world.division.parts.iter().all(|part| part.shard == 0 || part.on_hand == 0), "all of it lies in one place again");
    }

    #[test]
    fn where_goods_come_from_there_are_so_many(
        available in proptest::collection::vec(0..9_i64, 1..18),
        shards in 1..17_u32,
        quantity in 1..40_u32,
        number in any::<u8>(),
    ) {
        let reach = u32::try_from(available.len()).unwrap() - 1;
        let shards = if reach == 0 { 1 } else { shards.min(reach) };
        let parts: Vec<Part> = (0..).zip(&available).map(|(shard, count)| Part { shard, available: *count, on_hand: *count }).collect();
        let division = Division { layout: Layout { shards, reach }, parts, ..Division::none(product()) };
        let Some(shares) = division.choose(quantity, order(number)) else {
            prop_assert!(division.total().available < i64::from(quantity));
            return Ok(());
        };
        prop_assert_eq!(shares.iter().map(|share| share.quantity).sum::<u32>(), quantity);
        for share in &shares {
            prop_assert!(share.quantity > 0 && i64::from(share.quantity) <= available[share.shard as usize]);
        }
        let enough = |shard: u32| available[shard as usize] >= i64::from(quantity);
        prop_assert_eq!(shares.len() > 1, (0..=reach).all(|shard| !enough(shard)), "no more parts than are needed");
        let first = division.layout.preferred(order(number));
        prop_assert!(!enough(first) || shares[0].shard == first);
    }

    #[test]
    fn what_is_levelled_lies_evenly_and_what_is_not_moves_only_what_it_must(
        available in proptest::collection::vec(0..50_i64, 1..9),
        divided in 1..9_u32,
        delta in -60..60_i64,
        levelled in any::<bool>(),
    ) {
        let reach = u32::try_from(available.len()).unwrap() - 1;
        let parts: Vec<Part> = (0..).zip(&available).map(|(shard, count)| Part { shard, available: *count, on_hand: *count + 1 }).collect();
        let division = Division { layout: Layout { shards: reach.max(1), reach }, parts, ..Division::none(product()) };
        let wanted = Movement { low_stock_threshold: Threshold::try_from(5).ok(), ..movement(Some(delta), Some(divided)).unwrap() };
        let total = division.total().available;
        let Ok(plan) = division.plan(&wanted, 10, levelled) else {
            prop_assert!(total + delta < 0);
            return Ok(());
        };
        prop_assert_eq!(plan.changes.iter().map(|change| change.available).sum::<i64>(), delta);
        prop_assert!(plan.changes.iter().all(|change| change.available == change.on_hand));
        prop_assert_eq!(plan.changes[0].shard, 0);
        let layout = plan.layout.unwrap_or(division.layout);
        prop_assert!(layout.shards == divided && layout.reach >= reach && (divided == 1 || layout.reach >= divided));
        let moved = |shard: u32| plan.changes.iter().find(|change| change.shard == shard).map_or(0, |change| change.available);
        let after: Vec<i64> = layout.parts().map(|shard| available.get(shard as usize).copied().unwrap_or(0) + moved(shard)).collect();
        prop_assert!(after.iter().all(|count| *count >= 0));
        if levelled {
            let in_use: Vec<i64> = if divided == 1 { vec![after[0]] } else { after[1..=divided as usize].to_vec() };
            prop_assert_eq!(in_use.iter().sum::<i64>(), total + delta, "nothing lies elsewhere");
            prop_assert!(in_use.iter().max().unwrap() - in_use.iter().min().unwrap() <= 1);
        } else {
            prop_assert!(plan.changes.iter().all(|change| change.available.signum() * delta.signum() >= 0));
        }
        prop_assert_eq!(plan.is_low, layout.was_divided().then_some(total <= 5));
    }
}

#[test]
fn orders_are_spread_over_the_parts_in_use() {
    let mut seen = BTreeMap::new();
    for number in 0..200 {
        *seen.entry(Layout { shards: 8, reach: 12 }.preferred(order(number))).or_insert(0) += 1;
        assert_eq!(Layout { shards: 1, reach: 12 }.preferred(order(number)), 0);
    }
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert!(seen.values().all(|count| (10..=45).contains(count)), "{seen:?}");
}
