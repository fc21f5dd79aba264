//! The stock of an order: what inventory says of it, and what the order asks for.

use shared::ids::ProductId;

use crate::domain::{
    command::PendingCommand,
    history::NewEntry,
    progress::Progress,
    state::{Goal, PaymentState, StockState},
};

/// What inventory says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StockFact {
    /// The reservation's version: grows with every fact.
    pub version: u64,
    /// The product that was short.
    pub short: Option<ProductId>,
}

impl Progress {
    pub(super) fn apply_reserved(&mut self, fact: StockFact) -> Vec<NewEntry> {
        let awaited = self.note_stock_version(fact) && self.goal == Goal::Fulfil && self.stock == StockState::Asked;
        if awaited {
            self.stock = StockState::Held;
            match self.payment {
                PaymentState::None => self.payment = PaymentState::Open,
                PaymentState::Paid => self.confirm(),
                _ => {}
            }
        }
        entry_if(awaited, "stock_reserved")
    }

    pub(super) fn apply_rejected(&mut self, fact: StockFact) -> Vec<NewEntry> {
        if !self.note_stock_version(fact) {
            return Vec::new();
        }
        match (&self.goal, &self.stock) {
            (Goal::Fulfil, StockState::Asked) => {
                self.compensate(Goal::Fail, "out_of_stock");
                self.stock = StockState::Rejected;
            }
            // The pending release finds nothing to release.
            (Goal::Cancel | Goal::Fail, StockState::Releasing) => self.stock = StockState::Released,
            _ => return Vec::new(),
        }
        vec![NewEntry::of("stock_rejected").because(fact.short.map(|product| product.to_string()))]
    }

    pub(super) fn apply_committed(&mut self, fact: StockFact) -> Vec<NewEntry> {
        let awaited = self.note_stock_version(fact) && self.goal == Goal::Fulfil && self.stock == StockState::Committing;
        if awaited {
            self.stock = StockState::Committed;
        }
        entry_if(awaited, "stock_committed")
    }

    pub(super) fn apply_released(&mut self, fact: StockFact) -> Vec<NewEntry> {
        let is_news = self.note_stock_version(fact)
            && match (&self.goal, &self.stock) {
                (Goal::Fulfil, _) => self.raise("stock_released_unasked"),
                (_, StockState::Releasing) => {
                    self.stock = StockState::Released;
                    true
                }
                _ => false,
            };
        entry_if(is_news, "stock_released")
    }

    /// The command that inventory has to carry out in the present state.
    pub(super) fn pending_stock_command(&self) -> Option<PendingCommand> {
        match self.stock {
            StockState::Asked => Some(PendingCommand::ReserveStock),
            StockState::Committing => Some(PendingCommand::CommitStock),
            StockState::Releasing => Some(PendingCommand::ReleaseStock),
            _ => None,
        }
    }

    /// The order is turned round: whatever is or may be reserved is released.
    pub(super) fn undo_stock(&mut self) {
        if matches!(self.stock, StockState::Asked | StockState::Held | StockState::Committing | StockState::Committed) {
            self.stock = StockState::Releasing;
        }
    }

    /// Whether nothing is reserved any more.
    pub(super) fn has_released_stock(&self) -> bool {
        matches!(self.stock, StockState::Released | StockState::Rejected)
    }

    /// Notes how new the fact is; `false` if it is older than the latest that the order knows.
    fn note_stock_version(&mut self, fact: StockFact) -> bool {
        let fresh = fact.version >= self.stock_version;
        self.stock_version = self.stock_version.max(fact.version);
        fresh
    }
}

fn entry_if(is_news: bool, event: &'static str) -> Vec<NewEntry> {
    if is_news { vec![NewEntry::of(event)] } else { Vec::new() }
}
