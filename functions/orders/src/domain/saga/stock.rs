//! The stock of an order: applies the events of inventory and derives its pending command.

use shared::ids::ProductId;

use crate::domain::{
    command::PendingCommand,
    history::NewEntry,
    progress::Progress,
    state::{Goal, PaymentState, StockState},
};

/// The data of an event of inventory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StockUpdate {
    /// The version of the reservation, which grows with every event.
    pub version: u64,
    /// The product that was out of stock.
    pub out_of_stock: Option<ProductId>,
}

impl Progress {
    /// The stock is reserved. A free order is confirmed at once, because nothing is due.
    pub(super) fn apply_reserved(&mut self, update: StockUpdate, is_free: bool) -> Vec<NewEntry> {
        let awaited = self.accept_stock_version(update)
            && self.goal == Goal::Fulfil
            && self.stock == StockState::Reserving;
        if awaited {
            self.stock = StockState::Reserved;
            match self.payment {
                PaymentState::None if is_free => {
                    self.payment = PaymentState::Paid;
                    self.confirm();
                }
                PaymentState::None => self.payment = PaymentState::Open,
                PaymentState::Paid => self.confirm(),
                _ => {}
            }
        }
        entry_if(awaited, "stock_reserved")
    }

    pub(super) fn apply_rejected(&mut self, update: StockUpdate) -> Vec<NewEntry> {
        if !self.accept_stock_version(update) {
            return Vec::new();
        }
        match (&self.goal, &self.stock) {
            (Goal::Fulfil, StockState::Reserving) => {
                self.compensate(Goal::Fail, "out_of_stock");
                self.stock = StockState::Rejected;
            }
            // Nothing was reserved, so there is nothing to release.
            (Goal::Cancel | Goal::Fail, StockState::Releasing) => self.stock = StockState::Released,
            _ => return Vec::new(),
        }
        vec![
            NewEntry::new("stock_rejected")
                .detail(update.out_of_stock.map(|product| product.to_string())),
        ]
    }

    pub(super) fn apply_committed(&mut self, update: StockUpdate) -> Vec<NewEntry> {
        let awaited = self.accept_stock_version(update)
            && self.goal == Goal::Fulfil
            && self.stock == StockState::Committing;
        if awaited {
            self.stock = StockState::Committed;
        }
        entry_if(awaited, "stock_committed")
    }

    pub(super) fn apply_released(&mut self, update: StockUpdate) -> Vec<NewEntry> {
        let is_new = self.accept_stock_version(update)
            && match (&self.goal, &self.stock) {
                (Goal::Fulfil, _) => self.raise("stock_released_unexpectedly"),
                (_, StockState::Releasing) => {
                    self.stock = StockState::Released;
                    true
                }
                _ => false,
            };
        entry_if(is_new, "stock_released")
    }

    /// The command that inventory has to process in the present state.
    pub(super) fn pending_stock_command(&self) -> Option<PendingCommand> {
        match self.stock {
            StockState::Reserving => Some(PendingCommand::ReserveStock),
            StockState::Committing => Some(PendingCommand::CommitStock),
            StockState::Releasing => Some(PendingCommand::ReleaseStock),
            _ => None,
        }
    }

    /// Compensates the stock: releases everything that is or may be reserved.
    pub(super) fn compensate_stock(&mut self) {
        if matches!(
            self.stock,
            StockState::Reserving
                | StockState::Reserved
                | StockState::Committing
                | StockState::Committed
        ) {
            self.stock = StockState::Releasing;
        }
    }

    /// Whether inventory no longer holds stock for the order.
    pub(super) fn has_released_stock(&self) -> bool {
        matches!(self.stock, StockState::Released | StockState::Rejected)
    }

    /// Records the version of an event. Returns `false` if a later event is known.
    fn accept_stock_version(&mut self, update: StockUpdate) -> bool {
        let is_latest = update.version >= self.stock_version;
        self.stock_version = self.stock_version.max(update.version);
        is_latest
    }
}

fn entry_if(is_new: bool, event: &'static str) -> Vec<NewEntry> {
    if is_new { vec![NewEntry::new(event)] } else { Vec::new() }
}
