//! Applies an event to a stored order and writes the result with optimistic locking.

use shared::telemetry::{self, Trace};

use crate::{
    Orders,
    domain::{Order, saga::Event},
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

    /// Replaces `seen` by `next`. An order that is now paid refunds the limit of its network.
    ///
    /// A failed refund is only logged and counted: the network's charge expires over time.
    pub(crate) async fn save(
        &self,
        seen: &StoredOrder,
        next: &Order,
    ) -> Result<WriteOutcome, OrderError> {
        let saved = self.store.replace(seen, next).await?;
        if let (WriteOutcome::Written, Some(network)) = (&saved, seen.order.refunded_network(next))
            && let Err(error) = self
                .store
                .refund_network_limit(network, self.limits.network, self.clock.now())
                .await
        {
            tracing::warn!(
                error = telemetry::causes(&error),
                "failed to refund the network's limit, order counts until the limit recovers"
            );
            metrics::LIMIT_RELEASE_FAILED.increment();
        }
        Ok(saved)
    }
}
