//! Reservations: what is held for an order, and what follows when the order asks for something.
//!
//! An order asks three things: *reserve* (hold all of these, or none), *release* (I need them no more) and *commit* (they are sold). Each
//! may come twice, late, or before the one it follows from. [`decide`] says what is to be written:
//!
//! | stored | reserve | release | commit |
//! |---|---|---|---|
//! | nothing | held, or rejected if one is short | released: a tombstone, into which a late reserve runs | not yet: give the command back |
//! | held | answered again | given back, released | sold, committed |
//! | rejected | answered again | released | answered again |
//! | released | answered again | answered again | answered again: a commit that comes too late changes nothing |
//! | committed | answered again | given back, released | answered again |
//!
//! *Answered again*: nothing but `answered_drive` grows, and only if the order has asked once more; the stream then tells it the present
//! state. A refusal is a stored state too, so that it can be told as often as it is asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId},
    telemetry::Trace,
    validation::Violation,
};

use super::{
    StockChange,
    parts::{Layout, Share},
};

/// The most lines that an order has.
pub const MAX_LINES: usize = 40;
/// The most parts that all of it can come from: with the reservation they fit into one transaction.
const MAX_PARTS: usize = 99;

/// So many of one product, held in one part of its stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub product_id: ProductId,
    /// How many.
    pub quantity: u32,
    /// Which part of its stock they were taken from, and go back to; see [`super::parts`].
    pub shard: u32,
}

/// What an order wants held: one line for each product, in the order of their ids; or several, where it comes from several parts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<WantedLine>")]
pub struct Lines {
    lines: Vec<Line>,
    /// The products whose parts were chosen by somebody who knows how they are divided.
    chosen: BTreeSet<ProductId>,
}

impl Lines {
    /// The products.
    pub fn products(&self) -> BTreeSet<ProductId> {
        self.lines.iter().map(|line| line.product_id).collect()
    }

    /// Whether somebody who knows how the product is divided has chosen where it comes from.
    pub fn is_chosen(&self, product_id: ProductId) -> bool {
        self.chosen.contains(&product_id)
    }

    /// How many of a product are wanted.
    pub fn quantity_of(&self, product_id: ProductId) -> u32 {
        self.lines.iter().filter(|line| line.product_id == product_id).map(|line| line.quantity).sum()
    }

    /// Lets a product come from the part that the order looks at first.
    pub fn prefer(&mut self, product_id: ProductId, layout: Layout, order_id: OrderId) {
        let share = Share { shard: layout.preferred(order_id), quantity: self.quantity_of(product_id) };
        self.take_from(product_id, &[share]);
    }

    /// Lets a product come from these parts; `false` if that would be too many parts for one order.
    pub fn take_from(&mut self, product_id: ProductId, shares: &[Share]) -> bool {
        let others = self.lines.iter().filter(|line| line.product_id != product_id).count();
        if others + shares.len() > MAX_PARTS {
            return false;
        }
        self.lines.retain(|line| line.product_id != product_id);
        self.lines.extend(shares.iter().map(|share| Line { product_id, quantity: share.quantity, shard: share.shard }));
        self.lines.sort_by_key(|line| (line.product_id, line.shard));
        self.chosen.insert(product_id);
        true
    }
}

/// So many of one product, as an order asks for them.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct WantedLine {
    /// The product.
    pub product_id: ProductId,
    /// How many.
    pub quantity: u32,
}

impl TryFrom<Vec<WantedLine>> for Lines {
    type Error = Violation;

    fn try_from(wanted: Vec<WantedLine>) -> Result<Self, Violation> {
        let mut quantities: BTreeMap<ProductId, u32> = BTreeMap::new();
        for WantedLine { product_id, quantity } in wanted {
            let sum = quantities.entry(product_id).or_default();
            let more = sum.checked_add(quantity).filter(|_| quantity > 0);
            *sum = more.ok_or_else(|| Violation::out_of_range("A quantity is above zero."))?;
        }
        if !(1..=MAX_LINES).contains(&quantities.len()) {
            return Err(Violation::out_of_range(format!("A reservation has 1 to {MAX_LINES} lines.")));
        }
        let lines = quantities.into_iter().map(|(product_id, quantity)| Line { product_id, quantity, shard: 0 });
        Ok(Self { lines: lines.collect(), chosen: BTreeSet::new() })
    }
}

/// How far a reservation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum State {
    /// The goods wait for the order.
    Held,
    /// There was not enough; nothing is held.
    Rejected,
    /// The order needs nothing, or nothing more; nothing is held.
    Released,
    /// The goods are sold, and no longer on hand.
    Committed,
    /// What a later release has written; it survives being written again.
    Unknown(String),
}

impl From<String> for State {
    fn from(name: String) -> Self {
        match name.as_str() {
            "held" => Self::Held,
            "rejected" => Self::Rejected,
            "released" => Self::Released,
            "committed" => Self::Committed,
            _ => Self::Unknown(name),
        }
    }
}

impl From<State> for String {
    fn from(state: State) -> Self {
        match state {
            State::Held => "held".to_owned(),
            State::Rejected => "rejected".to_owned(),
            State::Released => "released".to_owned(),
            State::Committed => "committed".to_owned(),
            State::Unknown(name) => name,
        }
    }
}

/// What is, was or could not be held for one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The order.
    pub order_id: OrderId,
    /// How far it is.
    pub state: State,
    /// What the order asked for; nothing where it gave up before it asked.
    pub lines: Vec<Line>,
    /// The product that was short, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_product: Option<ProductId>,
    /// Grows with every write.
    pub version: u64,
    /// The latest asking that was answered.
    pub answered_drive: u64,
    /// When it was written first.
    pub created_at: Timestamp,
    /// When it was written last.
    pub updated_at: Timestamp,
    /// The trace that wrote it last.
    pub traceparent: Trace,
}

/// What an order asks of its reservation.
#[derive(Clone, Debug)]
pub struct Command {
    /// The order.
    pub order_id: OrderId,
    /// How often it has asked for something.
    pub drive: u64,
    /// What it asks for.
    pub wish: Wish,
    /// When the command is carried out.
    pub at: Timestamp,
    /// The trace that it belongs to.
    pub trace: Trace,
}

/// What an order can ask for.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Hold all of these, or none.
    Reserve(Lines),
    /// Give back whatever is held or was sold.
    Release,
    /// What is held is sold.
    Commit,
}

/// What follows from a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write this.
    Write(Change),
    /// All is done and told already.
    Settled,
}

/// A reservation and its stock: written all at once, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The version that it takes the place of; none: there must not be a reservation yet.
    pub seen: Option<u64>,
    /// The reservation as it is to stand.
    pub next: Reservation,
    /// What becomes of the stock.
    pub stock: Vec<StockChange>,
}

impl Change {
    /// Whether it holds goods, which may turn out not to be there.
    pub fn is_hold(&self) -> bool {
        self.next.state == State::Held
    }
}

/// Why nothing can be decided: the command has to come back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// A commit has overtaken its reserve.
    #[error("nothing is reserved for the order yet")]
    NotReservedYet,
    /// The state is one that only a later release knows.
    #[error("the reservation is in a state that this release does not know: {0}")]
    UnknownState(String),
}

/// What follows when `stored` stands and `command` comes. `short` is the product that a hold has just run short of.
///
/// # Errors
/// When nothing can be decided yet.
pub fn decide(stored: Option<&Reservation>, command: &Command, short: Option<ProductId>) -> Result<Decision, Undecided> {
    let Some(stored) = stored else { return first(command, short) };
    match (&stored.state, &command.wish) {
        (State::Unknown(name), _) => Err(Undecided::UnknownState(name.clone())),
        (State::Held, Wish::Commit) => Ok(becomes(stored, State::Committed, |quantity| (0, -quantity), command)),
        (State::Held, Wish::Release) => Ok(becomes(stored, State::Released, |quantity| (quantity, 0), command)),
        (State::Committed, Wish::Release) => Ok(becomes(stored, State::Released, |quantity| (quantity, quantity), command)),
        (State::Rejected, Wish::Release) => Ok(answered(stored, State::Released, command)),
        (_, Wish::Reserve(_)) | (State::Released, Wish::Release) | (State::Committed | State::Rejected | State::Released, Wish::Commit) => {
            let is_new = stored.answered_drive < command.drive;
            Ok(if is_new { answered(stored, stored.state.clone(), command) } else { Decision::Settled })
        }
    }
}

/// The first command that comes for an order.
fn first(command: &Command, short: Option<ProductId>) -> Result<Decision, Undecided> {
    let (state, lines, rejected_product) = match (&command.wish, short) {
        (Wish::Commit, _) => return Err(Undecided::NotReservedYet),
        (Wish::Release, _) => (State::Released, Vec::new(), None),
        (Wish::Reserve(wanted), None) => (State::Held, wanted.lines.clone(), None),
        (Wish::Reserve(wanted), Some(product_id)) => (State::Rejected, wanted.lines.clone(), Some(product_id)),
    };
    let mut stock = if state == State::Held { changes(&lines, |quantity| (-quantity, 0)) } else { Vec::new() };
    if let Wish::Reserve(wanted) = &command.wish {
        stock.iter_mut().for_each(|change| change.only_undivided = !wanted.is_chosen(change.product_id));
    }
    let next = Reservation {
        order_id: command.order_id,
        state,
        lines,
        rejected_product,
        version: 1,
        answered_drive: command.drive,
        created_at: command.at,
        updated_at: command.at,
        traceparent: command.trace.clone(),
    };
    Ok(Decision::Write(Change { seen: None, next, stock }))
}

/// The goods move, and the state with them.
fn becomes(stored: &Reservation, state: State, figures: fn(i64) -> (i64, i64), command: &Command) -> Decision {
    match answered(stored, state, command) {
        Decision::Write(change) => Decision::Write(Change { stock: changes(&stored.lines, figures), ..change }),
        settled => settled,
    }
}

/// No goods move.
fn answered(stored: &Reservation, state: State, command: &Command) -> Decision {
    let next = Reservation {
        state,
        version: stored.version + 1,
        answered_drive: stored.answered_drive.max(command.drive),
        updated_at: command.at,
        traceparent: command.trace.clone(),
        ..stored.clone()
    };
    Decision::Write(Change { seen: Some(stored.version), next, stock: Vec::new() })
}

/// What becomes of each line's stock: `figures` says it for a quantity, as (available, on hand).
fn changes(lines: &[Line], figures: fn(i64) -> (i64, i64)) -> Vec<StockChange> {
    let change = |line: &Line| {
        let (available, on_hand) = figures(i64::from(line.quantity));
        StockChange { product_id: line.product_id, shard: line.shard, available, on_hand, only_undivided: false }
    };
    lines.iter().map(change).collect()
}

#[cfg(test)]
pub(crate) mod tests {
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
        let wanted = [("lamp", 2), ("shade", 3)].map(|(name, quantity)| WantedLine { product_id: product(name), quantity });
        Lines::try_from(wanted.to_vec()).unwrap()
    }

    fn command(asked: Asked, drive: u64) -> Command {
        let wish = match asked {
            Reserve => Wish::Reserve(lines()),
            Release => Wish::Release,
            Commit => Wish::Commit,
        };
        let at = Timestamp::from_milliseconds(1_700_000_000_000 + i64::try_from(drive).unwrap());
        Command { order_id: derive(&["order"]), drive, wish, at, trace: Trace::start(&Ids::seeded(drive)) }
    }

    /// A reservation as other tests need one.
    pub(crate) fn held() -> Reservation {
        match decide(None, &command(Reserve, 1), None) {
            Ok(Decision::Write(change)) => change.next,
            other => panic!("{other:?}"),
        }
    }

    /// The shelves and the reservation of one order, with a store that is never overtaken.
    #[derive(Clone, Debug, PartialEq)]
    struct World {
        stock: Vec<Stock>,
        reservation: Option<Reservation>,
    }

    impl World {
        fn with(lamps: i64, shades: i64) -> Self {
            let stock = |name: &str, count| Stock { product_id: product(name), available: count, on_hand: count };
            Self { stock: vec![stock("lamp", lamps), stock("shade", shades)], reservation: None }
        }

        /// Carries a command out as the service does; `false` if it has to come back.
        fn carry_out(&mut self, command: &Command) -> bool {
            let mut short = None;
            loop {
                match decide(self.reservation.as_ref(), command, short) {
                    Err(_) => return false,
                    Ok(Decision::Settled) => return true,
                    Ok(Decision::Write(change)) => match self.write(&change) {
                        Ok(()) => return true,
                        Err(product_id) if change.is_hold() => short = Some(product_id),
                        Err(product_id) => panic!("the books of {product_id} are broken: {self:?}"),
                    },
                }
            }
        }

        fn write(&mut self, change: &Change) -> Result<(), ProductId> {
            assert_eq!(change.seen, self.reservation.as_ref().map(|reservation| reservation.version));
            let mut after = self.stock.clone();
            for change in &change.stock {
                let stock = after.iter_mut().find(|stock| stock.product_id == change.product_id).ok_or(change.product_id)?;
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

        /// What must hold at every moment, if so many came in.
        fn check(&self, came_in: &Self) {
            let is = |state| self.state() == Some(state);
            for (stock, before) in self.stock.iter().zip(&came_in.stock) {
                let line = lines().lines.into_iter().find(|line| line.product_id == stock.product_id).unwrap();
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
        for (asked, drive) in asked {
            let command = command(*asked, *drive);
            if !world.carry_out(&command) {
                waiting.push(command);
            }
            world.check(came_in);
        }
        for command in &waiting {
            world.carry_out(command);
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
                    for order in [[one, other, one, other], [one, one, other, other], [one, other, other, one]] {
                        let world = after(&came_in, &order.map(|asked| (asked, 1)));
                        assert_eq!(world.state(), Some(last.clone()), "{order:?} of {lamps} and {shades}");
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
            let longer = |sequence: &Vec<Asked>| [Reserve, Release, Commit].map(|asked| [&sequence[..], &[asked]].concat());
            sequences = sequences.iter().flat_map(longer).collect();
            for sequence in &sequences {
                let drives: Vec<(Asked, u64)> = sequence.iter().copied().zip(1..).collect();
                let world = after(&came_in, &drives);
                if sequence.contains(&Release) {
                    assert_eq!(world.state(), Some(State::Released), "{sequence:?}");
                    assert_eq!(world.stock, came_in.stock, "{sequence:?}");
                }
            }
        }
    }

    #[test]
    fn a_command_that_was_carried_out_settles_its_second_copy() {
        for before in [vec![], vec![(Reserve, 1)], vec![(Reserve, 1), (Commit, 2)], vec![(Release, 1)]] {
            for asked in [Reserve, Release, Commit] {
                let mut world = after(&World::with(5, 5), &before);
                let command = command(asked, 3);
                if world.carry_out(&command) {
                    assert_eq!(decide(world.reservation.as_ref(), &command, None), Ok(Decision::Settled), "{before:?}, {asked:?}");
                }
            }
        }
    }

    #[test]
    fn whoever_asks_once_more_is_answered_once_more() {
        for before in [vec![(Reserve, 3)], vec![(Release, 3)], vec![(Reserve, 2), (Commit, 3)]] {
            let world = after(&World::with(5, 5), &before);
            let (asked, _) = *before.last().unwrap();
            for drive in [2, 3] {
                assert_eq!(decide(world.reservation.as_ref(), &command(asked, drive), None), Ok(Decision::Settled));
            }
            let stored = world.reservation.unwrap();
            let Ok(Decision::Write(change)) = decide(Some(&stored), &command(asked, 4), None) else { panic!("not answered") };
            assert_eq!(change.seen, Some(stored.version));
            assert_eq!((change.next.version, change.next.answered_drive), (stored.version + 1, 4));
            assert_eq!((change.next.state, change.stock), (stored.state, vec![]));
            assert_eq!(change.next.traceparent, command(asked, 4).trace);
        }
    }

    #[test]
    fn an_answer_to_an_old_asking_does_not_hide_that_a_newer_one_was_answered() {
        let world = after(&World::with(5, 5), &[(Reserve, 7), (Release, 2)]);
        assert_eq!(world.reservation.map(|reservation| reservation.answered_drive), Some(7));
    }

    #[test]
    fn a_rejection_names_what_was_short_and_stays_when_more_comes_in() {
        let mut world = after(&World::with(10, 2), &[(Reserve, 1)]);
        assert_eq!(world.reservation.as_ref().and_then(|reservation| reservation.rejected_product), Some(product("shade")));
        world.stock = World::with(10, 10).stock;
        assert!(world.carry_out(&command(Reserve, 2)));
        assert_eq!(world.state(), Some(State::Rejected));
    }

    #[test]
    fn a_commit_waits_for_its_reserve() {
        assert_eq!(decide(None, &command(Commit, 1), None), Err(Undecided::NotReservedYet));
    }

    #[test]
    fn a_state_of_a_later_release_survives_and_is_not_touched() {
        let odd: State = from_value(json!("parcelled")).unwrap();
        assert_eq!(serde_json::to_value(&odd).unwrap(), json!("parcelled"));
        let stored = Reservation { state: odd, ..held() };
        for asked in [Reserve, Release, Commit] {
            let decision = decide(Some(&stored), &command(asked, 9), None);
            assert_eq!(decision, Err(Undecided::UnknownState("parcelled".to_owned())));
        }
    }

    #[test]
    fn lines_are_merged_and_sorted_and_there_are_neither_none_nor_too_many() {
        let line = |name: &str, quantity: u32| json!({ "product_id": product(name), "quantity": quantity });
        let read = |lines: Vec<serde_json::Value>| from_value::<Lines>(json!(lines));
        let merged = read(vec![line("lamp", 1), line("shade", 3), line("lamp", 1)]).unwrap();
        assert_eq!(merged, lines());
        assert!(merged.lines.is_sorted_by_key(|line| line.product_id));
        let many = |count: usize| (0..count).map(|i| line(&i.to_string(), 1)).collect();
        assert!(read(many(40)).is_ok());
        for bad in [vec![], many(41), vec![line("lamp", 0)], vec![line("lamp", u32::MAX), line("lamp", 1)]] {
            assert!(read(bad).is_err());
        }
    }
}
