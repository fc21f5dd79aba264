//! Disputes: the buyer's bank claims money back. The provider decides their state; this module records it and counts the money.
//!
//! A dispute has a state, and states have ranks: a later state replaces an earlier one, never the other way round. So two lookups whose
//! results are recorded in the wrong order, or twice, end in the same record.

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, money::Money, telemetry::Trace};

use super::{Change, Head, HeadState, PaymentId, stored_enum};

stored_enum!(
    /// The state of a dispute.
    DisputeState {
        /// The bank asks for information. It has taken no money.
        Inquiry = "inquiry",
        /// The bank closed its inquiry without taking money.
        InquiryClosed = "inquiry_closed",
        /// The dispute is open. The bank has taken no money yet.
        Open = "open",
        /// The dispute is open, and the bank has taken the money.
        Withdrawn = "withdrawn",
        /// The shop won: the money is back.
        Won = "won",
        /// The shop lost: the money is gone.
        Lost = "lost",
    }
);

stored_enum!(
    /// The state of all disputes of an order's payment together, as orders reads it.
    DisputeStatus {
        /// At least one dispute is open.
        Open = "open",
        /// No dispute is open, and none was lost.
        Won = "won",
        /// No dispute is open, and at least one was lost.
        Lost = "lost",
    }
);

impl DisputeState {
    /// The order of states: a state replaces only states of a lower rank. `None` for a state that this release does not know.
    fn rank(&self) -> Option<u8> {
        match self {
            Self::Inquiry => Some(0),
            Self::InquiryClosed => Some(1),
            Self::Open => Some(2),
            Self::Withdrawn => Some(3),
            Self::Won | Self::Lost => Some(4),
            Self::Unknown(_) => None,
        }
    }

    /// Whether this state replaces `earlier`. A decided dispute changes only if the provider reverses the decision.
    fn replaces(&self, earlier: &Self) -> bool {
        self != earlier
            && match (self.rank(), earlier.rank()) {
                (Some(new), Some(old)) => new > old || new == 4 && old == 4,
                _ => false,
            }
    }

    fn is_open(&self) -> bool {
        !matches!(self, Self::InquiryClosed | Self::Won | Self::Lost)
    }

    /// Whether the bank holds the money in this state.
    fn takes_money(&self) -> bool {
        matches!(self, Self::Withdrawn | Self::Lost)
    }
}

/// What the provider says of a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeFact {
    /// The provider's name for the dispute.
    pub dispute_id: String,
    /// The disputed payment.
    pub payment_id: PaymentId,
    /// The disputed amount.
    pub amount: Money,
    /// Its state.
    pub state: DisputeState,
}

/// A dispute, as the head records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// The provider's name for the dispute.
    pub dispute_id: String,
    /// The disputed payment.
    pub payment_id: PaymentId,
    /// Its state.
    pub state: DisputeState,
    /// How much of the order's money the bank holds because of it, in minor units.
    pub taken: i64,
    /// When its state last changed.
    pub updated_at: Timestamp,
}

/// The change that `fact` makes: the dispute's state, and the money that the bank took or gave back.
///
/// Only disputes of the payment that paid the order move its totals. A dispute of another payment is recorded, and a person has to look.
pub fn apply_dispute_fact(head: &Head, fact: &DisputeFact, now: Timestamp, trace: &Trace) -> Change {
    let needs_review = Change { needs_review: true, ..Change::default() };
    if matches!(head.state, HeadState::Unknown(_)) || fact.state.rank().is_none() || fact.amount.currency != head.currency {
        return needs_review;
    }
    let known = head.disputes.iter().find(|dispute| dispute.dispute_id == fact.dispute_id);
    if known.is_some_and(|known| !fact.state.replaces(&known.state)) {
        return Change::default();
    }
    let is_of_order = head.captured_payment == Some(fact.payment_id);
    let before = known.map_or(0, |known| known.taken);
    let taken = if is_of_order && fact.state.takes_money() { fact.amount.amount.max(0) } else { 0 };
    let dispute =
        Dispute { dispute_id: fact.dispute_id.clone(), payment_id: fact.payment_id, state: fact.state.clone(), taken, updated_at: now };
    let others = head.disputes.iter().filter(|dispute| dispute.dispute_id != fact.dispute_id).cloned();
    let after = Head {
        disputes: others.chain([dispute]).collect(),
        dispute_withdrawn_total: head.dispute_withdrawn_total + (taken - before).max(0),
        dispute_reinstated_total: head.dispute_reinstated_total + (before - taken).max(0),
        traceparent: trace.clone(),
        ..head.written(now)
    };
    Change { head: Some(after.with_refundable()), needs_review: !is_of_order, ..Change::default() }
}

impl Head {
    /// How much of the order's money banks hold because of disputes.
    pub fn disputed_away(&self) -> i64 {
        self.dispute_withdrawn_total - self.dispute_reinstated_total
    }

    /// The state of all disputes together; `None` where there never was one.
    pub fn dispute_status(&self) -> Option<DisputeStatus> {
        let any = |is: fn(&DisputeState) -> bool| self.disputes.iter().any(|dispute| is(&dispute.state));
        match () {
            () if self.disputes.is_empty() => None,
            () if any(DisputeState::is_open) => Some(DisputeStatus::Open),
            () if any(|state| *state == DisputeState::Lost) => Some(DisputeStatus::Lost),
            () => Some(DisputeStatus::Won),
        }
    }
}
