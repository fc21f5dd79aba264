//! The breakdown of a price, which is stored with the order and never computed again.

use serde::{Deserialize, Serialize};
use shared::{
    ids::{LineId, PromotionId, ShippingMethodId},
    market::MarketId,
    money::Currency,
};

use super::{super::placement::Totals, rules::Treatment};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Priced {
    pub price: Price,
    /// `items` and `shipping` are after discounts and in the market's basis. In the basis `gross`
    /// they include tax, so `total` is their sum; in the basis `net`, `tax` is added.
    pub totals: Totals,
}

/// How a price was computed. Amounts are minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = OrderPrice))]
pub struct Price {
    pub market: MarketId,
    /// The version of the market's rules.
    pub pricing_version: u64,
    pub currency: Currency,
    pub basis: Basis,
    pub rounding: Rounding,
    /// Sorted by product.
    pub lines: Vec<PricedLine>,
    /// Absent if nothing requires shipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false, required = false))]
    pub shipping: Option<PricedShipping>,
    /// The tax of lines and shipping, one row per jurisdiction, name, rate and treatment.
    pub tax_summary: Vec<TaxRow>,
    /// All discounts of lines and of shipping, in the basis of the market.
    pub discount_total: i64,
    pub tax_source: TaxSource,
    /// The region whose tax rates apply, such as `CA`. Absent if the rates of the country do not
    /// differ by region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false, required = false))]
    pub tax_region: Option<String>,
}

/// Whether prices, discounts and thresholds of a market include tax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Prices include tax.
    Gross,
    /// Tax is added to prices.
    Net,
}

/// How tax is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Once per rate over the whole order. The lines get shares of the rounded amount.
    PerRate,
}

/// Who computed the tax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TaxSource {
    /// The tax rules of the market in this version.
    Rules { version: u64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct PricedLine {
    pub line_id: LineId,
    /// Unit price times quantity, in the basis of the market.
    pub base: i64,
    pub discounts: Vec<Discount>,
    pub taxes: Vec<TaxRow>,
    pub net: i64,
    pub tax: i64,
    /// `net` plus `tax`: what the buyer pays for the line.
    pub gross: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct PricedShipping {
    pub method_id: ShippingMethodId,
    pub name: String,
    /// The price of the method, in the basis of the market; 0 from its free threshold on.
    pub base: i64,
    pub discounts: Vec<Discount>,
    pub taxes: Vec<TaxRow>,
    pub net: i64,
    pub tax: i64,
    /// `net` plus `tax`: what the buyer pays for shipping.
    pub gross: i64,
}

/// The share of a promotion in one line or in shipping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct Discount {
    pub promotion_id: PromotionId,
    pub name: String,
    /// Above 0, in the basis of the market.
    pub amount: i64,
}

/// The tax at one rate. Amounts that are not taxed have a row with the rate 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct TaxRow {
    /// ISO 3166: `DE`, or `US-CA` if the rule is regional.
    pub jurisdiction: String,
    pub name: String,
    pub treatment: Treatment,
    /// Parts per million: 190000 is 19 %.
    pub ppm: u32,
    /// The taxed amount without tax.
    pub base: i64,
    pub amount: i64,
}
