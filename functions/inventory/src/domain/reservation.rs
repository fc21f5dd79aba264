//! Reservations: the stock held for one order, and how the order's commands change it.
//!
//! An order sends three commands. *Reserve* holds all lines or none, *release* returns them, and
//! *commit* records them as sold. Each command may arrive twice, late, or before the command it
//! follows. [`decide`] returns what to write:
//!
//! | stored | reserve | release | commit |
//! |---|---|---|---|
//! | nothing | held, or rejected if a product is short | released: a tombstone that a late reserve finds | error: the command is retried |
//! | held | answered again | returned, released | sold, committed |
//! | rejected | answered again | released | answered again |
//! | released | answered again | answered again | answered again: a late commit changes nothing |
//! | committed | answered again | returned, released | answered again |
//!
//! *Answered again*: only `answered_attempt` grows, and only if the order has re-sent its command.
//! The stream then publishes the current state. A rejection is stored too, so it can be published
//! again.

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

/// Maximum number of products in an order.
pub const MAX_LINES: usize = 40;
/// Maximum number of shards that one reservation takes from. A transaction has at most 100 items:
/// 99 shards and the reservation.
const MAX_ALLOCATIONS: usize = 99;

/// A quantity of one product, held in one shard of its stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub product_id: ProductId,
    pub quantity: u32,
    /// The shard that a release returns the quantity to; see [`super::shards`].
    pub shard: u32,
}

/// The lines that an order reserves, sorted by product and shard. A product has one line for each
/// shard it is taken from.
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

    pub fn quantity_of(&self, product_id: ProductId) -> u32 {
        self.lines
            .iter()
            .filter(|line| line.product_id == product_id)
            .map(|line| line.quantity)
            .sum()
    }

    /// Allocates a product to the order's preferred shard.
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

    /// Allocates a product to these shards. Returns `false` and changes nothing if the order would
    /// exceed its limit of shards.
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum State {
    /// The stock is held for the order.
    Held,
    /// A product was out of stock; nothing is held.
    Rejected,
    /// The order has released the stock; nothing is held.
    Released,
    /// The stock is sold and no longer on hand.
    Committed,
    /// A state of a newer release. It is kept unchanged when the record is written.
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

/// The reservation of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub order_id: OrderId,
    pub state: State,
    /// The requested lines, sorted by product and shard; empty if the order was cancelled before it
    /// requested any.
    pub lines: Vec<Line>,
    /// The product that was out of stock, if the reservation was rejected.
    pub rejected_product: Option<ProductId>,
    /// Number of writes of this record.
    pub version: u64,
    /// `attempt` of the last command that was answered.
    pub answered_attempt: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub traceparent: Trace,
}

/// An order's command for its reservation.
#[derive(Clone, Debug)]
pub struct ReservationRequest {
    pub order_id: OrderId,
    /// Sequence number of the order's command.
    pub attempt: u64,
    pub command: ReservationCommand,
    /// Time of execution.
    pub at: Timestamp,
    pub trace: Trace,
}

#[derive(Clone, Debug)]
pub enum ReservationCommand {
    /// Holds all lines, or none.
    Reserve(Lines),
    /// Return the stock, whether held or sold.
    Release,
    /// Decrement the on-hand stock by the held quantities.
    Commit,
}

/// What to write for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Write(ReservationChange),
    /// The command was executed and answered before.
    NoChange,
}

/// A reservation and its stock changes, written in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationChange {
    /// The stored version that the write requires; `None` requires that no reservation exists.
    pub expected_version: Option<u64>,
    /// The reservation after the write.
    pub next: Reservation,
    pub stock: Vec<StockChange>,
}

impl ReservationChange {
    /// Whether it holds stock, so that the write fails if a product is short.
    pub fn is_hold(&self) -> bool {
        self.next.state == State::Held
    }
}

/// Why a command cannot be executed yet: it is retried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// A commit arrived before its reserve.
    #[error("nothing is reserved for the order yet")]
    NotReservedYet,
    /// The reservation is in a state that only a newer release knows.
    #[error("the reservation is in a state that this release does not know: {0}")]
    UnknownState(String),
}

/// Decides what to write for `request`, given the `stored` reservation. `out_of_stock` is a product
/// that has too little stock for the order.
///
/// # Errors
/// When the command must be retried later.
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

/// Decides the first command of an order.
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

/// Changes the state and the stock.
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

/// Changes the state and the answered attempt, but no stock.
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

/// The stock change of each line. `figures` maps a quantity to its changes (available, on hand).
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
