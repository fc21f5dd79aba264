//! What requested goods cost: at the prices of the catalogue, or by the rules of a market. Orders and
//! estimates use the same steps, so an estimate without refusals is the price of the order.

use shared::{
    address::Address,
    clock::Timestamp,
    ids::{ProductId, ShippingMethodId},
    money::Money,
};

use super::{
    destination::{DestinationAddress, destination_address},
    order_request::OrderRequest,
    placement::{OrderLine, PlacementError},
    pricing::{
        self, Destination, Estimate, Line, PriceRequest, Priced, PricedShipping, Pricing, Refusal,
        line_id,
    },
    product::Product,
};

/// Why goods cannot be ordered in a market.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarketError {
    /// The order names no market, and the shop sells only in markets.
    #[error("order names no market, and the shop sells only in markets")]
    NoMarket,
    /// A shipping method was chosen without a market.
    #[error("shipping method belongs to a market")]
    MarketRequired,
    /// Nothing says where the goods are shipped to and taxed.
    #[error("order in a market needs a shipping address")]
    ShippingAddressRequired,
    /// Nothing is shipped, and nothing says where the goods are taxed.
    #[error("order in a market that ships nothing needs a billing address")]
    BillingAddressRequired,
    /// There are no rules of the market for the country.
    #[error("market has no rules for the country")]
    UnknownMarket,
    /// A product has no price in the market.
    #[error("item {position} is not sold in the market")]
    NotSoldHere {
        /// Index of the product's first item in the request, from 0.
        position: usize,
    },
    #[error("market does not deliver to the destination")]
    NotDeliveredThere { at: DestinationAddress },
    #[error("region of the destination is not a code of ISO 3166-2")]
    UnknownRegion { at: DestinationAddress },
    #[error("shipping method is unavailable")]
    ShippingUnavailable,
    #[error("goods require a shipping method")]
    ShippingMethodRequired,
    #[error("total is below the minimum of {minimum}")]
    BelowMinimum { minimum: Money },
}

/// A requested quantity of a product that is on sale.
pub(super) struct RequestedLine<'a> {
    /// Index of the product's first item in the request, from 0.
    position: usize,
    quantity: u32,
    product: &'a Product,
}

/// Where and when goods are bought, and how they are shipped.
#[derive(Clone, Copy, Debug)]
pub struct Purchase<'a> {
    pub pricing: &'a Pricing,
    pub destination: &'a Destination,
    pub shipping_method: Option<ShippingMethodId>,
    pub now: Timestamp,
}

/// The price of goods that may not be ready to be ordered.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    /// The lines that are sold in the market, one per product and sorted by it.
    pub lines: Vec<OrderLine>,
    pub estimate: Estimate,
    /// The shipping methods that the goods can use, the cheapest first.
    pub shipping_options: Vec<PricedShipping>,
}

/// Finds the requested products.
///
/// # Errors
/// If a product is unknown or no longer sold, or its quantity exceeds its limit.
pub(super) fn requested_lines(
    lines: impl IntoIterator<Item = (usize, ProductId, u32)>,
    products: &[Product],
    max_per_order: u32,
) -> Result<Vec<RequestedLine<'_>>, PlacementError> {
    let line = |(position, product_id, quantity)| {
        let product =
            products.iter().find(|product| product.product_id == product_id && product.active);
        let product = product.ok_or(PlacementError::UnknownProduct { position })?;
        let maximum = product.max_per_order.unwrap_or(max_per_order);
        if quantity > maximum {
            return Err(PlacementError::TooManyOfProduct { position, maximum });
        }
        Ok(RequestedLine { position, quantity, product })
    };
    lines.into_iter().map(line).collect()
}

/// Returns the lines at the prices of the catalogue. `owner` is the id of the order.
pub(super) fn at_catalogue_prices(
    owner: &str,
    requested: &[RequestedLine<'_>],
) -> Result<Vec<OrderLine>, PlacementError> {
    requested.iter().map(|line| line.at(owner, line.product.price)).collect()
}

/// Returns the lines and the price of an order in its market.
///
/// # Errors
/// If the goods cannot be ordered there. The first reason is returned.
pub(super) fn in_market(
    owner: &str,
    order_request: &OrderRequest,
    requested: &[RequestedLine<'_>],
    pricing: &[Pricing],
    now: Timestamp,
) -> Result<(Vec<OrderLine>, Priced), PlacementError> {
    let (at, address) = destination_address(
        requested.iter().any(|line| line.product.requires_shipping),
        order_request.shipping_address.as_ref(),
        order_request.billing_address.as_ref(),
    )?;
    let pricing = pricing.iter().find(|pricing| pricing.country == address.country);
    let pricing = pricing.ok_or(MarketError::UnknownMarket)?;
    let shipping_method = order_request.shipping_method;
    let destination = &destination(address);
    let purchase = Purchase { pricing, destination, shipping_method, now };
    let goods = purchase.lines(owner, requested);
    let priced = pricing::price(&purchase.request(&goods))
        .map_err(|refusals| refused(&refusals, requested, pricing, at))?;
    Ok((purchase.order_lines(owner, requested, &goods)?, priced))
}

impl Purchase<'_> {
    /// Prices goods that may not be ready to be ordered. `owner` identifies the lines.
    ///
    /// # Errors
    /// If a product is unknown or no longer sold, a quantity exceeds its limit, or the price of a
    /// line is too large.
    pub fn quote(
        &self,
        owner: &str,
        lines: impl IntoIterator<Item = (usize, ProductId, u32)>,
        products: &[Product],
        max_per_order: u32,
    ) -> Result<Quote, PlacementError> {
        let requested = requested_lines(lines, products, max_per_order)?;
        let goods = self.lines(owner, &requested);
        let request = self.request(&goods);
        Ok(Quote {
            lines: self.order_lines(owner, &requested, &goods)?,
            estimate: pricing::estimate(&request),
            // The estimate has the same refusals.
            shipping_options: pricing::shipping_options(&request).unwrap_or_default(),
        })
    }

    fn lines(&self, owner: &str, requested: &[RequestedLine<'_>]) -> Vec<Line> {
        let Pricing { market, document, .. } = self.pricing;
        let line = |line: &RequestedLine<'_>| Line {
            line_id: line_id(owner, line.product.product_id),
            quantity: line.quantity,
            product: line.product.in_market(market, document.currency, self.now),
        };
        requested.iter().map(line).collect()
    }

    fn request<'a>(&'a self, lines: &'a [Line]) -> PriceRequest<'a> {
        let Self { pricing, destination, shipping_method, now } = *self;
        PriceRequest { pricing, lines, destination, shipping_method, now }
    }

    /// The lines with a price in the market.
    fn order_lines(
        &self,
        owner: &str,
        requested: &[RequestedLine<'_>],
        goods: &[Line],
    ) -> Result<Vec<OrderLine>, PlacementError> {
        let sold = requested.iter().zip(goods).filter_map(|(line, goods)| {
            let unit_price = goods.product.price_in(self.pricing)?;
            Some(line.at(owner, unit_price))
        });
        sold.collect()
    }
}

impl RequestedLine<'_> {
    fn at(&self, owner: &str, unit_price: Money) -> Result<OrderLine, PlacementError> {
        let line_total =
            unit_price.checked_mul(self.quantity).ok_or(PlacementError::AmountTooLarge)?;
        Ok(OrderLine {
            line_id: line_id(owner, self.product.product_id),
            product_id: self.product.product_id,
            sku: self.product.sku.clone(),
            name: self.product.name.clone(),
            unit_price,
            quantity: self.quantity,
            line_total,
        })
    }
}

/// Where goods are taxed whose destination is this address.
pub fn destination(address: &Address) -> Destination {
    let region = address.region.as_ref().map(ToString::to_string);
    Destination { country: address.country.clone(), region }
}

/// The first reason, as an error of the request.
fn refused(
    refusals: &[Refusal],
    requested: &[RequestedLine<'_>],
    pricing: &Pricing,
    at: DestinationAddress,
) -> PlacementError {
    let position = |product_id| {
        let line = requested.iter().find(|line| line.product.product_id == product_id);
        line.map_or(0, |line| line.position)
    };
    let error = match refusals.first() {
        Some(Refusal::NotSoldHere { product_id }) => {
            MarketError::NotSoldHere { position: position(*product_id) }
        }
        Some(Refusal::UnknownRegion) => MarketError::UnknownRegion { at },
        Some(Refusal::ShippingUnavailable) => MarketError::ShippingUnavailable,
        Some(Refusal::ShippingMethodRequired) => MarketError::ShippingMethodRequired,
        Some(Refusal::BelowMinimum { minimum }) => {
            let minimum = i64::try_from(*minimum).unwrap_or(i64::MAX);
            let minimum = Money::new(minimum, pricing.document.currency);
            MarketError::BelowMinimum { minimum }
        }
        Some(Refusal::AmountTooLarge) => return PlacementError::AmountTooLarge,
        Some(Refusal::NotDeliveredThere) | None => MarketError::NotDeliveredThere { at },
    };
    error.into()
}
