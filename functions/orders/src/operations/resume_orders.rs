//! Every minute: re-sends pending commands, and cancels orders past their payment deadline.
//!
//! The stream publishes each command as soon as it is pending. If the message is lost, this sweep
//! sends it again.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use shared::{
    ids::OrderId,
    invoke::{Call, ScheduledEvent},
    lambda::Failure,
    sweep::{LongestWait, Sweep},
    table::Item,
    telemetry,
};
use tracing::Instrument;

use crate::{
    Orders,
    domain::{Order, saga::Event},
    error::OrderError,
    metrics,
    store::{self, StoredOrder, WriteOutcome},
};

#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Orders that the run expired, or whose commands it sent again.
    pub resumed: u32,
    /// Orders that were no longer due, or that a concurrent write changed.
    pub skipped: u32,
    /// Orders that could not be read or written. They stay due.
    pub failed: u32,
    /// Due orders that the run did not reach in time.
    pub remaining: u32,
    /// Whether another run holds the lease. This run then does nothing.
    pub already_running: bool,
}

/// Orders processed concurrently. Each order has its own partition key, so no partition becomes
/// hot.
const CONCURRENCY: usize = 16;

/// Minimum time left to start another order: three DynamoDB calls with all their retries, and a
/// margin.
const MIN_TIME_LEFT: Duration = Duration::from_secs(20);

/// Processes the due orders, longest overdue first, until no due order remains or the time runs
/// out.
///
/// # Errors
/// If the lease cannot be acquired or the index cannot be read.
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
    let longest_wait = LongestWait::default();
    let resumed = |found: Item| -> shared::BoxFuture<'static, _> {
        let (orders, longest_wait) = (orders.clone(), longest_wait.clone());
        Box::pin(
            async move { Ok(resume(orders, store::due_order_id(&found)?, &longest_wait).await?) },
        )
    };
    let swept = sweep.run(&resumed).await?;
    if swept.failed > 0 {
        metrics::SWEEP_FAILED.increment();
    }
    if !swept.already_running {
        metrics::OLDEST_UNSETTLED_ORDER_SECONDS.lasting(longest_wait.get()).record();
    }
    Ok(Report {
        resumed: swept.settled,
        skipped: swept.unsettled,
        failed: swept.failed,
        remaining: swept.remaining,
        already_running: swept.already_running,
    })
}

/// Expires one order if its payment deadline has passed; otherwise sends its pending commands
/// again. Returns `false` if the order was not due, did not change, or was changed by a concurrent
/// write.
///
/// The commands continue the order's own trace, which the run's log lines about it also have.
async fn resume(
    orders: Arc<Orders>,
    order_id: OrderId,
    longest_wait: &LongestWait,
) -> Result<bool, OrderError> {
    let seen = orders.store.find(order_id).await?.ok_or(OrderError::NotFound)?;
    let span = telemetry::record_span(&order_id, &seen.order.traceparent);
    resume_found(&orders, &seen, longest_wait).instrument(span).await
}

/// Reads the clock for each order, not once per run: a run may take minutes, and a check scheduled
/// from its start would be due at once.
async fn resume_found(
    orders: &Orders,
    seen: &StoredOrder,
    longest_wait: &LongestWait,
) -> Result<bool, OrderError> {
    let now = orders.clock.now();
    let order = &seen.order;
    if let Some(since) = order.waits_since() {
        longest_wait.include(now.since(since));
    }
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
        tracing::warn!(
            retries = next.schedule.retries,
            unanswered,
            "order is stuck, sending its commands again"
        );
        metrics::RETRIES_EXHAUSTED.increment();
    }
    match orders.save(seen, &next).await? {
        WriteOutcome::Written => {
            log_resumed(order, &next);
            Ok(true)
        }
        WriteOutcome::VersionConflict(_) => Ok(false),
    }
}

/// Logs what the publisher sends for this order, and when its commands are due again.
fn log_resumed(order: &Order, next: &Order) {
    let has_method = next.customer.payment_method.is_some();
    let commands: Vec<&str> = next
        .progress
        .pending_commands()
        .into_iter()
        .map(|command| command.name(has_method))
        .collect();
    let next_check_at = next.schedule.next_check_at.map(|time| time.to_string());
    let is_expired = next.schedule.attempt == order.schedule.attempt;
    tracing::info!(
        r#type = "sweep",
        message_type = commands.join(" "),
        attempt = next.schedule.attempt,
        retries = next.schedule.retries,
        next_check_at,
        "{}",
        if is_expired { "payment deadline passed, order cancelled" } else { "commands sent again" }
    );
}
