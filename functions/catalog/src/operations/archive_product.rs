//! `DELETE /products/{product_id}`: sells a product no more.

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

/// Answers `204`, and again `204` for whatever is archived already. Nobody sees the product any
/// more, and its SKU is free for another one; orders that have it keep what they know.
///
/// # Errors
/// 401 and 403 for everybody but admins, 404 for what was never a product, 428 without `If-Match`,
/// 412 when somebody has changed the product since.
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
        // It takes no SKU: it lets one go.
        ReplaceOutcome::SkuTaken => Err(refusal(&product)),
    }
}

/// What is on sale has been changed; of what a later release calls by another name nobody is told.
fn refusal(product: &Product) -> Problem {
    if product.is_active() {
        CatalogError::Stale { current: product.version }.into()
    } else {
        CatalogError::NotFound.into()
    }
}
