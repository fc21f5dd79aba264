//! `POST /inventory/{product_id}/adjustments`: books goods in, or writes them off.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    http::{self, Request, Response},
    ids::{ProductId, fingerprint},
    problem::Problem,
};

use crate::{
    Inventory,
    domain::movement::{Delta, Movement, MovementId, Reason},
    store::Moved,
};

/// How many come or go, and why.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct AdjustStock {
    delta: Delta,
    reason: Reason,
}

/// A movement as clients see it: only what never changes. The figures that it led to are at its `Location`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct MovementView {
    id: MovementId,
    product_id: ProductId,
    delta: Delta,
    reason: Reason,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    http::run(Inventory::from_env, adjust_stock)
}

/// Answers `201` with the movement; a repeated `Idempotency-Key` answers the first one again and moves nothing.
///
/// # Errors
/// 401 and 403 for everybody but admins, 400 and 422 for a request that is none, 409 `below_reserved` where more would go than is
/// available.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/inventory/{product_id}/adjustments",
    params(("product_id" = ProductId, Path, description = "The product."), http::IdempotencyKey),
    request_body = AdjustStock,
    responses((status = 201, description = "The movement.", body = MovementView)),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["product_not_found", "below_reserved", "above_limit"]))),
))]
pub async fn adjust_stock(inventory: Arc<Inventory>, request: Request) -> Result<Response, Problem> {
    let admin = request.admin()?;
    let product_id: ProductId = request.path_id("product_id", "product")?;
    let key = request.idempotency_key()?;
    let wanted = request.json::<AdjustStock>()?;

    let movement = Movement {
        movement_id: key.derive_id(&admin, "adjust-stock"),
        product_id,
        fingerprint: fingerprint(&(product_id, &wanted)),
        delta: wanted.delta,
        reason: wanted.reason,
        user_id: admin.user_id,
        created_at: inventory.clock.now(),
    };

    let location = request.location(&format!("/inventory/{product_id}"));
    match inventory.store.move_stock(&movement).await? {
        Moved::Now => Ok(http::created(&location, &MovementView::from(&movement))),
        Moved::Before(before) => Ok(http::replayed(http::created(&location, &MovementView::from(&*before)))),
    }
}

impl From<&Movement> for MovementView {
    fn from(movement: &Movement) -> Self {
        Self {
            id: movement.movement_id,
            product_id: movement.product_id,
            delta: movement.delta,
            reason: movement.reason.clone(),
            created_at: movement.created_at,
            updated_at: movement.created_at,
        }
    }
}
