//! Placement of an order: checks what is ordered against the catalogue, and prices it.

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
    cart::{CartQuote, CartRefusal, quote::CartQuoteLine},
    order_request::OrderOfItems,
    ordered_cart::{OrderedCart, line_owner},
    pricing::{Price, Pricing},
    product::Product,
    quote::{self, MarketError, quote, requested_lines},
    schedule::Timing,
};

/// What was placed. It never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedOrder {
    /// Derived from the cart, or else from the idempotency key of the request.
    pub order_id: OrderId,
    pub user_id: UserId,
    /// The cart that was ordered; `None` for an order of items.
    pub cart: Option<OrderedCart>,
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

/// The inputs of a placement besides what is ordered and its prices: who orders, on which terms,
/// and when.
#[derive(Clone, Debug)]
pub struct Placement {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub cart: Option<OrderedCart>,
    /// The name and the e-mail address of the buyer, from the access token.
    pub buyer: Contact,
    /// A hash of the request body. It detects a different request with the same idempotency key.
    pub fingerprint: String,
    pub terms: Terms,
    /// The name of the network that the request came from, if its limit is refunded when the order
    /// is paid.
    pub network: Option<String>,
    pub trace: Trace,
    pub now: Timestamp,
    pub timing: Timing,
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
    #[error("order costs {}, which differs from the expected total", .0.totals.total)]
    PriceChanged(Box<PricedGoods>),
    /// The goods cannot be ordered in the market.
    #[error(transparent)]
    Market(#[from] MarketError),
    /// The cart cannot be ordered, for the first of the reasons that it shows.
    #[error("cart cannot be ordered: {0:?}")]
    Cart(CartRefusal),
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

/// Goods at the prices at which they are ordered.
#[derive(Clone, Debug, PartialEq)]
pub struct PricedGoods {
    pub lines: Vec<OrderLine>,
    pub totals: Totals,
    /// `None` for an order without a market.
    pub price: Option<Price>,
}

impl PricedGoods {
    /// Prices the requested items by the rules of the market, or else from the copy of the
    /// catalogue.
    ///
    /// # Errors
    /// If the goods cannot be ordered.
    pub(super) fn of_items(
        placement: &Placement,
        of_items: &OrderOfItems,
        products: &[Product],
        rules: &[Pricing],
    ) -> Result<Self, PlacementError> {
        let owner = line_owner(placement.order_id, placement.cart);
        let maximum = placement.terms.max_per_order;
        let requested = requested_lines(of_items.items.merged(), products, maximum)?;
        let requires_shipping = requested.iter().any(|line| line.product.requires_shipping);
        let (at, destination) = of_items.destination(requires_shipping)?;
        let has_neither = of_items.market.is_none() && of_items.shipping_method.is_none();
        if has_neither && placement.terms.requires_market {
            return Err(MarketError::NoMarket.into());
        }
        let terms = quote::terms(of_items, destination.as_ref(), rules, placement.now)?;
        let (lines, totals, price) =
            quote(&owner, &requested, &terms).accepted(&requested, &terms, at)?;
        Ok(Self { lines, totals, price })
    }

    /// Takes the lines and the total that the cart shows.
    ///
    /// # Errors
    /// If the cart cannot be ordered. The first reason is returned.
    pub(super) fn of_cart(quote: CartQuote) -> Result<Self, CartRefusal> {
        let CartQuote { lines, totals, price, refusals, .. } = quote;
        if let Some(refusal) = refusals.into_iter().next() {
            return Err(refusal);
        }
        let lines: Option<Vec<OrderLine>> = lines.into_iter().map(OrderLine::of_cart).collect();
        // A cart without refusals has lines, and all of them have a price.
        let (lines, totals) = lines.zip(totals).ok_or(CartRefusal::Empty)?;
        Ok(Self { lines, totals, price })
    }

    /// Checks that the goods cost what the buyer expects.
    pub(super) fn check(self, expected_total: Option<Money>) -> Result<Self, PlacementError> {
        match expected_total {
            Some(expected) if expected != self.totals.total => {
                Err(PlacementError::PriceChanged(Box::new(self)))
            }
            _ => Ok(self),
        }
    }
}

impl OrderLine {
    /// The line of a cart at its present price; `None` if it has none.
    fn of_cart(line: CartQuoteLine) -> Option<Self> {
        let CartQuoteLine { line_id, product_id, quantity, product, price } = line;
        let (product, price) = product.zip(price)?;
        Some(Self {
            line_id,
            product_id,
            sku: product.sku,
            name: product.name,
            unit_price: price.unit_price,
            quantity,
            line_total: price.line_total,
        })
    }
}

impl PlacedOrder {
    pub(super) fn new(placement: &Placement, goods: PricedGoods) -> Self {
        let PricedGoods { lines, totals, price } = goods;
        Self {
            order_id: placement.order_id,
            user_id: placement.user_id,
            cart: placement.cart,
            item_count: lines.iter().map(|line| line.quantity).sum(),
            lines,
            totals,
            price,
            created_at: placement.now,
            expires_at: placement.now.plus(placement.terms.pay_within),
        }
    }
}

impl PlacedOrder {
    /// Whether the total is 0. A free order has no payment: it is paid once its stock is reserved.
    pub fn is_free(&self) -> bool {
        self.totals.total.amount == 0
    }
}
