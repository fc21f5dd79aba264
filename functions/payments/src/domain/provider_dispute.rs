//! Applies the state of a dispute at the provider to the payment intent.
//!
//! States have ranks: a later state replaces an earlier one, never the reverse. Lookups that are
//! recorded twice or out of order therefore end in the same record.

use provider::{DisputeState, ProviderDispute};
use shared::{clock::Timestamp, telemetry::Trace};

use super::{Change, Dispute, IntentState, PaymentIntent};

/// The change for the dispute `reported`: its state, and the amount that the bank withdrew or
/// returned.
///
/// Only disputes of the payment that paid the order change its totals. A dispute of another payment
/// is recorded and needs a review.
pub fn apply_provider_dispute(
    intent: &PaymentIntent,
    reported: &ProviderDispute,
    now: Timestamp,
    trace: &Trace,
) -> Change {
    let needs_review = Change { needs_review: true, ..Change::default() };
    if matches!(intent.state, IntentState::Unknown(_))
        || rank(&reported.state).is_none()
        || reported.amount.currency != intent.currency
    {
        return needs_review;
    }
    let known = intent.disputes.iter().find(|dispute| dispute.dispute_id == reported.dispute_id);
    if known.is_some_and(|known| !replaces(&reported.state, &known.state)) {
        return Change::default();
    }
    let is_of_order = intent.captured_payment == Some(reported.payment_id);
    let before = known.map_or(0, |known| known.held_amount);
    let held_amount = if is_of_order && reported.state.funds_withdrawn() {
        reported.amount.amount.max(0)
    } else {
        0
    };
    let dispute = Dispute {
        dispute_id: reported.dispute_id.clone(),
        payment_id: reported.payment_id,
        state: reported.state.clone(),
        held_amount,
        updated_at: now,
    };
    let others =
        intent.disputes.iter().filter(|dispute| dispute.dispute_id != reported.dispute_id).cloned();
    let after = PaymentIntent {
        disputes: others.chain([dispute]).collect(),
        dispute_withdrawn_total: intent.dispute_withdrawn_total + (held_amount - before).max(0),
        dispute_reinstated_total: intent.dispute_reinstated_total + (before - held_amount).max(0),
        traceparent: trace.clone(),
        ..intent.written(now)
    };
    Change {
        intent: Some(after.with_refundable()),
        needs_review: !is_of_order,
        ..Change::default()
    }
}

/// Rank of a state; a state replaces only states of a lower rank. `None` for a state that this
/// release does not know.
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

/// Whether `state` replaces `earlier`. A decided dispute changes only if the provider reverses the
/// decision.
fn replaces(state: &DisputeState, earlier: &DisputeState) -> bool {
    state != earlier
        && match (rank(state), rank(earlier)) {
            (Some(new), Some(old)) => new > old || new == 4 && old == 4,
            _ => false,
        }
}
