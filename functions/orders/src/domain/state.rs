//! The states of an order, of its stock and of its payment.

use serde::{Deserialize, Serialize};

/// The public status of an order. It only moves forward, and a final status never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Placed: the stock is not yet reserved, or the payment not yet captured.
    Pending,
    /// The stock is reserved and the payment captured, or nothing is due.
    Confirmed,
    /// Handed over to the carrier.
    Shipped,
    /// Delivered to the buyer. Final.
    Delivered,
    /// Cancelled by the buyer or an admin, or not paid in time. Captured money is returned. Final.
    Cancelled,
    /// Out of stock, or the payment failed. Captured money is returned. Final.
    Failed,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

shared::describe!(
    Status as "OrderStatus",
    one_of(
        "The status of an order. It only moves forward; `delivered`, `cancelled` and `failed` are final.",
        &["pending", "confirmed", "shipped", "delivered", "cancelled", "failed"]
    )
);

impl Status {
    /// Parses a public name; `None` if no status has it.
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

    /// The name of the status in the API.
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

/// The goal of the saga. Once it is to cancel or to fail, it never changes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Reserve the stock, capture the payment and commit the stock.
    Fulfil,
    /// Release the stock, close or refund the payment, then become `cancelled`.
    Cancel,
    /// Release the stock, close or refund the payment, then become `failed`.
    Fail,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

/// The state of an order's stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockState {
    /// `reserve_stock` is pending.
    Reserving,
    /// Inventory has reserved the stock.
    Reserved,
    /// `commit_stock` is pending: the on-hand stock will be decremented.
    Committing,
    /// The on-hand stock is decremented.
    Committed,
    /// Inventory does not have enough stock.
    Rejected,
    /// `release_stock` is pending.
    Releasing,
    /// The stock was released, or none was reserved.
    Released,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

/// The state of an order's payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// The payment is not open yet.
    None,
    /// The payment intent exists: the buyer can pay.
    Open,
    /// A payment attempt is in flight.
    Processing,
    /// A payment attempt was sent to the provider, and its outcome is unknown.
    Unknown,
    /// The money was captured. A free order is paid once its stock is reserved.
    Paid,
    /// `cancel_payment` is pending: no further charge may start.
    Closing,
    /// Nothing was captured, and no charge can start.
    Closed,
    /// `refund_payment` is pending.
    Refunding,
    /// All captured money was returned.
    Refunded,
    /// Payments has stopped automatic refunds: an operator has to refund the order.
    RefundRefused,
    /// Written by a later release.
    #[serde(untagged)]
    Unrecognized(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_status_names_are_parsed() {
        for status in [
            Status::Pending,
            Status::Confirmed,
            Status::Shipped,
            Status::Delivered,
            Status::Cancelled,
            Status::Failed,
        ] {
            assert_eq!(Status::parse(status.name()), Some(status));
        }
        assert_eq!(Status::parse("missing"), None);
    }
}
