//! The single way in for what becomes known about a charge, whoever learns it: the answer to our call, a look-up, reconciliation.
//!
//! Facts need no lock and may come twice, late and in any order. They are ranked: a success outranks a decline and an abandonment, which
//! outrank not knowing. So the attempt ends the same whatever the order, and no capture is ever lost.

use std::time::Duration;

use provider::ProviderResult;
use shared::clock::Timestamp;

use super::{Attempt, AttemptState, Change, Head, HeadFact, HeadState, Refund};

/// What `fact` about `attempt` changes. `head` is the head of its order.
///
/// Where an attempt that is alive comes to its end the head is always part of the change: should the two have been read at different
/// moments, the head's version refuses the write.
pub fn apply_provider_fact(head: &Head, attempt: &Attempt, fact: &ProviderResult, now: Timestamp, nudge: Duration) -> Change {
    if matches!(attempt.state, AttemptState::Unknown(_)) || matches!(head.state, HeadState::Unknown(_)) {
        return Change { needs_review: true, ..Change::default() };
    }
    match fact {
        ProviderResult::Succeeded { transaction_id, amount, order_id } => {
            let fits = *amount == attempt.money() && *order_id == Some(attempt.order_id);
            succeed(head, attempt, transaction_id, fits, now)
        }
        ProviderResult::Declined { reason } if attempt.is_alive() => end(head, attempt.declined(reason, now), now),
        ProviderResult::Abandoned { reason } if attempt.is_alive() => end(head, attempt.abandoned(reason, now), now),
        ProviderResult::NeverCreated if attempt.is_alive() => Change { needs_review: true, ..end(head, attempt.abandoned("never_charged", now), now) },
        ProviderResult::NotSent if attempt.is_alive() => {
            let with_its_try = Head { attempts_left: head.attempts_left + 1, ..head.clone() };
            end(&with_its_try, attempt.abandoned("not_sent", now), now)
        }
        ProviderResult::ActionRequired { transaction_id, next_action } if attempt.is_alive() => Change {
            head: news(head, attempt, HeadFact::ActionRequired, now),
            attempt: Some(attempt.waiting(transaction_id, next_action, now, nudge)),
            ..Change::default()
        },
        // Of an attempt that waits for its customer it is known what it does: the provider only did not say it once more.
        ProviderResult::OutcomeUnknown if attempt.state == AttemptState::RequiresAction => {
            Change { attempt: Some(attempt.unknown(now, nudge)), ..Change::default() }
        }
        ProviderResult::OutcomeUnknown if attempt.is_alive() => Change {
            head: news(head, attempt, HeadFact::OutcomeUnknown, now),
            attempt: Some(attempt.unknown(now, nudge)),
            ..Change::default()
        },
        ProviderResult::Processing { transaction_id } if attempt.is_alive() => {
            let tells = attempt.state != AttemptState::RequiresAction;
            Change {
                head: tells.then(|| news(head, attempt, HeadFact::OutcomeUnknown, now)).flatten(),
                attempt: Some(attempt.processing(transaction_id, now, nudge)),
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

/// The head with something to tell of the attempt that is alive; `None` where that was told last.
fn news(head: &Head, attempt: &Attempt, fact: HeadFact, now: Timestamp) -> Option<Head> {
    let is_new = is_active(head, attempt) && waits(head) && head.last_fact != fact;
    is_new.then(|| Head { last_fact: fact, ..head.written(now) })
}

/// Money has moved. That is never ignored, whatever state head and attempt are in.
fn succeed(head: &Head, attempt: &Attempt, transaction_id: &str, fits: bool, now: Timestamp) -> Change {
    if attempt.state == AttemptState::Succeeded {
        let same = fits && attempt.transaction_id.as_deref() == Some(transaction_id);
        return Change { needs_review: !same, ..Change::default() };
    }
    if !fits {
        if attempt.state == AttemptState::NeedsReview {
            return Change::default();
        }
        // No other attempt starts as long as the order is to be paid. Once it is given up, before or after, the head closes: nothing that
        // fits was captured, and what did not fit is for a person to settle. (The head is written in any case; see above.)
        let under_review = attempt.under_review(transaction_id, now);
        let after = match head.state {
            HeadState::Busy if is_active(head, attempt) => Head { last_fact: HeadFact::OutcomeUnknown, ..head.written(now) },
            HeadState::Closing if is_active(head, attempt) => head.closed_with(&under_review, now),
            _ => head.written(now),
        };
        return Change { head: Some(after), attempt: Some(under_review), needs_review: true, ..Change::default() };
    }
    let succeeded = attempt.succeeded(transaction_id, now);
    let active_attempt = head.active_attempt.filter(|_| !is_active(head, attempt));
    match head.captured_payment {
        None => Change {
            head: Some(Head {
                state: HeadState::Captured,
                active_attempt,
                captured_payment: Some(attempt.payment_id),
                captured_total: attempt.amount,
                refundable: attempt.amount,
                last_fact: HeadFact::Succeeded,
                failure_reason: None,
                ..head.written(now)
            }),
            attempt: Some(succeeded),
            ..Change::default()
        },
        Some(paid) if paid == attempt.payment_id => {
            Change { head: Some(Head { active_attempt, ..head.written(now) }), attempt: Some(succeeded), ..Change::default() }
        }
        Some(_) => {
            let surplus = Attempt { surplus: true, ..succeeded };
            let surplus_captured = head.surplus_captured + attempt.amount;
            Change {
                head: Some(Head { active_attempt, surplus_captured, ..head.written(now) }),
                refund: Some(Refund::of_surplus(&surplus, 0, now)),
                attempt: Some(surplus),
                ..Change::default()
            }
        }
    }
}

/// The attempt that was alive has come to nothing.
fn end(head: &Head, attempt: Attempt, now: Timestamp) -> Change {
    let mut after = head.written(now);
    if is_active(head, &attempt) {
        after.active_attempt = None;
        if waits(head) {
            after.failure_reason = attempt.failure_reason.clone();
            let again = head.state == HeadState::Busy && head.attempts_left > 0 && now < head.expires_at;
            (after.state, after.last_fact) =
                if again { (HeadState::Open, HeadFact::Declined) } else { (HeadState::Closed, HeadFact::Closed) };
        }
    }
    Change { head: Some(after), attempt: Some(attempt), ..Change::default() }
}

fn is_active(head: &Head, attempt: &Attempt) -> bool {
    head.active_attempt == Some(attempt.payment_id)
}

fn waits(head: &Head) -> bool {
    matches!(head.state, HeadState::Busy | HeadState::Closing)
}
