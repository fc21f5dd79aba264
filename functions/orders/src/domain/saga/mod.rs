//! The order's state machine: a goal, and two states (of stock and of payment) that settle on their own.
//!
//! [`Order::apply`] is total: every event has an answer in every state, however late, early or often it comes. What an order asks of other
//! services follows from its present state alone ([`pending_commands`](super::progress::Progress::pending_commands)), so a lost message loses
//! nothing: a scheduled check sends the command again.
//!
//! Facts are merged, not counted. A fact that is older than the latest one is ignored, unless it is about money: every sum only grows
//! (what came back of refunds and disputes is a sum of its own), and a capture counts whenever it comes. So copies and reordered facts
//! end in the same sums.
//!
//! In reading order: this file (the events, and how one is applied), `stock` (every rule about the stock), `payment` (every rule about the
//! payment), `lifecycle` (every rule about the order as a whole: cancel, ship, deliver, expire, send again, finish).

mod lifecycle;
mod payment;
mod stock;

use shared::clock::Timestamp;

use self::lifecycle::Source;
use super::{
    buyer::BuyerChange,
    history::NewEntry,
    order::Order,
    schedule::Timing,
    state::PaymentState,
    steps::{Cancellation, Shipment},
};

pub use self::{
    lifecycle::Rejection,
    payment::{DisputeStatus, PaymentFact},
    stock::StockFact,
};

/// Something that happens to an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Inventory holds the stock.
    StockReserved(StockFact),
    /// There is not enough.
    StockRejected(StockFact),
    /// The stock was committed.
    StockCommitted(StockFact),
    /// The stock was released, or none is held.
    StockReleased(StockFact),
    /// It can be paid.
    PaymentOpened(PaymentFact),
    /// An attempt is under way.
    PaymentStarted(PaymentFact),
    /// An attempt went out; its outcome is not known.
    PaymentUnknown(PaymentFact),
    /// An attempt was declined; another may be made.
    PaymentDeclined(PaymentFact),
    /// Money was captured.
    PaymentSucceeded(PaymentFact),
    /// Nothing was captured, no attempt is in flight, and none can start.
    PaymentClosed(PaymentFact),
    /// Money was refunded.
    PaymentRefunded(PaymentFact),
    /// A refund failed: the provider refused it, or it failed after it had succeeded.
    RefundFailed(PaymentFact),
    /// The state of a dispute changed.
    PaymentDisputed(PaymentFact),
    /// The buyer, or the shop, gives the order up.
    Cancel(Cancellation),
    /// The time to pay may be over.
    Deadline,
    /// Nothing has moved for a while: ask again.
    Nudge,
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
            Self::StockReserved(_) | Self::StockRejected(_) | Self::StockCommitted(_) | Self::StockReleased(_) => Source::Inventory,
            Self::PaymentOpened(_)
            | Self::PaymentStarted(_)
            | Self::PaymentUnknown(_)
            | Self::PaymentDeclined(_)
            | Self::PaymentSucceeded(_)
            | Self::PaymentClosed(_)
            | Self::PaymentRefunded(_)
            | Self::RefundFailed(_)
            | Self::PaymentDisputed(_) => Source::Payments,
            Self::Deadline | Self::Nudge => Source::ScheduledCheck,
            Self::Cancel(_) | Self::Ship(_) | Self::Deliver | Self::BuyerChanged(_) => Source::Person,
        }
    }
}

impl Order {
    /// The order after `event`; `None` if the event changes nothing.
    ///
    /// # Errors
    /// When a person asks for a step that is not allowed, or a later release has written the order.
    pub fn apply(&self, event: &Event, now: Timestamp, timing: Timing) -> Result<Option<Self>, Rejection> {
        self.progress.reject_unknown_states()?;
        let mut next = self.clone();
        let mut entries = next.take(event, now)?;
        next.progress.finalize();
        next.progress.clear_in_flight();
        next.forget_network();
        entries.extend(next.progress.consequences(&self.progress));
        next.customer.settle(&mut next.progress);
        if next == *self {
            return Ok(None);
        }
        next.count_answers(&self.progress, event.source(), now);
        if !entries.is_empty() {
            let status = next.progress.status.clone();
            next.progress.record(entries.into_iter().map(|entry| entry.at(now, &status)));
            next.updated_at = now;
        }
        if (&next.customer.buyer, &next.customer.shipping_address) != (&self.customer.buyer, &self.customer.shipping_address) {
            next.updated_at = now;
        }
        if next.record_waiting(now) {
            next.updated_at = now;
        }
        let moved = next.progress.has_moved_since(&self.progress);
        next.schedule_next_check(moved, event == &Event::Nudge, now, timing);
        next.version += 1;
        Ok(Some(next))
    }

    /// Applies the event; returns what the history records of it, if it is new.
    fn take(&mut self, event: &Event, now: Timestamp) -> Result<Vec<NewEntry>, Rejection> {
        let progress = &mut self.progress;
        let entries = match event {
            Event::StockReserved(fact) => progress.apply_reserved(*fact),
            Event::StockRejected(fact) => progress.apply_rejected(*fact),
            Event::StockCommitted(fact) => progress.apply_committed(*fact),
            Event::StockReleased(fact) => progress.apply_released(*fact),
            Event::PaymentOpened(fact) => progress.apply_opened(fact),
            Event::PaymentStarted(fact) => progress.apply_attempt(fact, "payment_started", PaymentState::Processing, now),
            Event::PaymentUnknown(fact) => progress.apply_attempt(fact, "payment_unknown", PaymentState::Unknown, now),
            Event::PaymentDeclined(fact) => progress.apply_attempt(fact, "payment_declined", PaymentState::Open, now),
            Event::PaymentSucceeded(fact) | Event::PaymentRefunded(fact) | Event::PaymentDisputed(fact) => progress.apply_money(fact),
            Event::PaymentClosed(fact) => progress.apply_closed(fact),
            Event::RefundFailed(fact) => progress.apply_refund_failed(fact),
            Event::Cancel(cancellation) => self.cancel(cancellation)?,
            Event::Deadline => self.expire(now),
            Event::Nudge => self.send_again(),
            Event::Ship(shipment) => self.ship(shipment)?,
            Event::Deliver => self.deliver()?,
            Event::BuyerChanged(change) => {
                // The history is kept for ever: it says nothing of a person.
                self.customer.note(change);
                Vec::new()
            }
        };
        Ok(entries)
    }
}
