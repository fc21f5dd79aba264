//! `GET /orders`: the caller's orders, or for the shop those of a user or with a status; the newest first.
//!
//! Where both a user and a status are asked for, a page is taken from the user's orders and then narrowed: it may hold fewer than
//! `limit` orders, even none, while `next_cursor` still leads on.

use std::sync::Arc;

use shared::{
    auth::Caller,
    http::{self, CursorKey, Page, Request, Response},
    ids::{PrefixedId, UserId},
    problem::Problem,
    validation::Violation,
};

use super::view::OrderSummaryView;
use crate::{Orders, domain::Status, store::Listed};

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    http::run(Orders::from_env, list_orders)
}

/// Answers `200` with a page of orders.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/orders",
    params(
        ("status" = Option<Status>, Query, description = "Only orders that have come this far."),
        ("user_id" = Option<UserId>, Query, description = "Only this user's orders; for admins."),
        http::PageRequest,
    ),
    responses((status = 200, description = "A page of orders, the newest first.", body = Page<OrderSummaryView>)),
    security(("bearer" = [])),
    extensions(
        ("x-roles" = json!(["user", "admin"])),
        ("x-problems" = json!(["unknown_value", "invalid_id", "filter_required"])),
    ),
))]
pub async fn list_orders(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let status = request.query("status")?.map(parse_status).transpose()?;
    let listed = wanted(&caller, request.query("user_id")?, status.clone())?;
    let page = request.page()?;

    let now = orders.clock.now();
    let scope = ["list-orders", &caller.user_id.to_string(), &format!("{listed:?}"), status.as_ref().map_or("", Status::name)];
    let mut key = None;
    let mut after = None;
    if page.has_cursor() {
        after = page.after(key.insert(cursor_key(&orders).await?), &scope, now)?;
    }
    let mut found = orders.store.list(&listed, after, page.limit_and_one()).await?;

    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut next_cursor = None;
    if found.len() > limit {
        found.truncate(limit);
        let last = found.last().map(|order| order.listed_at.clone()).unwrap_or_default();
        let key = match key {
            Some(key) => key,
            None => cursor_key(&orders).await?,
        };
        next_cursor = Some(page.next(&key, &scope, &last, now, &orders.ids));
    }
    let shown = found.into_iter().filter(|order| status.as_ref().is_none_or(|status| order.status == *status));
    Ok(http::ok(&Page { items: shown.map(OrderSummaryView::from).collect(), next_cursor }))
}

/// Customers see their own orders; the shop says whose, or with which status.
fn wanted(caller: &Caller, user_id: Option<&str>, status: Option<Status>) -> Result<Listed, Problem> {
    let named = user_id.map(|id| UserId::parse(id).ok_or_else(|| parameter("user_id", "invalid_id", "A user's id begins with usr_.")));
    match (named.transpose()?, status) {
        (Some(user_id), _) if caller.may_see(user_id) => Ok(Listed::By(user_id)),
        (Some(_), _) => Err(Problem::forbidden()),
        (None, _) if !caller.is_admin() => Ok(Listed::By(caller.user_id)),
        (None, Some(status)) => Ok(Listed::With(status)),
        (None, None) => Err(Problem::unprocessable("filter_required", "A filter is needed").detail("Give a status or a user_id.")),
    }
}

fn parse_status(name: &str) -> Result<Status, Problem> {
    let known = "Use pending, confirmed, shipped, delivered, cancelled or failed.";
    Status::parse(name).ok_or_else(|| parameter("status", "unknown_value", known))
}

fn parameter(name: &str, code: &str, detail: &str) -> Problem {
    Problem::invalid_field(&format!("?{name}"), &Violation::new(code, detail))
}

async fn cursor_key(orders: &Orders) -> Result<CursorKey, Problem> {
    orders.secrets.key("orders-key", "cursor").await.map(CursorKey::new).map_err(|error| Problem::unavailable().because(&error))
}
