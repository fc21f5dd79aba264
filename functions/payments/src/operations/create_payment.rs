//! `POST /payments`: pays an order.

use std::sync::Arc;

use provider::{CardToken, PaymentId};
use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    http::{self, Request, Response},
    ids::{self, OrderId, UserId},
    money::Money,
    problem::Problem,
};

use crate::{
    MAX_WRITE_ATTEMPTS, Payments,
    circuit_breaker::{CallTime, ProviderCall},
    domain::{
        Attempt, AttemptState, Change, NewAttempt, PaymentIntent, PaymentMethod, PaymentMethodType,
    },
    error::PaymentError,
    store::{IdempotencyRecord, Records, WriteOutcome},
    view::PaymentView,
};

/// The payment request. The order determines the amount; an amount in the request must equal it.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct CreatePayment {
    order_id: OrderId,
    #[serde(default)]
    amount: Option<Money>,
    payment_method: RequestedMethod,
}

/// The payment method to charge: a token of the payment provider, never a card number.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = PaymentMethod))]
#[serde(deny_unknown_fields)]
struct RequestedMethod {
    r#type: PaymentMethodType,
    token: CardToken,
}

/// Charges an order. Returns `201` with the completed payment, or `402` if it was declined. Returns
/// `202` if the outcome is not known yet, or if the customer must act first (`next_action` has the
/// page). A repeated `Idempotency-Key` returns the result of the first request and charges nothing.
/// While the circuit breaker is open nothing is charged: `503` with `Retry-After`.
///
/// A payment takes three round trips to the table: read, record the attempt as sent, record the
/// outcome.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/payments",
    description = "",
    params(http::IdempotencyKey),
    request_body = CreatePayment,
    responses(
        (status = 201, description = "The completed payment.", body = PaymentView),
        (status = 202, description = "The payment. If it has a `next_action`, send the customer there. Read the payment until its outcome is known.", body = PaymentView),
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
pub async fn create_payment(
    payments: Arc<Payments>,
    request: Request,
) -> Result<Response, Problem> {
    let payer = request.caller()?;
    let key = request.idempotency_key()?;
    let wanted = request.json::<CreatePayment>()?;

    let payment = RequestedPayment {
        payment_id: PaymentId::new(wanted.order_id, key.derive_uuid(&payer, "create-payment")),
        payer: payer.user_id,
        fingerprint: ids::fingerprint(&wanted),
        lock_owner: payments.lock_owner(),
        wanted,
    };
    let mut records =
        payments.store.records_for_payment(payment.payment_id).await.map_err(PaymentError::from)?;
    let mut sending = None;
    for _ in 0..MAX_WRITE_ATTEMPTS {
        let now = payments.clock.now();
        let decision = payment.decide(&records, now)?;
        match payment.perform(&payments, &request, decision, &records, &mut sending, now).await? {
            Performed::Answered(response) => return Ok(response),
            Performed::VersionConflict(newer) => records = *newer,
        }
    }
    Err(PaymentError::Contention.into())
}

/// A payment request before any record is read.
struct RequestedPayment {
    /// Derived from the idempotency key: a repeated request has the same attempt.
    payment_id: PaymentId,
    payer: UserId,
    fingerprint: String,
    lock_owner: String,
    wanted: CreatePayment,
}

/// How to handle a payment request. Records are boxed because they are large.
enum Decision {
    /// The order can be paid: record an attempt and send it.
    Begin(Box<PaymentIntent>),
    /// This function has recorded the attempt, but the response of that write was lost: send it.
    Send(Box<(PaymentIntent, Attempt)>),
    /// The request was handled before: return its result.
    Replay(Box<Attempt>),
    /// The key is in use, but intent and attempt were read just before they were written: read
    /// again.
    ReadAgain,
}

/// Result of performing a decision.
enum Performed {
    Answered(Response),
    /// Another writer was faster: decide again with these records.
    VersionConflict(Box<Records>),
}

impl RequestedPayment {
    /// Decides from the stored records.
    fn decide(&self, records: &Records, now: Timestamp) -> Result<Decision, PaymentError> {
        let Some(idempotency_record) = &records.idempotency_record else {
            let intent = records
                .intent
                .as_ref()
                .filter(|intent| intent.user_id == self.payer && !intent.is_free())
                .ok_or(PaymentError::OrderNotFound)?;
            let not_payable =
                |reason| PaymentError::NotPayable { reason, state: intent.state.clone() };
            intent.may_start(now).map_err(not_payable)?;
            intent.check_amount(self.wanted.amount).map_err(not_payable)?;
            return Ok(Decision::Begin(Box::new(intent.clone())));
        };
        if idempotency_record.fingerprint != self.fingerprint {
            return Err(PaymentError::KeyReused);
        }
        let (Some(intent), Some(attempt)) = (&records.intent, &records.attempt) else {
            return Ok(Decision::ReadAgain);
        };
        Ok(if attempt.is_sent_by(&self.lock_owner) {
            Decision::Send(Box::new((intent.clone(), attempt.clone())))
        } else {
            Decision::Replay(Box::new(attempt.clone()))
        })
    }

    /// Performs a decision. `sending` holds a permit for a provider call from an earlier iteration,
    /// and the time limit of that call.
    async fn perform(
        &self,
        payments: &Payments,
        request: &Request,
        decision: Decision,
        records: &Records,
        sending: &mut Option<(ProviderCall, CallTime)>,
        now: Timestamp,
    ) -> Result<Performed, Problem> {
        let attempt = match decision {
            Decision::ReadAgain => {
                let records = payments
                    .store
                    .records_for_payment(self.payment_id)
                    .await
                    .map_err(PaymentError::from)?;
                return Ok(Performed::VersionConflict(Box::new(records)));
            }
            Decision::Replay(attempt) => {
                return answer(payments, request, &attempt)
                    .map(http::replayed)
                    .map(Performed::Answered);
            }
            Decision::Send(known) => {
                let (intent, attempt) = *known;
                match sending.take() {
                    Some((call, time)) => {
                        payments.charge(&call, time, intent, attempt, true).await?
                    }
                    None => attempt,
                }
            }
            Decision::Begin(intent) => {
                let held = sending.take().map(|(call, _)| call);
                let call = payments
                    .reuse_or_acquire(held, records.breaker.clone(), request.deadline())
                    .await?;
                let time = call.call_time();
                let attempt = self.new_attempt(payments, request, &intent, now).sent_at_once(
                    &self.lock_owner,
                    payments.clock.now(),
                    time.lock,
                );
                let processing = intent.processing_with(&attempt, now);
                let change = Change {
                    intent: Some(processing.clone()),
                    attempt: Some(attempt.clone()),
                    ..Change::default()
                };
                let (payment_id, fingerprint) = (self.payment_id, self.fingerprint.clone());
                let idempotency_record =
                    IdempotencyRecord { payment_id, refund_id: None, fingerprint, created_at: now };
                if let WriteOutcome::Conflict(newer) = payments
                    .store
                    .write(&change, Some(&idempotency_record))
                    .await
                    .map_err(PaymentError::from)?
                {
                    *sending = Some((call, time));
                    return Ok(Performed::VersionConflict(Box::new(
                        records.clone().updated(*newer),
                    )));
                }
                payments.charge(&call, time, processing, attempt, true).await?
            }
        };
        answer(payments, request, &attempt).map(Performed::Answered)
    }

    fn new_attempt(
        &self,
        payments: &Payments,
        request: &Request,
        intent: &PaymentIntent,
        now: Timestamp,
    ) -> Attempt {
        let method = &self.wanted.payment_method;
        let new = NewAttempt {
            payment_id: self.payment_id,
            payment_method: PaymentMethod { r#type: method.r#type, token: method.token.clone() },
            provider: payments.provider.name(),
            livemode: payments.provider.is_live(),
            return_url: payments.provider.return_url(),
            request: Some((&self.fingerprint, request.id())),
            trace: request.trace(),
        };
        Attempt::new(intent, new, now)
    }
}

/// The response for an attempt: the same for the original request and for each repetition.
fn answer(payments: &Payments, request: &Request, attempt: &Attempt) -> Result<Response, Problem> {
    let now = payments.clock.now();
    match &attempt.state {
        AttemptState::Succeeded => {
            let location = request.location(&format!("/payments/{}", attempt.payment_id));
            Ok(http::created(&location, &PaymentView::as_settled(attempt)))
        }
        AttemptState::Declined | AttemptState::Abandoned => {
            let reason = attempt.failure_reason.clone().unwrap_or_default();
            let error = if attempt.was_abandoned_by_order() {
                PaymentError::OrderClosed
            } else {
                PaymentError::Declined { payment_id: attempt.payment_id, reason }
            };
            // The problem carries the id of the request that created the attempt, so every
            // repetition is identical.
            let request_id = attempt.request_id.as_deref().unwrap_or(request.id());
            Ok(Response::from_problem(&error.into(), request_id))
        }
        AttemptState::Sent if attempt.is_locked(now) => {
            let retry_after_seconds = attempt.dispatch.lock.until.since(now).as_secs().clamp(1, 5);
            Err(PaymentError::RequestInProgress { retry_after_seconds }.into())
        }
        _ => Ok(http::accepted(&PaymentView::from(attempt))),
    }
}
