//! Queue `compile-market`: compiles the documents of a market, from which orders are priced.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::{
    market::MarketId,
    queue::{self, FromMessage, InvalidMessage, Received},
    table::TableError,
};

use crate::Pricing;

/// `compile_market.v1`: a market, or one of its rules, has changed.
#[derive(Clone, Debug, Deserialize)]
pub struct CompileMarket {
    market: MarketId,
}

impl FromMessage for CompileMarket {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        queue::read_as("compile_market.v1", kind, data)
    }
}

/// Reads the market as a whole, and stores a document for each country that it serves or has
/// served. A stored document of the same or a newer version is kept, so late and repeated messages
/// change nothing.
pub async fn compile_market(
    pricing: Arc<Pricing>,
    received: Received<CompileMarket>,
) -> Result<(), TableError> {
    let CompileMarket { market } = received.message;
    let Some(whole) = pricing.store.whole(&market).await? else {
        tracing::error!(%market, "unknown market, nothing compiled");
        return Ok(());
    };
    for document in whole.compile(pricing.clock.now(), &received.trace) {
        pricing.store.put_document(&document).await?;
    }
    Ok(())
}
