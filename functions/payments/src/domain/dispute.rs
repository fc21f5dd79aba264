//! Disputes as the payment intent records them: claims of the buyer's bank on a payment.

use provider::{DisputeState, PaymentId};
use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, stored_enum};

stored_enum!(
    /// Combined state of all disputes of an order's payment. Orders reads it.
    DisputeStatus {
        /// At least one dispute is open.
        Open = "open",
        /// No dispute is open and none was lost.
        Won = "won",
        /// No dispute is open and at least one was lost.
        Lost = "lost",
    }
);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// The provider's id of the dispute.
    pub dispute_id: String,
    pub payment_id: PaymentId,
    pub state: DisputeState,
    /// Amount of the order's money that the bank holds because of the dispute, in minor units.
    pub held_amount: i64,
    pub updated_at: Timestamp,
}

impl DisputeStatus {
    /// The combined state; `None` without disputes.
    pub fn of(disputes: &[Dispute]) -> Option<Self> {
        let any = |is: fn(&DisputeState) -> bool| disputes.iter().any(|dispute| is(&dispute.state));
        match () {
            () if disputes.is_empty() => None,
            () if any(is_open) => Some(Self::Open),
            () if any(|state| *state == DisputeState::Lost) => Some(Self::Lost),
            () => Some(Self::Won),
        }
    }
}

fn is_open(state: &DisputeState) -> bool {
    !matches!(state, DisputeState::InquiryClosed | DisputeState::Won | DisputeState::Lost)
}
