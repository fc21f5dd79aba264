//! `GET /orders/{order_id}/timeline`: returns the history of an order in time order, and what it
//! waits for now.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    clock::Timestamp,
    http::{self, Request, Response},
    ids::OrderId,
    problem::Problem,
};

use super::view::HistoryEntryView;
use crate::{
    Orders,
    domain::{Order, history::HistoryEntry, waiting::Waiting},
    error::OrderError,
};

/// The history of an order: what happened, how long each step took, and what the order waits for now.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct OrderTimeline<'a> {
    order_id: OrderId,
    /// When the timeline was read.
    as_of: Timestamp,
    #[cfg_attr(feature = "api-document", schema(value_type = crate::domain::Status))]
    status: &'a str,
    /// Whether stock and payment have reached the order's goal. No command is pending then.
    settled: bool,
    /// The trace of the request that last changed the order. Log lines, messages, the provider's
    /// records and mails about the order have it.
    trace_id: &'a str,
    /// What happened, oldest first.
    entries: Vec<TimelineEntry<'a>>,
    /// The number of entries removed from the middle.
    entries_omitted: u32,
    /// Who has to act before the order continues. Empty if the order continues by itself or is
    /// finished.
    waiting_for: Vec<TimelineWait<'a>>,
    /// How often the pending commands were sent again, in total.
    commands_sent_again: u64,
    /// Scheduled checks since the order last changed its state.
    checks_without_progress: u32,
    /// When the order is checked next. Null if no command is pending.
    next_check_at: Option<Timestamp>,
}

/// An event in the history of the order, with the time that it took.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct TimelineEntry<'a> {
    #[serde(flatten)]
    entry: HistoryEntryView<'a>,
    /// Milliseconds since the previous entry.
    waited_ms: u64,
}

/// Who has to act, and when they are asked again.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct TimelineWait<'a> {
    #[cfg_attr(feature = "api-document", schema(value_type = Party))]
    party: &'static str,
    /// The command without an answer. Null for an operator.
    #[cfg_attr(feature = "api-document", schema(value_type = Option<super::view::Command>))]
    command: Option<&'static str>,
    /// Why an operator has to review the order. Null otherwise.
    reason: Option<&'a str>,
    /// When the command became pending, or was last answered. Null for the buyer and an operator.
    since: Option<Timestamp>,
    /// Scheduled checks that found no answer.
    checks: u32,
    /// When the command is sent again. Null for an operator.
    next_check_at: Option<Timestamp>,
    /// The payment deadline, if the order waits for its buyer. Null otherwise.
    until: Option<Timestamp>,
}

impl<'a> OrderTimeline<'a> {
    fn new(order: &'a Order, now: Timestamp) -> Self {
        let mut previous = order.placed.created_at;
        let timeline_entry = |entry: &'a HistoryEntry| {
            let waited = entry.at.since(std::mem::replace(&mut previous, entry.at));
            TimelineEntry {
                entry: HistoryEntryView::new(entry, order),
                waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            }
        };
        Self {
            order_id: order.placed.order_id,
            as_of: now,
            status: order.progress.status.name(),
            settled: order.progress.is_settled(),
            trace_id: order.traceparent.id(),
            entries: order.progress.history.iter().map(timeline_entry).collect(),
            entries_omitted: order.progress.history_omitted,
            waiting_for: order.waiting().iter().map(TimelineWait::from).collect(),
            commands_sent_again: order.schedule.attempt,
            checks_without_progress: order.schedule.retries,
            next_check_at: order.schedule.next_check_at,
        }
    }
}

impl<'a> From<&Waiting<'a>> for TimelineWait<'a> {
    fn from(waiting: &Waiting<'a>) -> Self {
        Self {
            party: waiting.party.name(),
            command: waiting.command,
            reason: waiting.reason,
            since: waiting.since,
            checks: waiting.checks,
            next_check_at: waiting.next_check_at,
            until: waiting.until,
        }
    }
}

/// See [`crate::domain::waiting::Party`].
#[cfg(feature = "api-document")]
#[derive(utoipa::ToSchema)]
#[schema(as = OrderParty, rename_all = "snake_case", description = "Who has to act before the order continues.")]
#[expect(dead_code, reason = "the views use the names")]
enum Party {
    Inventory,
    Payments,
    Buyer,
    Operator,
}

/// Returns `200` with the history of an order in time order, from its record alone: its history, its
/// pending commands, how often they were sent, and when they are sent again.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/orders/{order_id}/timeline",
    params(("order_id" = shared::ids::OrderId, Path, description = "The order.")),
    responses((status = 200, description = "The timeline of the order.", body = OrderTimeline)),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["order_not_found"]))),
))]
pub async fn get_order_timeline(
    orders: Arc<Orders>,
    request: Request,
) -> Result<Response, Problem> {
    request.admin()?;
    let order_id = request.path_id("order_id", "order")?;

    let order = orders.store.find(order_id).await?.ok_or(OrderError::NotFound)?.order;

    Ok(http::ok(&OrderTimeline::new(&order, orders.clock.now())))
}
