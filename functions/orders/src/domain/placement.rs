//! Placing an order: from the request and the catalogue to what was bought, or to the rule that it
//! breaks.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId, UserId},
    money::Money,
    telemetry::Trace,
};

use super::{buyer::Contact, order_request::OrderRequest};

/// What was placed. It never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedOrder {
    /// Its id, derived from the request that placed it.
    pub order_id: OrderId,
    /// The buyer's id.
    pub user_id: UserId,
    /// What was bought, at the price of the time; sorted by product, one line for each.
    pub lines: Vec<OrderLine>,
    /// The number of pieces in all lines.
    pub item_count: u32,
    /// What it costs.
    pub totals: Totals,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it must be paid.
    pub expires_at: Timestamp,
}

/// So many of one product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct OrderLine {
    /// The product.
    pub product_id: ProductId,
    /// Its article number at the time.
    pub sku: String,
    /// Its name at the time.
    pub name: String,
    /// Its price at the time.
    pub unit_price: Money,
    /// How many.
    pub quantity: u32,
    /// Price times quantity.
    pub line_total: Money,
}

/// What an order costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct Totals {
    /// All lines.
    pub items: Money,
    /// Shipping: nothing today.
    pub shipping: Money,
    /// Tax: nothing today.
    pub tax: Money,
    /// What is charged.
    pub total: Money,
}

/// A product as orders knows it: a copy of what the catalogue last said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// The product.
    pub product_id: ProductId,
    /// Its article number.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// Its price.
    pub price: Money,
    /// Whether it can be bought.
    pub active: bool,
    /// How many of it one order may have. `None`: the shop's own limit.
    #[serde(default)]
    pub max_per_order: Option<u32>,
    /// The catalogue's version of it.
    pub version: u64,
}

/// Who places an order, and by which request.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The order's id.
    pub order_id: OrderId,
    /// The buyer's id.
    pub user_id: UserId,
    /// The buyer as they are called now.
    pub buyer: Contact,
    /// What tells this request from another with the same key.
    pub fingerprint: String,
    /// What the shop grants this buyer.
    pub terms: Terms,
    /// The name of the network that the request came from.
    pub network: Option<String>,
    /// The request's trace.
    pub trace: Trace,
}

/// What the shop grants a buyer for one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long the order may stay unpaid.
    pub pay_within: Duration,
    /// The most pieces of a product, unless the product says otherwise.
    pub max_per_order: u32,
}

/// A rule that an order broke when it was to be placed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlacementError {
    /// The request has no items.
    #[error("the order has no items")]
    NoItems,
    /// A product is not in the catalogue, or no longer sold.
    #[error("item {position} is not a product on sale")]
    UnknownProduct {
        /// Its index in the request, from 0.
        position: usize,
    },
    /// The order has more of a product than one order may have.
    #[error("item {position} is more than {maximum} of its product")]
    TooManyOfProduct {
        /// Index of the product's first item in the request, from 0.
        position: usize,
        /// How many one order may have.
        maximum: u32,
    },
    /// The products have prices in different currencies.
    #[error("the products are sold in different currencies")]
    CurrencyMismatch,
    /// The total is above the largest amount that can be charged.
    #[error("the total is too large to be charged")]
    AmountTooLarge,
    /// The total differs from the one that the buyer expected.
    #[error("the order costs {total}, which is not what the buyer expected")]
    PriceChanged {
        /// What it costs.
        total: Money,
    },
    /// The buyer has reached the limit of unpaid orders.
    #[error("the buyer has {maximum} unpaid orders")]
    TooManyUnpaid {
        /// The limit.
        maximum: u32,
        /// The limit once the buyer's e-mail address is verified, where it is not.
        if_verified: Option<u32>,
    },
    /// The network has reached its limit of unpaid orders.
    #[error("the network has too many unpaid orders")]
    NetworkLimitReached {
        /// When it may have another one.
        retry_after: Duration,
    },
}

impl PlacedOrder {
    /// What is in the basket, at the catalogue's prices.
    pub(super) fn new(
        placement: &Placement,
        order_request: &OrderRequest,
        products: &[Product],
        now: Timestamp,
    ) -> Result<Self, PlacementError> {
        let lines = order_request.lines().map(|(position, product_id, quantity)| {
            let product =
                products.iter().find(|product| product.product_id == product_id && product.active);
            let product = product.ok_or(PlacementError::UnknownProduct { position })?;
            let maximum = product.max_per_order.unwrap_or(placement.terms.max_per_order);
            if quantity > maximum {
                return Err(PlacementError::TooManyOfProduct { position, maximum });
            }
            let line_total =
                product.price.checked_mul(quantity).ok_or(PlacementError::AmountTooLarge)?;
            let (sku, name, unit_price) =
                (product.sku.clone(), product.name.clone(), product.price);
            Ok(OrderLine { product_id, sku, name, unit_price, quantity, line_total })
        });
        let lines = lines.collect::<Result<Vec<_>, PlacementError>>()?;
        let totals = Totals::of(&lines)?;
        if order_request.expected_total.is_some_and(|expected| expected != totals.total) {
            return Err(PlacementError::PriceChanged { total: totals.total });
        }
        Ok(Self {
            order_id: placement.order_id,
            user_id: placement.user_id,
            item_count: lines.iter().map(|line| line.quantity).sum(),
            lines,
            totals,
            created_at: now,
            expires_at: now.plus(placement.terms.pay_within),
        })
    }
}

impl Totals {
    fn of(lines: &[OrderLine]) -> Result<Self, PlacementError> {
        let currency =
            lines.first().map(|line| line.unit_price.currency).ok_or(PlacementError::NoItems)?;
        if lines.iter().any(|line| line.unit_price.currency != currency) {
            return Err(PlacementError::CurrencyMismatch);
        }
        let nothing = Money::new(0, currency);
        let items = lines
            .iter()
            .try_fold(nothing, |sum, line| sum.checked_add(line.line_total))
            .ok_or(PlacementError::AmountTooLarge)?;
        Ok(Self { items, shipping: nothing, tax: nothing, total: items })
    }
}
