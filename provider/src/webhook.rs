//! Events that a provider sends on its own. An event is not believed: it only says what to look up
//! at the provider.

use shared::clock::Timestamp;

use crate::{payment_id::PaymentId, refund::RefundId};

/// A request that claims to come from the provider.
pub struct WebhookRequest<'a> {
    /// The value of a header.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The body as it was sent.
    pub body: &'a [u8],
    /// When it arrived.
    pub received_at: Timestamp,
}

/// An event of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEvent {
    /// Its id: the same each time it is sent.
    pub id: String,
    /// What happened, in the provider's words.
    pub kind: String,
    /// What to look up.
    pub subject: EventSubject,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventSubject {
    /// A charge.
    Payment {
        payment_id: PaymentId,
        /// The provider's name for it.
        transaction_id: String,
    },
    Refund {
        /// The payment that is refunded.
        payment_id: PaymentId,
        refund_id: RefundId,
        /// The provider's name for it.
        provider_refund_id: String,
    },
    /// A refund that payments did not request, perhaps of one of its charges.
    ProviderRefund {
        /// The provider's name for it.
        provider_refund_id: String,
    },
    /// A dispute, perhaps of one of its charges.
    Dispute {
        /// The provider's name for it.
        dispute_id: String,
    },
    /// Something else.
    Other,
}

/// Why a request is not accepted as one of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The secret does not hold what the provider signs with. Its content is not repeated.
    #[error("the secret of the webhooks cannot be read")]
    SecretUnreadable,
    /// The signature is not the provider's.
    #[error("the signature is not the provider's: {0}")]
    BadSignature(#[from] BadSignature),
}

/// Why a signature is not the provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The signature is missing or malformed.
    #[error("signature missing or malformed")]
    Missing,
    /// It was made too long ago, or will be.
    #[error("it is not of this time")]
    Stale,
    /// It was made with another secret, or for another body.
    #[error("it does not belong to the body")]
    Mismatch,
}
