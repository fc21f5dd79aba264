//! The data of the commands, ledger entries and mails that orders publishes.

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId, UserId},
    money::Money,
    prefixed_id, queue,
};

use crate::domain::order_request::PaymentMethod;

/// `reserve_stock.v1`: reserve the stock of all lines, or of none.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct ReserveStock {
    pub order_id: OrderId,
    /// The number of times that the commands of the order were sent again.
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

/// `release_stock.v1`, `commit_stock.v1` or `refund_payment.v1`. The consumer needs only the id of
/// the order.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct OrderCommand {
    pub order_id: OrderId,
    /// The number of times that the commands of the order were sent again.
    pub attempt: u64,
}

/// `open_payment.v1`, or `charge_payment.v1` with a payment method: open the payment of the order,
/// and charge the payment method if there is one.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct OpenPayment {
    pub order_id: OrderId,
    /// The buyer: the only user who may pay the order.
    pub user_id: UserId,
    /// The total of the order.
    pub amount: Money,
    /// No attempt may start after this time.
    pub expires_at: Timestamp,
    /// Maximum number of payment attempts.
    pub tries: u32,
    /// The payment method to charge at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<PaymentMethod>,
    /// The number of times that the commands of the order were sent again.
    pub attempt: u64,
}

/// `cancel_payment.v1`: close the payment, so no charge can start.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct CancelPayment {
    pub order_id: OrderId,
    pub user_id: UserId,
    /// The total of the order.
    pub amount: Money,
    /// The number of times that the commands of the order were sent again.
    pub attempt: u64,
}

prefixed_id!(
    /// Id of a ledger entry.
    EntryId,
    "ent"
);

/// `record_entry.v1`: the order was sold, or a part of its sale was reversed. The amounts of the
/// lines sum to zero.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct RecordEntry {
    /// Derived from the order, its version and the kind, so a repeated message has the same id.
    pub entry_id: EntryId,
    pub occurred_at: Timestamp,
    /// `sale`: the order was confirmed. `sale_reversal`: money was returned to the buyer.
    /// `sale_reinstatement`: a refund failed later, or the bank returned a disputed amount.
    pub kind: &'static str,
    pub order_id: OrderId,
    /// The funds of the order, and one line for each part of its total. No amount is 0.
    pub lines: Vec<EntryLine>,
}

/// A debit or credit of one account: a positive amount enters the account, a negative one leaves
/// it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct EntryLine {
    /// `customer_funds:<order>`, `revenue:goods`, `revenue:shipping` or `tax:<jurisdiction>`.
    pub account: String,
    /// The currency code.
    pub unit: &'static str,
    /// In minor units.
    pub amount: i64,
}

/// `send_notification.v1`: send a mail to the buyer.
pub type SendNotification = queue::SendNotification<MailData>;

/// The data of a mail about an order.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MailData {
    pub order_id: OrderId,
    /// The order number, as shown to the buyer.
    pub number: String,
    pub total: Money,
    pub items: Vec<MailItem>,
    /// The discounts on goods and shipping, one per promotion.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<MailAmount>,
    /// `false` if nothing is shipped. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_shipping: Option<bool>,
    /// The shipping method and its price before discounts. Absent if nothing is shipped, or the
    /// order has no market.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping: Option<MailAmount>,
    /// The tax by rate. Empty if the order has no market.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<MailTax>,
    /// Whether the other amounts include the tax. Absent if the order has no market.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_included: Option<bool>,
    /// Why the order was cancelled or failed, or why its payment was declined. Absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// The carrier's tracking number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
    /// The amount of this refund. Only in a mail about a refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund: Option<Money>,
    /// The total refunded so far. Only in a mail about a refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refunded: Option<Money>,
    /// The name of the product that was out of stock. Only if the order failed for that reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

/// An order line in a mail.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MailItem {
    pub name: String,
    pub quantity: u32,
    /// Price times quantity, before discounts.
    pub line_total: Money,
}

/// A named amount in a mail.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MailAmount {
    pub name: String,
    /// Minor units in the currency of the total. Discounts of many lines may add up to more than
    /// one amount of money can be.
    pub amount: i64,
}

/// The tax at one rate in a mail.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MailTax {
    pub name: String,
    /// ISO 3166: `DE`, or `US-CA` for a regional rate.
    pub jurisdiction: String,
    /// Parts per million: 190000 is 19 %.
    pub ppm: u32,
    /// Minor units in the currency of the total.
    pub amount: i64,
}
