//! What payments says, and what it does to the order.
//!
//! Payments tells the present state of an order's payment, whatever it was asked for: of a payment that was refunded, or whose refund
//! failed, or that is disputed, nobody says any more that it succeeded. So every one of these facts counts for what its sums say, and not
//! for its name.

use shared::clock::Timestamp;

use super::{DisputeStatus, PaymentFact};
use crate::domain::{
    history::NewEntry,
    progress::Progress,
    state::{Goal, PaymentLeg, Status, StockLeg},
};

const REFUND_FAILED: &str = "refund_failed";
const PAYMENT_DISPUTED: &str = "payment_disputed";
const DISPUTE_LOST: &str = "dispute_lost";
const SURPLUS_REFUND_FAILED: &str = "surplus_refund_failed";

impl Progress {
    /// Payments knows what the order costs: from here on the order waits for its buyer. Hearing it again changes nothing.
    pub(super) fn apply_opened(&mut self, fact: &PaymentFact) -> Vec<NewEntry> {
        if !self.payment_opened && self.note_payment_version(fact) {
            self.payment_opened = true;
        }
        Vec::new()
    }

    /// NewEntry of an attempt that is not money: they move the leg only while the order is on its way to the buyer.
    pub(super) fn apply_attempt(&mut self, fact: &PaymentFact, name: &'static str, leg: PaymentLeg, now: Timestamp) -> Vec<NewEntry> {
        if !self.note_payment_version(fact) {
            return Vec::new();
        }
        let alive = self.is_being_paid();
        // Two declines may follow each other with nothing heard between them. The same one is reported again when the command is sent again.
        let another_decline = leg == PaymentLeg::Open && fact.payment_id != self.last_declined;
        let changes = self.payment != leg || another_decline;
        if another_decline {
            self.last_declined = fact.payment_id.clone();
        }
        if self.goal == Goal::Fulfil && alive {
            self.payment_in_flight_since = (!fact.requires_action).then(|| self.payment_in_flight_since.unwrap_or(now));
            self.payment = leg;
        }
        if alive && changes { vec![fact.entry(name).because(fact.reason.clone())] } else { Vec::new() }
    }

    pub(super) fn apply_closed(&mut self, fact: &PaymentFact) -> Vec<NewEntry> {
        if !self.note_payment_version(fact) {
            return Vec::new();
        }
        let is_news = match (&self.goal, &self.payment) {
            (Goal::Fulfil, PaymentLeg::Paid) => self.raise("payment_closed_after_capture"),
            (Goal::Fulfil, _) if self.is_being_paid() => {
                self.compensate(Goal::Fail, "payment_failed");
                self.payment = PaymentLeg::Closed;
                true
            }
            (Goal::Cancel | Goal::Fail, PaymentLeg::Closing) => {
                self.payment = PaymentLeg::Closed;
                true
            }
            _ => false,
        };
        if is_news { vec![fact.entry("payment_closed").because(fact.reason.clone())] } else { Vec::new() }
    }

    /// Money has moved: the sums are merged, and the leg follows them.
    pub(super) fn apply_money(&mut self, fact: &PaymentFact) -> Vec<NewEntry> {
        let is_fresh = self.note_payment_version(fact);
        let (captured, payment) = (self.captured_total, self.payment.clone());
        let before = self.movements();
        self.captured_total = captured.max(fact.captured_total);
        self.refunded_total = self.refunded_total.max(fact.refunded_total);
        self.refunds_reversed_total = self.refunds_reversed_total.max(fact.refunds_reversed_total);
        self.dispute_withdrawn_total = self.dispute_withdrawn_total.max(fact.dispute_withdrawn_total);
        self.dispute_reinstated_total = self.dispute_reinstated_total.max(fact.dispute_reinstated_total);
        let newly_refused = fact.refund_refused && !self.refund_refused;
        self.refund_refused |= fact.refund_refused;
        self.payment_id = self.payment_id.take().or_else(|| fact.payment_id.clone());
        if self.captured_total > 0 {
            self.follow_money();
        }
        let mut entries = Vec::new();
        if self.captured_total > captured {
            entries.push(fact.entry("payment_succeeded").amount(self.captured_total - captured));
        }
        for ((event, now), (_, before)) in self.movements().into_iter().zip(before) {
            if now > before {
                entries.push(fact.entry(event).amount(now - before));
                if event == "payment_refunded" {
                    self.clear(REFUND_FAILED);
                }
            }
        }
        if entries.is_empty() && self.payment != payment {
            entries.push(fact.entry("payment_succeeded"));
        }
        if newly_refused {
            entries.push(fact.entry("refund_refused"));
        }
        // A newer fact that was heard before has said how disputes and second captures stand.
        if is_fresh {
            entries.extend(self.apply_dispute(fact));
            match fact.surplus_refund_refused {
                true if self.raise(SURPLUS_REFUND_FAILED) => entries.push(fact.entry(SURPLUS_REFUND_FAILED)),
                true => {}
                false => self.clear(SURPLUS_REFUND_FAILED),
            }
        }
        entries
    }

    /// The sums of money that went back or came back, by the event that the history records of each.
    fn movements(&self) -> [(&'static str, i64); 4] {
        [
            ("payment_refunded", self.refunded_total),
            ("refund_reversed", self.refunds_reversed_total),
            ("dispute_withdrawn", self.dispute_withdrawn_total),
            ("dispute_reinstated", self.dispute_reinstated_total),
        ]
    }

    /// An open dispute needs a person. One that was won or withdrawn does not; one that was lost is shown.
    fn apply_dispute(&mut self, fact: &PaymentFact) -> Option<NewEntry> {
        let was_open = self.attentions().any(|what| what == PAYMENT_DISPUTED);
        match fact.dispute? {
            DisputeStatus::Open => self.raise(PAYMENT_DISPUTED).then(|| fact.entry(PAYMENT_DISPUTED)),
            DisputeStatus::Won => {
                self.clear(PAYMENT_DISPUTED);
                self.clear(DISPUTE_LOST);
                was_open.then(|| fact.entry("dispute_won"))
            }
            DisputeStatus::Lost => {
                self.clear(PAYMENT_DISPUTED);
                self.raise(DISPUTE_LOST).then(|| fact.entry(DISPUTE_LOST))
            }
        }
    }

    /// The provider does not give back what it was asked for. The stock does not wait for that; while it is the order that asks, it asks
    /// again.
    pub(super) fn apply_refund_failed(&mut self, fact: &PaymentFact) -> Vec<NewEntry> {
        let fresh = fact.version >= self.payment_version;
        let mut entries = self.apply_money(fact);
        if fresh && self.captured_total > self.returned_total() && self.raise(REFUND_FAILED) {
            entries.push(fact.entry(REFUND_FAILED).because(fact.reason.clone()));
        }
        entries
    }

    fn follow_money(&mut self) {
        let all_is_back = self.returned_total() >= self.captured_total;
        let unheard_of = self.payment == PaymentLeg::None || self.is_being_paid();
        match self.goal {
            Goal::Fulfil if all_is_back && (unheard_of || self.payment == PaymentLeg::Paid) => {
                // An operator gave the money back before the order was confirmed: there is nothing to confirm it with.
                if self.status == Status::Pending {
                    self.compensate(Goal::Cancel, "refunded");
                }
                self.payment = PaymentLeg::Refunded;
            }
            Goal::Fulfil if unheard_of => {
                self.payment = PaymentLeg::Paid;
                if self.stock == StockLeg::Held {
                    self.confirm();
                }
            }
            // A refund failed after it had succeeded, or a dispute was won: the shop has the money again.
            Goal::Fulfil if !all_is_back && self.payment == PaymentLeg::Refunded => self.payment = PaymentLeg::Paid,
            Goal::Fulfil => {}
            // Money that comes after the order was given up goes back, whatever was believed before.
            _ => self.payment = if all_is_back { PaymentLeg::Refunded } else { self.refunding() },
        }
    }

    /// The leg of an order whose money has to go back: payments is asked for it, or a person after payments has stopped trying.
    pub(super) fn refunding(&self) -> PaymentLeg {
        if self.refund_refused { PaymentLeg::RefundRefused } else { PaymentLeg::Refunding }
    }

    /// Minor units that went back to the buyer: by refunds that did not fail later, and by disputes that were not won.
    pub fn returned_total(&self) -> i64 {
        self.refunded_net() + self.dispute_withdrawn_total - self.dispute_reinstated_total
    }

    /// Minor units that refunds gave back, without those that failed later.
    pub fn refunded_net(&self) -> i64 {
        self.refunded_total - self.refunds_reversed_total
    }

    /// No attempt is in flight any more where none is under way.
    pub(super) fn clear_in_flight(&mut self) {
        if !matches!(self.payment, PaymentLeg::Processing | PaymentLeg::Unknown) {
            self.payment_in_flight_since = None;
        }
    }

    /// Whether it can be paid or is being paid, as far as the order has heard.
    fn is_being_paid(&self) -> bool {
        matches!(self.payment, PaymentLeg::Open | PaymentLeg::Processing | PaymentLeg::Unknown)
    }

    /// Notes how new the fact is; `false` if it is older than the latest that the order knows.
    fn note_payment_version(&mut self, fact: &PaymentFact) -> bool {
        let fresh = fact.version >= self.payment_version;
        self.payment_version = self.payment_version.max(fact.version);
        fresh
    }
}

impl PaymentFact {
    fn entry(&self, event: &'static str) -> NewEntry {
        NewEntry::of(event).payment(self.payment_id.as_ref())
    }
}
