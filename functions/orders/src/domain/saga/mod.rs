//! The order's state machine: a goal, and two states (of stock and of payment) that settle on their
//! own.
//!
//! [`Order::apply`] is total: every event has an answer in every state, however late, early or
//! often it comes. What an order asks of other services follows from its present state alone
//! ([`pending_commands`](super::progress::Progress::pending_commands)), so a lost message loses
//! nothing: a scheduled check sends the command again.
//!
//! Facts are merged, not counted. A fact that is older than the latest one is ignored, unless it is
//! about money: every sum only grows (what came back of refunds and disputes is a sum of its own),
//! and a capture counts whenever it comes. So copies and reordered facts end in the same sums.
//!
//! In reading order: this file (the events, and how one is applied), `stock` (every rule about the
//! stock), `payment` (every rule about the payment), `lifecycle` (every rule about the order as a
//! whole: cancel, ship, deliver, expire, send again, finish).

mod lifecycle;
mod payment;
mod stock;

use shared::clock::Timestamp;

use self::lifecycle::Source;
use super::{
    actions::{Cancellation, Shipment},
    buyer::BuyerChange,
    history::NewEntry,
    order::Order,
    schedule::Timing,
    state::PaymentState,
};

pub use self::{
    lifecycle::Rejection,
    payment::{DisputeStatus, PaymentUpdate},
    stock::StockUpdate,
};

/// Something that happens to an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Inventory holds the stock.
    StockReserved(StockUpdate),
    /// There is not enough.
    StockRejected(StockUpdate),
    /// The stock was committed.
    StockCommitted(StockUpdate),
    /// The stock was released, or none is held.
    StockReleased(StockUpdate),
    /// It can be paid.
    PaymentOpened(PaymentUpdate),
    /// An attempt is under way.
    PaymentStarted(PaymentUpdate),
    /// An attempt went out; its outcome is not known.
    PaymentUnknown(PaymentUpdate),
    /// An attempt was declined; another may be made.
    PaymentDeclined(PaymentUpdate),
    /// Money was captured.
    PaymentSucceeded(PaymentUpdate),
    /// Nothing was captured, no attempt is in flight, and none can start.
    PaymentClosed(PaymentUpdate),
    /// Money was refunded.
    PaymentRefunded(PaymentUpdate),
    /// A refund failed: the provider refused it, or it failed after it had succeeded.
    RefundFailed(PaymentUpdate),
    /// The state of a dispute changed.
    PaymentDisputed(PaymentUpdate),
    /// The buyer, or the shop, gives the order up.
    Cancel(Cancellation),
    /// The time to pay may be over.
    Deadline,
    /// Nothing has moved for a while: ask again.
    Retry,
    /// The goods are on their way.
    Ship(Shipment),
    /// The goods have arrived.
    Deliver,
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
            Self::Cancel(_) | Self::Ship(_) | Self::Deliver | Self::BuyerChanged(_) => {
                Source::Person
            }
        }
    }
}

impl Order {
    /// The order after `event`; `None` if the event changes nothing.
    ///
    /// # Errors
    /// When a person asks for a step that is not allowed, or a later release has written the order.
    pub fn apply(
        &self,
        event: &Event,
        now: Timestamp,
        timing: Timing,
    ) -> Result<Option<Self>, Rejection> {
        self.progress.reject_unknown_states()?;
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

    /// Applies the event; returns what the history records of it, if it is new.
    fn apply_event(&mut self, event: &Event, now: Timestamp) -> Result<Vec<NewEntry>, Rejection> {
        let progress = &mut self.progress;
        let entries = match event {
            Event::StockReserved(update) => progress.apply_reserved(*update),
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
            Event::BuyerChanged(change) => {
                // The history is kept for ever: it says nothing of a person.
                self.customer.record_change(change);
                Vec::new()
            }
        };
        Ok(entries)
    }
}
