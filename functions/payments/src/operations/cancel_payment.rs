//! Queue `cancel-payment`: closes the payment of an order, so that no charge can start.

use std::sync::Arc;

use provider::ProviderResult;
use shared::queue::Received;

use crate::{
    MAX_WRITE_ATTEMPTS, Payments,
    circuit_breaker::Permit,
    domain::{Change, ExpectedPayment, PaymentIntent},
    error::PaymentError,
    messages::CancelPayment,
    store::{Records, WriteOutcome},
};

/// Closes the payment intent of an order. If a sent attempt is in flight, the intent closes when
/// that attempt settles.
///
/// If the intent does not exist, the operation writes a closed one. A late `open-payment` or
/// `charge-payment` command then finds the payment closed. An attempt that waits for the customer
/// is cancelled at the provider; the intent closes once that succeeds.
pub async fn cancel_payment(
    payments: Arc<Payments>,
    received: Received<CancelPayment>,
) -> Result<(), PaymentError> {
    let CancelPayment { order_id, user_id, amount, attempt: command_attempt } = received.message;

    for _ in 0..MAX_WRITE_ATTEMPTS {
        let intent = payments.store.intent(order_id).await?;
        let now = payments.clock.now();
        let Some(intent) = intent else {
            let expected = ExpectedPayment {
                order_id,
                user_id,
                amount,
                expires_at: now,
                tries: 0,
                command_attempt,
            };
            let intent = PaymentIntent::unpayable(&expected, "order_closed", now, &received.trace);
            if payments
                .store
                .write(&Change { intent: Some(intent), ..Change::default() }, None)
                .await?
                == WriteOutcome::Written
            {
                return Ok(());
            }
            continue;
        };
        let records = match intent.active_attempt {
            Some(attempt) => payments.store.attempt_and_breaker(attempt).await?,
            None => Records::default(),
        };
        let change = intent.close(
            records.attempt.as_ref(),
            command_attempt,
            now,
            payments.first_retry,
            &received.trace,
        );
        if !change.is_empty() && payments.store.write(&change, None).await? != WriteOutcome::Written
        {
            continue;
        }
        let (intent, attempt) =
            (change.intent.unwrap_or(intent), change.attempt.or(records.attempt));
        if let Some(attempt) = attempt.filter(|attempt| attempt.must_be_cancelled(&intent, now))
            // Without a permit, `reconcile-payments` cancels the charge.
            && let Permit::Granted(call) = payments.try_acquire(records.breaker, received.deadline).await
        {
            payments.cancel_charge(&call, intent, attempt, &ProviderResult::OutcomeUnknown).await?;
        }
        return Ok(());
    }
    Err(PaymentError::Contention)
}
