//! `PUT /products/{product_id}`: replaces all details of a product.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::ProductId,
    problem::Problem,
};

use super::{ProductInput, ProductView};
use crate::{Catalog, domain::Product, error::CatalogError, store::ReplaceOutcome};

/// Answers `200` with the next version of the product. Omitted optional fields are removed. A new
/// SKU is taken and the previous one released in one transaction. A repeated request answers `200`
/// again and changes nothing.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 400 and 422 for an invalid request, 404 for an
/// unknown or archived product, 428 without `If-Match`, 412 if the product has changed since, 409
/// `sku_taken`.
#[cfg_attr(feature = "api-document", utoipa::path(
    put,
    path = "/products/{product_id}",
    params(("product_id" = ProductId, Path, description = "The product."), shared::api_document::IfMatch),
    request_body = ProductInput,
    responses((status = 200, description = "The product as it is now.", body = ProductView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["product_not_found", "sku_taken", "duplicate_price", "invalid_compare_at"]))),
))]
pub async fn update_product(catalog: Arc<Catalog>, request: Request) -> Result<Response, Problem> {
    request.admin()?;
    let id: ProductId = request.path_id("product_id", "product")?;
    let seen = request.if_match()?;
    let wanted = request.json::<ProductInput>()?.details()?;

    let answer = |product: &Product| {
        Ok(http::ok(&ProductView::new(product, catalog.max_per_order)).etag(product.version))
    };
    let product =
        catalog.store.find(id).await?.filter(Product::is_active).ok_or(CatalogError::NotFound)?;
    if product.is_result_of(seen, &wanted) {
        return answer(&product);
    }
    if product.version != seen {
        return Err(CatalogError::Stale { current: product.version }.into());
    }
    if product.details == wanted {
        return answer(&product);
    }

    let after = product.updated(wanted, catalog.clock.now(), request.trace().clone());
    match catalog.store.replace(&product, &after).await? {
        ReplaceOutcome::Written => answer(&after),
        ReplaceOutcome::VersionConflict(current)
            if current.is_active() && current.is_result_of(seen, &after.details) =>
        {
            answer(&current)
        }
        ReplaceOutcome::VersionConflict(current) if current.is_active() => {
            Err(CatalogError::Stale { current: current.version }.into())
        }
        ReplaceOutcome::VersionConflict(_) => Err(CatalogError::NotFound.into()),
        ReplaceOutcome::SkuTaken => Err(CatalogError::SkuTaken.into()),
    }
}
