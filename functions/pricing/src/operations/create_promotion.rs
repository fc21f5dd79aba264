//! `POST /promotions`: creates a promotion in 1 to 10 markets.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::{PromotionId, fingerprint},
    problem::Problem,
};

use super::{PromotionView, input::PromotionInput, promotion_change, rule_change::Created};
use crate::{
    Pricing,
    domain::{Promotion, PromotionDetails},
};

/// Answers `201` with the promotion. A repeated `Idempotency-Key` returns it as it was created.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 400 and 422 for an invalid request, 422 if one of the
/// markets would break a rule.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/promotions",
    params(http::IdempotencyKey),
    request_body = PromotionInput,
    responses((status = 201, description = "The promotion.", body = PromotionView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["currency_missing", "document_too_large", "invalid_effect", "promotion_never_applies", "too_many_rules", "unknown_market"]))),
))]
pub async fn create_promotion(
    pricing: Arc<Pricing>,
    request: Request,
) -> Result<Response, Problem> {
    let admin = request.admin()?;
    let key = request.idempotency_key()?;
    let details: PromotionDetails = request.json::<PromotionInput>()?.into();

    let id: PromotionId = key.derive_id(&admin, "create-promotion");
    let fingerprint = fingerprint(&details);
    let promotion = Promotion::create(id, details, pricing.clock.now());

    let location = request.location(&format!("/promotions/{id}"));
    let answer = |promotion: &Promotion| {
        http::created(&location, &PromotionView::from(promotion)).etag(promotion.version)
    };
    let trace = request.trace();
    match promotion_change::create(&pricing, id.uuid(), fingerprint, promotion, trace).await? {
        Created::New(promotion) => Ok(answer(&promotion)),
        Created::Replayed(promotion) => Ok(http::replayed(answer(&promotion))),
    }
}
