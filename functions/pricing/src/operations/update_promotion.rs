//! `PATCH /promotions/{promotion_id}`: changes a promotion in all its markets.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::PromotionId,
    problem::Problem,
};

use super::{
    PromotionView,
    input::{PromotionPatch, something},
    promotion_change,
};
use crate::{Pricing, domain::PromotionDetails};

/// Answers `200` with the next version of the promotion. A repeated request answers `200` again and
/// changes nothing.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 400 and 422 for an invalid request, 404 for an unknown
/// promotion, 428 without `If-Match`, 412 if it has changed since, 422 if one of the markets would
/// break a rule.
#[cfg_attr(feature = "api-document", utoipa::path(
    patch,
    path = "/promotions/{promotion_id}",
    params(("promotion_id" = PromotionId, Path, description = "The promotion."), shared::api_document::IfMatch),
    request_body = PromotionPatch,
    responses((status = 200, description = "The promotion as it is now.", body = PromotionView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["currency_missing", "document_too_large", "invalid_effect", "nothing_to_change", "promotion_never_applies", "promotion_not_found", "too_many_rules", "unknown_market"]))),
))]
pub async fn update_promotion(
    pricing: Arc<Pricing>,
    request: Request,
) -> Result<Response, Problem> {
    request.admin()?;
    let id: PromotionId = request.path_id("promotion_id", "promotion")?;
    let seen = request.if_match()?;
    let patch = something(request.json::<PromotionPatch>()?)?;

    let change = |details: &PromotionDetails| patch.apply(details);
    let updated = promotion_change::update(&pricing, id, seen, change, request.trace()).await?;
    Ok(http::ok(&PromotionView::from(&updated)).etag(updated.version))
}
