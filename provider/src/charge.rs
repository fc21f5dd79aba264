//! Charges: what a provider is asked to charge, and what it says of it.

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, ids::OrderId, money::Money};

use crate::{card_token::CardToken, payment_id::PaymentId};

/// What is to be charged.
#[derive(Clone, Debug)]
pub struct ChargeRequest {
    /// Under which id.
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// Which card.
    pub token: CardToken,
    /// Where the provider returns the customer to.
    pub return_url: Option<String>,
    /// When it was sent first and last, if it was.
    pub sent: Option<(Timestamp, Timestamp)>,
    /// The provider's own name for the charge, where it has said one.
    pub transaction_id: Option<String>,
}

/// What is known about a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderResult {
    /// The provider charged this.
    Succeeded {
        /// The provider's name for the charge.
        transaction_id: String,
        /// How much it charged.
        amount: Money,
        /// For which order; none where the provider names none, or none of ours.
        order_id: Option<OrderId>,
    },
    /// The provider refused, for good.
    Declined {
        /// Why, as a stable name: `card_declined`.
        reason: String,
    },
    /// The provider waits for the customer, who has to do something first.
    ActionRequired {
        /// The provider's name for the charge.
        transaction_id: String,
        next_action: NextAction,
    },
    /// The provider has the charge and has not finished it.
    Processing {
        /// The provider's name for the charge.
        transaction_id: String,
    },
    /// The outcome is not known yet.
    OutcomeUnknown,
    /// The provider rejected the credentials of the only request that was sent: nothing was
    /// charged. The try does not count.
    NotSent,
    /// The provider does not list the charge, and its key has expired: it was never made. A person
    /// checks that.
    NeverCreated,
    /// It is certain that nothing was charged and nothing will be.
    Abandoned {
        /// Why, as a stable name.
        reason: &'static str,
    },
}

impl ProviderResult {
    /// The provider's name for the charge, where the fact has one.
    pub fn transaction_id(&self) -> Option<&str> {
        match self {
            Self::Succeeded { transaction_id, .. }
            | Self::ActionRequired { transaction_id, .. }
            | Self::Processing { transaction_id } => Some(transaction_id),
            _ => None,
        }
    }

    /// Whether the provider has the charge and may still finish it.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::ActionRequired { .. } | Self::Processing { .. } | Self::OutcomeUnknown)
    }
}

/// The action that the customer must complete before the provider continues: open this address and
/// return from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextAction {
    /// The provider's page.
    pub url: String,
}

/// What the provider knows of an idempotency key that was to be voided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// No charge was made under the key, and none can be made under it any more.
    Voided,
    /// The charge arrived before: the same charge again returns its stored answer and charges
    /// nothing new.
    Used,
    /// A request under the key is running at this moment.
    Running,
}
