//! Reservations: what is held for an order, and what follows when the order asks for something.
//!
//! An order asks three things: *reserve* (hold all of these, or none), *release* (I need them no
//! more) and *commit* (they are sold). Each may come twice, late, or before the one it follows
//! from. [`decide`] says what is to be written:
//!
//! | stored | reserve | release | commit |
//! |---|---|---|---|
//! | nothing | held, or rejected if one is short | released: a tombstone, into which a late reserve runs | not yet: give the command back |
//! | held | answered again | returned, released | sold, committed |
//! | rejected | answered again | released | answered again |
//! | released | answered again | answered again | answered again: a commit that comes too late changes nothing |
//! | committed | answered again | returned, released | answered again |
//!
//! *Answered again*: only `answered_attempt` grows, and only if the order has re-sent its command;
//! the stream then publishes the current state. A rejection is a stored state too, so it can be
//! repeated on request.

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
    shards::{ShardAllocation, ShardLayout},
};

/// The most lines that an order has.
pub const MAX_LINES: usize = 40;
/// The most parts that all of it can come from: with the reservation they fit into one transaction.
const MAX_ALLOCATIONS: usize = 99;

/// A quantity of one product, held in one shard of its stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub product_id: ProductId,
    /// How many.
    pub quantity: u32,
    /// Which part of its stock they were taken from, and go back to; see [`super::shards`].
    pub shard: u32,
}

/// What an order wants held: one line for each product, in the order of their ids; or several,
/// where it comes from several parts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<RequestedLine>")]
pub struct Lines {
    lines: Vec<Line>,
    /// The products whose shards were chosen with knowledge of the layout.
    allocated: BTreeSet<ProductId>,
}

impl Lines {
    pub fn products(&self) -> BTreeSet<ProductId> {
        self.lines.iter().map(|line| line.product_id).collect()
    }

    /// Whether the shard was chosen with knowledge of the product's layout.
    pub fn is_allocated(&self, product_id: ProductId) -> bool {
        self.allocated.contains(&product_id)
    }

    /// How many of a product are wanted.
    pub fn quantity_of(&self, product_id: ProductId) -> u32 {
        self.lines
            .iter()
            .filter(|line| line.product_id == product_id)
            .map(|line| line.quantity)
            .sum()
    }

    /// Lets a product come from the part that the order looks at first.
    pub fn allocate_preferred(
        &mut self,
        product_id: ProductId,
        layout: ShardLayout,
        order_id: OrderId,
    ) {
        let allocation = ShardAllocation {
            shard: layout.preferred_shard(order_id),
            quantity: self.quantity_of(product_id),
        };
        self.allocate(product_id, &[allocation]);
    }

    /// Lets a product come from these parts; `false` if that would be too many parts for one order.
    pub fn allocate(&mut self, product_id: ProductId, allocations: &[ShardAllocation]) -> bool {
        let others = self.lines.iter().filter(|line| line.product_id != product_id).count();
        if others + allocations.len() > MAX_ALLOCATIONS {
            return false;
        }
        self.lines.retain(|line| line.product_id != product_id);
        self.lines.extend(allocations.iter().map(|allocation| Line {
            product_id,
            quantity: allocation.quantity,
            shard: allocation.shard,
        }));
        self.lines.sort_by_key(|line| (line.product_id, line.shard));
        self.allocated.insert(product_id);
        true
    }
}

/// A quantity of one product, as an order requests it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct RequestedLine {
    pub product_id: ProductId,
    /// How many.
    pub quantity: u32,
}

impl TryFrom<Vec<RequestedLine>> for Lines {
    type Error = Violation;

    fn try_from(wanted: Vec<RequestedLine>) -> Result<Self, Violation> {
        let mut quantities: BTreeMap<ProductId, u32> = BTreeMap::new();
        for RequestedLine { product_id, quantity } in wanted {
            let sum = quantities.entry(product_id).or_default();
            let more = sum.checked_add(quantity).filter(|_| quantity > 0);
            *sum = more.ok_or_else(|| Violation::out_of_range("A quantity is above zero."))?;
        }
        if !(1..=MAX_LINES).contains(&quantities.len()) {
            return Err(Violation::out_of_range(format!(
                "A reservation has 1 to {MAX_LINES} lines."
            )));
        }
        let lines = quantities.into_iter().map(|(product_id, quantity)| Line {
            product_id,
            quantity,
            shard: 0,
        });
        Ok(Self { lines: lines.collect(), allocated: BTreeSet::new() })
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
    pub order_id: OrderId,
    /// How far it is.
    pub state: State,
    /// The requested lines; empty if the order was cancelled before it requested any.
    pub lines: Vec<Line>,
    /// The product that was short, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_product: Option<ProductId>,
    /// Grows with every write.
    pub version: u64,
    /// The latest asking that was answered.
    pub answered_attempt: u64,
    /// When it was written first.
    pub created_at: Timestamp,
    /// When it was written last.
    pub updated_at: Timestamp,
    /// The trace that wrote it last.
    pub traceparent: Trace,
}

/// What an order asks of its reservation.
#[derive(Clone, Debug)]
pub struct ReservationRequest {
    pub order_id: OrderId,
    /// How often it has asked for something.
    pub attempt: u64,
    /// What it asks for.
    pub command: ReservationCommand,
    /// When the command is carried out.
    pub at: Timestamp,
    /// The trace that it belongs to.
    pub trace: Trace,
}

/// What an order can ask for.
#[derive(Clone, Debug)]
pub enum ReservationCommand {
    /// Hold all of these, or none.
    Reserve(Lines),
    /// Return what is held or was sold.
    Release,
    /// What is held is sold.
    Commit,
}

/// What follows from a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write this.
    Write(ReservationChange),
    /// All is done and published already.
    NoChange,
}

/// A reservation and its stock: written all at once, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationChange {
    /// The version that it takes the place of; none: there must not be a reservation yet.
    pub expected_version: Option<u64>,
    /// The reservation as it is to stand.
    pub next: Reservation,
    /// The changes of the stock.
    pub stock: Vec<StockChange>,
}

impl ReservationChange {
    /// Whether it holds goods, which may turn out not to be there.
    pub fn is_hold(&self) -> bool {
        self.next.state == State::Held
    }
}

/// Why nothing can be decided: the command has to come back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// A commit has overtaken its reserve.
    #[error("nothing is reserved for the order yet")]
    NotReservedYet,
    /// The state is one that only a later release knows.
    #[error("the reservation is in a state that this release does not know: {0}")]
    UnknownState(String),
}

/// The change that follows from `request` in the state `stored`. `out_of_stock` is the product that
/// a hold has just run short of.
///
/// # Errors
/// When nothing can be decided yet.
pub fn decide(
    stored: Option<&Reservation>,
    request: &ReservationRequest,
    out_of_stock: Option<ProductId>,
) -> Result<Decision, DecideError> {
    let Some(stored) = stored else { return decide_first(request, out_of_stock) };
    match (&stored.state, &request.command) {
        (State::Unknown(name), _) => Err(DecideError::UnknownState(name.clone())),
        (State::Held, ReservationCommand::Commit) => {
            Ok(transition(stored, State::Committed, |quantity| (0, -quantity), request))
        }
        (State::Held, ReservationCommand::Release) => {
            Ok(transition(stored, State::Released, |quantity| (quantity, 0), request))
        }
        (State::Committed, ReservationCommand::Release) => {
            Ok(transition(stored, State::Released, |quantity| (quantity, quantity), request))
        }
        (State::Rejected, ReservationCommand::Release) => {
            Ok(acknowledge(stored, State::Released, request))
        }
        (_, ReservationCommand::Reserve(_))
        | (State::Released, ReservationCommand::Release)
        | (State::Committed | State::Rejected | State::Released, ReservationCommand::Commit) => {
            let is_new = stored.answered_attempt < request.attempt;
            Ok(if is_new {
                acknowledge(stored, stored.state.clone(), request)
            } else {
                Decision::NoChange
            })
        }
    }
}

/// The first command that comes for an order.
fn decide_first(
    request: &ReservationRequest,
    out_of_stock: Option<ProductId>,
) -> Result<Decision, DecideError> {
    let (state, lines, rejected_product) = match (&request.command, out_of_stock) {
        (ReservationCommand::Commit, _) => return Err(DecideError::NotReservedYet),
        (ReservationCommand::Release, _) => (State::Released, Vec::new(), None),
        (ReservationCommand::Reserve(wanted), None) => (State::Held, wanted.lines.clone(), None),
        (ReservationCommand::Reserve(wanted), Some(product_id)) => {
            (State::Rejected, wanted.lines.clone(), Some(product_id))
        }
    };
    let mut stock = if state == State::Held {
        stock_changes(&lines, |quantity| (-quantity, 0))
    } else {
        Vec::new()
    };
    if let ReservationCommand::Reserve(wanted) = &request.command {
        stock
            .iter_mut()
            .for_each(|change| change.requires_unsharded = !wanted.is_allocated(change.product_id));
    }
    let next = Reservation {
        order_id: request.order_id,
        state,
        lines,
        rejected_product,
        version: 1,
        answered_attempt: request.attempt,
        created_at: request.at,
        updated_at: request.at,
        traceparent: request.trace.clone(),
    };
    Ok(Decision::Write(ReservationChange { expected_version: None, next, stock }))
}

/// The goods move, and the state with them.
fn transition(
    stored: &Reservation,
    state: State,
    figures: fn(i64) -> (i64, i64),
    request: &ReservationRequest,
) -> Decision {
    match acknowledge(stored, state, request) {
        Decision::Write(change) => Decision::Write(ReservationChange {
            stock: stock_changes(&stored.lines, figures),
            ..change
        }),
        settled => settled,
    }
}

/// No goods move.
fn acknowledge(stored: &Reservation, state: State, request: &ReservationRequest) -> Decision {
    let next = Reservation {
        state,
        version: stored.version + 1,
        answered_attempt: stored.answered_attempt.max(request.attempt),
        updated_at: request.at,
        traceparent: request.trace.clone(),
        ..stored.clone()
    };
    Decision::Write(ReservationChange {
        expected_version: Some(stored.version),
        next,
        stock: Vec::new(),
    })
}

/// The change of each line's stock: `figures` returns it for a quantity, as (available, on hand).
fn stock_changes(lines: &[Line], figures: fn(i64) -> (i64, i64)) -> Vec<StockChange> {
    let change = |line: &Line| {
        let (available, on_hand) = figures(i64::from(line.quantity));
        StockChange {
            product_id: line.product_id,
            shard: line.shard,
            available,
            on_hand,
            requires_unsharded: false,
        }
    };
    lines.iter().map(change).collect()
}

#[cfg(test)]
pub(crate) mod tests;
