//! `POST /orders`: places an order.
//!
//! The order is the whole effect: one conditional write. Its stream then asks inventory to hold the stock, and payments to charge, if
//! a payment method came along.
//!
//! Who has too many orders that wait for their money has to pay or cancel one first. What is found out about that beside the read of the
//! products may be out of date: it is a brake, and no invariant. Where it cannot be found out the shop goes on selling.

use std::sync::Arc;

use shared::{
    clock::Clock,
    http::{self, Request, Response},
    ids,
    problem::Problem,
    table::TableError,
    telemetry,
};

use super::view::OrderView;
use crate::{
    Orders,
    domain::{MAX_UNPAID_ORDERS, Order, Placement, basket::Basket, buyer::Contact},
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
        ("x-problems" = json!([
            "price_changed", "unknown_product", "too_many_of_product", "too_many_open_orders", "currency_mismatch", "amount_too_large",
        ])),
    ),
))]
pub async fn create_order(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let buyer = request.caller()?;
    let key = request.idempotency_key()?;
    let basket: Basket = request.json()?;

    let order_id = key.derive_id(&buyer, "create-order");
    let fingerprint = ids::fingerprint(&basket);
    let now = orders.clock.now();
    let wanted = basket.products();
    let (found, unpaid) = tokio::join!(
        orders.store.earlier_and_products(order_id, &wanted),
        orders.store.count_unpaid(buyer.user_id, orders.timing.payable_since(now), order_id),
    );
    let (earlier, products) = found?;
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
    let order = Order::place(placement, basket, &products, now, orders.timing)?;
    refuse_too_many(unpaid)?;
    if let Some(order) = orders.store.insert_once(&order).await? {
        return replay(&request, &order, &fingerprint);
    }
    Ok(created(&request, &order))
}

fn refuse_too_many(unpaid: Result<usize, TableError>) -> Result<(), OrderError> {
    match unpaid {
        Ok(unpaid) if unpaid >= MAX_UNPAID_ORDERS => Err(OrderError::TooManyUnpaid),
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::warn!(error = telemetry::causes(&error), "how many orders the buyer has to pay is not known: one more is taken");
            telemetry::count("UnpaidOrdersUnknown", "orders", &Clock::System);
            Ok(())
        }
    }
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
