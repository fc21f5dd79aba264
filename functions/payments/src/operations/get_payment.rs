//! `GET /payments/{payment_id}`: returns a payment.

use std::sync::Arc;

use provider::PaymentId;
use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use crate::{Payments, error::PaymentError, view::PaymentView};

/// Returns `200` with the payment to its buyer and to admins, and `404` to other users. `304` if
/// `If-None-Match` names this version.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/payments/{payment_id}",
    params(("payment_id" = PaymentId, Path, description = "Id of the payment."), shared::api_document::IfNoneMatch),
    responses(
        (status = 200, description = "The payment.", body = PaymentView, headers(("ETag"), ("Cache-Control"))),
        (status = 304, description = "Nothing has changed since that version.", headers(("ETag"), ("Cache-Control"))),
    ),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["owner", "admin"])), ("x-problems" = json!(["payment_not_found"]))),
))]
pub async fn get_payment(payments: Arc<Payments>, request: Request) -> Result<Response, Problem> {
    let reader = request.caller()?;
    let id = request
        .path_parameter("payment_id")
        .and_then(PaymentId::parse)
        .ok_or(PaymentError::PaymentNotFound)?;

    let attempt = payments.store.attempt(id).await.map_err(PaymentError::from)?;
    let attempt = attempt
        .filter(|attempt| reader.may_see(attempt.user_id))
        .ok_or(PaymentError::PaymentNotFound)?;

    let answer =
        http::ok(&PaymentView::from(&attempt)).etag(attempt.version).cached("private, no-cache");
    Ok(answer.unless_matching(request.header("if-none-match")))
}
