//! `POST /orders/{order_id}/cancel`: gives an order up, whatever it is at: waiting for its stock,
//! its payment, or its parcel.
//!
//! This only turns the order round. Its stream then has the stock given back and the payment
//! stopped or refunded, each on its own; the order is `cancelled` when both have happened.

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

/// What may be sent along.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct CancelOrder {
    #[serde(default)]
    reason: Option<CancelReason>,
}

/// Answers `202` with the order, and so it does again when the order is given up already: read it
/// until its status is `cancelled`. What was shipped or has failed is not given up any more.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/orders/{order_id}/cancel",
    params(("order_id" = shared::ids::OrderId, Path, description = "The order.")),
    request_body = Option<CancelOrder>,
    responses((status = 202, description = "The order, which is given up: read it again until it is `cancelled`.", body = OrderView)),
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
