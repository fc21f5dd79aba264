//! The data of the messages that pricing publishes.

use serde::Serialize;
use shared::{address::CountryCode, market::MarketId};

use crate::domain::Document;

/// `compile_market.v1`: compile the documents of a market.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct CompileMarket {
    pub market: MarketId,
    /// The version that was written. The consumer compiles the current one.
    pub version: u64,
}

/// `pricing_changed.v1`: the rules of a market for one country.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct PricingChanged {
    pub market: MarketId,
    pub country: CountryCode,
    /// Increases with every change of the market. Consumers ignore older versions than the one they
    /// have.
    pub version: u64,
    pub document: Document,
}
