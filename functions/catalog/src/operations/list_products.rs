//! `GET /products`: lists the products that are sold, by name, optionally of one category.

use std::sync::Arc;

use shared::{
    http::{self, CursorKey, Page, PageRequest, Request, Response},
    problem::Problem,
};

use super::ProductView;
use crate::{Catalog, domain::Category, error::CatalogError};

/// Answers `200` with a page, or `304` if `If-None-Match` names it. The list and its cursors are the
/// same for all callers.
///
/// # Errors
/// 422 for an invalid limit or category, 400 for a cursor of another list.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/products",
    params(
        ("category" = Option<Category>, Query, description = "Only products of this category."),
        http::PageRequest,
        shared::api_document::IfNoneMatch,
    ),
    responses(
        (status = 200, description = "A page of products, by name.", body = Page<ProductView>, headers(("ETag"), ("Cache-Control"))),
        (status = 304, description = "Nothing has changed since that version.", headers(("ETag"), ("Cache-Control"))),
    ),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["invalid_category"]))),
))]
pub async fn list_products(catalog: Arc<Catalog>, request: Request) -> Result<Response, Problem> {
    let category = request.query("category")?.map(Category::parse).transpose();
    let category = category.map_err(|violation| Problem::invalid_field("?category", &violation))?;
    let page = request.page()?;
    let scope = ["list-products", category.as_ref().map_or("", Category::as_str)];
    let now = catalog.clock.now();

    let after = if page.has_cursor() {
        page.after(&catalog.cursor_key().await?, &scope, now)?
    } else {
        None
    };
    let found = catalog.store.list(category.as_ref(), after, page.limit).await?;

    let next_cursor = match found.next {
        Some(last) => {
            Some(page.next(&catalog.cursor_key().await?, &scope, &last, now, &catalog.ids))
        }
        None => None,
    };
    let view = |product| ProductView::listed(product, catalog.max_per_order);
    let items = found.items.iter().map(view).collect();
    let page = Page { items, next_cursor };
    // Every response has a new cursor, which does not make it another page.
    let period = page.next_cursor.as_ref().map(|_| PageRequest::cursor_period(now));
    let answer = http::ok(&page).etag_of(&(&page.items, period)).cached("public, max-age=30");
    Ok(answer.unless_matching(request.header("if-none-match")))
}

impl Catalog {
    async fn cursor_key(&self) -> Result<CursorKey, CatalogError> {
        Ok(CursorKey::new(self.secrets.keys("catalog-key").await?.derive("cursor")))
    }
}
