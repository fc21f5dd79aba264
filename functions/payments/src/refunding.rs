//! Sends refunds to the provider and records their results.

use provider::{ProviderError, RefundRequest, RefundResult};

use crate::{
    MAX_WRITE_ATTEMPTS, Payments,
    circuit_breaker::ProviderCall,
    domain::{Attempt, Change, PaymentIntent, Refund, apply_refund_result},
    error::PaymentError,
    metrics,
    store::{Records, WriteOutcome},
};

impl Payments {
    /// Sends a refund of `paid` unless another writer has changed it since it was read. Returns the
    /// current refund.
    pub(crate) async fn send_refund(
        &self,
        call: &ProviderCall,
        intent: PaymentIntent,
        paid: Attempt,
        refund: Refund,
    ) -> Result<Refund, PaymentError> {
        let time = call.call_time();
        let sending = refund.sending(&self.lock_owner(), self.clock.now(), time.lock);
        let change = Change { refund: Some(sending.clone()), ..Change::default() };
        if let WriteOutcome::Conflict(records) = self.store.write(&change, None).await? {
            let current = records.refund.unwrap_or(refund);
            if current != sending {
                return Ok(current);
            }
        }
        let request = RefundRequest::from(&sending);
        tracing::info!(
            order_id = %sending.order_id,
            refund_id = %sending.refund_id,
            "refund sent to the provider"
        );
        let result = self
            .call_provider_within(time, call, self.provider.refund(&request))
            .await
            .unwrap_or(RefundResult::OutcomeUnknown);
        self.settle_refund(intent, paid, sending, &result).await
    }

    /// Records a result for a refund of `paid`. Returns the current refund.
    pub(crate) async fn settle_refund(
        &self,
        intent: PaymentIntent,
        paid: Attempt,
        refund: Refund,
        result: &RefundResult,
    ) -> Result<Refund, PaymentError> {
        let mut records = Records {
            intent: Some(intent.clone()),
            attempt: Some(paid.clone()),
            refund: Some(refund.clone()),
            ..Records::default()
        };
        for _ in 0..MAX_WRITE_ATTEMPTS {
            let intent = records.intent.as_ref().unwrap_or(&intent);
            let paid = records.attempt.as_ref().unwrap_or(&paid);
            let refund = records.refund.as_ref().unwrap_or(&refund);
            let change = apply_refund_result(
                intent,
                paid,
                refund,
                result,
                self.clock.now(),
                self.first_retry,
            );
            if change.needs_review {
                tracing::error!(refund.id = %refund.refund_id, "refund failed or contradicts the provider's record, review needed");
                metrics::NEEDS_REVIEW.increment();
            }
            if change.is_empty() {
                return Ok(refund.clone());
            }
            match self.store.write(&change, None).await? {
                WriteOutcome::Written => {
                    let refund = change.refund.unwrap_or_else(|| refund.clone());
                    log_recorded(&refund);
                    return Ok(refund);
                }
                WriteOutcome::Conflict(newer) => records = records.updated(*newer),
            }
        }
        Err(PaymentError::Contention)
    }

    /// Looks up a refund at the provider. `None` means that the provider has no such refund; an
    /// error means that the outcome is unknown.
    pub(crate) async fn look_up_refund(
        &self,
        call: &ProviderCall,
        refund: &Refund,
    ) -> Result<Option<RefundResult>, ProviderError> {
        let request = RefundRequest::from(refund);
        self.call_provider(call, self.provider.retrieve_refund(&request)).await
    }
}

/// Logs the state of a refund after a result of the provider, and when the provider is asked again
/// if its outcome is unknown.
fn log_recorded(refund: &Refund) {
    tracing::info!(
        order_id = %refund.order_id,
        refund_id = %refund.refund_id,
        state = refund.state.name(),
        reason = refund.failure_reason,
        checks = refund.dispatch.checks,
        next_check_at = refund.dispatch.next_check_at.map(|time| time.to_string()),
        "provider result recorded"
    );
}

impl From<&Refund> for RefundRequest {
    fn from(refund: &Refund) -> Self {
        Self {
            refund_id: refund.refund_id,
            order_id: refund.order_id,
            payment_id: refund.payment_id,
            transaction_id: refund.transaction_id.clone(),
            amount: refund.money(),
            provider_refund_id: refund.provider_refund_id.clone(),
            trace: refund.traceparent.clone(),
        }
    }
}
