//! Giving money back: all of a captured payment, a part of it, or a capture that was one too many; and the single way in for what becomes
//! known about a refund.
//!
//! What a refund takes it takes from the head's `refundable`, in the write that records it, before anything leaves; what fails puts it back.
//! So refunds can never sum above the capture, however many are asked for at the same time.

use std::time::Duration;

use shared::{clock::Timestamp, ids::UserId, money::Money, telemetry::Trace};

use super::{Attempt, Change, Head, HeadFact, HeadState, NEW_LOCK, Refund, RefundId, RefundKind, RefundState};

/// What is known about a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundFact {
    /// The provider gave this back.
    Succeeded {
        /// The provider's name for the refund.
        provider_refund_id: String,
        /// How much.
        amount: Money,
    },
    /// The provider will not, for good.
    Failed {
        /// Why, as a stable name.
        reason: String,
    },
    /// Nobody knows yet.
    OutcomeUnknown,
}

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
    /// Another currency than the payment's.
    #[error("the currency is not the payment's")]
    CurrencyMismatch,
    /// A newer release wrote a state that this one cannot judge.
    #[error("the state of the payment is not known to this release")]
    NotReadable,
}

/// The automatic refund: all of the captured payment `paid` that no refund has taken yet. `None` where nothing is left to take.
pub fn begin_refund(head: &Head, paid: &Attempt, drive: u64, owner: &str, now: Timestamp, trace: &Trace) -> Option<Change> {
    if head.state != HeadState::Captured || head.refundable <= 0 {
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
    // A surplus capture is given back by payments itself, whole.
    if head.captured_payment != Some(paid.payment_id) {
        return Err(RefundRefused::NothingCaptured);
    }
    let money = |amount| Money::new(amount, head.currency);
    let amount = wanted.amount.unwrap_or(money(head.refundable));
    if amount.currency != head.currency {
        return Err(RefundRefused::CurrencyMismatch);
    }
    if head.refundable <= 0 {
        return Err(RefundRefused::NothingLeft);
    }
    let at_most = money(head.captured_total - head.refunded_total);
    if amount.amount > at_most.amount {
        return Err(RefundRefused::Exceeds { at_most });
    }
    if amount.amount > head.refundable {
        return Err(RefundRefused::UnderWay { refundable: money(head.refundable) });
    }
    let refund = Refund {
        amount: amount.amount,
        reason: Some(wanted.reason.clone()),
        requested_by: Some(wanted.by),
        request_id: Some(wanted.request_id.clone()),
        ..Refund::of(paid, wanted.refund_id, RefundKind::Requested, 0, now)
    };
    Ok(begin(head, refund, owner, now, trace))
}

fn begin(head: &Head, refund: Refund, owner: &str, now: Timestamp, trace: &Trace) -> Change {
    let head = Head {
        refundable: head.refundable - refund.amount,
        last_fact: HeadFact::Succeeded,
        traceparent: trace.clone(),
        ..head.written(now)
    };
    let refund = Refund {
        lock_owner: owner.to_owned(),
        lock_until: now.plus(NEW_LOCK),
        check_at: Some(now.plus(NEW_LOCK)),
        traceparent: trace.clone(),
        ..refund
    };
    Change { head: Some(head), refund: Some(refund), ..Change::default() }
}

/// What `fact` about `refund` changes. `paid` is the payment that is given back, `head` the head of its order.
pub fn apply_refund_fact(head: &Head, paid: &Attempt, refund: &Refund, fact: &RefundFact, now: Timestamp, nudge: Duration) -> Change {
    if matches!(head.state, HeadState::Unknown(_)) || matches!(refund.kind, RefundKind::Unknown(_)) {
        return Change { needs_review: true, ..Change::default() };
    }
    match (fact, &refund.state) {
        (_, RefundState::Unknown(_)) => Change { needs_review: true, ..Change::default() },
        // Money that came back to the shop after all: nothing is owed by the books, and somebody has to look.
        (RefundFact::Failed { .. }, RefundState::Succeeded) => Change { needs_review: true, ..Change::default() },
        (_, RefundState::Succeeded) => Change::default(),
        (RefundFact::Succeeded { amount, .. }, RefundState::NeedsReview) if *amount != refund.money() => Change::default(),
        // What it took was put back when it failed: there is nothing to hold on to until a person has looked.
        (RefundFact::Succeeded { amount, .. }, RefundState::Failed) if *amount != refund.money() => {
            Change { needs_review: true, ..Change::default() }
        }
        (RefundFact::Succeeded { provider_refund_id, amount }, _) if *amount != refund.money() => Change {
            // What it took stays taken. The order hears that its refund does not go as it should.
            head: (refund.kind == RefundKind::Automatic).then(|| told_as_failed(head, now)),
            refund: Some(Refund {
                provider_refund_id: Some(provider_refund_id.clone()),
                failure_reason: Some("provider_mismatch".to_owned()),
                ..refund.settled(RefundState::NeedsReview, now)
            }),
            needs_review: true,
            ..Change::default()
        },
        (RefundFact::Succeeded { provider_refund_id, .. }, _) => given_back(head, paid, refund, provider_refund_id, now),
        (RefundFact::Failed { reason }, _) if refund.is_alive() => failed(head, paid, refund, reason, now),
        (RefundFact::OutcomeUnknown, _) if refund.is_alive() => Change { refund: Some(refund.unknown(now, nudge)), ..Change::default() },
        (RefundFact::Failed { .. } | RefundFact::OutcomeUnknown, _) => Change::default(),
    }
}

fn given_back(head: &Head, paid: &Attempt, refund: &Refund, provider_refund_id: &str, now: Timestamp) -> Change {
    let settled = Refund {
        provider_refund_id: Some(provider_refund_id.to_owned()),
        failure_reason: None,
        ..refund.settled(RefundState::Succeeded, now)
    };
    // A refund that was taken for failed has put back what it took; another one may have taken that since. More than was captured can
    // never have been given back, so what goes beyond is for a person to look at, and is not counted.
    let took = refund.state != RefundState::Failed;
    let room = if refund.kind == RefundKind::Surplus {
        paid.amount - paid.refunded
    } else {
        (head.captured_total - head.refunded_total).min(if took { refund.amount } else { head.refundable })
    };
    let counted = refund.amount.min(room);
    let refunded_total = head.refunded_total + counted;
    let head = match refund.kind {
        RefundKind::Surplus => Head { surplus_refunded: head.surplus_refunded + counted, ..head.written(now) },
        _ => Head {
            refunded_total,
            refundable: if took { head.refundable } else { head.refundable - counted },
            refund_failed: false,
            last_fact: if refunded_total >= head.captured_total { HeadFact::Refunded } else { HeadFact::Succeeded },
            ..head.written(now)
        },
    };
    Change {
        head: Some(head),
        attempt: Some(paid.given_back(counted, now)),
        refund: Some(settled),
        needs_review: counted < refund.amount,
        ..Change::default()
    }
}

fn failed(head: &Head, paid: &Attempt, refund: &Refund, reason: &str, now: Timestamp) -> Change {
    let settled = Refund { failure_reason: Some(reason.to_owned()), ..refund.settled(RefundState::Failed, now) };
    if refund.kind == RefundKind::Surplus {
        // Nobody asks for these: the next one takes its place at once, later and later.
        let next = Refund::of_surplus(paid, refund.number + 1, now);
        return Change { refund: Some(settled), next_refund: Some(next), needs_review: true, ..Change::default() };
    }
    // An order has not asked for what somebody of the shop requested, and is told only that the totals stand as they do.
    let head = if refund.kind == RefundKind::Automatic { told_as_failed(head, now) } else { head.written(now) };
    let head = Head { refundable: head.refundable + refund.amount, failed_refunds: head.failed_refunds + 1, ..head };
    Change { head: Some(head), refund: Some(settled), ..Change::default() }
}

fn told_as_failed(head: &Head, now: Timestamp) -> Head {
    Head { refund_failed: true, last_fact: HeadFact::RefundFailed, ..head.written(now) }
}
