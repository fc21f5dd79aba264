//! `GET /markets/{market}`: returns a market.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::{MarketView, path};
use crate::{Pricing, error::PricingError};

/// Answers `200` with the market. Its `ETag` changes with each of its rules.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 404 for an unknown market.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/markets/{market}",
    params(("market" = shared::market::MarketId, Path, description = "The market.")),
    responses((status = 200, description = "The market.", body = MarketView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["market_not_found"]))),
))]
pub async fn get_market(pricing: Arc<Pricing>, request: Request) -> Result<Response, Problem> {
    request.admin()?;
    let market = path::market(request.path_parameter("market"))?;

    let found = pricing.store.market(&market).await?.filter(|market| market.is_active());
    let market = found.ok_or(PricingError::MarketNotFound)?;
    Ok(http::ok(&MarketView::from(&market)).etag(market.version))
}
