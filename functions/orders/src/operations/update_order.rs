//! `PATCH /orders/{order_id}`: changes the shipping address of an order that has not shipped.
//!
//! The change is an event of the order's state machine, written on condition of the version that
//! the caller has seen. It is not repeated after a concurrent write: an order that ships first
//! keeps its address.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    address::Address,
    http::{self, Request, Response},
    problem::Problem,
};

use super::view::{OrderView, entity_tag};
use crate::{
    Orders,
    domain::{
        Order,
        actions::{Actor, AddressChange},
        saga::Event,
    },
    error::OrderError,
    store::WriteOutcome,
};

/// A change of an order.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct UpdateOrder {
    /// Replaces the whole address.
    shipping_address: Address,
}

/// Changes the shipping address and returns `200` with the order. The order must be pending or
/// confirmed, and its price must be the same at the new address: the country stays. The buyer of a
/// confirmed order is notified by mail. An order that ships nothing rejects a change with
/// `409 invalid_transition`.
///
/// # Errors
/// `428` without `If-Match`; `412` if the order has changed since, for example because it shipped.
#[cfg_attr(feature = "api-document", utoipa::path(
    patch,
    path = "/orders/{order_id}",
    params(("order_id" = shared::ids::OrderId, Path, description = "The order."), shared::api_document::IfMatch),
    request_body = UpdateOrder,
    responses((status = 200, description = "The order as it is now.", body = OrderView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(
        ("x-roles" = json!(["owner", "admin"])),
        ("x-problems" = json!(["order_not_found", "invalid_transition", "price_would_change", "too_many_address_changes"])),
    ),
))]
pub async fn update_order(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let order_id = request.path_id("order_id", "order")?;
    let seen_tag = request.if_match()?;
    let UpdateOrder { shipping_address } = request.json()?;

    let seen = orders.store.find_for(&caller, order_id).await?;
    let now = orders.clock.now();
    let mismatch = |order: &Order| OrderError::VersionMismatch { current: entity_tag(order, now) };
    if entity_tag(&seen.order, now) != seen_tag {
        return Err(mismatch(&seen.order).into());
    }
    let by =
        if seen.order.placed.user_id == caller.user_id { Actor::Customer } else { Actor::Admin };
    let event = Event::ChangeAddress(AddressChange { by, shipping_address });
    let changed = seen.order.apply(&event, now, orders.timing).map_err(OrderError::from)?;
    let order = match changed {
        None => seen.order,
        Some(next) => {
            let next = Order { traceparent: request.trace().clone(), ..next };
            match orders.save(&seen, &next).await? {
                WriteOutcome::Written => next,
                WriteOutcome::VersionConflict(current) => {
                    return Err(mismatch(&current.order).into());
                }
            }
        }
    };

    Ok(http::ok(&OrderView::new(&order, now)).etag(entity_tag(&order, now)))
}
