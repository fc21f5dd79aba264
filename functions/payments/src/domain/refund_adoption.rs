//! Records refunds that were made at the provider, for example in its dashboard.

use std::time::Duration;

use provider::ProviderRefund;
use shared::{clock::Timestamp, telemetry::Trace};

use super::{
    Attempt, AttemptState, Change, Dispatch, PaymentIntent, Refund, RefundInitiator, RefundKind,
    RefundState, apply_refund_result,
};

/// Records a refund of `paid` that was made at the provider, with its result. The change is valid
/// only if no record of the refund exists. If one exists, callers pass the result to
/// [`apply_refund_result`] instead.
pub fn adopt_refund(
    intent: &PaymentIntent,
    paid: &Attempt,
    found: &ProviderRefund,
    now: Timestamp,
    first_retry: Duration,
    trace: &Trace,
) -> Change {
    let fits = paid.state == AttemptState::Succeeded
        && found.amount.currency == paid.currency
        && found.amount.amount > 0;
    if !fits {
        return Change { needs_review: true, ..Change::default() };
    }
    let kind =
        if paid.duplicate_capture { RefundKind::DuplicateCapture } else { RefundKind::Requested };
    let refund = Refund::new(paid, found.refund_id(), kind, 0, now);
    let recorded = Refund {
        state: RefundState::Sent,
        amount: found.amount.amount,
        initiated_by: RefundInitiator::Provider,
        provider_refund_id: Some(found.provider_refund_id.clone()),
        dispatch: Dispatch { sent_at: Some(now), ..refund.dispatch.clone() },
        traceparent: trace.clone(),
        version: 0,
        ..refund
    };
    // The refund is treated as recorded before it was sent. Its result then applies to that state,
    // in the same write.
    let pending = if paid.duplicate_capture { 0 } else { recorded.amount };
    let taken = PaymentIntent {
        refunds_pending: intent.refunds_pending + pending,
        traceparent: trace.clone(),
        ..intent.clone()
    }
    .with_refundable();
    let change = apply_refund_result(&taken, paid, &recorded, &found.result, now, first_retry);
    let intent = if change.is_empty() {
        None
    } else {
        Some(change.intent.unwrap_or_else(|| taken.written(now)))
    };
    Change { intent, ..change }
}
