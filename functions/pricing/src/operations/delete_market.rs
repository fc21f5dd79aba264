//! `DELETE /markets/{market}`: deletes a market without rules.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::{market_change, path};
use crate::Pricing;

/// Answers `204`. The market delivers to no country from then on.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 404 for an unknown market, 428 without `If-Match`, 412
/// if the market or one of its rules has changed since, 409 `market_not_empty`.
#[cfg_attr(feature = "api-document", utoipa::path(
    delete,
    path = "/markets/{market}",
    params(("market" = shared::market::MarketId, Path, description = "The market."), shared::api_document::IfMatch),
    responses((status = 204, description = "It is deleted.")),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["market_not_empty", "market_not_found"]))),
))]
pub async fn delete_market(pricing: Arc<Pricing>, request: Request) -> Result<Response, Problem> {
    request.admin()?;
    let market = path::market(request.path_parameter("market"))?;
    let seen = request.if_match()?;

    market_change::delete(&pricing, &market, seen, request.trace()).await?;
    Ok(http::no_content())
}
