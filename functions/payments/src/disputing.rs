//! Records what happens at the provider without a request: disputes, and refunds made in its
//! dashboard.

use shared::{clock::Timestamp, telemetry::Trace};

use crate::{
    MAX_WRITE_ATTEMPTS, Payments,
    domain::{adopt_refund, apply_provider_dispute},
    error::PaymentError,
    metrics,
    store::{Records, WriteOutcome},
};

impl Payments {
    /// Looks up a dispute at the provider and records its state.
    pub(crate) async fn record_dispute(
        &self,
        dispute_id: &str,
        trace: &Trace,
        deadline: Timestamp,
    ) -> Result<(), PaymentError> {
        let call = self.acquire(self.store.breaker().await?, deadline).await?;
        let found = self
            .call_provider(&call, self.provider.find_dispute(dispute_id))
            .await
            .map_err(PaymentError::redeliver)?;
        let Some(reported) = found else {
            tracing::warn!("ignoring dispute of an unknown charge");
            return Ok(());
        };
        let Some(mut intent) = self.store.intent(reported.payment_id.order_id()).await? else {
            tracing::warn!(payment.id = %reported.payment_id, "ignoring dispute of an unknown payment");
            return Ok(());
        };
        for _ in 0..MAX_WRITE_ATTEMPTS {
            if intent.captured_payment.is_none() && intent.active_attempt.is_some() {
                // The charge is not recorded yet. The redelivered event finds it recorded.
                return Err(PaymentError::ProviderUnavailable { retry_after_seconds: 60 });
            }
            let change = apply_provider_dispute(&intent, &reported, self.clock.now(), trace);
            if change.needs_review {
                tracing::error!(payment.id = %reported.payment_id, "dispute contradicts the payment record, review needed");
                metrics::NEEDS_REVIEW.increment();
            }
            if change.is_empty() {
                return Ok(());
            }
            match self.store.write(&change, None).await? {
                WriteOutcome::Written => {
                    tracing::error!(order.id = %intent.order_id, dispute.state = reported.state.name(), "dispute state changed");
                    metrics::PAYMENT_DISPUTED.increment();
                    return Ok(());
                }
                WriteOutcome::Conflict(records) => intent = records.intent.unwrap_or(intent),
            }
        }
        Err(PaymentError::Contention)
    }

    /// Looks up a refund that this service did not request, and records it if it belongs to one of
    /// its payments.
    pub(crate) async fn adopt_provider_refund(
        &self,
        provider_refund_id: &str,
        trace: &Trace,
        deadline: Timestamp,
    ) -> Result<(), PaymentError> {
        let call = self.acquire(self.store.breaker().await?, deadline).await?;
        let found = self
            .call_provider(&call, self.provider.find_refund(provider_refund_id))
            .await
            .map_err(PaymentError::redeliver)?;
        let Some(found) = found else {
            tracing::info!("ignoring refund of an unknown charge");
            return Ok(());
        };
        let mut records =
            self.store.records_for_refund(found.payment_id, found.refund_id()).await?;
        for _ in 0..MAX_WRITE_ATTEMPTS {
            let (Some(intent), Some(paid)) = (records.intent.clone(), records.attempt.clone())
            else {
                tracing::warn!(payment.id = %found.payment_id, "ignoring refund of an unknown payment");
                return Ok(());
            };
            if let Some(refund) = records.refund {
                return self.settle_refund(intent, paid, refund, &found.result).await.map(drop);
            }
            if paid.is_in_flight() {
                // The charge is not recorded yet. The redelivered event finds it recorded.
                return Err(PaymentError::ProviderUnavailable { retry_after_seconds: 60 });
            }
            let change =
                adopt_refund(&intent, &paid, &found, self.clock.now(), self.first_retry, trace);
            if change.needs_review {
                tracing::error!(payment.id = %found.payment_id, "refund made at the provider contradicts the payment record, review needed");
                metrics::NEEDS_REVIEW.increment();
            }
            if change.is_empty() {
                return Ok(());
            }
            match self.store.write(&change, None).await? {
                WriteOutcome::Written => {
                    tracing::info!(order.id = %intent.order_id, "recorded refund made at the provider");
                    return Ok(());
                }
                WriteOutcome::Conflict(newer) => {
                    records = Records { refund: None, ..records }.updated(*newer)
                }
            }
        }
        Err(PaymentError::Contention)
    }
}
