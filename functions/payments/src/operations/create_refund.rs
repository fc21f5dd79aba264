//! `POST /payments/{payment_id}/refunds`: gives a payment back, or a part of it.

use std::sync::Arc;

use provider::{PaymentId, RefundId};
use serde::{Deserialize, Deserializer, Serialize};
use shared::{
    http::{self, Request, Response},
    ids,
    money::{Currency, MAX_AMOUNT, Money},
    problem::Problem,
    validation::Violation,
};

use crate::{
    Payments, TRIES,
    domain::{Refund, RefundReason, RefundState, RequestedRefund, begin_requested_refund},
    error::PaymentError,
    store::{Claim, Stored},
    view::RefundView,
};

/// How much is to be given back, and why. Without an amount it is all that may be given back.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct CreateRefund {
    #[serde(default)]
    amount: Option<RefundAmount>,
    reason: RefundReason,
}

/// Money, and not nothing.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct RefundAmount {
    /// Minor units (cents), from 1.
    #[serde(deserialize_with = "at_least_one")]
    #[cfg_attr(feature = "api-document", schema(minimum = 1, maximum = 99_999_999))]
    amount: i64,
    currency: Currency,
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let amount = i64::deserialize(deserializer)?;
    let violation = || Violation::out_of_range(format!("A refund is a whole number of minor units from 1 to {MAX_AMOUNT}."));
    if (1..=MAX_AMOUNT).contains(&amount) { Ok(amount) } else { Err(serde::de::Error::custom(violation())) }
}

/// Answers `201` with the refund that is done, `202` with one whose outcome is not known yet. A repeated `Idempotency-Key` answers what
/// became of the first request, and gives nothing back twice.
///
/// What it takes it takes in the write that records it, before anything leaves: refunds never sum above what was captured.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/payments/{payment_id}/refunds",
    description = "",
    params(("payment_id" = PaymentId, Path, description = "The payment."), http::IdempotencyKey),
    request_body = CreateRefund,
    responses(
        (status = 201, description = "The refund, which is done.", body = RefundView),
        (status = 202, description = "The refund: repeat the request until its outcome is known.", body = RefundView),
    ),
    security(("bearer" = [])),
    extensions(
        ("x-roles" = json!(["admin"])),
        ("x-problems" = json!([
            "payment_not_found", "request_in_progress", "not_refundable", "exceeds_refundable", "currency_mismatch", "refund_failed",
            "provider_unavailable",
        ])),
    ),
))]
pub async fn create_refund(payments: Arc<Payments>, request: Request) -> Result<Response, Problem> {
    let admin = request.admin()?;
    let payment_id = request.path_parameter("payment_id").and_then(PaymentId::parse).ok_or(PaymentError::PaymentNotFound)?;
    let key = request.idempotency_key()?;
    let wanted = request.json::<CreateRefund>()?;

    let refund_id: RefundId = key.derive_id(&admin, "create-refund");
    let fingerprint = ids::fingerprint(&(payment_id, &wanted));
    let lock_owner = payments.lock_owner();
    let asked = RequestedRefund {
        refund_id,
        amount: wanted.amount.map(|money| Money::new(money.amount, money.currency)),
        reason: wanted.reason.into(),
        by: admin.user_id,
        request_id: request.id().to_owned(),
    };
    let known = |error| Problem::from(PaymentError::from(error));
    let mut standing = payments.store.known_about_refund(payment_id, refund_id).await.map_err(known)?;
    let mut leave = None;
    for _ in 0..TRIES {
        if let Some(claim) = &standing.claim {
            if claim.fingerprint != fingerprint {
                return Err(PaymentError::KeyReused.into());
            }
            let (Some(head), Some(paid), Some(refund)) = (standing.head, standing.attempt, standing.refund) else {
                // They were read just before they were written.
                standing = payments.store.known_about_refund(payment_id, refund_id).await.map_err(known)?;
                continue;
            };
            if refund.can_be_taken_over(payments.clock.now()) || refund.is_new_of(&lock_owner) {
                let asking = payments.still_at_the_door(leave, standing.breaker, request.deadline()).await?;
                let refund = payments.send_refund(&asking, head, paid, refund).await?;
                return answer(&payments, &request, &refund);
            }
            return answer(&payments, &request, &refund).map(http::replayed);
        }

        let now = payments.clock.now();
        let (Some(head), Some(paid)) = (standing.head.take(), standing.attempt.take()) else {
            return Err(PaymentError::PaymentNotFound.into());
        };
        let change =
            begin_requested_refund(&head, &paid, &asked, &lock_owner, now, request.trace()).map_err(PaymentError::NotRefundable)?;
        let asking = payments.still_at_the_door(leave.take(), standing.breaker.clone(), request.deadline()).await?;
        let claim = Claim { payment_id, refund_id: Some(refund_id), fingerprint: fingerprint.clone(), created_at: now };
        match payments.store.write(&change, Some(&claim)).await.map_err(known)? {
            Stored::Written => {
                let (head, refund) = (change.head.unwrap_or(head), change.refund.ok_or(PaymentError::NotReadable)?);
                let refund = payments.send_refund(&asking, head, paid, refund).await?;
                return answer(&payments, &request, &refund);
            }
            Stored::Refused(newer) => {
                leave = Some(asking);
                (standing.head, standing.attempt) = (Some(head), Some(paid));
                standing = standing.updated(*newer);
            }
        }
    }
    Err(PaymentError::Contention.into())
}

/// What there is to say of a refund: the same for the request that made it and for each repetition.
fn answer(payments: &Payments, request: &Request, refund: &Refund) -> Result<Response, Problem> {
    let now = payments.clock.now();
    match &refund.state {
        RefundState::Succeeded => {
            // It is shown with its payment.
            let location = request.location(&format!("/payments/{}", refund.payment_id));
            Ok(http::created(&location, &RefundView::from(refund)))
        }
        // One that failed after it had succeeded has failed for whoever asks again.
        RefundState::Failed | RefundState::Reversed => {
            let reason = refund.failure_reason.clone().unwrap_or_default();
            let error = PaymentError::RefundFailed { refund_id: refund.refund_id, reason };
            // The document carries the id of the request that asked for it, so that it is the same each time.
            let request_id = refund.request_id.as_deref().unwrap_or(request.id());
            Ok(Response::from_problem(&error.into(), request_id))
        }
        RefundState::New | RefundState::Sent if refund.is_locked(now) => {
            let retry_after_seconds = refund.dispatch.lock.until.since(now).as_secs().clamp(1, 5);
            Err(PaymentError::RequestInProgress { retry_after_seconds }.into())
        }
        _ => Ok(http::accepted(&RefundView::from(refund))),
    }
}
