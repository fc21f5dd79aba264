//! The prices of goods: those of the catalogue, or those by the rules of a market. Estimates, carts
//! and orders use the same function, [`quote`], so goods without a refusal are ordered at this
//! price.

use shared::{
    address::Address,
    clock::Timestamp,
    ids::ShippingMethodId,
    money::{MAX_AMOUNT, Money},
};

use super::{
    destination::DestinationAddress,
    order_request::{MergedItem, OrderOfItems},
    placement::{OrderLine, PlacementError, Totals},
    pricing::{
        self, Destination, Estimate, Line, Price, PriceRequest, PricedShipping, Pricing, Refusal,
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
    /// The goods are shipped, and the order has no shipping address.
    #[error("order in a market needs a shipping address")]
    ShippingAddressRequired,
    /// Nothing is shipped, and the order has no address at which the goods are taxed.
    #[error("order in a market that ships nothing needs a billing address")]
    BillingAddressRequired,
    /// The market has no rules for the country.
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
#[derive(Clone, Copy, Debug)]
pub struct RequestedLine<'a> {
    /// Index of the product's first item in the request, from 0.
    pub position: usize,
    pub quantity: u32,
    pub product: &'a Product,
}

/// The terms by which goods are priced.
#[derive(Clone, Copy, Debug)]
pub enum Terms<'a> {
    /// The prices of the catalogue, without shipping costs and tax.
    Catalogue,
    /// The rules of a market.
    Market(Purchase<'a>),
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
    /// The lines that have a price, one per product and in the order of the request.
    pub lines: Vec<QuotedLine>,
    /// Without lines that are not sold in the market, and without shipping while no available
    /// method is chosen. `None` if the tax is unknown, the total is too large, or the currencies
    /// differ.
    pub totals: Option<Totals>,
    /// `None` like the totals, and at the prices of the catalogue.
    pub price: Option<Price>,
    /// Empty if the goods can be ordered at this price.
    pub refusals: Vec<Refusal>,
    /// The shipping methods that the goods can use, the cheapest first. An error has the reasons
    /// why nothing can be priced at the destination. Empty at the prices of the catalogue.
    pub shipping_options: Result<Vec<PricedShipping>, Vec<Refusal>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct QuotedLine {
    pub line: OrderLine,
    /// The higher price that is shown next to the unit price.
    pub compare_at: Option<Money>,
}

/// Finds the requested products.
///
/// # Errors
/// If a product is unknown or no longer sold, or its quantity exceeds its limit.
pub fn requested_lines(
    items: impl IntoIterator<Item = MergedItem>,
    products: &[Product],
    max_per_order: u32,
) -> Result<Vec<RequestedLine<'_>>, PlacementError> {
    let line = |MergedItem { position, product_id, quantity }| {
        let product =
            products.iter().find(|product| product.product_id == product_id && product.active);
        let product = product.ok_or(PlacementError::UnknownProduct { position })?;
        let maximum = product.max_per_order.unwrap_or(max_per_order);
        if quantity > maximum {
            return Err(PlacementError::TooManyOfProduct { position, maximum });
        }
        Ok(RequestedLine { position, quantity, product })
    };
    items.into_iter().map(line).collect()
}

/// Prices goods that may not be ready to be ordered. `owner` identifies the lines: it is the id of
/// the cart, or of an order without one.
pub fn quote(owner: &str, requested: &[RequestedLine<'_>], terms: &Terms<'_>) -> Quote {
    let mut quote = match terms {
        Terms::Catalogue => at_catalogue_prices(owner, requested),
        Terms::Market(purchase) => purchase.in_market(owner, requested),
    };
    let is_too_large = quote.lines.iter().any(|line| line.line.line_total.amount > MAX_AMOUNT);
    if is_too_large {
        (quote.totals, quote.price) = (None, None);
        if !quote.refusals.contains(&Refusal::AmountTooLarge) {
            quote.refusals.push(Refusal::AmountTooLarge);
        }
    }
    quote
}

/// Returns the terms by which an order is priced.
///
/// # Errors
/// If the order has a market and no destination or no rules for it, or a shipping method and no
/// market.
pub(super) fn terms<'a>(
    of_items: &OrderOfItems,
    destination: Option<&'a Destination>,
    rules: &'a [Pricing],
    now: Timestamp,
) -> Result<Terms<'a>, MarketError> {
    let shipping_method = of_items.shipping_method;
    if of_items.market.is_none() {
        let needs_market = shipping_method.is_some();
        return if needs_market { Err(MarketError::MarketRequired) } else { Ok(Terms::Catalogue) };
    }
    let destination = destination.ok_or(MarketError::ShippingAddressRequired)?;
    let pricing = rules.iter().find(|pricing| pricing.country == destination.country);
    let pricing = pricing.ok_or(MarketError::UnknownMarket)?;
    Ok(Terms::Market(Purchase { pricing, destination, shipping_method, now }))
}

fn at_catalogue_prices(owner: &str, requested: &[RequestedLine<'_>]) -> Quote {
    let line = |line: &RequestedLine<'_>| line.at(owner, line.product.price, None);
    let lines: Vec<QuotedLine> = requested.iter().map(line).collect();
    let (totals, refusals) = match catalogue_totals(&lines) {
        Ok(totals) => (totals, Vec::new()),
        Err(refusal) => (None, vec![refusal]),
    };
    Quote { lines, totals, price: None, refusals, shipping_options: Ok(Vec::new()) }
}

/// Returns the totals; `None` without lines, because then their currency is unknown.
fn catalogue_totals(lines: &[QuotedLine]) -> Result<Option<Totals>, Refusal> {
    let Some(currency) = lines.first().map(|line| line.line.unit_price.currency) else {
        return Ok(None);
    };
    if lines.iter().any(|line| line.line.unit_price.currency != currency) {
        return Err(Refusal::CurrencyMismatch);
    }
    let zero = Money::new(0, currency);
    let items = lines.iter().try_fold(zero, |sum, line| sum.checked_add(line.line.line_total));
    let items = items.ok_or(Refusal::AmountTooLarge)?;
    Ok(Some(Totals { items, shipping: zero, tax: zero, total: items }))
}

impl Purchase<'_> {
    fn in_market(&self, owner: &str, requested: &[RequestedLine<'_>]) -> Quote {
        let goods = self.lines(owner, requested);
        let request = self.request(&goods);
        let Estimate { priced, refusals } = pricing::estimate(&request);
        let (totals, price) = priced.map(|priced| (priced.totals, priced.price)).unzip();
        let sold = requested.iter().zip(&goods).filter_map(|(line, goods)| {
            let unit_price = goods.product.price_in(self.pricing)?;
            let compare_at = goods.product.unit_price.as_ref().and_then(|price| price.compare_at);
            Some(line.at(owner, unit_price, compare_at))
        });
        Quote {
            lines: sold.collect(),
            totals,
            price,
            refusals,
            shipping_options: pricing::shipping_options(&request),
        }
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
}

impl Quote {
    /// Returns the price at which the goods can be ordered.
    ///
    /// # Errors
    /// The first reason why they cannot be ordered, as an error of the request. `at` is the address
    /// that is its destination.
    pub fn accepted(
        self,
        requested: &[RequestedLine<'_>],
        terms: &Terms<'_>,
        at: DestinationAddress,
    ) -> Result<(Vec<OrderLine>, Totals, Option<Price>), PlacementError> {
        if let Some(refusal) = self.refusals.first() {
            return Err(refused(refusal, requested, terms, at));
        }
        let totals = self.totals.ok_or(PlacementError::NoItems)?;
        Ok((self.order_lines(), totals, self.price))
    }

    /// The lines as an order has them.
    pub fn order_lines(&self) -> Vec<OrderLine> {
        self.lines.iter().map(|line| line.line.clone()).collect()
    }
}

impl RequestedLine<'_> {
    fn at(&self, owner: &str, unit_price: Money, compare_at: Option<Money>) -> QuotedLine {
        // Both factors are far below the square root of the type's maximum.
        let line_total = unit_price.amount.saturating_mul(i64::from(self.quantity));
        let line = OrderLine {
            line_id: line_id(owner, self.product.product_id),
            product_id: self.product.product_id,
            sku: self.product.sku.clone(),
            name: self.product.name.clone(),
            unit_price,
            quantity: self.quantity,
            line_total: Money::new(line_total, unit_price.currency),
        };
        QuotedLine { line, compare_at }
    }
}

/// The tax destination of goods that are shipped or billed to this address.
pub fn destination(address: &Address) -> Destination {
    let region = address.region.as_ref().map(ToString::to_string);
    Destination { country: address.country.clone(), region }
}

fn refused(
    refusal: &Refusal,
    requested: &[RequestedLine<'_>],
    terms: &Terms<'_>,
    at: DestinationAddress,
) -> PlacementError {
    let position = |product_id| {
        let line = requested.iter().find(|line| line.product.product_id == product_id);
        line.map_or(0, |line| line.position)
    };
    let error = match (refusal, terms) {
        (Refusal::NotSoldHere { product_id }, _) => {
            MarketError::NotSoldHere { position: position(*product_id) }
        }
        (Refusal::UnknownRegion, _) => MarketError::UnknownRegion { at },
        (Refusal::ShippingUnavailable, _) => MarketError::ShippingUnavailable,
        (Refusal::ShippingMethodRequired, _) => MarketError::ShippingMethodRequired,
        (Refusal::BelowMinimum { minimum }, Terms::Market(purchase)) => {
            let currency = purchase.pricing.document.currency;
            MarketError::BelowMinimum { minimum: pricing::minimum_total(*minimum, currency) }
        }
        (Refusal::AmountTooLarge, _) => return PlacementError::AmountTooLarge,
        (Refusal::CurrencyMismatch, _) => return PlacementError::CurrencyMismatch,
        // Only a market has a minimum.
        (Refusal::NotDeliveredThere | Refusal::BelowMinimum { .. }, _) => {
            MarketError::NotDeliveredThere { at }
        }
    };
    error.into()
}
