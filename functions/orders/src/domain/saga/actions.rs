//! The actions of people: cancellation, shipment, delivery and changes of the shipping address.

use crate::domain::{
    actions::{AddressChange, Cancellation, Shipment},
    destination::keeps_price,
    history::{NewEntry, SHIPPING_ADDRESS_CHANGED},
    order::Order,
    progress::Progress,
    state::{Goal, PaymentState, Status, StockState},
};

/// Maximum number of changes of the shipping address. Each one adds to the history and sends a
/// mail.
const MAX_ADDRESS_CHANGES: usize = 10;

/// Why an order rejects an event. `current` is its public status, and `allowed` lists the
/// transitions that are possible now.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The transition is not allowed from the present state.
    #[error("transition not allowed from status {current}")]
    InvalidTransition { current: String, allowed: Vec<&'static str> },
    /// The order can no longer be cancelled.
    #[error("order with status {current} cannot be cancelled")]
    NotCancellable { current: String, allowed: Vec<&'static str> },
    /// The order has no shipping address.
    #[error("order has no shipping address")]
    NoShippingAddress { current: String, allowed: Vec<&'static str> },
    /// The order would have another price at the new address.
    #[error("price of the order depends on its destination")]
    PriceWouldChange,
    /// The address was changed too often.
    #[error("shipping address was changed {maximum} times")]
    TooManyAddressChanges { maximum: usize },
    /// A later release wrote a state that this one does not know. This release must not change the
    /// order.
    #[error("order is in a state of a later release")]
    UnknownState,
}

impl Order {
    /// Cancels the order, in any state before shipment. Stock and payment are compensated
    /// independently.
    pub(super) fn cancel(
        &mut self,
        cancellation: &Cancellation,
    ) -> Result<Vec<NewEntry>, Rejection> {
        match (&self.progress.goal, &self.progress.status) {
            (Goal::Fulfil, Status::Pending | Status::Confirmed) => {
                self.progress.compensate(Goal::Cancel, "cancelled");
                self.progress.cancellation = Some(cancellation.clone());
                Ok(vec![NewEntry::new("cancel_requested").by(&cancellation.by)])
            }
            (Goal::Fulfil, _) | (_, Status::Failed) => Err(Rejection::NotCancellable {
                current: self.progress.status.name().to_owned(),
                allowed: self.allowed_actions(),
            }),
            // The order is already cancelled, or is being cancelled.
            _ => Ok(Vec::new()),
        }
    }

    pub(super) fn ship(&mut self, shipment: &Shipment) -> Result<Vec<NewEntry>, Rejection> {
        if self.progress.status == Status::Shipped
            && self.progress.shipment.as_ref() == Some(shipment)
        {
            return Ok(Vec::new());
        }
        let (current, allowed) = (self.progress.status.name().to_owned(), self.allowed_actions());
        if !self.is_ready_to_ship() {
            return Err(Rejection::InvalidTransition { current, allowed });
        }
        if self.customer.shipping_address.is_none() {
            return Err(Rejection::NoShippingAddress { current, allowed });
        }
        self.progress.status = Status::Shipped;
        self.progress.shipment = Some(shipment.clone());
        Ok(vec![NewEntry::new("shipped").detail(Some(shipment.carrier.clone().into()))])
    }

    /// Marks the order as delivered: once it has shipped, or if nothing is shipped, once its stock
    /// is committed.
    pub(super) fn deliver(&mut self) -> Result<Vec<NewEntry>, Rejection> {
        match self.progress.status {
            _ if self.can_be_delivered() => {
                self.progress.status = Status::Delivered;
                Ok(vec![NewEntry::new("delivered")])
            }
            Status::Delivered => Ok(Vec::new()),
            _ => Err(Rejection::InvalidTransition {
                current: self.progress.status.name().to_owned(),
                allowed: self.allowed_actions(),
            }),
        }
    }

    /// Changes the shipping address of an order that has not shipped, if its price stays the same.
    /// A change to the present address changes nothing. An order that ships nothing rejects a
    /// change: its address may decide its price, and has no other use.
    pub(super) fn change_address(
        &mut self,
        change: &AddressChange,
    ) -> Result<Vec<NewEntry>, Rejection> {
        let open = self.progress.goal == Goal::Fulfil
            && matches!(self.progress.status, Status::Pending | Status::Confirmed);
        if !open || !self.placed.requires_shipping() {
            return Err(Rejection::InvalidTransition {
                current: self.progress.status.name().to_owned(),
                allowed: self.allowed_actions(),
            });
        }
        let before = self.customer.shipping_address.as_ref();
        if before == Some(&change.shipping_address) {
            return Ok(Vec::new());
        }
        if !keeps_price(self.placed.price.as_ref(), before, &change.shipping_address) {
            return Err(Rejection::PriceWouldChange);
        }
        if self.progress.address_changes() >= MAX_ADDRESS_CHANGES {
            return Err(Rejection::TooManyAddressChanges { maximum: MAX_ADDRESS_CHANGES });
        }
        self.customer.shipping_address = Some(change.shipping_address.clone());
        Ok(vec![NewEntry::new(SHIPPING_ADDRESS_CHANGED).by(&change.by)])
    }

    /// The actions that people may take now.
    fn allowed_actions(&self) -> Vec<&'static str> {
        match (&self.progress.goal, &self.progress.status) {
            (Goal::Fulfil, Status::Confirmed)
                if self.is_ready_to_ship() && self.customer.shipping_address.is_some() =>
            {
                vec!["cancel", "ship"]
            }
            (Goal::Fulfil, Status::Confirmed) if self.can_be_delivered() => {
                vec!["cancel", "deliver"]
            }
            (Goal::Fulfil, Status::Pending | Status::Confirmed) => vec!["cancel"],
            (Goal::Fulfil, Status::Shipped) => vec!["deliver"],
            _ => vec![],
        }
    }

    /// Whether the order may ship: something is shipped, it is paid, and its stock is reserved. The
    /// commit may be pending: only a cancellation releases the stock, and a shipped order rejects a
    /// cancellation.
    fn is_ready_to_ship(&self) -> bool {
        self.is_paid_and_confirmed()
            && self.placed.requires_shipping()
            && matches!(self.progress.stock, StockState::Committing | StockState::Committed)
    }

    /// Whether the order may be delivered: it has shipped, or nothing is shipped and its stock is
    /// committed. `delivered` is final, and no parcel is packed while the stock commits, so an
    /// order that ships nothing waits until it is settled.
    fn can_be_delivered(&self) -> bool {
        let is_ready_without_shipment = self.is_paid_and_confirmed()
            && !self.placed.requires_shipping()
            && self.progress.stock == StockState::Committed;
        self.progress.status == Status::Shipped || is_ready_without_shipment
    }

    /// A partially refunded order is still `Paid`.
    fn is_paid_and_confirmed(&self) -> bool {
        let Progress { status, goal, payment, .. } = &self.progress;
        (goal, status, payment) == (&Goal::Fulfil, &Status::Confirmed, &PaymentState::Paid)
    }
}

impl Progress {
    /// How often the shipping address was changed.
    pub fn address_changes(&self) -> usize {
        self.history.iter().filter(|entry| entry.event == SHIPPING_ADDRESS_CHANGED).count()
    }
}
