//! The destination of an order: the address that decides its tax.
//!
//! Goods that are shipped are taxed where they are shipped to. If nothing is shipped, the billing
//! address is the destination, or without one the shipping address.

use shared::address::{Address, CountryCode};

use super::{
    order_request::OrderOfItems,
    placement::PlacedOrder,
    pricing::{Destination, Price, region_code},
    quote::{self, MarketError},
};

/// Which address of an order is its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationAddress {
    Shipping,
    Billing,
}

impl DestinationAddress {
    /// The name of the address in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shipping => "shipping_address",
            Self::Billing => "billing_address",
        }
    }
}

impl PlacedOrder {
    /// Whether something is shipped. Only an order in a market can ship nothing: an order without a
    /// market is always shipped.
    pub fn requires_shipping(&self) -> bool {
        self.price.as_ref().is_none_or(|price| price.shipping.is_some())
    }
}

impl OrderOfItems {
    /// The destination of an order in a market, and which address of the order it is. Without a
    /// market the price of an order does not depend on a destination.
    pub(super) fn destination(
        &self,
        requires_shipping: bool,
    ) -> Result<(DestinationAddress, Option<Destination>), MarketError> {
        if self.market.is_none() {
            return Ok((DestinationAddress::Shipping, None));
        }
        let (shipping, billing) = (self.shipping_address.as_ref(), self.billing_address.as_ref());
        let (at, address) = destination_address(requires_shipping, shipping, billing)?;
        Ok((at, Some(quote::destination(address))))
    }
}

/// Returns the address that is the destination, and which one it is.
///
/// # Errors
/// If the order has no address that can be the destination.
pub fn destination_address<'a>(
    requires_shipping: bool,
    shipping_address: Option<&'a Address>,
    billing_address: Option<&'a Address>,
) -> Result<(DestinationAddress, &'a Address), MarketError> {
    let shipping = shipping_address.map(|address| (DestinationAddress::Shipping, address));
    if requires_shipping {
        return shipping.ok_or(MarketError::ShippingAddressRequired);
    }
    let billing = billing_address.map(|address| (DestinationAddress::Billing, address));
    billing.or(shipping).ok_or(MarketError::BillingAddressRequired)
}

/// Returns the countries that the destination may be in: one, or two if the addresses are in
/// different countries. Which one it is follows from the products.
pub fn possible_countries<'a>(
    shipping_address: Option<&'a Address>,
    billing_address: Option<&'a Address>,
) -> Vec<&'a CountryCode> {
    let addresses = shipping_address.into_iter().chain(billing_address);
    let mut countries: Vec<&CountryCode> = addresses.map(|address| &address.country).collect();
    countries.dedup();
    countries
}

/// Whether an order to `before` costs the same if it is shipped to `after`: the country is the
/// same, and, where its tax rates differ by region, the region too. An order without a destination
/// has a price that depends on none.
pub(super) fn keeps_price(
    price: Option<&Price>,
    before: Option<&Address>,
    after: &Address,
) -> bool {
    let Some(before) = before else { return true };
    let is_same_region = match price.and_then(|price| price.tax_region.as_deref()) {
        Some(region) => region_code(&quote::destination(after)) == Some(region),
        None => true,
    };
    before.country == after.country && is_same_region
}
