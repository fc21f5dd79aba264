//! `GET /orders`: lists the caller's orders, newest first; admins list those of all buyers.
//!
//! A page comes from one index, and the remaining filters apply to its orders. The index is read
//! until the page is full, but at most 500 orders: if the filters reject most of them, the page
//! contains fewer than `limit` orders, or none, although `next_cursor` is present.
//!
//! A number has its own index, which names the order; the order is then read. Its page is the only
//! one.

use std::sync::Arc;

use shared::{
    auth::Caller,
    http::{self, CursorKey, Page, Request, Response},
    ids::{PrefixedId, UserId},
    problem::Problem,
    validation::Violation,
};

use super::view::OrderSummaryView;
use crate::{
    Orders,
    domain::{Status, number::OrderNumber},
    store::{ListScope, OrderSummary},
};

/// Returns `200` with a page of orders, newest first. A page examines at most 500 orders. If the
/// filters reject most of them, it contains fewer than `limit` orders, or none, although
/// `next_cursor` is present.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/orders",
    params(
        ("status" = Option<Status>, Query, description = "Only orders with this status."),
        ("user_id" = Option<UserId>, Query, description = "Only orders of this user. Another user's orders are for admins."),
        ("needs_review" = Option<bool>, Query, description = "`true`: only orders that an operator has to review. For admins."),
        ("stuck" = Option<bool>, Query, description = "`true`: only stuck orders. A command had no answer at its second scheduled check, or five checks passed without progress. For admins."),
        ("number" = Option<String>, Query, description = "Only the order with this number, with or without hyphens, in any case. For admins."),
        http::PageRequest,
    ),
    responses((status = 200, description = "A page of orders, newest first.", body = Page<OrderSummaryView>)),
    security(("bearer" = [])),
    extensions(
        ("x-roles" = json!(["user", "admin"])),
        ("x-problems" = json!(["unknown_value", "invalid_id", "invalid_order_number", "filter_required"])),
    ),
))]
pub async fn list_orders(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let filter = Filter::of(&request)?;
    let list_scope = filter.scope(&caller)?;
    let page = request.page()?;

    let now = orders.clock.now();
    let (caller_id, source, narrowed) =
        (caller.user_id.to_string(), format!("{list_scope:?}"), filter.name());
    let scope = ["list-orders", &caller_id, &source, &narrowed];
    let mut key = None;
    let mut after = None;
    if page.has_cursor() {
        after = page.after(key.insert(cursor_key(&orders).await?), &scope, now)?;
    }
    let matches = |order: &OrderSummary| filter.matches(order);
    let found = orders.store.list(&list_scope, after, page.limit, matches).await?;

    let mut next_cursor = None;
    if let Some(last) = found.next {
        let key = match key {
            Some(key) => key,
            None => cursor_key(&orders).await?,
        };
        next_cursor = Some(page.next(&key, &scope, &last, now, &orders.ids));
    }
    let items = found.items.into_iter().map(OrderSummaryView::from).collect();
    Ok(http::ok(&Page { items, next_cursor }))
}

struct Filter {
    user_id: Option<UserId>,
    status: Option<Status>,
    needs_review: bool,
    stuck: bool,
    number: Option<OrderNumber>,
}

impl Filter {
    fn of(request: &Request) -> Result<Self, Problem> {
        let user_id = request.query("user_id")?;
        let user_id = user_id.map(|id| {
            UserId::parse(id)
                .ok_or_else(|| parameter("user_id", "invalid_id", "A user id starts with usr_."))
        });
        Ok(Self {
            status: request.query("status")?.map(parse_status).transpose()?,
            user_id: user_id.transpose()?,
            needs_review: parse_flag("needs_review", request.query("needs_review")?)?,
            stuck: parse_flag("stuck", request.query("stuck")?)?,
            number: request.query("number")?.map(parse_number).transpose()?,
        })
    }

    /// Chooses the index to read. Customers list their own orders. Admins list the orders of a
    /// user, those with a status, the flagged ones, or the one with a number.
    fn scope(&self, caller: &Caller) -> Result<ListScope, Problem> {
        let is_flagged = self.needs_review || self.stuck;
        if let Some(number) = self.number.filter(|_| caller.is_admin()) {
            return Ok(ListScope::Number(number));
        }
        match (self.user_id, &self.status) {
            (Some(user_id), _) if !caller.may_see(user_id) => Err(Problem::forbidden()),
            _ if (is_flagged || self.number.is_some()) && !caller.is_admin() => {
                Err(Problem::forbidden())
            }
            _ if is_flagged => Ok(ListScope::Flagged),
            (Some(user_id), _) => Ok(ListScope::User(user_id)),
            (None, _) if !caller.is_admin() => Ok(ListScope::User(caller.user_id)),
            (None, Some(status)) => Ok(ListScope::Status(status.clone())),
            (None, None) => Err(Problem::unprocessable("filter_required", "Filter required")
                .detail("Set status, user_id, number, needs_review or stuck.")),
        }
    }

    /// The filters that a cursor is bound to, besides its [`ListScope`]. A cursor with other
    /// filters is rejected.
    fn name(&self) -> String {
        let status = self.status.as_ref().map_or("", Status::name);
        match (self.needs_review, self.stuck) {
            (false, false) => status.to_owned(),
            (needs_review, stuck) => format!("{status} {:?} {needs_review} {stuck}", self.user_id),
        }
    }

    fn matches(&self, order: &OrderSummary) -> bool {
        self.status.as_ref().is_none_or(|status| order.status == *status)
            && self.user_id.is_none_or(|user_id| order.user_id == user_id)
            && (!self.needs_review || order.needs_review.is_some())
            && (!self.stuck || order.stuck)
    }
}

/// Parses a filter that is `true`, `false` or absent.
fn parse_flag(name: &str, given: Option<&str>) -> Result<bool, Problem> {
    match given {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(parameter(name, "unknown_value", "Use true or false.")),
    }
}

fn parse_number(typed: &str) -> Result<OrderNumber, Problem> {
    let form = "An order number has twelve letters and digits, such as 7K3M-Q8ZT-0V2R.";
    OrderNumber::parse(typed).ok_or_else(|| parameter("number", "invalid_order_number", form))
}

fn parse_status(name: &str) -> Result<Status, Problem> {
    let known = "Use pending, confirmed, shipped, delivered, cancelled or failed.";
    Status::parse(name).ok_or_else(|| parameter("status", "unknown_value", known))
}

fn parameter(name: &str, code: &str, detail: &str) -> Problem {
    Problem::invalid_field(&format!("?{name}"), &Violation::new(code, detail))
}

async fn cursor_key(orders: &Orders) -> Result<CursorKey, Problem> {
    let keys = orders
        .secrets
        .keys("orders-key")
        .await
        .map_err(|error| Problem::unavailable().caused_by(&error))?;
    Ok(CursorKey::new(keys.derive("cursor")))
}
