//! `POST /orders/{order_id}/cancel`: cancels an order that has not shipped.
//!
//! The request only changes the goal of the order. The table's stream then publishes the commands
//! that compensate it: inventory releases the stock, and payments closes or refunds the payment.
//! Both run independently. The order becomes `cancelled` when both are done.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::view::OrderView;
use crate::{
    Orders,
    domain::{
        actions::{Actor, CancelReason, Cancellation},
        saga::Event,
    },
};

/// The optional body of the request.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct CancelOrder {
    #[serde(default)]
    reason: Option<CancelReason>,
}

/// Cancels an order and returns `202` with it. Its stock and its payment are compensated
/// asynchronously: read the order until its status is `cancelled`. A repeated cancellation returns
/// `202` again. A shipped or failed order is rejected with `409 not_cancellable`.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/orders/{order_id}/cancel",
    params(("order_id" = shared::ids::OrderId, Path, description = "The order.")),
    request_body = Option<CancelOrder>,
    responses((status = 202, description = "The order. Read it until its status is `cancelled`.", body = OrderView)),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["owner", "admin"])), ("x-problems" = json!(["order_not_found", "not_cancellable"]))),
))]
pub async fn cancel_order(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let order_id = request.path_id("order_id", "order")?;
    let has_body = !request.body()?.iter().all(u8::is_ascii_whitespace);
    let body = if has_body { request.json::<Option<CancelOrder>>()? } else { None };
    let reason = body.and_then(|body| body.reason);

    let order = orders.store.find_for(&caller, order_id).await?;
    let by =
        if order.order.placed.user_id == caller.user_id { Actor::Customer } else { Actor::Admin };
    let order =
        orders.advance(order, &Event::Cancel(Cancellation { by, reason }), request.trace()).await?;

    Ok(http::accepted(&OrderView::new(&order, orders.clock.now())))
}
