//! The payment of an order: what payments says of it, and what the order asks for.
//!
//! Payments reports the present state of an order's payment, whatever it was asked for: once a
//! payment is refunded or disputed, or its refund has failed, no fact says any more that it
//! succeeded. So each of these facts counts for its sums, and not for its name.

use shared::clock::Timestamp;

use crate::domain::{
    command::PendingCommand,
    history::NewEntry,
    order::Order,
    progress::Progress,
    state::{Goal, PaymentState, Status, StockState},
};

const REFUND_FAILED: &str = "refund_failed";
const PAYMENT_DISPUTED: &str = "payment_disputed";
const DISPUTE_LOST: &str = "dispute_lost";
const DUPLICATE_CAPTURE_REFUND_FAILED: &str = "duplicate_capture_refund_failed";

/// What payments says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PaymentUpdate {
    /// The version of the payment: grows with every fact.
    pub version: u64,
    /// The payment that it is about.
    pub payment_id: Option<String>,
    /// Minor units captured so far.
    pub captured_total: i64,
    /// Minor units refunded so far.
    pub refunded_total: i64,
    /// Minor units of these that came back because a refund failed later.
    pub refunds_reversed_total: i64,
    /// Minor units that banks withdrew because of disputes.
    pub dispute_withdrawn_total: i64,
    /// Minor units of these that banks reinstated.
    pub dispute_reinstated_total: i64,
    /// Whether payments tries no further automatic refund.
    pub refund_refused: bool,
    /// Whether a second capture could not be refunded.
    pub duplicate_capture_refund_refused: bool,
    /// Whether the attempt waits for the buyer, who has to act first (3-D Secure).
    pub requires_action: bool,
    /// Why it was declined or closed, or why it is not refunded.
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

impl Progress {
    /// Payments knows what the order costs: from here on the order waits for its buyer. A repeat
    /// changes nothing.
    pub(super) fn apply_opened(&mut self, update: &PaymentUpdate) -> Vec<NewEntry> {
        if !self.payment_opened && self.accept_payment_version(update) {
            self.payment_opened = true;
        }
        Vec::new()
    }

    /// An attempt without money: it moves the payment only while the order is on its way to the
    /// buyer.
    pub(super) fn apply_attempt(
        &mut self,
        update: &PaymentUpdate,
        name: &'static str,
        state: PaymentState,
        now: Timestamp,
    ) -> Vec<NewEntry> {
        if !self.accept_payment_version(update) {
            return Vec::new();
        }
        let alive = self.is_being_paid();
        // Two declines may follow each other with no fact between them. The same one is reported
        // again when the command is sent again.
        let another_decline =
            state == PaymentState::Open && update.payment_id != self.last_declined;
        let changes = self.payment != state || another_decline;
        if another_decline {
            self.last_declined = update.payment_id.clone();
        }
        if self.goal == Goal::Fulfil && alive {
            self.payment_in_flight_since =
                (!update.requires_action).then(|| self.payment_in_flight_since.unwrap_or(now));
            self.payment = state;
        }
        if alive && changes {
            vec![update.entry(name).detail(update.reason.clone())]
        } else {
            Vec::new()
        }
    }

    pub(super) fn apply_closed(&mut self, update: &PaymentUpdate) -> Vec<NewEntry> {
        if !self.accept_payment_version(update) {
            return Vec::new();
        }
        let is_new = match (&self.goal, &self.payment) {
            (Goal::Fulfil, PaymentState::Paid) => self.raise("payment_closed_after_capture"),
            (Goal::Fulfil, _) if self.is_being_paid() => {
                self.compensate(Goal::Fail, "payment_failed");
                self.payment = PaymentState::Closed;
                true
            }
            (Goal::Cancel | Goal::Fail, PaymentState::Closing) => {
                self.payment = PaymentState::Closed;
                true
            }
            _ => false,
        };
        if is_new {
            vec![update.entry("payment_closed").detail(update.reason.clone())]
        } else {
            Vec::new()
        }
    }

    /// Money has moved: the sums are merged, and the state follows them.
    pub(super) fn apply_payment(&mut self, update: &PaymentUpdate) -> Vec<NewEntry> {
        let is_fresh = self.accept_payment_version(update);
        let (captured, payment) = (self.captured_total, self.payment.clone());
        let before = self.movements();
        self.captured_total = captured.max(update.captured_total);
        self.refunded_total = self.refunded_total.max(update.refunded_total);
        self.refunds_reversed_total =
            self.refunds_reversed_total.max(update.refunds_reversed_total);
        self.dispute_withdrawn_total =
            self.dispute_withdrawn_total.max(update.dispute_withdrawn_total);
        self.dispute_reinstated_total =
            self.dispute_reinstated_total.max(update.dispute_reinstated_total);
        let newly_refused = update.refund_refused && !self.refund_refused;
        self.refund_refused |= update.refund_refused;
        self.payment_id = self.payment_id.take().or_else(|| update.payment_id.clone());
        if self.captured_total > 0 {
            self.update_payment_state();
        }
        let mut entries = Vec::new();
        if self.captured_total > captured {
            entries.push(update.entry("payment_succeeded").amount(self.captured_total - captured));
        }
        for ((event, now), (_, before)) in self.movements().into_iter().zip(before) {
            if now > before {
                entries.push(update.entry(event).amount(now - before));
                if event == "payment_refunded" {
                    self.clear(REFUND_FAILED);
                }
            }
        }
        if entries.is_empty() && self.payment != payment {
            entries.push(update.entry("payment_succeeded"));
        }
        if newly_refused {
            entries.push(update.entry("refund_refused"));
        }
        // Of disputes and second captures, only the latest fact counts.
        if is_fresh {
            entries.extend(self.apply_dispute(update));
            match update.duplicate_capture_refund_refused {
                true if self.raise(DUPLICATE_CAPTURE_REFUND_FAILED) => {
                    entries.push(update.entry(DUPLICATE_CAPTURE_REFUND_FAILED))
                }
                true => {}
                false => self.clear(DUPLICATE_CAPTURE_REFUND_FAILED),
            }
        }
        entries
    }

    /// The sums of money that went back or came back, by the event that the history records of
    /// each.
    fn movements(&self) -> [(&'static str, i64); 4] {
        [
            ("payment_refunded", self.refunded_total),
            ("refund_reversed", self.refunds_reversed_total),
            ("dispute_withdrawn", self.dispute_withdrawn_total),
            ("dispute_reinstated", self.dispute_reinstated_total),
        ]
    }

    /// An open dispute needs a person. One that was won or withdrawn does not; one that was lost is
    /// shown.
    fn apply_dispute(&mut self, update: &PaymentUpdate) -> Option<NewEntry> {
        let was_open = self.review_reasons().any(|what| what == PAYMENT_DISPUTED);
        match update.dispute? {
            DisputeStatus::Open => {
                self.raise(PAYMENT_DISPUTED).then(|| update.entry(PAYMENT_DISPUTED))
            }
            DisputeStatus::Won => {
                self.clear(PAYMENT_DISPUTED);
                self.clear(DISPUTE_LOST);
                was_open.then(|| update.entry("dispute_won"))
            }
            DisputeStatus::Lost => {
                self.clear(PAYMENT_DISPUTED);
                self.raise(DISPUTE_LOST).then(|| update.entry(DISPUTE_LOST))
            }
        }
    }

    /// The provider did not refund. The stock does not wait for that. A refund that the order asked
    /// for is sent again.
    pub(super) fn apply_refund_failed(&mut self, update: &PaymentUpdate) -> Vec<NewEntry> {
        let fresh = update.version >= self.payment_version;
        let mut entries = self.apply_payment(update);
        if fresh && self.captured_total > self.returned_total() && self.raise(REFUND_FAILED) {
            entries.push(update.entry(REFUND_FAILED).detail(update.reason.clone()));
        }
        entries
    }

    fn update_payment_state(&mut self) {
        let all_is_back = self.returned_total() >= self.captured_total;
        let is_uncaptured = self.payment == PaymentState::None || self.is_being_paid();
        match self.goal {
            Goal::Fulfil
                if all_is_back && (is_uncaptured || self.payment == PaymentState::Paid) =>
            {
                // An operator refunded the money before the order was confirmed: there is nothing
                // to confirm it with.
                if self.status == Status::Pending {
                    self.compensate(Goal::Cancel, "refunded");
                }
                self.payment = PaymentState::Refunded;
            }
            Goal::Fulfil if is_uncaptured => {
                self.payment = PaymentState::Paid;
                if self.stock == StockState::Reserved {
                    self.confirm();
                }
            }
            // A refund failed after it had succeeded, or a dispute was won: the shop has the money
            // again.
            Goal::Fulfil if !all_is_back && self.payment == PaymentState::Refunded => {
                self.payment = PaymentState::Paid
            }
            Goal::Fulfil => {}
            // Money that comes after the order was cancelled is refunded, whatever state the
            // payment was in.
            _ => self.payment = if all_is_back { PaymentState::Refunded } else { self.refunding() },
        }
    }

    /// The command that payments has to carry out in the present state.
    pub(super) fn pending_payment_command(&self) -> Option<PendingCommand> {
        match self.payment {
            PaymentState::Open | PaymentState::Processing | PaymentState::Unknown => {
                Some(PendingCommand::OpenPayment)
            }
            PaymentState::Closing => Some(PendingCommand::CancelPayment),
            PaymentState::Refunding => Some(PendingCommand::RefundPayment),
            _ => None,
        }
    }

    /// The order is turned round: no charge may start any more, and money that was captured is
    /// refunded.
    pub(super) fn undo_payment(&mut self) {
        self.payment = match self.payment {
            PaymentState::None => PaymentState::Closed,
            PaymentState::Paid => self.refunding(),
            PaymentState::Open | PaymentState::Processing | PaymentState::Unknown => {
                PaymentState::Closing
            }
            _ => return,
        };
    }

    /// The state of a payment that has to be refunded: by payments, or by a person after payments
    /// has stopped trying.
    fn refunding(&self) -> PaymentState {
        if self.refund_refused { PaymentState::RefundRefused } else { PaymentState::Refunding }
    }

    /// Minor units that went back to the buyer: by refunds that did not fail later, and by disputes
    /// that were not won.
    pub fn returned_total(&self) -> i64 {
        self.refunded_net() + self.dispute_withdrawn_total - self.dispute_reinstated_total
    }

    /// Minor units that refunds gave back, without those that failed later.
    pub fn refunded_net(&self) -> i64 {
        self.refunded_total - self.refunds_reversed_total
    }

    /// Whether it is the buyer's turn, who may take their time: to pay, to pay again after a
    /// decline, or to act at their bank.
    pub fn awaits_buyer(&self) -> bool {
        let can_be_paid = self.goal == Goal::Fulfil && self.stock == StockState::Reserved;
        can_be_paid
            && match self.payment {
                PaymentState::Open => self.payment_opened || self.last_declined.is_some(),
                PaymentState::Processing => self.payment_in_flight_since.is_none(),
                _ => false,
            }
    }

    /// No attempt is in flight any more where none is under way.
    pub(super) fn clear_in_flight(&mut self) {
        if !matches!(self.payment, PaymentState::Processing | PaymentState::Unknown) {
            self.payment_in_flight_since = None;
        }
    }

    /// Whether it can be paid or is being paid, as far as the order has heard.
    fn is_being_paid(&self) -> bool {
        matches!(
            self.payment,
            PaymentState::Open | PaymentState::Processing | PaymentState::Unknown
        )
    }

    /// Notes how new the fact is; `false` if it is older than the latest that the order knows.
    fn accept_payment_version(&mut self, update: &PaymentUpdate) -> bool {
        let fresh = update.version >= self.payment_version;
        self.payment_version = self.payment_version.max(update.version);
        fresh
    }
}

impl Order {
    /// Whether `POST /payments` can pay it.
    pub fn is_payable(&self, now: Timestamp) -> bool {
        let Progress { goal, stock, payment, .. } = &self.progress;
        let waiting = *goal == Goal::Fulfil
            && *stock == StockState::Reserved
            && *payment == PaymentState::Open;
        waiting && now < self.placed.expires_at
    }
}

impl PaymentUpdate {
    fn entry(&self, event: &'static str) -> NewEntry {
        NewEntry::new(event).payment(self.payment_id.as_ref())
    }
}
