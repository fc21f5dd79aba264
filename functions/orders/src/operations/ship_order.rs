//! `POST /orders/{order_id}/ship`: marks an order as shipped and notifies its buyer by mail.
//!
//! An order can ship as soon as it is `confirmed`, while `commit_stock` is still pending. Scheduled
//! checks re-send the command until inventory answers.

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
        actions::{Shipment, ShippingText},
        saga::Event,
    },
    error::OrderError,
};

/// The carrier and its tracking number.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct ShipOrder {
    carrier: ShippingText,
    tracking: ShippingText,
}

/// Marks an order as shipped and returns `200` with it. An order can ship as soon as it is
/// `confirmed`. Repeating the same shipment changes nothing. Rejects a different shipment, and an
/// order that ships nothing, with `409 invalid_transition`.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/orders/{order_id}/ship",
    params(("order_id" = shared::ids::OrderId, Path, description = "The order.")),
    request_body = ShipOrder,
    responses((status = 200, description = "The shipped order.", body = OrderView)),
    security(("bearer" = [])),
    extensions(
        ("x-roles" = json!(["admin"])),
        ("x-problems" = json!(["order_not_found", "invalid_transition", "no_shipping_address"])),
    ),
))]
pub async fn ship_order(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    request.admin()?;
    let order_id = request.path_id("order_id", "order")?;
    let ShipOrder { carrier, tracking } = request.json()?;

    let order = orders.store.find(order_id).await?.ok_or(OrderError::NotFound)?;
    let order = orders
        .advance(order, &Event::Ship(Shipment { carrier, tracking }), request.trace())
        .await?;

    Ok(http::ok(&OrderView::new(&order, orders.clock.now())))
}
