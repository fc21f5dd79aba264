//! The single way in for what becomes known about a dispute. The provider decides its state; this module records it and counts the money.
//!
//! A dispute has a state, and states have ranks: a later state replaces an earlier one, never the other way round. So two lookups whose
//! results are recorded in the wrong order, or twice, end in the same record.

use provider::{ProviderDispute, DisputeState};
use shared::{clock::Timestamp, telemetry::Trace};

use super::{Change, Dispute, Head, HeadState};

/// The change that `fact` makes: the dispute's state, and the money that the bank took or gave back.
///
/// Only disputes of the payment that paid the order move its totals. A dispute of another payment is recorded, and a person has to look.
pub fn apply_dispute_fact(head: &Head, fact: &ProviderDispute, now: Timestamp, trace: &Trace) -> Change {
    let needs_review = Change { needs_review: true, ..Change::default() };
    if matches!(head.state, HeadState::Unknown(_)) || rank(&fact.state).is_none() || fact.amount.currency != head.currency {
        return needs_review;
    }
    let known = head.disputes.iter().find(|dispute| dispute.dispute_id == fact.dispute_id);
    if known.is_some_and(|known| !replaces(&fact.state, &known.state)) {
        return Change::default();
    }
    let is_of_order = head.captured_payment == Some(fact.payment_id);
    let before = known.map_or(0, |known| known.taken);
    let taken = if is_of_order && fact.state.funds_withdrawn() { fact.amount.amount.max(0) } else { 0 };
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

/// The order of states: a state replaces only states of a lower rank. `None` for a state that this release does not know.
fn rank(state: &DisputeState) -> Option<u8> {
    match state {
        DisputeState::Inquiry => Some(0),
        DisputeState::InquiryClosed => Some(1),
        DisputeState::Open => Some(2),
        DisputeState::Withdrawn => Some(3),
        DisputeState::Won | DisputeState::Lost => Some(4),
        DisputeState::Unknown(_) => None,
    }
}

/// Whether `state` replaces `earlier`. A decided dispute changes only if the provider reverses the decision.
fn replaces(state: &DisputeState, earlier: &DisputeState) -> bool {
    state != earlier
        && match (rank(state), rank(earlier)) {
            (Some(new), Some(old)) => new > old || new == 4 && old == 4,
            _ => false,
        }
}
