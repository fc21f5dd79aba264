//! A reason why goods cannot be ordered, in the API.

use serde::Serialize;
use shared::{
    ids::ProductId,
    money::{Currency, Money},
};

use crate::domain::{
    cart::CartRefusal,
    pricing::{Refusal, minimum_total},
};

/// A reason why goods cannot be ordered. The code is that of the problem that `POST /orders`
/// returns.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub(super) struct RefusalView {
    code: &'static str,
    /// The product that is not sold, or whose quantity exceeds its limit. Null for other reasons.
    product_id: Option<ProductId>,
    /// The smallest total above 0. Null for other reasons.
    minimum: Option<Money>,
}

impl RefusalView {
    /// `currency` is that of the market.
    pub(super) fn new(refusal: &Refusal, currency: Option<Currency>) -> Self {
        match refusal {
            Refusal::NotSoldHere { product_id } => Self::of_product("not_sold_here", *product_id),
            Refusal::NotDeliveredThere => Self::plain("not_delivered_there"),
            Refusal::UnknownRegion => Self::plain("unknown_region"),
            Refusal::ShippingUnavailable => Self::plain("shipping_unavailable"),
            Refusal::ShippingMethodRequired => Self::plain("shipping_method_required"),
            Refusal::BelowMinimum { minimum } => {
                let minimum = currency.map(|currency| minimum_total(*minimum, currency));
                Self { minimum, ..Self::plain("below_minimum") }
            }
            Refusal::AmountTooLarge => Self::plain("amount_too_large"),
            Refusal::CurrencyMismatch => Self::plain("currency_mismatch"),
        }
    }

    fn plain(code: &'static str) -> Self {
        Self { code, product_id: None, minimum: None }
    }

    fn of_product(code: &'static str, product_id: ProductId) -> Self {
        Self { product_id: Some(product_id), ..Self::plain(code) }
    }
}

impl From<&CartRefusal> for RefusalView {
    fn from(refusal: &CartRefusal) -> Self {
        match refusal {
            CartRefusal::Empty => Self::plain("cart_empty"),
            CartRefusal::UnknownProduct { product_id } => {
                Self::of_product("unknown_product", *product_id)
            }
            CartRefusal::TooManyOfProduct { product_id } => {
                Self::of_product("too_many_of_product", *product_id)
            }
            CartRefusal::MarketRequired => Self::plain("market_required"),
            CartRefusal::AddressRequired => Self::plain("shipping_address_required"),
            CartRefusal::BillingAddressRequired => Self::plain("billing_address_required"),
            CartRefusal::NoMarket => Self::plain("no_market"),
            CartRefusal::UnknownMarket => Self::plain("unknown_market"),
            CartRefusal::Price { refusal, currency } => Self::new(refusal, *currency),
        }
    }
}
