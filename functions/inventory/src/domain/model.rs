//! Model of stock: random sequences of orders and movements that decide on outdated reads, with
//! writes that may conflict. No sequence oversells, and the shards always sum to the received minus
//! the sold quantity.

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
    reservation::{
        Decision, Lines, Reservation, ReservationChange, ReservationCommand, ReservationRequest,
        State, decide,
    },
    shards::{Allocation, AllocationError, Precondition, ShardLayout, ShardStock, ShardedStock},
};

#[derive(Clone, Debug)]
enum Step {
    /// An order requests a quantity.
    Reserve(u8, u32),
    Release(u8),
    Commit(u8),
    /// Changes the stock, the number of shards or both.
    Adjust(Option<i64>, Option<u32>),
    /// The following orders decide on the present state, for this many steps.
    OutdatedRead(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..8_u8, 1..7_u32).prop_map(|(order, quantity)| Step::Reserve(order, quantity)),
        2 => (0..8_u8).prop_map(Step::Release),
        2 => (0..8_u8).prop_map(Step::Commit),
        2 => (proptest::option::of(-12..20_i64), proptest::option::of(1..6_u32)).prop_map(|(delta, shard_count)| Step::Adjust(delta, shard_count)),
        1 => (0..4_u8).prop_map(Step::OutdatedRead),
    ];
    proptest::collection::vec(step, 1..60)
}

/// The table's contents and the total quantity received.
#[derive(Clone, Debug)]
struct StockModel {
    sharded_stock: ShardedStock,
    reservations: BTreeMap<OrderId, Reservation>,
    received: i64,
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

impl StockModel {
    fn new() -> Self {
        Self {
            sharded_stock: ShardedStock::empty(product()),
            reservations: BTreeMap::new(),
            received: 0,
        }
    }

    fn shard_stock(&mut self, shard: u32) -> &mut ShardStock {
        if !self.sharded_stock.shards.iter().any(|shard_stock| shard_stock.shard == shard) {
            self.sharded_stock.shards.push(ShardStock { shard, available: 0, on_hand: 0 });
        }
        self.sharded_stock.shards.iter_mut().find(|shard_stock| shard_stock.shard == shard).unwrap()
    }

    /// Applies all changes or none, like a transaction.
    fn change(&mut self, changes: &[StockChange]) -> bool {
        let mut after = self.clone();
        for change in changes {
            if change.requires_unsharded && self.sharded_stock.layout.was_sharded() {
                return false;
            }
            let shard_stock = after.shard_stock(change.shard);
            shard_stock.available += change.available;
            shard_stock.on_hand += change.on_hand;
            if shard_stock.available < 0 || shard_stock.on_hand < 0 {
                return false;
            }
        }
        *self = after;
        true
    }

    fn save(&mut self, change: &ReservationChange) -> bool {
        let current = self.reservations.get(&change.next.order_id).map(|current| current.version);
        if current != change.expected_version || !self.change(&change.stock) {
            return false;
        }
        self.reservations.insert(change.next.order_id, change.next.clone());
        true
    }

    fn apply(&mut self, movement: &Movement, allocation: &Allocation) -> bool {
        let holds = match allocation.precondition {
            Precondition::NeverSharded => !self.sharded_stock.layout.was_sharded(),
            Precondition::Revision(seen) => self.sharded_stock.revision == seen,
        };
        if !holds || !self.change(&allocation.changes) {
            return false;
        }
        if allocation.precondition != Precondition::NeverSharded {
            self.sharded_stock.revision += 1;
        }
        if let Some(layout) = allocation.layout {
            self.sharded_stock.layout = layout;
            for shard in layout.all_shards() {
                self.shard_stock(shard);
            }
        }
        self.received += movement.delta.map_or(0, super::movement::Delta::count);
        true
    }

    /// Executes an order's command, starting from the possibly outdated state `read`. Returns the
    /// reservation's state, or `None` if the command must be retried.
    fn execute(&mut self, read: &Self, number: u8, command: &ReservationCommand) -> Option<State> {
        let order_id = order(number);
        let mut request = ReservationRequest {
            order_id,
            attempt: 1,
            command: command.clone(),
            at: at(),
            trace: Trace::start(&Ids::seeded(1)),
        };
        let (mut read, mut stored, mut out_of_stock) =
            (read.clone(), read.reservations.get(&order_id).cloned(), None);
        for _ in 0..10 {
            let change = match decide(stored.as_ref(), &request, out_of_stock) {
                Err(_) => return None,
                Ok(Decision::NoChange) => return stored.map(|stored| stored.state),
                Ok(Decision::Write(change)) => change,
            };
            if self.save(&change) {
                return Some(change.next.state);
            }
            if self.reservations.get(&order_id).map(|current| current.version)
                != change.expected_version
            {
                stored = self.reservations.get(&order_id).cloned();
                continue;
            }
            assert!(
                change.is_hold(),
                "stock figures contradict the reservations: {change:?} of {self:?}"
            );
            let ReservationCommand::Reserve(lines) = &mut request.command else { unreachable!() };
            match read.sharded_stock.allocate_order(lines.quantity_of(product()), order_id) {
                Some(allocations) => assert!(lines.allocate(product(), &allocations)),
                // Only a current read can show that the product is out of stock.
                None if read.sharded_stock == self.sharded_stock => out_of_stock = Some(product()),
                None => {}
            }
            read = self.clone();
        }
        None
    }

    /// Applies a movement that was planned on `read`. A failed write is planned again.
    fn adjust(&mut self, read: &Self, movement: &Movement) -> Result<(), AllocationError> {
        let mut allocation = match movement.delta {
            Some(delta) if !movement.changes_settings() => {
                Allocation::unsharded(product(), delta.count())
            }
            _ => read.sharded_stock.allocate_movement(movement, 10, true)?,
        };
        for attempt in 0..10 {
            if self.apply(movement, &allocation) {
                return Ok(());
            }
            allocation = self.sharded_stock.allocate_movement(movement, 10, attempt % 2 == 0)?;
        }
        panic!("a plan on current stock succeeds: {allocation:?} of {self:?}");
    }

    fn check(&self) {
        let sum = |state: State| -> i64 {
            let lines = self
                .reservations
                .values()
                .filter(|reservation| reservation.state == state)
                .flat_map(|reservation| &reservation.lines);
            lines.map(|line| i64::from(line.quantity)).sum()
        };
        let total = self.sharded_stock.total();
        assert_eq!(total.held(), sum(State::Held), "{self:?}");
        assert_eq!(total.on_hand + sum(State::Committed), self.received, "{self:?}");
        assert!(
            self.sharded_stock.shards.iter().all(|shard_stock| shard_stock.available >= 0
                && shard_stock.on_hand >= shard_stock.available),
            "{self:?}"
        );
        let all_shards = self.sharded_stock.layout.all_shards();
        assert!(
            self.sharded_stock
                .shards
                .iter()
                .all(|shard_stock| all_shards.contains(&shard_stock.shard)),
            "{self:?}"
        );
    }
}

fn wanted(quantity: u32) -> ReservationCommand {
    ReservationCommand::Reserve(
        from_value::<Lines>(json!([{ "product_id": product(), "quantity": quantity }])).unwrap(),
    )
}

fn movement(delta: Option<i64>, shard_count: Option<u32>) -> Option<Movement> {
    let delta = delta.filter(|delta| *delta != 0);
    (delta.is_some() || shard_count.is_some()).then(|| {
        let stored = json!({
            "movement_id": "mov_0199c2a8-0000-7000-8000-0000000000c1", "product_id": product(), "delta": delta, "shard_count": shard_count,
            "reason": "Delivery", "user_id": "usr_0199c2a8-0000-7000-8000-000000000002", "created_at": at(), "fingerprint": "f",
        });
        from_value(stored).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shards_sum_to_received_minus_sold_for_any_sequence(steps in steps()) {
        let mut model = StockModel::new();
        let (mut read, mut outdated_steps) = (model.clone(), 0);
        for step in steps {
            if outdated_steps == 0 {
                read = model.clone();
            } else {
                outdated_steps -= 1;
            }
            match step {
                Step::Reserve(number, quantity) => {
                    let (before, is_new) = (model.sharded_stock.total().available, !model.reservations.contains_key(&order(number)));
                    let state = model.execute(&read, number, &wanted(quantity));
                    if is_new {
                        let expected = if before >= i64::from(quantity) { State::Held } else { State::Rejected };
                        prop_assert_eq!(state, Some(expected), "of {} available", before);
                    }
                }
                Step::Release(number) => prop_assert_eq!(model.execute(&read, number, &ReservationCommand::Release), Some(State::Released)),
                Step::Commit(number) => drop(model.execute(&read, number, &ReservationCommand::Commit)),
                Step::Adjust(delta, shard_count) => {
                    if let Some(movement) = movement(delta, shard_count) {
                        let available = model.sharded_stock.total().available;
                        let result = model.adjust(&model.clone(), &movement);
                        let possible = available + delta.unwrap_or(0) >= 0;
                        prop_assert_eq!(result, if possible { Ok(()) } else { Err(AllocationError::InsufficientStock(available)) });
                    }
                }
                Step::OutdatedRead(steps) => outdated_steps = steps,
            }
            model.check();
        }
        // All reservations are released, and the shards are merged again.
        for number in 0..8 {
            model.execute(&model.clone(), number, &ReservationCommand::Release);
        }
        prop_assert_eq!(model.adjust(&model.clone(), &movement(None, Some(1)).unwrap()), Ok(()));
        let total = model.sharded_stock.total();
        prop_assert_eq!((total.available, total.on_hand), (model.received, model.received));
        prop_assert!(model.sharded_stock.shards.iter().all(|shard_stock| shard_stock.shard == 0 || shard_stock.on_hand == 0), "all stock is in shard 0 again");
    }

    #[test]
    fn allocations_never_exceed_a_shard(
        available in proptest::collection::vec(0..9_i64, 1..18),
        shard_count in 1..17_u32,
        quantity in 1..40_u32,
        number in any::<u8>(),
    ) {
        let last_shard = u32::try_from(available.len()).unwrap() - 1;
        let shard_count = if last_shard == 0 { 1 } else { shard_count.min(last_shard) };
        let shards: Vec<ShardStock> = (0..).zip(&available).map(|(shard, count)| ShardStock { shard, available: *count, on_hand: *count }).collect();
        let sharded_stock = ShardedStock { layout: ShardLayout { shard_count, last_shard }, shards, ..ShardedStock::empty(product()) };
        let Some(allocations) = sharded_stock.allocate_order(quantity, order(number)) else {
            prop_assert!(sharded_stock.total().available < i64::from(quantity));
            return Ok(());
        };
        prop_assert_eq!(allocations.iter().map(|allocation| allocation.quantity).sum::<u32>(), quantity);
        for allocation in &allocations {
            prop_assert!(allocation.quantity > 0 && i64::from(allocation.quantity) <= available[allocation.shard as usize]);
        }
        let enough = |shard: u32| available[shard as usize] >= i64::from(quantity);
        prop_assert_eq!(allocations.len() > 1, (0..=last_shard).all(|shard| !enough(shard)), "several shards are used only if necessary");
        let first = sharded_stock.layout.preferred_shard(order(number));
        prop_assert!(!enough(first) || allocations[0].shard == first);
    }

    #[test]
    fn rebalancing_is_even_and_minimal_moves_change_only_necessary_shards(
        available in proptest::collection::vec(0..50_i64, 1..9),
        shard_count in 1..9_u32,
        delta in -60..60_i64,
        rebalance in any::<bool>(),
    ) {
        let last_shard = u32::try_from(available.len()).unwrap() - 1;
        let shards: Vec<ShardStock> = (0..).zip(&available).map(|(shard, count)| ShardStock { shard, available: *count, on_hand: *count + 1 }).collect();
        let sharded_stock = ShardedStock { layout: ShardLayout { shard_count: last_shard.max(1), last_shard }, shards, ..ShardedStock::empty(product()) };
        let wanted = Movement { low_stock_threshold: Threshold::try_from(5).ok(), ..movement(Some(delta), Some(shard_count)).unwrap() };
        let total = sharded_stock.total().available;
        let Ok(allocation) = sharded_stock.allocate_movement(&wanted, 10, rebalance) else {
            prop_assert!(total + delta < 0);
            return Ok(());
        };
        prop_assert_eq!(allocation.changes.iter().map(|change| change.available).sum::<i64>(), delta);
        prop_assert!(allocation.changes.iter().all(|change| change.available == change.on_hand));
        prop_assert_eq!(allocation.changes[0].shard, 0);
        let layout = allocation.layout.unwrap_or(sharded_stock.layout);
        prop_assert!(layout.shard_count == shard_count && layout.last_shard >= last_shard && (shard_count == 1 || layout.last_shard >= shard_count));
        let moved = |shard: u32| allocation.changes.iter().find(|change| change.shard == shard).map_or(0, |change| change.available);
        let after: Vec<i64> = layout.all_shards().map(|shard| available.get(shard as usize).copied().unwrap_or(0) + moved(shard)).collect();
        prop_assert!(after.iter().all(|count| *count >= 0));
        if rebalance {
            let active: Vec<i64> = if shard_count == 1 { vec![after[0]] } else { after[1..=shard_count as usize].to_vec() };
            prop_assert_eq!(active.iter().sum::<i64>(), total + delta, "inactive shards are empty");
            prop_assert!(active.iter().max().unwrap() - active.iter().min().unwrap() <= 1);
        } else {
            prop_assert!(allocation.changes.iter().all(|change| change.available.signum() * delta.signum() >= 0));
        }
        prop_assert_eq!(allocation.is_low_stock, layout.was_sharded().then_some(total <= 5));
    }
}

#[test]
fn orders_are_spread_over_the_active_shards() {
    let mut seen = BTreeMap::new();
    for number in 0..200 {
        *seen
            .entry(ShardLayout { shard_count: 8, last_shard: 12 }.preferred_shard(order(number)))
            .or_insert(0) += 1;
        assert_eq!(
            ShardLayout { shard_count: 1, last_shard: 12 }.preferred_shard(order(number)),
            0
        );
    }
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert!(seen.values().all(|count| (10..=45).contains(count)), "{seen:?}");
}
