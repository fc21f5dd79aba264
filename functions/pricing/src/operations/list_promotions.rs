//! `GET /promotions`: lists the promotions, by creation.

use std::sync::Arc;

use shared::{
    http::{self, Page, Request, Response},
    problem::Problem,
};

use super::PromotionView;
use crate::Pricing;

/// Answers `200` with a page.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 422 for an invalid limit, 400 for a cursor of another
/// list.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/promotions",
    params(http::PageRequest),
    responses((status = 200, description = "A page of promotions, by creation.", body = Page<PromotionView>)),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"]))),
))]
pub async fn list_promotions(pricing: Arc<Pricing>, request: Request) -> Result<Response, Problem> {
    let admin = request.admin()?.user_id.to_string();
    let page = request.page()?;
    let scope = ["list-promotions", admin.as_str()];
    let now = pricing.clock.now();

    let after = if page.has_cursor() {
        page.after(&pricing.cursor_key().await?, &scope, now)?
    } else {
        None
    };
    let found = pricing.store.list_promotions(after, page.limit).await?;
    let next_cursor = match found.next {
        Some(last) => {
            Some(page.next(&pricing.cursor_key().await?, &scope, &last, now, &pricing.ids))
        }
        None => None,
    };
    let items = found.items.iter().map(PromotionView::from).collect();
    Ok(http::ok(&Page { items, next_cursor }))
}
