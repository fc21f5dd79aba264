//! The saga: the state machine that settles an order.
//!
//! An order has a goal (fulfil, cancel or fail), a stock state and a payment state. The two states
//! settle independently. [`Order::apply`] takes an [`Event`] and returns the next order.
//!
//! - **Total:** every event has a result in every state, even if it arrives late, early or
//!   repeatedly.
//! - **Commands follow from the state:** the pending commands depend only on the present state
//!   ([`pending_commands`](super::progress::Progress::pending_commands)). If a message is lost, a
//!   scheduled check sends the command again.
//! - **Events are merged, not added up:** an event carries totals, and the order keeps the maximum
//!   of each. Totals only grow: reversed refunds and reinstated disputes have their own totals. A
//!   capture therefore counts even if its event arrives late, and repeated or reordered events lead
//!   to the same totals. An outdated event without new totals is ignored.
//! - **Compensation:** cancelling or failing an order changes its goal, releases its stock, and
//!   closes or refunds its payment. The order becomes `cancelled` or `failed` once both are done.
//! - **Free orders:** an order of total 0 has no payment. It is paid and confirmed once its stock
//!   is reserved, and settles without any event of payments.
//! - **Orders that ship nothing:** an order in a market whose goods require no shipping is
//!   delivered without a shipment, once its stock is committed.
//!
//! Reading order: this file defines the events and how one is applied. `stock` and `payment` define
//! the rules of the two states, and `lifecycle` those of the whole order: its goal, its status and
//! its pending commands. `actions` defines what people may do (cancel, ship, deliver, change the
//! address), and `checks` what happens with time (expiry, scheduled checks, overdue commands).

mod actions;
mod checks;
mod lifecycle;
mod payment;
mod stock;

use shared::clock::Timestamp;

use self::checks::Source;
use super::{
    actions::{AddressChange, Cancellation, Shipment},
    buyer::BuyerChange,
    history::NewEntry,
    order::Order,
    schedule::Timing,
    state::PaymentState,
};

pub use self::{
    actions::Rejection,
    payment::{DisputeStatus, PaymentUpdate},
    stock::StockUpdate,
};

/// An event that may change an order: from inventory, payments, a person or the clock.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Inventory has reserved the stock.
    StockReserved(StockUpdate),
    /// Inventory does not have enough stock.
    StockRejected(StockUpdate),
    /// Inventory has decremented the on-hand stock by the reserved quantities.
    StockCommitted(StockUpdate),
    /// Inventory has released the stock, or had reserved none.
    StockReleased(StockUpdate),
    /// Payments has opened the payment: the order can be paid.
    PaymentOpened(PaymentUpdate),
    /// A payment attempt is in flight.
    PaymentStarted(PaymentUpdate),
    /// A payment attempt was sent to the provider, and its outcome is unknown.
    PaymentUnknown(PaymentUpdate),
    /// A payment attempt was declined. Another one may follow.
    PaymentDeclined(PaymentUpdate),
    /// Money was captured.
    PaymentSucceeded(PaymentUpdate),
    /// Nothing was captured, no attempt is in flight, and none can start.
    PaymentClosed(PaymentUpdate),
    /// Money was refunded.
    PaymentRefunded(PaymentUpdate),
    /// A refund failed: the provider rejected it, or it failed after it had succeeded.
    RefundFailed(PaymentUpdate),
    /// The state of a dispute changed.
    PaymentDisputed(PaymentUpdate),
    /// The buyer or an admin cancels the order.
    Cancel(Cancellation),
    /// The payment deadline may have passed.
    Deadline,
    /// A scheduled check sends the pending commands again.
    Retry,
    /// An admin marks the order as shipped.
    Ship(Shipment),
    /// An admin marks the order as delivered.
    Deliver,
    /// The buyer or an admin changes the shipping address.
    ChangeAddress(AddressChange),
    /// The buyer's account was changed or deleted.
    BuyerChanged(BuyerChange),
}

impl Event {
    fn source(&self) -> Source {
        match self {
            Self::StockReserved(_)
            | Self::StockRejected(_)
            | Self::StockCommitted(_)
            | Self::StockReleased(_) => Source::Inventory,
            Self::PaymentOpened(_)
            | Self::PaymentStarted(_)
            | Self::PaymentUnknown(_)
            | Self::PaymentDeclined(_)
            | Self::PaymentSucceeded(_)
            | Self::PaymentClosed(_)
            | Self::PaymentRefunded(_)
            | Self::RefundFailed(_)
            | Self::PaymentDisputed(_) => Source::Payments,
            Self::Deadline | Self::Retry => Source::ScheduledCheck,
            Self::Cancel(_)
            | Self::Ship(_)
            | Self::Deliver
            | Self::ChangeAddress(_)
            | Self::BuyerChanged(_) => Source::Person,
        }
    }
}

impl Order {
    /// Returns the order after `event`, or `None` if the event changes nothing.
    ///
    /// # Errors
    /// If a person requests a transition that is not allowed, or if the order is in a state of a
    /// later release.
    pub fn apply(
        &self,
        event: &Event,
        now: Timestamp,
        timing: Timing,
    ) -> Result<Option<Self>, Rejection> {
        if self.progress.unknown_state().is_some() {
            return Err(Rejection::UnknownState);
        }
        let mut next = self.clone();
        let mut entries = next.apply_event(event, now)?;
        next.progress.finalize();
        next.progress.clear_in_flight();
        next.forget_network();
        entries.extend(next.progress.status_entries(&self.progress));
        next.customer.settle(&mut next.progress);
        if next == *self {
            return Ok(None);
        }
        next.track_answers(&self.progress, event.source(), now);
        if !entries.is_empty() {
            let status = next.progress.status.clone();
            next.progress.record(entries.into_iter().map(|entry| entry.at(now, &status)));
            next.updated_at = now;
        }
        if (&next.customer.buyer, &next.customer.shipping_address)
            != (&self.customer.buyer, &self.customer.shipping_address)
        {
            next.updated_at = now;
        }
        if next.record_waiting(now) {
            next.updated_at = now;
        }
        let moved = next.progress.has_moved_since(&self.progress);
        next.schedule_next_check(moved, event == &Event::Retry, now, timing);
        next.version += 1;
        Ok(Some(next))
    }

    /// Applies the event and returns the history entries that it adds: none if it is not new.
    fn apply_event(&mut self, event: &Event, now: Timestamp) -> Result<Vec<NewEntry>, Rejection> {
        let (progress, is_free) = (&mut self.progress, self.placed.is_free());
        let entries = match event {
            Event::StockReserved(update) => progress.apply_reserved(*update, is_free),
            Event::StockRejected(update) => progress.apply_rejected(*update),
            Event::StockCommitted(update) => progress.apply_committed(*update),
            Event::StockReleased(update) => progress.apply_released(*update),
            Event::PaymentOpened(update) => progress.apply_opened(update),
            Event::PaymentStarted(update) => {
                progress.apply_attempt(update, "payment_started", PaymentState::Processing, now)
            }
            Event::PaymentUnknown(update) => {
                progress.apply_attempt(update, "payment_unknown", PaymentState::Unknown, now)
            }
            Event::PaymentDeclined(update) => {
                progress.apply_attempt(update, "payment_declined", PaymentState::Open, now)
            }
            Event::PaymentSucceeded(update)
            | Event::PaymentRefunded(update)
            | Event::PaymentDisputed(update) => progress.apply_payment(update),
            Event::PaymentClosed(update) => progress.apply_closed(update),
            Event::RefundFailed(update) => progress.apply_refund_failed(update),
            Event::Cancel(cancellation) => self.cancel(cancellation)?,
            Event::Deadline => self.expire(now),
            Event::Retry => self.resend_commands(),
            Event::Ship(shipment) => self.ship(shipment)?,
            Event::Deliver => self.deliver()?,
            Event::ChangeAddress(change) => self.change_address(change)?,
            Event::BuyerChanged(change) => {
                // Adds no history entry: the history is kept forever and contains no personal data.
                self.customer.record_change(change);
                Vec::new()
            }
        };
        Ok(entries)
    }
}
