//! `GET /carts/{cart_id}/shipping-options`: returns the shipping methods that a cart can use.
//!
//! Two reads, as for `GET /carts/{cart_id}`.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::refusal_view::RefusalView;
use crate::{Orders, carts, domain::pricing::PricedShipping};

/// The shipping methods that a cart can use.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct ShippingOptionsView {
    /// The cheapest first. Empty if nothing is shipped.
    shipping_options: Vec<PricedShipping>,
    /// Why no option can be priced. Empty otherwise.
    refusals: Vec<RefusalView>,
}

/// Returns `200` with the shipping methods that the goods can use, and what shipping costs by each.
/// Without a destination the list is empty.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/carts/{cart_id}/shipping-options",
    params(("cart_id" = shared::ids::CartId, Path, description = "The cart."), shared::api_document::CartToken),
    responses((status = 200, description = "The shipping methods.", body = ShippingOptionsView)),
    security((), ("bearer" = [])),
    extensions(("x-roles" = json!(["anonymous", "user", "admin"])), ("x-problems" = json!(["cart_not_found", "410 cart_ordered"]))),
))]
pub async fn list_shipping_options(
    orders: Arc<Orders>,
    request: Request,
) -> Result<Response, Problem> {
    let credentials = carts::credentials(&request)?;
    let cart_id = request.path_id("cart_id", "cart")?;
    let cart = orders.find_cart_for(&credentials, cart_id).await?;
    let (shipping_options, refusals) = match orders.quote_cart(&cart).await?.shipping_options {
        Ok(options) => (options, Vec::new()),
        Err(refusals) => (Vec::new(), refusals.iter().map(RefusalView::from).collect()),
    };
    Ok(http::ok(&ShippingOptionsView { shipping_options, refusals }))
}
