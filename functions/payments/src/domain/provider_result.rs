//! Applies the result of a charge to intent and attempt; every result passes through here.
//!
//! Results come from the charge call, lookups and reconciliation. They need no lock and may arrive
//! twice, late and in any order, because they are ranked. A success outranks a decline and an
//! abandonment, and these outrank an unknown outcome. The attempt therefore settles the same way in
//! any order, and no capture is lost.

use std::time::Duration;

use provider::ProviderResult;
use shared::clock::Timestamp;

use super::{Attempt, AttemptState, Change, IntentEvent, IntentState, PaymentIntent, Refund};

/// The change that `result` makes to `attempt` and to `intent`, the intent of its order.
///
/// When an attempt in flight settles, the change always includes the intent. If the two were read
/// at different times, the intent's version makes the write fail.
pub fn apply_provider_result(
    intent: &PaymentIntent,
    attempt: &Attempt,
    result: &ProviderResult,
    now: Timestamp,
    first_retry: Duration,
) -> Change {
    if matches!(attempt.state, AttemptState::Unknown(_))
        || matches!(intent.state, IntentState::Unknown(_))
    {
        return Change { needs_review: true, ..Change::default() };
    }
    match result {
        ProviderResult::Succeeded { transaction_id, amount, order_id } => {
            let fits = *amount == attempt.money() && *order_id == Some(attempt.order_id);
            succeed(intent, attempt, transaction_id, fits, now)
        }
        ProviderResult::Declined { reason } if attempt.is_in_flight() => {
            end(intent, attempt.declined(reason, now), now)
        }
        ProviderResult::Abandoned { reason } if attempt.is_in_flight() => {
            end(intent, attempt.abandoned(reason, now), now)
        }
        ProviderResult::NeverCreated if attempt.is_in_flight() => Change {
            needs_review: true,
            ..end(intent, attempt.abandoned("never_charged", now), now)
        },
        ProviderResult::NotSent if attempt.is_in_flight() => {
            let with_attempt_restored =
                PaymentIntent { attempts_left: intent.attempts_left + 1, ..intent.clone() };
            end(&with_attempt_restored, attempt.abandoned("not_sent", now), now)
        }
        ProviderResult::ActionRequired { transaction_id, next_action }
            if attempt.is_in_flight() =>
        {
            Change {
                intent: with_event(intent, attempt, IntentEvent::ActionRequired, now),
                attempt: Some(attempt.awaiting_action(
                    transaction_id,
                    next_action,
                    now,
                    first_retry,
                )),
                ..Change::default()
            }
        }
        // The attempt keeps its more specific state: the provider only failed to repeat it.
        ProviderResult::OutcomeUnknown if attempt.state == AttemptState::RequiresAction => {
            Change { attempt: Some(attempt.unknown(now, first_retry)), ..Change::default() }
        }
        ProviderResult::OutcomeUnknown if attempt.is_in_flight() => Change {
            intent: with_event(intent, attempt, IntentEvent::OutcomeUnknown, now),
            attempt: Some(attempt.unknown(now, first_retry)),
            ..Change::default()
        },
        ProviderResult::Processing { transaction_id } if attempt.is_in_flight() => {
            let is_reported = attempt.state != AttemptState::RequiresAction;
            Change {
                intent: is_reported
                    .then(|| with_event(intent, attempt, IntentEvent::OutcomeUnknown, now))
                    .flatten(),
                attempt: Some(attempt.processing(transaction_id, now, first_retry)),
                ..Change::default()
            }
        }
        ProviderResult::Declined { .. }
        | ProviderResult::Abandoned { .. }
        | ProviderResult::ActionRequired { .. }
        | ProviderResult::Processing { .. }
        | ProviderResult::OutcomeUnknown
        | ProviderResult::NotSent
        | ProviderResult::NeverCreated => Change::default(),
    }
}

/// The intent with a new event about the attempt in flight; `None` if that event was published
/// last.
fn with_event(
    intent: &PaymentIntent,
    attempt: &Attempt,
    event: IntentEvent,
    now: Timestamp,
) -> Option<PaymentIntent> {
    let is_new = is_active(intent, attempt) && awaits_outcome(intent) && intent.last_event != event;
    is_new.then(|| PaymentIntent { last_event: event, ..intent.written(now) })
}

/// Records a capture. No state of intent and attempt ignores it.
fn succeed(
    intent: &PaymentIntent,
    attempt: &Attempt,
    transaction_id: &str,
    fits: bool,
    now: Timestamp,
) -> Change {
    if attempt.state == AttemptState::Succeeded {
        let same = fits && attempt.transaction_id.as_deref() == Some(transaction_id);
        return Change { needs_review: !same, ..Change::default() };
    }
    if !fits {
        if attempt.state == AttemptState::NeedsReview {
            return Change::default();
        }
        // No other attempt starts while the order wants to be paid. Once the order is cancelled,
        // before or after this result, the intent closes: no matching amount was captured, and an
        // operator settles the mismatch. The change includes the intent in every case; see
        // `apply_provider_result`.
        let under_review = attempt.under_review(transaction_id, now);
        let after = match intent.state {
            IntentState::Processing if is_active(intent, attempt) => {
                PaymentIntent { last_event: IntentEvent::OutcomeUnknown, ..intent.written(now) }
            }
            IntentState::Closing if is_active(intent, attempt) => {
                intent.closed_with(&under_review, now)
            }
            _ => intent.written(now),
        };
        return Change {
            intent: Some(after),
            attempt: Some(under_review),
            needs_review: true,
            ..Change::default()
        };
    }
    let succeeded = attempt.succeeded(transaction_id, now);
    let active_attempt = intent.active_attempt.filter(|_| !is_active(intent, attempt));
    match intent.captured_payment {
        None => Change {
            intent: Some(PaymentIntent {
                state: IntentState::Captured,
                active_attempt,
                captured_payment: Some(attempt.payment_id),
                captured_total: attempt.amount,
                refundable: attempt.amount,
                last_event: IntentEvent::Succeeded,
                failure_reason: None,
                ..intent.written(now)
            }),
            attempt: Some(succeeded),
            ..Change::default()
        },
        Some(paid) if paid == attempt.payment_id => Change {
            intent: Some(PaymentIntent { active_attempt, ..intent.written(now) }),
            attempt: Some(succeeded),
            ..Change::default()
        },
        Some(_) => {
            let duplicate = Attempt { duplicate_capture: true, ..succeeded };
            let duplicate_captured_total = intent.duplicate_captured_total + attempt.amount;
            Change {
                intent: Some(PaymentIntent {
                    active_attempt,
                    duplicate_captured_total,
                    ..intent.written(now)
                }),
                refund: Some(Refund::for_duplicate_capture(&duplicate, 0, now)),
                attempt: Some(duplicate),
                ..Change::default()
            }
        }
    }
}

/// The attempt in flight has settled without a charge.
fn end(intent: &PaymentIntent, attempt: Attempt, now: Timestamp) -> Change {
    let mut after = intent.written(now);
    if is_active(intent, &attempt) {
        after.active_attempt = None;
        if awaits_outcome(intent) {
            after.failure_reason = attempt.failure_reason.clone();
            let may_retry = intent.state == IntentState::Processing
                && intent.attempts_left > 0
                && now < intent.expires_at;
            (after.state, after.last_event) = if may_retry {
                (IntentState::Open, IntentEvent::Declined)
            } else {
                (IntentState::Closed, IntentEvent::Closed)
            };
        }
    }
    Change { intent: Some(after), attempt: Some(attempt), ..Change::default() }
}

fn is_active(intent: &PaymentIntent, attempt: &Attempt) -> bool {
    intent.active_attempt == Some(attempt.payment_id)
}

fn awaits_outcome(intent: &PaymentIntent) -> bool {
    matches!(intent.state, IntentState::Processing | IntentState::Closing)
}
