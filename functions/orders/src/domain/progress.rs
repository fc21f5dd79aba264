//! How far an order has come: the state of the saga.

use shared::clock::Timestamp;

use super::{
    actions::{Cancellation, Shipment},
    history::{HistoryEntry, MAX_HISTORY, NewEntry},
    state::{Goal, PaymentState, Status, StockState},
};

/// How far an order has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What the public sees.
    pub status: Status,
    /// Where it is going.
    pub goal: Goal,
    /// Why it was cancelled or failed.
    pub reason: Option<String>,
    /// Who cancelled it, if a person did.
    pub cancellation: Option<Cancellation>,
    /// How the goods travel.
    pub shipment: Option<Shipment>,
    /// How far the stock is.
    pub stock: StockState,
    /// The latest version of the reservation that the order knows.
    pub stock_version: u64,
    /// How far the payment is.
    pub payment: PaymentState,
    /// The latest version of the payment that the order knows.
    pub payment_version: u64,
    /// The payment that captured the money.
    pub payment_id: Option<String>,
    /// Minor units that were captured in all: only grows.
    pub captured_total: i64,
    /// Minor units that were refunded in all: only grows.
    pub refunded_total: i64,
    /// Minor units of these that came back because a refund failed later: only grows.
    pub refunds_reversed_total: i64,
    /// Minor units that banks withdrew because of disputes: only grows.
    pub dispute_withdrawn_total: i64,
    /// Minor units of these that banks reinstated: only grows.
    pub dispute_reinstated_total: i64,
    /// Whether payments tries no further automatic refund: once true, it stays so.
    pub refund_refused: bool,
    /// The payment whose decline was recorded last: a repeat is ignored.
    pub last_declined: Option<String>,
    /// Whether payments has confirmed that the order can be paid.
    pub payment_opened: bool,
    /// Since when an attempt is under way that waits for payments and its provider. `None` while it
    /// waits for the buyer (3-D Secure).
    pub payment_in_flight_since: Option<Timestamp>,
    /// Why an operator should review this order: the oldest reason that still holds.
    pub needs_review: Option<String>,
    /// The other reasons.
    pub further_review_reasons: Vec<String>,
    /// What happened, the oldest first.
    pub history: Vec<HistoryEntry>,
    /// How many entries were left out in the middle of the history, because there were too many.
    pub history_omitted: u32,
}

impl Progress {
    /// Of an order that is placed now.
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

    /// Why an operator should review the order: every reason that still holds, the oldest first.
    pub fn review_reasons(&self) -> impl Iterator<Item = &str> {
        self.needs_review.iter().chain(&self.further_review_reasons).map(String::as_str)
    }

    /// Asks an operator to review the order; `false` if one was asked for this reason already.
    pub(super) fn raise(&mut self, what: &str) -> bool {
        if self.review_reasons().any(|known| known == what) {
            return false;
        }
        match self.needs_review {
            None => self.needs_review = Some(what.to_owned()),
            Some(_) => self.further_review_reasons.push(what.to_owned()),
        }
        true
    }

    /// Removes a reason for a review.
    pub(super) fn clear(&mut self, what: &str) {
        self.further_review_reasons.retain(|known| known != what);
        if self.needs_review.as_deref() == Some(what) {
            self.needs_review = (!self.further_review_reasons.is_empty())
                .then(|| self.further_review_reasons.remove(0));
        }
    }

    /// Adds to the history; where it grows too long, entries in its middle are left out.
    pub(super) fn record(&mut self, entries: impl IntoIterator<Item = HistoryEntry>) {
        self.history.extend(entries);
        while self.history.len() > MAX_HISTORY {
            self.history.remove(MAX_HISTORY / 2);
            self.history_omitted += 1;
        }
    }
}
