//! Starts refunds and applies their results; every refund result passes through here.
//!
//! A refund reserves its amount from the intent's `refundable` in the write that records it, before
//! the provider is called. A failed refund releases its amount. Concurrent refunds therefore never
//! exceed the captured amount.
//!
//! Results may arrive twice, late and in any order, because they are ranked. A success replaces a
//! rejection: the provider has the refund after all. A failure replaces a success: the money was
//! returned later. A refund that failed at the provider never succeeds again.

use std::time::Duration;

use provider::{RefundId, RefundResult};
use shared::{clock::Timestamp, ids::UserId, money::Money, telemetry::Trace};

use super::{
    Attempt, Change, Dispatch, IntentEvent, IntentState, Lock, MAX_FAILED_AUTOMATIC_REFUNDS,
    NEW_LOCK, PaymentIntent, Refund, RefundKind, RefundState,
};

/// A refund that an admin requested.
#[derive(Clone, Debug)]
pub struct RequestedRefund {
    /// Derived from the idempotency key: a repeated request finds its refund.
    pub refund_id: RefundId,
    /// `None` refunds everything that is refundable.
    pub amount: Option<Money>,
    pub reason: String,
    /// The admin who requested it.
    pub by: UserId,
    pub request_id: String,
}

/// Why a refund cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefundError {
    /// The payment captured nothing for its order.
    #[error("the payment captured nothing")]
    NothingCaptured,
    /// Nothing is refundable: everything is refunded, pending or disputed.
    #[error("nothing is refundable")]
    NothingLeft,
    /// The amount exceeds what was captured and not refunded.
    #[error("the amount exceeds what is refundable, {at_most}")]
    Exceeds {
        /// Captured amount that is neither refunded nor disputed.
        at_most: Money,
    },
    /// Pending refunds have reserved too much of the payment for this refund.
    #[error("pending refunds leave {refundable}")]
    UnderWay {
        /// Amount that no pending refund has reserved.
        refundable: Money,
    },
    /// A duplicate capture can only be refunded in full.
    #[error("a duplicate capture is refunded in full, {amount}")]
    OnlyWhole { amount: Money },
    /// The currency differs from the payment's.
    #[error("the currency differs from the payment's")]
    CurrencyMismatch,
    /// The payment has a state that only a newer release knows.
    #[error("the payment has a state that this release does not know")]
    UnknownState,
}

/// Starts the automatic refund of everything in the captured payment `paid` that no refund has
/// reserved. Returns `None` if nothing is refundable, or after [`MAX_FAILED_AUTOMATIC_REFUNDS`]
/// failures.
pub fn begin_refund(
    intent: &PaymentIntent,
    paid: &Attempt,
    command_attempt: u64,
    owner: &str,
    now: Timestamp,
    trace: &Trace,
) -> Option<Change> {
    if intent.state != IntentState::Captured || intent.refundable <= 0 || intent.is_refund_refused()
    {
        return None;
    }
    let refund = Refund::new(
        paid,
        Refund::automatic_id(intent),
        RefundKind::Automatic,
        intent.failed_refunds,
        now,
    );
    let change = begin(intent, Refund { amount: intent.refundable, ..refund }, owner, now, trace);
    Some(Change {
        intent: change.intent.map(|intent| {
            PaymentIntent { refund_failed: false, ..intent }.with_answered_attempt(command_attempt)
        }),
        ..change
    })
}

/// Starts a requested refund of the payment `paid`.
///
/// # Errors
/// The reason why it cannot start.
pub fn begin_requested_refund(
    intent: &PaymentIntent,
    paid: &Attempt,
    wanted: &RequestedRefund,
    owner: &str,
    now: Timestamp,
    trace: &Trace,
) -> Result<Change, RefundError> {
    if matches!(intent.state, IntentState::Unknown(_)) {
        return Err(RefundError::UnknownState);
    }
    let money = |amount| Money::new(amount, intent.currency);
    // Payments refunds a duplicate capture automatically and in full. An admin may refund it once
    // payments has stopped trying.
    if intent.duplicate_refunds_refused.contains(&paid.payment_id) {
        let at_most = money(paid.amount - paid.refunded);
        return match wanted.amount {
            Some(amount) if amount.currency != intent.currency => {
                Err(RefundError::CurrencyMismatch)
            }
            Some(amount) if amount.amount > at_most.amount => Err(RefundError::Exceeds { at_most }),
            Some(amount) if amount.amount < at_most.amount => {
                Err(RefundError::OnlyWhole { amount: at_most })
            }
            _ => {
                let refund =
                    requested(paid, wanted, RefundKind::DuplicateCapture, at_most.amount, now);
                let others = intent
                    .duplicate_refunds_refused
                    .iter()
                    .filter(|refused| **refused != paid.payment_id)
                    .copied()
                    .collect();
                let intent = PaymentIntent { duplicate_refunds_refused: others, ..intent.clone() };
                Ok(begin(&intent, refund, owner, now, trace))
            }
        };
    }
    if intent.captured_payment != Some(paid.payment_id) {
        return Err(RefundError::NothingCaptured);
    }
    let amount = wanted.amount.unwrap_or(money(intent.refundable));
    if amount.currency != intent.currency {
        return Err(RefundError::CurrencyMismatch);
    }
    if intent.refundable <= 0 {
        return Err(RefundError::NothingLeft);
    }
    let at_most = money(intent.captured_total - intent.refunded_net() - intent.disputed_amount());
    if amount.amount > at_most.amount {
        return Err(RefundError::Exceeds { at_most });
    }
    if amount.amount > intent.refundable {
        return Err(RefundError::UnderWay { refundable: money(intent.refundable) });
    }
    let refund = requested(paid, wanted, RefundKind::Requested, amount.amount, now);
    Ok(begin(intent, refund, owner, now, trace))
}

fn requested(
    paid: &Attempt,
    wanted: &RequestedRefund,
    kind: RefundKind,
    amount: i64,
    now: Timestamp,
) -> Refund {
    Refund {
        amount,
        reason: Some(wanted.reason.clone()),
        requested_by: Some(wanted.by),
        request_id: Some(wanted.request_id.clone()),
        ..Refund::new(paid, wanted.refund_id, kind, 0, now)
    }
}

fn begin(
    intent: &PaymentIntent,
    refund: Refund,
    owner: &str,
    now: Timestamp,
    trace: &Trace,
) -> Change {
    let intent = PaymentIntent {
        refunds_pending: intent.refunds_pending + refund.held_amount(),
        last_event: IntentEvent::Succeeded,
        traceparent: trace.clone(),
        ..intent.written(now)
    };
    let intent = intent.with_refundable();
    let refund = Refund {
        dispatch: Dispatch::unsent(Lock::of(owner, now, NEW_LOCK), now.plus(NEW_LOCK)),
        traceparent: trace.clone(),
        ..refund
    };
    Change { intent: Some(intent), refund: Some(refund), ..Change::default() }
}

/// The change that `result` makes to `refund`. `paid` is the refunded payment, `intent` the intent
/// of its order.
pub fn apply_refund_result(
    intent: &PaymentIntent,
    paid: &Attempt,
    refund: &Refund,
    result: &RefundResult,
    now: Timestamp,
    first_retry: Duration,
) -> Change {
    if matches!(intent.state, IntentState::Unknown(_))
        || matches!(refund.kind, RefundKind::Unknown(_))
    {
        return Change { needs_review: true, ..Change::default() };
    }
    match (result, &refund.state) {
        (_, RefundState::Unknown(_)) => Change { needs_review: true, ..Change::default() },
        (_, RefundState::Reversed) => Change::default(),
        (RefundResult::Failed { provider_refund_id, reason }, RefundState::Succeeded)
            if refund.has_provider_id(provider_refund_id) =>
        {
            reversed(intent, paid, refund, reason, now)
        }
        // The provider has another refund under the same id of ours, which needs a review.
        (RefundResult::Failed { .. }, RefundState::Succeeded) => {
            Change { needs_review: true, ..Change::default() }
        }
        (_, RefundState::Succeeded) => Change::default(),
        // The refund failed at the provider after this success, which is an older result.
        (RefundResult::Succeeded { provider_refund_id, .. }, RefundState::Failed)
            if refund.has_provider_id(provider_refund_id) =>
        {
            Change::default()
        }
        (RefundResult::Succeeded { amount, .. }, RefundState::NeedsReview)
            if *amount != refund.money() =>
        {
            Change::default()
        }
        // Its amount was released when it failed, so there is nothing to reserve during the review.
        (RefundResult::Succeeded { amount, .. }, RefundState::Failed)
            if *amount != refund.money() =>
        {
            Change { needs_review: true, ..Change::default() }
        }
        (RefundResult::Succeeded { provider_refund_id, amount }, _)
            if *amount != refund.money() =>
        {
            Change {
                // The amount stays reserved. The event reports to orders that the refund has
                // failed.
                intent: (refund.kind == RefundKind::Automatic)
                    .then(|| marked_as_failed(intent, now)),
                refund: Some(Refund {
                    provider_refund_id: Some(provider_refund_id.clone()),
                    failure_reason: Some("provider_mismatch".to_owned()),
                    ..refund.settled(RefundState::NeedsReview, now)
                }),
                needs_review: true,
                ..Change::default()
            }
        }
        (RefundResult::Succeeded { provider_refund_id, .. }, _) => {
            succeeded(intent, paid, refund, provider_refund_id, now)
        }
        (RefundResult::Rejected { reason }, _) if refund.is_in_flight() => {
            failed(intent, paid, refund, reason, now)
        }
        (RefundResult::Failed { provider_refund_id, reason }, _) if refund.is_in_flight() => {
            let named =
                Refund { provider_refund_id: Some(provider_refund_id.clone()), ..refund.clone() };
            failed(intent, paid, &named, reason, now)
        }
        // The mismatching refund has failed: nothing was refunded, and no review is needed.
        (RefundResult::Failed { provider_refund_id, reason }, RefundState::NeedsReview)
            if refund.has_provider_id(provider_refund_id) =>
        {
            failed(intent, paid, refund, reason, now)
        }
        (RefundResult::Failed { provider_refund_id, .. }, RefundState::Failed)
            if refund.provider_refund_id.is_none() =>
        {
            let named = Refund {
                provider_refund_id: Some(provider_refund_id.clone()),
                ..refund.settled(RefundState::Failed, now)
            };
            Change { refund: Some(named), ..Change::default() }
        }
        (RefundResult::OutcomeUnknown, _) if refund.is_in_flight() => {
            Change { refund: Some(refund.unknown(now, first_retry)), ..Change::default() }
        }
        (
            RefundResult::Rejected { .. }
            | RefundResult::Failed { .. }
            | RefundResult::OutcomeUnknown,
            _,
        ) => Change::default(),
    }
}

fn succeeded(
    intent: &PaymentIntent,
    paid: &Attempt,
    refund: &Refund,
    provider_refund_id: &str,
    now: Timestamp,
) -> Change {
    let settled = Refund {
        provider_refund_id: Some(provider_refund_id.to_owned()),
        failure_reason: None,
        ..refund.settled(RefundState::Succeeded, now)
    };
    // The amount counts in full even if the total then exceeds the capture. In that case another
    // refund has failed at the provider and its result arrives later, or the case needs a review.
    let attempt = paid.with_refund(refund.amount, now);
    let intent = if refund.kind == RefundKind::DuplicateCapture {
        let is_whole = attempt.refunded >= paid.amount;
        let refused = intent
            .duplicate_refunds_refused
            .iter()
            .filter(|refused| !(is_whole && **refused == paid.payment_id))
            .copied();
        PaymentIntent {
            duplicate_refunded_total: intent.duplicate_refunded_total + refund.amount,
            duplicate_refunds_refused: refused.collect(),
            ..intent.written(now)
        }
    } else {
        // A refund that counted as failed has already released its amount.
        let pending = if refund.state == RefundState::Failed { 0 } else { refund.amount };
        let after = PaymentIntent {
            refunded_total: intent.refunded_total + refund.amount,
            refunds_pending: intent.refunds_pending - pending,
            refund_failed: false,
            ..intent.written(now)
        };
        let last_event = if after.refunded_net() >= after.captured_total {
            IntentEvent::Refunded
        } else {
            IntentEvent::Succeeded
        };
        PaymentIntent { last_event, ..after }.with_refundable()
    };
    let needs_review = attempt.refunded > paid.amount;
    Change {
        intent: Some(intent),
        attempt: Some(attempt),
        refund: Some(settled),
        needs_review,
        ..Change::default()
    }
}

fn failed(
    intent: &PaymentIntent,
    paid: &Attempt,
    refund: &Refund,
    reason: &str,
    now: Timestamp,
) -> Change {
    let settled = Refund {
        failure_reason: Some(reason.to_owned()),
        ..refund.settled(RefundState::Failed, now)
    };
    if refund.kind == RefundKind::DuplicateCapture {
        let (intent, next_refund) = after_failed_duplicate_refund(intent, paid, refund, now);
        return Change {
            intent,
            refund: Some(settled),
            next_refund,
            needs_review: true,
            ..Change::default()
        };
    }
    // The order did not request this refund, so it receives only the new totals.
    let is_automatic = refund.kind == RefundKind::Automatic;
    let intent = if is_automatic { marked_as_failed(intent, now) } else { intent.written(now) };
    let intent = PaymentIntent {
        refunds_pending: intent.refunds_pending - refund.amount,
        failed_refunds: intent.failed_refunds + 1,
        automatic_refunds_failed: intent.automatic_refunds_failed + u32::from(is_automatic),
        ..intent
    };
    Change { intent: Some(intent.with_refundable()), refund: Some(settled), ..Change::default() }
}

/// The refund failed after it had succeeded: the provider holds the money again. The totals count
/// it as reversed, the order is flagged, and the money can be refunded again.
fn reversed(
    intent: &PaymentIntent,
    paid: &Attempt,
    refund: &Refund,
    reason: &str,
    now: Timestamp,
) -> Change {
    let attempt = paid.with_refund(-refund.amount, now);
    let settled = Refund {
        failure_reason: Some(reason.to_owned()),
        ..refund.settled(RefundState::Reversed, now)
    };
    if refund.kind == RefundKind::DuplicateCapture {
        let after = PaymentIntent {
            duplicate_refunds_reversed_total: intent.duplicate_refunds_reversed_total
                + refund.amount,
            ..intent.written(now)
        };
        let after = after.with_refused_duplicate_refund(paid);
        return Change {
            intent: Some(after),
            attempt: Some(attempt),
            refund: Some(settled),
            needs_review: true,
            ..Change::default()
        };
    }
    let after = PaymentIntent {
        refunds_reversed_total: intent.refunds_reversed_total + refund.amount,
        failed_refunds: intent.failed_refunds + 1,
        automatic_refunds_failed: intent.automatic_refunds_failed
            + u32::from(refund.kind == RefundKind::Automatic),
        ..marked_as_failed(intent, now)
    };
    Change {
        intent: Some(after.with_refundable()),
        attempt: Some(attempt),
        refund: Some(settled),
        needs_review: true,
        ..Change::default()
    }
}

/// The consequence of a failed refund of a duplicate capture. The next automatic refund replaces it
/// with a growing delay. After [`MAX_FAILED_AUTOMATIC_REFUNDS`] failures, or after a failed refund
/// that an admin requested, it is left to an admin.
fn after_failed_duplicate_refund(
    intent: &PaymentIntent,
    paid: &Attempt,
    refund: &Refund,
    now: Timestamp,
) -> (Option<PaymentIntent>, Option<Refund>) {
    let number = refund.number + 1;
    if paid.refunded >= paid.amount {
        (None, None)
    } else if refund.is_automatic() && number < MAX_FAILED_AUTOMATIC_REFUNDS {
        (None, Some(Refund::for_duplicate_capture(paid, number, now)))
    } else {
        (Some(intent.written(now).with_refused_duplicate_refund(paid)), None)
    }
}

impl PaymentIntent {
    /// The intent with the duplicate capture `paid` left to an admin.
    fn with_refused_duplicate_refund(mut self, paid: &Attempt) -> Self {
        if !self.duplicate_refunds_refused.contains(&paid.payment_id) {
            self.duplicate_refunds_refused.push(paid.payment_id);
        }
        self
    }
}

fn marked_as_failed(intent: &PaymentIntent, now: Timestamp) -> PaymentIntent {
    PaymentIntent {
        refund_failed: true,
        last_event: IntentEvent::RefundFailed,
        ..intent.written(now)
    }
}
