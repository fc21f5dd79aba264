//! Applies an event to a stored order and writes the result with optimistic locking.

use shared::{
    table::TableError,
    telemetry::{self, Trace},
};

use crate::{
    Orders,
    domain::{Order, saga::Event, unpaid::ReleasedLimits},
    error::OrderError,
    metrics,
    store::{StoredOrder, WriteOutcome},
};

/// Maximum number of attempts to apply an event when concurrent writes change the order first.
pub(crate) const MAX_WRITE_ATTEMPTS: u32 = 5;

impl Orders {
    /// Applies an event to an order and writes the result. Returns the new order, or the present
    /// one if the event changes nothing.
    ///
    /// # Errors
    /// If the order rejects the event, the table fails, or a concurrent write came first at every
    /// attempt.
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
                    if next.progress.review_reasons().any(|reason| {
                        !seen.order.progress.review_reasons().any(|known| known == reason)
                    }) {
                        metrics::NEEDS_REVIEW.increment();
                    }
                    return Ok(next);
                }
                WriteOutcome::VersionConflict(current) => seen = *current,
            }
        }
        Err(OrderError::Contended)
    }

    /// Replaces `seen` by `next`. An order that is no longer unpaid stops counting against its
    /// buyer and, if it is paid, against its network.
    ///
    /// Removes the buyer's entry before writing the order, so a buyer who sees a paid order can
    /// place the next one. A failed removal is only logged and counted: the buyer's entry expires
    /// at its deadline, and the network's charge expires over time.
    pub(crate) async fn save(
        &self,
        seen: &StoredOrder,
        next: &Order,
    ) -> Result<WriteOutcome, OrderError> {
        let ReleasedLimits { buyer, network } = seen.order.released_limits(next);
        if buyer {
            log_failed_release(
                self.store.remove_unpaid_order(next).await,
                "failed to release the buyer's limit, order counts until its payment deadline",
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
                "failed to release the network's limit, order counts until the limit recovers",
            );
        }
        Ok(saved)
    }
}

/// Logs and counts a failure to release a limit; see [`Orders::save`].
fn log_failed_release(removal: Result<(), TableError>, event: &str) {
    if let Err(error) = removal {
        tracing::warn!(error = telemetry::causes(&error), "{event}");
        metrics::LIMIT_RELEASE_FAILED.increment();
    }
}
