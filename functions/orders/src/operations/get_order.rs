//! `GET /orders/{order_id}`: returns an order with its lines and its history.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::view::{OrderView, entity_tag};
use crate::Orders;

/// Returns `200` with the order to its buyer and to admins. Other callers get `404`, so the
/// response does not reveal whether the order exists.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/orders/{order_id}",
    params(("order_id" = shared::ids::OrderId, Path, description = "The order."), shared::api_document::IfNoneMatch),
    responses(
        (status = 200, description = "The order.", body = OrderView, headers(("ETag"), ("Cache-Control"))),
        (status = 304, description = "Nothing has changed since that version.", headers(("ETag"), ("Cache-Control"))),
    ),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["owner", "admin"])), ("x-problems" = json!(["order_not_found"]))),
))]
pub async fn get_order(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let order_id = request.path_id("order_id", "order")?;

    let order = orders.store.find_for(&caller, order_id).await?.order;
    let now = orders.clock.now();
    let view = OrderView::new(&order, now);

    let answer = http::ok(&view).etag(entity_tag(&order, now)).cached("private, no-cache");
    Ok(answer.unless_matching(request.header("if-none-match")))
}
