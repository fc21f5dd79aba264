//! `POST /carts/{cart_id}/merge`: merges a guest's cart into the cart of the user.
//!
//! One batch read loads both carts, one the products and the rules. One transaction writes both
//! carts, each on condition of its version, so a guest's cart is merged once.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::CartId,
    problem::Problem,
};

use super::cart_view::CartView;
use crate::{
    Orders,
    carts::{self, MAX_CART_ATTEMPTS},
    domain::cart::{
        Cart, CartError, CartState, CartToken, Credentials, Merge, Stamp, Warning, WarningCode,
    },
    error::OrderError,
    store::carts::MergeWrite,
};

/// Adds the lines of the guest's cart that `X-Cart-Token` identifies to the open cart of the user,
/// and returns `200` with it. The token is then invalid. A repeated request returns the cart
/// unchanged. A guest's cart for another market is not changed; the response has the warning
/// `other_market`.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/carts/{cart_id}/merge",
    params(("cart_id" = CartId, Path, description = "The open cart of the user."), shared::api_document::CartToken),
    responses((status = 200, description = "The cart of the user as it is now.", body = CartView)),
    security(("bearer" = [])),
    extensions(
        ("x-roles" = json!(["user", "admin"])),
        ("x-problems" = json!(["cart_not_found", "410 cart_ordered", "cart_too_large", "cart_busy"])),
    ),
))]
pub async fn merge_cart(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let cart_id: CartId = request.path_id("cart_id", "cart")?;
    let token = carts::cart_token(&request).filter(|token| token.cart_id != cart_id);
    let token = token.ok_or(OrderError::Cart(CartError::NotFound))?;
    let owner = Credentials { user_id: Some(caller.user_id), token: None };

    let stamp = orders.stamp();
    for attempt in 0..MAX_CART_ATTEMPTS {
        let (cart, guest) = orders.store.find_carts(cart_id, token.cart_id).await?;
        let cart =
            cart.ok_or(CartError::NotFound).and_then(|cart| cart.authorize(&owner, stamp.now));
        let cart = cart.map_err(OrderError::from)?;
        let guest = guest.ok_or(CartError::NotFound);
        let guest = guest.and_then(|guest| mergeable(guest, &token, cart_id, stamp));
        let guest = guest.map_err(OrderError::from)?;

        let prices = orders
            .read_cart_prices(&cart.content_of_merge(&guest), guest.content.products())
            .await?;
        let merged = match cart.merge(&guest, prices.limits(), stamp) {
            Merge::Done => return unchanged(&orders, cart_id, &owner, stamp).await,
            Merge::OtherMarket => {
                let warnings = vec![Warning::of_cart(WarningCode::OtherMarket)];
                let quote = prices.quote(&cart);
                return Ok(http::ok(&CartView::new(&cart, &quote).with_warnings(warnings)));
            }
            Merge::Merged(merged) => *merged,
        };
        if let MergeWrite::Written = orders.store.merge_carts(&merged).await? {
            let quote = prices.quote(&merged.cart);
            let view = CartView::new(&merged.cart, &quote).with_warnings(merged.warnings);
            return Ok(http::ok(&view));
        }
        carts::backoff(attempt).await;
    }
    Err(OrderError::from(CartError::Busy).into())
}

/// Returns the cart that a guest's cart was merged into before. It is read again, because a batch
/// read is not a snapshot: it may contain the cart from before the merge.
async fn unchanged(
    orders: &Orders,
    cart_id: CartId,
    owner: &Credentials,
    stamp: Stamp,
) -> Result<Response, Problem> {
    let found = orders.store.find_cart(cart_id).await?.ok_or(CartError::NotFound);
    let cart = found.and_then(|cart| cart.authorize(owner, stamp.now)).map_err(OrderError::from)?;
    let quote = orders.quote_cart(&cart).await?;
    Ok(http::ok(&CartView::new(&cart, &quote)))
}

/// Returns the guest's cart if the token is that of the cart, and the cart is open or was merged
/// into the cart of the user before.
fn mergeable(
    guest: Cart,
    token: &CartToken,
    cart_id: CartId,
    stamp: Stamp,
) -> Result<Cart, CartError> {
    let credentials = Credentials { user_id: None, token: Some(token.clone()) };
    let is_known = guest.is_owned_by(&credentials) && !guest.is_expired(stamp.now);
    let is_mergeable = matches!(guest.state, CartState::Open)
        || guest.state == CartState::Merged { into: cart_id };
    if is_known && is_mergeable { Ok(guest) } else { Err(CartError::NotFound) }
}
