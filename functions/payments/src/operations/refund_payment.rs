//! Queue `refund-payment`: refunds what was captured for an order that was cancelled after payment.

use std::sync::Arc;

use shared::queue::Received;

use crate::{
    MAX_WRITE_ATTEMPTS, Payments,
    circuit_breaker::Permit,
    domain::{Change, Refund, RefundState, begin_refund},
    error::PaymentError,
    messages::RefundPayment,
    store::WriteOutcome,
};

/// Refunds everything that no other refund has reserved. If a refund is pending or nothing is
/// refundable, it publishes the payment's state again. While the circuit breaker is open it records
/// the refund, and `reconcile-payments` sends it.
pub async fn refund_payment(
    payments: Arc<Payments>,
    received: Received<RefundPayment>,
) -> Result<(), PaymentError> {
    let RefundPayment { order_id, attempt: command_attempt } = received.message;
    let lock_owner = payments.lock_owner();

    for _ in 0..MAX_WRITE_ATTEMPTS {
        let intent = payments.store.intent(order_id).await?.ok_or(PaymentError::IntentNotFound)?;
        let refund_id = Refund::automatic_id(&intent);
        let records = match intent.captured_payment {
            Some(paid) => payments.store.attempt_and_refund(paid, refund_id).await?,
            None => Default::default(),
        };
        let now = payments.clock.now();
        let change = match (records.attempt, records.refund) {
            (Some(paid), Some(refund))
                if refund.state == RefundState::New
                    && (!refund.is_locked(now) || refund.dispatch.lock.owner == lock_owner) =>
            {
                match payments.try_acquire(records.breaker, received.deadline).await {
                    Permit::Granted(call) => {
                        return payments.send_refund(&call, intent, paid, refund).await.map(|_| ());
                    }
                    // `reconcile-payments` sends it.
                    Permit::Denied { .. } => {
                        intent.answering(command_attempt, now, &received.trace)
                    }
                }
            }
            (Some(paid), None) => match begin_refund(
                &intent,
                &paid,
                command_attempt,
                &lock_owner,
                now,
                &received.trace,
            ) {
                Some(change) => {
                    if payments.store.write(&change, None).await? == WriteOutcome::Written {
                        let (intent, refund) = (
                            change.intent.unwrap_or(intent),
                            change.refund.ok_or(PaymentError::UnknownState)?,
                        );
                        if let Permit::Granted(call) =
                            payments.try_acquire(records.breaker, received.deadline).await
                        {
                            payments.send_refund(&call, intent, paid, refund).await?;
                        }
                        return Ok(());
                    }
                    continue;
                }
                None => intent.answering(command_attempt, now, &received.trace),
            },
            _ => intent.answering(command_attempt, now, &received.trace),
        };
        let Some(answering) = change else { return Ok(()) };
        if payments
            .store
            .write(&Change { intent: Some(answering), ..Change::default() }, None)
            .await?
            == WriteOutcome::Written
        {
            return Ok(());
        }
    }
    Err(PaymentError::Contention)
}
