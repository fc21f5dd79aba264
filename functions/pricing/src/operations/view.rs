//! The representations of markets and rules in responses.

use serde::Serialize;
use shared::{
    address::CountryCode,
    clock::Timestamp,
    ids::{PromotionId, ShippingMethodId},
    market::{MarketId, TaxClass},
    money::{Currency, Money},
};

use crate::domain::{
    ListedMarket, Market, Promotion, ShippingMethod, Target, TaxRate, TaxRateId, Treatment,
    values::{
        Amounts, BasisPoints, Countries, CoveredCategories, CoveredProducts, Grams, MarketName,
        MinorUnits, Priority, PromotionMarkets, PromotionName, Rates, RegionCode,
        ShippingMethodName,
    },
};

/// A market as admins see it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MarketView {
    id: MarketId,
    name: MarketName,
    currency: Currency,
    /// Whether prices, discounts and thresholds include tax.
    prices_include_tax: bool,
    /// The least total above 0 that is accepted.
    minimum_charge: MinorUnits,
    countries: Countries,
    created_at: Timestamp,
    /// The last change of the market or of one of its rules.
    updated_at: Timestamp,
}

impl From<&Market> for MarketView {
    fn from(market: &Market) -> Self {
        Self::from(&ListedMarket {
            market: market.market.clone(),
            details: market.details.clone(),
            created_at: market.created_at,
            updated_at: market.updated_at,
        })
    }
}

impl From<&ListedMarket> for MarketView {
    fn from(market: &ListedMarket) -> Self {
        let details = market.details.clone();
        Self {
            id: market.market.clone(),
            name: details.name,
            currency: details.currency,
            prices_include_tax: details.prices_include_tax,
            minimum_charge: details.minimum_charge,
            countries: details.countries,
            created_at: market.created_at,
            updated_at: market.updated_at,
        }
    }
}

/// A shipping method as admins see it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct ShippingMethodView {
    id: ShippingMethodId,
    name: ShippingMethodName,
    price: Money,
    /// The subtotal, after all promotions of goods, from which shipping is free.
    free_from: Option<Money>,
    /// The largest weight of the goods. Null for any.
    max_weight_g: Option<Grams>,
    /// Null: shipping is taxed at the rates of the goods, in proportion to their amounts.
    tax_class: Option<TaxClass>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<&ShippingMethod> for ShippingMethodView {
    fn from(method: &ShippingMethod) -> Self {
        let details = method.details.clone();
        Self {
            id: method.id,
            name: details.name,
            price: details.price,
            free_from: details.free_from,
            max_weight_g: details.max_weight_g,
            tax_class: details.tax_class,
            created_at: method.created_at,
            updated_at: method.updated_at,
        }
    }
}

/// A tax rate as admins see it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct TaxRateView {
    id: TaxRateId,
    country: CountryCode,
    /// Null for the whole country.
    region: Option<RegionCode>,
    tax_class: TaxClass,
    treatment: Treatment,
    rates: Rates,
    valid_from: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<&TaxRate> for TaxRateView {
    fn from(rate: &TaxRate) -> Self {
        let details = rate.details.clone();
        Self {
            id: rate.id,
            country: details.country,
            region: details.region,
            tax_class: details.tax_class,
            treatment: details.treatment,
            rates: details.rates,
            valid_from: details.valid_from,
            created_at: rate.created_at,
            updated_at: rate.updated_at,
        }
    }
}

/// A promotion as admins see it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct PromotionView {
    id: PromotionId,
    name: PromotionName,
    markets: PromotionMarkets,
    target: Target,
    /// The discount as a percentage. Null if `fixed` has amounts.
    percent_bp: Option<BasisPoints>,
    /// The discount as one amount for the currency of each market.
    fixed: Amounts,
    products: CoveredProducts,
    categories: CoveredCategories,
    /// The minimum subtotal of the covered lines, for the currency of each market.
    min_subtotal: Amounts,
    priority: Priority,
    /// Whether it can be combined with other promotions of its target.
    combinable: bool,
    starts_at: Option<Timestamp>,
    /// The first moment at which the promotion has ended.
    ends_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<&Promotion> for PromotionView {
    fn from(promotion: &Promotion) -> Self {
        let details = promotion.details.clone();
        Self {
            id: promotion.id,
            name: details.name,
            markets: details.markets,
            target: details.target,
            percent_bp: details.percent_bp,
            fixed: details.fixed,
            products: details.products,
            categories: details.categories,
            min_subtotal: details.min_subtotal,
            priority: details.priority,
            combinable: details.combinable,
            starts_at: details.starts_at,
            ends_at: details.ends_at,
            created_at: promotion.created_at,
            updated_at: promotion.updated_at,
        }
    }
}
