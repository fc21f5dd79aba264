//! Queue `cancel-payment`: the fence. After it no attempt ever starts.

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

/// Closes the intent of an order, or lets it close with the attempt that is alive. Where there is
/// no intent yet a closed one is put, for a command that comes late to run into. An attempt that
/// waits for its customer is called off at the provider, and the intent closes then.
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
            // Without leave to ask, the schedule calls it off.
            && let Permit::Granted(call) = payments.try_acquire(records.breaker, received.deadline).await
        {
            payments.cancel_charge(&call, intent, attempt, &ProviderResult::OutcomeUnknown).await?;
        }
        return Ok(());
    }
    Err(PaymentError::Contention)
}
