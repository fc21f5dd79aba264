//! With what is paid: a token that the provider gave out for a card. We never see the card.

use provider::CardToken;
use serde::{Deserialize, Serialize};

/// A method of payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentMethod {
    /// Its kind.
    pub r#type: PaymentMethodType,
    /// The provider's token for it.
    pub token: CardToken,
}

/// The kinds of payment method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethodType {
    /// A card.
    Card,
}
