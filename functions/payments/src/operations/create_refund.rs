//! `POST /payments/{payment_id}/refunds`: refunds a payment in full or in part.

use std::sync::Arc;

use provider::{PaymentId, RefundId};
use serde::{Deserialize, Deserializer, Serialize};
use shared::{
    clock::Timestamp,
    http::{self, Request, Response},
    ids,
    money::{Currency, MAX_AMOUNT, Money},
    problem::Problem,
    telemetry::Trace,
    validation::Violation,
};

use crate::{
    MAX_WRITE_ATTEMPTS, Payments,
    circuit_breaker::ProviderCall,
    domain::{
        Attempt, Change, PaymentIntent, Refund, RefundReason, RefundState, RequestedRefund,
        begin_requested_refund,
    },
    error::PaymentError,
    store::{IdempotencyRecord, Records, WriteOutcome},
    view::RefundView,
};

/// The refund request. Without an amount, everything that is still refundable is refunded.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct CreateRefund {
    #[serde(default)]
    amount: Option<RefundAmount>,
    reason: RefundReason,
}

/// An amount of at least one minor unit.
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
    let violation = || {
        Violation::out_of_range(format!(
            "A refund amount is an integer of minor units from 1 to {MAX_AMOUNT}."
        ))
    };
    if (1..=MAX_AMOUNT).contains(&amount) {
        Ok(amount)
    } else {
        Err(serde::de::Error::custom(violation()))
    }
}

/// Refunds a payment. Returns `201` with the completed refund, and `202` if its outcome is not
/// known yet. A repeated `Idempotency-Key` returns the result of the first request and refunds
/// nothing twice.
///
/// The write that records a refund reserves its amount before the provider is called. Refunds
/// therefore never exceed the captured amount.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/payments/{payment_id}/refunds",
    description = "",
    params(("payment_id" = PaymentId, Path, description = "Id of the payment to refund."), http::IdempotencyKey),
    request_body = CreateRefund,
    responses(
        (status = 201, description = "The completed refund.", body = RefundView),
        (status = 202, description = "The refund. Repeat the request until its outcome is known.", body = RefundView),
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
    let payment_id = request
        .path_parameter("payment_id")
        .and_then(PaymentId::parse)
        .ok_or(PaymentError::PaymentNotFound)?;
    let key = request.idempotency_key()?;
    let wanted = request.json::<CreateRefund>()?;

    let refund_id: RefundId = key.derive_id(&admin, "create-refund");
    let incoming = IncomingRefund {
        payment_id,
        fingerprint: ids::fingerprint(&(payment_id, &wanted)),
        lock_owner: payments.lock_owner(),
        requested: RequestedRefund {
            refund_id,
            amount: wanted.amount.map(|money| Money::new(money.amount, money.currency)),
            reason: wanted.reason.into(),
            by: admin.user_id,
            request_id: request.id().to_owned(),
        },
    };
    let mut records = payments
        .store
        .records_for_refund(payment_id, refund_id)
        .await
        .map_err(PaymentError::from)?;
    let mut permit = None;
    for _ in 0..MAX_WRITE_ATTEMPTS {
        let now = payments.clock.now();
        let decision = incoming.decide(&records, now, request.trace())?;
        match incoming.perform(&payments, &request, decision, &records, &mut permit, now).await? {
            Performed::Answered(response) => return Ok(response),
            Performed::VersionConflict(newer) => records = *newer,
        }
    }
    Err(PaymentError::Contention.into())
}

/// A refund request before any record is read.
struct IncomingRefund {
    payment_id: PaymentId,
    fingerprint: String,
    lock_owner: String,
    requested: RequestedRefund,
}

/// How to handle a refund request. Records are boxed because they are large.
enum Decision {
    /// The payment can be refunded: record the refund and send it.
    Begin(Box<(PaymentIntent, Attempt, Change)>),
    /// The refund is recorded, and no function is sending it: send it.
    Send(Box<(PaymentIntent, Attempt, Refund)>),
    /// The request was handled before: return its result.
    Replay(Box<Refund>),
    /// The key is in use, but the records were read just before they were written: read again.
    ReadAgain,
}

/// Result of performing a decision.
enum Performed {
    Answered(Response),
    /// Another writer was faster: decide again with these records.
    VersionConflict(Box<Records>),
}

impl IncomingRefund {
    /// Decides from the stored records.
    fn decide(
        &self,
        records: &Records,
        now: Timestamp,
        trace: &Trace,
    ) -> Result<Decision, PaymentError> {
        let Some(idempotency_record) = &records.idempotency_record else {
            let (Some(intent), Some(paid)) = (&records.intent, &records.attempt) else {
                return Err(PaymentError::PaymentNotFound);
            };
            let change =
                begin_requested_refund(intent, paid, &self.requested, &self.lock_owner, now, trace);
            let change = change.map_err(PaymentError::NotRefundable)?;
            return Ok(Decision::Begin(Box::new((intent.clone(), paid.clone(), change))));
        };
        if idempotency_record.fingerprint != self.fingerprint {
            return Err(PaymentError::KeyReused);
        }
        let (Some(intent), Some(paid), Some(refund)) =
            (&records.intent, &records.attempt, &records.refund)
        else {
            return Ok(Decision::ReadAgain);
        };
        let is_to_be_sent = refund.can_be_taken_over(now) || refund.is_unsent_by(&self.lock_owner);
        Ok(if is_to_be_sent {
            Decision::Send(Box::new((intent.clone(), paid.clone(), refund.clone())))
        } else {
            Decision::Replay(Box::new(refund.clone()))
        })
    }

    /// Performs a decision. `permit` holds a permit for a provider call from an earlier iteration.
    async fn perform(
        &self,
        payments: &Payments,
        request: &Request,
        decision: Decision,
        records: &Records,
        permit: &mut Option<ProviderCall>,
        now: Timestamp,
    ) -> Result<Performed, Problem> {
        let refund_id = self.requested.refund_id;
        let refund = match decision {
            Decision::ReadAgain => {
                let records = payments
                    .store
                    .records_for_refund(self.payment_id, refund_id)
                    .await
                    .map_err(PaymentError::from)?;
                return Ok(Performed::VersionConflict(Box::new(records)));
            }
            Decision::Replay(refund) => {
                return answer(payments, request, &refund)
                    .map(http::replayed)
                    .map(Performed::Answered);
            }
            Decision::Send(known) => {
                let (intent, paid, refund) = *known;
                let call = payments
                    .reuse_or_acquire(permit.take(), records.breaker.clone(), request.deadline())
                    .await?;
                payments.send_refund(&call, intent, paid, refund).await?
            }
            Decision::Begin(begun) => {
                let (intent, paid, change) = *begun;
                let call = payments
                    .reuse_or_acquire(permit.take(), records.breaker.clone(), request.deadline())
                    .await?;
                let (payment_id, fingerprint) = (self.payment_id, self.fingerprint.clone());
                let idempotency_record = IdempotencyRecord {
                    payment_id,
                    refund_id: Some(refund_id),
                    fingerprint,
                    created_at: now,
                };
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
                let (intent, refund) = (
                    change.intent.unwrap_or(intent),
                    change.refund.ok_or(PaymentError::UnknownState)?,
                );
                payments.send_refund(&call, intent, paid, refund).await?
            }
        };
        answer(payments, request, &refund).map(Performed::Answered)
    }
}

/// The response for a refund: the same for the original request and for each repetition.
fn answer(payments: &Payments, request: &Request, refund: &Refund) -> Result<Response, Problem> {
    let now = payments.clock.now();
    match &refund.state {
        RefundState::Succeeded => {
            // The API has no resource for a single refund; the payment shows the refunded amount.
            let location = request.location(&format!("/payments/{}", refund.payment_id));
            Ok(http::created(&location, &RefundView::from(refund)))
        }
        // A refund that failed after it had succeeded is reported as failed.
        RefundState::Failed | RefundState::Reversed => {
            let reason = refund.failure_reason.clone().unwrap_or_default();
            let error = PaymentError::RefundFailed { refund_id: refund.refund_id, reason };
            // The problem carries the id of the request that created the refund, so every
            // repetition is identical.
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
