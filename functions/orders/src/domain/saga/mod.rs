//! The order's state machine: a goal, and two states (of stock and of payment) that settle on their own.
//!
//! [`Order::apply`] is total: every event has an answer in every state, however late, early or often it comes. What an order asks of other
//! services follows from its present state alone ([`Progress::pending_commands`]), so a lost message loses nothing: a scheduled check sends
//! the command again.
//!
//! Facts are merged, not counted. A fact that is older than the latest one is ignored, unless it is about money: every sum only grows
//! (what came back of refunds and disputes is a sum of its own), and a capture counts whenever it comes. So copies and reordered facts
//! end in the same sums.
//!
//! What the events do: `stock` and `money` to their states, `people` to the whole. Which commands have no answer: `waiting`.

mod money;
mod people;
mod stock;
mod waiting;

use shared::{clock::Timestamp, ids::ProductId, retry};

use self::waiting::Source;
use super::{
    buyer::BuyerChange,
    command::PendingCommand,
    history::NewEntry,
    order::Order,
    progress::Progress,
    schedule::Timing,
    state::{Goal, PaymentLeg, Status, StockLeg},
    steps::{Cancellation, Shipment},
};

/// After this many checks without progress an operator has to review the order, even if every command was answered.
const CHECKS_BEFORE_REVIEW: u32 = 5;

/// Something that happens to an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Inventory holds the stock.
    StockReserved(StockFact),
    /// There is not enough.
    StockRejected(StockFact),
    /// The stock is out of the books.
    StockCommitted(StockFact),
    /// The stock was given back, or none is held.
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
    /// Nothing was captured, nothing is alive, and no attempt will ever start.
    PaymentClosed(PaymentFact),
    /// Money was given back.
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

/// What inventory says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StockFact {
    /// The reservation's version: grows with every fact.
    pub version: u64,
    /// The product that was short.
    pub short: Option<ProductId>,
}

/// What payments says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PaymentFact {
    /// The payment head's version: grows with every fact.
    pub version: u64,
    /// The payment that is spoken of.
    pub payment_id: Option<String>,
    /// Minor units captured so far.
    pub captured_total: i64,
    /// Minor units refunded so far.
    pub refunded_total: i64,
    /// Minor units of these that came back because a refund failed later.
    pub refunds_reversed_total: i64,
    /// Minor units that banks took because of disputes.
    pub dispute_withdrawn_total: i64,
    /// Minor units of these that banks gave back.
    pub dispute_reinstated_total: i64,
    /// Whether payments tries no further automatic refund.
    pub refund_refused: bool,
    /// Whether a second capture could not be refunded.
    pub surplus_refund_refused: bool,
    /// Whether the attempt waits for the buyer, who has to act first (3-D Secure).
    pub requires_action: bool,
    /// Why it was declined or closed, or why it is not given back.
    pub reason: Option<String>,
    /// The state of all disputes together; none where there never was one.
    pub dispute: Option<DisputeStatus>,
}

/// The state of all disputes of an order's payment together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputeStatus {
    /// At least one is open.
    Open,
    /// None is open, and none was lost.
    Won,
    /// None is open, and at least one was lost.
    Lost,
}

/// Why an order does not take an event.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The step is not allowed from here.
    #[error("not from {current}")]
    InvalidTransition {
        /// The public status.
        current: String,
        /// The steps that are allowed.
        allowed: Vec<&'static str>,
    },
    /// It cannot be given up any more.
    #[error("it is {current}, and cannot be given up")]
    NotCancellable {
        /// The public status.
        current: String,
        /// The steps that are allowed.
        allowed: Vec<&'static str>,
    },
    /// Nobody knows where the goods should go.
    #[error("there is no address to send the goods to")]
    NoShippingAddress {
        /// The public status.
        current: String,
        /// The steps that are allowed.
        allowed: Vec<&'static str>,
    },
    /// A later release has written a state that this one does not know: it must not be touched.
    #[error("the order is in a state of a later release")]
    UnknownState,
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
            Event::PaymentStarted(fact) => progress.apply_attempt(fact, "payment_started", PaymentLeg::Processing, now),
            Event::PaymentUnknown(fact) => progress.apply_attempt(fact, "payment_unknown", PaymentLeg::Unknown, now),
            Event::PaymentDeclined(fact) => progress.apply_attempt(fact, "payment_declined", PaymentLeg::Open, now),
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

    /// Whether `POST /payments` can pay it.
    pub fn is_payable(&self, now: Timestamp) -> bool {
        let Progress { goal, stock, payment, .. } = &self.progress;
        let waiting = *goal == Goal::Fulfil && *stock == StockLeg::Held && *payment == PaymentLeg::Open;
        waiting && now < self.placed.expires_at
    }

    /// Whether a command had no answer at its second scheduled check, or nothing has moved for long although all were answered. An order
    /// that waits for its buyer is not stuck.
    pub fn is_stuck(&self) -> bool {
        let rests = self.progress.is_at_rest() || self.progress.awaits_buyer();
        self.overdue_commands().next().is_some() || !rests && self.schedule.nudges >= CHECKS_BEFORE_REVIEW
    }

    /// A scheduled check: the pending commands are sent again.
    fn send_again(&mut self) -> Vec<NewEntry> {
        if !self.progress.is_at_rest() {
            self.schedule.drive += 1;
        }
        Vec::new()
    }

    fn schedule_next_check(&mut self, moved: bool, checked: bool, now: Timestamp, timing: Timing) {
        let (progress, schedule, expires_at) = (&self.progress, &mut self.schedule, self.placed.expires_at);
        if progress.is_at_rest() {
            schedule.check_at = None;
            schedule.nudges = 0;
            return;
        }
        if moved {
            schedule.nudges = 0;
        } else if checked {
            schedule.nudges += 1;
        } else if schedule.check_at.is_some() {
            return;
        }
        let next = now.plus(retry::doubling(schedule.nudges, timing.first_nudge));
        let is_unpaid = progress.goal == Goal::Fulfil && progress.status == Status::Pending && progress.payment != PaymentLeg::Paid;
        schedule.check_at = Some(if is_unpaid && now < expires_at { next.min(expires_at) } else { next });
    }
}

impl Progress {
    /// Every command that the present state needs another service to carry out.
    pub fn pending_commands(&self) -> Vec<PendingCommand> {
        let stock = match self.stock {
            StockLeg::Asked => Some(PendingCommand::ReserveStock),
            StockLeg::Committing => Some(PendingCommand::CommitStock),
            StockLeg::Releasing => Some(PendingCommand::ReleaseStock),
            _ => None,
        };
        let payment = match self.payment {
            PaymentLeg::Open | PaymentLeg::Processing | PaymentLeg::Unknown => Some(PendingCommand::OpenPayment),
            PaymentLeg::Closing => Some(PendingCommand::CancelPayment),
            PaymentLeg::Refunding => Some(PendingCommand::RefundPayment),
            _ => None,
        };
        stock.into_iter().chain(payment).collect()
    }

    /// Whether no command is pending: the order needs no more checks.
    pub fn is_settled(&self) -> bool {
        match self.goal {
            Goal::Fulfil => self.stock == StockLeg::Committed && matches!(self.payment, PaymentLeg::Paid | PaymentLeg::Refunded),
            _ => self.has_released_stock() && matches!(self.payment, PaymentLeg::Closed | PaymentLeg::Refunded),
        }
    }

    /// Whether there is nothing to ask another service for: it is settled, or only a person can refund it.
    pub fn is_at_rest(&self) -> bool {
        let is_refused = self.goal != Goal::Fulfil && self.payment == PaymentLeg::RefundRefused;
        self.is_settled() || is_refused && self.has_released_stock()
    }

    fn has_released_stock(&self) -> bool {
        matches!(self.stock, StockLeg::Released | StockLeg::Rejected)
    }

    fn confirm(&mut self) {
        self.status = Status::Confirmed;
        self.stock = StockLeg::Committing;
    }

    /// Turns the order round: stock and payment are undone, each on its own.
    fn compensate(&mut self, goal: Goal, reason: &str) {
        self.goal = goal;
        self.reason = Some(reason.to_owned());
        if matches!(self.stock, StockLeg::Asked | StockLeg::Held | StockLeg::Committing | StockLeg::Committed) {
            self.stock = StockLeg::Releasing;
        }
        self.payment = match self.payment {
            PaymentLeg::None => PaymentLeg::Closed,
            PaymentLeg::Paid => self.refunding(),
            PaymentLeg::Open | PaymentLeg::Processing | PaymentLeg::Unknown => PaymentLeg::Closing,
            _ => self.payment.clone(),
        };
    }

    /// An order that is turned round becomes cancelled or failed only when its stock and its payment are both undone.
    fn finalize(&mut self) {
        let open = matches!(self.status, Status::Pending | Status::Confirmed);
        if open && self.is_settled() {
            match self.goal {
                Goal::Cancel => self.status = Status::Cancelled,
                Goal::Fail => self.status = Status::Failed,
                _ => {}
            }
        }
    }

    /// What the history records of the order as a whole, after its stock or its payment has moved from `before`.
    fn consequences(&self, before: &Self) -> Vec<NewEntry> {
        let mut entries = Vec::new();
        let became = |status: Status| before.status != status && self.status == status;
        if became(Status::Confirmed) {
            entries.push(NewEntry::of("confirmed"));
        }
        if before.payment != PaymentLeg::Refunding && self.payment == PaymentLeg::Refunding {
            let amount = self.captured_total - self.returned_total();
            entries.push(NewEntry::of("refund_started").payment(self.payment_id.as_ref()).amount(amount));
        }
        for (status, event) in [(Status::Cancelled, "cancelled"), (Status::Failed, "failed")] {
            if became(status) {
                entries.push(NewEntry::of(event).because(self.reason.clone()));
            }
        }
        entries
    }

    fn has_moved_since(&self, before: &Self) -> bool {
        (&self.status, &self.goal, &self.stock, &self.payment) != (&before.status, &before.goal, &before.stock, &before.payment)
    }

    fn reject_unknown_states(&self) -> Result<(), Rejection> {
        let unknown = matches!(self.status, Status::Unknown(_))
            || matches!(self.goal, Goal::Unknown(_))
            || matches!(self.stock, StockLeg::Unknown(_))
            || matches!(self.payment, PaymentLeg::Unreadable(_));
        if unknown { Err(Rejection::UnknownState) } else { Ok(()) }
    }
}
