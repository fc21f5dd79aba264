//! The item of a product's copy. It has at most 4 KB, which one read unit returns.
//!
//! Times are numbers here and the names of attributes of a price are short, because a product has
//! up to 20 prices.

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::ProductId,
    market::{MarketId, TaxClass},
    money::{Currency, Money},
    table::{Item, TableError, from_item, to_item},
};

use super::product_key_text;
use crate::domain::{
    Product,
    product::{ExplicitPrice, requires_shipping_by_default},
};

/// The shape of the copies that this release writes. It is raised when a copy keeps more of the
/// message, so that a resync of the same version replaces the copies of earlier releases, which
/// have a lower shape or none.
pub const SHAPE: u32 = 1;

#[derive(Serialize, Deserialize)]
struct ProductItem {
    pk: String,
    #[serde(default)]
    shape: u32,
    product_id: ProductId,
    version: u64,
    active: bool,
    sku: String,
    name: String,
    price: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_per_order: Option<u32>,
    #[serde(default)]
    tax_class: TaxClass,
    #[serde(default)]
    weight_g: u32,
    #[serde(default = "requires_shipping_by_default")]
    requires_shipping: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    prices: Vec<PriceItem>,
}

/// The first and the last moment of `compare_at` are milliseconds since 1970.
#[derive(Serialize, Deserialize)]
struct PriceItem {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    market: Option<MarketId>,
    currency: Currency,
    amount: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compare_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
}

pub(super) fn product_item(product: &Product) -> Item {
    let product = product.clone();
    to_item(&ProductItem {
        pk: product_key_text(product.product_id),
        shape: SHAPE,
        product_id: product.product_id,
        version: product.version,
        active: product.active,
        sku: product.sku,
        name: product.name,
        price: product.price,
        max_per_order: product.max_per_order,
        tax_class: product.tax_class,
        weight_g: product.weight_g,
        requires_shipping: product.requires_shipping,
        category: product.category,
        prices: product.prices.into_iter().map(PriceItem::from).collect(),
    })
}

/// Reads a copy of this release or of an earlier one.
pub(super) fn read_product(item: Item) -> Result<Product, TableError> {
    let item: ProductItem = from_item(item)?;
    Ok(Product {
        product_id: item.product_id,
        sku: item.sku,
        name: item.name,
        price: item.price,
        active: item.active,
        max_per_order: item.max_per_order,
        version: item.version,
        tax_class: item.tax_class,
        weight_g: item.weight_g,
        requires_shipping: item.requires_shipping,
        category: item.category,
        prices: item.prices.into_iter().map(ExplicitPrice::from).collect(),
    })
}

impl From<ExplicitPrice> for PriceItem {
    fn from(price: ExplicitPrice) -> Self {
        Self {
            market: price.market,
            currency: price.currency,
            amount: price.amount,
            compare_at: price.compare_at,
            from: price.compare_at_from.map(Timestamp::milliseconds),
            until: price.compare_at_until.map(Timestamp::milliseconds),
        }
    }
}

impl From<PriceItem> for ExplicitPrice {
    fn from(item: PriceItem) -> Self {
        Self {
            market: item.market,
            currency: item.currency,
            amount: item.amount,
            compare_at: item.compare_at,
            compare_at_from: item.from.map(Timestamp::from_milliseconds),
            compare_at_until: item.until.map(Timestamp::from_milliseconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::carts::size;
    use serde_json::{Value, json};

    /// A product whose texts and prices are as long as the catalogue allows.
    fn largest() -> Product {
        let price = |number: usize| {
            json!({
                "market": format!("m{number:02}{}", "-".repeat(29)),
                "currency": "EUR", "amount": 99_999_998, "compare_at": 99_999_999,
                "compare_at_from": "2026-11-21T09:48:49.123Z", "compare_at_until": "2026-12-21T09:48:49.123Z",
            })
        };
        let prices: Vec<Value> = (0..20).map(price).collect();
        serde_json::from_value(json!({
            "product_id": "prd_0199c2a8-0000-7000-8000-00000000000a", "version": 999_999_999_999_u64,
            "sku": "\u{1f600}".repeat(64), "name": "\u{1f600}".repeat(120), "category": "x".repeat(50),
            "price": { "amount": 99_999_999, "currency": "USD" }, "active": true, "max_per_order": 999,
            "tax_class": "x".repeat(32), "weight_g": 1_000_000, "requires_shipping": false, "prices": prices,
        }))
        .unwrap()
    }

    #[test]
    fn largest_copy_fits_in_4_kb_and_round_trips() {
        let item = product_item(&largest());
        let bytes: usize = item.iter().map(|(name, value)| name.len() + size(value)).sum();
        assert!((2048..=4096).contains(&bytes), "{bytes} bytes");
        assert_eq!(read_product(item).unwrap(), largest());
    }

    #[test]
    fn copy_of_an_earlier_release_is_read_with_defaults() {
        let mut item = product_item(&largest());
        for name in ["shape", "tax_class", "weight_g", "requires_shipping", "category", "prices"] {
            item.remove(name);
        }
        let read = read_product(item).unwrap();
        assert_eq!(read.tax_class, TaxClass::default());
        assert_eq!((read.weight_g, read.requires_shipping), (0, true));
        assert_eq!((read.category, read.prices.len()), (None, 0));
    }
}
