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
    circuit_breaker::{ProviderCall, sender_stops_in},
    domain::{
        Attempt, AttemptState, Change, NewAttempt, PaymentIntent, PaymentMethod, PaymentMethodType,
    },
    error::PaymentError,
    store::{IdempotencyRecord, Records, WriteOutcome},
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
    r#type: PaymentMethodType,
    /// The provider's token.
    token: CardToken,
}

/// Answers `201` with the completed payment, `202` where its outcome is not known yet or the
/// customer has to do something first (`next_action` says where), `402` where it was declined. A
/// repeated `Idempotency-Key` answers what became of the first request, and charges nothing. While
/// the provider is left alone nothing begins: `503` says when to come back.
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
    let mut permit = None;
    for _ in 0..MAX_WRITE_ATTEMPTS {
        let now = payments.clock.now();
        let decision = payment.decide(&records, now)?;
        match payment.perform(&payments, &request, decision, &records, &mut permit, now).await? {
            Performed::Answered(response) => return Ok(response),
            Performed::VersionConflict(newer) => records = *newer,
        }
    }
    Err(PaymentError::Contention.into())
}

/// A request to pay, as far as it is known before anything is read.
struct RequestedPayment {
    /// Follows from the idempotency key: the same request has the same attempt.
    payment_id: PaymentId,
    payer: UserId,
    fingerprint: String,
    lock_owner: String,
    wanted: CreatePayment,
}

/// What a request to pay comes to. Records are boxed, because they are large.
enum Decision {
    /// The order can be paid: record an attempt and send it.
    Begin(Box<PaymentIntent>),
    /// The request has recorded its attempt, and no function is sending it: send it.
    Send(Box<(PaymentIntent, Attempt)>),
    /// The request was handled before: repeat its answer.
    Replay(Box<Attempt>),
    /// The key was used, but intent and attempt were read just before they were written: read them
    /// again.
    ReadAgain,
}

/// What became of a decision.
enum Performed {
    /// The request is answered.
    Answered(Response),
    /// Another function has written meanwhile: decide again, by these records.
    VersionConflict(Box<Records>),
}

impl RequestedPayment {
    /// Decides by what is recorded.
    fn decide(&self, records: &Records, now: Timestamp) -> Result<Decision, PaymentError> {
        let Some(idempotency_record) = &records.idempotency_record else {
            let intent = records
                .intent
                .as_ref()
                .filter(|intent| intent.user_id == self.payer)
                .ok_or(PaymentError::OrderNotFound)?;
            let refused = |reason| PaymentError::NotPayable { reason, state: intent.state.clone() };
            intent.may_start(now).map_err(refused)?;
            intent.check_amount(self.wanted.amount).map_err(refused)?;
            return Ok(Decision::Begin(Box::new(intent.clone())));
        };
        if idempotency_record.fingerprint != self.fingerprint {
            return Err(PaymentError::KeyReused);
        }
        let (Some(intent), Some(attempt)) = (&records.intent, &records.attempt) else {
            return Ok(Decision::ReadAgain);
        };
        let is_to_be_sent =
            attempt.can_be_taken_over(now) || attempt.is_unsent_by(&self.lock_owner);
        Ok(if is_to_be_sent {
            Decision::Send(Box::new((intent.clone(), attempt.clone())))
        } else {
            Decision::Replay(Box::new(attempt.clone()))
        })
    }

    /// Performs a decision. `permit` is the provider's, once it was given.
    async fn perform(
        &self,
        payments: &Payments,
        request: &Request,
        decision: Decision,
        records: &Records,
        permit: &mut Option<ProviderCall>,
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
                let call = payments
                    .reuse_or_acquire(permit.take(), records.breaker.clone(), request.deadline())
                    .await?;
                payments.send(&call, intent, attempt).await?
            }
            Decision::Begin(intent) => {
                let call = payments
                    .reuse_or_acquire(permit.take(), records.breaker.clone(), request.deadline())
                    .await?;
                let attempt = self.new_attempt(payments, request, &intent, now);
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
                    *permit = Some(call);
                    return Ok(Performed::VersionConflict(Box::new(
                        records.clone().updated(*newer),
                    )));
                }
                payments.send(&call, processing, attempt).await?
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
            lock_owner: &self.lock_owner,
            return_url: payments.provider.return_url(),
            abandoned_after: sender_stops_in(request.deadline()),
            request: Some((&self.fingerprint, request.id())),
            trace: request.trace(),
        };
        Attempt::new(intent, new, now)
    }
}

/// What there is to say of an attempt: the same for the request that made it and for each
/// repetition.
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
            // The document carries the id of the request that made the attempt, so that it is the
            // same each time.
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
