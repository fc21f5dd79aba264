//! Moves a stored order on: an event is applied, and the next order is written in place of the one
//! that was read.

use shared::{
    clock::Clock,
    table::TableError,
    telemetry::{self, Trace},
};

use crate::{
    Orders,
    domain::{Order, saga::Event, unpaid::ReleasedLimits},
    error::OrderError,
    store::{StoredOrder, WriteOutcome},
};

/// How often an event is applied anew because another write came first.
pub(crate) const MAX_WRITE_ATTEMPTS: u32 = 5;

impl Orders {
    /// Applies the event to an order and writes it. Returns the order as it is then: the same as
    /// before, if the event changes nothing.
    ///
    /// # Errors
    /// When the order does not take the event, the table fails, or another write came first each
    /// time.
    pub(crate) async fn advance(
        &self,
        mut seen: StoredOrder,
        event: &Event,
        trace: &Trace,
    ) -> Result<Order, OrderError> {
        for _ in 0..MAX_WRITE_ATTEMPTS {
            let Some(next) = seen.order.apply(event, self.clock.now(), self.timing)? else {
                return Ok(seen.order);
            };
            let next = Order { traceparent: trace.clone(), ..next };
            match self.save(&seen, &next).await? {
                WriteOutcome::Written => {
                    if next.progress.review_reasons().any(|what| {
                        !seen.order.progress.review_reasons().any(|known| known == what)
                    }) {
                        telemetry::count("NeedsReview", "orders", &Clock::System);
                    }
                    return Ok(next);
                }
                WriteOutcome::VersionConflict(current) => seen = *current,
            }
        }
        Err(OrderError::Contended)
    }

    /// Writes `next` in place of `seen`. An order that is no longer unpaid stops counting against
    /// its buyer and, once it is paid, against its network.
    ///
    /// The buyer's entry goes first, so that a buyer who reads that an order is paid can place the
    /// next one. Neither is needed for the order itself: where a removal fails, the entry ends with
    /// its deadline and the network's charge with time.
    pub(crate) async fn save(
        &self,
        seen: &StoredOrder,
        next: &Order,
    ) -> Result<WriteOutcome, OrderError> {
        let ReleasedLimits { buyer, network } = seen.order.released_limits(next);
        if buyer {
            log_failed_release(
                self.store.remove_unpaid_order(next).await,
                "an order that is no longer unpaid counts against its buyer until its deadline",
            );
        }
        let saved = self.store.replace(seen, next).await?;
        if let (WriteOutcome::Written, Some(network)) = (&saved, network) {
            let refunded = self
                .store
                .refund_network_limit(&network, self.limits.network, self.clock.now())
                .await;
            log_failed_release(
                refunded,
                "a paid order counts against its network until the limit recovers",
            );
        }
        Ok(saved)
    }
}

/// Logs and counts a removal that failed; see [`Orders::save`].
fn log_failed_release(removal: Result<(), TableError>, what: &str) {
    if let Err(error) = removal {
        tracing::warn!(error = telemetry::causes(&error), "{what}");
        telemetry::count("LimitReleaseFailed", "orders", &Clock::System);
    }
}
