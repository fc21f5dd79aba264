//! The data of the messages that catalog publishes.

use serde::Serialize;
use shared::{ids::ProductId, money::Money};

use crate::domain::ExplicitPrice;

/// `product_changed.v1`: the current state of a product.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct ProductChanged {
    pub product_id: ProductId,
    /// Increases with every change. Consumers ignore older versions than the one they have.
    pub version: u64,
    /// The shop's SKU of the product.
    pub sku: String,
    pub name: String,
    pub category: String,
    /// The price of one unit in all markets with its currency that have none of their own.
    pub price: Money,
    /// Prices of markets and of further currencies. The price of a market precedes that of its
    /// currency.
    pub prices: Vec<ExplicitPrice>,
    /// The class that selects the tax rates of the product in each market.
    pub tax_class: String,
    /// The weight of one piece in grams; 0 if it is unknown.
    pub weight_g: u32,
    pub requires_shipping: bool,
    /// Maximum quantity of the product per order. If absent, the shop's limit applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    pub max_per_order: Option<u32>,
    /// Whether the product is sold.
    pub active: bool,
}
