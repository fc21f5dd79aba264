//! `POST /products`: creates a product.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::fingerprint,
    problem::Problem,
};

use super::{ProductInput, ProductView};
use crate::{Catalog, domain::Product, store::CreateOutcome};

/// Answers `201` with the product. A repeated `Idempotency-Key` returns the product as it was
/// created, regardless of later changes.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 400 and 422 for an invalid request, 409 `sku_taken`.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/products",
    params(http::IdempotencyKey),
    request_body = ProductInput,
    responses((status = 201, description = "The product.", body = ProductView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["sku_taken", "duplicate_price", "invalid_compare_at"]))),
))]
pub async fn create_product(catalog: Arc<Catalog>, request: Request) -> Result<Response, Problem> {
    let admin = request.admin()?;
    let key = request.idempotency_key()?;
    let details = request.json::<ProductInput>()?.details()?;

    let id = key.derive_id(&admin, "create-product");
    let fingerprint = fingerprint(&details);
    let product =
        Product::create(id, details, fingerprint, catalog.clock.now(), request.trace().clone());

    let location = request.location(&format!("/products/{id}"));
    let answer = |product: &Product| {
        http::created(&location, &ProductView::new(product, catalog.max_per_order))
            .etag(product.version)
    };
    match catalog.store.create(&product).await? {
        CreateOutcome::Created => Ok(answer(&product)),
        CreateOutcome::Replayed(before) => Ok(http::replayed(answer(&before.as_created()))),
    }
}
