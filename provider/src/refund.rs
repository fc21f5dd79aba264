//! Refunds: requests to a provider and their results.

use shared::{
    ids::{self, OrderId},
    money::Money,
    prefixed_id,
    telemetry::Trace,
};

use crate::payment_id::PaymentId;

prefixed_id!(
    /// Id of a refund, also the provider's idempotency key.
    RefundId,
    "ref"
);

#[derive(Clone, Debug)]
pub struct RefundRequest {
    pub refund_id: RefundId,
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    /// The provider's id of the charge to refund.
    pub transaction_id: String,
    pub amount: Money,
    /// The provider's id of the refund, if known.
    pub provider_refund_id: Option<String>,
    /// Trace of the request or message that created the refund. It never changes, because the trace
    /// id is part of the request under the idempotency key.
    pub trace: Trace,
}

/// The known outcome of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundResult {
    Succeeded {
        /// The provider's id of the refund.
        provider_refund_id: String,
        amount: Money,
    },
    /// The provider rejected the request permanently and created no refund.
    Rejected {
        /// Stable code of the reason.
        reason: String,
    },
    /// The refund was created and then failed, at once or days after it succeeded. This state is
    /// final.
    Failed {
        provider_refund_id: String,
        /// Stable code of the reason.
        reason: String,
    },
    OutcomeUnknown,
}

/// A refund as the provider reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRefund {
    /// The provider's id of the refund.
    pub provider_refund_id: String,
    pub payment_id: PaymentId,
    pub amount: Money,
    pub result: RefundResult,
}

impl ProviderRefund {
    /// Id of our record, derived from the provider's id: a repeated event finds the same record.
    pub fn refund_id(&self) -> RefundId {
        ids::derive(&["refund made at the provider", &self.provider_refund_id])
    }
}
