//! Schedule: reports orders that have held stock for too long.
//!
//! A reservation never expires; only its order ends it. One that lasts for days shows that its
//! order is stuck.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::OrderId,
    invoke::{Call, ScheduledEvent},
    lambda::Failure,
    sweep::Sweep,
    table::{Item, TableError},
    telemetry,
};

use crate::{
    Inventory,
    domain::reservation::State,
    metrics,
    store::{self, HELD_TOO_LONG},
};

#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Orders that have held stock for at least [`HELD_TOO_LONG`].
    pub held_too_long: u32,
    /// Reservations that could not be read. Each one is logged.
    pub failed: u32,
    /// Due reservations that the run had no time to check.
    pub remaining: u32,
    /// Whether another run held the lease, so that this one did nothing.
    pub already_running: bool,
}

/// Reservations that are read at the same time.
const CONCURRENCY: usize = 16;

/// Time reserved for one reservation and the end of the run: two DynamoDB calls with all their
/// retries.
const MIN_TIME_LEFT: Duration = Duration::from_secs(15);

/// Checks every reservation that the index finds, the longest held first. The index only finds
/// candidates; the reservation decides.
///
/// # Errors
/// When the lease cannot be acquired or the index cannot be read.
pub async fn check_reservations(
    inventory: Arc<Inventory>,
    call: Call<ScheduledEvent>,
) -> Result<Report, Failure> {
    let now = inventory.clock.now();
    let sweep = Sweep {
        lease: inventory.store.lease(),
        backlog: inventory.store.held_too_long(now),
        clock: &inventory.clock,
        deadline: call.deadline,
        concurrency: CONCURRENCY,
        min_time_left: MIN_TIME_LEFT,
    };
    let checked = |found: Item| -> shared::BoxFuture<'static, _> {
        let inventory = inventory.clone();
        Box::pin(async move { Ok(check(&inventory, store::held_order_id(&found)?, now).await?) })
    };
    let swept = sweep.run(&checked).await?;
    if swept.failed > 0 {
        metrics::SWEEP_FAILED.increment();
    }
    Ok(Report {
        held_too_long: swept.unsettled,
        failed: swept.failed,
        remaining: swept.remaining,
        already_running: swept.already_running,
    })
}

/// Whether an order holds no stock, or has held it for less than [`HELD_TOO_LONG`]. An order past
/// that limit is logged and counted.
async fn check(
    inventory: &Inventory,
    order_id: OrderId,
    now: Timestamp,
) -> Result<bool, TableError> {
    let reservation = inventory.store.reservation_of(order_id).await?;
    let held = reservation.filter(|reservation| reservation.state == State::Held);
    let Some(held) = held.filter(|held| now.since(held.created_at) >= HELD_TOO_LONG) else {
        return Ok(true);
    };
    telemetry::record_span(&order_id, &held.traceparent).in_scope(|| {
        tracing::warn!(
            r#type = "sweep",
            held_since = %held.created_at,
            "stock has been reserved for too long"
        );
    });
    metrics::RESERVATION_HELD_TOO_LONG.increment();
    Ok(false)
}
