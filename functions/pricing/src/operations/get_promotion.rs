//! `GET /promotions/{promotion_id}`: returns a promotion.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::PromotionId,
    problem::Problem,
};

use super::PromotionView;
use crate::{Pricing, error::PricingError};

/// Answers `200` with the promotion.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 404 for an unknown promotion.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/promotions/{promotion_id}",
    params(("promotion_id" = PromotionId, Path, description = "The promotion.")),
    responses((status = 200, description = "The promotion.", body = PromotionView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["promotion_not_found"]))),
))]
pub async fn get_promotion(pricing: Arc<Pricing>, request: Request) -> Result<Response, Problem> {
    request.admin()?;
    let id: PromotionId = request.path_id("promotion_id", "promotion")?;

    let found = pricing.store.promotion(id).await?.ok_or(PricingError::PromotionNotFound)?;
    Ok(http::ok(&PromotionView::from(&found)).etag(found.version))
}
