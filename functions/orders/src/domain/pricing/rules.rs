//! The rules of one market and one destination country, as the service pricing publishes them.
//!
//! Unknown fields are ignored. A promotion that this release cannot read is ignored too: the buyer
//! pays the price without it. Any other unreadable rule makes the document unreadable. Goods with
//! an unknown tax treatment are refused when the price is computed, and a shipping method with an
//! unknown tax is unavailable.

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny},
};
use shared::{
    address::CountryCode,
    clock::Timestamp,
    ids::{ProductId, PromotionId, ShippingMethodId},
    market::{MarketId, TaxClass},
    money::Currency,
};

/// Maximum number of rates of one tax rule. With [`MAX_PROMOTIONS`] it bounds the size of a price,
/// which is stored with the order.
pub const MAX_RATES: usize = 10;
/// Maximum number of promotions of a document.
pub const MAX_PROMOTIONS: usize = 200;

/// The rules of a market for one destination country.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Pricing {
    pub market: MarketId,
    pub country: CountryCode,
    /// Incremented by every change of the market.
    pub version: u64,
    pub document: Rules,
}

/// All amounts are in minor units of the currency, in the market's basis.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Rules {
    pub currency: Currency,
    /// Whether prices, discounts and thresholds include tax.
    pub prices_include_tax: bool,
    /// The minimum total of an order that is not free.
    #[serde(default)]
    pub minimum_charge: u64,
    /// Whether the market delivers to the country.
    pub served: bool,
    #[serde(default)]
    pub taxes: Vec<TaxRule>,
    #[serde(default)]
    pub shipping_methods: Vec<ShippingMethod>,
    #[serde(default, deserialize_with = "readable_promotions")]
    pub promotions: Vec<Promotion>,
}

/// The tax rates of one tax class from a moment on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TaxRule {
    /// The subdivision of the country (ISO 3166-2 without the country, such as `CA`); `None` for
    /// the whole country.
    #[serde(default)]
    pub region: Option<String>,
    pub tax_class: TaxClass,
    pub treatment: Treatment,
    #[serde(default, deserialize_with = "bounded_rates")]
    pub rates: Vec<TaxRate>,
    pub valid_from: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TaxRate {
    pub name: String,
    /// Parts per million: 190000 is 19 %.
    pub ppm: u32,
}

shared::stored_enum!(
    /// Why an amount has its tax rates.
    Treatment {
        Standard = "standard",
        Reduced = "reduced",
        Zero = "zero",
        Exempt = "exempt",
        Export = "export",
        ReverseCharge = "reverse_charge",
    }
);

shared::describe!(
    Treatment as "OrderTaxTreatment",
    one_of(
        "Why an amount has its tax rate. Only `standard` and `reduced` charge tax.",
        &["standard", "reduced", "zero", "exempt", "export", "reverse_charge"]
    )
);

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ShippingMethod {
    pub id: ShippingMethodId,
    pub name: String,
    pub price: u32,
    /// The subtotal, after all promotions of goods, from which shipping is free.
    #[serde(default)]
    pub free_from: Option<u64>,
    /// The largest weight in grams; `None` for any.
    #[serde(default)]
    pub max_weight_g: Option<u64>,
    pub tax: ShippingTax,
}

/// How shipping is taxed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShippingTax {
    /// At the rates of the goods, in proportion to their gross amounts.
    Proportional,
    Class(TaxClass),
    /// Written by a later release: the method is unavailable.
    #[serde(untagged)]
    Unknown(IgnoredAny),
}

/// A discount under conditions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Promotion {
    pub id: PromotionId,
    #[serde(default)]
    pub name: String,
    pub target: Target,
    pub effect: Effect,
    /// With `categories`, the lines that the promotion covers: those of a listed product or of a
    /// listed category. If both lists are empty, it covers all lines.
    #[serde(default)]
    pub products: Vec<ProductId>,
    #[serde(default)]
    pub categories: Vec<String>,
    /// The minimum subtotal of the covered lines.
    #[serde(default)]
    pub min_subtotal: Option<u64>,
    /// Promotions are tried in ascending order.
    #[serde(default)]
    pub priority: i64,
    /// Whether it can be combined with other promotions of its target.
    #[serde(default)]
    pub combinable: bool,
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// The first moment at which the promotion has ended.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
}

shared::stored_enum!(
    /// What a promotion discounts.
    Target {
        /// Each covered line. A line takes the largest discount of these.
        Line = "line",
        /// The covered lines together.
        Order = "order",
        Shipping = "shipping",
    }
);

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Basis points: 2500 is 25 %.
    PercentBp(u32),
    /// Minor units.
    Fixed(u64),
    /// Written by a later release: the promotion has no effect.
    #[serde(untagged)]
    Unknown(IgnoredAny),
}

fn readable_promotions<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Promotion>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entry {
        Known(Box<Promotion>),
        Unknown(IgnoredAny),
    }

    let entries = Vec::<Entry>::deserialize(deserializer)?;
    if entries.len() > MAX_PROMOTIONS {
        return Err(D::Error::invalid_length(entries.len(), &"a limited number of promotions"));
    }
    let known = entries.into_iter().filter_map(|entry| match entry {
        Entry::Known(promotion) => Some(*promotion),
        Entry::Unknown(IgnoredAny) => None,
    });
    Ok(known.collect())
}

fn bounded_rates<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TaxRate>, D::Error> {
    let rates = Vec::<TaxRate>::deserialize(deserializer)?;
    if rates.len() > MAX_RATES {
        return Err(D::Error::invalid_length(rates.len(), &"a limited number of rates"));
    }
    Ok(rates)
}
