//! The copy of the pricing rules: `PRICING#<market>#<country>` in the table of the copies.
//!
//! The rules are stored as JSON text, so that fields of later releases survive, and a later release
//! can use them without another message.

use serde::{Deserialize, Serialize};
use shared::{
    address::CountryCode,
    ids::ProductId,
    market::MarketId,
    table::{Expression, Item, Key, Outcome, Table, TableError, from_item, to_item},
};

use super::{Store, kind, product::read_product, product_key};
use crate::domain::{
    Product,
    pricing::{Pricing, rules::Rules},
};

/// The products and rules that a price is computed from.
#[derive(Clone, Debug, Default)]
pub struct PriceInputs {
    /// The requested rules that exist.
    pub rules: Vec<Pricing>,
    /// The requested products that are in the copy of the catalogue.
    pub products: Vec<Product>,
}

#[derive(Serialize, Deserialize)]
struct PricingItem {
    pk: String,
    market: MarketId,
    country: CountryCode,
    version: u64,
    document: String,
}

impl Store {
    /// Stores the rules of a market for one country, unless the same or a newer version is stored.
    /// `document` is their JSON text.
    pub async fn store_pricing(
        &self,
        pricing: &Pricing,
        document: String,
    ) -> Result<Outcome, TableError> {
        let Pricing { market, country, version, document: _ } = pricing;
        let item = to_item(&PricingItem {
            pk: key_text(market, country),
            market: market.clone(),
            country: country.clone(),
            version: *version,
            document,
        });
        let newer = Expression::new("attribute_not_exists(#pk) OR #version < :version")
            .value("version", *version);
        self.products.put(item, newer).await
    }

    /// Reads products, and the rules of markets for countries, eventually consistent. One call reads
    /// 100 of them.
    pub async fn read_for_estimate(
        &self,
        rules: &[(&MarketId, &CountryCode)],
        products: &[ProductId],
    ) -> Result<PriceInputs, TableError> {
        let keys = self.goods_keys(rules, products);
        PriceInputs::read(self.products.get_many_eventually(keys).await?)
    }

    /// Reads products, and the rules of markets for countries, with strong consistency in one call.
    pub async fn read_goods(
        &self,
        rules: &[(&MarketId, &CountryCode)],
        products: &[ProductId],
    ) -> Result<PriceInputs, TableError> {
        let keys = self.goods_keys(rules, products);
        PriceInputs::read(self.products.get_many(keys).await?)
    }

    /// The keys of products, and of the rules of markets for countries.
    pub(super) fn goods_keys(
        &self,
        rules: &[(&MarketId, &CountryCode)],
        products: &[ProductId],
    ) -> Vec<(&Table, Key)> {
        let rules = rules.iter().map(|(market, country)| pricing_key(market, country));
        let products = products.iter().map(|product| product_key(*product));
        rules.chain(products).map(|key| (&self.products, key)).collect()
    }
}

impl PriceInputs {
    /// Reads the items of products and of rules.
    pub(super) fn read(items: Vec<Item>) -> Result<Self, TableError> {
        let mut inputs = Self::default();
        for item in items {
            match kind(&item) {
                "PRICING" => inputs.rules.push(read_pricing(item)?),
                _ => inputs.products.push(read_product(item)?),
            }
        }
        Ok(inputs)
    }
}

pub(super) fn pricing_key(market: &MarketId, country: &CountryCode) -> Key {
    Key::new(key_text(market, country))
}

fn key_text(market: &MarketId, country: &CountryCode) -> String {
    format!("PRICING#{market}#{country}")
}

/// Reads the rules of an item.
///
/// # Errors
/// If this release cannot read them: readable parts alone are not applied.
pub(super) fn read_pricing(item: Item) -> Result<Pricing, TableError> {
    let PricingItem { pk: _, market, country, version, document } = from_item(item)?;
    let document: Rules = serde_json::from_str(&document)
        .map_err(|_| TableError::Unreadable { expected: "pricing document" })?;
    Ok(Pricing { market, country, version, document })
}
