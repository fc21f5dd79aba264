//! The data of the messages that catalog publishes, as serialized.

use serde::Serialize;
use shared::{ids::ProductId, money::Money};

/// `product_changed.v1`: the product as it is now.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct ProductChanged {
    pub product_id: ProductId,
    /// Grows with every change: what is older than what is known already is of no interest.
    pub version: u64,
    /// The shop's own number for it.
    pub sku: String,
    /// What it is called.
    pub name: String,
    pub category: String,
    /// What one piece costs.
    pub price: Money,
    /// The most pieces of it that one order may have. Absent: the shop's own limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    pub max_per_order: Option<u32>,
    /// Whether it is sold.
    pub active: bool,
}
