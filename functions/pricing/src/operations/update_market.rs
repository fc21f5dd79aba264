//! `PATCH /markets/{market}`: changes a market.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::{
    MarketView,
    input::{MarketPatch, something},
    market_change, path,
};
use crate::{Pricing, domain::MarketDetails};

/// Answers `200` with the next version of the market. A repeated request answers `200` again and
/// changes nothing.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 400 and 422 for an invalid request, 404 for an unknown
/// market, 428 without `If-Match`, 412 if the market or one of its rules has changed since, 422 if
/// the market would break a rule.
#[cfg_attr(feature = "api-document", utoipa::path(
    patch,
    path = "/markets/{market}",
    params(("market" = shared::market::MarketId, Path, description = "The market."), shared::api_document::IfMatch),
    request_body = MarketPatch,
    responses((status = 200, description = "The market as it is now.", body = MarketView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["country_taken", "currency_missing", "document_too_large", "market_not_found", "nothing_to_change"]))),
))]
pub async fn update_market(pricing: Arc<Pricing>, request: Request) -> Result<Response, Problem> {
    request.admin()?;
    let market = path::market(request.path_parameter("market"))?;
    let seen = request.if_match()?;
    let patch = something(request.json::<MarketPatch>()?)?;

    let change = |details: &MarketDetails| patch.apply(details);
    let updated = market_change::update(&pricing, &market, seen, change, request.trace()).await?;
    Ok(http::ok(&MarketView::from(&updated)).etag(updated.version))
}
