//! Disputes: charges that the customer's bank contests.

use shared::{money::Money, stored_enum};

use crate::payment_id::PaymentId;

stored_enum!(
    DisputeState {
        /// The bank requests information. It has withdrawn nothing.
        Inquiry = "inquiry",
        /// The bank closed its inquiry without withdrawing the amount.
        InquiryClosed = "inquiry_closed",
        /// Open, and the bank has withdrawn nothing yet.
        Open = "open",
        /// Open, and the bank has withdrawn the amount.
        Withdrawn = "withdrawn",
        /// The shop won: the bank returned the amount.
        Won = "won",
        /// The shop lost the amount.
        Lost = "lost",
    }
);

impl DisputeState {
    /// Whether the bank holds the amount in this state.
    pub fn funds_withdrawn(&self) -> bool {
        matches!(self, Self::Withdrawn | Self::Lost)
    }
}

/// A dispute as the provider reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderDispute {
    /// The provider's id of the dispute.
    pub dispute_id: String,
    pub payment_id: PaymentId,
    pub amount: Money,
    pub state: DisputeState,
}
