//! `DELETE /promotions/{promotion_id}`: deletes a promotion in all its markets.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::PromotionId,
    problem::Problem,
};

use super::promotion_change;
use crate::Pricing;

/// Answers `204`. Orders that were placed before keep their prices.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 404 for an unknown promotion, 428 without `If-Match`,
/// 412 if it has changed since.
#[cfg_attr(feature = "api-document", utoipa::path(
    delete,
    path = "/promotions/{promotion_id}",
    params(("promotion_id" = PromotionId, Path, description = "The promotion."), shared::api_document::IfMatch),
    responses((status = 204, description = "It is deleted.")),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["promotion_not_found"]))),
))]
pub async fn delete_promotion(
    pricing: Arc<Pricing>,
    request: Request,
) -> Result<Response, Problem> {
    request.admin()?;
    let id: PromotionId = request.path_id("promotion_id", "promotion")?;
    let seen = request.if_match()?;

    promotion_change::delete(&pricing, id, seen, request.trace()).await?;
    Ok(http::no_content())
}
