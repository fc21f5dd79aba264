//! `POST /payments`: pays an order.

use std::sync::Arc;

use provider::{CardToken, PaymentId};
use serde::{Deserialize, Serialize};
use shared::{
    http::{self, Request, Response},
    ids::{self, OrderId},
    money::Money,
    problem::Problem,
};

use crate::{
    Payments, TRIES,
    asking::sender_gone,
    domain::{Attempt, AttemptState, Change, MethodType, NewAttempt, PaymentMethod},
    error::PaymentError,
    store::{Claim, Stored},
    view::PaymentView,
};

/// What the buyer sends. The amount is the order's; sent along, it is only compared.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct CreatePayment {
    order_id: OrderId,
    #[serde(default)]
    amount: Option<Money>,
    payment_method: RequestedMethod,
}

/// What to charge: a token of the payment provider, never a card number.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = PaymentMethod))]
#[serde(deny_unknown_fields)]
struct RequestedMethod {
    /// The kind of method.
    r#type: MethodType,
    /// The provider's token.
    token: CardToken,
}

/// Answers `201` with the completed payment, `202` where its outcome is not known yet or the customer has to do something first
/// (`next_action` says where), `402` where it was declined. A repeated `Idempotency-Key` answers what became of the first request, and
/// charges nothing. While the provider is left alone nothing begins: `503` says when to come back.
///
/// Four round trips to the table: read, begin, mark as sent, record the outcome.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/payments",
    description = "",
    params(http::IdempotencyKey),
    request_body = CreatePayment,
    responses(
        (status = 201, description = "The payment, which is completed.", body = PaymentView),
        (status = 202, description = "The payment: send the customer to its `next_action` where it has one, and read it again until its outcome is known.", body = PaymentView),
    ),
    security(("bearer" = [])),
    extensions(
        ("x-roles" = json!(["owner"])),
        ("x-problems" = json!([
            "payment_declined", "order_not_found", "request_in_progress", "payment_in_progress", "already_paid", "order_closed",
            "amount_mismatch", "currency_mismatch", "provider_unavailable",
        ])),
    ),
))]
pub async fn create_payment(payments: Arc<Payments>, request: Request) -> Result<Response, Problem> {
    let payer = request.caller()?;
    let key = request.idempotency_key()?;
    let wanted = request.json::<CreatePayment>()?;

    let payment_id = PaymentId::new(wanted.order_id, key.derive_uuid(&payer, "create-payment"));
    let fingerprint = ids::fingerprint(&wanted);
    let lock_owner = payments.lock_owner();
    let known = |error| Problem::from(PaymentError::from(error));
    let mut standing = payments.store.known_about(payment_id).await.map_err(known)?;
    let mut leave = None;
    for _ in 0..TRIES {
        if let Some(claim) = &standing.claim {
            if claim.fingerprint != fingerprint {
                return Err(PaymentError::KeyReused.into());
            }
            let (Some(head), Some(attempt)) = (standing.head, standing.attempt) else {
                // Head and attempt were read just before they were written.
                standing = payments.store.known_about(payment_id).await.map_err(known)?;
                continue;
            };
            if attempt.can_be_taken_over(payments.clock.now()) || attempt.is_new_of(&lock_owner) {
                let asking = payments.still_at_the_door(leave, standing.breaker, request.deadline()).await?;
                let attempt = payments.send(&asking, head, attempt).await?;
                return answer(&payments, &request, &attempt);
            }
            return answer(&payments, &request, &attempt).map(http::replayed);
        }

        let now = payments.clock.now();
        let head = standing.head.take().filter(|head| head.user_id == payer.user_id).ok_or(PaymentError::OrderNotFound)?;
        let refused = |reason| PaymentError::NotPayable { reason, state: head.state.clone() };
        head.may_start(now).map_err(refused)?;
        head.agrees_with(wanted.amount).map_err(refused)?;
        let asking = payments.still_at_the_door(leave.take(), standing.breaker.clone(), request.deadline()).await?;
        let new = NewAttempt {
            payment_id,
            payment_method: PaymentMethod { r#type: wanted.payment_method.r#type, token: wanted.payment_method.token.clone() },
            provider: payments.provider.name(),
            livemode: payments.provider.is_live(),
            lock_owner: &lock_owner,
            return_url: payments.provider.return_url(),
            abandoned_after: sender_gone(request.deadline()),
            request: Some((&fingerprint, request.id())),
            trace: request.trace(),
        };
        let attempt = Attempt::new(&head, new, now);
        let busy = head.busy_with(&attempt, now);
        let change = Change { head: Some(busy.clone()), attempt: Some(attempt.clone()), ..Change::default() };
        let claim = Claim { payment_id, refund_id: None, fingerprint: fingerprint.clone(), created_at: now };
        match payments.store.write(&change, Some(&claim)).await.map_err(known)? {
            Stored::Written => {
                let attempt = payments.send(&asking, busy, attempt).await?;
                return answer(&payments, &request, &attempt);
            }
            Stored::Refused(newer) => {
                leave = Some(asking);
                standing.head = Some(head);
                standing = standing.updated(*newer);
            }
        }
    }
    Err(PaymentError::Contention.into())
}

/// What there is to say of an attempt: the same for the request that made it and for each repetition.
fn answer(payments: &Payments, request: &Request, attempt: &Attempt) -> Result<Response, Problem> {
    let now = payments.clock.now();
    match &attempt.state {
        AttemptState::Succeeded => {
            let location = request.location(&format!("/payments/{}", attempt.payment_id));
            Ok(http::created(&location, &PaymentView::at_its_end(attempt)))
        }
        AttemptState::Declined | AttemptState::Abandoned => {
            let reason = attempt.failure_reason.clone().unwrap_or_default();
            let error = if attempt.was_fenced() {
                PaymentError::OrderGaveUp
            } else {
                PaymentError::Declined { payment_id: attempt.payment_id, reason }
            };
            // The document carries the id of the request that made the attempt, so that it is the same each time.
            let request_id = attempt.request_id.as_deref().unwrap_or(request.id());
            Ok(Response::from_problem(&error.into(), request_id))
        }
        AttemptState::New | AttemptState::Sent if attempt.is_locked(now) => {
            let retry_after_seconds = attempt.dispatch.lock.until.since(now).as_secs().clamp(1, 5);
            Err(PaymentError::RequestInProgress { retry_after_seconds }.into())
        }
        _ => Ok(http::accepted(&PaymentView::from(attempt))),
    }
}
