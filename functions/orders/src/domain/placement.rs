//! Placement of an order: checks the request against the catalogue and prices it.

use std::time::Duration;

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::{LineId, OrderId, ProductId, UserId},
    money::Money,
    telemetry::Trace,
};

use super::{
    buyer::Contact,
    order_request::OrderRequest,
    pricing::{Price, Pricing},
    product::Product,
    quote::{self, MarketError, quote, requested_lines},
};

/// What was placed. It never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedOrder {
    /// Derived from the idempotency key of the request.
    pub order_id: OrderId,
    pub user_id: UserId,
    /// The lines at the prices when the order was placed, one per product and sorted by it.
    pub lines: Vec<OrderLine>,
    /// The total quantity of all lines.
    pub item_count: u32,
    pub totals: Totals,
    /// How the totals were computed; `None` for an order without a market. It is stored with the
    /// order and never computed again.
    pub price: Option<Price>,
    pub created_at: Timestamp,
    /// The payment deadline.
    pub expires_at: Timestamp,
}

/// A quantity of one product, at the price when the order was placed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct OrderLine {
    /// Identifies the line in `price`.
    pub line_id: LineId,
    pub product_id: ProductId,
    /// The SKU at the time of the order.
    pub sku: String,
    /// The name at the time of the order.
    pub name: String,
    /// The price at the time of the order.
    pub unit_price: Money,
    pub quantity: u32,
    /// Price times quantity, before discounts.
    pub line_total: Money,
}

/// The amounts of an order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct Totals {
    /// The sum of all lines after discounts. It includes tax if the prices of the market do.
    pub items: Money,
    /// The cost of shipping after discounts; 0 without a market. It includes tax like `items`.
    pub shipping: Money,
    /// The tax on goods and shipping; 0 without a market. If the prices of the market include tax,
    /// `items` and `shipping` include this amount.
    pub tax: Money,
    /// The amount that is charged. An order of total 0 has no payment.
    pub total: Money,
}

/// The inputs of a placement besides the request body and the products.
#[derive(Clone, Debug)]
pub struct Placement {
    pub order_id: OrderId,
    pub user_id: UserId,
    /// The name and the e-mail address of the buyer, from the access token.
    pub buyer: Contact,
    /// A hash of the request body. It detects a different request with the same idempotency key.
    pub fingerprint: String,
    pub terms: Terms,
    /// The rules of the order's market for each country that its destination may be in.
    pub pricing: Vec<Pricing>,
    /// The name of the network that the request came from, if its limit is refunded when the order
    /// is paid.
    pub network: Option<String>,
    pub trace: Trace,
}

/// The terms for one order of a buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long the order may stay unpaid.
    pub pay_within: Duration,
    /// Maximum quantity of a product, unless the product sets its own.
    pub max_per_order: u32,
    /// Whether the order has to name a market.
    pub requires_market: bool,
}

/// Why an order is not placed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlacementError {
    /// The request has no items.
    #[error("order has no items")]
    NoItems,
    /// A product is not in the catalogue, or is no longer sold.
    #[error("item {position} is not a product on sale")]
    UnknownProduct {
        /// Index of the product's first item in the request, from 0.
        position: usize,
    },
    /// The order exceeds the quantity limit of a product.
    #[error("item {position} exceeds the limit of {maximum} per product")]
    TooManyOfProduct {
        /// Index of the product's first item in the request, from 0.
        position: usize,
        maximum: u32,
    },
    /// The products have prices in different currencies.
    #[error("products have different currencies")]
    CurrencyMismatch,
    /// The total exceeds the largest amount that can be charged.
    #[error("total is too large to be charged")]
    AmountTooLarge,
    /// The total differs from the one that the buyer expected.
    #[error("order costs {}, which differs from the expected total", totals.total)]
    PriceChanged {
        totals: Totals,
        /// `None` for an order without a market.
        price: Option<Box<Price>>,
    },
    /// The goods cannot be ordered in the market.
    #[error(transparent)]
    Market(#[from] MarketError),
    /// The buyer has reached the limit of unpaid orders.
    #[error("buyer has {maximum} unpaid orders")]
    TooManyUnpaid {
        maximum: u32,
        /// The limit with a verified e-mail address; `None` if verification does not raise it.
        if_verified: Option<u32>,
    },
    /// The network has reached its limit of unpaid orders.
    #[error("network has too many unpaid orders")]
    NetworkLimitReached {
        /// The time to wait until another order is admitted.
        retry_after: Duration,
    },
}

impl PlacedOrder {
    /// Prices the requested items by the rules of the market, or else from the copy of the catalogue.
    pub(super) fn new(
        placement: &Placement,
        order_request: &OrderRequest,
        products: &[Product],
        now: Timestamp,
    ) -> Result<Self, PlacementError> {
        let owner = placement.order_id.to_string();
        let maximum = placement.terms.max_per_order;
        let requested = requested_lines(order_request.lines(), products, maximum)?;
        let requires_shipping = requested.iter().any(|line| line.product.requires_shipping);
        let (at, destination) = order_request.destination(requires_shipping)?;
        let rules = &placement.pricing;
        let has_neither = order_request.market.is_none() && order_request.shipping_method.is_none();
        if has_neither && placement.terms.requires_market {
            return Err(MarketError::NoMarket.into());
        }
        let terms = quote::terms(order_request, destination.as_ref(), rules, now)?;
        let quote = quote(&owner, &requested, &terms);
        let (lines, totals, price) = quote.accepted(&requested, &terms, at)?;
        if order_request.expected_total.is_some_and(|expected| expected != totals.total) {
            let price = price.map(Box::new);
            return Err(PlacementError::PriceChanged { totals, price });
        }
        Ok(Self {
            order_id: placement.order_id,
            user_id: placement.user_id,
            item_count: lines.iter().map(|line| line.quantity).sum(),
            lines,
            totals,
            price,
            created_at: now,
            expires_at: now.plus(placement.terms.pay_within),
        })
    }
}

impl PlacedOrder {
    /// Whether the total is 0. A free order has no payment: it is paid once its stock is reserved.
    pub fn is_free(&self) -> bool {
        self.totals.total.amount == 0
    }
}
