//! The order and its parts: what was placed, its buyer, its progress and its next check.

use shared::{clock::Timestamp, telemetry::Trace};

use super::{
    buyer::{Buyer, Customer},
    order_request::OrderRequest,
    placement::{PlacedOrder, Placement, PlacementError},
    product::Product,
    progress::Progress,
    schedule::{Schedule, Timing},
};

#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub placed: PlacedOrder,
    /// The personal data of the buyer, redacted when their account is deleted.
    pub customer: Customer,
    pub progress: Progress,
    /// When the order is checked next, and which commands have no answer.
    pub schedule: Schedule,
    /// The time of the last change that the buyer can see.
    pub updated_at: Timestamp,
    /// Incremented by every write.
    pub version: u64,
    /// The trace of the request or message that last changed the progress. A scheduled check keeps
    /// it, so a command that is sent again continues the trace of the first one.
    pub traceparent: Trace,
}

impl Order {
    /// Prices an order from the copy of the catalogue and places it.
    ///
    /// # Errors
    /// If a product is unknown or its quantity exceeds its limit, the currencies differ, or the
    /// total is too large or not the one that the buyer expected.
    pub fn place(
        placement: Placement,
        order_request: OrderRequest,
        products: &[Product],
        now: Timestamp,
        timing: Timing,
    ) -> Result<Self, PlacementError> {
        let placed = PlacedOrder::new(&placement, &order_request, products, now)?;
        let customer = Customer {
            buyer: Buyer::Known(placement.buyer),
            buyer_change: None,
            shipping_address: order_request.shipping_address,
            payment_method: order_request.payment_method,
            fingerprint: placement.fingerprint,
            network: placement.network,
        };
        Ok(Self::begin(placed, customer, placement.trace, timing))
    }

    /// The order as it was placed, which is the response to a repeated request. Only the personal
    /// data is current, because earlier or redacted data is not kept for replays.
    pub fn as_placed(&self, timing: Timing) -> Self {
        Self::begin(self.placed.clone(), self.customer.clone(), self.traceparent.clone(), timing)
    }

    fn begin(placed: PlacedOrder, customer: Customer, traceparent: Trace, timing: Timing) -> Self {
        let now = placed.created_at;
        Self {
            progress: Progress::begin(now),
            schedule: Schedule::begin(now, placed.expires_at, timing),
            placed,
            customer,
            updated_at: now,
            version: 1,
            traceparent,
        }
    }
}
