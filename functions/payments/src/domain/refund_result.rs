//! Giving money back: all of a captured payment, a part of it, or a capture that was one too many;
//! and the single way in for what becomes known about a refund.
//!
//! What a refund takes it takes from the intent's `refundable`, in the write that records it,
//! before anything leaves; what fails puts it back. So refunds can never sum above the capture,
//! however many are asked for at the same time.
//!
//! Facts come twice, late and in any order, so they have ranks: a refusal is replaced by a success
//! (the provider has the refund after all), and a success by a failure (the money came back later).
//! A refund that failed at the provider never succeeds again.

use std::time::Duration;

use provider::{RefundId, RefundResult};
use shared::{clock::Timestamp, ids::UserId, money::Money, telemetry::Trace};

use super::{
    Attempt, Change, Dispatch, IntentEvent, IntentState, Lock, MAX_FAILED_AUTOMATIC_REFUNDS,
    NEW_LOCK, PaymentIntent, Refund, RefundKind, RefundState,
};

/// What somebody who runs the shop asks back.
#[derive(Clone, Debug)]
pub struct RequestedRefund {
    /// Under which id: the same request asked again finds its refund.
    pub refund_id: RefundId,
    /// How much; all that may be given back where nothing is said.
    pub amount: Option<Money>,
    /// Why.
    pub reason: String,
    /// Who asks.
    pub by: UserId,
    /// The id of the request.
    pub request_id: String,
}

/// Why a refund may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefundError {
    /// The payment captured nothing for its order.
    #[error("the payment captured nothing")]
    NothingCaptured,
    /// Refunds have taken all of it.
    #[error("all of it is given back, or on its way")]
    NothingLeft,
    /// More than was captured and not given back.
    #[error("more than can be given back, {at_most}")]
    Exceeds {
        /// What was captured and not given back.
        at_most: Money,
    },
    /// Other refunds, which are under way, have taken so much that this one does not fit beside
    /// them.
    #[error("refunds that are under way leave {refundable}")]
    UnderWay {
        /// What they leave.
        refundable: Money,
    },
    /// The duplicate capture of an order is refunded whole, or not at all.
    #[error("a duplicate capture is refunded whole, {amount}")]
    OnlyWhole {
        /// What it is.
        amount: Money,
    },
    /// Another currency than the payment's.
    #[error("the currency is not the payment's")]
    CurrencyMismatch,
    /// A newer release wrote a state that this one cannot judge.
    #[error("the state of the payment is not known to this release")]
    UnknownState,
}

/// The automatic refund: all of the captured payment `paid` that no refund has taken yet. `None`
/// where nothing is left to take, and after [`MAX_FAILED_AUTOMATIC_REFUNDS`] have failed.
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

/// A refund that somebody asked for, of the payment `paid`.
///
/// # Errors
/// Why it may not begin.
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
    // Payments itself refunds a duplicate capture, whole; once it has stopped trying, a person may.
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

/// What `result` about `refund` changes. `paid` is the payment that is given back, `intent` the
/// intent of its order.
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
        // Another refund of the provider under the same id of ours: a person has to look.
        (RefundResult::Failed { .. }, RefundState::Succeeded) => {
            Change { needs_review: true, ..Change::default() }
        }
        (_, RefundState::Succeeded) => Change::default(),
        // It failed at the provider: a success is what was known before.
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
        // What it took was put back when it failed: there is nothing to hold on to until a person
        // has looked.
        (RefundResult::Succeeded { amount, .. }, RefundState::Failed)
            if *amount != refund.money() =>
        {
            Change { needs_review: true, ..Change::default() }
        }
        (RefundResult::Succeeded { provider_refund_id, amount }, _)
            if *amount != refund.money() =>
        {
            Change {
                // What it took stays taken. The order hears that its refund does not go as it
                // should.
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
    // It is counted in full even where the sum then exceeds the capture: another refund has failed
    // at the provider, and that is learned later; or it never does, and a person has to look.
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
        // One that was taken for failed has put back what it took.
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
    // An order has not asked for what somebody of the shop requested: it learns only the totals.
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

/// What follows for a duplicate capture whose refund failed: the next automatic refund takes its
/// place, later and later; after [`MAX_FAILED_AUTOMATIC_REFUNDS`], and after a refund that a person
/// made, it is marked for a person.
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
    /// The intent with the duplicate capture `paid` marked for a person.
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
