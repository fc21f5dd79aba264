//! `POST /markets`: creates a market.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::fingerprint,
    problem::Problem,
};

use super::{MarketView, input::MarketInput, market_change, rule_change::Created};
use crate::{
    Pricing,
    domain::{Market, MarketDetails},
};

/// Answers `201` with the market. A repeated `Idempotency-Key` returns it as it was created. The
/// versions of a deleted market with the same id continue.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 400 and 422 for an invalid request, 409
/// `market_exists`, 422 `country_taken`.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/markets",
    params(http::IdempotencyKey),
    request_body = MarketInput,
    responses((status = 201, description = "The market.", body = MarketView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["country_taken", "market_exists"]))),
))]
pub async fn create_market(pricing: Arc<Pricing>, request: Request) -> Result<Response, Problem> {
    let admin = request.admin()?;
    let key = request.idempotency_key()?;
    let input = request.json::<MarketInput>()?;

    let id = key.derive_uuid(&admin, "create-market");
    let market = input.id.clone();
    let details: MarketDetails = input.into();
    let fingerprint = fingerprint(&(&market, &details));

    let location = request.location(&format!("/markets/{market}"));
    let answer =
        |market: &Market| http::created(&location, &MarketView::from(market)).etag(market.version);
    let trace = request.trace();
    match market_change::create(&pricing, id, fingerprint, &market, details, trace).await? {
        Created::New(market) => Ok(answer(&market)),
        Created::Replayed(market) => Ok(http::replayed(answer(&market))),
    }
}
