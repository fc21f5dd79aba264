//! `POST /prices/preview`: returns what goods would cost in a market.
//!
//! The price is that of an order at the same moment: both use the same function and the same
//! copies. One batch read loads the products and the rules. It is eventually consistent, and an
//! instance caches rules for `PricingCacheSeconds`, so a price may be a few seconds old. Nothing is
//! stored or reserved.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    http::{self, Request, Response},
    ids::ProductId,
    market::MarketId,
    money::MAX_AMOUNT,
    problem::Problem,
    validation::Violation,
};

use super::refusal_view::RefusalView;
use crate::{
    Orders,
    domain::{
        OrderLine, Product, Totals,
        order_request::MergedItem,
        placement::PlacementError,
        price_preview::PricePreviewRequest,
        pricing::{Price, PricedShipping, Pricing, Refusal},
        quote::{self, MarketError, Purchase, Quote, Terms},
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
    /// Without goods that are not sold in the market, and without shipping while no available
    /// method is chosen. Null if the tax is unknown or the total is too large.
    totals: Option<Totals>,
    /// How the totals are computed. Null like `totals`.
    price: Option<Price>,
    /// Why the goods cannot be ordered. Empty if they can be ordered at this total.
    refusals: Vec<RefusalView>,
    /// The shipping methods that the goods can use, the cheapest first. Empty if nothing is
    /// shipped.
    shipping_options: Vec<PricedShipping>,
}

/// Returns `200` with the price of these goods in a market, the reasons why they cannot be ordered,
/// and the available shipping methods. The country of the destination is required, its address is
/// not.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/prices/preview",
    request_body = PricePreviewRequest,
    responses((status = 200, description = "The price.", body = PricePreview)),
    security((), ("bearer" = [])),
    extensions(
        ("x-roles" = json!(["anonymous", "user", "admin"])),
        ("x-problems" = json!(["unknown_market", "unknown_product", "too_many_of_product", "amount_too_large"])),
    ),
))]
pub async fn preview_prices(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    // The price is the same for every caller, but an invalid access token is an error.
    request.optional_caller()?;
    let preview: PricePreviewRequest = request.json()?;
    let destination = preview.destination().ok_or_else(|| {
        let detail = "Send the country of the destination, or a shipping address.";
        Problem::invalid_field("/country", &Violation::new("required", detail))
    })?;

    let now = orders.clock.now();
    let lines = preview.lines();
    let cached = orders.pricing_cache.get(&preview.market, &destination.country, now);
    let rules = cached.is_none().then_some((&preview.market, &destination.country));
    let products: Vec<ProductId> = lines.iter().map(|line| line.product_id).collect();
    let inputs = orders.store.read_for_estimate(rules.as_slice(), &products).await?;
    let PriceInputs { rules, products } = inputs;
    let read = rules.into_iter().next().map(|pricing| orders.pricing_cache.insert(pricing, now));
    let pricing =
        cached.or(read).ok_or(OrderError::Placement(MarketError::UnknownMarket.into()))?;

    let shipping_method = preview.shipping_method;
    let purchase = Purchase { pricing: &pricing, destination: &destination, shipping_method, now };
    let quote = quote(&orders, &purchase, lines, &products)?;
    Ok(http::ok(&PricePreview::new(&pricing, quote)))
}

fn quote(
    orders: &Orders,
    purchase: &Purchase<'_>,
    lines: Vec<MergedItem>,
    products: &[Product],
) -> Result<Quote, Problem> {
    let maximum = orders.limits.max_per_order;
    let requested = quote::requested_lines(lines, products, maximum).map_err(estimate_problem)?;
    let quote = quote::quote("preview", &requested, &Terms::Market(*purchase));
    let is_too_large = quote.lines.iter().any(|line| line.line.line_total.amount > MAX_AMOUNT);
    if is_too_large {
        return Err(estimate_problem(PlacementError::AmountTooLarge));
    }
    Ok(quote)
}

impl<'a> PricePreview<'a> {
    fn new(pricing: &'a Pricing, quote: Quote) -> Self {
        let lines = quote.order_lines();
        let Quote { totals, price, refusals, shipping_options, .. } = quote;
        let currency = Some(pricing.document.currency);
        let refusal = |refusal: &Refusal| RefusalView::new(refusal, currency);
        Self {
            market: &pricing.market,
            pricing_version: pricing.version,
            lines,
            totals,
            price,
            refusals: refusals.iter().map(refusal).collect(),
            // The estimate has the same refusals.
            shipping_options: shipping_options.unwrap_or_default(),
        }
    }
}
