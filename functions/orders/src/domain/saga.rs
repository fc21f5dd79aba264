//! The order's state machine: a goal, and two legs (stock and money) that settle on their own.
//!
//! [`Order::apply`] is total: every event has an answer in every state, however late, early or often it comes. What an order owes to
//! others follows from its present state alone ([`owed`]), so that losing a message loses nothing: a nudge asks again.
//!
//! Facts are merged, not counted. A fact that is older than what was heard last is ignored, unless it is about money: captured and
//! refunded sums only grow, and a capture is believed whenever it comes.

use shared::{clock::Timestamp, retry};

use super::{Goal, HistoryEntry, Order, PaymentLeg, Shipment, Status, StockLeg, Timing, buyer::BuyerChange};

/// After so many nudges without progress somebody should look.
pub const NUDGES_BEFORE_ALARM: u32 = 5;

const REFUND_FAILED: &str = "refund_failed";

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
    /// The provider does not give the money back.
    RefundFailed(PaymentFact),
    /// The buyer, or the shop, gives the order up.
    Cancel,
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
    /// Why it was declined or closed.
    pub reason: Option<String>,
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
        let seen = next.take(event, now)?;
        next.conclude();
        next.settle_buyer();
        if next == *self {
            return Ok(None);
        }
        let moved = (&next.status, &next.goal, &next.stock, &next.payment) != (&self.status, &self.goal, &self.stock, &self.payment);
        if let Some((name, detail)) = seen {
            next.history.push(HistoryEntry { at: now, event: name.to_owned(), status: next.status.clone(), detail });
            next.updated_at = now;
        }
        if (&next.buyer, &next.shipping_address) != (&self.buyer, &self.shipping_address) {
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

    /// Whether `POST /payments` can pay it.
    pub fn is_payable(&self, now: Timestamp) -> bool {
        let waiting = self.goal == Goal::Fulfil && self.stock == StockLeg::Held && self.payment == PaymentLeg::Open;
        waiting && now < self.expires_at
    }

    /// Takes the event in; answers what the history should say of it, if it is news.
    fn take(&mut self, event: &Event, now: Timestamp) -> Result<Option<(&'static str, Option<String>)>, Rejection> {
        Ok(match event {
            Event::StockReserved(fact) => self.take_stock(*fact, "stock_reserved", Self::on_reserved),
            Event::StockRejected(fact) => self.take_stock(*fact, "stock_rejected", Self::on_rejected),
            Event::StockCommitted(fact) => self.take_stock(*fact, "stock_committed", Self::on_committed),
            Event::StockReleased(fact) => self.take_stock(*fact, "stock_released", Self::on_released),
            Event::PaymentStarted(fact) => self.take_attempt(fact, "payment_started", PaymentLeg::Processing),
            Event::PaymentUnknown(fact) => self.take_attempt(fact, "payment_unknown", PaymentLeg::Unknown),
            Event::PaymentDeclined(fact) => self.take_attempt(fact, "payment_declined", PaymentLeg::Open),
            Event::PaymentSucceeded(fact) => self.take_money(fact, "payment_succeeded", Self::on_captured),
            Event::PaymentRefunded(fact) => self.take_money(fact, "payment_refunded", Self::on_refunded),
            Event::PaymentClosed(fact) => self.take_closed(fact),
            Event::RefundFailed(fact) => self.take_refund_failed(fact),
            Event::Cancel => self.cancel()?,
            Event::Deadline => self.expire(now),
            Event::Nudge => self.nudge(),
            Event::Ship(shipment) => self.ship(shipment)?,
            Event::Deliver => self.deliver()?,
            Event::BuyerChanged(change) => {
                // The history is kept for ever: it says nothing of a person.
                self.note_buyer(change);
                None
            }
        })
    }

    fn take_stock(&mut self, fact: StockFact, name: &'static str, on: fn(&mut Self) -> bool) -> Option<(&'static str, Option<String>)> {
        if fact.version < self.stock_version {
            return None;
        }
        self.stock_version = fact.version;
        on(self).then_some((name, None))
    }

    fn on_reserved(&mut self) -> bool {
        let awaited = self.goal == Goal::Fulfil && self.stock == StockLeg::Asked;
        if awaited {
            self.stock = StockLeg::Held;
            match self.payment {
                PaymentLeg::None => self.payment = PaymentLeg::Open,
                PaymentLeg::Paid => self.confirm(),
                _ => {}
            }
        }
        awaited
    }

    fn on_rejected(&mut self) -> bool {
        match (&self.goal, &self.stock) {
            (Goal::Fulfil, StockLeg::Asked) => {
                self.abandon(Goal::Fail, "out_of_stock");
                self.stock = StockLeg::Rejected;
                true
            }
            // The release that is owed finds nothing to give back.
            (Goal::Cancel | Goal::Fail, StockLeg::Releasing) => {
                self.stock = StockLeg::Released;
                true
            }
            _ => false,
        }
    }

    fn on_committed(&mut self) -> bool {
        let awaited = self.goal == Goal::Fulfil && self.stock == StockLeg::Committing;
        if awaited {
            self.stock = StockLeg::Committed;
        }
        awaited
    }

    fn on_released(&mut self) -> bool {
        if self.goal == Goal::Fulfil {
            return self.alarm("stock_released_unasked");
        }
        let awaited = self.stock == StockLeg::Releasing;
        if awaited {
            self.stock = StockLeg::Released;
        }
        awaited
    }

    /// News of an attempt that is not money: they move the leg only while the order is on its way to the buyer.
    fn take_attempt(&mut self, fact: &PaymentFact, name: &'static str, leg: PaymentLeg) -> Option<(&'static str, Option<String>)> {
        if !self.take_version(fact) {
            return None;
        }
        let alive = matches!(self.payment, PaymentLeg::Open | PaymentLeg::Processing | PaymentLeg::Unknown);
        // Two declines may follow each other with nothing heard between them. The same one is told again after a nudge.
        let another_decline = leg == PaymentLeg::Open && fact.payment_id != self.last_declined;
        let changes = self.payment != leg || another_decline;
        if another_decline {
            self.last_declined = fact.payment_id.clone();
        }
        if self.goal == Goal::Fulfil && alive {
            self.payment = leg;
        }
        (alive && changes).then(|| (name, fact.reason.clone()))
    }

    fn take_money(&mut self, fact: &PaymentFact, name: &'static str, on: fn(&mut Self)) -> Option<(&'static str, Option<String>)> {
        self.take_version(fact);
        let before = (self.captured_total, self.refunded_total, self.payment.clone());
        self.captured_total = self.captured_total.max(fact.captured_total);
        self.refunded_total = self.refunded_total.max(fact.refunded_total);
        self.payment_id = self.payment_id.take().or_else(|| fact.payment_id.clone());
        on(self);
        let news = before != (self.captured_total, self.refunded_total, self.payment.clone());
        news.then_some((name, None))
    }

    fn on_captured(&mut self) {
        match self.goal {
            Goal::Fulfil => {
                if matches!(self.payment, PaymentLeg::None | PaymentLeg::Open | PaymentLeg::Processing | PaymentLeg::Unknown) {
                    self.payment = PaymentLeg::Paid;
                    if self.stock == StockLeg::Held {
                        self.confirm();
                    }
                }
            }
            // Money that comes after the order was given up goes back, whatever was believed before.
            _ => {
                if self.captured_total > self.refunded_total {
                    self.payment = PaymentLeg::Refunding;
                }
            }
        }
    }

    fn on_refunded(&mut self) {
        // `Closing`: the news of the capture was lost, and that of its refund came first.
        let held = matches!(self.payment, PaymentLeg::Refunding | PaymentLeg::Paid | PaymentLeg::Closing);
        if held && self.refunded_total >= self.captured_total {
            self.payment = PaymentLeg::Refunded;
            self.needs_attention = self.needs_attention.take().filter(|what| what != REFUND_FAILED);
        }
    }

    fn take_closed(&mut self, fact: &PaymentFact) -> Option<(&'static str, Option<String>)> {
        if !self.take_version(fact) {
            return None;
        }
        let alive = matches!(self.payment, PaymentLeg::Open | PaymentLeg::Processing | PaymentLeg::Unknown);
        let news = match (&self.goal, &self.payment) {
            (Goal::Fulfil, PaymentLeg::Paid) => self.alarm("payment_closed_after_capture"),
            (Goal::Fulfil, _) if alive => {
                self.abandon(Goal::Fail, "payment_failed");
                self.payment = PaymentLeg::Closed;
                true
            }
            (Goal::Cancel | Goal::Fail, PaymentLeg::Closing) => {
                self.payment = PaymentLeg::Closed;
                true
            }
            _ => false,
        };
        news.then(|| ("payment_closed", fact.reason.clone()))
    }

    fn take_refund_failed(&mut self, fact: &PaymentFact) -> Option<(&'static str, Option<String>)> {
        if !self.take_version(fact) || self.payment != PaymentLeg::Refunding {
            return None;
        }
        self.alarm(REFUND_FAILED).then(|| (REFUND_FAILED, fact.reason.clone()))
    }

    /// Notes how new the fact is; `false` if it is older than what was heard last.
    fn take_version(&mut self, fact: &PaymentFact) -> bool {
        let fresh = fact.version >= self.payment_version;
        self.payment_version = self.payment_version.max(fact.version);
        fresh
    }

    fn cancel(&mut self) -> Result<Option<(&'static str, Option<String>)>, Rejection> {
        match (&self.goal, &self.status) {
            (Goal::Fulfil, Status::Pending | Status::Confirmed) => {
                self.abandon(Goal::Cancel, "cancelled");
                Ok(Some(("cancel_requested", None)))
            }
            (Goal::Fulfil, _) => Err(self.invalid_transition()),
            _ => Ok(None),
        }
    }

    fn expire(&mut self, now: Timestamp) -> Option<(&'static str, Option<String>)> {
        let overdue = now >= self.expires_at && self.goal == Goal::Fulfil && self.status == Status::Pending;
        // A paid order that waits for its stock is no longer the buyer's to lose.
        if !overdue || self.payment == PaymentLeg::Paid {
            return None;
        }
        self.abandon(Goal::Cancel, "not_paid_in_time");
        Some(("expired", None))
    }

    fn nudge(&mut self) -> Option<(&'static str, Option<String>)> {
        if !self.is_settled() {
            self.drive += 1;
        }
        None
    }

    fn ship(&mut self, shipment: &Shipment) -> Result<Option<(&'static str, Option<String>)>, Rejection> {
        if self.status == Status::Shipped && self.shipment.as_ref() == Some(shipment) {
            return Ok(None);
        }
        // Paid, or given back in part since: both stand as `Paid`.
        let ready = self.status == Status::Confirmed && self.goal == Goal::Fulfil && self.stock == StockLeg::Committed;
        if !ready || self.payment != PaymentLeg::Paid || self.shipping_address.is_none() {
            return Err(self.invalid_transition());
        }
        self.status = Status::Shipped;
        self.shipment = Some(shipment.clone());
        Ok(Some(("shipped", None)))
    }

    fn deliver(&mut self) -> Result<Option<(&'static str, Option<String>)>, Rejection> {
        match self.status {
            Status::Shipped => {
                self.status = Status::Delivered;
                Ok(Some(("delivered", None)))
            }
            Status::Delivered => Ok(None),
            _ => Err(self.invalid_transition()),
        }
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
            PaymentLeg::Paid => PaymentLeg::Refunding,
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
        let news = self.needs_attention.as_deref() != Some(what);
        self.needs_attention = Some(what.to_owned());
        news
    }

    fn plan_next_look(&mut self, moved: bool, nudged: bool, now: Timestamp, timing: Timing) {
        if self.is_settled() {
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

    fn invalid_transition(&self) -> Rejection {
        let allowed = match (&self.goal, &self.status) {
            (Goal::Fulfil, Status::Pending) => vec!["cancel"],
            (Goal::Fulfil, Status::Confirmed) => vec!["cancel", "ship"],
            (Goal::Fulfil, Status::Shipped) => vec!["deliver"],
            _ => vec![],
        };
        Rejection::InvalidTransition { current: self.status.name().to_owned(), allowed }
    }

    fn refuse_unknown_states(&self) -> Result<(), Rejection> {
        let unknown = matches!(self.status, Status::Unknown(_))
            || matches!(self.goal, Goal::Unknown(_))
            || matches!(self.stock, StockLeg::Unknown(_))
            || matches!(self.payment, PaymentLeg::Unreadable(_));
        if unknown { Err(Rejection::UnknownState) } else { Ok(()) }
    }
}
