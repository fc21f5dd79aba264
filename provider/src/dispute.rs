//! Disputes: what a provider says of money that a bank claims back.

use shared::{money::Money, stored_enum};

use crate::payment_id::PaymentId;

stored_enum!(
    DisputeState {
        /// The bank asks for information. It has taken no money.
        Inquiry = "inquiry",
        /// The bank closed its inquiry without taking money.
        InquiryClosed = "inquiry_closed",
        /// The dispute is open. The bank has taken no money yet.
        Open = "open",
        /// The dispute is open, and the bank has taken the money.
        Withdrawn = "withdrawn",
        /// The shop won: the money is back.
        Won = "won",
        /// The shop lost: the money is gone.
        Lost = "lost",
    }
);

impl DisputeState {
    /// Whether the bank holds the money in this state.
    pub fn funds_withdrawn(&self) -> bool {
        matches!(self, Self::Withdrawn | Self::Lost)
    }
}

/// What the provider says of a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderDispute {
    /// The provider's name for the dispute.
    pub dispute_id: String,
    /// The disputed payment.
    pub payment_id: PaymentId,
    /// The disputed amount.
    pub amount: Money,
    pub state: DisputeState,
}
