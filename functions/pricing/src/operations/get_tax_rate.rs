//! `GET /markets/{market}/tax-rates/{tax_rate_id}`: returns a tax rate.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::{TaxRateView, path};
use crate::{
    Pricing,
    domain::{TaxRate, TaxRateId},
    error::PricingError,
};

/// Answers `200` with the tax rate.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 404 for an unknown tax rate.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/markets/{market}/tax-rates/{tax_rate_id}",
    params(("market" = shared::market::MarketId, Path, description = "The market."), ("tax_rate_id" = crate::domain::TaxRateId, Path, description = "The tax rate.")),
    responses((status = 200, description = "The tax rate.", body = TaxRateView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["market_not_found", "tax_rate_not_found"]))),
))]
pub async fn get_tax_rate(pricing: Arc<Pricing>, request: Request) -> Result<Response, Problem> {
    request.admin()?;
    let market = path::market(request.path_parameter("market"))?;
    let id: TaxRateId =
        path::id(request.path_parameter("tax_rate_id"), PricingError::TaxRateNotFound)?;

    // The sort key of a tax rate is the case that it is for, not its id.
    let rates = pricing.store.rules::<TaxRate>(&market).await?;
    let found = rates.into_iter().map(|(_, rate)| rate).find(|rate| rate.id == id);
    let found = found.ok_or(PricingError::TaxRateNotFound)?;
    Ok(http::ok(&TaxRateView::from(&found)).etag(found.version))
}
