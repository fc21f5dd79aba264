//! Every minute: asks again for what unsettled orders owe, and gives up those that were not paid in
//! time.
//!
//! The stream is the fast path; this is what makes it safe to lose a message.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use shared::{
    clock::Clock,
    ids::OrderId,
    invoke::{Call, ScheduledEvent},
    lambda::Failure,
    sweep::Sweep,
    table::Item,
    telemetry::{self, Trace},
};

use crate::{
    Orders,
    domain::{Order, saga::Event},
    error::OrderError,
    store::{self, WriteOutcome},
};

/// What one run did.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Orders that were moved on.
    pub resumed: u32,
    /// Orders that were found but no longer due, or that somebody else moved at the same time.
    pub skipped: u32,
    /// Orders that could not be read or written; they stay due.
    pub failed: u32,
    /// Orders that were found and that there was no time for.
    pub remaining: u32,
    /// Whether another run holds the lease: this one did nothing.
    pub already_running: bool,
}

/// How many orders are worked on at the same time. An order is a read and a write of two different
/// items, so that no partition gets hot.
const CONCURRENCY: usize = 16;

/// What one order and the end of the run may take: three calls of DynamoDB with all their tries,
/// and some time to spare.
const MIN_TIME_LEFT: Duration = Duration::from_secs(20);

/// Works through the orders that are due, the longest overdue first, until there are none or the
/// time is up.
///
/// # Errors
/// When the lease cannot be taken or the index cannot be read.
pub async fn resume_orders(
    orders: Arc<Orders>,
    call: Call<ScheduledEvent>,
) -> Result<Report, Failure> {
    let sweep = Sweep {
        lease: orders.store.lease(),
        backlog: orders.store.due(orders.clock.now()),
        clock: &orders.clock,
        deadline: call.deadline,
        concurrency: CONCURRENCY,
        min_time_left: MIN_TIME_LEFT,
    };
    let resumed = |found: Item| -> shared::BoxFuture<'static, _> {
        let (orders, trace) = (orders.clone(), call.trace.clone());
        Box::pin(async move { Ok(resume(orders, store::due_order_id(&found)?, trace).await?) })
    };
    let swept = sweep.run(&resumed).await?;
    if swept.failed > 0 {
        telemetry::count("SweepFailed", "orders", &Clock::System);
    }
    Ok(Report {
        resumed: swept.settled,
        skipped: swept.unsettled,
        failed: swept.failed,
        remaining: swept.remaining,
        already_running: swept.already_running,
    })
}

/// One order: the deadline, if it has passed; otherwise a nudge. `false` if there was nothing to
/// do.
///
/// The time is that of this order's turn: a run may take minutes, and a check that is planned from
/// its beginning would be due at once.
async fn resume(orders: Arc<Orders>, order_id: OrderId, trace: Trace) -> Result<bool, OrderError> {
    let seen = orders.store.find(order_id).await?.ok_or(OrderError::NotFound)?;
    let now = orders.clock.now();
    let order = &seen.order;
    if order.schedule.next_check_at.is_none_or(|next_check_at| next_check_at > now) {
        return Ok(false);
    }
    let next = match order.apply(&Event::Deadline, now, orders.timing)? {
        Some(expired) => Some(expired),
        None => order.apply(&Event::Retry, now, orders.timing)?,
    };
    let Some(next) = next else { return Ok(false) };
    if next.is_stuck() {
        let unanswered: Vec<&str> = next
            .overdue_commands()
            .map(|(command, _)| command.name(next.customer.payment_method.is_some()))
            .collect();
        let unanswered = unanswered.join(" ");
        tracing::warn!(order.id = %order_id, retries = next.schedule.retries, unanswered, "order does not move on, asking again");
        telemetry::count("RetriesExhausted", "orders", &Clock::System);
    }
    match orders.save(&seen, &Order { traceparent: trace, ..next }).await? {
        WriteOutcome::Written => Ok(true),
        WriteOutcome::VersionConflict(_) => Ok(false),
    }
}
