//! Payloads of the messages that inventory publishes.

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId},
    prefixed_id, queue,
};

/// `stock_reserved.v1`, `stock_rejected.v1`, `stock_released.v1` and `stock_committed.v1` report
/// the state of an order's reservation.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct ReservationUpdate {
    pub order_id: OrderId,
    /// Version of the reservation. An event with a lower version than one already seen is
    /// outdated.
    pub version: u64,
    /// The product that was out of stock, if the reservation was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
}

prefixed_id!(
    /// Id of a ledger entry.
    EntryId,
    "ent"
);

/// `record_entry.v1`: stock moved. The amounts of each product sum to zero.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct RecordEntry {
    /// Derived from the changed record, its version and the kind, so a repeated message has the
    /// same id.
    pub entry_id: EntryId,
    pub occurred_at: Timestamp,
    /// `commit`, `restock` (the release of sold stock) or `adjustment`.
    pub kind: &'static str,
    /// The order; absent for an adjustment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// The adjusted product; absent for an order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    /// Two lines for each product: one for each account that its quantity moves between.
    pub lines: Vec<EntryLine>,
}

/// A quantity that enters an account (above zero) or leaves it (below zero).
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct EntryLine {
    /// `stock:<product>:<on_hand|shipped_out|outside>`.
    pub account: String,
    /// `pcs:<product>`, pieces of the product.
    pub unit: String,
    /// Pieces; negative if they leave the account.
    pub amount: i64,
}

/// `send_notification.v1`: a mail to the operator.
pub type SendNotification = queue::SendNotification<LowStock>;

/// Data of the low-stock mail.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct LowStock {
    pub product_id: ProductId,
    /// The quantity that can still be ordered.
    pub available: i64,
    /// The operator is notified at this available quantity or below.
    pub threshold: i64,
}
