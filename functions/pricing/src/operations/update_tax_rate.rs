//! `PATCH /markets/{market}/tax-rates/{tax_rate_id}`: changes a tax rate.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::{
    TaxRateView,
    input::{TaxRatePatch, something},
    path,
    rule_change::update_rule,
};
use crate::{
    Pricing,
    domain::{TaxRateDetails, TaxRateId},
    error::PricingError,
};

/// Answers `200` with the next version of the tax rate. A repeated request answers `200` again and
/// changes nothing.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 400 and 422 for an invalid request, 404 for an unknown
/// tax rate, 428 without `If-Match`, 412 if it has changed since, 422 if the market would break a rule.
#[cfg_attr(feature = "api-document", utoipa::path(
    patch,
    path = "/markets/{market}/tax-rates/{tax_rate_id}",
    params(("market" = shared::market::MarketId, Path, description = "The market."), ("tax_rate_id" = crate::domain::TaxRateId, Path, description = "The tax rate."), shared::api_document::IfMatch),
    request_body = TaxRatePatch,
    responses((status = 200, description = "The tax rate as it is now.", body = TaxRateView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["currency_missing", "document_too_large", "invalid_tax_rates", "market_not_found", "nothing_to_change", "tax_rate_not_found"]))),
))]
pub async fn update_tax_rate(pricing: Arc<Pricing>, request: Request) -> Result<Response, Problem> {
    request.admin()?;
    let market = path::market(request.path_parameter("market"))?;
    let not_found = || PricingError::TaxRateNotFound;
    let id: TaxRateId = path::id(request.path_parameter("tax_rate_id"), not_found())?;
    let seen = request.if_match()?;
    let patch = something(request.json::<TaxRatePatch>()?)?;

    let change = |details: &TaxRateDetails| patch.apply(details);
    let trace = request.trace();
    let updated = update_rule(&pricing, &market, id, not_found, seen, change, trace).await?;
    Ok(http::ok(&TaxRateView::from(&updated)).etag(updated.version))
}
