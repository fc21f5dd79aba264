//! The rules of paying: a head for each order, its attempts and its refunds, and the one way in which facts about money change them.
//!
//! Nothing here waits, asks or stores: functions take records and a moment, and answer with the records that follow. Every record counts its
//! writes in `version`; what a function answers is to be written only if nobody else has written meanwhile.

mod attempt;
mod breaker;
mod dispute;
mod fact;
mod head;
mod method;
mod payment_id;
mod refund;
mod refund_adoption;
mod refund_fact;
mod refund_reason;

pub use attempt::{Attempt, AttemptState, DelayedReason, NewAttempt, NextAction, PaymentStatus};
pub use breaker::{Breaker, BreakerState, Stance};
pub use dispute::{Dispute, DisputeFact, DisputeState, DisputeStatus, apply_dispute_fact};
pub use fact::{Change, Fact, apply_provider_fact};
pub(crate) use head::ORDER_CLOSED;
pub use head::{Expected, Head, HeadFact, HeadState, StartRefused};
pub use method::{CardToken, MethodType, PaymentMethod};
pub use payment_id::PaymentId;
pub use refund::{Refund, RefundId, RefundKind, RefundMaker, RefundState, RefundStatus};
pub use refund_adoption::{ProviderRefund, adopt_refund};
pub use refund_fact::{RefundFact, RefundRefused, RequestedRefund, apply_refund_fact, begin_refund, begin_requested_refund};
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

/// Declares an enum that is stored as a text, and that keeps a text which a newer release wrote.
macro_rules! stored_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$about])* $variant,)+
            /// A newer release wrote this: it is kept, and nothing is decided by it.
            Unknown(String),
        }

        impl $name {
            /// The text that is stored.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(text) => text,
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)+
                    _ => Self::Unknown(text),
                }
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.name().to_owned()
            }
        }
    };
}
use stored_enum;

#[cfg(test)]
mod fencing_model;
#[cfg(test)]
mod model;
#[cfg(test)]
mod refund_model;
