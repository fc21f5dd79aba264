//! What people do with an order, and what the clock does to it when they do nothing.

use shared::clock::Timestamp;

use super::{Cancellation, Goal, News, Order, PaymentLeg, Rejection, Shipment, Status, StockLeg};

impl Order {
    /// Gives the order up, whatever it is at. What was begun is undone on either leg, each on its own.
    pub(super) fn cancel(&mut self, cancellation: &Cancellation) -> Result<Vec<News>, Rejection> {
        match (&self.goal, &self.status) {
            (Goal::Fulfil, Status::Pending | Status::Confirmed) => {
                self.abandon(Goal::Cancel, "cancelled");
                self.cancellation = Some(cancellation.clone());
                Ok(vec![News::of("cancel_requested").by(&cancellation.by)])
            }
            (Goal::Fulfil, _) | (_, Status::Failed) => {
                Err(Rejection::NotCancellable { current: self.status.name().to_owned(), allowed: self.allowed_steps() })
            }
            // It is given up already, or will be.
            _ => Ok(Vec::new()),
        }
    }

    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<News> {
        let overdue = now >= self.expires_at && self.goal == Goal::Fulfil && self.status == Status::Pending;
        // A paid order that waits for its stock is no longer the buyer's to lose.
        if !overdue || self.payment == PaymentLeg::Paid {
            return Vec::new();
        }
        self.abandon(Goal::Cancel, "not_paid_in_time");
        vec![News::of("expired")]
    }

    pub(super) fn ship(&mut self, shipment: &Shipment) -> Result<Vec<News>, Rejection> {
        if self.status == Status::Shipped && self.shipment.as_ref() == Some(shipment) {
            return Ok(Vec::new());
        }
        let (current, allowed) = (self.status.name().to_owned(), self.allowed_steps());
        if !self.is_ready_to_ship() {
            return Err(Rejection::InvalidTransition { current, allowed });
        }
        if self.shipping_address.is_none() {
            return Err(Rejection::NoShippingAddress { current, allowed });
        }
        self.status = Status::Shipped;
        self.shipment = Some(shipment.clone());
        Ok(vec![News::of("shipped").because(Some(shipment.carrier.clone().into()))])
    }

    pub(super) fn deliver(&mut self) -> Result<Vec<News>, Rejection> {
        match self.status {
            Status::Shipped => {
                self.status = Status::Delivered;
                Ok(vec![News::of("delivered")])
            }
            Status::Delivered => Ok(Vec::new()),
            _ => Err(Rejection::InvalidTransition { current: self.status.name().to_owned(), allowed: self.allowed_steps() }),
        }
    }

    /// What people may do with it now.
    fn allowed_steps(&self) -> Vec<&'static str> {
        match (&self.goal, &self.status) {
            (Goal::Fulfil, Status::Confirmed) if self.is_ready_to_ship() && self.shipping_address.is_some() => vec!["cancel", "ship"],
            (Goal::Fulfil, Status::Pending | Status::Confirmed) => vec!["cancel"],
            (Goal::Fulfil, Status::Shipped) => vec!["deliver"],
            _ => vec![],
        }
    }

    /// Whether the goods may leave: they are paid for and reserved for this order. A partly refunded order stays `Paid`. The commit may
    /// still be pending: nothing but a cancellation releases the stock, and an order that has shipped refuses one.
    fn is_ready_to_ship(&self) -> bool {
        let confirmed = self.status == Status::Confirmed && self.goal == Goal::Fulfil;
        confirmed && matches!(self.stock, StockLeg::Committing | StockLeg::Committed) && self.payment == PaymentLeg::Paid
    }
}
