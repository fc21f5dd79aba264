//! The payment of an order: applies the events of payments and derives its pending command.
//!
//! An event of payments reports the present state of the payment, not only the effect of the
//! command that it answers. A capture is not always reported as `payment_succeeded`: once the
//! payment is refunded or disputed, or its refund has failed, every later event has another name.
//! Therefore the totals of such an event count, not its name.

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

/// The data of an event of payments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PaymentUpdate {
    /// The version of the payment, which grows with every event.
    pub version: u64,
    pub payment_id: Option<String>,
    /// Minor units captured so far.
    pub captured_total: i64,
    /// Minor units refunded so far, including refunds that failed later.
    pub refunded_total: i64,
    /// Minor units of `refunded_total` that came back because a refund failed later.
    pub refunds_reversed_total: i64,
    /// Minor units that banks withdrew because of disputes.
    pub dispute_withdrawn_total: i64,
    /// Minor units of `dispute_withdrawn_total` that banks reinstated.
    pub dispute_reinstated_total: i64,
    /// Whether payments has stopped automatic refunds.
    pub refund_refused: bool,
    /// Whether a duplicate capture could not be refunded.
    pub duplicate_capture_refund_refused: bool,
    /// Whether the attempt waits for an action of the buyer (3-D Secure).
    pub requires_action: bool,
    /// Why the payment was declined or closed, or why it was not refunded.
    pub reason: Option<String>,
    /// The combined status of all disputes; `None` if there was none.
    pub dispute: Option<DisputeStatus>,
}

/// The combined status of all disputes of an order's payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputeStatus {
    /// At least one dispute is open.
    Open,
    /// No dispute is open, and none was lost.
    Won,
    /// No dispute is open, and at least one was lost.
    Lost,
}

impl Progress {
    /// Payments has opened the payment, so the order now waits for its buyer. A repeated event
    /// changes nothing.
    pub(super) fn apply_opened(&mut self, update: &PaymentUpdate) -> Vec<NewEntry> {
        if !self.payment_opened && self.accept_payment_version(update) {
            self.payment_opened = true;
        }
        Vec::new()
    }

    /// Applies an attempt without a capture. It changes the payment state only while the goal is to
    /// fulfil the order.
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
        let is_being_paid = self.is_being_paid();
        // Two declines may arrive without an event between them. A command that is sent again is
        // answered with the same decline, which is not recorded twice.
        let another_decline =
            state == PaymentState::Open && update.payment_id != self.last_declined;
        let changes = self.payment != state || another_decline;
        if another_decline {
            self.last_declined = update.payment_id.clone();
        }
        if self.goal == Goal::Fulfil && is_being_paid {
            self.payment_in_flight_since =
                (!update.requires_action).then(|| self.payment_in_flight_since.unwrap_or(now));
            self.payment = state;
        }
        if is_being_paid && changes {
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
            (Goal::Fulfil, PaymentState::Paid) if self.captured_total > 0 => {
                self.raise("payment_closed_after_capture")
            }
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

    /// Applies an event about money: merges its totals and derives the payment state from them.
    pub(super) fn apply_payment(&mut self, update: &PaymentUpdate) -> Vec<NewEntry> {
        let is_latest = self.accept_payment_version(update);
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
        // Disputes and duplicate captures have no totals, so only the latest event counts.
        if is_latest {
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

    /// The totals that grow after a capture, each with the history event that records its growth.
    fn movements(&self) -> [(&'static str, i64); 4] {
        [
            ("payment_refunded", self.refunded_total),
            ("refund_reversed", self.refunds_reversed_total),
            ("dispute_withdrawn", self.dispute_withdrawn_total),
            ("dispute_reinstated", self.dispute_reinstated_total),
        ]
    }

    /// Raises a review for an open or lost dispute. Clears it once the dispute is won or withdrawn.
    fn apply_dispute(&mut self, update: &PaymentUpdate) -> Option<NewEntry> {
        let was_open = self.review_reasons().any(|reason| reason == PAYMENT_DISPUTED);
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

    /// Applies a failed refund: raises a review if the shop still has money of the buyer. The stock
    /// is released independently. If the order needs the refund, the command stays pending.
    pub(super) fn apply_refund_failed(&mut self, update: &PaymentUpdate) -> Vec<NewEntry> {
        let is_latest = update.version >= self.payment_version;
        let mut entries = self.apply_payment(update);
        if is_latest && self.captured_total > self.returned_total() && self.raise(REFUND_FAILED) {
            entries.push(update.entry(REFUND_FAILED).detail(update.reason.clone()));
        }
        entries
    }

    /// Derives the payment state from the totals.
    fn update_payment_state(&mut self) {
        let is_fully_returned = self.returned_total() >= self.captured_total;
        let is_uncaptured = self.payment == PaymentState::None || self.is_being_paid();
        match self.goal {
            Goal::Fulfil
                if is_fully_returned && (is_uncaptured || self.payment == PaymentState::Paid) =>
            {
                // An operator refunded the money before the order was confirmed, so the order is
                // unpaid and must not ship.
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
            Goal::Fulfil if !is_fully_returned && self.payment == PaymentState::Refunded => {
                self.payment = PaymentState::Paid
            }
            Goal::Fulfil => {}
            // Money captured after the order was cancelled is refunded, regardless of the payment
            // state.
            _ => {
                self.payment =
                    if is_fully_returned { PaymentState::Refunded } else { self.refunding() }
            }
        }
    }

    /// The command that payments has to process in the present state.
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

    /// Compensates the payment: no new charge may start, and captured money is refunded.
    pub(super) fn compensate_payment(&mut self) {
        self.payment = match self.payment {
            PaymentState::None => PaymentState::Closed,
            // A free order is paid without a capture, so there is nothing to refund.
            PaymentState::Paid if self.captured_total == 0 => PaymentState::Closed,
            PaymentState::Paid => self.refunding(),
            PaymentState::Open | PaymentState::Processing | PaymentState::Unknown => {
                PaymentState::Closing
            }
            _ => return,
        };
    }

    /// The state of a payment that has to be refunded: by payments, or by an operator once payments
    /// has stopped automatic refunds.
    fn refunding(&self) -> PaymentState {
        if self.refund_refused { PaymentState::RefundRefused } else { PaymentState::Refunding }
    }

    /// Minor units returned to the buyer: refunds that did not fail later, and disputed amounts
    /// that banks did not reinstate.
    pub fn returned_total(&self) -> i64 {
        let disputed = self.dispute_withdrawn_total.saturating_sub(self.dispute_reinstated_total);
        self.refunded_net().saturating_add(disputed)
    }

    /// Minor units refunded, without refunds that failed later.
    pub fn refunded_net(&self) -> i64 {
        self.refunded_total.saturating_sub(self.refunds_reversed_total)
    }

    /// The status of the payment in the API.
    pub fn payment_status(&self) -> &'static str {
        match self.payment {
            PaymentState::Processing => "processing",
            PaymentState::Unknown => "unknown",
            PaymentState::Refunding => "refunding",
            PaymentState::Refunded => "refunded",
            PaymentState::RefundRefused => "refund_failed",
            PaymentState::Paid if (1..self.captured_total).contains(&self.refunded_net()) => {
                "partially_refunded"
            }
            PaymentState::Paid => "paid",
            _ => "unpaid",
        }
    }

    /// Whether the order waits for its buyer: to pay, to pay again after a decline, or to confirm
    /// the payment at their bank. The buyer has until the payment deadline.
    pub fn awaits_buyer(&self) -> bool {
        let can_be_paid = self.goal == Goal::Fulfil && self.stock == StockState::Reserved;
        can_be_paid
            && match self.payment {
                PaymentState::Open => self.payment_opened || self.last_declined.is_some(),
                PaymentState::Processing => self.payment_in_flight_since.is_none(),
                _ => false,
            }
    }

    /// Clears the time of the attempt in flight once no attempt is in flight.
    pub(super) fn clear_in_flight(&mut self) {
        if !matches!(self.payment, PaymentState::Processing | PaymentState::Unknown) {
            self.payment_in_flight_since = None;
        }
    }

    /// Whether the order can be paid or is being paid, according to the events received so far.
    fn is_being_paid(&self) -> bool {
        matches!(
            self.payment,
            PaymentState::Open | PaymentState::Processing | PaymentState::Unknown
        )
    }

    /// Records the version of an event. Returns `false` if a later event is known.
    fn accept_payment_version(&mut self, update: &PaymentUpdate) -> bool {
        let is_latest = update.version >= self.payment_version;
        self.payment_version = self.payment_version.max(update.version);
        is_latest
    }
}

impl Order {
    /// Whether payments charges the method of the order now. Payments reports no start of a charge,
    /// only its outcome, so this follows from the pending command.
    pub fn is_charged_automatically(&self) -> bool {
        let Progress { goal, payment, payment_opened, last_declined, .. } = &self.progress;
        *goal == Goal::Fulfil
            && *payment == PaymentState::Open
            && self.customer.payment_method.is_some()
            && !payment_opened
            && last_declined.is_none()
    }

    /// Whether `POST /payments` can pay the order at `now`.
    pub fn is_payable(&self, now: Timestamp) -> bool {
        let Progress { goal, stock, payment, .. } = &self.progress;
        let waiting = *goal == Goal::Fulfil
            && *stock == StockState::Reserved
            && *payment == PaymentState::Open;
        waiting && !self.is_charged_automatically() && now < self.placed.expires_at
    }
}

impl PaymentUpdate {
    fn entry(&self, event: &'static str) -> NewEntry {
        NewEntry::new(event).payment(self.payment_id.as_ref())
    }
}
