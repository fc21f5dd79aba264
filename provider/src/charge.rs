//! Charge requests to a provider and their results.

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, ids::OrderId, money::Money, telemetry::Trace};

use crate::{card_token::CardToken, payment_id::PaymentId};

#[derive(Clone, Debug)]
pub struct ChargeRequest {
    /// Also the provider's idempotency key.
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    pub amount: Money,
    pub token: CardToken,
    /// URL to which the provider redirects the customer after an action.
    pub return_url: Option<String>,
    /// Times of the first and the last attempt to send; `None` if it was never sent.
    pub sent: Option<(Timestamp, Timestamp)>,
    /// The provider's id of the charge, if known.
    pub transaction_id: Option<String>,
    /// Trace of the request or message that created the attempt. It never changes, because the
    /// trace id is part of the request under the idempotency key.
    pub trace: Trace,
}

/// The known outcome of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderResult {
    Succeeded {
        /// The provider's id of the charge.
        transaction_id: String,
        amount: Money,
        /// The order that the charge names; `None` if it names no order of this shop.
        order_id: Option<OrderId>,
    },
    /// The provider rejected the charge permanently.
    Declined {
        /// Stable code of the reason, such as `card_declined`.
        reason: String,
    },
    /// The customer must complete an action first, such as 3-D Secure.
    ActionRequired {
        transaction_id: String,
        next_action: NextAction,
    },
    /// The provider accepted the charge and has not finished it.
    Processing {
        transaction_id: String,
    },
    OutcomeUnknown,
    /// The provider rejected the credentials of the only request that was sent, so nothing was
    /// charged. The attempt does not count.
    NotSent,
    /// The provider does not list the charge, and its idempotency key has expired: the charge was
    /// never created. Requires a manual check.
    NeverCreated,
    /// Nothing was charged, and no charge can follow.
    Abandoned {
        /// Stable code of the reason.
        reason: &'static str,
    },
}

impl ProviderResult {
    /// The provider's id of the charge, if the result contains one.
    pub fn transaction_id(&self) -> Option<&str> {
        match self {
            Self::Succeeded { transaction_id, .. }
            | Self::ActionRequired { transaction_id, .. }
            | Self::Processing { transaction_id } => Some(transaction_id),
            _ => None,
        }
    }

    /// Whether the provider may still complete the charge.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::ActionRequired { .. } | Self::Processing { .. } | Self::OutcomeUnknown)
    }
}

/// The action that the customer must complete before the provider continues: open this URL, which
/// redirects back to the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextAction {
    /// URL of the provider's page.
    pub url: String,
}

/// State of an idempotency key after an attempt to void it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// No charge was made under the key, and none can be made.
    Voided,
    /// The charge arrived first. Repeating it returns the stored response and charges nothing new.
    Used,
    /// A request under the key is in progress.
    Running,
}
