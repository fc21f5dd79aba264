//! Every minute: asks again for what unsettled orders owe, and gives up those that were not paid in time.
//!
//! The stream is the fast path; this is what makes it safe to lose a message.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde::Serialize;
use shared::{
    clock::{Clock, Timestamp},
    ids::OrderId,
    invoke::{self, Call, Tick},
    lambda::Failure,
    telemetry::{self, Trace},
};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    Orders,
    domain::{Order, saga::Event},
    error::OrderError,
    store::Saved,
};

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    invoke::run(Orders::from_env, resume_orders)
}

/// What one run did.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Orders that were moved on.
    pub resumed: u32,
    /// Orders that were found but no longer due, or that somebody else moved at the same time.
    pub passed_over: u32,
    /// Orders that could not be read or written; they stay due.
    pub failed: u32,
}

/// How many orders are found at once, and worked on at the same time.
const FOUND_AT_ONCE: u32 = 100;
const WORKED_ON_AT_ONCE: usize = 16;
/// What must be left of the function's time for another round.
const ENOUGH_TIME: Duration = Duration::from_secs(10);

/// Works through the due orders, until there are none or the time is up.
pub async fn resume_orders(orders: Arc<Orders>, call: Call<Tick>) -> Result<Report, Failure> {
    let (mut report, mut seen) = (Report::default(), BTreeSet::new());
    let (now, mut from, mut most) = (orders.clock.now(), Timestamp::from_milliseconds(0), FOUND_AT_ONCE);
    loop {
        let due = orders.store.due(from, now, most).await.map_err(|error| Failure::because("DueOrdersUnknown", &error))?;
        let fresh: Vec<OrderId> = due.iter().map(|due| due.order_id).filter(|order_id| seen.insert(*order_id)).collect();
        for group in fresh.chunks(WORKED_ON_AT_ONCE) {
            resume_group(&orders, group, now, &call.trace, &mut report).await;
        }
        let more = due.len() >= usize::try_from(most).unwrap_or(usize::MAX);
        if !more || call.deadline.since(Clock::System.now()) < ENOUGH_TIME {
            if report.failed > 0 {
                telemetry::count("SweepFailed", "orders", &Clock::System);
            }
            return Ok(report);
        }
        // On from the last one found: orders that cannot be moved stay due, and must not keep the others waiting. Where a whole page
        // of them is due since the same moment, the next page has to be larger.
        match due.last() {
            Some(last) if last.since > from => from = last.since,
            _ => most = most.saturating_mul(2),
        }
    }
}

async fn resume_group(orders: &Arc<Orders>, group: &[OrderId], now: Timestamp, trace: &Trace, report: &mut Report) {
    let mut running = JoinSet::new();
    for order_id in group {
        running.spawn(resume(orders.clone(), *order_id, now, trace.clone()).in_current_span());
    }
    while let Some(outcome) = running.join_next().await {
        match outcome {
            Ok(Ok(true)) => report.resumed += 1,
            Ok(Ok(false)) => report.passed_over += 1,
            Ok(Err(error)) => {
                tracing::error!(error = telemetry::causes(&error), "an order could not be resumed: it stays due");
                report.failed += 1;
            }
            Err(panic) => {
                tracing::error!(error = panic.to_string(), "resuming an order panicked: it stays due");
                report.failed += 1;
            }
        }
    }
}

/// One order: the deadline, if it has passed; otherwise a nudge. `false` if there was nothing to do.
async fn resume(orders: Arc<Orders>, order_id: OrderId, now: Timestamp, trace: Trace) -> Result<bool, OrderError> {
    let seen = orders.store.find(order_id).await?.ok_or(OrderError::NotFound)?;
    let order = &seen.order;
    if order.check_at.is_none_or(|check_at| check_at > now) {
        return Ok(false);
    }
    let next = match order.apply(&Event::Deadline, now, orders.timing)? {
        Some(expired) => Some(expired),
        None => order.apply(&Event::Nudge, now, orders.timing)?,
    };
    let Some(next) = next else { return Ok(false) };
    if next.is_stuck() {
        let unanswered: Vec<&str> = next.overdue_commands().map(|(owed, _)| owed.name(next.payment_method.is_some())).collect();
        let unanswered = unanswered.join(" ");
        tracing::warn!(order.id = %order_id, nudges = next.nudges, unanswered, "order does not move on, asking again");
        telemetry::count("NudgedWithoutProgress", "orders", &Clock::System);
    }
    match orders.save(&seen, &Order { traceparent: trace, ..next }).await? {
        Saved::Written => Ok(true),
        Saved::Overtaken(_) => Ok(false),
    }
}
