//! `GET /markets/{market}/shipping-methods/{shipping_method_id}`: returns a shipping method.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::ShippingMethodId,
    problem::Problem,
};

use super::{ShippingMethodView, path};
use crate::{Pricing, error::PricingError};

/// Answers `200` with the shipping method.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 404 for an unknown shipping method.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/markets/{market}/shipping-methods/{shipping_method_id}",
    params(("market" = shared::market::MarketId, Path, description = "The market."), ("shipping_method_id" = shared::ids::ShippingMethodId, Path, description = "The shipping method.")),
    responses((status = 200, description = "The shipping method.", body = ShippingMethodView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["market_not_found", "shipping_method_not_found"]))),
))]
pub async fn get_shipping_method(
    pricing: Arc<Pricing>,
    request: Request,
) -> Result<Response, Problem> {
    request.admin()?;
    let market = path::market(request.path_parameter("market"))?;
    let id: ShippingMethodId = path::id(
        request.path_parameter("shipping_method_id"),
        PricingError::ShippingMethodNotFound,
    )?;

    let found = pricing.store.shipping_method(&market, id).await?;
    let found = found.ok_or(PricingError::ShippingMethodNotFound)?;
    Ok(http::ok(&ShippingMethodView::from(&found)).etag(found.version))
}
