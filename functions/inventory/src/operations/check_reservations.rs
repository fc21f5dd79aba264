//! Every hour: names the orders that have held goods for too long.
//!
//! A reservation does not end by itself; only its order ends it. One that lasts for days means that
//! an order is stuck, and its goods with it.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use shared::{
    clock::{Clock, Timestamp},
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
    store::{self, HELD_TOO_LONG},
};

/// What one run found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Orders that have held goods for too long.
    pub held_too_long: u32,
    /// Reservations that could not be read: the log names each.
    pub failed: u32,
    /// Reservations that were found and that there was no time for.
    pub remaining: u32,
    /// Whether another run holds the lease: this one did nothing.
    pub already_running: bool,
}

/// How many reservations are read at the same time.
const CONCURRENCY: usize = 16;

/// What one reservation and the end of the run may take: two calls of DynamoDB with all their
/// tries.
const MIN_TIME_LEFT: Duration = Duration::from_secs(15);

/// Checks every reservation that the index finds, the longest held first. The index only finds
/// candidates; the reservation decides.
///
/// # Errors
/// When the lease cannot be taken or the index cannot be read.
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
        telemetry::count("SweepFailed", "inventory", &Clock::System);
    }
    Ok(Report {
        held_too_long: swept.unsettled,
        failed: swept.failed,
        remaining: swept.remaining,
        already_running: swept.already_running,
    })
}

/// Whether an order holds nothing, or not for too long. One that does is named.
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
    tracing::warn!(order.id = %order_id, held_since = %held.created_at, "an order has held goods for too long");
    telemetry::count("ReservationHeldTooLong", "inventory", &Clock::System);
    Ok(false)
}
