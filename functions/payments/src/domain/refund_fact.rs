//! Giving money back: all of a captured payment, a part of it, or a capture that was one too many; and the single way in for what becomes
//! known about a refund.
//!
//! What a refund takes it takes from the head's `refundable`, in the write that records it, before anything leaves; what fails puts it back.
//! So refunds can never sum above the capture, however many are asked for at the same time.
//!
//! Facts come twice, late and in any order, so they have ranks: a refusal is replaced by a success (the provider has the refund after all),
//! and a success by a failure (the money came back later). A refund that failed at the provider never succeeds again.

use std::time::Duration;

use provider::{RefundResult, RefundId};
use shared::{clock::Timestamp, ids::UserId, money::Money, telemetry::Trace};

use super::{
    AUTOMATIC_REFUND_TRIES, Attempt, Change, Dispatch, Head, HeadFact, HeadState, Lock, NEW_LOCK, Refund, RefundKind, RefundState,
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
pub enum RefundRefused {
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
    /// Other refunds, which are under way, have taken so much that this one does not fit beside them.
    #[error("refunds that are under way leave {refundable}")]
    UnderWay {
        /// What they leave.
        refundable: Money,
    },
    /// The surplus capture of an order is refunded whole, or not at all.
    #[error("a surplus capture is refunded whole, {amount}")]
    OnlyWhole {
        /// What it is.
        amount: Money,
    },
    /// Another currency than the payment's.
    #[error("the currency is not the payment's")]
    CurrencyMismatch,
    /// A newer release wrote a state that this one cannot judge.
    #[error("the state of the payment is not known to this release")]
    NotReadable,
}

/// The automatic refund: all of the captured payment `paid` that no refund has taken yet. `None` where nothing is left to take, and after
/// [`AUTOMATIC_REFUND_TRIES`] have failed.
pub fn begin_refund(head: &Head, paid: &Attempt, drive: u64, owner: &str, now: Timestamp, trace: &Trace) -> Option<Change> {
    if head.state != HeadState::Captured || head.refundable <= 0 || head.is_refund_refused() {
        return None;
    }
    let refund = Refund::of(paid, Refund::automatic_id(head), RefundKind::Automatic, head.failed_refunds, now);
    let change = begin(head, Refund { amount: head.refundable, ..refund }, owner, now, trace);
    Some(Change { head: change.head.map(|head| Head { refund_failed: false, ..head }.having_answered(drive)), ..change })
}

/// A refund that somebody asked for, of the payment `paid`.
///
/// # Errors
/// Why it may not begin.
pub fn begin_requested_refund(
    head: &Head,
    paid: &Attempt,
    wanted: &RequestedRefund,
    owner: &str,
    now: Timestamp,
    trace: &Trace,
) -> Result<Change, RefundRefused> {
    if matches!(head.state, HeadState::Unknown(_)) {
        return Err(RefundRefused::NotReadable);
    }
    let money = |amount| Money::new(amount, head.currency);
    // Payments itself refunds a surplus capture, whole; once it has stopped trying, a person may.
    if head.surplus_refunds_refused.contains(&paid.payment_id) {
        let at_most = money(paid.amount - paid.refunded);
        return match wanted.amount {
            Some(amount) if amount.currency != head.currency => Err(RefundRefused::CurrencyMismatch),
            Some(amount) if amount.amount > at_most.amount => Err(RefundRefused::Exceeds { at_most }),
            Some(amount) if amount.amount < at_most.amount => Err(RefundRefused::OnlyWhole { amount: at_most }),
            _ => {
                let refund = requested(paid, wanted, RefundKind::Surplus, at_most.amount, now);
                let others = head.surplus_refunds_refused.iter().filter(|refused| **refused != paid.payment_id).copied().collect();
                let head = Head { surplus_refunds_refused: others, ..head.clone() };
                Ok(begin(&head, refund, owner, now, trace))
            }
        };
    }
    if head.captured_payment != Some(paid.payment_id) {
        return Err(RefundRefused::NothingCaptured);
    }
    let amount = wanted.amount.unwrap_or(money(head.refundable));
    if amount.currency != head.currency {
        return Err(RefundRefused::CurrencyMismatch);
    }
    if head.refundable <= 0 {
        return Err(RefundRefused::NothingLeft);
    }
    let at_most = money(head.captured_total - head.refunded_net() - head.disputed_away());
    if amount.amount > at_most.amount {
        return Err(RefundRefused::Exceeds { at_most });
    }
    if amount.amount > head.refundable {
        return Err(RefundRefused::UnderWay { refundable: money(head.refundable) });
    }
    let refund = requested(paid, wanted, RefundKind::Requested, amount.amount, now);
    Ok(begin(head, refund, owner, now, trace))
}

fn requested(paid: &Attempt, wanted: &RequestedRefund, kind: RefundKind, amount: i64, now: Timestamp) -> Refund {
    Refund {
        amount,
        reason: Some(wanted.reason.clone()),
        requested_by: Some(wanted.by),
        request_id: Some(wanted.request_id.clone()),
        ..Refund::of(paid, wanted.refund_id, kind, 0, now)
    }
}

fn begin(head: &Head, refund: Refund, owner: &str, now: Timestamp, trace: &Trace) -> Change {
    let head = Head {
        refunds_pending: head.refunds_pending + refund.holds(),
        last_fact: HeadFact::Succeeded,
        traceparent: trace.clone(),
        ..head.written(now)
    };
    let head = head.with_refundable();
    let refund =
        Refund { dispatch: Dispatch::unsent(Lock::of(owner, now, NEW_LOCK), now.plus(NEW_LOCK)), traceparent: trace.clone(), ..refund };
    Change { head: Some(head), refund: Some(refund), ..Change::default() }
}

/// What `fact` about `refund` changes. `paid` is the payment that is given back, `head` the head of its order.
pub fn apply_refund_fact(head: &Head, paid: &Attempt, refund: &Refund, fact: &RefundResult, now: Timestamp, nudge: Duration) -> Change {
    if matches!(head.state, HeadState::Unknown(_)) || matches!(refund.kind, RefundKind::Unknown(_)) {
        return Change { needs_review: true, ..Change::default() };
    }
    match (fact, &refund.state) {
        (_, RefundState::Unknown(_)) => Change { needs_review: true, ..Change::default() },
        (_, RefundState::Reversed) => Change::default(),
        (RefundResult::Failed { provider_refund_id, reason }, RefundState::Succeeded) if refund.is_named(provider_refund_id) => {
            reversed(head, paid, refund, reason, now)
        }
        // Another refund of the provider under the same id of ours: a person has to look.
        (RefundResult::Failed { .. }, RefundState::Succeeded) => Change { needs_review: true, ..Change::default() },
        (_, RefundState::Succeeded) => Change::default(),
        // It failed at the provider: a success is what was known before.
        (RefundResult::Succeeded { provider_refund_id, .. }, RefundState::Failed) if refund.is_named(provider_refund_id) => Change::default(),
        (RefundResult::Succeeded { amount, .. }, RefundState::NeedsReview) if *amount != refund.money() => Change::default(),
        // What it took was put back when it failed: there is nothing to hold on to until a person has looked.
        (RefundResult::Succeeded { amount, .. }, RefundState::Failed) if *amount != refund.money() => {
            Change { needs_review: true, ..Change::default() }
        }
        (RefundResult::Succeeded { provider_refund_id, amount }, _) if *amount != refund.money() => Change {
            // What it took stays taken. The order hears that its refund does not go as it should.
            head: (refund.kind == RefundKind::Automatic).then(|| marked_as_failed(head, now)),
            refund: Some(Refund {
                provider_refund_id: Some(provider_refund_id.clone()),
                failure_reason: Some("provider_mismatch".to_owned()),
                ..refund.settled(RefundState::NeedsReview, now)
            }),
            needs_review: true,
            ..Change::default()
        },
        (RefundResult::Succeeded { provider_refund_id, .. }, _) => given_back(head, paid, refund, provider_refund_id, now),
        (RefundResult::Rejected { reason }, _) if refund.is_alive() => failed(head, paid, refund, reason, now),
        (RefundResult::Failed { provider_refund_id, reason }, _) if refund.is_alive() => {
            let named = Refund { provider_refund_id: Some(provider_refund_id.clone()), ..refund.clone() };
            failed(head, paid, &named, reason, now)
        }
        // The mismatching refund has failed: nothing was refunded, and no review is needed.
        (RefundResult::Failed { provider_refund_id, reason }, RefundState::NeedsReview) if refund.is_named(provider_refund_id) => {
            failed(head, paid, refund, reason, now)
        }
        (RefundResult::Failed { provider_refund_id, .. }, RefundState::Failed) if refund.provider_refund_id.is_none() => {
            let named = Refund { provider_refund_id: Some(provider_refund_id.clone()), ..refund.settled(RefundState::Failed, now) };
            Change { refund: Some(named), ..Change::default() }
        }
        (RefundResult::OutcomeUnknown, _) if refund.is_alive() => Change { refund: Some(refund.unknown(now, nudge)), ..Change::default() },
        (RefundResult::Rejected { .. } | RefundResult::Failed { .. } | RefundResult::OutcomeUnknown, _) => Change::default(),
    }
}

fn given_back(head: &Head, paid: &Attempt, refund: &Refund, provider_refund_id: &str, now: Timestamp) -> Change {
    let settled = Refund {
        provider_refund_id: Some(provider_refund_id.to_owned()),
        failure_reason: None,
        ..refund.settled(RefundState::Succeeded, now)
    };
    // It is counted in full even where the sum then exceeds the capture: another refund has failed at the provider, and that is learned
    // later; or it never does, and a person has to look.
    let attempt = paid.given_back(refund.amount, now);
    let head = if refund.kind == RefundKind::Surplus {
        let is_whole = attempt.refunded >= paid.amount;
        let refused = head.surplus_refunds_refused.iter().filter(|refused| !(is_whole && **refused == paid.payment_id)).copied();
        Head { surplus_refunded: head.surplus_refunded + refund.amount, surplus_refunds_refused: refused.collect(), ..head.written(now) }
    } else {
        // One that was taken for failed has put back what it took.
        let pending = if refund.state == RefundState::Failed { 0 } else { refund.amount };
        let after = Head {
            refunded_total: head.refunded_total + refund.amount,
            refunds_pending: head.refunds_pending - pending,
            refund_failed: false,
            ..head.written(now)
        };
        let last_fact = if after.refunded_net() >= after.captured_total { HeadFact::Refunded } else { HeadFact::Succeeded };
        Head { last_fact, ..after }.with_refundable()
    };
    let needs_review = attempt.refunded > paid.amount;
    Change { head: Some(head), attempt: Some(attempt), refund: Some(settled), needs_review, ..Change::default() }
}

fn failed(head: &Head, paid: &Attempt, refund: &Refund, reason: &str, now: Timestamp) -> Change {
    let settled = Refund { failure_reason: Some(reason.to_owned()), ..refund.settled(RefundState::Failed, now) };
    if refund.kind == RefundKind::Surplus {
        let (head, next_refund) = after_failed_surplus(head, paid, refund, now);
        return Change { head, refund: Some(settled), next_refund, needs_review: true, ..Change::default() };
    }
    // An order has not asked for what somebody of the shop requested: it learns only the totals.
    let is_automatic = refund.kind == RefundKind::Automatic;
    let head = if is_automatic { marked_as_failed(head, now) } else { head.written(now) };
    let head = Head {
        refunds_pending: head.refunds_pending - refund.amount,
        failed_refunds: head.failed_refunds + 1,
        automatic_refunds_failed: head.automatic_refunds_failed + u32::from(is_automatic),
        ..head
    };
    Change { head: Some(head.with_refundable()), refund: Some(settled), ..Change::default() }
}

/// The refund failed after it had succeeded: the provider holds the money again. The totals count it as reversed, the order is flagged, and
/// the money can be refunded again.
fn reversed(head: &Head, paid: &Attempt, refund: &Refund, reason: &str, now: Timestamp) -> Change {
    let attempt = paid.given_back(-refund.amount, now);
    let settled = Refund { failure_reason: Some(reason.to_owned()), ..refund.settled(RefundState::Reversed, now) };
    if refund.kind == RefundKind::Surplus {
        let after = Head { surplus_refunds_reversed: head.surplus_refunds_reversed + refund.amount, ..head.written(now) };
        let after = after.with_refused_surplus(paid);
        return Change { head: Some(after), attempt: Some(attempt), refund: Some(settled), needs_review: true, ..Change::default() };
    }
    let after = Head {
        refunds_reversed_total: head.refunds_reversed_total + refund.amount,
        failed_refunds: head.failed_refunds + 1,
        automatic_refunds_failed: head.automatic_refunds_failed + u32::from(refund.kind == RefundKind::Automatic),
        ..marked_as_failed(head, now)
    };
    Change { head: Some(after.with_refundable()), attempt: Some(attempt), refund: Some(settled), needs_review: true, ..Change::default() }
}

/// What follows for a surplus capture whose refund failed: the next automatic refund takes its place, later and later; after
/// [`AUTOMATIC_REFUND_TRIES`], and after a refund that a person made, it is marked for a person.
fn after_failed_surplus(head: &Head, paid: &Attempt, refund: &Refund, now: Timestamp) -> (Option<Head>, Option<Refund>) {
    let number = refund.number + 1;
    if paid.refunded >= paid.amount {
        (None, None)
    } else if refund.is_automatic() && number < AUTOMATIC_REFUND_TRIES {
        (None, Some(Refund::of_surplus(paid, number, now)))
    } else {
        (Some(head.written(now).with_refused_surplus(paid)), None)
    }
}

impl Head {
    /// The head with the surplus capture `paid` marked for a person.
    fn with_refused_surplus(mut self, paid: &Attempt) -> Self {
        if !self.surplus_refunds_refused.contains(&paid.payment_id) {
            self.surplus_refunds_refused.push(paid.payment_id);
        }
        self
    }
}

fn marked_as_failed(head: &Head, now: Timestamp) -> Head {
    Head { refund_failed: true, last_fact: HeadFact::RefundFailed, ..head.written(now) }
}
