//! Path parameters. A malformed id is answered like an unknown one.

use shared::{ids::PrefixedId, market::MarketId};

use crate::error::PricingError;

pub(super) fn market(parameter: Option<&str>) -> Result<MarketId, PricingError> {
    let market = parameter.and_then(|text| MarketId::parse(text).ok());
    market.ok_or(PricingError::MarketNotFound)
}

pub(super) fn id<I: PrefixedId>(
    parameter: Option<&str>,
    not_found: PricingError,
) -> Result<I, PricingError> {
    parameter.and_then(I::parse).ok_or(not_found)
}
