//! The order's state machine: a goal, and two legs (stock and money) that settle on their own.
//!
//! [`Order::apply`] is total: every event has an answer in every state, however late, early or often it comes. What an order owes to
//! others follows from its present state alone ([`owed`]), so that losing a message loses nothing: a nudge asks again.
//!
//! Facts are merged, not counted. A fact that is older than what was heard last is ignored, unless it is about money: every sum only grows
//! (what came back of refunds and disputes is a sum of its own), and a capture is believed whenever it comes. So copies and reordered facts
//! end in the same sums.
//!
//! What the events do: `stock` and `money` on their legs, `people` to the whole. Which commands have no answer: `waiting`.

mod money;
mod people;
mod stock;
mod waiting;

use shared::{clock::Timestamp, ids::ProductId, retry};

use super::{
    Goal, Order, PaymentLeg, Status, StockLeg, Timing,
    buyer::BuyerChange,
    history::News,
    steps::{Cancellation, Shipment},
};

pub use waiting::Unanswered;

/// After this many nudges without progress an operator has to look, even if every command was answered.
const NUDGES_BEFORE_ALARM: u32 = 5;

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

/// What an order still needs somebody else to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owed {
    /// Hold the stock.
    ReserveStock,
    /// Take the stock out of the books.
    CommitStock,
    /// Give the stock back.
    ReleaseStock,
    /// Let it be paid: at once, if a method was given with the order.
    OpenPayment,
    /// Let nothing more be paid.
    CancelPayment,
    /// Give the money back.
    RefundPayment,
}

/// Everything that an order owes in its present state.
pub fn owed(order: &Order) -> Vec<Owed> {
    let stock = match order.stock {
        StockLeg::Asked => Some(Owed::ReserveStock),
        StockLeg::Committing => Some(Owed::CommitStock),
        StockLeg::Releasing => Some(Owed::ReleaseStock),
        _ => None,
    };
    let payment = match order.payment {
        PaymentLeg::Open | PaymentLeg::Processing | PaymentLeg::Unknown => Some(Owed::OpenPayment),
        PaymentLeg::Closing => Some(Owed::CancelPayment),
        PaymentLeg::Refunding => Some(Owed::RefundPayment),
        _ => None,
    };
    stock.into_iter().chain(payment).collect()
}

impl Order {
    /// The order after `event`; `None` if the event changes nothing.
    ///
    /// # Errors
    /// When a person asks for a step that is not allowed, or a later release has written the order.
    pub fn apply(&self, event: &Event, now: Timestamp, timing: Timing) -> Result<Option<Self>, Rejection> {
        self.refuse_unknown_states()?;
        let mut next = self.clone();
        let mut news = next.take(event, now)?;
        next.conclude();
        next.land_payment();
        next.forget_network();
        news.extend(next.consequences(self));
        next.settle_buyer();
        if next == *self {
            return Ok(None);
        }
        next.count_answers(self, event, now);
        let moved = (&next.status, &next.goal, &next.stock, &next.payment) != (&self.status, &self.goal, &self.stock, &self.payment);
        if !news.is_empty() {
            next.tell(news, now);
            next.updated_at = now;
        }
        if (&next.buyer, &next.shipping_address) != (&self.buyer, &self.shipping_address) {
            next.updated_at = now;
        }
        if next.note_waiting(now) {
            next.updated_at = now;
        }
        next.plan_next_look(moved, event == &Event::Nudge, now, timing);
        next.version += 1;
        Ok(Some(next))
    }

    /// Whether nothing is owed to anybody: the order needs no more looks.
    pub fn is_settled(&self) -> bool {
        let settled_money = matches!(self.payment, PaymentLeg::Closed | PaymentLeg::Refunded);
        match self.goal {
            Goal::Fulfil => self.stock == StockLeg::Committed && matches!(self.payment, PaymentLeg::Paid | PaymentLeg::Refunded),
            _ => matches!(self.stock, StockLeg::Released | StockLeg::Rejected) && settled_money,
        }
    }

    /// Whether there is nothing to ask anybody for: it is settled, or only a person can refund it.
    pub fn is_at_rest(&self) -> bool {
        let is_refused = self.goal != Goal::Fulfil && self.payment == PaymentLeg::RefundRefused;
        self.is_settled() || is_refused && matches!(self.stock, StockLeg::Released | StockLeg::Rejected)
    }

    /// Minor units that went back to the buyer: by refunds that did not fail later, and by disputes that were not won.
    pub fn returned_total(&self) -> i64 {
        self.refunded_net() + self.dispute_withdrawn_total - self.dispute_reinstated_total
    }

    /// Minor units that refunds gave back, without those that failed later.
    pub fn refunded_net(&self) -> i64 {
        self.refunded_total - self.refunds_reversed_total
    }

    /// Whether `POST /payments` can pay it.
    pub fn is_payable(&self, now: Timestamp) -> bool {
        let waiting = self.goal == Goal::Fulfil && self.stock == StockLeg::Held && self.payment == PaymentLeg::Open;
        waiting && now < self.expires_at
    }

    /// Whether a command had no answer at its second scheduled check, or nothing has moved for long although all were answered. An order
    /// that waits for its buyer is not stuck.
    pub fn is_stuck(&self) -> bool {
        let rests = self.is_at_rest() || self.awaits_buyer();
        self.overdue_commands().next().is_some() || !rests && self.nudges >= NUDGES_BEFORE_ALARM
    }

    /// Why an operator should look at it: everything that is not over yet, the oldest first.
    pub fn attentions(&self) -> impl Iterator<Item = &str> {
        self.needs_attention.iter().chain(&self.further_attention).map(String::as_str)
    }

    /// Takes the event in; answers what the history should say of it, if it is news.
    fn take(&mut self, event: &Event, now: Timestamp) -> Result<Vec<News>, Rejection> {
        let news = match event {
            Event::StockReserved(fact) => self.take_reserved(*fact),
            Event::StockRejected(fact) => self.take_rejected(*fact),
            Event::StockCommitted(fact) => self.take_committed(*fact),
            Event::StockReleased(fact) => self.take_released(*fact),
            Event::PaymentOpened(fact) => self.take_opened(fact),
            Event::PaymentStarted(fact) => self.take_attempt(fact, "payment_started", PaymentLeg::Processing, now),
            Event::PaymentUnknown(fact) => self.take_attempt(fact, "payment_unknown", PaymentLeg::Unknown, now),
            Event::PaymentDeclined(fact) => self.take_attempt(fact, "payment_declined", PaymentLeg::Open, now),
            Event::PaymentSucceeded(fact) | Event::PaymentRefunded(fact) | Event::PaymentDisputed(fact) => self.take_money(fact),
            Event::PaymentClosed(fact) => self.take_closed(fact),
            Event::RefundFailed(fact) => self.take_refund_failed(fact),
            Event::Cancel(cancellation) => self.cancel(cancellation)?,
            Event::Deadline => self.expire(now),
            Event::Nudge => self.nudge(),
            Event::Ship(shipment) => self.ship(shipment)?,
            Event::Deliver => self.deliver()?,
            Event::BuyerChanged(change) => {
                // The history is kept for ever: it says nothing of a person.
                self.note_buyer(change);
                Vec::new()
            }
        };
        Ok(news)
    }

    fn nudge(&mut self) -> Vec<News> {
        if !self.is_at_rest() {
            self.drive += 1;
        }
        Vec::new()
    }

    fn confirm(&mut self) {
        self.status = Status::Confirmed;
        self.stock = StockLeg::Committing;
    }

    /// Turns round: what was begun on either leg is undone, each on its own.
    fn abandon(&mut self, goal: Goal, reason: &str) {
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

    /// An abandoned order becomes cancelled or failed only when both legs are where they were.
    fn conclude(&mut self) {
        let open = matches!(self.status, Status::Pending | Status::Confirmed);
        if open && self.is_settled() {
            match self.goal {
                Goal::Cancel => self.status = Status::Cancelled,
                Goal::Fail => self.status = Status::Failed,
                _ => {}
            }
        }
    }

    /// Asks for an operator; whether that is news.
    fn alarm(&mut self, what: &str) -> bool {
        if self.attentions().any(|known| known == what) {
            return false;
        }
        match self.needs_attention {
            None => self.needs_attention = Some(what.to_owned()),
            Some(_) => self.further_attention.push(what.to_owned()),
        }
        true
    }

    /// Takes back that an operator was asked for because of this.
    fn calm(&mut self, what: &str) {
        self.further_attention.retain(|known| known != what);
        if self.needs_attention.as_deref() == Some(what) {
            self.needs_attention = (!self.further_attention.is_empty()).then(|| self.further_attention.remove(0));
        }
    }

    fn plan_next_look(&mut self, moved: bool, nudged: bool, now: Timestamp, timing: Timing) {
        if self.is_at_rest() {
            self.check_at = None;
            self.nudges = 0;
            return;
        }
        if moved {
            self.nudges = 0;
        } else if nudged {
            self.nudges += 1;
        } else if self.check_at.is_some() {
            return;
        }
        let look = now.plus(retry::doubling(self.nudges, timing.first_nudge));
        let may_expire =
            self.goal == Goal::Fulfil && self.status == Status::Pending && self.payment != PaymentLeg::Paid && now < self.expires_at;
        self.check_at = Some(if may_expire { look.min(self.expires_at) } else { look });
    }

    fn refuse_unknown_states(&self) -> Result<(), Rejection> {
        let unknown = matches!(self.status, Status::Unknown(_))
            || matches!(self.goal, Goal::Unknown(_))
            || matches!(self.stock, StockLeg::Unknown(_))
            || matches!(self.payment, PaymentLeg::Unreadable(_));
        if unknown { Err(Rejection::UnknownState) } else { Ok(()) }
    }
}
