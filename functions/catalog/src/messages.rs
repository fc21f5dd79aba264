//! The data of the messages that catalog publishes.

use serde::Serialize;
use shared::{ids::ProductId, money::Money};

/// `product_changed.v1`: the current state of a product.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct ProductChanged {
    pub product_id: ProductId,
    /// Increases with every change. Consumers ignore older versions than the one they have.
    pub version: u64,
    /// The shop's SKU of the product.
    pub sku: String,
    /// The name of the product.
    pub name: String,
    pub category: String,
    /// The price of one unit.
    pub price: Money,
    /// Maximum quantity of the product per order. If absent, the shop's limit applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    pub max_per_order: Option<u32>,
    /// Whether the product is sold.
    pub active: bool,
}
