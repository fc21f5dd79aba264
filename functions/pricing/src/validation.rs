//! Validates a market with all its rules before a change is written.

use crate::{domain::WholeMarket, error::PricingError};

/// Maximum size of a pricing document as JSON. Every price reads one from a table.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024;

/// # Errors
/// If the market breaks a rule of the domain, or one of its documents is too large.
///
/// # Panics
/// If a document is not JSON: a programming error.
pub fn validate(market: &WholeMarket) -> Result<(), PricingError> {
    market.validate()?;
    for (country, document) in market.documents() {
        let bytes = serde_json::to_vec(&document).expect("a document is JSON").len();
        if bytes > MAX_DOCUMENT_BYTES {
            let market = market.market.market.clone();
            return Err(PricingError::DocumentTooLarge { market, country: country.clone() });
        }
    }
    Ok(())
}
