//! `GET /markets/{market}/shipping-methods`: lists the shipping methods of a market.

use std::sync::Arc;

use shared::{
    http::{self, Page, Request, Response},
    problem::Problem,
};

use super::{ShippingMethodView, path};
use crate::{Pricing, domain::ShippingMethod, error::PricingError};

/// Answers `200` with a page. A market has few shipping methods, so all are read for each page.
///
/// # Errors
/// 401 and 403 unless the caller is an admin, 404 for an unknown market, 422 for an invalid limit,
/// 400 for a cursor of another list.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/markets/{market}/shipping-methods",
    params(("market" = shared::market::MarketId, Path, description = "The market."), http::PageRequest),
    responses((status = 200, description = "A page of shipping methods.", body = Page<ShippingMethodView>)),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["market_not_found"]))),
))]
pub async fn list_shipping_methods(
    pricing: Arc<Pricing>,
    request: Request,
) -> Result<Response, Problem> {
    let admin = request.admin()?.user_id.to_string();
    let market = path::market(request.path_parameter("market"))?;
    let page = request.page()?;
    let scope = ["list-shipping-methods", admin.as_str(), market.as_str()];
    let now = pricing.clock.now();

    let after = if page.has_cursor() {
        page.after(&pricing.cursor_key().await?, &scope, now)?
    } else {
        None
    };
    let found = pricing.store.market(&market).await?;
    found.filter(|market| market.is_active()).ok_or(PricingError::MarketNotFound)?;
    let rules = pricing.store.rules::<ShippingMethod>(&market).await?;
    let mut rest = rules.into_iter().filter(|(place, _)| Some(place) > after.as_ref()).peekable();

    let mut items = Vec::new();
    let mut last = None;
    for (place, rule) in rest.by_ref().take(page.limit as usize) {
        items.push(ShippingMethodView::from(&rule));
        last = Some(place);
    }
    let next_cursor = match last.filter(|_| rest.peek().is_some()) {
        Some(last) => {
            Some(page.next(&pricing.cursor_key().await?, &scope, &last, now, &pricing.ids))
        }
        None => None,
    };
    Ok(http::ok(&Page { items, next_cursor }))
}
