//! The rules of paying: an intent for each order, its attempts and its refunds, and the one way in
//! which facts about money change them.
//!
//! Nothing here waits, asks or stores: functions take records and a moment, and answer with the
//! records that follow. Every record counts its writes in `version`; what a function answers is to
//! be written only if nobody else has written meanwhile.

mod attempt;
mod breaker;
mod change;
mod dispatch;
mod dispute;
mod intent;
mod lifecycle;
mod method;
mod provider_dispute;
mod provider_result;
mod refund;
mod refund_adoption;
mod refund_reason;
mod refund_result;

pub use attempt::{Attempt, AttemptState, DelayedReason, NewAttempt, PaymentStatus};
pub use breaker::{Breaker, BreakerDecision, BreakerState};
pub use change::Change;
pub use dispatch::{Dispatch, Lock};
pub use dispute::{Dispute, DisputeStatus};
pub(crate) use intent::ORDER_CLOSED;
pub use intent::{ExpectedPayment, IntentEvent, IntentState, PaymentIntent, StartError};
pub use method::{PaymentMethod, PaymentMethodType};
pub use provider_dispute::apply_provider_dispute;
pub use provider_result::apply_provider_result;
pub use refund::{Refund, RefundInitiator, RefundKind, RefundState, RefundStatus};
pub use refund_adoption::adopt_refund;
pub use refund_reason::RefundReason;
pub use refund_result::{
    RefundError, RequestedRefund, apply_refund_result, begin_refund, begin_requested_refund,
};

use std::time::Duration;

/// How long the one who put a new record has to begin sending it. Short: whoever comes second is
/// stopped by the version, not by the lock.
pub const NEW_LOCK: Duration = Duration::from_secs(5);

/// An attempt that a message began, and that was never sent, is abandoned when it is this old: the
/// message comes back earlier.
pub const UNSENT_TIMEOUT: Duration = Duration::from_secs(180);

/// How long the customer has to do what the provider asks of them.
pub const ACTION_TIMEOUT: Duration = Duration::from_secs(600);

/// The most automatic refunds of an order, or of a duplicate capture, that may fail definitively.
/// After that a person decides.
pub const MAX_FAILED_AUTOMATIC_REFUNDS: u32 = 5;

/// Up to this age an idempotency key is sure to be known to the provider still, and sending it
/// again is safe.
pub const KEY_REUSE_AGE: Duration = Duration::from_secs(23 * 3600);

/// From this age on nothing that was sent under a key can still turn into a charge.
pub const KEY_EXPIRY_AGE: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod model;
#[cfg(test)]
mod refund_model;
#[cfg(test)]
mod voiding_model;
