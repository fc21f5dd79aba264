//! `DELETE /markets/{market}/tax-rates/{tax_rate_id}`: deletes a tax rate.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::{path, rule_change::delete_rule};
use crate::{
    Pricing,
    domain::{TaxRateDetails, TaxRateId},
    error::PricingError,
};

/// Answers `204`. Orders that were placed before keep their prices.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 404 for an unknown tax rate, 428 without `If-Match`, 412 if
/// it has changed since.
#[cfg_attr(feature = "api-document", utoipa::path(
    delete,
    path = "/markets/{market}/tax-rates/{tax_rate_id}",
    params(("market" = shared::market::MarketId, Path, description = "The market."), ("tax_rate_id" = crate::domain::TaxRateId, Path, description = "The tax rate."), shared::api_document::IfMatch),
    responses((status = 204, description = "It is deleted.")),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["market_not_found", "tax_rate_not_found"]))),
))]
pub async fn delete_tax_rate(pricing: Arc<Pricing>, request: Request) -> Result<Response, Problem> {
    request.admin()?;
    let market = path::market(request.path_parameter("market"))?;
    let not_found = || PricingError::TaxRateNotFound;
    let id: TaxRateId = path::id(request.path_parameter("tax_rate_id"), not_found())?;
    let seen = request.if_match()?;

    let trace = request.trace();
    delete_rule::<_, TaxRateDetails>(&pricing, &market, id, not_found, seen, trace).await?;
    Ok(http::no_content())
}
