//! `PATCH /markets/{market}/shipping-methods/{shipping_method_id}`: changes a shipping method.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::ShippingMethodId,
    problem::Problem,
};

use super::{
    ShippingMethodView,
    input::{ShippingMethodPatch, something},
    path,
    rule_change::update_rule,
};
use crate::{Pricing, domain::ShippingMethodDetails, error::PricingError};

/// Answers `200` with the next version of the shipping method. A repeated request answers `200` again and
/// changes nothing.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 400 and 422 for an invalid request, 404 for an unknown
/// shipping method, 428 without `If-Match`, 412 if it has changed since, 422 if the market would break a rule.
#[cfg_attr(feature = "api-document", utoipa::path(
    patch,
    path = "/markets/{market}/shipping-methods/{shipping_method_id}",
    params(("market" = shared::market::MarketId, Path, description = "The market."), ("shipping_method_id" = shared::ids::ShippingMethodId, Path, description = "The shipping method."), shared::api_document::IfMatch),
    request_body = ShippingMethodPatch,
    responses((status = 200, description = "The shipping method as it is now.", body = ShippingMethodView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["currency_missing", "document_too_large", "market_not_found", "nothing_to_change", "shipping_method_not_found"]))),
))]
pub async fn update_shipping_method(
    pricing: Arc<Pricing>,
    request: Request,
) -> Result<Response, Problem> {
    request.admin()?;
    let market = path::market(request.path_parameter("market"))?;
    let not_found = || PricingError::ShippingMethodNotFound;
    let id: ShippingMethodId = path::id(request.path_parameter("shipping_method_id"), not_found())?;
    let seen = request.if_match()?;
    let patch = something(request.json::<ShippingMethodPatch>()?)?;

    let change = |details: &ShippingMethodDetails| Ok(patch.apply(details));
    let trace = request.trace();
    let updated = update_rule(&pricing, &market, id, not_found, seen, change, trace).await?;
    Ok(http::ok(&ShippingMethodView::from(&updated)).etag(updated.version))
}
