//! `POST /markets/{market}/tax-rates`: creates a tax rate.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::fingerprint,
    problem::Problem,
};

use super::{
    TaxRateView,
    input::TaxRateInput,
    path,
    rule_change::{Created, create_rule},
};
use crate::{
    Pricing,
    domain::{TaxRate, TaxRateDetails, TaxRateId},
};

/// Answers `201` with the tax rate. A repeated `Idempotency-Key` returns it as it was created.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 400 and 422 for an invalid request, 404 for an unknown
/// market, 422 if the market would break a rule.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/markets/{market}/tax-rates",
    params(("market" = shared::market::MarketId, Path, description = "The market."), http::IdempotencyKey),
    request_body = TaxRateInput,
    responses((status = 201, description = "The tax rate.", body = TaxRateView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["currency_missing", "document_too_large", "invalid_tax_rates", "market_not_found", "tax_rate_exists", "too_many_rules"]))),
))]
pub async fn create_tax_rate(pricing: Arc<Pricing>, request: Request) -> Result<Response, Problem> {
    let admin = request.admin()?;
    let key = request.idempotency_key()?;
    let market = path::market(request.path_parameter("market"))?;
    let details: TaxRateDetails = request.json::<TaxRateInput>()?.try_into()?;

    let id: TaxRateId = key.derive_id(&admin, "create-tax-rate");
    let fingerprint = fingerprint(&(&market, &details));
    let created = TaxRate::create(id, details, pricing.clock.now());
    let trace = request.trace();

    let location = request.location(&format!("/markets/{market}/tax-rates/{id}"));
    let answer = |created: &TaxRate| {
        http::created(&location, &TaxRateView::from(created)).etag(created.version)
    };
    match create_rule(&pricing, id.uuid(), fingerprint, &market, created, trace).await? {
        Created::New(created) => Ok(answer(&created)),
        Created::Replayed(created) => Ok(http::replayed(answer(&created))),
    }
}
