//! The states of an order, of its stock and of its payment.

use serde::{Deserialize, Serialize};

/// What the public sees of an order. It only moves forward, and a final one never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Placed; stock and payment are on their way.
    Pending,
    /// Paid, and the stock is held.
    Confirmed,
    /// On its way to the buyer.
    Shipped,
    /// With the buyer.
    Delivered,
    /// Given up by the buyer, or not paid in time. Nothing was charged in the end.
    Cancelled,
    /// It could not be done. Nothing was charged in the end.
    Failed,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

shared::describe!(
    Status as "OrderStatus",
    one_of(
        "How far the order has come. It only moves forward; `delivered`, `cancelled` and `failed` are final.",
        &["pending", "confirmed", "shipped", "delivered", "cancelled", "failed"]
    )
);

impl Status {
    /// The status with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Confirmed,
            Self::Shipped,
            Self::Delivered,
            Self::Cancelled,
            Self::Failed,
        ]
        .into_iter()
        .find(|status| status.name() == name)
    }

    /// The name as the public knows it.
    pub fn name(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Unknown(name) => name,
        }
    }
}

/// Where an order is going. Once it is to be abandoned, it never goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// To the buyer.
    Fulfil,
    /// To `cancelled`, once stock and money are where they were.
    Cancel,
    /// To `failed`, once stock and money are where they were.
    Fail,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

/// How far the stock of an order is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockState {
    /// Inventory was asked to hold it.
    Reserving,
    /// It is held.
    Reserved,
    /// Inventory was asked to take it out of the books.
    Committing,
    /// It is out of the books.
    Committed,
    /// There is not enough.
    Rejected,
    /// Inventory was asked to give it back.
    Releasing,
    /// It was given back.
    Released,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

/// How far the payment of an order is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Not asked for yet.
    None,
    /// It can be paid.
    Open,
    /// An attempt is under way.
    Processing,
    /// An attempt went out and its outcome is not known.
    Unknown,
    /// The money was captured.
    Paid,
    /// Payments was asked to let nothing more happen.
    Closing,
    /// Nothing was captured, and nothing will be.
    Closed,
    /// Payments was asked to give the money back.
    Refunding,
    /// All of it was given back.
    Refunded,
    /// The automatic refund was refused for good: a person has to refund it.
    RefundRefused,
    /// Written by a later release.
    #[serde(untagged)]
    Unreadable(String),
}
