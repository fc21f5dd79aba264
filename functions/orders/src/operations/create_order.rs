//! `POST /orders`: places an order.
//!
//! 1. One batch read loads everything that placement depends on: the order of an earlier request
//!    with the same `Idempotency-Key`, the products, the rules of the market, and the unpaid orders
//!    of the buyer and of their network.
//! 2. A repeated request returns the first response again.
//! 3. The domain prices the order and checks the rules of placement: by the rules of the market, or
//!    without one at the prices of the catalogue.
//! 4. One transaction writes the order and counts it against both limits on unpaid orders.
//!
//! The request calls no other service. The table's stream publishes the commands of the new order:
//! inventory reserves the stock, then payments opens the payment. If the request has a payment
//! method, payments charges it at once.
//!
//! An unpaid order holds stock, so a buyer and a network may have only a limited number of them.
//! The batch read loads both counts and the transaction updates them, so the limits are exact. A
//! rejected or repeated request does not count.

use std::sync::Arc;

use shared::{
    clock::Timestamp,
    http::{self, Request, Response},
    ids::{self, OrderId},
    problem::Problem,
    secret::SecretError,
    throttle,
};

use super::view::OrderView;
use crate::{
    Orders,
    domain::{
        Order, Placement,
        buyer::Contact,
        order_request::OrderRequest,
        placement::PlacementError,
        unpaid::{LimitUsage, Uncounted},
    },
    error::OrderError,
    store::placement::PlaceOutcome,
};

/// Maximum number of attempts of the transaction. An attempt fails only if another order of the
/// buyer was written first, or if the network reached its limit. `MaxUnpaidOrders` is at most 20,
/// which bounds the orders that one buyer can write first.
const MAX_PLACE_ATTEMPTS: u32 = 24;

/// Places an order and returns `201` with it. A repeated `Idempotency-Key` returns the first
/// response again. The buyer must pay the order before `expires_at`; an order of total 0 is confirmed
/// without a payment. An account with an unverified e-mail address has less time to pay and may have
/// fewer unpaid orders at once.
///
/// With a market, its rules decide prices, shipping and tax. If nothing is shipped, the order needs no
/// shipping address and no shipping method, and is taxed at its billing address. `expected_total` protects the buyer from
/// a change of the price: if it differs, nothing is ordered, and the problem has the new price.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/orders",
    params(http::IdempotencyKey),
    request_body = OrderRequest,
    responses((status = 201, description = "The order.", body = OrderView)),
    security(("bearer" = [])),
    extensions(
        ("x-roles" = json!(["user", "admin"])),
        ("x-problems" = json!([
            "price_changed", "unknown_product", "too_many_of_product", "too_many_open_orders", "currency_mismatch", "amount_too_large",
            "unknown_market", "shipping_address_required", "billing_address_required", "not_sold_here", "not_delivered_there", "unknown_region",
            "shipping_method_required", "shipping_unavailable", "below_minimum", "no_market",
        ])),
    ),
))]
pub async fn create_order(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let buyer = request.caller()?;
    let key = request.idempotency_key()?;
    let order_request: OrderRequest = request.json()?;

    let order_id = key.derive_id(&buyer, "create-order");
    let fingerprint = ids::fingerprint(&order_request);
    let now = orders.clock.now();
    let network = network_name(&orders, request.source_ip()).await.map_err(OrderError::from)?;
    let snapshot = orders
        .store
        .read_for_placement(
            order_id,
            &order_request.products(),
            order_request.rules(),
            buyer.user_id,
            &network,
        )
        .await?;
    if let Some(order) = snapshot.existing {
        return replay(&orders, &request, &order, &fingerprint);
    }
    let placement = Placement {
        order_id,
        user_id: buyer.user_id,
        buyer: Contact { name: buyer.name, email: buyer.email, version: 0 },
        fingerprint: fingerprint.clone(),
        terms: orders.limits.terms(buyer.email_verified),
        pricing: snapshot.pricing,
        network: orders.limits.refunded_network(&network, &snapshot.usage, now),
        trace: request.trace().clone(),
    };
    let order = Order::place(placement, order_request, &snapshot.products, now, orders.timing)
        .map_err(OrderError::rejected)?;
    let mut usage = snapshot.usage;
    for _ in 0..MAX_PLACE_ATTEMPTS {
        let ended = check_limits(&orders, buyer.email_verified, &usage, now).await?;
        let limit = orders.limits.network;
        match orders.store.place(&order, &network, &usage, &ended, limit, now).await? {
            PlaceOutcome::Written => return Ok(created(&orders, &request, &order)),
            PlaceOutcome::AlreadyPlaced(order) => {
                return replay(&orders, &request, &order, &fingerprint);
            }
            PlaceOutcome::VersionConflict(current) => usage = current,
        }
    }
    Err(OrderError::Contended.into())
}

/// Returns the name of the client's network. It is a MAC, so the table does not store IP addresses.
async fn network_name(orders: &Orders, source_ip: &str) -> Result<String, SecretError> {
    let keys = orders.secrets.keys("orders-key").await?.derive("network");
    Ok(throttle::network_name(*keys.active(), source_ip))
}

/// Checks that the buyer and the network may have another unpaid order. If the buyer's list is
/// full, this reads its orders: those that are paid, cancelled or failed, and those that wait for
/// the shop, do not count. Returns the listed orders that are paid, cancelled or failed.
async fn check_limits(
    orders: &Orders,
    email_verified: bool,
    usage: &LimitUsage,
    now: Timestamp,
) -> Result<Vec<OrderId>, OrderError> {
    let reached = match orders.limits.check(email_verified, usage, now) {
        Err(reached @ PlacementError::TooManyUnpaid { .. }) => reached,
        other => return Ok(other.map(|()| Vec::new())?),
    };
    let uncounted = orders.store.uncounted(&usage.unpaid, now).await?;
    if uncounted == Uncounted::default() {
        return Err(reached.into());
    }
    let counted = LimitUsage { unpaid: usage.unpaid.without(&uncounted), ..usage.clone() };
    orders.limits.check(email_verified, &counted, now)?;
    Ok(uncounted.ended)
}

/// Returns the first response again, with the buyer's current personal data (see
/// [`Order::as_placed`]). Rejects a request that differs from the first one with the same key.
fn replay(
    orders: &Orders,
    request: &Request,
    order: &Order,
    fingerprint: &str,
) -> Result<Response, Problem> {
    if order.customer.fingerprint != fingerprint {
        return Err(OrderError::KeyReused.into());
    }
    Ok(http::replayed(created(orders, request, order)))
}

fn created(orders: &Orders, request: &Request, order: &Order) -> Response {
    let location = request.location(&format!("/orders/{}", order.placed.order_id));
    http::created(
        &location,
        &OrderView::new(&order.as_placed(orders.timing), order.placed.created_at),
    )
}
