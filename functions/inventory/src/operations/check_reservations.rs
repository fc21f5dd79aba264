//! Every hour: names the orders that have held goods for too long.
//!
//! A reservation does not end by itself; only its order ends it. One that lasts for days means that an order is stuck, and its goods with it.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    clock::Clock,
    invoke::{self, Call, Tick},
    lambda::Failure,
    telemetry,
};

use crate::{Inventory, domain::reservation::State, store::HELD_TOO_LONG};

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    invoke::run(Inventory::from_env, check_reservations)
}

/// What one run found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Orders that have held goods for too long.
    pub held_too_long: u32,
    /// Whether there may be more than one run looks at.
    pub more: bool,
}

/// How many one run looks at. There should be none.
const AT_MOST: u32 = 100;

/// Looks at what the index finds, the longest held first. The index only finds: what is true stands in the reservation.
///
/// # Errors
/// When the table fails.
pub async fn check_reservations(inventory: Arc<Inventory>, _: Call<Tick>) -> Result<Report, Failure> {
    let failed = |error| Failure::because("ReservationsNotChecked", &error);
    let now = inventory.clock.now();
    let found = inventory.store.held_too_long(now, AT_MOST).await.map_err(failed)?;
    let mut report = Report { held_too_long: 0, more: found.len() >= usize::try_from(AT_MOST).unwrap_or(usize::MAX) };
    for order_id in found {
        let reservation = inventory.store.reservation_of(order_id).await.map_err(failed)?;
        let held = reservation.filter(|reservation| reservation.state == State::Held);
        if let Some(held) = held.filter(|held| now.since(held.created_at) >= HELD_TOO_LONG) {
            tracing::warn!(order.id = %order_id, held_since = %held.created_at, "an order has held goods for too long");
            telemetry::count("ReservationHeldTooLong", "inventory", &Clock::System);
            report.held_too_long += 1;
        }
    }
    Ok(report)
}
