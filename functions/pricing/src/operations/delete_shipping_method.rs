//! `DELETE /markets/{market}/shipping-methods/{shipping_method_id}`: deletes a shipping method.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::ShippingMethodId,
    problem::Problem,
};

use super::{path, rule_change::delete_rule};
use crate::{Pricing, domain::ShippingMethodDetails, error::PricingError};

/// Answers `204`. Orders that were placed before keep their prices.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 404 for an unknown shipping method, 428 without `If-Match`, 412 if
/// it has changed since.
#[cfg_attr(feature = "api-document", utoipa::path(
    delete,
    path = "/markets/{market}/shipping-methods/{shipping_method_id}",
    params(("market" = shared::market::MarketId, Path, description = "The market."), ("shipping_method_id" = shared::ids::ShippingMethodId, Path, description = "The shipping method."), shared::api_document::IfMatch),
    responses((status = 204, description = "It is deleted.")),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["market_not_found", "shipping_method_not_found"]))),
))]
pub async fn delete_shipping_method(
    pricing: Arc<Pricing>,
    request: Request,
) -> Result<Response, Problem> {
    request.admin()?;
    let market = path::market(request.path_parameter("market"))?;
    let not_found = || PricingError::ShippingMethodNotFound;
    let id: ShippingMethodId = path::id(request.path_parameter("shipping_method_id"), not_found())?;
    let seen = request.if_match()?;

    let trace = request.trace();
    delete_rule::<_, ShippingMethodDetails>(&pricing, &market, id, not_found, seen, trace).await?;
    Ok(http::no_content())
}
