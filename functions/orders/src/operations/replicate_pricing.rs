//! Queue `replicate-pricing`: updates the copy of the pricing rules that orders are priced by.
//!
//! With its own copy, orders prices an order without a call to another service.

use std::sync::Arc;

use serde_json::Value;
use shared::{
    queue::{self, FromMessage, InvalidMessage, Received},
    table::TableError,
};

use crate::{Orders, domain::pricing::Pricing};

/// `pricing_changed.v1`: the present rules of a market for one country.
#[derive(Clone, Debug)]
pub struct PricingChanged {
    /// The part of the rules that this release can read.
    pricing: Pricing,
    /// The rules as JSON text, with the fields of later releases.
    document: String,
}

impl FromMessage for PricingChanged {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        let document = data["document"].to_string();
        let pricing = queue::read_as("pricing_changed.v1", kind, data)?;
        Ok(Self { pricing, document })
    }
}

/// Stores the document, unless the same or a newer version is stored. An unreadable document goes
/// to the dead-letter queue, and the version before it stays in use.
pub async fn replicate_pricing(
    orders: Arc<Orders>,
    received: Received<PricingChanged>,
) -> Result<(), TableError> {
    let PricingChanged { pricing, document } = received.message;
    orders.store.store_pricing(&pricing, document).await.map(drop)
}
