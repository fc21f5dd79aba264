//! `POST /carts/{cart_id}/changes`: changes lines and fields of a cart.
//!
//! One read loads the cart and one its products and rules; then the whole cart is written on
//! condition of its version. A failed condition returns the cart that is stored by now, and the
//! change is applied to that one.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::CartId,
    problem::Problem,
};

use super::cart_view::CartView;
use crate::{
    Orders,
    carts::{self, CartPrices, MAX_CART_ATTEMPTS},
    domain::cart::{CartChange, CartError},
    error::OrderError,
    store::carts::CartWrite,
};

/// Changes the cart and returns `200` with it. A request without a `mutation_id` that is repeated
/// adds its quantities again.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/carts/{cart_id}/changes",
    params(("cart_id" = CartId, Path, description = "The cart."), shared::api_document::CartToken),
    request_body = CartChange,
    responses((status = 200, description = "The cart as it is now.", body = CartView)),
    security((), ("bearer" = [])),
    extensions(
        ("x-roles" = json!(["anonymous", "user", "admin"])),
        ("x-problems" = json!([
            "cart_not_found", "410 cart_ordered", "nothing_to_change", "duplicate_value", "unknown_product", "too_many_of_product",
            "too_many_lines", "cart_too_large", "cart_busy",
        ])),
    ),
))]
pub async fn change_cart(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let credentials = carts::credentials(&request)?;
    let cart_id: CartId = request.path_id("cart_id", "cart")?;
    let change: CartChange = request.json()?;
    change.check().map_err(OrderError::from)?;

    let stamp = orders.stamp();
    let mut stored = orders.store.find_cart(cart_id).await?;
    let mut known: Option<CartPrices> = None;
    for attempt in 0..MAX_CART_ATTEMPTS {
        let found = stored.ok_or(CartError::NotFound);
        let cart = found.and_then(|cart| cart.authorize(&credentials, stamp.now));
        let cart = cart.map_err(OrderError::from)?;
        // With the lines of before, because the new ones depend on the products.
        let fields = change.fields_after(&cart.content);
        let prices = match known {
            Some(prices) if prices.covers(&fields) => prices,
            _ => orders.read_cart_prices(&fields, change.products()).await?,
        };
        let changed = cart.change(&change, prices.limits(), stamp).map_err(OrderError::from)?;
        let Some(next) = changed else {
            return Ok(http::ok(&CartView::new(&cart, &prices.quote(&cart))));
        };
        let quote = prices.quote(&next);
        let next = next.with_seen_prices(&quote);
        match orders.store.replace_cart(&next).await? {
            CartWrite::Written => return Ok(http::ok(&CartView::new(&next, &quote))),
            CartWrite::Conflict(current) => stored = current.map(|cart| *cart),
        }
        known = Some(prices);
        carts::backoff(attempt).await;
    }
    Err(OrderError::from(CartError::Busy).into())
}
