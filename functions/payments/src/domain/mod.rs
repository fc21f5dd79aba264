//! Rules of payment intents, attempts, refunds and disputes, and how provider results change them.
//!
//! These functions are pure: they take records and a time, and return the records to write. Every
//! record has a `version`; a write requires that the stored version is the previous one.

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

/// Lock of a new refund, within which its creator starts to send it. It is short, because versions
/// rather than this lock stop a second sender.
pub const NEW_LOCK: Duration = Duration::from_secs(5);

/// Time that the customer has for an action the provider requires.
pub const ACTION_TIMEOUT: Duration = Duration::from_secs(600);

/// Automatic refunds of an order, or of a duplicate capture, that may fail definitively. After that
/// an admin decides.
pub const MAX_FAILED_AUTOMATIC_REFUNDS: u32 = 5;

/// Maximum age of an idempotency key for sending a request again. The provider still knows the key
/// up to this age.
pub const KEY_REUSE_AGE: Duration = Duration::from_secs(23 * 3600);

/// Age of an idempotency key from which a request sent under it can no longer create a charge.
pub const KEY_EXPIRY_AGE: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
mod refund_model;
#[cfg(test)]
mod voiding_model;
