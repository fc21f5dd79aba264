//! The representation of a product in responses.

use serde::Serialize;
use shared::{clock::Timestamp, ids::ProductId, money::Money};

use crate::domain::{Details, ExplicitPrice, ListedProduct, MaxPerOrder, Product};

/// A product as clients see it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct ProductView {
    id: ProductId,
    #[cfg_attr(feature = "api-document", schema(value_type = crate::domain::Sku))]
    sku: String,
    #[cfg_attr(feature = "api-document", schema(value_type = crate::domain::ProductName))]
    name: String,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<crate::domain::Description>))]
    description: Option<String>,
    #[cfg_attr(feature = "api-document", schema(value_type = crate::domain::Category))]
    category: String,
    /// The price in all markets with its currency that have none of their own.
    price: Money,
    /// Prices of markets and of further currencies.
    prices: Vec<ExplicitPrice>,
    #[cfg_attr(feature = "api-document", schema(value_type = shared::market::TaxClass))]
    tax_class: String,
    #[cfg_attr(feature = "api-document", schema(value_type = crate::domain::Weight))]
    weight_g: u32,
    requires_shipping: bool,
    #[cfg_attr(feature = "api-document", schema(value_type = crate::domain::MaxPerOrder))]
    max_per_order: u32,
    /// Whether the product is sold.
    active: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl ProductView {
    /// `max_per_order` is the shop's limit, for a product that sets none.
    pub fn new(product: &Product, max_per_order: u32) -> Self {
        let (created_at, updated_at) = (product.created_at, product.updated_at);
        let id = product.product_id;
        Self {
            active: product.is_active(),
            ..Self::sold(id, &product.details, created_at, updated_at, max_per_order)
        }
    }

    /// As [`Self::new`], for a product in a list, which contains only products that are sold.
    pub fn listed(product: &ListedProduct, max_per_order: u32) -> Self {
        let (created_at, updated_at) = (product.created_at, product.updated_at);
        Self::sold(product.product_id, &product.details, created_at, updated_at, max_per_order)
    }

    fn sold(
        id: ProductId,
        details: &Details,
        created_at: Timestamp,
        updated_at: Timestamp,
        max_per_order: u32,
    ) -> Self {
        Self {
            id,
            sku: details.sku.as_str().to_owned(),
            name: details.name.as_str().to_owned(),
            description: details
                .description
                .as_ref()
                .map(|description| description.as_str().to_owned()),
            category: details.category.as_str().to_owned(),
            price: details.price.money(),
            prices: details.prices.to_vec(),
            tax_class: details.tax_class.as_str().to_owned(),
            weight_g: details.weight_g.grams(),
            requires_shipping: details.requires_shipping,
            max_per_order: details.max_per_order.map_or(max_per_order, MaxPerOrder::count),
            active: true,
            created_at,
            updated_at,
        }
    }
}
