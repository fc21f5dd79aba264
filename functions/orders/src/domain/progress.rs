//! The progress of an order: the state of the saga.

use shared::clock::Timestamp;

use super::{
    actions::{Cancellation, Shipment},
    history::{HistoryEntry, MAX_HISTORY, NewEntry},
    state::{Goal, PaymentState, Status, StockState},
};

/// The status of an order, its goal, and the states of its stock and payment.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    pub status: Status,
    pub goal: Goal,
    /// Why the order is or was cancelled, or failed.
    pub reason: Option<String>,
    /// Who cancelled the order; `None` if no person did.
    pub cancellation: Option<Cancellation>,
    pub shipment: Option<Shipment>,
    pub stock: StockState,
    /// The latest version of the reservation that an event reported.
    pub stock_version: u64,
    pub payment: PaymentState,
    /// The latest version of the payment that an event reported.
    pub payment_version: u64,
    /// The payment that captured the money.
    pub payment_id: Option<String>,
    /// Minor units captured in total. Only grows.
    pub captured_total: i64,
    /// Minor units refunded in total, including refunds that failed later. Only grows.
    pub refunded_total: i64,
    /// Minor units of `refunded_total` that came back because a refund failed later. Only grows.
    pub refunds_reversed_total: i64,
    /// Minor units that banks withdrew because of disputes. Only grows.
    pub dispute_withdrawn_total: i64,
    /// Minor units of `dispute_withdrawn_total` that banks reinstated. Only grows.
    pub dispute_reinstated_total: i64,
    /// Whether payments has stopped automatic refunds. Never reset.
    pub refund_refused: bool,
    /// The last payment whose decline was recorded. A repeated decline of it is ignored.
    pub last_declined: Option<String>,
    /// Whether payments has confirmed that the order can be paid.
    pub payment_opened: bool,
    /// Start of the attempt in flight, while it waits for payments and its provider. `None` while
    /// it waits for the buyer (3-D Secure).
    pub payment_in_flight_since: Option<Timestamp>,
    /// Why an operator has to review the order: the oldest reason that still holds.
    pub needs_review: Option<String>,
    /// The other reasons, oldest first.
    pub further_review_reasons: Vec<String>,
    /// The events of the order, oldest first.
    pub history: Vec<HistoryEntry>,
    /// The number of entries removed from the middle of the history.
    pub history_omitted: u32,
}

impl Progress {
    /// The progress of an order that is placed at `now`.
    pub(super) fn begin(now: Timestamp) -> Self {
        Self {
            status: Status::Pending,
            goal: Goal::Fulfil,
            reason: None,
            cancellation: None,
            shipment: None,
            stock: StockState::Reserving,
            stock_version: 0,
            payment: PaymentState::None,
            payment_version: 0,
            payment_id: None,
            captured_total: 0,
            refunded_total: 0,
            refunds_reversed_total: 0,
            dispute_withdrawn_total: 0,
            dispute_reinstated_total: 0,
            refund_refused: false,
            last_declined: None,
            payment_opened: false,
            payment_in_flight_since: None,
            needs_review: None,
            further_review_reasons: Vec::new(),
            history: vec![NewEntry::new("placed").at(now, &Status::Pending)],
            history_omitted: 0,
        }
    }

    /// Every reason for a review that still holds, oldest first.
    pub fn review_reasons(&self) -> impl Iterator<Item = &str> {
        self.needs_review.iter().chain(&self.further_review_reasons).map(String::as_str)
    }

    /// Raises a review. Returns `false` if it was already raised for this reason.
    pub(super) fn raise(&mut self, reason: &str) -> bool {
        if self.review_reasons().any(|known| known == reason) {
            return false;
        }
        match self.needs_review {
            None => self.needs_review = Some(reason.to_owned()),
            Some(_) => self.further_review_reasons.push(reason.to_owned()),
        }
        true
    }

    /// Clears a reason for a review. The next oldest reason takes its place.
    pub(super) fn clear(&mut self, reason: &str) {
        self.further_review_reasons.retain(|known| known != reason);
        if self.needs_review.as_deref() == Some(reason) {
            self.needs_review = (!self.further_review_reasons.is_empty())
                .then(|| self.further_review_reasons.remove(0));
        }
    }

    /// Adds entries to the history. If it grows beyond [`MAX_HISTORY`], entries in its middle are
    /// removed.
    pub(super) fn record(&mut self, entries: impl IntoIterator<Item = HistoryEntry>) {
        self.history.extend(entries);
        while self.history.len() > MAX_HISTORY {
            self.history.remove(MAX_HISTORY / 2);
            self.history_omitted += 1;
        }
    }
}
