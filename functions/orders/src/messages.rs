//! What orders tells the others: the data of its messages, as it stands on the wire.

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId, UserId},
    money::Money,
    queue,
};

use crate::domain::order_request::PaymentMethod;

/// `reserve_stock.v1`: hold these, all or none.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct ReserveStock {
    /// For which order.
    pub order_id: OrderId,
    /// How often it was asked for.
    pub attempt: u64,
    /// What.
    pub lines: Vec<StockLine>,
}

/// So many of one product.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct StockLine {
    /// The product.
    pub product_id: ProductId,
    /// How many.
    pub quantity: u32,
}

/// `release_stock.v1`, `commit_stock.v1`, `refund_payment.v1`: the order says it all.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct OrderCommand {
    /// Which order.
    pub order_id: OrderId,
    /// How often it was asked for.
    pub attempt: u64,
}

/// `open_payment.v1`, and with a method `charge_payment.v1`: this order costs so much and can be
/// paid from now on.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct OpenPayment {
    /// Which order.
    pub order_id: OrderId,
    /// Who may pay it.
    pub user_id: UserId,
    /// How much.
    pub amount: Money,
    /// Until when an attempt may begin.
    pub expires_at: Timestamp,
    /// How many attempts may be made.
    pub tries: u32,
    /// What to charge at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<PaymentMethod>,
    /// How often it was asked for.
    pub attempt: u64,
}

/// `cancel_payment.v1`: let nothing more be paid.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct CancelPayment {
    /// Which order.
    pub order_id: OrderId,
    /// Who could have paid it.
    pub user_id: UserId,
    /// How much it would have been.
    pub amount: Money,
    /// How often it was asked for.
    pub attempt: u64,
}

/// `send_notification.v1`: write to the buyer.
pub type SendNotification = queue::SendNotification<MailData>;

/// What a mail about an order speaks of.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MailData {
    /// The order.
    pub order_id: OrderId,
    /// What it costs.
    pub total: Money,
    /// What was bought.
    pub items: Vec<MailItem>,
    /// Why, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who carries the goods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// The carrier's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
    /// How much is refunded now, in a mail about a refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund: Option<Money>,
    /// How much is refunded by then, in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refunded: Option<Money>,
    /// The name of the product that was out of stock, where the order failed for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

/// One line of a mail.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MailItem {
    /// The product's name.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// What they cost together.
    pub line_total: Money,
}
