//! `POST /prices/preview`: returns what goods would cost in a market.
//!
//! The price is that of an order at the same moment: both use the same function and the same copies.
//! One batch read loads the products and the rules. It is eventually consistent, and an instance uses
//! rules again for `PricingCacheSeconds`, so a price may be a few seconds old. Nothing is stored or
//! reserved.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    http::{self, Request, Response},
    ids::ProductId,
    market::MarketId,
    money::Money,
    problem::Problem,
    validation::Violation,
};

use crate::{
    Orders,
    domain::{
        OrderLine, Product, Totals,
        price_preview::PricePreviewRequest,
        pricing::{Price, PricedShipping, Pricing, Refusal},
        quote::{MarketError, Purchase, Quote},
    },
    error::{OrderError, estimate_problem},
    store::pricing::PriceInputs,
};

/// What goods would cost.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct PricePreview<'a> {
    #[cfg_attr(feature = "api-document", schema(value_type = MarketId))]
    market: &'a MarketId,
    /// The version of the market's rules.
    pricing_version: u64,
    /// The goods that are sold in the market, one line per product and sorted by it.
    lines: Vec<OrderLine>,
    /// Without goods that are not sold in the market, and without shipping while no available method
    /// is chosen. Null if the tax is unknown or the total is too large.
    totals: Option<Totals>,
    /// How the totals are computed. Null like `totals`.
    price: Option<Price>,
    /// What prevents an order of these goods. Empty if they can be ordered at this total.
    refusals: Vec<RefusalView>,
    /// The shipping methods that the goods can use, the cheapest first. Empty if nothing is shipped.
    shipping_options: Vec<PricedShipping>,
}

/// A reason why goods cannot be ordered. The code is that of the problem that `POST /orders` returns.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct RefusalView {
    code: &'static str,
    /// The product that is not sold in the market. Null for other reasons.
    product_id: Option<ProductId>,
    /// The smallest total above 0. Null for other reasons.
    minimum: Option<Money>,
}

/// Returns `200` with the price of these goods in a market, the reasons why they cannot be ordered,
/// and the available shipping methods. The country of the destination is required, its address is
/// not.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/prices/preview",
    request_body = PricePreviewRequest,
    responses((status = 200, description = "The price.", body = PricePreview)),
    security(()),
    extensions(
        ("x-roles" = json!(["anonymous"])),
        ("x-problems" = json!(["unknown_market", "unknown_product", "too_many_of_product", "amount_too_large"])),
    ),
))]
pub async fn preview_prices(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let preview: PricePreviewRequest = request.json()?;
    let destination = preview.destination().ok_or_else(|| {
        let detail = "Send the country of the destination, or a shipping address.";
        Problem::invalid_field("/country", &Violation::new("required", detail))
    })?;

    let now = orders.clock.now();
    let lines = preview.lines();
    let kept = orders.pricing_cache.get(&preview.market, &destination.country, now);
    let rules = kept.is_none().then_some((&preview.market, &destination.country));
    let products: Vec<ProductId> = lines.iter().map(|(_, product, _)| *product).collect();
    let inputs = orders.store.read_for_estimate(rules, &products).await?;
    let PriceInputs { pricing, products } = inputs;
    let read = pricing.map(|pricing| orders.pricing_cache.keep(pricing, now));
    let pricing = kept.or(read).ok_or(OrderError::Placement(MarketError::UnknownMarket.into()))?;

    let shipping_method = preview.shipping_method;
    let purchase = Purchase { pricing: &pricing, destination: &destination, shipping_method, now };
    let quote = quote(&orders, &purchase, lines, &products)?;
    Ok(http::ok(&PricePreview::new(&pricing, quote)))
}

fn quote(
    orders: &Orders,
    purchase: &Purchase<'_>,
    lines: Vec<(usize, ProductId, u32)>,
    products: &[Product],
) -> Result<Quote, Problem> {
    let maximum = orders.limits.max_per_order;
    purchase.quote("preview", lines, products, maximum).map_err(estimate_problem)
}

impl<'a> PricePreview<'a> {
    fn new(pricing: &'a Pricing, quote: Quote) -> Self {
        let Quote { lines, estimate, shipping_options } = quote;
        let (totals, price) = estimate.priced.map(|priced| (priced.totals, priced.price)).unzip();
        let refusal = |refusal: &Refusal| RefusalView::new(refusal, pricing);
        Self {
            market: &pricing.market,
            pricing_version: pricing.version,
            lines,
            totals,
            price,
            refusals: estimate.refusals.iter().map(refusal).collect(),
            shipping_options,
        }
    }
}

impl RefusalView {
    fn new(refusal: &Refusal, pricing: &Pricing) -> Self {
        let plain = |code| Self { code, product_id: None, minimum: None };
        match refusal {
            Refusal::NotSoldHere { product_id } => {
                Self { product_id: Some(*product_id), ..plain("not_sold_here") }
            }
            Refusal::NotDeliveredThere => plain("not_delivered_there"),
            Refusal::UnknownRegion => plain("unknown_region"),
            Refusal::ShippingUnavailable => plain("shipping_unavailable"),
            Refusal::ShippingMethodRequired => plain("shipping_method_required"),
            Refusal::BelowMinimum { minimum } => {
                let minimum = i64::try_from(*minimum).unwrap_or(i64::MAX);
                let minimum = Money::new(minimum, pricing.document.currency);
                Self { minimum: Some(minimum), ..plain("below_minimum") }
            }
            Refusal::AmountTooLarge => plain("amount_too_large"),
        }
    }
}
