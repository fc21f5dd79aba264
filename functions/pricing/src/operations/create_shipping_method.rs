//! `POST /markets/{market}/shipping-methods`: creates a shipping method.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::{ShippingMethodId, fingerprint},
    problem::Problem,
};

use super::{
    ShippingMethodView,
    input::ShippingMethodInput,
    path,
    rule_change::{Created, create_rule},
};
use crate::{
    Pricing,
    domain::{ShippingMethod, ShippingMethodDetails},
};

/// Answers `201` with the shipping method. A repeated `Idempotency-Key` returns it as it was created.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 400 and 422 for an invalid request, 404 for an unknown
/// market, 422 if the market would break a rule.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/markets/{market}/shipping-methods",
    params(("market" = shared::market::MarketId, Path, description = "The market."), http::IdempotencyKey),
    request_body = ShippingMethodInput,
    responses((status = 201, description = "The shipping method.", body = ShippingMethodView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["currency_missing", "document_too_large", "market_not_found", "too_many_rules"]))),
))]
pub async fn create_shipping_method(
    pricing: Arc<Pricing>,
    request: Request,
) -> Result<Response, Problem> {
    let admin = request.admin()?;
    let key = request.idempotency_key()?;
    let market = path::market(request.path_parameter("market"))?;
    let details: ShippingMethodDetails = request.json::<ShippingMethodInput>()?.into();

    let id: ShippingMethodId = key.derive_id(&admin, "create-shipping-method");
    let fingerprint = fingerprint(&(&market, &details));
    let created = ShippingMethod::create(id, details, pricing.clock.now());
    let trace = request.trace();

    let location = request.location(&format!("/markets/{market}/shipping-methods/{id}"));
    let answer = |created: &ShippingMethod| {
        http::created(&location, &ShippingMethodView::from(created)).etag(created.version)
    };
    match create_rule(&pricing, id.uuid(), fingerprint, &market, created, trace).await? {
        Created::New(created) => Ok(answer(&created)),
        Created::Replayed(created) => Ok(http::replayed(answer(&created))),
    }
}
