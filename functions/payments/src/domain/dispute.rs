//! Disputes, as the intent of an order records them: the buyer's bank claims money back.

use provider::{DisputeState, PaymentId};
use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, stored_enum};

stored_enum!(
    /// The state of all disputes of an order's payment together, as orders reads it.
    DisputeStatus {
        /// At least one dispute is open.
        Open = "open",
        /// No dispute is open, and none was lost.
        Won = "won",
        /// No dispute is open, and at least one was lost.
        Lost = "lost",
    }
);

/// A dispute, as the intent records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// The provider's name for the dispute.
    pub dispute_id: String,
    /// The disputed payment.
    pub payment_id: PaymentId,
    /// Its state.
    pub state: DisputeState,
    /// How much of the order's money the bank holds because of it, in minor units.
    pub held_amount: i64,
    /// When its state last changed.
    pub updated_at: Timestamp,
}

impl DisputeStatus {
    /// The state of these disputes together; `None` where there never was one.
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
