//! Refunds: requests to a provider and their results.

use shared::{
    ids::{self, OrderId},
    money::Money,
    prefixed_id,
};

use crate::payment_id::PaymentId;

prefixed_id!(
    /// A refund: the provider's idempotency key too.
    RefundId,
    "ref"
);

/// The amount to refund.
#[derive(Clone, Debug)]
pub struct RefundRequest {
    /// Under which id.
    pub refund_id: RefundId,
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    /// The provider's name for that charge.
    pub transaction_id: String,
    /// How much.
    pub amount: Money,
    /// The provider's own name for the refund, where it has said one.
    pub provider_refund_id: Option<String>,
}

/// What is known about a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundResult {
    /// The provider gave this back.
    Succeeded {
        /// The provider's name for the refund.
        provider_refund_id: String,
        /// How much.
        amount: Money,
    },
    /// The provider refuses the request for good: it has made no refund.
    Rejected {
        /// Why, as a stable name.
        reason: String,
    },
    /// The provider made the refund and it failed, at once or days after it succeeded. It never
    /// succeeds again.
    Failed {
        /// The provider's name for the refund.
        provider_refund_id: String,
        /// Why, as a stable name.
        reason: String,
    },
    /// The outcome is not known yet.
    OutcomeUnknown,
}

/// A refund, as the provider has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRefund {
    /// The provider's name for it.
    pub provider_refund_id: String,
    /// The refunded payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// Its outcome.
    pub result: RefundResult,
}

impl ProviderRefund {
    /// The id of its record: the same each time that the provider names it.
    pub fn refund_id(&self) -> RefundId {
        ids::derive(&["refund made at the provider", &self.provider_refund_id])
    }
}
