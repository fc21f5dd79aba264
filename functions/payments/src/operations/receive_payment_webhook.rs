//! `POST /webhooks/payments/{provider}`: receives the webhook events of the payment provider.

use std::sync::Arc;

use lambda_http::http::StatusCode;
use provider::{
    PaymentId, RefundId,
    webhook::{EventSubject, WebhookEvent, WebhookRequest},
};
use serde::Serialize;
use shared::{
    clock::Timestamp,
    http::{Request, Response},
    problem::Problem,
};

use crate::{Payments, error::PaymentError, metrics};

/// Name of the secret that verifies webhook signatures.
const WEBHOOK_SECRET: &str = "payment-webhook-secrets";

/// Size limit of an event in bytes, the same as for every other request body.
const MAX_EVENT_BYTES: usize = 256 * 1024;

/// Acknowledges a webhook event.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct WebhookReceipt {
    /// Always `true`.
    received: bool,
}

/// Returns `200` for every body with a valid signature, because the provider would redeliver a
/// rejected event for days. This includes repeated events, events about other objects or unknown
/// payments, and bodies of an unknown format. Returns `503` if the provider must redeliver the
/// event.
///
/// An event only determines what to look up at the provider; its content is not trusted. Neither
/// the order of events nor repeated events matter.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/webhooks/payments/{provider}",
    description = "Called by the payment provider only, which signs each request.",
    params(
        ("provider" = String, Path, description = "The provider's name.", example = "stripe"),
        provider::SignatureHeader,
    ),
    request_body(content = Object, description = "The event in the provider's format."),
    responses((status = 200, description = "The event was processed or ignored.", body = WebhookReceipt)),
    security(()),
    extensions(
        ("x-roles" = json!(["anonymous"])),
        ("x-problems" = json!(["bad_signature", "provider_not_found", "provider_unavailable"])),
    ),
))]
pub async fn receive_payment_webhook(
    payments: Arc<Payments>,
    request: Request,
) -> Result<Response, Problem> {
    if request.path_parameter("provider") != Some(payments.provider.name()) {
        return Err(PaymentError::ProviderNotFound.into());
    }
    let body = request.body()?;
    if body.len() > MAX_EVENT_BYTES {
        return Err(PaymentError::EventTooLarge.into());
    }
    let secret = payments.secrets.get(WEBHOOK_SECRET).await.map_err(PaymentError::from)?;
    let Some(event) = payments.signed_event(&request, &body, &secret)? else {
        tracing::warn!(bytes = body.len(), "ignoring webhook with an unknown format");
        metrics::WEBHOOK_IGNORED.increment();
        return Ok(receipt());
    };

    if !payments.store.has_event(&event.id).await.map_err(PaymentError::from)? {
        payments.handle(&event, &request).await?;
        payments
            .store
            .record_event(&event.id, payments.clock.now())
            .await
            .map_err(PaymentError::from)?;
    }
    Ok(receipt())
}

fn receipt() -> Response {
    Response::json(StatusCode::OK, &WebhookReceipt { received: true })
}

impl Payments {
    /// The event if its signature is valid; `None` if its body has an unknown format.
    fn signed_event(
        &self,
        request: &Request,
        body: &[u8],
        secret: &str,
    ) -> Result<Option<WebhookEvent>, PaymentError> {
        let request = WebhookRequest {
            header: &|name| request.header(name),
            body,
            received_at: self.clock.now(),
        };
        Ok(self.provider.webhook_event(&request, secret)?)
    }

    async fn handle(&self, event: &WebhookEvent, request: &Request) -> Result<(), PaymentError> {
        let (trace, deadline) = (request.trace(), request.deadline());
        match &event.subject {
            EventSubject::Payment { payment_id, transaction_id } => {
                self.handle_payment_event(*payment_id, transaction_id, deadline).await
            }
            EventSubject::Refund { payment_id, refund_id, provider_refund_id } => {
                self.handle_refund_event(*payment_id, *refund_id, provider_refund_id, deadline)
                    .await
            }
            EventSubject::ProviderRefund { provider_refund_id } => {
                self.adopt_provider_refund(provider_refund_id, trace, deadline).await
            }
            EventSubject::Dispute { dispute_id } => {
                self.record_dispute(dispute_id, trace, deadline).await
            }
            EventSubject::Other => {
                tracing::info!(
                    event.id,
                    event.kind = event.kind,
                    "ignoring webhook about an unrelated object"
                );
                metrics::WEBHOOK_IGNORED.increment();
                Ok(())
            }
        }
    }

    async fn handle_payment_event(
        &self,
        payment_id: PaymentId,
        transaction_id: &str,
        deadline: Timestamp,
    ) -> Result<(), PaymentError> {
        let records = self.store.intent_and_attempt(payment_id).await?;
        let (Some(intent), Some(attempt)) = (records.intent, records.attempt) else {
            tracing::warn!(payment.id = %payment_id, "ignoring webhook about an unknown payment");
            return Ok(());
        };
        let call = self.acquire(records.breaker, deadline).await?;
        let mut known = attempt.clone();
        known.transaction_id = known.transaction_id.or(Some(transaction_id.to_owned()));
        let result = self.look_up(&call, &known).await.map_err(PaymentError::redeliver)?;
        if let Some(result) = result {
            self.settle_observed(intent, attempt, &result).await?;
        }
        Ok(())
    }

    async fn handle_refund_event(
        &self,
        payment_id: PaymentId,
        refund_id: RefundId,
        provider_refund_id: &str,
        deadline: Timestamp,
    ) -> Result<(), PaymentError> {
        let records = self.store.records_for_refund(payment_id, refund_id).await?;
        let (Some(intent), Some(paid), Some(refund)) =
            (records.intent, records.attempt, records.refund)
        else {
            tracing::warn!(refund.id = %refund_id, "ignoring webhook about an unknown refund");
            return Ok(());
        };
        let call = self.acquire(records.breaker, deadline).await?;
        let mut known = refund.clone();
        known.provider_refund_id = known.provider_refund_id.or(Some(provider_refund_id.to_owned()));
        let result = self.look_up_refund(&call, &known).await.map_err(PaymentError::redeliver)?;
        if let Some(result) = result {
            self.settle_refund(intent, paid, refund, &result).await?;
        }
        Ok(())
    }
}
