//! Giving money back: all of a captured payment, or a capture that was one too many.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{self, OrderId},
    money::{Currency, Money},
    prefixed_id, retry,
    telemetry::Trace,
};

use super::{Attempt, Change, Head, HeadFact, HeadState, NEW_LOCK, PaymentId, SENT_LOCK, stored_enum};

prefixed_id!(
    /// A refund: the provider's idempotency key too.
    RefundId,
    "ref"
);

stored_enum!(
    /// How far a refund has come.
    RefundState {
        /// Recorded, not sent.
        New = "new",
        /// On its way to the provider, or its answer was lost.
        Sent = "sent",
        /// The provider did not say what became of it.
        OutcomeUnknown = "unknown",
        /// Given back.
        Succeeded = "succeeded",
        /// The provider will not give it back under this id.
        Failed = "failed",
        /// The provider gave back another amount than was asked for: a person has to look.
        NeedsReview = "needs_review",
    }
);

stored_enum!(
    /// Why money is given back.
    RefundKind {
        /// The order gave up after it was paid.
        Automatic = "automatic",
        /// The order was paid twice.
        Surplus = "surplus",
    }
);

/// One refund of one payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    /// Its id.
    pub refund_id: RefundId,
    /// The order.
    pub order_id: OrderId,
    /// The payment that is given back.
    pub payment_id: PaymentId,
    /// The provider's name for that charge.
    pub transaction_id: String,
    /// Why.
    pub kind: RefundKind,
    /// How many refunds for the same reason failed before it.
    pub number: u32,
    /// How far it has come.
    pub state: RefundState,
    /// How much, in minor units.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
    /// Who sends; see [`Attempt::lock_owner`].
    pub lock_owner: String,
    /// Until when nobody else sends.
    pub lock_until: Timestamp,
    /// When it was sent first: the age of its key.
    #[serde(default)]
    pub sent_at: Option<Timestamp>,
    /// The provider's name for the refund.
    #[serde(default)]
    pub provider_refund_id: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// How often it was looked at since it was sent.
    #[serde(default)]
    pub checks: u32,
    /// When it is looked at next: set as long as its end is not known.
    #[serde(default)]
    pub check_at: Option<Timestamp>,
    /// Counts the writes of this record.
    pub version: u64,
    /// When it was put.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// The trace that began it.
    pub traceparent: Trace,
}

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

/// The automatic refund: all of the captured payment `paid` that no refund has taken yet. `None` where nothing is left to take.
pub fn begin_refund(head: &Head, paid: &Attempt, drive: u64, owner: &str, now: Timestamp, trace: &Trace) -> Option<Change> {
    if head.state != HeadState::Captured || head.refundable <= 0 {
        return None;
    }
    let refund = Refund {
        amount: head.refundable,
        lock_owner: owner.to_owned(),
        lock_until: now.plus(NEW_LOCK),
        check_at: Some(now.plus(NEW_LOCK)),
        traceparent: trace.clone(),
        ..Refund::of(paid, Refund::automatic_id(head), RefundKind::Automatic, head.failed_refunds, now)
    };
    let head = Head {
        refundable: 0,
        refund_failed: false,
        last_fact: HeadFact::Succeeded,
        traceparent: trace.clone(),
        ..head.written(now).having_answered(drive)
    };
    Some(Change { head: Some(head), refund: Some(refund), ..Change::default() })
}

/// What `fact` about `refund` changes. `paid` is the payment that is given back, `head` the head of its order.
pub fn apply_refund_fact(head: &Head, paid: &Attempt, refund: &Refund, fact: &RefundFact, now: Timestamp, nudge: Duration) -> Change {
    if matches!(head.state, HeadState::Unknown(_)) || matches!(refund.kind, RefundKind::Unknown(_)) {
        return Change { needs_review: true, ..Change::default() };
    }
    match (fact, &refund.state) {
        (_, RefundState::Unknown(_)) => Change { needs_review: true, ..Change::default() },
        (_, RefundState::Succeeded) => Change::default(),
        (RefundFact::Succeeded { amount, .. }, RefundState::NeedsReview) if *amount != refund.money() => Change::default(),
        // What it took was put back when it failed: there is nothing to hold on to until a person has looked.
        (RefundFact::Succeeded { amount, .. }, RefundState::Failed) if *amount != refund.money() => {
            Change { needs_review: true, ..Change::default() }
        }
        (RefundFact::Succeeded { provider_refund_id, amount }, _) if *amount != refund.money() => Change {
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
    let head = (refund.kind != RefundKind::Surplus).then(|| {
        let refunded_total = head.refunded_total + counted;
        let whole = refunded_total >= head.captured_total;
        Head {
            refunded_total,
            refundable: if took { head.refundable } else { head.refundable - counted },
            refund_failed: false,
            last_fact: if whole { HeadFact::Refunded } else { HeadFact::Succeeded },
            ..head.written(now)
        }
    });
    Change {
        head,
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
    let head = Head {
        refundable: head.refundable + refund.amount,
        refund_failed: true,
        failed_refunds: head.failed_refunds + 1,
        last_fact: HeadFact::RefundFailed,
        ..head.written(now)
    };
    Change { head: Some(head), refund: Some(settled), ..Change::default() }
}

impl Refund {
    /// The id of the automatic refund that is under way or comes next: another one only after the one before has failed.
    pub fn automatic_id(head: &Head) -> RefundId {
        ids::derive(&[&head.order_id.to_string(), "automatic", &head.failed_refunds.to_string()])
    }

    /// The refund of a capture that was one too many, after `number` that failed.
    pub(super) fn of_surplus(surplus: &Attempt, number: u32, now: Timestamp) -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        let id = ids::derive(&[&surplus.payment_id.to_string(), "surplus", &number.to_string()]);
        let wait = if number == 0 { Duration::ZERO } else { retry::doubling(number, MINUTE) };
        Self { check_at: Some(now.plus(wait)), ..Self::of(surplus, id, RefundKind::Surplus, number, now) }
    }

    fn of(paid: &Attempt, refund_id: RefundId, kind: RefundKind, number: u32, now: Timestamp) -> Self {
        Self {
            refund_id,
            order_id: paid.order_id,
            payment_id: paid.payment_id,
            transaction_id: paid.transaction_id.clone().unwrap_or_default(),
            kind,
            number,
            state: RefundState::New,
            amount: paid.amount,
            currency: paid.currency,
            lock_owner: String::new(),
            lock_until: now,
            sent_at: None,
            provider_refund_id: None,
            failure_reason: None,
            checks: 0,
            check_at: Some(now),
            version: 1,
            created_at: now,
            updated_at: now,
            traceparent: paid.traceparent.clone(),
        }
    }

    /// How much is given back.
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// Whether its end is not known yet.
    pub fn is_alive(&self) -> bool {
        matches!(self.state, RefundState::New | RefundState::Sent | RefundState::OutcomeUnknown)
    }

    /// Whether somebody may be sending it at this moment.
    pub fn is_locked(&self, now: Timestamp) -> bool {
        now < self.lock_until && matches!(self.state, RefundState::New | RefundState::Sent)
    }

    /// How old its key is.
    pub fn key_age(&self, now: Timestamp) -> Duration {
        self.sent_at.map_or(Duration::ZERO, |sent_at| now.since(sent_at))
    }

    /// The refund once `owner` is about to send it, for the first time or again under the same key.
    #[must_use]
    pub fn sending(&self, owner: &str, now: Timestamp, nudge: Duration) -> Self {
        Self {
            state: RefundState::Sent,
            lock_owner: owner.to_owned(),
            lock_until: now.plus(SENT_LOCK),
            sent_at: self.sent_at.or(Some(now)),
            check_at: Some(now.plus(retry::doubling(self.checks, nudge))),
            ..self.written(now)
        }
    }

    fn unknown(&self, now: Timestamp, nudge: Duration) -> Self {
        Self {
            state: RefundState::OutcomeUnknown,
            lock_until: now,
            checks: self.checks + 1,
            check_at: Some(now.plus(retry::doubling(self.checks, nudge))),
            ..self.written(now)
        }
    }

    fn settled(&self, state: RefundState, now: Timestamp) -> Self {
        Self { state, lock_until: now, check_at: None, ..self.written(now) }
    }

    fn written(&self, now: Timestamp) -> Self {
        Self { version: self.version + 1, updated_at: now, ..self.clone() }
    }
}
