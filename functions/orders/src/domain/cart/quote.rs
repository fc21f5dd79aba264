//! The prices of a cart, and why it cannot be ordered.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::{LineId, ProductId},
    money::{Currency, Money},
};

use super::{Cart, CartLine, QuantityLimits};
use crate::domain::{
    Product, Totals,
    pricing::{Destination, Price, PricedShipping, Pricing, Refusal},
    quote::{Purchase, Quote, QuotedLine, RequestedLine, Terms, quote},
};

/// A cart with its prices at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct CartQuote {
    /// All lines of the cart, sorted by product.
    pub lines: Vec<CartQuoteLine>,
    /// `None` if the goods cannot be priced.
    pub totals: Option<Totals>,
    /// `None` if the goods cannot be priced, or have the prices of the catalogue.
    pub price: Option<Price>,
    /// The version of the market's rules.
    pub pricing_version: Option<u64>,
    /// Why the goods cannot be ordered. Empty if they can be ordered at this total.
    pub refusals: Vec<CartRefusal>,
    pub warnings: Vec<Warning>,
    /// The shipping methods that the goods can use, the cheapest first; or why no method can be
    /// used.
    pub shipping_options: Result<Vec<PricedShipping>, Vec<CartRefusal>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CartQuoteLine {
    pub line_id: LineId,
    pub product_id: ProductId,
    pub quantity: u32,
    /// `None` if the copy of the catalogue has no such product.
    pub product: Option<Product>,
    /// `None` if the product cannot be ordered, or the cart cannot be priced.
    pub price: Option<LinePrice>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinePrice {
    pub unit_price: Money,
    pub compare_at: Option<Money>,
    pub line_total: Money,
}

/// Why a cart cannot be ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CartRefusal {
    Empty,
    /// The product does not exist or is no longer sold.
    UnknownProduct {
        product_id: ProductId,
    },
    /// The quantity exceeds the limit of the product.
    TooManyOfProduct {
        product_id: ProductId,
    },
    /// The cart has a shipping method and no market.
    MarketRequired,
    /// The goods are shipped, and the cart has no shipping address.
    AddressRequired,
    /// Nothing is shipped, and the cart has no address at which the goods are taxed.
    BillingAddressRequired,
    /// The cart names no market, and the shop sells only in markets.
    NoMarket,
    /// The market has no rules for the country.
    UnknownMarket,
    /// The goods cannot be ordered at a price. `currency` is that of the market.
    Price {
        refusal: Refusal,
        currency: Option<Currency>,
    },
}

/// What the buyer should know about a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = CartWarning))]
pub struct Warning {
    pub code: WarningCode,
    /// The line that it is about. Null if it is about the whole cart.
    pub line_id: Option<LineId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = CartWarningCode))]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// The unit price differs from the one when the cart was last changed.
    PriceChanged,
    /// The quantity is lower than the sum of both carts, or the line was left out.
    QuantityCut,
    /// The chosen shipping method does not exist, or the goods cannot use it.
    ShippingUnavailable,
    /// The product cannot be ordered in the market.
    NotSoldHere,
    /// The total is below the minimum of the market.
    BelowMinimum,
    /// The guest's cart or the order is for another market, so its lines were not taken.
    OtherMarket,
}

impl Warning {
    pub fn of_line(code: WarningCode, line_id: LineId) -> Self {
        Self { code, line_id: Some(line_id) }
    }

    pub fn of_cart(code: WarningCode) -> Self {
        Self { code, line_id: None }
    }
}

impl Cart {
    /// Prices the cart. `rules` are those of [`CartContent::rules`](super::CartContent::rules) that
    /// exist.
    pub fn quote(
        &self,
        limits: QuantityLimits<'_>,
        rules: &[Arc<Pricing>],
        now: Timestamp,
    ) -> CartQuote {
        let requested = self.requested(limits);
        let mut refusals = self.refused_lines(limits);
        // The first product of an empty cart may require shipping.
        let requires_shipping =
            requested.is_empty() || requested.iter().any(|line| line.product.requires_shipping);
        let no_address = if requires_shipping {
            CartRefusal::AddressRequired
        } else {
            CartRefusal::BillingAddressRequired
        };
        let destination = self.content.destination(requires_shipping);
        let pricing = destination.as_ref().and_then(|destination| {
            rules.iter().find(|pricing| {
                Some(&pricing.market) == self.content.market.as_ref()
                    && pricing.country == destination.country
            })
        });
        let pricing = pricing.map(|pricing| &**pricing);
        let terms = self.terms(destination.as_ref(), pricing, &no_address, now);
        let has_address = self.content.destination_address(requires_shipping).is_some();
        match &terms {
            Ok(Terms::Catalogue) if self.content.shipping_method.is_some() => {
                refusals.push(CartRefusal::MarketRequired);
            }
            Ok(Terms::Market(_)) if !has_address => refusals.push(no_address),
            Ok(_) => {}
            Err(refusal) => refusals.push(refusal.clone()),
        }
        let owner = self.cart_id.to_string();
        let quote = match &terms {
            Ok(terms) => Ok(quote(&owner, &requested, terms)),
            Err(refusal) => Err(refusal.clone()),
        };
        let currency = pricing.map(|pricing| pricing.document.currency);
        let warnings = self.warnings(quote.as_ref().ok());
        let lines = self.quoted_lines(limits, quote.as_ref().ok());
        let priced = |refusal: Refusal| CartRefusal::Price { refusal, currency };
        let (totals, price, shipping_options) = match quote {
            Ok(quote) => {
                refusals.extend(quote.refusals.into_iter().map(priced));
                let options = match &terms {
                    Ok(Terms::Catalogue) => Err(vec![CartRefusal::MarketRequired]),
                    _ => quote
                        .shipping_options
                        .map_err(|refusals| refusals.into_iter().map(priced).collect()),
                };
                (quote.totals, quote.price, options)
            }
            Err(refusal) => (None, None, Err(vec![refusal])),
        };
        let pricing_version = pricing.map(|pricing| pricing.version);
        CartQuote { lines, totals, price, pricing_version, refusals, warnings, shipping_options }
    }

    /// The terms by which the cart is priced. `no_address` is the error of a cart in a market
    /// without a destination.
    fn terms<'a>(
        &self,
        destination: Option<&'a Destination>,
        pricing: Option<&'a Pricing>,
        no_address: &CartRefusal,
        now: Timestamp,
    ) -> Result<Terms<'a>, CartRefusal> {
        let shipping_method = self.content.shipping_method;
        match (&self.content.market, destination, pricing) {
            (None, ..) => Ok(Terms::Catalogue),
            (Some(_), None, _) => Err(no_address.clone()),
            (Some(_), Some(_), None) => Err(CartRefusal::UnknownMarket),
            (Some(_), Some(destination), Some(pricing)) => {
                Ok(Terms::Market(Purchase { pricing, destination, shipping_method, now }))
            }
        }
    }

    /// The cart with the prices that its buyer has seen by now.
    pub fn with_seen_prices(mut self, quote: &CartQuote) -> Self {
        for (line, quoted) in self.content.lines.iter_mut().zip(&quote.lines) {
            let seen = quoted.price.map(|price| price.unit_price);
            line.seen_price = seen.or(line.seen_price);
        }
        self
    }

    /// The lines with a product that is on sale, each with its index in the cart.
    pub fn requested<'a>(&self, limits: QuantityLimits<'a>) -> Vec<RequestedLine<'a>> {
        let requested = |(position, line): (usize, &CartLine)| {
            let mut products = limits.products.iter();
            let product =
                products.find(|product| product.product_id == line.product_id && product.active)?;
            Some(RequestedLine { position, quantity: line.quantity, product })
        };
        self.content.lines.iter().enumerate().filter_map(requested).collect()
    }

    fn refused_lines(&self, limits: QuantityLimits<'_>) -> Vec<CartRefusal> {
        if self.content.lines.is_empty() {
            return vec![CartRefusal::Empty];
        }
        let refused = |line: &CartLine| {
            let product_id = line.product_id;
            if limits.on_sale(product_id).is_none() {
                Some(CartRefusal::UnknownProduct { product_id })
            } else if line.quantity > limits.maximum(product_id) {
                Some(CartRefusal::TooManyOfProduct { product_id })
            } else {
                None
            }
        };
        self.content.lines.iter().filter_map(refused).collect()
    }

    /// The warnings of a quote; none if the cart cannot be priced.
    fn warnings(&self, quote: Option<&Quote>) -> Vec<Warning> {
        let Some(quote) = quote else { return Vec::new() };
        let of_line = |line: &CartLine| {
            let code = match quoted(quote, line.product_id) {
                None => WarningCode::NotSoldHere,
                Some(quoted) if line.seen_price.is_some_and(|p| p != quoted.line.unit_price) => {
                    WarningCode::PriceChanged
                }
                Some(_) => return None,
            };
            Some(Warning::of_line(code, self.line_id(line.product_id)))
        };
        let of_cart = |refusal: &Refusal| match refusal {
            Refusal::ShippingUnavailable => Some(WarningCode::ShippingUnavailable),
            Refusal::BelowMinimum { .. } => Some(WarningCode::BelowMinimum),
            _ => None,
        };
        let lines = self.content.lines.iter().filter_map(of_line);
        lines.chain(quote.refusals.iter().filter_map(of_cart).map(Warning::of_cart)).collect()
    }

    fn quoted_lines(
        &self,
        limits: QuantityLimits<'_>,
        quote: Option<&Quote>,
    ) -> Vec<CartQuoteLine> {
        let line = |line: &CartLine| {
            let mut products = limits.products.iter();
            let price = quote.and_then(|quote| quoted(quote, line.product_id));
            CartQuoteLine {
                line_id: self.line_id(line.product_id),
                product_id: line.product_id,
                quantity: line.quantity,
                product: products.find(|product| product.product_id == line.product_id).cloned(),
                price: price.map(|quoted| LinePrice {
                    unit_price: quoted.line.unit_price,
                    compare_at: quoted.compare_at,
                    line_total: quoted.line.line_total,
                }),
            }
        };
        self.content.lines.iter().map(line).collect()
    }
}

fn quoted(quote: &Quote, product_id: ProductId) -> Option<&QuotedLine> {
    quote.lines.iter().find(|line| line.line.product_id == product_id)
}
