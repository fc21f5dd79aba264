//! `GET /payments?order_id=`: lists the payments of an order, oldest first.

use std::sync::Arc;

use shared::{
    http::{self, CursorKey, Page, Request, Response},
    ids::{OrderId, PrefixedId},
    problem::Problem,
    validation::Violation,
};

use crate::{Payments, domain::Attempt, error::PaymentError, view::PaymentView};

/// Returns `200` with a page of payments to the order's buyer and to admins.
///
/// An order allows a limited number of attempts, so all of them are read and sorted in memory.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/payments",
    description = "",
    params(("order_id" = OrderId, Query, description = "Id of the order whose payments to list."), http::PageRequest),
    responses((status = 200, description = "A page of payments, oldest first.", body = Page<PaymentView>)),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["owner", "admin"])), ("x-problems" = json!(["required", "order_not_found"]))),
))]
pub async fn list_payments(payments: Arc<Payments>, request: Request) -> Result<Response, Problem> {
    let reader = request.caller()?;
    let wanted = request.query("order_id")?.ok_or_else(|| {
        Problem::invalid_field(
            "?order_id",
            &Violation::new("required", "The query parameter order_id is required."),
        )
    })?;
    let page = request.page()?;
    let order = OrderId::parse(wanted).ok_or(PaymentError::OrderNotFound)?;
    let (reader_id, order_id) = (reader.user_id.to_string(), order.to_string());
    let scope = ["list-payments", &reader_id, &order_id];
    let now = payments.clock.now();
    let after = match page.has_cursor() {
        true => page.after(&payments.cursor_key().await?, &scope, now)?,
        false => None,
    };

    let (intent, mut attempts) =
        payments.store.intent_and_attempts(order).await.map_err(PaymentError::from)?;
    intent.filter(|intent| reader.may_see(intent.user_id)).ok_or(PaymentError::OrderNotFound)?;
    attempts.sort_by_cached_key(position);
    let remaining = attempts
        .iter()
        .filter(|attempt| after.as_ref().is_none_or(|after| position(attempt) > *after));
    let mut found: Vec<&Attempt> = remaining.take(page.limit_plus_one() as usize).collect();

    let more = found.len() > page.limit as usize;
    found.truncate(page.limit as usize);
    let next_cursor = match found.last() {
        Some(last) if more => Some(page.next(
            &payments.cursor_key().await?,
            &scope,
            &position(last),
            now,
            &payments.ids,
        )),
        _ => None,
    };
    Ok(http::ok(&Page { items: found.into_iter().map(PaymentView::from).collect(), next_cursor }))
}

/// Sort key of an attempt in the list; the cursor contains it.
fn position(attempt: &Attempt) -> String {
    format!("{}#{}", attempt.created_at, attempt.payment_id)
}

impl Payments {
    async fn cursor_key(&self) -> Result<CursorKey, PaymentError> {
        Ok(CursorKey::new(self.secrets.keys("payments-key").await?.derive("cursor")))
    }
}
