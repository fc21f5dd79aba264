//! `GET /carts/{cart_id}`: returns a cart with its prices.
//!
//! Two reads: the cart, then its products and the rules of its market. The second is eventually
//! consistent, and an instance caches rules for `PricingCacheSeconds`.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::cart_view::CartView;
use crate::{Orders, carts};

/// Returns `200` with the cart and its prices. A cart that does not exist, has expired, was merged
/// or belongs to another user is `404`. The id alone gives no access: a user needs an access token,
/// a guest the cart token.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/carts/{cart_id}",
    params(("cart_id" = shared::ids::CartId, Path, description = "The cart."), shared::api_document::CartToken),
    responses((status = 200, description = "The cart.", body = CartView)),
    security((), ("bearer" = [])),
    extensions(("x-roles" = json!(["anonymous", "user", "admin"])), ("x-problems" = json!(["cart_not_found", "410 cart_ordered"]))),
))]
pub async fn get_cart(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let credentials = carts::credentials(&request)?;
    let cart_id = request.path_id("cart_id", "cart")?;
    let cart = orders.find_cart_for(&credentials, cart_id).await?;
    let quote = orders.quote_cart(&cart).await?;
    Ok(http::ok(&CartView::new(&cart, &quote)))
}
