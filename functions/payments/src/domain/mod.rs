//! The rules of paying: a head for each order, its attempts and its refunds, and the one way in which facts about money change them.
//!
//! Nothing here waits, asks or stores: functions take records and a moment, and answer with the records that follow. Every record counts its
//! writes in `version`; what a function answers is to be written only if nobody else has written meanwhile.

mod attempt;
mod breaker;
mod change;
mod dispatch;
mod dispute;
mod dispute_fact;
mod fact;
mod head;
mod lifecycle;
mod method;
mod refund;
mod refund_adoption;
mod refund_fact;
mod refund_reason;

pub use attempt::{Attempt, AttemptState, DelayedReason, NewAttempt, PaymentStatus};
pub use breaker::{Breaker, BreakerState, Stance};
pub use change::Change;
pub use dispatch::{Dispatch, Lock};
pub use dispute::{Dispute, DisputeStatus};
pub use dispute_fact::apply_dispute_fact;
pub use fact::apply_provider_fact;
pub(crate) use head::ORDER_CLOSED;
pub use head::{Expected, Head, HeadFact, HeadState, StartRefused};
pub use method::{MethodType, PaymentMethod};
pub use refund::{Refund, RefundKind, RefundMaker, RefundState, RefundStatus};
pub use refund_adoption::adopt_refund;
pub use refund_fact::{RefundRefused, RequestedRefund, apply_refund_fact, begin_refund, begin_requested_refund};
pub use refund_reason::RefundReason;

use std::time::Duration;

/// How long the one who put a new record has to begin sending it. Short: whoever comes second is stopped by the version, not by the lock.
pub const NEW_LOCK: Duration = Duration::from_secs(5);

/// An attempt that a message began, and that was never sent, is abandoned when it is this old: the message comes back earlier.
pub const NEVER_SENT: Duration = Duration::from_secs(180);

/// How long the customer has to do what the provider asks of them.
pub const ACTION_WITHIN: Duration = Duration::from_secs(600);

/// The most automatic refunds of an order, or of a duplicate capture, that may fail definitively. After that a person decides.
pub const AUTOMATIC_REFUND_TRIES: u32 = 5;

/// Up to this age an idempotency key is sure to be known to the provider still, and sending it again is safe.
pub const KEY_IS_SAFE: Duration = Duration::from_secs(23 * 3600);

/// From this age on nothing that was sent under a key can still turn into a charge.
pub const KEY_IS_DEAD: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod fencing_model;
#[cfg(test)]
mod model;
#[cfg(test)]
mod refund_model;
