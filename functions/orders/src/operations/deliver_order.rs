//! `POST /orders/{order_id}/deliver`: marks an order as delivered, a final status.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::view::OrderView;
use crate::{Orders, domain::saga::Event, error::OrderError};

/// Marks an order as delivered and returns `200` with it: an order that has shipped, or one that
/// ships nothing and whose stock is committed. Repeating the request changes nothing.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/orders/{order_id}/deliver",
    params(("order_id" = shared::ids::OrderId, Path, description = "The order.")),
    responses((status = 200, description = "The delivered order.", body = OrderView)),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["order_not_found", "invalid_transition"]))),
))]
pub async fn deliver_order(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    request.admin()?;
    let order_id = request.path_id("order_id", "order")?;

    let order = orders.store.find(order_id).await?.ok_or(OrderError::NotFound)?;
    let order = orders.advance(order, &Event::Deliver, request.trace()).await?;

    Ok(http::ok(&OrderView::new(&order, orders.clock.now())))
}
