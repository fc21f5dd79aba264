//! Webhook events of a provider. An event is not trusted: it only says what to look up at the
//! provider.

use shared::clock::Timestamp;

use crate::{payment_id::PaymentId, refund::RefundId};

/// A request that claims to come from the provider.
pub struct WebhookRequest<'a> {
    /// Returns the value of a header.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The body as received, because the signature covers its bytes.
    pub body: &'a [u8],
    pub received_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEvent {
    /// The same for each delivery of the event.
    pub id: String,
    /// The provider's name of the event type.
    pub kind: String,
    /// What to look up at the provider.
    pub subject: EventSubject,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventSubject {
    Payment {
        payment_id: PaymentId,
        /// The provider's id of the charge.
        transaction_id: String,
    },
    Refund {
        payment_id: PaymentId,
        refund_id: RefundId,
        /// The provider's id of the refund.
        provider_refund_id: String,
    },
    /// A refund that payments did not request. It may belong to one of our charges.
    ProviderRefund {
        provider_refund_id: String,
    },
    /// A dispute. It may concern one of our charges.
    Dispute {
        dispute_id: String,
    },
    Other,
}

/// Why a webhook request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The webhook secret is malformed. Its content is not part of the error.
    #[error("the secret of the webhooks cannot be read")]
    SecretUnreadable,
    #[error("invalid signature: {0}")]
    BadSignature(#[from] BadSignature),
}

/// Why a signature is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The signature is missing or malformed.
    #[error("signature missing or malformed")]
    Missing,
    /// The signature's timestamp is too far from the time of receipt.
    #[error("timestamp outside the tolerance")]
    Stale,
    /// The signature was made with another secret or for another body.
    #[error("signature does not match the body")]
    Mismatch,
}
