//! Moves a stored order on: an event is applied, and the next order is written in place of the one that was read.

use shared::{
    clock::Clock,
    table::TableError,
    telemetry::{self, Trace},
};

use crate::{
    Orders,
    domain::{Order, saga::Event, unpaid::Freed},
    error::OrderError,
    store::{Saved, Stored},
};

/// How often an event is applied anew because another write came first.
pub(crate) const ATTEMPTS: u32 = 5;

impl Orders {
    /// Applies the event to an order and writes it. Returns the order as it is then: the same as before, if the event changes nothing.
    ///
    /// # Errors
    /// When the order does not take the event, the table fails, or another write came first each time.
    pub(crate) async fn advance(&self, mut seen: Stored, event: &Event, trace: &Trace) -> Result<Order, OrderError> {
        for _ in 0..ATTEMPTS {
            let Some(next) = seen.order.apply(event, self.clock.now(), self.timing)? else { return Ok(seen.order) };
            let next = Order { traceparent: trace.clone(), ..next };
            match self.save(&seen, &next).await? {
                Saved::Written => {
                    if next.progress.attentions().any(|what| !seen.order.progress.attentions().any(|known| known == what)) {
                        telemetry::count("NeedsAttention", "orders", &Clock::System);
                    }
                    return Ok(next);
                }
                Saved::VersionConflict(current) => seen = *current,
            }
        }
        Err(OrderError::Contended)
    }

    /// Writes `next` in place of `seen`. An order that is no longer unpaid stops counting against its buyer and, once it is paid, against its
    /// network.
    ///
    /// The buyer's entry goes first, so that a buyer who reads that an order is paid can place the next one. Neither is needed for the order
    /// itself: where a removal fails, the entry ends with its deadline and the network's charge with time.
    pub(crate) async fn save(&self, seen: &Stored, next: &Order) -> Result<Saved, OrderError> {
        let Freed { buyer, network } = seen.order.frees(next);
        if buyer {
            kept(self.store.free_buyer(next).await, "an order that is no longer unpaid counts against its buyer until its deadline");
        }
        let saved = self.store.replace(seen, next).await?;
        if let (Saved::Written, Some(network)) = (&saved, network) {
            let refunded = self.store.refund_network(&network, self.limits.network, self.clock.now()).await;
            kept(refunded, "a paid order counts against its network until the limit recovers");
        }
        Ok(saved)
    }
}

/// Logs and counts a removal that failed; see [`Orders::save`].
fn kept(removal: Result<(), TableError>, what: &str) {
    if let Err(error) = removal {
        tracing::warn!(error = telemetry::causes(&error), "{what}");
        telemetry::count("UnpaidOrderKept", "orders", &Clock::System);
    }
}
