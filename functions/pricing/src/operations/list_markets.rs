//! `GET /markets`: lists the markets, by id.

use std::sync::Arc;

use shared::{
    http::{self, Page, Request, Response},
    problem::Problem,
};

use super::MarketView;
use crate::Pricing;

/// Answers `200` with a page.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 422 for an invalid limit, 400 for a cursor of another
/// list.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/markets",
    params(http::PageRequest),
    responses((status = 200, description = "A page of markets, by id.", body = Page<MarketView>)),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"]))),
))]
pub async fn list_markets(pricing: Arc<Pricing>, request: Request) -> Result<Response, Problem> {
    let admin = request.admin()?.user_id.to_string();
    let page = request.page()?;
    let scope = ["list-markets", admin.as_str()];
    let now = pricing.clock.now();

    let after = if page.has_cursor() {
        page.after(&pricing.cursor_key().await?, &scope, now)?
    } else {
        None
    };
    let found = pricing.store.list_markets(after, page.limit).await?;
    let next_cursor = match found.next {
        Some(last) => {
            Some(page.next(&pricing.cursor_key().await?, &scope, &last, now, &pricing.ids))
        }
        None => None,
    };
    let items = found.items.iter().map(MarketView::from).collect();
    Ok(http::ok(&Page { items, next_cursor }))
}
