//! `DELETE /products/{product_id}`: archives a product.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::ProductId,
    problem::Problem,
};

use crate::{
    Catalog,
    domain::{Product, Status},
    error::CatalogError,
    store::ReplaceOutcome,
};

/// Answers `204`, also if the product is already archived. Hides the product and releases its SKU.
/// Existing orders keep their copy.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 404 for an unknown product, 428 without `If-Match`,
/// 412 if the product has changed since.
#[cfg_attr(feature = "api-document", utoipa::path(
    delete,
    path = "/products/{product_id}",
    params(("product_id" = ProductId, Path, description = "The product."), shared::api_document::IfMatch),
    responses((status = 204, description = "It is no longer sold.")),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["product_not_found"]))),
))]
pub async fn archive_product(catalog: Arc<Catalog>, request: Request) -> Result<Response, Problem> {
    request.admin()?;
    let id: ProductId = request.path_id("product_id", "product")?;
    let seen = request.if_match()?;

    let product = catalog.store.find(id).await?.ok_or(CatalogError::NotFound)?;
    if product.status == Status::Archived {
        return Ok(http::no_content());
    }
    if product.version != seen || !product.is_active() {
        return Err(refusal(&product));
    }
    let after = product.archived(catalog.clock.now(), request.trace().clone());
    match catalog.store.replace(&product, &after).await? {
        ReplaceOutcome::Written => Ok(http::no_content()),
        ReplaceOutcome::VersionConflict(current) if current.status == Status::Archived => {
            Ok(http::no_content())
        }
        ReplaceOutcome::VersionConflict(current) => Err(refusal(&current)),
        // Archiving takes no new SKU, so the SKU to release belongs to another product.
        ReplaceOutcome::SkuTaken => Err(refusal(&product)),
    }
}

/// 412 if the product is active, because it has changed. Otherwise 404: a product with a status of
/// a later release cannot be changed.
fn refusal(product: &Product) -> Problem {
    if product.is_active() {
        CatalogError::Stale { current: product.version }.into()
    } else {
        CatalogError::NotFound.into()
    }
}
