//! What payments says, and what it does to the order.
//!
//! Payments tells the present state of an order's payment, whatever it was asked for: of a payment that was refunded, or whose refund
//! failed, or that is disputed, nobody says any more that it succeeded. So every one of these facts counts for what its sums say, and not
//! for its name.

use shared::clock::Timestamp;

use super::{DisputeStatus, Goal, News, Order, PaymentFact, PaymentLeg, Status, StockLeg};

const REFUND_FAILED: &str = "refund_failed";
const PAYMENT_DISPUTED: &str = "payment_disputed";
const DISPUTE_LOST: &str = "dispute_lost";
const SURPLUS_REFUND_FAILED: &str = "surplus_refund_failed";

impl Order {
    /// Payments knows what the order costs: from here on the order waits for its buyer. Hearing it again changes nothing.
    pub(super) fn take_opened(&mut self, fact: &PaymentFact) -> Vec<News> {
        if !self.payment_opened && self.take_version(fact) {
            self.payment_opened = true;
        }
        Vec::new()
    }

    /// News of an attempt that is not money: they move the leg only while the order is on its way to the buyer.
    pub(super) fn take_attempt(&mut self, fact: &PaymentFact, name: &'static str, leg: PaymentLeg, now: Timestamp) -> Vec<News> {
        if !self.take_version(fact) {
            return Vec::new();
        }
        let alive = self.is_being_paid();
        // Two declines may follow each other with nothing heard between them. The same one is told again after a nudge.
        let another_decline = leg == PaymentLeg::Open && fact.payment_id != self.last_declined;
        let changes = self.payment != leg || another_decline;
        if another_decline {
            self.last_declined = fact.payment_id.clone();
        }
        if self.goal == Goal::Fulfil && alive {
            self.payment_in_flight_since = (!fact.requires_action).then(|| self.payment_in_flight_since.unwrap_or(now));
            self.payment = leg;
        }
        if alive && changes { vec![fact.news(name).because(fact.reason.clone())] } else { Vec::new() }
    }

    pub(super) fn take_closed(&mut self, fact: &PaymentFact) -> Vec<News> {
        if !self.take_version(fact) {
            return Vec::new();
        }
        let is_news = match (&self.goal, &self.payment) {
            (Goal::Fulfil, PaymentLeg::Paid) => self.alarm("payment_closed_after_capture"),
            (Goal::Fulfil, _) if self.is_being_paid() => {
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
        if is_news { vec![fact.news("payment_closed").because(fact.reason.clone())] } else { Vec::new() }
    }

    /// Money has moved: the sums are merged, and the leg follows them.
    pub(super) fn take_money(&mut self, fact: &PaymentFact) -> Vec<News> {
        let is_fresh = self.take_version(fact);
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
        let mut news = Vec::new();
        if self.captured_total > captured {
            news.push(fact.news("payment_succeeded").amount(self.captured_total - captured));
        }
        for ((event, now), (_, before)) in self.movements().into_iter().zip(before) {
            if now > before {
                news.push(fact.news(event).amount(now - before));
                if event == "payment_refunded" {
                    self.calm(REFUND_FAILED);
                }
            }
        }
        if news.is_empty() && self.payment != payment {
            news.push(fact.news("payment_succeeded"));
        }
        if newly_refused {
            news.push(fact.news("refund_refused"));
        }
        // A newer fact that was heard before has said how disputes and second captures stand.
        if is_fresh {
            news.extend(self.take_dispute(fact));
            match fact.surplus_refund_refused {
                true if self.alarm(SURPLUS_REFUND_FAILED) => news.push(fact.news(SURPLUS_REFUND_FAILED)),
                true => {}
                false => self.calm(SURPLUS_REFUND_FAILED),
            }
        }
        news
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
    fn take_dispute(&mut self, fact: &PaymentFact) -> Option<News> {
        let was_open = self.attentions().any(|what| what == PAYMENT_DISPUTED);
        match fact.dispute? {
            DisputeStatus::Open => self.alarm(PAYMENT_DISPUTED).then(|| fact.news(PAYMENT_DISPUTED)),
            DisputeStatus::Won => {
                self.calm(PAYMENT_DISPUTED);
                self.calm(DISPUTE_LOST);
                was_open.then(|| fact.news("dispute_won"))
            }
            DisputeStatus::Lost => {
                self.calm(PAYMENT_DISPUTED);
                self.alarm(DISPUTE_LOST).then(|| fact.news(DISPUTE_LOST))
            }
        }
    }

    /// The provider does not give back what it was asked for. The stock does not wait for that; while it is the order that asks, it asks
    /// again.
    pub(super) fn take_refund_failed(&mut self, fact: &PaymentFact) -> Vec<News> {
        let fresh = fact.version >= self.payment_version;
        let mut news = self.take_money(fact);
        if fresh && self.captured_total > self.returned_total() && self.alarm(REFUND_FAILED) {
            news.push(fact.news(REFUND_FAILED).because(fact.reason.clone()));
        }
        news
    }

    fn follow_money(&mut self) {
        let all_is_back = self.returned_total() >= self.captured_total;
        let unheard_of = self.payment == PaymentLeg::None || self.is_being_paid();
        match self.goal {
            Goal::Fulfil if all_is_back && (unheard_of || self.payment == PaymentLeg::Paid) => {
                // An operator gave the money back before the order was confirmed: there is nothing to confirm it with.
                if self.status == Status::Pending {
                    self.abandon(Goal::Cancel, "refunded");
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

    /// No attempt is in flight any more where none is under way.
    pub(super) fn land_payment(&mut self) {
        if !matches!(self.payment, PaymentLeg::Processing | PaymentLeg::Unknown) {
            self.payment_in_flight_since = None;
        }
    }

    /// Whether it can be paid or is being paid, as far as the order has heard.
    fn is_being_paid(&self) -> bool {
        matches!(self.payment, PaymentLeg::Open | PaymentLeg::Processing | PaymentLeg::Unknown)
    }

    /// Notes how new the fact is; `false` if it is older than what was heard last.
    fn take_version(&mut self, fact: &PaymentFact) -> bool {
        let fresh = fact.version >= self.payment_version;
        self.payment_version = self.payment_version.max(fact.version);
        fresh
    }
}

impl PaymentFact {
    fn news(&self, event: &'static str) -> News {
        News::of(event).payment(self.payment_id.as_ref())
    }
}
