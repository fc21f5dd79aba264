//! The price of goods with promotions, shipping and tax: one pure function for carts, previews and
//! orders.
//!
//! - [`rules`]: the rules of a market. [`breakdown`]: the result, which is stored with the order.
//! - `goods`, `promotions`, `shipping`, `tax`: the steps, in this order. `assemble`: the result.
//!
//! All amounts are whole minor units. Each rounding is half away from zero, on an exact fraction of
//! a sum over lines, and lines get shares of the result by the largest remainder
//! ([`shared::money::allocate`]).
//!
//! 1. A line's base is its unit price times its quantity.
//! 2. Each line takes the largest promotion of lines.
//! 3. Promotions of orders are tried by priority. The first that applies is taken. If it is
//!    combinable, each further combinable one is taken from the rest.
//! 4. The subtotal decides whether the shipping method is free. Promotions of shipping apply like
//!    those of orders.
//! 5. Goods and shipping are taxed together.
//!
//! `PRICES.md` in the folder of this service has worked examples.

mod assemble;
pub mod breakdown;
mod goods;
mod promotions;
pub mod rules;
mod shipping;
mod tax;

use std::num::NonZeroU64;

use serde::Serialize;
pub use shared::market::{MarketId, TaxClass};
use shared::{
    address::CountryCode,
    clock::Timestamp,
    ids::{LineId, ProductId, ShippingMethodId, derive},
    money::{Currency, MAX_AMOUNT, Money, round},
};

use self::{assemble::assemble, goods::Goods, shipping::Charge};
pub use self::{
    breakdown::{Price, Priced, PricedShipping},
    rules::Pricing,
    tax::region_code,
};

/// Everything that a price depends on.
#[derive(Clone, Copy, Debug)]
pub struct PriceRequest<'a> {
    /// The rules of the market for the country of the destination.
    pub pricing: &'a Pricing,
    /// The lines in any order, with different ids.
    pub lines: &'a [Line],
    pub destination: &'a Destination,
    /// Ignored if nothing requires shipping.
    pub shipping_method: Option<ShippingMethodId>,
    pub now: Timestamp,
}

/// A quantity of one product.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub line_id: LineId,
    pub quantity: u32,
    pub product: Product,
}

/// The properties of a product that its price depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    pub product_id: ProductId,
    /// The price in the market at the time of the request; `None` if the market does not sell the
    /// product.
    pub unit_price: Option<UnitPrice>,
    pub tax_class: TaxClass,
    /// The weight of one piece in grams; 0 if it is unknown.
    pub weight_g: u32,
    pub requires_shipping: bool,
    pub category: Option<String>,
}

/// The price of one piece in a market, in its basis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitPrice {
    pub amount: Money,
    /// The higher price that is shown next to it. No price depends on it.
    pub compare_at: Option<Money>,
}

/// Where the goods are taxed.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    pub country: CountryCode,
    /// The region of the address. Where tax rates are regional, it has to be the code of ISO
    /// 3166-2, with or without the country: `CA` or `US-CA`.
    pub region: Option<String>,
}

/// Why goods cannot be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    /// The product has no price in the market's currency.
    #[error("product {product_id} is not sold in the market")]
    NotSoldHere { product_id: ProductId },
    /// The market does not serve the country, or has no tax rule for it.
    #[error("market does not deliver to the destination")]
    NotDeliveredThere,
    /// The tax rates are regional, and the region is not a code of ISO 3166-2.
    #[error("region of the destination is not a code of ISO 3166-2")]
    UnknownRegion,
    /// The shipping method does not exist, or the goods cannot use it.
    #[error("shipping method is unavailable")]
    ShippingUnavailable,
    /// The goods require shipping, and no method is given.
    #[error("goods require a shipping method")]
    ShippingMethodRequired,
    /// The total is above 0 and below the minimum charge of the market.
    #[error("total is below the minimum of {minimum}")]
    BelowMinimum {
        /// Minor units.
        minimum: u64,
    },
    /// The total, or the price of a line before discounts, exceeds the largest amount that can be
    /// charged.
    #[error("amount is too large to be charged")]
    AmountTooLarge,
    /// The products have prices in different currencies. Only prices of the catalogue can have
    /// them.
    #[error("products have different currencies")]
    CurrencyMismatch,
}

/// A price, and the reasons why the goods cannot be ordered at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Without lines that are not sold in the market, and without shipping while no available
    /// method is chosen. `None` if the tax is unknown or the total is too large.
    pub priced: Option<Priced>,
    /// Empty if the goods can be ordered at this price.
    pub refusals: Vec<Refusal>,
}

/// Returns the price of an order. Equal requests have equal prices, in any order of their lines.
///
/// # Errors
/// Returns all reasons why the goods cannot be ordered.
pub fn price(request: &PriceRequest<'_>) -> Result<Priced, Vec<Refusal>> {
    match estimate(request) {
        Estimate { priced: Some(priced), refusals } if refusals.is_empty() => Ok(priced),
        Estimate { refusals, .. } => Err(refusals),
    }
}

/// Prices the part of an incomplete cart that can be priced, by the rules of [`price()`].
pub fn estimate(request: &PriceRequest<'_>) -> Estimate {
    let mut refusals = Vec::new();
    let Some(goods) = Goods::of(request, &mut refusals) else {
        return Estimate { priced: None, refusals };
    };
    let charge = shipping::charge(&goods, request.shipping_method).unwrap_or_else(|refusal| {
        refusals.push(refusal);
        None
    });
    let priced = assemble(&goods, charge);
    let total = priced.totals.total.amount;
    if total > MAX_AMOUNT {
        refusals.push(Refusal::AmountTooLarge);
        return Estimate { priced: None, refusals };
    }
    let minimum = request.pricing.document.minimum_charge;
    // A total that lacks a part is not compared with the minimum.
    if refusals.is_empty() && total > 0 && u64::try_from(total).is_ok_and(|total| total < minimum) {
        refusals.push(Refusal::BelowMinimum { minimum });
    }
    Estimate { priced: Some(priced), refusals }
}

/// Returns the shipping methods that the goods can use, each with its cost: the cheapest first,
/// then by id. The list is empty if nothing requires shipping. The method of the request is
/// ignored, and lines that are not sold in the market are left out.
///
/// # Errors
/// Returns the reasons if nothing can be priced at the destination.
pub fn shipping_options(request: &PriceRequest<'_>) -> Result<Vec<PricedShipping>, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let goods = Goods::of(request, &mut refusals).ok_or(refusals)?;
    let priced = |charge: Charge<'_>| assemble(&goods, Some(charge)).price.shipping;
    let mut options: Vec<PricedShipping> =
        shipping::charges(&goods).into_iter().filter_map(priced).collect();
    options.sort_by_key(|option| (option.gross, option.method_id));
    Ok(options)
}

/// Returns the minimum of [`Refusal::BelowMinimum`] as an amount of money.
pub fn minimum_total(minimum: u64, currency: Currency) -> Money {
    Money::new(i64::try_from(minimum).unwrap_or(i64::MAX), currency)
}

/// Returns the id of a product's line. `owner` is the id of the cart, or of an order without one.
pub fn line_id(owner: &str, product_id: ProductId) -> LineId {
    derive(&["line", owner, &product_id.to_string()])
}

/// Returns `amount * numerator / denominator`, rounded; [`i64::MAX`] if it does not fit.
fn fraction(amount: i64, numerator: u64, denominator: NonZeroU64) -> i64 {
    let exact = i128::from(amount) * i128::from(numerator);
    i64::try_from(round(exact, denominator)).unwrap_or(i64::MAX)
}
