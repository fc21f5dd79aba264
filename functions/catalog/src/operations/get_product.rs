//! `GET /products/{product_id}`: returns a product that is sold.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::ProductView;
use crate::{Catalog, error::CatalogError};

/// Answers `200` with the product, or `304` if `If-None-Match` names this version.
///
/// # Errors
/// 404 if the product does not exist or is no longer sold.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/products/{product_id}",
    params(("product_id" = shared::ids::ProductId, Path, description = "The product."), shared::api_document::IfNoneMatch),
    responses(
        (status = 200, description = "The product.", body = ProductView, headers(("ETag"), ("Cache-Control"))),
        (status = 304, description = "Nothing has changed since that version.", headers(("ETag"), ("Cache-Control"))),
    ),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["product_not_found"]))),
))]
pub async fn get_product(catalog: Arc<Catalog>, request: Request) -> Result<Response, Problem> {
    let id = request.path_id("product_id", "product")?;
    let found = catalog.store.find(id).await?;
    let product = found.filter(|product| product.is_active()).ok_or(CatalogError::NotFound)?;

    let answer = http::ok(&ProductView::new(&product, catalog.max_per_order))
        .etag(product.version)
        .cached("public, max-age=30");
    Ok(answer.unless_matching(request.header("if-none-match")))
}
