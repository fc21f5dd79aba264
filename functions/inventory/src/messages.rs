//! The data of the messages that inventory publishes, as serialized.

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId},
    prefixed_id, queue,
};

/// `stock_reserved.v1`, `stock_rejected.v1`, `stock_released.v1`, `stock_committed.v1`: how far the
/// reservation of an order is.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct ReservationUpdate {
    pub order_id: OrderId,
    /// The reservation's: an older fact than the last one seen says nothing new.
    pub version: u64,
    /// The product that was short, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
}

prefixed_id!(
    /// An entry of the ledger.
    EntryId,
    "ent"
);

/// `record_entry.v1`: goods have moved. What the lines of a product add up to is nothing.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct RecordEntry {
    /// Follows from the record that has changed and its version: the same movement is the same
    /// entry.
    pub entry_id: EntryId,
    pub occurred_at: Timestamp,
    /// `hold`, `commit`, `release`, `restock` (what was sold already), `adjustment`.
    pub kind: &'static str,
    /// For which order; none: by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// Of which product, where it is about one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    /// From where to where: two lines for each product.
    pub lines: Vec<EntryLine>,
}

/// So much into an account (above zero) or out of it (below).
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct EntryLine {
    /// Where: `stock:<product>:<available|held|shipped_out|outside>`.
    pub account: String,
    /// Of what: `pcs:<product>`.
    pub unit: String,
    /// How many pieces.
    pub amount: i64,
}

/// `send_notification.v1`: a mail to the operator.
pub type SendNotification = queue::SendNotification<LowStock>;

/// What a mail about a product speaks of that is running out.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct LowStock {
    pub product_id: ProductId,
    /// How many can still be ordered.
    pub available: i64,
    /// How many there should be at least.
    pub threshold: i64,
}
