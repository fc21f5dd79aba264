//! The copy of a product, as the catalogue last published it.

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::ProductId,
    market::{MarketId, TaxClass},
    money::{Currency, Money},
};

use super::pricing::{self, UnitPrice};

/// A product, as the latest event of the catalogue describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    pub product_id: ProductId,
    pub sku: String,
    pub name: String,
    /// The price in all markets with its currency for which `prices` has no price.
    pub price: Money,
    /// Whether the product can be ordered.
    pub active: bool,
    /// Maximum quantity in one order; `None` for the default `MaxPerOrder`.
    #[serde(default)]
    pub max_per_order: Option<u32>,
    /// The version of the product in the catalogue.
    pub version: u64,
    #[serde(default)]
    pub tax_class: TaxClass,
    /// The weight of one piece in grams; 0 if it is unknown.
    #[serde(default)]
    pub weight_g: u32,
    #[serde(default = "requires_shipping_by_default")]
    pub requires_shipping: bool,
    /// `None` in copies of earlier releases.
    #[serde(default)]
    pub category: Option<String>,
    /// Prices of markets and of further currencies.
    #[serde(default)]
    pub prices: Vec<ExplicitPrice>,
}

/// A product is shipped, unless the catalogue says otherwise.
pub const fn requires_shipping_by_default() -> bool {
    true
}

/// A price of one market, or of all markets with its currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplicitPrice {
    /// `None` for all markets with the currency.
    #[serde(default)]
    pub market: Option<MarketId>,
    pub currency: Currency,
    /// Minor units.
    pub amount: i64,
    /// The higher price that is shown next to it, in minor units.
    #[serde(default)]
    pub compare_at: Option<i64>,
    /// The first moment at which `compare_at` is shown; `None` for no limit.
    #[serde(default)]
    pub compare_at_from: Option<Timestamp>,
    /// The first moment at which `compare_at` is no longer shown; `None` for no limit.
    #[serde(default)]
    pub compare_at_until: Option<Timestamp>,
}

impl Product {
    /// Returns what a price depends on of the product, in a market with this currency. Whether the
    /// product is still sold is left to the caller.
    pub fn in_market(
        &self,
        market: &MarketId,
        currency: Currency,
        now: Timestamp,
    ) -> pricing::Product {
        pricing::Product {
            product_id: self.product_id,
            unit_price: self.unit_price(market, currency, now),
            tax_class: self.tax_class.clone(),
            weight_g: self.weight_g,
            requires_shipping: self.requires_shipping,
            category: self.category.clone(),
        }
    }

    /// The price of the market, or else that of its currency. A price of the market in another
    /// currency is returned unchanged: the product is then not sold in the market. It is not sold
    /// at a price that the shop did not choose for this market.
    fn unit_price(
        &self,
        market: &MarketId,
        currency: Currency,
        now: Timestamp,
    ) -> Option<UnitPrice> {
        let of_market = self.prices.iter().find(|price| price.market.as_ref() == Some(market));
        let of_currency = || {
            self.prices.iter().find(|price| price.market.is_none() && price.currency == currency)
        };
        let default = || {
            (self.price.currency == currency)
                .then_some(UnitPrice { amount: self.price, compare_at: None })
        };
        of_market.or_else(of_currency).map(|price| price.at(now)).or_else(default)
    }
}

impl ExplicitPrice {
    fn at(&self, now: Timestamp) -> UnitPrice {
        let has_begun = self.compare_at_from.is_none_or(|from| from <= now);
        let has_ended = self.compare_at_until.is_some_and(|until| until <= now);
        let compare_at = self.compare_at.filter(|_| has_begun && !has_ended);
        UnitPrice {
            amount: Money::new(self.amount, self.currency),
            compare_at: compare_at.map(|amount| Money::new(amount, self.currency)),
        }
    }
}
