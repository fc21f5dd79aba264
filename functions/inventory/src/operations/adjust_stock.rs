//! `POST /inventory/{product_id}/adjustments`: adjusts the stock or stock settings of a product.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    http::{self, Request, Response},
    ids::{ProductId, fingerprint},
    problem::Problem,
    validation::Violation,
};

use crate::{
    Inventory,
    adjustments::AdjustmentResult,
    domain::movement::{Delta, Movement, MovementId, Reason, ShardCount, Threshold},
};

/// The adjustment: a quantity, new settings or both, and the reason. Settings apply until they are
/// changed again.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct AdjustStock {
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(
        default,
        deserialize_with = "shared::optional::non_null",
        skip_serializing_if = "Option::is_none"
    )]
    delta: Option<Delta>,
    reason: Reason,
    /// Use several shards for a product that sells faster than one shard can record.
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(
        default,
        deserialize_with = "shared::optional::non_null",
        skip_serializing_if = "Option::is_none"
    )]
    shard_count: Option<ShardCount>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(
        default,
        deserialize_with = "shared::optional::non_null",
        skip_serializing_if = "Option::is_none"
    )]
    low_stock_threshold: Option<Threshold>,
}

/// An applied adjustment. `Location` refers to the resulting stock.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MovementView {
    id: MovementId,
    product_id: ProductId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    delta: Option<Delta>,
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    shard_count: Option<ShardCount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    low_stock_threshold: Option<Threshold>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// Returns `201` with the adjustment. A repeated `Idempotency-Key` returns the result of the first
/// request and changes nothing. A new shard count does not affect orders, not even concurrent ones.
///
/// # Errors
/// - 401 and 403 unless the caller is an admin.
/// - 400 and 422 for an invalid request.
/// - 409 `insufficient_stock` if the adjustment exceeds the available stock.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/inventory/{product_id}/adjustments",
    params(("product_id" = ProductId, Path, description = "The product."), http::IdempotencyKey),
    request_body = AdjustStock,
    responses((status = 201, description = "The adjustment.", body = MovementView)),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["product_not_found", "insufficient_stock", "stock_limit_exceeded", "nothing_to_change"]))),
))]
pub async fn adjust_stock(
    inventory: Arc<Inventory>,
    request: Request,
) -> Result<Response, Problem> {
    let admin = request.admin()?;
    let product_id: ProductId = request.path_id("product_id", "product")?;
    let key = request.idempotency_key()?;
    let wanted = request.json::<AdjustStock>()?;
    if wanted.delta.is_none()
        && wanted.shard_count.is_none()
        && wanted.low_stock_threshold.is_none()
    {
        return Err(nothing_to_change());
    }

    let movement = Movement {
        movement_id: key.derive_id(&admin, "adjust-stock"),
        product_id,
        fingerprint: fingerprint(&(product_id, &wanted)),
        delta: wanted.delta,
        shard_count: wanted.shard_count,
        low_stock_threshold: wanted.low_stock_threshold,
        reason: wanted.reason,
        user_id: admin.user_id,
        created_at: inventory.clock.now(),
        traceparent: Some(request.trace().clone()),
    };

    let location = request.location(&format!("/inventory/{product_id}"));
    match inventory.adjust(&movement).await? {
        AdjustmentResult::Applied => Ok(http::created(&location, &MovementView::from(&movement))),
        AdjustmentResult::Replayed(before) => {
            Ok(http::replayed(http::created(&location, &MovementView::from(&*before))))
        }
    }
}

fn nothing_to_change() -> Problem {
    Problem::invalid_field(
        "",
        &Violation::new("nothing_to_change", "Send at least one field to change."),
    )
}

impl From<&Movement> for MovementView {
    fn from(movement: &Movement) -> Self {
        Self {
            id: movement.movement_id,
            product_id: movement.product_id,
            delta: movement.delta,
            reason: movement.reason.clone(),
            shard_count: movement.shard_count,
            low_stock_threshold: movement.low_stock_threshold,
            created_at: movement.created_at,
            updated_at: movement.created_at,
        }
    }
}
