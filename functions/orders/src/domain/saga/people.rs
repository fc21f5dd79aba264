//! What people do with an order, and what the clock does to it when they do nothing.

use shared::clock::Timestamp;

use super::Rejection;
use crate::domain::{
    history::NewEntry,
    order::Order,
    state::{Goal, PaymentLeg, Status, StockLeg},
    steps::{Cancellation, Shipment},
};

impl Order {
    /// Gives the order up, whatever it is at. What was begun is undone on either leg, each on its own.
    pub(super) fn cancel(&mut self, cancellation: &Cancellation) -> Result<Vec<NewEntry>, Rejection> {
        match (&self.progress.goal, &self.progress.status) {
            (Goal::Fulfil, Status::Pending | Status::Confirmed) => {
                self.progress.compensate(Goal::Cancel, "cancelled");
                self.progress.cancellation = Some(cancellation.clone());
                Ok(vec![NewEntry::of("cancel_requested").by(&cancellation.by)])
            }
            (Goal::Fulfil, _) | (_, Status::Failed) => {
                Err(Rejection::NotCancellable { current: self.progress.status.name().to_owned(), allowed: self.allowed_steps() })
            }
            // It is given up already, or will be.
            _ => Ok(Vec::new()),
        }
    }

    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<NewEntry> {
        let overdue = now >= self.placed.expires_at && self.progress.goal == Goal::Fulfil && self.progress.status == Status::Pending;
        // A paid order that waits for its stock is no longer the buyer's to lose.
        if !overdue || self.progress.payment == PaymentLeg::Paid {
            return Vec::new();
        }
        self.progress.compensate(Goal::Cancel, "not_paid_in_time");
        vec![NewEntry::of("expired")]
    }

    pub(super) fn ship(&mut self, shipment: &Shipment) -> Result<Vec<NewEntry>, Rejection> {
        if self.progress.status == Status::Shipped && self.progress.shipment.as_ref() == Some(shipment) {
            return Ok(Vec::new());
        }
        let (current, allowed) = (self.progress.status.name().to_owned(), self.allowed_steps());
        if !self.is_ready_to_ship() {
            return Err(Rejection::InvalidTransition { current, allowed });
        }
        if self.customer.shipping_address.is_none() {
            return Err(Rejection::NoShippingAddress { current, allowed });
        }
        self.progress.status = Status::Shipped;
        self.progress.shipment = Some(shipment.clone());
        Ok(vec![NewEntry::of("shipped").because(Some(shipment.carrier.clone().into()))])
    }

    pub(super) fn deliver(&mut self) -> Result<Vec<NewEntry>, Rejection> {
        match self.progress.status {
            Status::Shipped => {
                self.progress.status = Status::Delivered;
                Ok(vec![NewEntry::of("delivered")])
            }
            Status::Delivered => Ok(Vec::new()),
            _ => Err(Rejection::InvalidTransition { current: self.progress.status.name().to_owned(), allowed: self.allowed_steps() }),
        }
    }

    /// What people may do with it now.
    fn allowed_steps(&self) -> Vec<&'static str> {
        match (&self.progress.goal, &self.progress.status) {
            (Goal::Fulfil, Status::Confirmed) if self.is_ready_to_ship() && self.customer.shipping_address.is_some() => {
                vec!["cancel", "ship"]
            }
            (Goal::Fulfil, Status::Pending | Status::Confirmed) => vec!["cancel"],
            (Goal::Fulfil, Status::Shipped) => vec!["deliver"],
            _ => vec![],
        }
    }

    /// Whether the goods may leave: they are paid for and reserved for this order. A partly refunded order stays `Paid`. The commit may
    /// still be pending: nothing but a cancellation releases the stock, and an order that has shipped refuses one.
    fn is_ready_to_ship(&self) -> bool {
        let confirmed = self.progress.status == Status::Confirmed && self.progress.goal == Goal::Fulfil;
        confirmed && matches!(self.progress.stock, StockLeg::Committing | StockLeg::Committed) && self.progress.payment == PaymentLeg::Paid
    }
}
