//! `POST /orders`: places an order.
//!
//! The order is the whole effect: one conditional write. Its stream then asks inventory to hold the stock, and payments to charge, if
//! a payment method came along.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids,
    problem::Problem,
};

use super::view::OrderView;
use crate::{
    Orders,
    domain::{Order, Placement, basket::Basket, buyer::Contact},
    error::OrderError,
};

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    http::run(Orders::from_env, create_order)
}

/// Answers `201` with the order; a repeated `Idempotency-Key` answers the first result again.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/orders",
    params(http::IdempotencyKey),
    request_body = Basket,
    responses((status = 201, description = "The order.", body = OrderView)),
    security(("bearer" = [])),
    extensions(
        ("x-roles" = json!(["user", "admin"])),
        ("x-problems" = json!(["price_changed", "unknown_product", "currency_mismatch", "amount_too_large"])),
    ),
))]
pub async fn create_order(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let buyer = request.caller()?;
    let key = request.idempotency_key()?;
    let basket: Basket = request.json()?;

    let order_id = key.derive_id(&buyer, "create-order");
    let fingerprint = ids::fingerprint(&basket);
    let (earlier, products) = orders.store.earlier_and_products(order_id, &basket.products()).await?;
    if let Some(order) = earlier {
        return replay(&request, &order, &fingerprint);
    }
    let placement = Placement {
        order_id,
        user_id: buyer.user_id,
        buyer: Contact { name: buyer.name, email: buyer.email, version: 0 },
        fingerprint: fingerprint.clone(),
        trace: request.trace().clone(),
    };
    let order = Order::place(placement, basket, &products, orders.clock.now(), orders.timing)?;
    if let Some(order) = orders.store.insert_once(&order).await? {
        return replay(&request, &order, &fingerprint);
    }
    Ok(created(&request, &order))
}

/// The first answer again, byte for byte, if this is the same request.
fn replay(request: &Request, order: &Order, fingerprint: &str) -> Result<Response, Problem> {
    if order.fingerprint != fingerprint {
        return Err(OrderError::KeyReused.into());
    }
    Ok(http::replayed(created(request, order)))
}

fn created(request: &Request, order: &Order) -> Response {
    let location = request.location(&format!("/orders/{}", order.order_id));
    http::created(&location, &OrderView::new(&order.as_placed(), order.created_at))
}
