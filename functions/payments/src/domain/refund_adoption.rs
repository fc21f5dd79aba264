//! Refunds made at the provider itself, for example in its dashboard: they are recorded like refunds of the shop.

use std::time::Duration;

use shared::{clock::Timestamp, ids, money::Money, telemetry::Trace};

use super::{
    Attempt, AttemptState, Change, Head, PaymentId, Refund, RefundFact, RefundId, RefundKind, RefundMaker, RefundState, apply_refund_fact,
};

/// A refund, as the provider has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRefund {
    /// The provider's name for it.
    pub provider_refund_id: String,
    /// The refunded payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// What became of it.
    pub fact: RefundFact,
}

impl ProviderRefund {
    /// The id of its record: the same each time that the provider names it.
    pub fn refund_id(&self) -> RefundId {
        ids::derive(&["refund made at the provider", &self.provider_refund_id])
    }
}

/// Records a refund of `paid` that was made at the provider, with what became of it. The change is to be written only if no record of it
/// exists; where one does, its fact goes through [`apply_refund_fact`] like any other.
pub fn adopt_refund(head: &Head, paid: &Attempt, found: &ProviderRefund, now: Timestamp, nudge: Duration, trace: &Trace) -> Change {
    let fits = paid.state == AttemptState::Succeeded && found.amount.currency == paid.currency && found.amount.amount > 0;
    if !fits {
        return Change { needs_review: true, ..Change::default() };
    }
    let kind = if paid.surplus { RefundKind::Surplus } else { RefundKind::Requested };
    let recorded = Refund {
        state: RefundState::Sent,
        amount: found.amount.amount,
        made_by: RefundMaker::Provider,
        provider_refund_id: Some(found.provider_refund_id.clone()),
        sent_at: Some(now),
        traceparent: trace.clone(),
        version: 0,
        ..Refund::of(paid, found.refund_id(), kind, 0, now)
    };
    // As if it had been recorded before it was sent: its fact then moves it on. Both are one write.
    let pending = if paid.surplus { 0 } else { recorded.amount };
    let taken = Head { refunds_pending: head.refunds_pending + pending, traceparent: trace.clone(), ..head.clone() }.with_refundable();
    let change = apply_refund_fact(&taken, paid, &recorded, &found.fact, now, nudge);
    let head = if change.is_empty() { None } else { Some(change.head.unwrap_or_else(|| taken.written(now))) };
    Change { head, ..change }
}
