//! Messages: the data of the commands and mails that orders publishes.

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId, UserId},
    money::Money,
    queue,
};

use crate::domain::order_request::PaymentMethod;

/// `reserve_stock.v1`: reserve all lines, or none.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct ReserveStock {
    pub order_id: OrderId,
    /// How often the commands of the order were sent again.
    pub attempt: u64,
    pub lines: Vec<StockLine>,
}

/// A quantity of one product.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct StockLine {
    pub product_id: ProductId,
    pub quantity: u32,
}

/// `release_stock.v1`, `commit_stock.v1`, `refund_payment.v1`: the id of the order is all that the
/// consumer needs.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct OrderCommand {
    pub order_id: OrderId,
    /// How often the commands of the order were sent again.
    pub attempt: u64,
}

/// `open_payment.v1`, or `charge_payment.v1` with a payment method: the order can be paid from now
/// on.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct OpenPayment {
    pub order_id: OrderId,
    /// The user who may pay the order.
    pub user_id: UserId,
    /// The total of the order.
    pub amount: Money,
    /// No attempt may start after this time.
    pub expires_at: Timestamp,
    /// Maximum number of payment attempts.
    pub tries: u32,
    /// The method to charge at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<PaymentMethod>,
    /// How often the commands of the order were sent again.
    pub attempt: u64,
}

/// `cancel_payment.v1`: close the payment, so that no charge can start.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct CancelPayment {
    pub order_id: OrderId,
    /// The user who could have paid the order.
    pub user_id: UserId,
    /// The total of the order.
    pub amount: Money,
    /// How often the commands of the order were sent again.
    pub attempt: u64,
}

/// `send_notification.v1`: send a mail to the buyer.
pub type SendNotification = queue::SendNotification<MailData>;

/// The data of a mail about an order.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MailData {
    pub order_id: OrderId,
    pub total: Money,
    pub items: Vec<MailItem>,
    /// Why the order was cancelled or failed, or why its payment was declined, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// The carrier's tracking number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
    /// The amount of this refund, in a mail about a refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund: Option<Money>,
    /// The total refunded so far, in a mail about a refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refunded: Option<Money>,
    /// The name of the product that was out of stock, if the order failed for that reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

/// An order line in a mail.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MailItem {
    pub name: String,
    pub quantity: u32,
    /// Price times quantity.
    pub line_total: Money,
}
