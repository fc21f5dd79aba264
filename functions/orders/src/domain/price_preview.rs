//! The request for an estimate of a price. It needs no account and reserves nothing.

use serde::{Deserialize, Serialize};
use shared::{
    address::{Address, AddressLine, CountryCode},
    ids::ShippingMethodId,
    market::MarketId,
};

use super::{
    order_request::{Items, MergedItem},
    pricing::Destination,
    quote::destination,
};

/// Goods in a market, and where they are shipped to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PricePreviewRequest {
    pub market: MarketId,
    lines: Items,
    /// Where the goods are shipped to and taxed. If it is set, `country` and `region` are ignored.
    #[serde(default)]
    shipping_address: Option<Address>,
    /// The country of the destination, while there is no address.
    #[serde(default)]
    country: Option<CountryCode>,
    /// The region of the destination, with `country`.
    #[serde(default)]
    region: Option<AddressLine>,
    #[serde(default)]
    pub shipping_method: Option<ShippingMethodId>,
}

impl PricePreviewRequest {
    /// The merged lines, one per product and sorted by it.
    pub fn lines(&self) -> Vec<MergedItem> {
        self.lines.merged()
    }

    /// `None` if the request has neither an address nor a country.
    pub fn destination(&self) -> Option<Destination> {
        let of_country = || {
            let region = self.region.as_ref().map(ToString::to_string);
            Some(Destination { country: self.country.clone()?, region })
        };
        self.shipping_address.as_ref().map(destination).or_else(of_country)
    }
}
