//! `GET /orders/{order_id}`: one order, with its lines, its history and whether it can be paid.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::view::OrderView;
use crate::{Orders, error::OrderError};

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    http::run(Orders::from_env, get_order)
}

/// Answers `200` with the order to its buyer and to the shop; to everybody else there is no such order.
pub async fn get_order(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let order_id = request.path_id("order_id", "order")?;

    let order = orders.store.find(order_id).await?.filter(|order| caller.may_see(order.user_id)).ok_or(OrderError::NotFound)?;
    let now = orders.clock.now();
    let view = OrderView::new(&order, now);

    // Whether it can be paid changes with the time, and not with the version.
    let tag = order.version * 2 + u64::from(order.is_payable(now));
    Ok(http::ok(&view).etag(tag).unless_matching(request.header("if-none-match")))
}
